/**
 * Group commit. The claims of one round that arrive while a batch is under way wait here and leave together as the
 * next script call: no timer, alone it is one round trip, under load batches grow to a cap. One parse, one script,
 * one write and one fsync serve hundreds of claims, each with its own answer.
 *
 * What waits is an Ask: one claim of HTTP or the hundreds of a stream frame, with the power to write its holder keys
 * and to take its answers in runs. A claim is queued (certainly not executed), then dispatched; a dispatched batch is
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
import { certain } from '../../store/connection/doubt.ts'
import { type Batch, type ClaimStore, type Decision, EXCEPTION_BYTES } from '../../store/data/claim-store.ts'
import type { Ask, Run } from '../round/asks.ts'
import type { Queue, QueueEvents } from './ordered.ts'

/** The stamp of a monotonic time, microseconds since 1970. */
export const stampOf = (clock: Clock, monotonicMs: number): number => Math.round((clock.originMs + monotonicMs) * 1000)

interface Part {
  readonly ask: Ask
  readonly from: number
  readonly count: number
  /** Its claims were answered `unknown` because the answer took too long; it may still come, for the stock only. */
  givenUp: boolean
}

/** What a claim that left the queue late is given beyond the deadline before it is answered `unknown`. */
export const GRACE_MS = 300

/** Turns of the event loop that a batch may go on growing; a turn without news ends it at once. */
const TURNS_MAX = 4

export interface QueueOptions {
  readonly roundId: string
  readonly store: Pick<ClaimStore, 'claim'>
  readonly clock: Clock
  readonly batchClaims: number
  readonly batchesInFlight: number
  /** Resolves when it is known which epoch the round is in now; left out where somebody else sees to that. */
  readonly renew?: (() => Promise<void>) | undefined
  readonly events: QueueEvents
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
  readonly #dispatched = new Set<readonly Part[]>()
  #head = 0
  #taken = 0
  #waiting = 0
  #inFlight = 0
  #scheduled = false
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
    this.#waiting += ask.count
    this.#schedule()
  }

  /** Answers what has waited for too long: dispatched claims with `unknown`, queued ones were certainly not executed. */
  sweep(now: number): void {
    for (const parts of this.#dispatched) {
      for (const part of parts) {
        if (part.givenUp || now - part.ask.askedAt < ANSWER_DEADLINE_MS + GRACE_MS) continue
        part.givenUp = true
        this.#refuse(part.ask, [part.from, part.count], 'unknown')
      }
    }
    while (this.#head < this.#asks.length) {
      const ask = this.#asks[this.#head] as Ask
      if (now - ask.askedAt < ANSWER_DEADLINE_MS) return
      const left = ask.count - this.#taken
      this.#drop(left)
      this.#refuse(ask, [ask.count - left, left], 'overloaded')
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
    const parts: Part[] = []
    let at = 3
    let claims = 0
    while (claims < batchClaims && this.#head < this.#asks.length) {
      const ask = this.#asks[this.#head] as Ask
      const count = Math.min(ask.count - this.#taken, batchClaims - claims)
      parts.push({ ask, from: this.#taken, count, givenUp: false })
      at = ask.write(this.#buffer, at, count)
      claims += count
      this.#drop(count)
    }
    writeArrayHead(this.#buffer, 0, claims)
    const holders = Buffer.from(this.#buffer.subarray(0, at))
    const sentAt = clock.monotonicMs()
    this.#backlog.took(claims, this.#waiting, sentAt)
    this.#inFlight++
    this.#dispatched.add(parts)
    this.#ask(parts, sentAt, { holders, pools: poolBytes(parts, claims) }, this.#options.renew)
  }

  #ask(parts: readonly Part[], sentAt: number, batch: Batch, renew: QueueOptions['renew']): void {
    const { store, roundId, events } = this.#options
    const asked = events.epoch()
    const again = () => this.#ask(parts, sentAt, batch, undefined)
    store.claim(roundId, asked, batch.holders, batch.pools).then(
      decision => this.#settle(parts, decision, sentAt, batch),
      fault => {
        if (!renew || !(fault instanceof Fault) || fault.code !== 'fenced') return this.#fail(parts, fault)
        const settle = () => (events.epoch() === asked ? this.#fail(parts, fault) : again())
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

  #settle(parts: readonly Part[], decision: Decision, sentAt: number, batch: Batch): void {
    const { renew, events } = this.#options
    if (renew && decision.notice.epoch !== events.epoch()) return this.#fail(parts, ofAnother(decision.notice))
    this.#inFlight--
    this.#dispatched.delete(parts)
    events.decided(decision, sentAt, batch)
    this.#answer(parts, decision)
    events.finished()
    this.#schedule()
  }

  /** Hands each part its answers, as runs between the exceptions. */
  #answer(parts: readonly Part[], decision: Decision): void {
    const { first, exceptions, notice } = decision
    const { at } = notice
    const rest = certain(decision, decision.rest)
    const granted = rest === CODES.granted.number
    let sequence = first
    let place = 0
    let exception = 0
    for (const part of parts) {
      const end = place + part.count
      let from = part.from
      while (place < end) {
        const more = exception < exceptions.length
        const stop = more ? Math.min(end, exceptions.readUInt16BE(exception)) : end
        if (stop > place) {
          const count = stop - place
          this.#give(part, { from, count, outcome: rest, sequence: granted ? sequence : 0, pool: undefined, at })
          if (granted) sequence += count
          from += count
          place = stop
          continue
        }
        const outcome = certain(decision, exceptions[exception + 2] as number)
        const own = exceptions.readUInt32BE(exception + 3)
        const pool = exceptions[exception + 7] as number
        this.#give(part, { from, count: 1, outcome, sequence: own, pool, at })
        from++
        exception += EXCEPTION_BYTES
        place++
      }
    }
    assert(exception === exceptions.length, 'a decision had exceptions for claims that were not asked')
  }

  /** Gives an ask a run of its answers, and whoever measures arrivals. */
  #give({ ask, givenUp }: Part, run: Run): void {
    if (givenUp) return
    const { events, clock } = this.#options
    events.arrived?.(stampOf(clock, ask.askedAt), run, run.pool ?? ask.pool)
    ask.settle(run)
  }

  #refuse(ask: Ask, [from, count]: readonly [number, number], code: FaultCode): void {
    this.#options.events.refused(CODES[code].number, count)
    ask.fail(from, count, code)
  }

  #fail(parts: readonly Part[], fault: unknown): void {
    this.#inFlight--
    this.#dispatched.delete(parts)
    this.#options.events.failed(fault)
    const code = fault instanceof Fault ? fault.code : 'unknown'
    for (const { ask, from, count, givenUp } of parts) if (!givenUp) this.#refuse(ask, [from, count], code)
    this.#options.events.finished()
    this.#schedule()
  }
}

/** A byte a claim, or one byte when all ask for the same pool. */
function poolBytes(parts: readonly Part[], claims: number): Buffer {
  const first = (parts[0] as Part).ask.pool
  if (parts.every(part => part.ask.pool === first)) return Buffer.from([first])
  const pools = Buffer.allocUnsafe(claims)
  let at = 0
  for (const { ask, count } of parts) {
    pools.fill(ask.pool, at, at + count)
    at += count
  }
  return pools
}

const ofAnother = ({ epoch }: Decision['notice']): Fault =>
  new Fault('unknown', `it was decided in epoch ${epoch}, which a fail-over ended; ask again`)
