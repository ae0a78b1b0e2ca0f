/**
 * One HTTP request and its answer, over uWebSockets.js, with the library's rules kept so that nobody else has to: `onAborted`
 * is registered before anything can throw (else the process ends), a response is never touched after it ended or
 * aborted, answers are corked (one write), buffers that the library takes back are copied, bodies are counted chunk by chunk.
 */

import type * as uws from 'uWebSockets.js'
import { callerAddress, type Networks } from '../../auth/addresses.ts'
import type { Clock } from '../../base/clock.ts'
import { BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX } from '../../base/limits.ts'
import { GARBLED, utf8Text } from '../../base/text.ts'
import { EXPOSED_HEADERS } from '../../wire/answer-headers.ts'
import { HeldBody } from './held-body.ts'

/** How long a streamed answer waits for a reader who seems slow before it looks again; doubled while they are. */
const WRITABLE_MS = 10
const WRITABLE_MS_MAX = 1000

/** A request waits for one reading of keys that began before it and for one of its own, and no longer. */
export const WAITS_MAX = 2

export type Headers = readonly (readonly [name: string, value: string])[]
const NO_HEADERS: Headers = []

/**
 * A part of a path without its percent signs. Bytes that are no text are garbled, as the library shows raw ones; a percent sign
 * that begins no byte stays as it is and is found nowhere.
 */
function decoded(part: string): string {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return /%(?![\da-f]{2})/i.test(part) ? part : GARBLED
  }
}

/**
 * Whether a header is no UTF-8: the library gives it a character a byte, other than paths and queries, which it decodes. Bytes
 * beyond ASCII at either end it cuts off, and nobody sees those.
 */
export const isGarbledHeader = (text: string): boolean =>
  /[\x80-\xff]/.test(text) && utf8Text(Buffer.from(text, 'latin1')) === undefined

/** How its body ends. */
type Framing = 'bare' | 'body' | 'chunked' | 'ambiguous'

/**
 * What its header lines say of a body: two ends, one without a value, or one by a coding that is not read here, are ambiguous, and so
 * is who asks whom by two lines. The library believes the first of each, takes no length for none and every coding for chunks. And the Idempotency-Key: one without a value, which the library shows as none, and two of
 * them are a space, which is no key.
 */
export function linesOf(req: uws.HttpRequest): { readonly framing: Framing; readonly key: string } {
  let [lengths, codings, empty, keys, hosts, credentials] = [0, 0, true, 0, 0, 0]
  req.forEach((name, value) => {
    if (name === 'content-length') [lengths, empty] = [lengths + (value === '' ? 2 : 1), Number(value) === 0]
    else if (name === 'transfer-encoding') codings += value.toLowerCase() === 'chunked' ? 1 : 2
    else if (name === 'idempotency-key') keys++
    else if (name === 'host') hosts++
    else if (name === 'authorization') credentials++
  })
  // Asked for by its name, because a value that is no text is another one here.
  const key = keys === 0 ? '' : (keys === 1 && req.getHeader('idempotency-key')) || ' '
  if (lengths > 1 || codings > 1 || hosts > 1 || credentials > 1) return { framing: 'ambiguous', key }
  if (codings > 0) return { framing: 'chunked', key }
  return { framing: empty ? 'bare' : 'body', key }
}

/** Who stands between this node and its callers; what is not set costs nothing. */
export interface Edge {
  /** Origins whose pages may read answers. */
  readonly origins: ReadonlySet<string> | undefined
  /** Proxies that speak for others. */
  readonly proxies: Networks | undefined
}

/** All lines of X-Forwarded-For as one. */
export function forwardedIn(req: uws.HttpRequest): string {
  if (req.getHeader('x-forwarded-for') === '') return ''
  const lines: string[] = []
  req.forEach((name, value) => {
    if (name === 'x-forwarded-for') lines.push(value)
  })
  return lines.join(',')
}

/** The address of a socket as text, whoever it speaks for. */
export const socketAddress = (res: uws.HttpResponse): string =>
  Buffer.from(res.getRemoteAddressAsText()).toString('latin1')

/** How long a client may keep an idle connection: less than the library's own 10 s, so that the client lets go first. */
const KEEP_ALIVE_S = 8

/** The words of Node's own table. An `import` of it would load all of fetch with it: 30 ms of CPU of each start. */
const { STATUS_CODES } = process.getBuiltinModule('node:http')

const statusLines = new Map<string, string[]>()

/**
 * The first lines of an answer, made once: `201 Created`, and header lines of our own constants behind it, since the library writes
 * that text as it is and each line less is a call less. An answer without a body has no content type.
 */
export function statusLine(status: number, type: string): string {
  const lines = statusLines.get(type) ?? []
  statusLines.set(type, lines)
  const content = type === '' ? '' : `content-type: ${type}\r\n`
  lines[status] ??= `${status} ${STATUS_CODES[status]}\r\n${content}keep-alive: timeout=${KEEP_ALIVE_S}`
  return lines[status]
}

/** How many parts its path has, and whether only what a claim needs is read. */
export type Reading = readonly [count: number, lean: boolean]

/** One HTTP request, read before anything awaits, and its answer. */
export class Exchange {
  readonly #res: uws.HttpResponse
  /** Asked by HEAD. The library's own way to send a length without a body ends the connection, so it is a header of ours. */
  readonly #head: boolean
  readonly #edge: Edge | undefined
  #forwarded = ''
  /** The origin of the page that asks, where it was named; else empty. */
  origin = ''
  /** What every answer says of its caller's rate. */
  limits: Headers = NO_HEADERS
  readonly method: string
  readonly path: string
  readonly query: string
  readonly params: readonly string[]
  readonly authorization: string
  readonly contentType: string
  readonly accept: string
  readonly idempotencyKey: string
  /**
   * Of an ambiguous one who stands in front may see another end: it has to be refused, and its answer ends the connection. So does that
   * to a body in chunks, since the library takes chunk lines for sound that are none. Not before its packet was read
   * (`behindPacket`), since the library serves what stands behind a request that is answered, and cuts what stands behind one that is not.
   */
  readonly framing: Framing
  #open = true
  /** Where the body is kept while its caller is waited for, and how often that was. */
  #held: HeldBody | undefined
  #waits = 0

  /**
   * `count` is the number of the path's parts. Each read of the request is a call into the library; a `lean` exchange leaves
   * out what a claim does not need, and reads the header lines one by one (0.09 µs a line) only when a coding is among them.
   */
  constructor(res: uws.HttpResponse, req: uws.HttpRequest, edge: Edge | undefined, [count, lean]: Reading) {
    this.#res = res
    this.#edge = edge
    if (edge) this.#stand(edge, req)
    this.#head = !lean && req.getMethod() === 'head'
    res.onAborted(() => {
      this.#open = false
    })
    this.method = lean ? '' : req.getMethod()
    this.path = lean ? '' : req.getUrl()
    // The library has none where there is no question mark, whatever its types say.
    this.query = (req.getQuery() as string | undefined) ?? ''
    const params: string[] = []
    for (let i = 0; i < count; i++) params.push(decoded(req.getParameter(i) ?? ''))
    this.params = params
    this.authorization = req.getHeader('authorization')
    this.contentType = req.getHeader('content-type')
    this.accept = req.getHeader('accept')
    const lines = lean && req.getHeader('transfer-encoding') === '' ? undefined : linesOf(req)
    this.idempotencyKey = lines?.key ?? ''
    this.framing = lines?.framing ?? 'bare'
  }

  /** Whether bytes of its head that are to be text are no UTF-8. */
  get garbled(): boolean {
    const { path, query, params, authorization, idempotencyKey } = this
    const isCut = [path, query, ...params].some(text => text.includes(GARBLED))
    return isCut || isGarbledHeader(authorization) || isGarbledHeader(idempotencyKey)
  }

  /** False once it was answered or the client went away. */
  get open(): boolean {
    return this.#open
  }

  /** The address of who asks, as text: the socket's, or the one that a trusted proxy speaks for; only while open. */
  get address(): string {
    if (!this.#open) return ''
    const own = socketAddress(this.#res)
    return this.#edge?.proxies ? callerAddress(own, this.#forwarded, this.#edge.proxies) : own
  }

  answer(status: number, type: string, body: string | Uint8Array, headers = NO_HEADERS): void {
    if (!this.#open) return
    this.#open = false
    this.#res.cork(() => {
      this.#res.writeStatus(statusLine(status, type))
      if (this.origin !== '') this.#letRead()
      for (const [name, value] of headers) this.#res.writeHeader(name, value)
      if (this.limits.length > 0) for (const [name, value] of this.limits) this.#res.writeHeader(name, value)
      if (this.#head) this.#endBare(Buffer.byteLength(body))
      else this.#res.end(body, this.endsConnection)
    })
  }

  /** Answers a page of a named origin with headers alone: 204. */
  answerNothing(headers: Headers): void {
    if (!this.#open) return
    this.#open = false
    this.#res.cork(() => {
      this.#res.writeStatus(statusLine(204, ''))
      this.#letRead()
      for (const [name, value] of headers) this.#res.writeHeader(name, value)
      this.#endBare(0)
    })
  }

  /** Whether the connection ends with its answer. */
  get endsConnection(): boolean {
    return this.framing === 'ambiguous' || this.framing === 'chunked'
  }

  /** Ends an answer without a body, and says how long the body would be where there is one and the connection stays. */
  #endBare(bytes: number): void {
    if (this.endsConnection) this.#res.end('', true)
    else if (bytes === 0) this.#res.endWithoutBody()
    else this.#res.writeHeader('Content-Length', String(bytes)).endWithoutBody()
  }

  /** Reads who asks, and from where, as far as somebody was named. */
  #stand({ origins, proxies }: Edge, req: uws.HttpRequest): void {
    if (proxies) this.#forwarded = forwardedIn(req)
    const origin = origins ? req.getHeader('origin') : ''
    if (origin !== '' && origins?.has(origin)) this.origin = origin
  }

  /** The page that asks may read the answer. */
  #letRead(): void {
    this.#res.writeHeader('Access-Control-Allow-Origin', this.origin)
    this.#res.writeHeader('Vary', 'Origin')
    this.#res.writeHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS)
  }

  /** Runs what answers it behind the packet that it came in, with its body kept. */
  behindPacket(clock: Clock, run: () => void): void {
    this.#keep(BATCH_BODY_BYTES_MAX)
    clock.soon(run)
  }

  #keep(most: number): void {
    const held = new HeldBody(most)
    this.#held = held
    this.#res.onData((chunk, isLast) => held.take(chunk, isLast))
  }

  /** Keeps its body for whoever reads it later; false when it has waited often enough, or nobody waits any more. */
  hold(): boolean {
    if (!this.#open || this.#waits >= WAITS_MAX) return false
    this.#waits++
    if (!this.#held) this.#keep(BODY_BYTES_MAX)
    return true
  }

  /** Gives `done` the body, which is its own, or `tooLarge` when it passes `most` bytes. */
  read(most: number, done: (body: Buffer) => void, tooLarge: () => void): void {
    if (this.#held) return this.#held.read(most, done, tooLarge)
    let chunks: Buffer[] | undefined
    let size = 0
    let ended = false
    this.#res.onData((chunk, isLast) => {
      if (ended) return
      size += chunk.byteLength
      if (size > most) {
        ended = true
        tooLarge()
      } else if (isLast) {
        ended = true
        done(chunks ? Buffer.concat([...chunks, Buffer.from(chunk)]) : Buffer.from(chunk))
      } else {
        chunks ??= []
        chunks.push(Buffer.from(chunk.slice(0)))
      }
    })
  }

  /** Writes an answer of unknown length as its parts come, no faster than the client reads. */
  async stream(type: string, parts: AsyncIterable<string>, clock: Clock): Promise<void> {
    const reader = parts[Symbol.asyncIterator]()
    // What fails before anything was written can still be answered as it is.
    let next = await reader.next()
    if (!this.#open) return
    this.#res.cork(() => {
      this.#res.writeStatus(statusLine(200, type))
      if (this.origin !== '') this.#letRead()
      for (const [name, value] of this.limits) this.#res.writeHeader(name, value)
    })
    for (let waits = 0; !this.#head && !next.done; next = await reader.next().catch(cause => this.#breakOff(cause))) {
      if (!this.#open) return
      if (this.#write(next.value)) waits = 0
      else await this.#writable(Math.min(WRITABLE_MS_MAX, WRITABLE_MS * 2 ** waits++), clock)
    }
    if (!this.#open) return
    this.#open = false
    this.#res.cork(() => (this.#head ? this.#endBare(0) : this.#res.end('', this.endsConnection)))
  }

  /** Whether the client takes more now. Inside a cork, because the library warns of a write outside of one. */
  #write(part: string): boolean {
    let isTaken = true
    this.#res.cork(() => {
      isTaken = this.#res.write(part)
    })
    return isTaken
  }

  /** Ends the connection in the middle of an answer, so that nobody takes what they have for all of it. */
  #breakOff(cause: unknown): never {
    if (this.#open) this.#res.close()
    this.#open = false
    throw cause
  }

  /**
   * Resolves when the client takes more, or after `most` milliseconds: the library corks a write by itself, and what
   * it calls backpressure may be gone when the cork is out; then nothing ever becomes writable again.
   */
  #writable(most: number, clock: Clock): Promise<void> {
    return new Promise(resolve => {
      const cancel = clock.after(most, resolve)
      const done = () => {
        cancel()
        resolve()
      }
      this.#res.onWritable(() => {
        done()
        return true
      })
      this.#res.onAborted(() => {
        this.#open = false
        done()
      })
    })
  }
}
