/**
 * Claims of one round in one worker: answers at once holders it knows and what is certainly refused, queues the rest,
 * and gives holders their vouchers. Steps 4 and 7 of "how one claim runs" (docs/ARCHITECTURE.md); step 5 is claim-queue.ts, step 6
 * scripts/claim.lua.
 */
import { CODE_CHARS } from '../../auth/voucher-codes.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES, type Code } from '../../base/codes.ts'
import { holderEnd, holderOf, packHolders } from '../../base/holder.ts'
import { HOLDERS_IDLE_MS, SHED_WAIT_MS } from '../../base/limits.ts'
import type { Allotment, Decided } from '../../store/data/allot-store.ts'
import { type ClaimStore, type Decision, EXCEPTION_BYTES } from '../../store/data/claim-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import { ArrivalQueue, type ArrivalQueueOptions } from '../claim/arrival-queue.ts'
import { Answers, type ClaimRequest, ManyAsk, SingleAsk } from '../claim/asks.ts'
import { type Arrived, ClaimQueue } from '../claim/claim-queue.ts'
import { type Entries, enterMany, enterOne } from '../claim/entries.ts'
import { GrantTimes } from './grant-times.ts'
import type { SentBatch } from './known-holders.ts'
import type { RoundView } from './round-view.ts'

export interface RoundOptions {
  readonly view: RoundView
  readonly store: Pick<ClaimStore, 'claim' | 'batchOf'>
  readonly clock: Clock
  readonly batchClaims: number
  readonly batchesInFlight: number
  /** Claims without an answer, over all rounds of this worker. */
  readonly load: { unanswered: number }
  /** The code that refuses every claim now (health, overload), or undefined. */
  readonly gate: (claims: number) => Code | undefined
  /** Told of each decided batch: the worker's stock, counters and limits move. */
  readonly decided: (decision: Decision, claims: number, seconds: number) => void
  /** Told of claims that were answered without asking Redis. */
  readonly refused: (outcome: number, count: number) => void
  readonly failed: (fault: unknown) => void
  /** Who decides claims where the round is drawn. */
  readonly entries: Entries | undefined
  /** What a strict round's order needs; undefined for every other. */
  readonly order: Order | undefined
  /** Whether who holds what may be let go of and read again later; always where it is left out. */
  readonly mayRest?: (() => boolean) | undefined
  /** Sees whether the round is in another epoch by now, below the level fenced; see claim-queue.ts. */
  readonly renew?: (() => Promise<void>) | undefined
  /** Told of each decided run of claims; undefined where nobody measures arrivals. */
  readonly arrived?: ((roundId: string, ...told: Parameters<Arrived>) => void) | undefined
}

/** Of a strict round: where its claims are allotted, this worker's name, and what keys the ties. */
export type Order = Pick<ArrivalQueueOptions, 'store' | 'worker' | 'secret'>

export class Round {
  readonly view: RoundView
  readonly times: GrantTimes
  readonly entries: Entries | undefined
  readonly #options: RoundOptions
  readonly #queue: ClaimQueue | ArrivalQueue
  #singles: SingleAsk[] = []
  #usedAt: number
  #resting = false

  constructor(options: RoundOptions) {
    const { view, store, clock, batchClaims, batchesInFlight } = options
    this.#usedAt = clock.monotonicMs()
    this.view = view
    this.entries = options.entries
    this.#options = options
    this.times = new GrantTimes(view.id, store)
    const common = {
      roundId: view.id,
      clock,
      batchClaims,
      epoch: () => view.notice.epoch,
      answered: () => this.#finishSingles(),
      failed: options.failed,
      refused: options.refused,
      arrived: options.arrived && ((...told: Parameters<Arrived>) => options.arrived?.(view.id, ...told)),
    }
    this.#queue = options.order
      ? new ArrivalQueue({ ...common, ...options.order, allotted: (...told) => this.#allotted(...told) })
      : new ClaimQueue({
          ...common,
          store,
          batchesInFlight,
          renew: options.renew,
          decided: (decision, sentAt, batch) => this.#decided(decision, sentAt, batch),
        })
  }

  /** Called once before anything is asked: where the draws stand, or who is waited for in a strict round. */
  async load(): Promise<void> {
    await this.entries?.load()
    if (this.#queue instanceof ArrivalQueue) await this.#queue.join()
  }

  /** A claim of a strict round waits for this worker's mark. */
  awaited(stamp: number): void {
    if (this.#queue instanceof ArrivalQueue) this.#queue.awaited(stamp)
  }

  /** Asks for one claim; `done` gets the ask with its outcome and, for a holder, his vouchers. */
  ask(request: ClaimRequest, done: (ask: SingleAsk) => void): void {
    const now = this.#use()
    const ask = new SingleAsk(request, now, done, this.#collect)
    if (this.entries) return this.#enter(this.entries, request, ask)
    const { holdings } = this.view
    const entry = holdings.findText(holderOf(request.userId, request.slot))
    if (entry >= 0) {
      ask.hold(holdings.sequenceOf(entry), holdings.poolOf(entry))
      this.#options.refused(ask.outcome, 1)
      this.#options.load.unanswered++
      this.#collectKnown(ask)
      return
    }
    const refusal = this.#refusal(request.slot, now)
    if (refusal !== undefined) {
      ask.outcome = refusal
      this.#options.refused(refusal, 1)
      done(ask)
      return
    }
    this.#options.load.unanswered++
    this.#queue.push(ask)
  }

  /** Asks for `count` claims of slot 1 in one pool, their user ids packed as MessagePack strings in `users`. */
  askPacked(users: Uint8Array, count: number, pool: number, done: (answers: Answers) => void): void {
    const now = this.#use()
    const answers = this.#answers(count, done, false)
    if (this.entries)
      return void enterMany(this.entries, requestsIn(users, count, pool), answers, this.#options.refused)
    const refusal = this.#shut(count, now)
    const left = this.#sift(answers, users, refusal && CODES[refusal].number)
    if (left.places.length === count) this.#queue.push(new ManyAsk({ answers, users, count, pool, askedAt: now }))
    else if (left.places.length > 0) {
      const index = Uint16Array.from(left.places)
      this.#queue.push(new ManyAsk({ answers, users: left.users, count: index.length, pool, askedAt: now, index }))
    }
    if (left.places.length < count) answers.close(count - left.places.length)
  }

  /** Asks for claims that may differ in slot and pool. A place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], done: (answers: Answers) => void): void {
    const now = this.#use()
    const answers = this.#answers(requests.length, done, true)
    if (this.entries) return void enterMany(this.entries, requests, answers, this.#options.refused)
    const byPool = new Map<number, number[]>()
    let answered = 0
    for (const [i, request] of requests.entries()) {
      if (typeof request === 'number' || this.#answersNow(answers, i, request, now)) {
        if (typeof request === 'number') answers.refuse(i, request)
        answered++
        continue
      }
      const places = byPool.get(request.pool)
      if (places) places.push(i)
      else byPool.set(request.pool, [i])
    }
    for (const [pool, places] of byPool) {
      const holders = places.map(place => {
        const { userId, slot } = requests[place] as ClaimRequest
        return holderOf(userId, slot)
      })
      const [users, index] = [packHolders(holders), Uint16Array.from(places)]
      this.#queue.push(new ManyAsk({ answers, users, count: places.length, pool, askedAt: now, index }))
    }
    if (answered > 0) answers.close(answered)
  }

  sweep(now: number): void {
    this.#queue.sweep(now)
    this.#finishSingles()
    if (!this.#resting && now - this.#usedAt > HOLDERS_IDLE_MS && this.#mayRest()) this.rest()
  }

  /** Goes over to another history of the round, and lets go of what was known of the one before it. */
  async startAgain(notice: Notice): Promise<void> {
    this.times.forget()
    this.view.adopt(notice)
    await this.entries?.startAgain()
  }

  /** Nobody asks any more, or Redis has lost the round: what was kept to answer quickly is let go of. */
  rest(): void {
    this.#resting = true
    this.view.rest()
    this.times.forget()
  }

  /** The voucher codes of grants, pack by pack. */
  codesOf(sequences: ArrayLike<number>, count: number): string[] {
    return this.view.codes.mint(sequences, count)
  }

  /** The moment, monotonic ms, of a claim that comes now. */
  #use(): number {
    this.#usedAt = this.#options.clock.monotonicMs()
    if (this.#resting) {
      this.#resting = false
      this.view.wake()
    }
    return this.#usedAt
  }

  #mayRest(): boolean {
    return this.#options.mayRest?.() ?? true
  }

  /** Asks for one claim of a drawn round: a winner gets his vouchers as any holder does. */
  #enter(entries: Entries, request: ClaimRequest, ask: SingleAsk): void {
    this.#options.load.unanswered++
    void enterOne(entries, request, ask, this.#options.refused).then(() => {
      if (ask.holds) return this.#collectKnown(ask)
      this.#options.load.unanswered--
      ask.done(ask)
    })
  }

  readonly #collect = (ask: SingleAsk) => {
    this.#singles.push(ask)
  }

  /** Collects a claim that is answered without a batch: those of one turn of the event loop are finished together. */
  #collectKnown(ask: SingleAsk): void {
    if (this.#singles.length === 0) this.#options.clock.soon(() => this.#finishSingles())
    this.#singles.push(ask)
  }

  #answers(count: number, done: (answers: Answers) => void, timed: boolean): Answers {
    this.#options.load.unanswered += count
    const answered = (answers: Answers) => {
      this.#options.load.unanswered -= count
      done(answers)
    }
    return new Answers(count, answered, timed)
  }

  /** The outcome number of a claim by a stranger that need not be asked, or undefined. */
  #refusal(slot: number, now: number): number | undefined {
    if (slot > this.view.config.per_user) return CODES.limit_reached.number
    const code = this.#shut(1, now)
    return code && CODES[code].number
  }

  /** The code of a refusal that holds for every stranger now, or undefined: then he is queued. */
  #shut(claims: number, now: number): Code | undefined {
    const code = this.#options.gate(claims) ?? this.view.refusal(now)
    return code ?? (this.#queue.waitMs > SHED_WAIT_MS ? 'overloaded' : undefined)
  }

  /** Answers the i-th of many claims where that needs no asking. */
  #answersNow(answers: Answers, i: number, { userId, slot }: ClaimRequest, now: number): boolean {
    const { holdings } = this.view
    const entry = holdings.findText(holderOf(userId, slot))
    const outcome = entry >= 0 ? CODES.replayed.number : this.#refusal(slot, now)
    if (outcome === undefined) return false
    if (entry >= 0) answers.hold(i, holdings.sequenceOf(entry), holdings.poolOf(entry))
    else answers.refuse(i, outcome)
    this.#options.refused(outcome, 1)
    return true
  }

  /** Answers those who are known to hold, and with `refusal` everybody else; what is left must be asked. */
  #sift(answers: Answers, users: Uint8Array, refusal: number | undefined): { places: number[]; users: Uint8Array } {
    const { holdings } = this.view
    const left = Buffer.allocUnsafe(refusal === undefined ? users.length : 0)
    const places: number[] = []
    let held = 0
    let to = 0
    for (let i = 0, at = 0; i < answers.count; i++) {
      const start = at
      at = holderEnd(users, start)
      const entry = holdings.find(users, users[start] === 0xd9 ? start + 2 : start + 1, at)
      if (entry >= 0) {
        answers.hold(i, holdings.sequenceOf(entry), holdings.poolOf(entry))
        held++
      } else if (refusal !== undefined) answers.refuse(i, refusal)
      else {
        for (let byte = start; byte < at; byte++) left[to++] = users[byte] as number
        places.push(i)
      }
    }
    this.#options.refused(CODES.replayed.number, held)
    if (refusal !== undefined) this.#options.refused(refusal, answers.count - held)
    return { places, users: left.subarray(0, to) }
  }

  #decided(decision: Decision, sentAt: number, batch: SentBatch): void {
    this.view.holdings.addBatch(batch, decision)
    this.view.take(decision.notice, sentAt)
    this.times.remember(decision.first, decision.notice.sequence, decision.notice.at)
    this.#options.decided(decision, batch.claims, (this.#options.clock.monotonicMs() - sentAt) / 1000)
  }

  #allotted({ notice, decided }: Allotment, sentAt: number, holderOf: (decided: Decided) => string): void {
    const { clock } = this.#options
    const exceptions = Buffer.allocUnsafe(decided.length * EXCEPTION_BYTES)
    for (const [i, { outcome, sequence, pool }] of decided.entries()) {
      exceptions[i * EXCEPTION_BYTES + 2] = outcome
      if (sequence > 0) this.view.holdings.addText(holderOf(decided[i] as Decided), sequence, pool)
    }
    this.view.take(notice, sentAt)
    const decision = { notice, first: 0, rest: CODES.granted.number, exceptions }
    this.#options.decided(decision, decided.length, (clock.monotonicMs() - sentAt) / 1000)
  }

  /** Gives the singles of a batch their vouchers, all codes in one cipher call, and answers them. */
  #finishSingles(): void {
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

  #answer(asks: readonly SingleAsk[]): void {
    const sequences: number[] = []
    for (const ask of asks) if (ask.holds) sequences.push(ask.sequence)
    const codes = this.view.codes.mintBytes(sequences, sequences.length)
    const packBytes = this.view.vouchers.length * CODE_CHARS
    this.#options.load.unanswered -= asks.length
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

/** Packed user ids as requests. */
function requestsIn(users: Uint8Array, count: number, pool: number): ClaimRequest[] {
  const bytes = Buffer.from(users.buffer, users.byteOffset, users.length)
  const requests: ClaimRequest[] = []
  for (let i = 0, at = 0; i < count; i++) {
    const end = holderEnd(users, at)
    requests.push({ userId: bytes.toString('latin1', bytes[at] === 0xd9 ? at + 2 : at + 1, end), slot: 1, pool })
    at = end
  }
  return requests
}
