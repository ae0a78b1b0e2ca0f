/**
 * The only file that knows uWebSockets.js. It turns its callbacks into two plain things: an Exchange (one HTTP request
 * and its answer) and a StreamSocket (one WebSocket), and keeps the library's rules so that nobody else has to:
 * `onAborted` is registered before anything can throw (else the process ends), a response is never touched after it
 * ended or aborted, answers are corked (one write), buffers that the library takes back are copied, bodies are counted
 * chunk by chunk. To change to an upstream build for Node 24 and later, change the alias in package.json; nothing here.
 */
import * as uws from 'uWebSockets.js'
import type { Clock } from '../../base/clock.ts'
import { CLOSE_CODES } from '../../base/codes.ts'
import { BACKPRESSURE_BYTES_MAX, OWED_BYTES_MAX } from '../../base/limits.ts'
import { GARBLED, utf8Text } from '../../base/text.ts'
import { statusLine } from './status-line.ts'
import type { StreamHandler, StreamSocket } from './stream-socket.ts'

/** How long a streamed answer waits for a reader who seems slow before it looks again; doubled while they are. */
const WRITABLE_MS = 10
const WRITABLE_MS_MAX = 1000

export type Headers = readonly (readonly [name: string, value: string])[]

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
const isGarbledHeader = (text: string): boolean =>
  /[\x80-\xff]/.test(text) && utf8Text(Buffer.from(text, 'latin1')) === undefined

/** What its header lines say of a body: two ends, or one by a coding that is not read here, are ambiguous. The library believes the first length and takes every coding for chunks. */
function framingOf(req: uws.HttpRequest): 'bare' | 'body' | 'ambiguous' {
  let [lengths, codings, empty] = [0, 0, true]
  req.forEach((name, value) => {
    if (name === 'content-length') [lengths, empty] = [lengths + 1, Number(value) === 0]
    else if (name === 'transfer-encoding') codings += value.toLowerCase() === 'chunked' ? 1 : 2
  })
  if (lengths > 1 || codings > 1) return 'ambiguous'
  return codings > 0 || !empty ? 'body' : 'bare'
}

/** One HTTP request, read before anything awaits, and its answer. */
export class Exchange {
  readonly #res: uws.HttpResponse
  /** Asked by HEAD. The library's own way to send a length without a body ends the connection, so it is a header of ours. */
  readonly #head: boolean
  readonly method: string
  readonly path: string
  readonly query: string
  readonly params: readonly string[]
  readonly authorization: string
  readonly contentType: string
  readonly accept: string
  readonly idempotencyKey: string
  /** Of an ambiguous one who stands in front may see another end: it has to be refused, and its answer ends the connection. */
  readonly framing: ReturnType<typeof framingOf>
  #open = true

  /**
   * `count` is the number of the path's parts. Each read of the request is a call into the library; a `lean` exchange leaves
   * out what a claim does not need, and reads the header lines one by one (0.09 µs a line) only when a coding is among them.
   */
  constructor(res: uws.HttpResponse, req: uws.HttpRequest, count: number, lean = false) {
    this.#res = res
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
    this.idempotencyKey = lean ? '' : req.getHeader('idempotency-key')
    this.framing = lean && req.getHeader('transfer-encoding') === '' ? 'bare' : framingOf(req)
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

  /** The peer's address as text; only while open. */
  get address(): string {
    return this.#open ? Buffer.from(this.#res.getRemoteAddressAsText()).toString('latin1') : ''
  }

  answer(status: number, type: string, body: string | Uint8Array, headers: Headers = []): void {
    if (!this.#open) return
    this.#open = false
    this.#res.cork(() => {
      this.#res.writeStatus(statusLine(status, type))
      for (const [name, value] of headers) this.#res.writeHeader(name, value)
      if (this.framing === 'ambiguous') this.#res.end(body, true)
      else if (this.#head) this.#res.writeHeader('Content-Length', String(Buffer.byteLength(body))).endWithoutBody()
      else this.#res.end(body)
    })
  }

  /** Gives `done` the body, which is its own, or `tooLarge` when it passes `most` bytes. */
  read(most: number, done: (body: Buffer) => void, tooLarge: () => void): void {
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
    this.#res.cork(() => this.#res.writeStatus(statusLine(200, type)))
    for (let waits = 0; !this.#head && !next.done; next = await reader.next().catch(cause => this.#breakOff(cause))) {
      if (!this.#open) return
      if (this.#write(next.value)) waits = 0
      else await this.#writable(Math.min(WRITABLE_MS_MAX, WRITABLE_MS * 2 ** waits++), clock)
    }
    if (!this.#open) return
    this.#open = false
    this.#res.cork(() => (this.#head ? this.#res.endWithoutBody() : this.#res.end()))
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

export interface HttpRoute {
  readonly method: 'get' | 'post' | 'put'
  /** With `{name}` parts. */
  readonly path: string
  /** Leaves method, path and Idempotency-Key unread. */
  readonly lean?: boolean
  readonly handle: (exchange: Exchange) => void
}

const SUBPROTOCOLS = ['fairgrab.msgpack.v1', 'fairgrab.json.v1']

interface SocketData extends Pick<StreamSocket, 'msgpack' | 'credential' | 'address'> {
  socket: Socket | undefined
}

class Socket implements StreamSocket {
  readonly #ws: uws.WebSocket<SocketData>
  #backlog: (string | Uint8Array)[] = []
  #owedBytes = 0
  owedBytesMax: number = OWED_BYTES_MAX.other
  readonly msgpack: boolean
  readonly credential: string
  readonly address: string
  open = true

  constructor(ws: uws.WebSocket<SocketData>) {
    this.#ws = ws
    ;({ msgpack: this.msgpack, credential: this.credential, address: this.address } = ws.getUserData())
  }

  send(message: string | Uint8Array): void {
    if (!this.open) return
    if (this.#backlog.length > 0 || this.#ws.getBufferedAmount() > BACKPRESSURE_BYTES_MAX / 2) {
      this.#owe(message)
    } else this.#ws.send(message, this.msgpack)
  }

  together(run: () => void): void {
    if (this.open) this.#ws.cork(run)
  }

  drain(): void {
    const waiting = this.#backlog
    let sent = 0
    while (this.open && sent < waiting.length && this.#ws.getBufferedAmount() <= BACKPRESSURE_BYTES_MAX / 2) {
      const message = waiting[sent++] as string | Uint8Array
      this.#owedBytes -= message.length
      this.#ws.send(message, this.msgpack)
    }
    // Once a drain, since taking the first one off a long list moves all others.
    waiting.splice(0, sent)
  }

  /** It is gone: what it was owed is forgotten, since answers that are still to come hold on to this object. */
  closed(): void {
    this.open = false
    this.#backlog = []
  }

  /** Keeps what is to be sent when the reader takes more. Our texts have about as many bytes as characters. */
  #owe(message: string | Uint8Array): void {
    this.#owedBytes += message.length
    if (this.#owedBytes > this.owedBytesMax) this.end(CLOSE_CODES.slow.close, CLOSE_CODES.slow.title)
    else this.#backlog.push(typeof message === 'string' ? message : Uint8Array.from(message))
  }

  subscribe(topic: string): void {
    if (this.open) this.#ws.subscribe(topic)
  }

  unsubscribe(topic: string): void {
    if (this.open) this.#ws.unsubscribe(topic)
  }

  end(code: number, reason: string): void {
    if (this.open) this.#ws.end(code, reason)
  }
}

export interface ServerOptions {
  readonly host: string
  readonly port: number
  readonly routes: readonly HttpRoute[]
  readonly fallback: (exchange: Exchange) => void
  readonly streamPath: string
  readonly stream: StreamHandler
  readonly frameBytesMax: number
  /** A socket from which nothing comes for so long, not even the answer to a ping, is closed. */
  readonly socketIdleS: number
}

export interface Server {
  readonly port: number
  publish(topic: string, message: string | Uint8Array, binary: boolean): void
  /** Stops accepting connections. */
  stopListening(): void
  /** Ends everything that is left. */
  close(): void
}

/** Listens, or throws with the address that could not be had. */
export function serve(options: ServerOptions): Promise<Server> {
  silence(uws)
  const app = uws.App()
  for (const { method, path, lean, handle } of options.routes) {
    const params = path.match(/\{/g)?.length ?? 0
    const pattern = path.replace(/\{(\w+)\}/g, ':$1')
    const answer = (res: uws.HttpResponse, req: uws.HttpRequest) => handle(new Exchange(res, req, params, lean))
    app[method](pattern, answer)
    if (method === 'get') app.head(pattern, answer)
  }
  app.ws<SocketData>(options.streamPath, streamBehaviour(options))
  app.any('/*', (res, req) => options.fallback(new Exchange(res, req, 0)))
  return new Promise((resolve, reject) => {
    app.listen(options.host, options.port, token => {
      if (token) resolve(listening(app, token))
      else reject(new Error(`cannot listen on ${options.host}:${options.port}; is it taken? Set PORT to another one`))
    })
  })
}

/** Takes the library's own header off every answer; the call is missing in its types. */
function silence(library: unknown): void {
  ;(library as { _cfg(setting: string): void })._cfg('silent')
}

function listening(app: uws.TemplatedApp, token: uws.us_listen_socket): Server {
  return {
    port: uws.us_socket_local_port(token as unknown as uws.us_socket),
    publish: (topic, message, binary) => {
      app.publish(topic, message, binary)
    },
    stopListening: () => uws.us_listen_socket_close(token),
    close: () => {
      app.close()
    },
  }
}

function streamBehaviour(options: ServerOptions): uws.WebSocketBehavior<SocketData> {
  const { stream: handler, frameBytesMax, socketIdleS } = options
  const of = (ws: uws.WebSocket<SocketData>) => ws.getUserData().socket as Socket
  return {
    // The library closes without a code of ours; what is a little too large reaches the handler, which says why.
    maxPayloadLength: 2 * frameBytesMax,
    idleTimeout: socketIdleS,
    maxBackpressure: BACKPRESSURE_BYTES_MAX,
    compression: 0,
    upgrade: (res, req, context) => upgrade(handler, res, req, context),
    open: ws => {
      const socket = new Socket(ws)
      ws.getUserData().socket = socket
      handler.opened(socket)
    },
    message: (ws, message, binary) => handler.received(of(ws), Buffer.from(message), binary),
    drain: ws => {
      of(ws).drain()
      if (ws.getBufferedAmount() === 0) handler.drained(of(ws))
    },
    close: ws => {
      of(ws).closed()
      handler.closed(of(ws))
    },
  }
}

function upgrade(
  handler: StreamHandler,
  res: uws.HttpResponse,
  req: uws.HttpRequest,
  context: uws.us_socket_context_t,
): void {
  if (framingOf(req) === 'ambiguous') {
    res.cork(() => res.writeStatus(statusLine(400, 'text/plain')).end('', true))
    return
  }
  const asked = req.getHeader('sec-websocket-protocol').split(/\s*,\s*/)
  const protocol = SUBPROTOCOLS.find(name => asked.includes(name)) ?? ''
  const header = req.getHeader('authorization')
  const credential = header === '' ? (req.getQuery('access_token') ?? '') : header.replace(/^bearer /i, '')
  const address = Buffer.from(res.getRemoteAddressAsText()).toString('latin1')
  const query = (req.getQuery() as string | undefined) ?? ''
  const asking = { origin: req.getHeader('origin'), host: req.getHeader('host'), query, credential, address }
  const garbled = credential.includes(GARBLED) || isGarbledHeader(header)
  const refused = garbled ? { status: 400, detail: '' } : handler.refuses(asking)
  if (refused) {
    res.cork(() => res.writeStatus(statusLine(refused.status, 'text/plain')).end(refused.detail))
    return
  }
  const msgpack = protocol === 'fairgrab.msgpack.v1'
  const data: SocketData = { socket: undefined, msgpack, credential, address }
  const key = req.getHeader('sec-websocket-key')
  res.upgrade(data, key, protocol, req.getHeader('sec-websocket-extensions'), context)
}
