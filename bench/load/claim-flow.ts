/**
 * The flow of claims between a plan and a transport: what to send next, and what an answer leads to.
 *
 * A transport asks `take()` for a claim and tells `answer()` what came back; everything else is decided here, once for
 * HTTP and the stream: the pace, the retries of losers, the histograms and the history. At the pace `real` only claims
 * that are due by the clock are given out (an open loop: slow answers do not slow the sending down); at `max` the next
 * one in the plan's order is, as fast as the transport has room.
 *
 * The gate keeps what is planned before the opening apart: at `max` those claims are sent first, answered, and only
 * then does the round open, so the order of the plan holds without a clock.
 */

import { CODES } from '../../engine/base/codes.ts'
import { NO_ANSWER } from '../audit/history.ts'
import type { Plan } from '../people/arrival.ts'
import { KIND } from '../people/arrival.ts'
import { RETRY } from '../people/profile.ts'
import { Random } from '../people/random.ts'
import { Feed } from './feed.ts'
import { Flights } from './flights.ts'
import { monotonicUs, Recorder, type Reply } from './recorder.ts'

export type Pace = 'real' | 'max'

export interface FlowSettings {
  readonly plan: Plan
  readonly pace: Pace
  readonly seed: number
  /** Losers do not try again in scenarios that count on exactly what was planned. */
  readonly retries: boolean
}

/** The chance of another tap after an answer: a loser may give up, someone who was told to wait does not. */
const TAPS_AGAIN: Readonly<Record<number, number>> = {
  [CODES.sold_out.number]: RETRY.p,
  [CODES.not_open.number]: 1,
  [CODES.paused.number]: 1,
  [CODES.fenced.number]: 1,
  [CODES.overloaded.number]: 1,
  [CODES.unknown.number]: 1,
  [CODES.unavailable.number]: 1,
  [CODES.rate_limited.number]: 1,
  [NO_ANSWER]: 1,
}

/** Attempts are kept in a byte. */
const ATTEMPTS_MAX = 255

export class ClaimFlow {
  readonly flights = new Flights()
  readonly recorder = new Recorder()
  readonly #feed: Feed
  readonly #settings: FlowSettings
  readonly #random: Random
  readonly #reply: Reply = { outcome: 0, sequence: 0, vouchers: 0, connection: 0, atUs: 0 }
  #nowUs = 0
  #gateUs = -1

  constructor(settings: FlowSettings) {
    this.#settings = settings
    this.#feed = new Feed(settings.plan)
    this.#random = new Random(settings.seed, 0xfeed)
  }

  /** Lets claims after the opening out; `openedUs` is when the round opens, by the monotonic clock. */
  openGate(openedUs: number): void {
    this.#gateUs = Number.POSITIVE_INFINITY
    if (this.#settings.pace === 'real') this.recorder.openedUs = openedUs
  }

  /** Claims that are planned and not yet sent. */
  get left(): number {
    return this.#feed.left
  }

  /** Records every claim still in flight as unanswered; the run is over. */
  abandon(outcome: number): void {
    for (const slot of this.flights.taken()) this.answer(slot, outcome, 0)
  }

  /** True when nothing is in flight and nothing more may be sent (the gate counts). */
  get idle(): boolean {
    return this.flights.count === 0 && (this.#feed.exhausted || this.#feed.dueUs > this.#gateUs)
  }

  get finished(): boolean {
    return this.flights.count === 0 && this.#feed.exhausted
  }

  /** Reads the clock once for the claims and answers that follow in this turn of the event loop. */
  tick(): number {
    this.#nowUs = monotonicUs()
    return this.#nowUs
  }

  /** Microseconds until the next claim is due; 0 when one is. */
  waitUs(): number {
    if (this.#settings.pace === 'max') return 0
    return Math.max(0, this.#feed.dueUs + this.recorder.openedUs - this.#nowUs)
  }

  /** The next claim as a slot of `flights`, or -1 when none is due. */
  take(): number {
    const real = this.#settings.pace === 'real'
    const limitUs = real ? this.#nowUs - this.recorder.openedUs : this.#gateUs
    if (!this.#feed.next(limitUs)) return -1
    const slot = this.flights.take()
    this.flights.user[slot] = this.#feed.user
    this.flights.attempt[slot] = this.#feed.attempt
    this.flights.kind[slot] = this.#feed.kind
    this.flights.plannedUs[slot] = this.#feed.plannedUs
    this.flights.sentUs[slot] = this.#nowUs
    if (real) this.recorder.slipped(limitUs - this.#feed.plannedUs)
    return slot
  }

  sent(count: number): void {
    this.recorder.countSent(this.#nowUs, count, this.flights.count)
  }

  /** Says which connection the answers that follow came on, and the hash of their vouchers if it was seen. */
  from(connection: number, vouchers = 0): void {
    this.#reply.connection = connection
    this.#reply.vouchers = vouchers
  }

  answer(slot: number, outcome: number, sequence: number): void {
    this.#reply.outcome = outcome
    this.#reply.sequence = sequence
    this.#reply.atUs = outcome === NO_ANSWER ? Number.POSITIVE_INFINITY : this.#nowUs
    this.recorder.answer(this.flights, slot, this.#reply)
    if (this.#settings.retries) this.#consider(slot, outcome)
    this.flights.release(slot)
  }

  #consider(slot: number, outcome: number): void {
    const kind = this.flights.kind[slot]!
    const attempt = this.flights.attempt[slot]!
    if (kind === KIND.naiveBot || kind === KIND.spreadBot || kind === KIND.double) return
    // Who was told that there are too many is not told no: he does not lose patience by it.
    if (attempt >= RETRY.max && outcome !== CODES.overloaded.number) return
    const p = TAPS_AGAIN[outcome]
    if (p === undefined || (p < 1 && this.#random.uniform() >= p)) return
    const gapUs = RETRY.gapS * 1e6 * this.#random.between(1 - RETRY.spread, 1 + RETRY.spread)
    const feltUs = this.#settings.pace === 'real' ? this.#nowUs - this.recorder.openedUs : this.#feed.plannedUs
    this.#feed.again(this.flights.user[slot]!, Math.min(attempt + 1, ATTEMPTS_MAX), feltUs + gapUs)
  }
}
