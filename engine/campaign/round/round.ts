/**
 * One round in one worker: what is known of it, who decides its claims, and the vouchers of those who hold something.
 * Steps 4 and 7 of "how one claim runs" (docs/ARCHITECTURE.md).
 */
import { CODE_CHARS } from '../../auth/voucher-codes.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES } from '../../base/codes.ts'
import { HOLDERS_IDLE_MS } from '../../base/limits.ts'
import type { LogBatch } from '../../store/data/claim-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import { type Answerer, Answers, type ClaimRequest, SingleAsk } from './asks.ts'
import type { Decider } from './decider.ts'
import type { ClaimAccess } from './fence.ts'
import { GrantTimes } from './grant-times.ts'
import type { RoundView } from './round-view.ts'

export interface RoundOptions {
  readonly view: RoundView
  readonly store: Pick<ClaimAccess, 'batchOf' | 'batches'>
  readonly clock: Clock
  /** Claims without an answer, over all rounds of this worker. */
  readonly load: { unanswered: number }
  readonly decider: (answerer: Answerer) => Decider
  /** Whether who holds what may be let go of and read again later; always where it is left out. */
  readonly mayRest?: (() => boolean) | undefined
}

export class Round implements Answerer {
  readonly view: RoundView
  readonly times: GrantTimes
  readonly decider: Decider
  readonly #store: RoundOptions['store']
  readonly #clock: Clock
  readonly #load: { unanswered: number }
  readonly #mayRest: () => boolean
  #singles: SingleAsk[] = []
  #usedAt: number
  #resting = false

  constructor({ view, store, clock, load, decider, mayRest = () => true }: RoundOptions) {
    this.view = view
    this.#store = store
    this.#clock = clock
    this.#load = load
    this.#mayRest = mayRest
    this.#usedAt = clock.monotonicMs()
    this.times = new GrantTimes(view.id, store)
    this.decider = decider(this)
  }

  /** Asks for one claim; `done` gets the ask with its outcome and, for a holder, the vouchers. */
  ask(request: ClaimRequest, done: (ask: SingleAsk) => void): void {
    const ask = new SingleAsk(request, this.#use(), done, this)
    this.#load.unanswered++
    this.decider.ask(request, ask)
  }

  /** Asks for `count` claims of slot 1 in one pool, their user ids packed as MessagePack strings in `users`. */
  askPacked(users: Uint8Array, count: number, pool: number, done: (answers: Answers) => void): void {
    const now = this.#use()
    this.decider.askPacked(users, pool, this.#answers(count, done, false), now)
  }

  /** Asks for claims that may differ in slot and pool. A place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], done: (answers: Answers) => void): void {
    const now = this.#use()
    this.decider.askMany(requests, this.#answers(requests.length, done, true), now)
  }

  sweep(now: number): void {
    this.decider.sweep(now)
    this.finish()
    if (!this.#resting && now - this.#usedAt > HOLDERS_IDLE_MS && this.#mayRest()) this.rest()
  }

  /** Goes over to another history of the round, and lets go of what was known of the one before it. */
  async startAgain(notice: Notice): Promise<void> {
    this.times.forget()
    this.view.adopt(notice)
    await this.decider.startAgain()
  }

  /** Nobody asks any more, or Redis has lost the round: what was kept to answer quickly is let go of. */
  rest(): void {
    this.#resting = true
    this.view.rest()
    this.times.forget()
  }

  /** The grants of the log from a sequence on, batch by batch. */
  grants(fromSequence: number): AsyncGenerator<LogBatch> {
    return this.#store.batches(this.view.id, fromSequence)
  }

  /** The voucher codes of grants, pack by pack. */
  codesOf(sequences: ArrayLike<number>, count: number): string[] {
    return this.view.codes.mint(sequences, count)
  }

  /** One of a batch; `finish` answers them together. */
  settled(ask: SingleAsk): void {
    this.#singles.push(ask)
  }

  /** A holder who is known without a batch: those of one turn of the event loop are finished together. */
  settledAlone(ask: SingleAsk): void {
    if (this.#singles.length === 0) this.#clock.soon(() => this.finish())
    this.#singles.push(ask)
  }

  /** Somebody who holds nothing: no vouchers have to be made. */
  answered(ask: SingleAsk): void {
    this.#load.unanswered--
    ask.done(ask)
  }

  /** Gives the singles of a batch their vouchers, all codes in one cipher call, and answers them. */
  finish(): void {
    if (this.#singles.length === 0) return
    const singles = this.#singles
    this.#singles = []
    const ready: SingleAsk[] = []
    for (const ask of singles) {
      if (ask.holds && ask.at === 0) ask.at = this.times.known(ask.sequence)
      if (ask.holds && ask.at === 0) this.#finishLater(ask)
      else ready.push(ask)
    }
    this.#answer(ready)
  }

  /** The moment, monotonic ms, of a claim that comes now. */
  #use(): number {
    this.#usedAt = this.#clock.monotonicMs()
    if (this.#resting) {
      this.#resting = false
      this.view.wake()
    }
    return this.#usedAt
  }

  #answers(count: number, done: (answers: Answers) => void, timed: boolean): Answers {
    this.#load.unanswered += count
    const answered = (answers: Answers) => {
      this.#load.unanswered -= count
      done(answers)
    }
    return new Answers(count, answered, timed)
  }

  #answer(asks: readonly SingleAsk[]): void {
    const sequences: number[] = []
    for (const ask of asks) if (ask.holds) sequences.push(ask.sequence)
    const codes = this.view.codes.mintBytes(sequences, sequences.length)
    const packBytes = this.view.vouchers.length * CODE_CHARS
    this.#load.unanswered -= asks.length
    let at = 0
    for (const ask of asks) {
      if (ask.holds) {
        ask.codeBytes = codes
        ask.codeAt = at
        at += packBytes
        ask.codeEnd = at
      }
      ask.done(ask)
    }
  }

  /** A grant that another worker made: its time is in the log, unless that is read from a server that fell behind. */
  #finishLater(ask: SingleAsk): void {
    const finish = (at: number) => {
      ask.at = at
      if (at === 0) ask.outcome = CODES.unknown.number
      this.#answer([ask])
    }
    this.times.at(ask.sequence).then(finish, () => finish(0))
  }
}
