/**
 * One round in one worker: what is known of it, who decides its claims, and the vouchers of those who hold something.
 * Steps 4 and 7 of "how one claim runs" (docs/ARCHITECTURE.md).
 *
 *   a claim goes    Round → Decider → its queue → store → script
 *   its answer goes script → queue → Round (learn) → ask → Round (finish: vouchers) → who asked
 *
 * Which Decider a round has is chosen once, where it is loaded (claim/deciders.ts); behind that no claim asks for the mode. What
 * the rest of the worker wants to know of a round goes to one RoundEvents, made in main; Rounds alone adds to it, that what was
 * decided is news. Rejected: callbacks that each layer wraps for the next one; nobody could say where an answer went.
 */
import type { RoundSecrets } from '../../auth/draw-secrets.ts'
import { CODE_CHARS } from '../../auth/voucher-codes.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES, type Code, codeOf } from '../../base/codes.ts'
import { holderOf, writeHolder } from '../../base/holder.ts'
import { HOLDERS_IDLE_MS } from '../../base/limits.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { SigningKey } from '../../draw/signing-key.ts'
import type { ClaimStore, Decision, LogBatch } from '../../store/data/claim-store.ts'
import type { DrawState } from '../../store/data/draw-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import { Answers, type Ask, type ClaimRequest } from './asks.ts'
import type { ClaimAccess } from './fence.ts'
import { GrantTimes } from './grant-times.ts'
import type { RoundView } from './round-view.ts'

const NO_CODES = Buffer.alloc(0)

/** How a person stands in a round: an outcome number, and the sequence and pool of a grant or the receipt of an entry. */
export interface Standing {
  readonly outcome: number
  readonly sequence: number
  readonly pool: number
  /** The receipt, with what binds its tag to its owner where the engine made that. */
  readonly receipt?: () => Receipt | Promise<Receipt>
}

export interface Decider {
  /** Where the draws stand as far as this worker knows; undefined where nothing is drawn. */
  readonly draw: DrawState | undefined
  /** Claims that one person may make. */
  readonly slots: number
  /** Reads what it stands on: once before anything is asked, and when that has changed. */
  load(): Promise<void>
  /** Decides one claim: sooner or later the ask is settled or answered. */
  ask(ask: SingleAsk): void
  /** Decides claims of slot 1 in one pool; their user ids lie as MessagePack strings in `users`. `now` is monotonic ms. */
  askPacked(users: Uint8Array, pool: number, answers: Answers, now: number): void
  /** Decides claims that may differ in slot and pool; a place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], answers: Answers, now: number): void
  /** Answers what has waited for too long. */
  sweep(now: number): void
  /** Another worker's claim with this stamp waits for this worker's mark. */
  awaited(stamp: number): void
  /** Something of the round moved. */
  changed(): void
  /** Another history has the round: what was learnt of the one before is forgotten. */
  startAgain(): Promise<void>
  /** How a person stands by what Redis has; undefined when they hold nothing. */
  standingOf(userId: string, slot: number): Promise<Standing | undefined>
  /** Whether a holder key is the user's. */
  isHolder(userId: string, holder: string): Promise<boolean>
}

/** What a decider is given of its round and its worker. */
export interface DeciderParts {
  readonly view: RoundView
  readonly store: Pick<ClaimStore, 'claim'>
  readonly round: Round
  readonly events: RoundEvents
  /** The code that refuses every claim now (health, overload), or undefined. */
  readonly gate: () => Code | undefined
  /** The share of what may wait in this worker that does wait, 0..1. */
  readonly pressure: () => number
  readonly secrets: RoundSecrets
  readonly signingKey: SigningKey
  /** Sees whether the round is in another epoch by now, below the level fenced. */
  readonly renew: (() => Promise<void>) | undefined
}

export type MakeDecider = (parts: DeciderParts) => Decider

/** What the worker wants to know of its rounds. */
export interface RoundEvents {
  /** Something of a round moved: its stock, its state. */
  changed(view: RoundView): void
  /** A batch was decided, with these outcome numbers; `seconds` since it left. */
  decided(view: RoundView, notice: Notice, outcomes: Uint8Array, seconds: number): void
  /** Claims were answered without asking Redis. */
  answered(outcome: number, count: number): void
  /** Something that should have worked did not, in a round where it is given. */
  failed(fault: unknown, view?: RoundView): void
  /** A window's draw is over: once to each worker that saw it open. */
  drawn(view: RoundView, window: number): void
  /** Below the level fenced: another history has a round, and it goes on under another epoch from this notice on. */
  begun(roundId: string, notice: Notice): void
  /**
   * Redis decided a claim that arrived here at `stamp`, microseconds since 1970; `sequence` and `pool` as an Ask is given them.
   * Absent where nobody measures arrivals.
   */
  readonly arrived?: ArrivalEvent | undefined
}

export type ArrivalEvent = (roundId: string, stamp: number, outcome: number, sequence: number, pool: number) => void

/** One claim that wants its vouchers: of HTTP, or one claim of a stream. */
export class SingleAsk implements Ask, ClaimRequest {
  readonly count = 1
  readonly userId: string
  readonly slot: number
  readonly nonce: string | undefined
  readonly salt: string | undefined
  pool: number
  /** The scope of the key that asks. */
  via: string | undefined
  askedAt = 0
  /** An outcome number of the table; what follows is set where it is granted or replayed. */
  outcome: number = CODES.unknown.number
  sequence = 0
  /** Milliseconds since 1970, Redis's clock; 0 while it is not known. */
  at = 0
  /** Where this grant's codes lie in `codeBytes`, which a batch shares. */
  codeAt = 0
  codeEnd = 0
  codeBytes: Buffer = NO_CODES
  /** Of an entry into a draw. */
  receipt: Receipt | undefined
  /** Gets the answer with its vouchers. */
  readonly done: (ask: SingleAsk) => void
  readonly round: Round

  constructor(
    round: Round,
    userId: string,
    pool: number,
    { slot, nonce, salt }: Omit<ClaimRequest, 'userId' | 'pool'>,
    done: SingleAsk['done'],
  ) {
    this.round = round
    this.userId = userId
    this.slot = slot
    this.nonce = nonce
    this.salt = salt
    this.pool = pool
    this.via = undefined
    this.done = done
  }

  get code(): Code {
    return codeOf(this.outcome) ?? 'internal'
  }

  /** The voucher codes by place; made into strings only where they are asked for. */
  get codes(): readonly string[] {
    const text = this.codeBytes.toString('latin1', this.codeAt, this.codeEnd)
    return Array.from({ length: Math.floor(text.length / CODE_CHARS) }, (_, place) =>
      text.slice(place * CODE_CHARS, (place + 1) * CODE_CHARS),
    )
  }

  get holds(): boolean {
    return this.outcome === CODES.granted.number || this.outcome === CODES.replayed.number
  }

  /** It is known to hold, from before. */
  hold(sequence: number, pool: number): void {
    this.outcome = CODES.replayed.number
    this.sequence = sequence
    this.pool = pool
  }

  /** It is refused without asking. */
  refuse(outcome: number): void {
    this.outcome = outcome
    this.round.answered(this)
  }

  write(into: Buffer, at: number): number {
    return writeHolder(into, at, holderOf(this.userId, this.slot))
  }

  settle(_i: number, outcome: number, sequence: number, pool: number, at: number): void {
    this.outcome = outcome
    this.sequence = sequence
    this.pool = pool
    if (outcome === CODES.granted.number) this.at = at
    this.round.settled(this)
  }
}

export interface RoundOptions {
  readonly view: RoundView
  readonly store: Pick<ClaimAccess, 'batchOf' | 'batches'>
  readonly clock: Clock
  /** Claims without an answer, over all rounds of this worker. */
  readonly load: { unanswered: number }
  readonly decider: (round: Round) => Decider
  /** Whether who holds what may be let go of and read again later; always where it is left out. */
  readonly mayRest?: (() => boolean) | undefined
}

export class Round {
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

  /** Asks for one claim; its `done` gets it with its outcome and, for a holder, the vouchers. */
  ask(ask: SingleAsk): void {
    ask.askedAt = this.#use()
    this.#load.unanswered++
    this.decider.ask(ask)
  }

  /** Asks for `count` claims of slot 1 in one pool, their user ids packed as MessagePack strings in `users`. */
  askPacked(users: Uint8Array, count: number, pool: number, done: (answers: Answers) => void, via?: string): void {
    const now = this.#use()
    this.decider.askPacked(users, pool, this.#answers(count, done, false, via), now)
  }

  /** Asks for claims that may differ in slot and pool. A place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], done: (answers: Answers) => void, via?: string): void {
    const now = this.#use()
    this.decider.askMany(requests, this.#answers(requests.length, done, true, via), now)
  }

  /** Whether nobody has claimed from it for HOLDERS_IDLE_MS. */
  get isResting(): boolean {
    return this.#resting
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

  /** What a batch showed of the round, before its claims are answered; it left at `sentAt`, monotonic ms. */
  learn(decision: Decision, sentAt: number): void {
    const { view, times } = this
    view.holders.addBatch(decision)
    view.take(decision.notice, sentAt)
    times.remember(decision.first, decision.notice.sequence, decision.notice.at)
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

  #answers(count: number, done: (answers: Answers) => void, timed: boolean, via: string | undefined): Answers {
    this.#load.unanswered += count
    const answered = (answers: Answers) => {
      this.#load.unanswered -= count
      done(answers)
    }
    return new Answers(count, answered, timed, via)
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
