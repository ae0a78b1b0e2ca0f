/**
 * Group commit. The claims of one round that arrive while a batch is under way wait here and leave together as the
 * next script call: no timer, alone it is one round trip, under load batches grow to a cap. One parse, one script,
 * one write and one fsync serve hundreds of claims, each with its own answer.
 *
 * What waits is an Ask: one claim of HTTP or the hundreds of a stream frame, with the power to write its holder keys
 * and to take its answers. A claim is queued (certainly not executed), then dispatched; a dispatched batch is
 * never taken back: the link asks again with the same bytes until Redis answers or the deadline makes it `unknown`.
 *
 * A batch that Redis refuses for its epoch was asked of another history than this worker knew: where the round's epoch is
 * another one by then, the same batch is asked once more. What was decided in an epoch that was left is not answered.
 *
 * A second batch leaves before the first is answered only when it is worth it (half the cap): small batches in
 * parallel would cost Redis more calls and win nothing.
 */
import { assert, Fault, type FaultCode } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES } from '../../base/codes.ts'
import { HOLDER_BYTES_MAX, writeArrayHead } from '../../base/holder.ts'
import { ANSWER_DEADLINE_MS } from '../../base/limits.ts'
import { type Decision, packVias } from '../../store/data/claim-store.ts'
import type { Ask } from '../round/asks.ts'
import type { DeciderParts } from '../round/round.ts'
import type { Queue } from './ordered.ts'

/** The stamp of a monotonic time, microseconds since 1970. */
export const stampOf = (clock: Clock, monotonicMs: number): number => Math.round((clock.originMs + monotonicMs) * 1000)

/** What one script call decides, from leaving the queue until it is answered. */
interface Batch {
  /** Holder keys as a MessagePack array. */
  readonly holders: Buffer
  /** A byte of pool each, or one for all. */
  readonly pools: Buffer
  /** The scopes of the keys that asked, where one has a scope. */
  readonly vias: Buffer | undefined
  /** Whose claims it has, oldest first: the first one's from its claim `from` on, the last one's as many as went in. */
  readonly asks: readonly Ask[]
  readonly from: number
  readonly claims: number
  /** Monotonic ms. */
  readonly sentAt: number
  /** So many of `asks` were answered `unknown` because the answer took too long; it may still come, for the stock only. */
  givenUp: number
}

/** Visits the asks of a batch that have no answer yet: which of their claims it has, and the place of the first one in the batch. */
function visit(
  { asks, from, claims, givenUp }: Batch,
  each: (ask: Ask, span: readonly [from: number, to: number], place: number) => void,
): void {
  let [first, place] = [from, 0]
  for (let number = 0; number < asks.length; number++) {
    const ask = asks[number] as Ask
    const end = Math.min(ask.count, first + claims - place)
    if (number >= givenUp) each(ask, [first, end], place)
    place += end - first
    first = 0
  }
}

/** What a claim that left the queue late is given beyond the deadline before it is answered `unknown`. */
export const GRACE_MS = 300

/** Turns of the event loop that a batch may go on growing; a turn without news ends it at once. */
const TURNS_MAX = 4

export interface QueueOptions extends Pick<DeciderParts, 'store' | 'round' | 'events' | 'renew'> {
  readonly clock: Clock
  readonly batchClaims: number
  readonly batchesInFlight: number
}

/** Of so long a time the pace of a queue is taken. */
const PACE_MS = 1000

/**
 * How long a claim that comes now would wait in a queue, by the pace of the last second in which the queue never ran
 * empty. Until there was such a second it is 0: a burst is queued and served, however large (limits bound it); only a
 * queue that goes on growing is kept apart from a burst, and then what could not be answered in time is refused at once.
 *
 * Two numbers a batch, nothing a claim. Rejected: the age of the oldest claim, which is small while a queue grows and
 * large when it is too late; a limit of the length, which is right for one speed of Redis only.
 */
export class Backlog {
  #from: number | undefined
  #taken = 0
  /** Claims a millisecond. */
  #pace: number | undefined

  /** A batch left the queue, and so many claims stayed; `now` in monotonic milliseconds. */
  took(claims: number, left: number, now: number): void {
    if (left === 0) {
      this.#from = undefined
      this.#pace = undefined
      return
    }
    if (this.#from === undefined) {
      this.#from = now
      this.#taken = 0
      return
    }
    this.#taken += claims
    const ms = now - this.#from
    if (ms < PACE_MS) return
    this.#pace = this.#taken / ms
    this.#from = now
    this.#taken = 0
  }

  /** Milliseconds that a claim behind `waiting` others would wait; 0 while that is not known. */
  waitMs(waiting: number): number {
    return this.#pace === undefined ? 0 : waiting / this.#pace
  }
}

export class ClaimQueue implements Queue {
  readonly #options: QueueOptions
  readonly #asks: Ask[] = []
  readonly #backlog = new Backlog()
  readonly #dispatched = new Set<Batch>()
  #head = 0
  #taken = 0
  #waiting = 0
  #inFlight = 0
  #scheduled = false
  /** A key with a scope asked here: from then on each batch is looked through for scopes. */
  #scoped = false
  #buffer: Buffer

  constructor(options: QueueOptions) {
    this.#options = options
    this.#buffer = Buffer.allocUnsafeSlow(3 + options.batchClaims * HOLDER_BYTES_MAX)
  }

  /** Claims that are queued. */
  get waiting(): number {
    return this.#waiting
  }

  /** Alone or not, nobody waits for this worker. */
  async join(): Promise<void> {}

  awaited(): void {}

  /** Milliseconds that a claim which comes now would wait, as far as it is known. */
  get waitMs(): number {
    return this.#backlog.waitMs(this.#waiting)
  }

  push(ask: Ask): void {
    this.#asks.push(ask)
    if (ask.via !== undefined) this.#scoped = true
    this.#waiting += ask.count
    this.#schedule()
  }

  /** Answers what has waited for too long: dispatched claims with `unknown`, queued ones were certainly not executed. */
  sweep(now: number): void {
    const isOver = ({ askedAt }: Ask) => now - askedAt >= ANSWER_DEADLINE_MS + GRACE_MS
    for (const batch of this.#dispatched) {
      visit(batch, (ask, span) => isOver(ask) && this.#refuse(ask, span, 'unknown'))
      batch.givenUp = batch.asks.filter(isOver).length
    }
    while (this.#head < this.#asks.length) {
      const ask = this.#asks[this.#head] as Ask
      if (now - ask.askedAt < ANSWER_DEADLINE_MS) return
      const from = this.#taken
      this.#drop(ask.count - from)
      this.#refuse(ask, [from, ask.count], 'overloaded')
    }
  }

  /**
   * Sends at the end of this turn of the event loop, or of a later one while each turn still brings claims: those who
   * were just answered ask again at once, and one full batch is cheaper for everybody than two half ones.
   */
  #schedule(): void {
    if (this.#scheduled || !this.#worthSending()) return
    this.#scheduled = true
    let seen = 0
    let turns = 0
    const turn = () => {
      if (this.#waiting > seen && this.#waiting < this.#options.batchClaims && ++turns < TURNS_MAX) {
        seen = this.#waiting
        this.#options.clock.soon(turn)
        return
      }
      this.#scheduled = false
      while (this.#worthSending()) this.#send()
    }
    this.#options.clock.soon(turn)
  }

  #worthSending(): boolean {
    if (this.#waiting === 0 || this.#inFlight >= this.#options.batchesInFlight) return false
    return this.#inFlight === 0 || this.#waiting >= this.#options.batchClaims / 2
  }

  #send(): void {
    const { batchClaims, clock } = this.#options
    const asks: Ask[] = []
    const from = this.#taken
    let [at, claims] = [3, 0]
    while (claims < batchClaims && this.#head < this.#asks.length) {
      const ask = this.#asks[this.#head] as Ask
      const count = Math.min(ask.count - this.#taken, batchClaims - claims)
      asks.push(ask)
      at = ask.write(this.#buffer, at, count)
      claims += count
      this.#drop(count)
    }
    writeArrayHead(this.#buffer, 0, claims)
    const holders = Buffer.from(this.#buffer.subarray(0, at))
    const sentAt = clock.monotonicMs()
    this.#backlog.took(claims, this.#waiting, sentAt)
    const pools = poolBytes(asks, from, claims)
    const vias = this.#scoped ? viasOf(asks, from, claims) : undefined
    const batch = { holders, pools, vias, asks, from, claims, sentAt, givenUp: 0 }
    this.#inFlight++
    this.#dispatched.add(batch)
    this.#ask(batch, this.#options.renew)
  }

  #ask(batch: Batch, renew: QueueOptions['renew']): void {
    const { store, round } = this.#options
    const { view } = round
    const { epoch } = view.notice
    store.claim(view.id, epoch, batch.holders, batch.pools, batch.vias).then(
      decision => this.#settle(batch, decision),
      fault => {
        if (!renew || !(fault instanceof Fault) || fault.code !== 'fenced') return this.#fail(batch, fault)
        const settle = () => (view.notice.epoch === epoch ? this.#fail(batch, fault) : this.#ask(batch, undefined))
        renew().then(settle, settle)
      },
    )
  }

  /** Takes `count` claims off the head. */
  #drop(count: number): void {
    const ask = this.#asks[this.#head] as Ask
    this.#waiting -= count
    this.#taken += count
    if (this.#taken < ask.count) return
    this.#taken = 0
    this.#head++
    if (this.#head === this.#asks.length || this.#head >= 4096) {
      this.#asks.splice(0, this.#head)
      this.#head = 0
    }
  }

  #settle(batch: Batch, decision: Decision): void {
    const { round, renew, events, clock } = this.#options
    const { notice, outcomes } = decision
    if (renew && notice.epoch !== round.view.notice.epoch) return this.#fail(batch, ofAnother(notice))
    assert(outcomes.length === batch.claims, 'a decision is of as many claims as were asked')
    this.#inFlight--
    this.#dispatched.delete(batch)
    round.learn(decision, batch.sentAt)
    events.decided(round.view, notice, outcomes, (clock.monotonicMs() - batch.sentAt) / 1000)
    this.#answer(batch, decision)
    round.finish()
    this.#schedule()
  }

  /** Gives each claim its answer, and whoever measures arrivals. */
  #answer(batch: Batch, { outcomes, sequences, pools, notice }: Decision): void {
    const { round, clock, events } = this.#options
    visit(batch, (ask, [from, to], place) => {
      for (let i = from, p = place; i < to; i++, p++) {
        const [outcome, sequence, pool] = [outcomes[p] as number, sequences[p] as number, pools[p] as number]
        events.arrived?.(round.view.id, stampOf(clock, ask.askedAt), outcome, sequence, pool)
        ask.settle(i, outcome, sequence, pool, notice.at)
      }
    })
  }

  /** Answers the claims [from, to) of an ask without a decision. */
  #refuse(ask: Ask, [from, to]: readonly [number, number], code: FaultCode): void {
    const outcome = CODES[code].number
    this.#options.events.answered(outcome, to - from)
    for (let i = from; i < to; i++) ask.settle(i, outcome, 0, ask.pool, 0)
  }

  #fail(batch: Batch, fault: unknown): void {
    const { round, events } = this.#options
    this.#inFlight--
    this.#dispatched.delete(batch)
    events.failed(fault, round.view)
    const code = fault instanceof Fault ? fault.code : 'unknown'
    visit(batch, (ask, span) => this.#refuse(ask, span, code))
    round.finish()
    this.#schedule()
  }
}

/** A byte a claim, or one byte when all ask for the same pool. */
function poolBytes(asks: readonly Ask[], from: number, claims: number): Buffer {
  const first = (asks[0] as Ask).pool
  if (asks.every(({ pool }) => pool === first)) return Buffer.from([first])
  const pools = Buffer.allocUnsafe(claims)
  let at = 0
  for (const [i, { pool, count }] of asks.entries()) {
    const end = Math.min(claims, at + count - (i === 0 ? from : 0))
    pools.fill(pool, at, end)
    at = end
  }
  return pools
}

/** The scope a claim, in the order of the batch. */
function viasOf(asks: readonly Ask[], from: number, claims: number): Buffer | undefined {
  let left = claims
  return packVias(
    asks.map(({ via, count }, i) => {
      const taken = Math.min(left, count - (i === 0 ? from : 0))
      left -= taken
      return [via, taken]
    }),
  )
}

const ofAnother = ({ epoch }: Decision['notice']): Fault =>
  new Fault('unknown', `it was decided in epoch ${epoch}, which a fail-over ended; ask again`)
