/**
 * One request to an engine over `fetch`: what it carries, and what came of it as plain data.
 *
 * An answer that did not come, or not whole, is an answer with status 0: the request may have been executed. Only the engine's
 * own problems have a `code`; what a proxy says on its way has none, whatever its body looks like. Nothing follows a
 * redirect: it would make a GET of a claim. Rejected: throwing on a refusal. It is an expected answer.
 */
import type { Code } from '../base/codes.ts'

/** Where the engine is, who asks, and what this platform calls `fetch`. */
export interface TransportOptions {
  /** Such as `https://claims.example`; in a page of the engine itself an empty text. */
  readonly url: string
  /** A user's token, or where to get one: a function is asked before each attempt, so that a new token is used at once. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** An API key, which never belongs in a browser. */
  readonly key?: string | undefined
  readonly fetch?: typeof fetch | undefined
}

/** A request; asked again it is the same bytes. */
export interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT'
  /** Such as `/v1/rounds/rnd_1`. */
  readonly path: string
  /** What becomes JSON; a text goes out as it is, with its type among the headers. */
  readonly body?: unknown
  /** The `Idempotency-Key` of a change. */
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What a success has to have: anything else came from somebody in front of the engine, and nobody knows what became of the request. */
  readonly expects?: (body: Answer['body']) => boolean
}

export interface Answer {
  /** Of HTTP; 0 when no answer came or not all of it. */
  readonly status: number
  /** The engine's code of a refusal; undefined where it was not the engine that answered, and for what it did. */
  readonly code: Code | undefined
  /** JSON, where that is what came; else an empty object. */
  readonly body: Readonly<Record<string, unknown>>
  readonly bytes: Uint8Array
  readonly headers: Headers
  /** Why no answer came. */
  readonly cause?: unknown
}

const PROBLEM = 'urn:fairgrab:problem:'

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

async function read(response: Response): Promise<Answer> {
  const { status, headers } = response
  const bytes = new Uint8Array(await response.arrayBuffer())
  const body = parsed(bytes)
  const code = body.type === PROBLEM + body.code ? (body.code as Code) : undefined
  return { status, code, body, bytes, headers }
}

export const isDone = ({ status }: Pick<Answer, 'status'>): boolean => status >= 200 && status < 300

export class Transport {
  readonly url: string
  readonly #options: TransportOptions

  constructor(options: TransportOptions) {
    this.#options = options
    this.url = options.url.replace(/\/+$/, '')
  }

  /** Sends and gives the answer as soon as its head is there; for a body that is read as it comes. Throws when none came. */
  async open({ method = 'GET', path, body, key, headers }: Asked, signal?: AbortSignal): Promise<Response> {
    const { token, key: own, fetch: ask = globalThis.fetch } = this.#options
    const credential = (typeof token === 'string' ? token : await token?.()) || own
    const isText = typeof body === 'string'
    return ask(this.url + path, {
      method,
      headers: {
        accept: 'application/json',
        ...(credential ? { authorization: `Bearer ${credential}` } : {}),
        ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...headers,
      },
      redirect: 'manual',
      ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    })
  }

  /** One attempt of at most so many milliseconds. Throws only when `signal` aborted. */
  async attempt(asked: Asked, ms: number, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted()
    const cut = new AbortController()
    const stop = () => cut.abort(signal?.reason)
    const timer = setTimeout(() => cut.abort(new Error(`no answer within ${Math.round(ms)} ms`)), ms)
    signal?.addEventListener('abort', stop)
    try {
      const answer = await read(await this.open(asked, cut.signal))
      if (isDone(answer) && asked.expects?.(answer.body) === false) throw new Error('the answer is not the engine’s')
      return answer
    } catch (cause) {
      signal?.throwIfAborted()
      return { status: 0, code: undefined, body: {}, bytes: new Uint8Array(), headers: new Headers(), cause }
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }
}
