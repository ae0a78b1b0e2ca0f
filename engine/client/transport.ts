/**
 * One request to an engine over `fetch`: what it carries, and what came of it as plain data.
 *
 * An answer that did not come, or not whole, is an answer with status 0: the request may have been executed. Only the engine's
 * own problems have a `code`; what a proxy says on its way has none, whatever its body looks like. Nothing follows a
 * redirect: it would make a GET of a claim. What fails before anything is sent (no token, a key that no header can carry) says so
 * and is certainly not executed. Rejected: throwing on a refusal. It is an expected answer.
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
  /** What a success has to be: anything else came from somebody in front of the engine, and nobody knows what became of the request. */
  readonly expects?: Expected | undefined
}

/** A text or number as it is, parts that are each as they have to be, or what a function says yes to. */
export type Expected = string | number | ((value: unknown) => boolean) | { readonly [name: string]: Expected }

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
  /** Nothing was sent. */
  readonly unsent?: true | undefined
}

const PROBLEM = 'urn:fairgrab:problem:'
const NOTHING = { status: 0, code: undefined, body: {}, bytes: new Uint8Array() }

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // A page, or nothing.
  }
  return NOTHING.body
}

async function read(response: Response): Promise<Answer> {
  const { headers, type } = response
  // A browser hides where a redirect leads, and which one it is.
  const status = type === 'opaqueredirect' ? 302 : response.status
  const bytes = new Uint8Array(await response.arrayBuffer())
  const body = parsed(bytes)
  const code = body.type === PROBLEM + body.code ? (body.code as Code) : undefined
  return { status, code, body, bytes, headers }
}

export const isDone = ({ status }: Pick<Answer, 'status'>): boolean => status >= 200 && status < 300

/** Whether something is as it has to be. */
export function fits(value: unknown, expected: Expected): boolean {
  if (typeof expected === 'string' || typeof expected === 'number') return value === expected
  if (typeof expected !== 'object') return expected(value)
  return Object.entries(expected).every(([name, part]) => fits(Object(value)[name], part))
}

export const isText = (value: unknown): value is string => typeof value === 'string'

/** A list of such. */
export const listOf =
  (part: Expected) =>
  (value: unknown): boolean =>
    Array.isArray(value) && value.every(each => fits(each, part))

/** What was read as JSON. */
export const isRead = (body: unknown): boolean => body !== NOTHING.body

/** An id as a part of a path. Half a character, which no id has, is asked for as U+FFFD. */
export const inPath = (id: string): string => encodeURIComponent(`${id}`.replace(/\p{Cs}/gu, '\ufffd'))

/** The longest that a timer can wait; a longer one would ring at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1

/** What is not all visible ASCII would be cut on its way, unseen: two keys would be one. */
function insistVisible(name: string, text: string): void {
  if (!/^[!-~]+$/.test(text)) throw new TypeError(`${name}: visible characters of ASCII, not "${text}"`)
}

export class Transport {
  readonly url: string
  readonly #options: TransportOptions
  /** The origin of the page that this runs in, where it is not the engine's. */
  readonly #foreign: string | undefined

  /** Throws TypeError where `url` is no address. */
  constructor(options: TransportOptions) {
    const { url } = options
    if (url !== '' && !/^https?:\/\/[^/?#@\s]+(\/[^?#\s]*)?$/.test(url))
      throw new TypeError(`url: an address such as https://claims.example, not "${url}"`)
    this.#options = options
    this.url = url.replace(/\/+$/, '')
    const { origin } = (globalThis as { readonly location?: { readonly origin: string } }).location ?? {}
    this.#foreign = url !== '' && new URL(url).origin !== origin ? origin : undefined
  }

  /** Sends and gives the answer as soon as its head is there; for a body that is read as it comes. Throws when none came. */
  async open(
    { method = 'GET', path, body, key, headers }: Asked,
    signal?: AbortSignal,
    sending = () => {},
  ): Promise<Response> {
    const { token, key: own, fetch: ask = globalThis.fetch } = this.#options
    const credential = (typeof token === 'string' ? token : await token?.()) || own
    if (credential) insistVisible('token or key', credential.trim())
    if (key !== undefined) insistVisible('Idempotency-Key', key)
    // fetch would leave them out, and ask for another path.
    if (/^[^?#]*\/(\.|%2e){1,2}([/?#]|$)/i.test(path)) throw new TypeError(`${path}: . and .. are no ids`)
    const isText = typeof body === 'string'
    const request: RequestInit = {
      method,
      headers: new Headers({
        accept: 'application/json',
        ...(credential ? { authorization: `Bearer ${credential}` } : {}),
        ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...headers,
      }),
      redirect: 'manual',
      ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    }
    signal?.throwIfAborted()
    sending()
    return ask(this.url + path, request)
  }

  /** One attempt of at most so many milliseconds. Throws only when `signal` aborted. */
  async attempt(asked: Asked, ms: number, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted()
    const cut = new AbortController()
    const stop = () => cut.abort(signal?.reason)
    const late = () => cut.abort(new Error(`no answer within ${Math.round(ms)} ms`))
    const timer = setTimeout(late, Math.min(ms, TIMER_MS_MAX))
    signal?.addEventListener('abort', stop)
    let unsent: true | undefined = true
    const sending = () => {
      unsent = undefined
    }
    // A token that does not come does not look at signals.
    const ended = new Promise<never>((_, reject) => {
      cut.signal.addEventListener('abort', () => reject(cut.signal.reason))
    })
    try {
      const answer = await Promise.race([this.open(asked, cut.signal, sending).then(read), ended])
      if (isDone(answer) && !fits(answer.body, asked.expects ?? {})) throw new Error('the answer is not the engine’s')
      return answer
    } catch (cause) {
      signal?.throwIfAborted()
      return { ...NOTHING, headers: new Headers(), cause: unsent ? cause : this.#explained(cause), unsent }
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** A browser does not say why it keeps an answer of another origin from a page. */
  #explained(cause: unknown): unknown {
    if (this.#foreign === undefined || !(cause instanceof TypeError)) return cause
    return new Error(`no answer; has FAIRGRAB_ORIGINS of the engine ${this.#foreign}?`, { cause })
  }
}
