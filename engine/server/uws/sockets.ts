/**
 * WebSockets over uWebSockets.js: each becomes a StreamSocket, and what happens to it a call of the StreamHandler. What a slow
 * reader is owed is kept here within a bound and sent when they take more; stock frames alone may be dropped.
 */
import type * as uws from 'uWebSockets.js'
import { callerAddress } from '../../auth/addresses.ts'
import { bearerIn } from '../../auth/callers.ts'
import { CLOSE_CODES } from '../../base/codes.ts'
import { BACKPRESSURE_BYTES_MAX, OWED_BYTES_MAX } from '../../base/limits.ts'
import { GARBLED } from '../../base/text.ts'
import type { RefusedUpgrade, StreamHandler, StreamSocket } from '../stream/stream-socket.ts'
import {
  type Edge,
  Exchange,
  forwardedIn,
  isGarbledHeader,
  linesOf,
  socketAddress,
  statusLine,
  WAITS_MAX,
} from './exchange.ts'

const SUBPROTOCOLS = ['fairgrab.msgpack.v1', 'fairgrab.json.v1']

export interface SocketData extends Pick<StreamSocket, 'msgpack' | 'credential' | 'address'> {
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

export interface SocketOptions {
  /** Undefined where nobody was named. */
  readonly edge: Edge | undefined
  readonly stream: StreamHandler
  readonly frameBytesMax: number
  /** A socket from which nothing comes for so long, not even the answer to a ping, is closed. */
  readonly socketIdleS: number
  /** Answers what is no route, and what is refused before anybody looks at who asks. */
  readonly fallback: (exchange: Exchange) => void
}

export function streamBehaviour(options: SocketOptions): uws.WebSocketBehavior<SocketData> {
  const { stream: handler, frameBytesMax, socketIdleS } = options
  const of = (ws: uws.WebSocket<SocketData>) => ws.getUserData().socket as Socket
  return {
    // The library closes without a code of ours; what is a little too large reaches the handler, which says why.
    maxPayloadLength: 2 * frameBytesMax,
    idleTimeout: socketIdleS,
    maxBackpressure: BACKPRESSURE_BYTES_MAX,
    compression: 0,
    upgrade: (res, req, context) => upgrade(options, res, req, context),
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
  { stream: handler, edge, fallback }: SocketOptions,
  res: uws.HttpResponse,
  req: uws.HttpRequest,
  context: uws.us_socket_context_t,
): void {
  if (linesOf(req).framing === 'ambiguous') return fallback(new Exchange(res, req, edge, [0, false]))
  const asked = req.getHeader('sec-websocket-protocol').split(/\s*,\s*/)
  const protocol = SUBPROTOCOLS.find(name => asked.includes(name)) ?? ''
  const header = req.getHeader('authorization')
  const credential = header === '' ? (req.getQuery('access_token') ?? '') : bearerIn(header)
  const own = socketAddress(res)
  const address = edge?.proxies ? callerAddress(own, forwardedIn(req), edge.proxies) : own
  const query = (req.getQuery() as string | undefined) ?? ''
  const asking = { origin: req.getHeader('origin'), host: req.getHeader('host'), query, credential, address }
  const garbled = credential?.includes(GARBLED) || isGarbledHeader(header)
  const refused = garbled ? { status: 400, detail: '' } : handler.refuses(asking)
  const msgpack = protocol === 'fairgrab.msgpack.v1'
  // One that is no bearer's was refused, and opens nothing.
  const data: SocketData = { socket: undefined, msgpack, credential: credential as string, address }
  const key = req.getHeader('sec-websocket-key')
  const extensions = req.getHeader('sec-websocket-extensions')
  const open = () => res.upgrade(data, key, protocol, extensions, context)
  if (!refused) return open()
  decide(res, { refused, again: () => handler.refuses(asking), open })
}

interface Upgrade {
  readonly refused: RefusedUpgrade | undefined
  readonly again: () => RefusedUpgrade | undefined
  readonly open: () => void
}

/** Answers an upgrade, when what it waits for is over. */
function decide(res: uws.HttpResponse, { refused, again, open }: Upgrade, waits = WAITS_MAX): void {
  if (refused?.wait && waits > 0)
    return later(res, refused.wait, () => decide(res, { refused: again(), again, open }, waits - 1))
  res.cork(() => {
    if (!refused) return open()
    res.writeStatus(statusLine(refused.status, 'text/plain'))
    if (refused.retryAfterS !== undefined) res.writeHeader('Retry-After', String(refused.retryAfterS))
    res.end(refused.detail)
  })
}

/** Goes on when a wait is over, unless who asked has gone. */
function later(res: uws.HttpResponse, wait: Promise<void>, go: () => void): void {
  let isGone = false
  res.onAborted(() => {
    isGone = true
  })
  void wait.then(() => {
    if (!isGone) go()
  })
}
