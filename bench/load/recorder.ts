/**
 * What a generator remembers: every answer as a row of the audit's history, histograms, the timeline of sending.
 *
 * The rows are what the audit checks after the run, so none is dropped or sampled. Times are microseconds of the
 * machine's monotonic clock, which all processes share, so "answered before the other was asked" can be decided across
 * generators. What was granted when is not counted here: people ask twice, and only the merged history knows which of
 * two answers came first.
 *
 * Two latencies are recorded side by side: from the planned instant (what a person felt, whatever the generator did)
 * and from the actual send. A log file of answers was rejected: formatting costs more than the whole claim.
 */

import { History, NO_ANSWER } from '../audit/history.ts'
import { Latency } from '../measure/latency.ts'
import { Timeline, type TimelineColumns } from '../measure/timeline.ts'
import type { Flights } from './flights.ts'

/** Microseconds of CLOCK_MONOTONIC; performance.now() is the same clock from another origin, and allocates nothing. */
const originUs = Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000

export function monotonicUs(): number {
  return performance.now() * 1000 + originUs
}

export interface Recording {
  readonly corrected: string
  readonly raw: string
  readonly slip: string
  readonly timeline: TimelineColumns
  readonly outcomes: readonly number[]
}

/** An answer on its way into the recorder; one object is reused for all of them. */
export interface Reply {
  outcome: number
  sequence: number
  vouchers: number
  connection: number
  atUs: number
}

export class Recorder {
  readonly history = new History(1 << 16)
  readonly #corrected = new Latency()
  readonly #raw = new Latency()
  readonly #slip = new Latency()
  readonly timeline = new Timeline()
  readonly outcomes: number[] = new Array<number>(256).fill(0)
  /** The instant that the timeline counts from. */
  startUs = 0
  /** The instant that planned times count from; NaN where a plan has an order but no clock. */
  openedUs = Number.NaN
  sent = 0

  countSent(atUs: number, count: number, inFlight: number): void {
    this.sent += count
    this.timeline.count('sent', atUs - this.startUs, count)
    this.timeline.inFlight(atUs - this.startUs, inFlight)
  }

  slipped(us: number): void {
    this.#slip.record(us)
  }

  answer(flights: Flights, slot: number, reply: Reply): void {
    const { history } = this
    const place = history.next()
    const { at } = history
    const sentUs = flights.sentUs[slot]!
    at.sent[place] = sentUs
    at.answered[place] = reply.atUs
    at.user[place] = flights.user[slot]!
    at.sequence[place] = reply.sequence
    at.vouchers[place] = reply.vouchers
    at.connection[place] = reply.connection
    at.slot[place] = 1
    at.pool[place] = 0
    at.outcome[place] = reply.outcome
    this.outcomes[reply.outcome]!++
    if (reply.outcome === NO_ANSWER) return
    this.#raw.record(reply.atUs - sentUs)
    const plannedUs = this.openedUs + flights.plannedUs[slot]!
    if (!Number.isNaN(plannedUs)) this.#corrected.record(reply.atUs - plannedUs)
  }

  summary(): Recording {
    return {
      corrected: this.#corrected.encode(),
      raw: this.#raw.encode(),
      slip: this.#slip.encode(),
      timeline: this.timeline.columns,
      outcomes: this.outcomes,
    }
  }
}
