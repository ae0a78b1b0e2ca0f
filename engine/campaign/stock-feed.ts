/**
 * Stock as viewers see it: each change makes a round dirty, and at most STOCK_FRAMES_PER_S_MAX times a second a dirty
 * round is told, with absolute values. The first change after a quiet time goes out at once, the last one always
 * does. While there are many viewers the feed slows down by itself: a frame costs about 3 µs a viewer, and showing the
 * stock must not take more than a quarter of the worker's time from the claims.
 */
import type { Clock } from '../base/clock.ts'
import { STOCK_FRAMES_PER_S_MAX } from '../base/limits.ts'

const PERIOD_MS = 1000 / STOCK_FRAMES_PER_S_MAX
const VIEWER_COST_MS = 0.003
const SHARE = 0.25

export interface FeedOptions {
  readonly clock: Clock
  readonly viewers: (roundId: string) => number
  readonly tell: (roundId: string) => void
}

export class StockFeed {
  readonly #options: FeedOptions
  readonly #lastTold = new Map<string, number>()
  readonly #pending = new Map<string, () => void>()

  constructor(options: FeedOptions) {
    this.#options = options
  }

  /** Something of the round's stock or state moved. */
  changed(roundId: string): void {
    const { clock, viewers } = this.#options
    if (this.#pending.has(roundId)) return
    const watching = viewers(roundId)
    if (watching === 0) return
    const period = Math.max(PERIOD_MS, (watching * VIEWER_COST_MS) / SHARE)
    const wait = (this.#lastTold.get(roundId) ?? -Infinity) + period - clock.monotonicMs()
    if (wait <= 0) this.#tell(roundId)
    else
      this.#pending.set(
        roundId,
        clock.after(wait, () => this.#tell(roundId)),
      )
  }

  close(): void {
    for (const cancel of this.#pending.values()) cancel()
    this.#pending.clear()
  }

  #tell(roundId: string): void {
    this.#pending.delete(roundId)
    this.#lastTold.set(roundId, this.#options.clock.monotonicMs())
    this.#options.tell(roundId)
  }
}
