/**
 * One WebSocket as the stream sees it, and what the stream is asked by whoever serves it: the seam between stream.ts, which
 * knows no library, and uws.ts, which knows no topic.
 */
import { CODES, type Code } from '../../base/codes.ts'
import { problem } from '../../wire/problem.ts'

/** One WebSocket. */
export interface StreamSocket {
  readonly msgpack: boolean
  readonly credential: string
  readonly address: string
  readonly open: boolean
  /** Bytes that may wait for the reader; who lets more wait is closed. */
  owedBytesMax: number
  /** Sends now or as soon as the reader takes more; never drops. */
  send(message: string | Uint8Array): void
  /** What `run` sends leaves in one write. */
  together(run: () => void): void
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  end(code: number, reason: string): void
}

export interface UpgradeRequest {
  readonly origin: string
  readonly host: string
  /** Behind the question mark, as it came. */
  readonly query: string
  /** Undefined where its header is not a bearer's. */
  readonly credential: string | undefined
  readonly address: string
}

export interface RefusedUpgrade {
  /** Of HTTP. */
  readonly status: number
  readonly detail: string
  /** Seconds after which asking again makes sense. */
  readonly retryAfterS?: number | undefined
  /** When it has resolved, the same request may not be refused any more. */
  readonly wait?: Promise<void>
}

/** Whether a browser from `origin` may open the stream: pages of this host, and those that the operator named. */
export function originAllowed(origin: string, host: string, allowed: readonly string[]): boolean {
  if (origin === '') return true
  return origin === `http://${host}` || origin === `https://${host}` || allowed.includes(origin)
}

/** A refused upgrade says what a refused request says, but for its body. */
export const refusedBy = (code: Code, detail = ''): RefusedUpgrade => ({
  status: CODES[code].status,
  detail,
  retryAfterS: problem(code).retry_after_s,
})

export interface StreamHandler {
  /** What refuses the upgrade, or undefined. */
  readonly refuses: (request: UpgradeRequest) => RefusedUpgrade | undefined
  readonly opened: (socket: StreamSocket) => void
  /** The bytes are taken back when this returns. */
  readonly received: (socket: StreamSocket, message: Buffer, binary: boolean) => void
  /** The reader caught up after stock frames may have been dropped. */
  readonly drained: (socket: StreamSocket) => void
  readonly closed: (socket: StreamSocket) => void
}
