/**
 * Stock as viewers see it: each change makes a round dirty, and at most STOCK_FRAMES_PER_S_MAX times a second a viewer
 * gets a frame, with absolute values. The first change after a quiet time goes out at once, the last one always does.
 *
 * Those who claim come before those who watch. A frame costs about 11 µs a viewer, and showing the stock may take a
 * tenth of the worker's time: a thousand viewers of one worker see nine frames a second, eighteen thousand see one in
 * two seconds. Many viewers do not get theirs in one burst, which would stop the claims for a fifth of a second and be old
 * when it reaches the last of them: they are split into cohorts that take turns, each with the stock of its moment.
 * When the stock stands still nobody claims, and the last state goes to those who lack it five times as fast.
 */
import type { Clock } from '../../base/clock.ts'
import { STOCK_FRAMES_PER_S_MAX } from '../../base/limits.ts'

/** A viewer belongs to one of these for as long as it is connected. */
export const COHORTS = 32

const PERIOD_MS = 1000 / STOCK_FRAMES_PER_S_MAX
/** Mostly the system's: `npm run bench -- --scenario viewers` on two cores. */
const VIEWER_COST_MS = 0.011
/** The part of the worker's time that frames may take while the stock moves, and once it stands still. */
const SHARE = { moving: 0.1, still: 0.5 } as const

export interface FeedOptions {
  readonly clock: Clock
  readonly viewers: (roundId: string) => number
  /** Sends these cohorts the stock as it stands now. */
  readonly publish: (roundId: string, cohorts: readonly number[]) => void
}

/** The cohorts from `next` on, `left` of them, have yet to get theirs. */
interface Turn {
  next: number
  left: number
  /** Something changed since the last ones got theirs. */
  moving: boolean
  /** Monotonic milliseconds from which the next ones may get theirs. */
  dueAt: number
  cancel: (() => void) | undefined
}

export class StockFeed {
  readonly #options: FeedOptions
  readonly #turns = new Map<string, Turn>()

  constructor(options: FeedOptions) {
    this.#options = options
  }

  /** Something of the round's stock or state moved. */
  changed(roundId: string): void {
    const { clock, viewers } = this.#options
    const turn = this.#turns.get(roundId) ?? { next: 0, left: 0, moving: true, dueAt: -Infinity, cancel: undefined }
    if (turn.left < COHORTS) {
      if (viewers(roundId) === 0) return
      turn.left = COHORTS
      this.#turns.set(roundId, turn)
    }
    turn.moving = true
    if (turn.cancel) return
    const wait = turn.dueAt - clock.monotonicMs()
    if (wait <= 0) this.#publish(roundId, turn)
    else this.#later(roundId, turn, wait)
  }

  close(): void {
    for (const { cancel } of this.#turns.values()) cancel?.()
    this.#turns.clear()
  }

  #later(roundId: string, turn: Turn, wait: number): void {
    turn.cancel = this.#options.clock.after(wait, () => this.#publish(roundId, turn))
  }

  /** Sends to as many cohorts as a frame's time is for, and sees to the others. */
  #publish(roundId: string, turn: Turn): void {
    const { clock, viewers, publish } = this.#options
    turn.cancel = undefined
    const share = turn.moving ? SHARE.moving : SHARE.still
    turn.moving = false
    const period = Math.max(PERIOD_MS, (viewers(roundId) * VIEWER_COST_MS) / share)
    const together = Math.ceil((COHORTS * PERIOD_MS) / period)
    const cohorts = Array.from({ length: Math.min(together, turn.left) }, (_, i) => (turn.next + i) % COHORTS)
    turn.next = (turn.next + cohorts.length) % COHORTS
    turn.left -= cohorts.length
    const wait = (period * together) / COHORTS
    turn.dueAt = clock.monotonicMs() + wait
    publish(roundId, cohorts)
    if (turn.left > 0) this.#later(roundId, turn, wait)
  }
}
