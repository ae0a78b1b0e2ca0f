/**
 * Claims of one round in one worker: answers at once what is certainly refused, queues the rest, and gives holders
 * their vouchers. Steps 4 and 7 of "how one claim runs" (docs/ARCHITECTURE.md); step 5 is claim-queue.ts, step 6
 * scripts/claim.lua.
 */
import { CODE_CHARS } from '../auth/voucher-codes.ts'
import type { Clock } from '../base/clock.ts'
import { CODES, type Code } from '../base/codes.ts'
import { HOLDER_BYTES_MAX, holderEnd, holderOf, writeHolder } from '../base/holder.ts'
import type { ClaimStore, Decision } from '../store/claim-store.ts'
import { Answers, type ClaimRequest, ManyAsk, SingleAsk } from './asks.ts'
import { ClaimQueue } from './claim-queue.ts'
import { GrantTimes } from './grant-times.ts'
import { type RoundView, refusalNumber } from './round-view.ts'

export interface ClaimsOptions {
  readonly view: RoundView
  readonly store: ClaimStore
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
}

export class Claims {
  readonly view: RoundView
  readonly times: GrantTimes
  readonly #options: ClaimsOptions
  readonly #queue: ClaimQueue
  #singles: SingleAsk[] = []

  constructor(options: ClaimsOptions) {
    const { view, store, clock, batchClaims, batchesInFlight } = options
    this.view = view
    this.#options = options
    this.times = new GrantTimes(view.id, store)
    this.#queue = new ClaimQueue({
      roundId: view.id,
      store,
      clock,
      batchClaims,
      batchesInFlight,
      epoch: () => view.notice.epoch,
      decided: (decision, sentAt, claims) => this.#decided(decision, sentAt, claims),
      answered: () => this.#finishSingles(),
      failed: options.failed,
    })
  }

  /** Asks for one claim; `done` gets the ask with its outcome and, for a holder, his vouchers. */
  ask(request: ClaimRequest, done: (ask: SingleAsk) => void): void {
    const now = this.#options.clock.monotonicMs()
    const ask = new SingleAsk(request, now, done, this.#collect)
    const refusal = this.#refusal(request, now)
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
    const now = this.#options.clock.monotonicMs()
    const answers = this.#answers(count, done)
    const gate = this.#options.gate(count)
    if (gate) return this.#refuseAll(answers, CODES[gate].number)
    const refusal = this.view.refusalOfAll(now)
    if (!refusal) return this.#queue.push(new ManyAsk({ answers, users, count, pool, askedAt: now }))
    this.#askHolders({ answers, users, pool, askedAt: now, refusal: refusalNumber(refusal) })
  }

  /** Asks for claims that may differ in slot and pool. A place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], done: (answers: Answers) => void): void {
    const now = this.#options.clock.monotonicMs()
    const answers = this.#answers(requests.length, done)
    const gate = this.#options.gate(requests.length)
    if (gate) return this.#refuseAll(answers, CODES[gate].number)
    const byPool = new Map<number, number[]>()
    let refused = 0
    for (const [i, request] of requests.entries()) {
      const outcome = typeof request === 'number' ? request : this.#refusal(request, now)
      if (outcome !== undefined) {
        answers.refuse(i, outcome)
        this.#options.refused(outcome, 1)
        refused++
      } else {
        const pool = (request as ClaimRequest).pool
        const places = byPool.get(pool)
        if (places) places.push(i)
        else byPool.set(pool, [i])
      }
    }
    for (const [pool, places] of byPool) {
      const users = Buffer.allocUnsafe(places.length * HOLDER_BYTES_MAX)
      let at = 0
      for (const place of places) {
        const { userId, slot } = requests[place] as ClaimRequest
        at = writeHolder(users, at, holderOf(userId, slot))
      }
      const index = Uint16Array.from(places)
      this.#queue.push(
        new ManyAsk({ answers, users: users.subarray(0, at), count: places.length, pool, askedAt: now, index }),
      )
    }
    if (refused > 0) answers.close(refused)
  }

  sweep(now: number): void {
    this.#queue.sweep(now)
    this.#finishSingles()
  }

  /** The voucher codes of grants, pack by pack. */
  codesOf(sequences: ArrayLike<number>, count: number): string[] {
    return this.view.codes.mint(sequences, count)
  }

  readonly #collect = (ask: SingleAsk) => {
    this.#singles.push(ask)
  }

  #answers(count: number, done: (answers: Answers) => void): Answers {
    this.#options.load.unanswered += count
    return new Answers(count, answers => {
      this.#options.load.unanswered -= count
      done(answers)
    })
  }

  /** The outcome number of a claim that need not be asked, or undefined. */
  #refusal(request: ClaimRequest, now: number): number | undefined {
    if (request.slot > this.view.config.per_user) return CODES.limit_reached.number
    const gate = this.#options.gate(1)
    if (gate) return CODES[gate].number
    const refusal = this.view.refusal(now, holderOf(request.userId, request.slot))
    return refusal && refusalNumber(refusal)
  }

  /** The round is shut: only those who may hold a grant are asked about, the others are refused. */
  #askHolders(frame: { answers: Answers; users: Uint8Array; pool: number; askedAt: number; refusal: number }): void {
    const { answers, users, pool, askedAt, refusal } = frame
    const { count, outcomes } = answers
    outcomes.fill(refusal)
    const places: number[] = []
    const spans: number[] = []
    for (let i = 0, at = 0; i < count; i++) {
      const end = holderEnd(users, at)
      if (this.view.mayHoldBytes(users, users[at] === 0xd9 ? at + 2 : at + 1, end)) {
        places.push(i)
        spans.push(at, end)
      }
      at = end
    }
    if (places.length > 0) {
      const asked = Buffer.concat(places.map((_, k) => users.subarray(spans[2 * k], spans[2 * k + 1])))
      const index = Uint16Array.from(places)
      this.#queue.push(new ManyAsk({ answers, users: asked, count: places.length, pool, askedAt, index }))
    }
    if (places.length === count) return
    this.#options.refused(refusal, count - places.length)
    answers.close(count - places.length)
  }

  #refuseAll(answers: Answers, outcome: number): void {
    answers.outcomes.fill(outcome)
    this.#options.refused(outcome, answers.count)
    answers.close(answers.count)
  }

  #decided(decision: Decision, sentAt: number, claims: number): void {
    this.view.take(decision.notice, sentAt)
    this.times.remember(decision.first, decision.notice.sequence, decision.notice.at)
    this.#options.decided(decision, claims, (this.#options.clock.monotonicMs() - sentAt) / 1000)
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

  /** A grant that another worker made: its time is in the log. */
  #finishLater(ask: SingleAsk): void {
    this.times.at(ask.sequence).then(
      at => {
        ask.at = at
        this.#answer([ask])
      },
      () => {
        ask.outcome = CODES.unknown.number
        this.#answer([ask])
      },
    )
  }
}
