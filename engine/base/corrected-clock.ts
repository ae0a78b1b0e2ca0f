/**
 * This machine's clock, and another's where the two are too far apart: a worker judges tokens, business days and the times of
 * changes by one calendar, and a machine whose clock stands hours behind would let expired tokens in. The server whose
 * clock decides is asked with each check of its health; beyond CLOCK_APART_MS the calendar here is its own, corrected.
 *
 * Within that span nothing is corrected, since what was measured is known no better than the way of an answer, and
 * tokens have a leeway of as much. A clock that is set while the engine runs is noticed at the next check. Deadlines and
 * leases are monotonic and never corrected. Rejected: the other clock at each use, which is a round trip a token.
 */
import type { Clock } from './clock.ts'
import { CLOCK_APART_MS } from './limits.ts'

export class CorrectedClock implements Clock {
  readonly monotonicMs: () => number
  readonly after: Clock['after']
  readonly soon: Clock['soon']
  /** When the monotonic clock began, by the calendar that holds. */
  originMs: number
  readonly #own: Clock
  #correctionMs = 0

  constructor(own: Clock) {
    this.#own = own
    this.originMs = own.originMs
    this.monotonicMs = () => own.monotonicMs()
    this.after = (ms, run) => own.after(ms, run)
    this.soon = run => own.soon(run)
  }

  wallMs(): number {
    return this.#own.wallMs() + this.#correctionMs
  }

  /** The clock that decides was found so much ahead of this machine's. */
  learn(aheadMs: number): void {
    this.#correctionMs = Math.abs(aheadMs) > CLOCK_APART_MS ? aheadMs : 0
    // The machine's clock may have been set since this process began, and its origin is of the clock of then.
    const originMs = this.#own.wallMs() + aheadMs - this.#own.monotonicMs()
    this.originMs = Math.abs(originMs - this.#own.originMs) > CLOCK_APART_MS ? originMs : this.#own.originMs
  }
}
