/**
 * The client of an engine, for browsers and Node 18 or later: one object that claims, watches, counts down and redeems.
 *
 * It puts the parts of this folder together and has no rule of its own: what is asked again stands in patience.ts, how a claim ends in claim.ts,
 * a till's change in redemption.ts, the stream in stream.ts. Everything that changes something comes to a result; what is read
 * throws EngineError where it could not be. Rejected: a method for each route. The others are asked by `request`.
 */
import { type ClaimOptions, type ClaimResult, claim } from './claim.ts'
import { type BatchClaim, type BatchResult, claimBatch } from './claim-batch.ts'
import { EngineError } from './ending.ts'
import { insist, type Patience } from './patience.ts'
import { Receipt } from './receipt.ts'
import type { ReceiptFields } from './receipt-check.ts'
import {
  type Keyed,
  type LockRequest,
  lock,
  type RedemptionRequest,
  type ReversalRequest,
  redeem,
  reverse,
  unlock,
} from './redemption.ts'
import { countdown, type Round, readRound } from './round.ts'
import { RoundWatch, type StockNews, stock, type WatchOptions } from './stock.ts'
import type { SocketClass } from './stream.ts'
import { type Asked, isDone, isRead, Transport, type TransportOptions } from './transport.ts'

export type { Claim, ClaimOptions, ClaimResult, Entered, Granted, NotNow, RoundSays, Voucher } from './claim.ts'
export type { BatchClaim, BatchResult } from './claim-batch.ts'
export type { InDoubt, NotDone, NotExecuted, Refused } from './ending.ts'
export { EngineError } from './ending.ts'
export type { Patience, Wait } from './patience.ts'
export type { Receipt } from './receipt.ts'
export type { ReceiptFields, Verdict } from './receipt-check.ts'
export type {
  Keyed,
  Locked,
  Redemption,
  RedemptionRequest,
  Reversal,
  ReversalRequest,
  TillResult,
} from './redemption.ts'
export type { Round } from './round.ts'
export type { StockNews, WatchOptions } from './stock.ts'
export type { Socket, SocketClass, StockFrame } from './stream.ts'
export type { Asked, TransportOptions } from './transport.ts'

export interface FairgrabOptions extends TransportOptions {
  /** What Node 18 and 20 lack: the class of the package `ws`, for example. */
  readonly WebSocket?: SocketClass | undefined
}

/** A read, or a change under its `Idempotency-Key`. */
export type Request =
  | (Asked & { readonly method?: 'GET' })
  | (Asked & { readonly method: 'POST' | 'PUT'; readonly key: string })

const OPTIONS = ['url', 'token', 'key', 'fetch', 'WebSocket']

export class Fairgrab {
  readonly #transport: Transport
  readonly #watch: RoundWatch

  /** Throws TypeError for an option that is none, a url that is no address, and a token beside a key. */
  constructor(options: FairgrabOptions) {
    const strange = Object.keys(options).find(name => !OPTIONS.includes(name))
    if (strange) throw new TypeError(`there is no option ${strange}; patience goes with each call`)
    if (options.token && options.key) throw new TypeError('give a token or a key, not both')
    this.#transport = new Transport(options)
    this.#watch = new RoundWatch(this.#transport.url, options.WebSocket)
  }

  /** Claims a pack until the answer is certain or the deadline is there; the same claim however often it is called. */
  claim(roundId: string, options?: ClaimOptions): Promise<ClaimResult> {
    return claim(this.#transport, roundId, options)
  }

  /** Claims for many users, with a platform's key; results in the order asked. */
  claimBatch(roundId: string, claims: readonly BatchClaim[], patience?: Patience): Promise<readonly BatchResult[]> {
    return claimBatch(this.#transport, roundId, claims, patience)
  }

  round(roundId: string, patience?: Patience): Promise<Round> {
    return readRound(this.#transport, roundId, patience)
  }

  /** The stock of a round, whenever it moves. */
  stock(roundId: string, options?: WatchOptions): AsyncGenerator<StockNews> {
    return stock(this.#watch, roundId, options)
  }

  /** Milliseconds until a round opens, at each full second; null while it opens by hand. Ends when it opens. */
  countdown(roundId: string, options?: WatchOptions): AsyncGenerator<number | null> {
    return countdown({ transport: this.#transport, watch: this.#watch }, roundId, options)
  }

  /** A receipt that was kept, as one that can verify itself. */
  receipt(fields: ReceiptFields, user?: string): Receipt {
    return new Receipt(fields, this.#transport, user)
  }

  lock(code: string, request: LockRequest, patience?: Patience) {
    return lock(this.#transport, code, request, patience)
  }

  unlock(code: string, orderId: string, patience?: Patience) {
    return unlock(this.#transport, code, orderId, patience)
  }

  /** Uses a voucher for an order, once for each key. */
  redeem(request: RedemptionRequest, patience: Keyed) {
    return redeem(this.#transport, request, patience)
  }

  /** Takes a redemption back, once for each key. */
  reverse(redemptionId: string, request: ReversalRequest, patience: Keyed) {
    return reverse(this.#transport, redemptionId, request, patience)
  }

  /** Any other route: its body, or EngineError. It is asked again like everything here, so a change without a key is a TypeError. */
  async request<Body>(asked: Request, patience?: Patience): Promise<Body> {
    const { method = 'GET', key } = asked
    if (method !== 'GET' && !key) throw new TypeError(`${method} ${asked.path}: a change needs its key`)
    const settled = await insist(this.#transport, { expects: isRead, ...asked }, patience)
    if (!isDone(settled.answer)) throw new EngineError(settled, `${method} ${asked.path}`)
    return settled.answer.body as Body
  }
}
