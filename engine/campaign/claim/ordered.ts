/**
 * Claims that are decided in an order: first come, and strict. Both answer at once the holders they know and what is
 * certainly refused, and queue the rest; they differ in the queue alone (claim-queue.ts, arrival-queue.ts).
 */
import { CODES, type Code } from '../../base/codes.ts'
import { holderEnd, holderOf, packHolders } from '../../base/holder.ts'
import { SHED_WAIT_MS } from '../../base/limits.ts'
import type { ClaimStore } from '../../store/data/claim-store.ts'
import { type Answers, type Ask, type ClaimRequest, ManyAsk } from '../round/asks.ts'
import type { Decider, DeciderParts, SingleAsk, Standing } from '../round/round.ts'

/** What waits to be decided, in its order. */
export interface Queue {
  /** Milliseconds that a claim which comes now would wait, as far as it is known. */
  readonly waitMs: number
  push(ask: Ask): void
  /** Answers what has waited for too long. */
  sweep(now: number): void
  /** Others wait for this worker from now on, where the order is one over all workers. */
  join(): Promise<void>
  /** Another worker's claim with this stamp waits for this worker's mark. */
  awaited(stamp: number): void
}

export interface OrderedOptions extends DeciderParts {
  readonly claims: Pick<ClaimStore, 'holding'>
  readonly queue: Queue
}

export class Ordered implements Decider {
  readonly draw = undefined
  readonly slots: number
  readonly #options: OrderedOptions
  readonly #queue: Queue

  constructor(options: OrderedOptions) {
    this.#options = options
    this.#queue = options.queue
    this.slots = options.view.config.per_user
  }

  load(): Promise<void> {
    return this.#queue.join()
  }

  ask(ask: SingleAsk): void {
    const { view, round, events } = this.#options
    const { holders } = view
    const entry = holders.findText(holderOf(ask.userId, ask.slot))
    if (entry >= 0) {
      ask.hold(holders.sequenceOf(entry), holders.poolOf(entry))
      events.answered(ask.outcome, 1)
      return round.settledAlone(ask)
    }
    const refusal = this.#refusal(ask.slot, ask.askedAt)
    if (refusal === undefined) return this.#queue.push(ask)
    events.answered(refusal, 1)
    ask.refuse(refusal)
  }

  askPacked(packed: Uint8Array, pool: number, answers: Answers, now: number): void {
    const { count } = answers
    const refusal = this.#shut(now)
    const left = this.#sift(answers, packed, refusal && CODES[refusal].number)
    if (left.places.length === count)
      this.#queue.push(new ManyAsk({ answers, holders: packed, count, pool, askedAt: now }))
    else if (left.places.length > 0) {
      const index = Uint16Array.from(left.places)
      this.#queue.push(new ManyAsk({ answers, holders: left.packed, count: index.length, pool, askedAt: now, index }))
    }
    if (left.places.length < count) answers.close(count - left.places.length)
  }

  askMany(requests: readonly (ClaimRequest | number)[], answers: Answers, now: number): void {
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
      const [packed, index] = [packHolders(holders), Uint16Array.from(places)]
      this.#queue.push(new ManyAsk({ answers, holders: packed, count: places.length, pool, askedAt: now, index }))
    }
    if (answered > 0) answers.close(answered)
  }

  sweep(now: number): void {
    this.#queue.sweep(now)
  }

  awaited(stamp: number): void {
    this.#queue.awaited(stamp)
  }

  /** Nothing is kept beside the view. */
  changed(): void {}

  async startAgain(): Promise<void> {}

  async standingOf(userId: string, slot: number): Promise<Standing | undefined> {
    const holding = await this.#options.claims.holding(this.#options.view.id, holderOf(userId, slot))
    return holding && { outcome: CODES.granted.number, ...holding }
  }

  async isHolder(userId: string, holder: string): Promise<boolean> {
    return holder === userId
  }

  /** The outcome number of a claim by a stranger that need not be asked, or undefined. */
  #refusal(slot: number, now: number): number | undefined {
    if (slot > this.slots) return CODES.limit_reached.number
    const code = this.#shut(now)
    return code && CODES[code].number
  }

  /** The code of a refusal that holds for every stranger now, or undefined: then they are queued. */
  #shut(now: number): Code | undefined {
    const { gate, view } = this.#options
    const code = gate() ?? view.refusal(now)
    return code ?? (this.#queue.waitMs > SHED_WAIT_MS ? 'overloaded' : undefined)
  }

  /** Answers the i-th of many claims where that needs no asking. */
  #answersNow(answers: Answers, i: number, { userId, slot }: ClaimRequest, now: number): boolean {
    const { view, events } = this.#options
    const { holders } = view
    const entry = holders.findText(holderOf(userId, slot))
    const outcome = entry >= 0 ? CODES.replayed.number : this.#refusal(slot, now)
    if (outcome === undefined) return false
    if (entry >= 0) answers.hold(i, holders.sequenceOf(entry), holders.poolOf(entry))
    else answers.refuse(i, outcome)
    events.answered(outcome, 1)
    return true
  }

  /** Answers those who are known to hold, and with `refusal` everybody else; what is left must be asked. */
  #sift(answers: Answers, packed: Uint8Array, refusal: number | undefined): { places: number[]; packed: Uint8Array } {
    const { view, events } = this.#options
    const { holders } = view
    const left = Buffer.allocUnsafe(refusal === undefined ? packed.length : 0)
    const places: number[] = []
    let held = 0
    let to = 0
    for (let i = 0, at = 0; i < answers.count; i++) {
      const start = at
      at = holderEnd(packed, start)
      const entry = holders.find(packed, packed[start] === 0xd9 ? start + 2 : start + 1, at)
      if (entry >= 0) {
        answers.hold(i, holders.sequenceOf(entry), holders.poolOf(entry))
        held++
      } else if (refusal !== undefined) answers.refuse(i, refusal)
      else {
        for (let byte = start; byte < at; byte++) left[to++] = packed[byte] as number
        places.push(i)
      }
    }
    events.answered(CODES.replayed.number, held)
    if (refusal !== undefined) events.answered(refusal, answers.count - held)
    return { places, packed: left.subarray(0, to) }
  }
}
