/**
 * The stock of rounds as it moves: one socket for all who watch, open while somebody does, and for each of them an iterator.
 *
 * Frames are absolute, so only the newest is kept for a reader who is slow: nothing that matters is lost. A lower version of
 * an epoch than one that came is old and dropped; another epoch replaces everything. A lost connection is news of its own, `gap`: what is
 * shown may be old from here on, and the next stock says that it came behind one. Rejected: ending the iterator at a lost
 * connection. Everybody would write the same loop around it.
 */
import { type Connection, type SocketClass, type StockFrame, Stream } from './stream.ts'

export type StockNews =
  | {
      readonly kind: 'stock'
      readonly stock: StockFrame
      /** Behind a gap: what was between is not known. */
      readonly afterGap: boolean
      /** Of another history of the round: what was shown before may be undone. */
      readonly newEpoch: boolean
    }
  | {
      readonly kind: 'gap'
      /** Why what is shown may be old from here on. */
      readonly reason: string
    }

/** Somebody who watches a round. */
export interface Viewer {
  readonly received: (frame: StockFrame) => void
  readonly missed: (reason: string) => void
  /** It can never be watched. */
  readonly failed: (error: Error) => void
}

export class RoundWatch {
  readonly #viewers = new Map<string, Set<Viewer>>()
  /** What came last on this connection, for who comes later. */
  readonly #newest = new Map<string, StockFrame>()
  readonly #stream: Stream
  #state: Connection['state'] | undefined

  constructor(url: string, WebSocket: SocketClass | undefined) {
    this.#stream = new Stream({
      address: `${url.replace(/^http/, 'ws')}/v1/stream`,
      WebSocket,
      received: frame => {
        this.#newest.set(frame.round_id, frame)
        this.#tell(frame.round_id, viewer => viewer.received(frame))
      },
      changed: connection => this.#changed(connection),
      failed: (id, why, isFinal) =>
        this.#tell(id, ({ missed, failed }) => (isFinal ? failed(new Error(`${id}: ${why}`)) : missed(why))),
    })
  }

  /** The engine's clock, right from the first stock on. */
  now(): number {
    return this.#stream.clock.now()
  }

  /** Watches a round; what is returned ends it. */
  add(roundId: string, viewer: Viewer): () => void {
    if (this.#state === undefined || this.#state === 'refused') this.#stream.connect()
    const viewers = this.#viewers.get(roundId) ?? new Set()
    this.#viewers.set(roundId, viewers.add(viewer))
    const known = this.#newest.get(roundId)
    if (known) viewer.received(known)
    this.#watch()
    return () => {
      viewers.delete(viewer)
      if (viewers.size > 0) return
      this.#viewers.delete(roundId)
      this.#newest.delete(roundId)
      if (this.#viewers.size > 0) return this.#watch()
      this.#state = undefined
      this.#stream.close()
    }
  }

  #watch(): void {
    if (this.#state === 'live') this.#stream.watch(this.#viewers.keys())
  }

  #tell(roundId: string, news: (viewer: Viewer) => void): void {
    for (const viewer of this.#viewers.get(roundId) ?? []) news(viewer)
  }

  #changed(connection: Connection): void {
    this.#state = connection.state
    this.#watch()
    if (!('reason' in connection)) return
    this.#newest.clear()
    const reason = connection.reason || 'the connection is lost'
    for (const roundId of this.#viewers.keys())
      this.#tell(roundId, ({ missed, failed }) =>
        connection.state === 'refused' ? failed(new Error(`the stream is refused: ${reason}`)) : missed(reason),
      )
  }
}

/** What a reader has not taken yet: the newest of each kind. */
class Unread implements Viewer {
  #frame: StockFrame | undefined
  #gap: string | undefined
  #error: unknown
  #last: StockFrame | undefined
  /** The highest version of each epoch that came. */
  readonly #versions = new Map<string, number>()
  #afterGap = false
  #wake = () => {}

  readonly received = (frame: StockFrame): void => {
    if (frame.version < (this.#versions.get(frame.epoch) ?? 0)) return
    this.#versions.set(frame.epoch, frame.version)
    this.#frame = frame
    this.#wake()
  }

  readonly missed = (reason: string): void => {
    this.#gap = reason
    this.#frame = undefined
    this.#wake()
  }

  readonly failed = (error: unknown): void => {
    this.#error ??= error ?? new Error('ended')
    this.#wake()
  }

  async next(): Promise<StockNews> {
    while (this.#error === undefined && this.#gap === undefined && this.#frame === undefined)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    if (this.#error !== undefined) throw this.#error
    if (this.#gap !== undefined) return this.#takeGap(this.#gap)
    return this.#takeFrame(this.#frame as StockFrame)
  }

  #takeGap(reason: string): StockNews {
    this.#gap = undefined
    this.#afterGap = true
    return { kind: 'gap', reason }
  }

  #takeFrame(stock: StockFrame): StockNews {
    const newEpoch = this.#last !== undefined && this.#last.epoch !== stock.epoch
    const afterGap = this.#afterGap
    this.#last = stock
    this.#frame = undefined
    this.#afterGap = false
    return { kind: 'stock', stock, afterGap, newEpoch }
  }
}

export interface WatchOptions {
  /** Ends the iterator with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** The stock of a round from now on, until the reader leaves. */
export async function* stock(
  watch: RoundWatch,
  roundId: string,
  { signal }: WatchOptions = {},
): AsyncGenerator<StockNews> {
  signal?.throwIfAborted()
  const unread = new Unread()
  const end = () => unread.failed(signal?.reason)
  const leave = watch.add(roundId, unread)
  signal?.addEventListener('abort', end)
  try {
    for (;;) yield await unread.next()
  } finally {
    signal?.removeEventListener('abort', end)
    leave()
  }
}
