/**
 * A clock that a test moves by hand, so that no test sleeps.
 *
 * `advance` moves both times and runs what is due in the order of its times; what a run schedules within the moved
 * span runs too. The wall and the monotonic time start apart on purpose: a program that mixes them up fails.
 */
import type { Clock } from '../../engine/base/clock.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

export class HandClock implements Clock {
  #now: number
  readonly #wallAhead: number
  readonly #timers = new Set<Timer>()

  constructor(wallMs = Date.UTC(2026, 10, 1), monotonicMs = 5000) {
    this.#now = monotonicMs
    this.#wallAhead = wallMs - monotonicMs
  }

  wallMs(): number {
    return this.#now + this.#wallAhead
  }

  monotonicMs(): number {
    return this.#now
  }

  get originMs(): number {
    return this.#wallAhead
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  get waiting(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(timer => timer.at <= until).sort((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.run()
    }
    this.#now = until
  }
}
