/**
 * The live stream: one socket, the rounds that are watched on it, and coming back after it was lost.
 *
 * It asks for stock only, which is public, so no credential is ever part of an address. A ping every two seconds brings the
 * engine's time and proves that what is shown is current; a ping without any answer for six seconds is a lost connection,
 * which a network that died in silence would not show; one that says something garbled is lost, too. Whether and when to come back says the range of the close code; the
 * delay is random so that all viewers do not return together, and grows until a pong came. A subscription that is refused for
 * one of several rounds is asked for each alone; one that passes is asked again.
 */
import { EngineClock } from './engine-clock.ts'
import { waitBefore } from './patience.ts'

const PING_MS = 2000
const SILENCE_MS = 6000
const RETRY_MS = 500
const RETRY_MS_MAX = 15_000
const OPEN = 1
/** The one close code of 4400 to 4499 after which one comes back. */
const IDLE = 4408
/** Refusals of a subscription that nothing but a change of what is asked ends. */
const FINAL = ['not_found', 'invalid', 'malformed']

export interface StockFrame {
  readonly round_id: string
  readonly state: string
  readonly total: number
  readonly granted: number
  readonly remaining: number
  /** Packs that a fail-over left in doubt. */
  readonly quarantined?: number
  /** Of one unbroken history of the round; versions of two epochs cannot be compared. */
  readonly epoch: string
  readonly version: number
  readonly at: string
  /** Where there are more than `general`. */
  readonly pools?: readonly {
    readonly name: string
    readonly total: number
    readonly granted: number
    readonly remaining: number
  }[]
}

/** The result of a draw's window. */
export interface DrawnFrame {
  readonly round_id: string
  readonly window: number
  readonly seed: string
  readonly cutoffs: Readonly<Record<string, string | null>>
}

export type Connection =
  | { readonly state: 'connecting' | 'live' }
  | { readonly state: 'lost'; readonly reason: string /** By `performance.now()`. */; readonly retryAt: number }
  | { readonly state: 'refused'; readonly reason: string }

/** What a socket of a browser, of Node 22 and of the package `ws` have in common. */
export interface Socket {
  readonly readyState: number
  send(text: string): void
  close(): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { readonly code: number; readonly reason: string }) => void): void
  addEventListener(type: 'error', listener: () => void): void
}

export type SocketClass = new (address: string, protocol: string) => Socket

export interface StreamOptions {
  /** Such as `wss://claims.example/v1/stream`. */
  readonly address: string
  readonly WebSocket?: SocketClass | undefined
  readonly received: (frame: StockFrame) => void
  readonly drawn?: (frame: DrawnFrame) => void
  /** On `live` nothing is watched yet. */
  readonly changed: (connection: Connection) => void
  /** A round that cannot be watched, now or, where `isFinal`, ever. */
  readonly failed?: (roundId: string, why: string, isFinal: boolean) => void
}

interface Frame {
  readonly op: string
  readonly id?: number
  readonly server_time?: string
  readonly code?: string
  readonly detail?: string
}

/** A frame of the engine, or undefined for anything else. */
function frameOf(data: unknown): Frame | undefined {
  try {
    const frame = JSON.parse(String(data))
    return typeof frame?.op === 'string' ? frame : undefined
  } catch {
    return undefined
  }
}

/** Milliseconds until the next attempt, or undefined when trying again without a change is of no use. */
export function reconnectAfter(code: number, attempt: number, random = Math.random()): number | undefined {
  if (code >= 4400 && code < 4500 && code !== IDLE) return undefined
  const least = code >= 4500 && code < 4600 ? 1000 : 0
  return least + random * Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** attempt)
}

export class Stream {
  readonly clock = new EngineClock()
  readonly #options: StreamOptions
  #socket: Socket | undefined
  #topics = new Set<string>()
  /** What was asked to be watched and is not answered, by the id of its frame. */
  readonly #asked = new Map<number, readonly string[]>()
  #attempt = 0
  #frames = 0
  #receivedAt = 0
  #pingedAt = 0
  #pingTimer: ReturnType<typeof setInterval> | undefined
  #retryTimer: ReturnType<typeof setTimeout> | undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  /** When the last message came, by `performance.now()`; 0 for never. */
  get receivedAt(): number {
    return this.#receivedAt
  }

  connect(): void {
    this.close()
    const { address, changed, WebSocket: Given = globalThis.WebSocket as SocketClass | undefined } = this.#options
    if (!Given) throw new Error('this platform has no WebSocket: give one, new Fairgrab({ …, WebSocket })')
    const socket = new Given(address, 'fairgrab.json.v1')
    this.#socket = socket
    changed({ state: 'connecting' })
    // A socket that was left says nothing any more.
    const own =
      <Event>(take: (event: Event) => void) =>
      (event: Event) =>
        this.#socket === socket && take(event)
    socket.addEventListener(
      'message',
      own(({ data }) => {
        const frame = frameOf(data)
        if (frame) this.#take(frame)
        else this.#lost(1006, 'what came is no frame')
      }),
    )
    socket.addEventListener(
      'close',
      own(({ code, reason }) => this.#lost(code, reason)),
    )
    socket.addEventListener('error', () => {})
    this.#pingTimer = setInterval(() => this.#ping(), PING_MS)
    this.#pingedAt = 0
  }

  /** Watches exactly these rounds, on this connection: whoever receives `live` has to say again what to watch. */
  watch(roundIds: Iterable<string>): void {
    const wanted = new Set(roundIds)
    const gone = [...this.#topics].filter(id => !wanted.has(id))
    const added = [...wanted].filter(id => !this.#topics.has(id))
    this.#topics = wanted
    if (gone.length > 0) this.#send('unsubscribe', gone)
    if (added.length > 0) this.#subscribe(added)
  }

  /** Leaves, without a word and for good unless `connect` is called. */
  close(): void {
    clearTimeout(this.#retryTimer)
    clearInterval(this.#pingTimer)
    const socket = this.#socket
    this.#socket = undefined
    this.#asked.clear()
    this.#topics = new Set()
    socket?.close()
  }

  #subscribe(roundIds: readonly string[]): void {
    const id = this.#send('subscribe', roundIds)
    if (id !== undefined) this.#asked.set(id, roundIds)
  }

  #send(op: string, roundIds?: readonly string[]): number | undefined {
    if (this.#socket?.readyState !== OPEN) return undefined
    this.#frames += 1
    const topics = roundIds?.map(id => `stock:${id}`)
    this.#socket.send(JSON.stringify({ op, id: this.#frames, topics }))
    return this.#frames
  }

  #take(frame: Frame): void {
    this.#receivedAt = performance.now()
    const { op, id = 0, server_time: time } = frame
    if (time) this.clock.take(time, op === 'pong' ? this.#pingedAt : undefined)
    if (op === 'stock') this.#options.received(frame as unknown as StockFrame)
    if (op === 'drawn') this.#options.drawn?.(frame as unknown as DrawnFrame)
    if (op === 'pong') this.#attempt = 0
    if (op === 'error') this.#refused(frame)
    this.#asked.delete(id)
    if (op !== 'welcome') return
    this.#options.changed({ state: 'live' })
    this.#ping()
  }

  /** A subscription was refused as a whole: each of its rounds is asked for alone, and what passes again a while later. */
  #refused({ id = 0, code = '', detail = code }: Frame): void {
    const roundIds = this.#asked.get(id)?.filter(roundId => this.#topics.has(roundId)) ?? []
    if (roundIds.length > 1) for (const roundId of roundIds) this.#subscribe([roundId])
    const [roundId] = roundIds
    if (roundId === undefined || roundIds.length > 1) return
    const isFinal = FINAL.includes(code)
    const socket = this.#socket
    const again = () => this.#socket === socket && this.#topics.has(roundId) && this.#subscribe([roundId])
    if (!isFinal) setTimeout(again, waitBefore(3, undefined))
    this.#options.failed?.(roundId, detail, isFinal)
  }

  /** A ping is unanswered while nothing at all came since. Timers of a hidden page are late; its answers are not. */
  #ping(): void {
    const now = performance.now()
    if (this.#pingedAt > this.#receivedAt) {
      if (now - this.#pingedAt > SILENCE_MS) this.#lost(1006, 'nothing came for six seconds')
      return
    }
    this.#pingedAt = now
    this.#send('ping')
  }

  #lost(code: number, reason: string): void {
    this.close()
    const wait = reconnectAfter(code, this.#attempt)
    this.#attempt += 1
    if (wait === undefined) return this.#options.changed({ state: 'refused', reason: reason || `close code ${code}` })
    this.#retryTimer = setTimeout(() => this.connect(), wait)
    this.#options.changed({ state: 'lost', reason, retryAt: performance.now() + wait })
  }
}
