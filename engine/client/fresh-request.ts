/**
 * One request to an engine on a connection of its own: for programs that ask now and then, and never for a load.
 *
 * The engine closes a connection on which nothing comes for ten seconds. A kept one may be closing at the very moment
 * at which it is used again, above all behind a computation that let no timer run, and then nobody knows whether the
 * request was executed. So nothing is kept: a connection that was just opened is not stale, and a change is sent once.
 * What may be asked twice (`repeatable`; every GET) is asked again, on another new connection, when one closes all the
 * same; an engine that refuses connections is not there, which is said at once.
 *
 * Rejected: fetch, which keeps connections and offers no way out; repeating a change that is not repeatable by contract.
 */
import http from 'node:http'
import https from 'node:https'

const ATTEMPTS = 3
/** No engine thinks about one request for so long. */
const SILENCE_MS = 300_000
/** What the system or Node says of a connection that ended while it was used. */
const CLOSED = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

export interface Asked {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Asking twice is asking once, by the contract. True of a GET, whatever stands here. */
  readonly repeatable?: boolean
}

export interface Answered {
  readonly status: number
  readonly ok: boolean
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** An answer whose body is still coming. */
export interface Answering extends Omit<Answered, 'body'> {
  readonly body: AsyncIterable<Buffer>
}

/** No answer came, or not all of it; the cause says why. */
export class NoAnswer extends Error {
  /** The connection was there, so the engine may have read the request. */
  readonly reached: boolean

  constructor({ method = 'GET', url }: Asked, cause: unknown, reached: boolean) {
    const maybe = reached && method !== 'GET' ? ', and it may have been executed' : ''
    super(`no answer to ${method} ${url}${maybe}`, { cause })
    this.name = 'NoAnswer'
    this.reached = reached
  }
}

function open(whole: Asked): Promise<Answering> {
  const { url, method = 'GET', headers = {}, body } = whole
  const [{ request }, connected] = url.startsWith('https:') ? [https, 'secureConnect'] : [http, 'connect']
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  return new Promise((resolve, reject) => {
    let reached = false
    const asked = request(url, { method, agent: false, headers: { ...headers, ...length } }, answer => {
      const { statusCode: status = 0 } = answer
      resolve({ status, ok: status >= 200 && status < 300, headers: answer.headers, body: answer })
    })
    asked.once('socket', socket =>
      socket.once(connected, () => {
        reached = true
      }),
    )
    asked.setTimeout(SILENCE_MS, () => asked.destroy(new Error(`nothing came for ${SILENCE_MS / 1000} s`)))
    asked.once('error', cause => reject(new NoAnswer(whole, cause, reached)))
    asked.end(body)
  })
}

async function read(asked: Asked): Promise<Answered> {
  const { body, ...head } = await open(asked)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body) chunks.push(chunk)
  } catch (cause) {
    throw new NoAnswer(asked, cause, true)
  }
  return { ...head, body: Buffer.concat(chunks) }
}

/** Whether an error, or what it was caused by, is a connection that ended while it was used. */
export function isClosed(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return CLOSED.has((error as NodeJS.ErrnoException).code ?? '') || isClosed(error.cause)
}

/** Runs an attempt, and again while its connection closes and the request allows it. */
async function attempt<T>(asked: Asked, once: (asked: Asked) => Promise<T>): Promise<T> {
  const { method = 'GET', repeatable = method === 'GET' } = asked
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await once(asked)
    } catch (error) {
      if (!repeatable || left === 0 || !isClosed(error)) throw error
    }
  }
}

/** Asks and gives the whole answer, whatever its status. Throws NoAnswer when none came. */
export const ask = (asked: Asked): Promise<Answered> => attempt(asked, read)

/** Asks and gives the answer as it comes; a body that breaks off throws where it is read. */
export const askStreaming = (asked: Asked): Promise<Answering> => attempt(asked, open)
