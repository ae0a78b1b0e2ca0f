/**
 * What waits in a claim queue. An Ask is one claim that wants its vouchers (SingleAsk of round.ts), or a ManyAsk, a part of a
 * request for many claims: its holder keys lie packed, as they came or as they were written, and its answers go into the
 * request's columns, so that a waiting claim of a frame costs its key and ten bytes. A request becomes several ManyAsks when
 * its claims name different pools.
 */
import { CODES } from '../../base/codes.ts'
import { holderEnd } from '../../base/holder.ts'

const UNTIMED = new Float64Array(0)

export interface ClaimRequest {
  readonly userId: string
  readonly slot: number
  /** The pool's place in the round's list. */
  readonly pool: number
  /** In drawn rounds: what the client made for its tag, 32 hexadecimal digits each. */
  readonly nonce?: string | undefined
  readonly salt?: string | undefined
}

/** What waits in a queue of claims. */
export interface Ask {
  readonly count: number
  /** Monotonic milliseconds. */
  readonly askedAt: number
  /** One pool for all claims of an ask. */
  readonly pool: number
  /** The scope of the key that asks, which a round that is not drawn keeps with what is granted. */
  readonly via?: string | undefined
  /** Writes the next `count` holder keys; each is written once and in order. Returns the place behind them. */
  write(into: Buffer, at: number, count: number): number
  /**
   * Its i-th claim has this outcome number of the table. `sequence` is what it holds, 0 for nothing; `pool` that of what it
   * holds, or that it asked for; `at` is when it was decided, milliseconds since 1970 by Redis's clock.
   */
  settle(i: number, outcome: number, sequence: number, pool: number, at: number): void
}

/** The answers to many claims asked together, in columns and in the order asked. */
export class Answers {
  readonly count: number
  /** Outcome numbers of the table. */
  readonly outcomes: Uint8Array
  /** 0 where not granted. */
  readonly sequences: Uint32Array
  readonly pools: Uint8Array
  /** Milliseconds since 1970, Redis's clock; 0 while it is not known. Empty where nobody asked for moments. */
  readonly ats: Float64Array
  /** The scope of the key that asks. */
  readonly via: string | undefined
  #open: number
  readonly #done: (answers: Answers) => void

  constructor(count: number, done: (answers: Answers) => void, timed: boolean, via?: string) {
    this.count = count
    this.via = via
    this.outcomes = new Uint8Array(count).fill(CODES.unknown.number)
    this.sequences = new Uint32Array(count)
    this.pools = new Uint8Array(count)
    this.ats = timed ? new Float64Array(count) : UNTIMED
    this.#open = count
    this.#done = done
  }

  /** What was decided of a claim. */
  settle(i: number, outcome: number, sequence: number, pool: number, at: number): void {
    this.outcomes[i] = outcome
    this.sequences[i] = sequence
    this.pools[i] = pool
    // A write behind the end of a typed array is kept nowhere, and is slow.
    if (this.ats.length > 0) this.ats[i] = outcome === CODES.granted.number ? at : 0
  }

  /** Answers a claim that need not be asked. */
  refuse(i: number, outcome: number): void {
    this.outcomes[i] = outcome
  }

  /** Answers a claim that is known to hold, from before. */
  hold(i: number, sequence: number, pool: number): void {
    this.outcomes[i] = CODES.replayed.number
    this.sequences[i] = sequence
    this.pools[i] = pool
  }

  /** Counts claims off; the last one ends the request. */
  close(count: number): void {
    this.#open -= count
    if (this.#open === 0) this.#done(this)
  }
}

export class ManyAsk implements Ask {
  readonly count: number
  readonly askedAt: number
  readonly pool: number
  readonly #answers: Answers
  readonly #holders: Uint8Array
  /** Which of the request's claims the i-th is; undefined when they are all of them. */
  readonly #index: Uint16Array | undefined
  #cursor = 0

  constructor(options: {
    answers: Answers
    holders: Uint8Array
    count: number
    pool: number
    askedAt: number
    index?: Uint16Array
  }) {
    this.#answers = options.answers
    this.#holders = options.holders
    this.#index = options.index
    this.count = options.count
    this.pool = options.pool
    this.askedAt = options.askedAt
  }

  get via(): string | undefined {
    return this.#answers.via
  }

  write(into: Buffer, at: number, count: number): number {
    const from = this.#cursor
    for (let i = 0; i < count; i++) this.#cursor = holderEnd(this.#holders, this.#cursor)
    into.set(this.#holders.subarray(from, this.#cursor), at)
    return at + this.#cursor - from
  }

  settle(i: number, outcome: number, sequence: number, pool: number, at: number): void {
    this.#answers.settle(this.#index ? (this.#index[i] as number) : i, outcome, sequence, pool, at)
    this.#answers.close(1)
  }
}
