/**
 * A till's part: lock, redeem, reverse, each asked until its answer is certain, under the one `Idempotency-Key` that the till
 * made and wrote down before it sent anything.
 *
 * A lock's key is its order, so it may be repeated as it is. Bodies are those of the API. Rejected: making the key here. A till
 * that starts again after a loss of power has to find the key in its own book, and another key would be another redemption.
 */
import { type NotDone, notDone } from './ending.ts'
import { insist, type Patience } from './patience.ts'
import { type Expected, inPath, isDone, isText, type Transport } from './transport.ts'

/** How a change of a till ends: done, with what the engine answered, or one of the endings of a change that was not. */
export type TillResult<Outcome extends string, Body> =
  | {
      readonly outcome: Outcome
      readonly body: Body /** It was done before, under the same key. */
      readonly replayed: boolean
    }
  | NotDone

export interface Order {
  readonly id: string
  /** In minor units. */
  readonly amount: number
  readonly currency: string
}

export interface RedemptionRequest {
  readonly code: string
  readonly order: Order
  readonly merchant_id: string
  readonly store_id?: string | undefined
  /** Refused with `not_eligible` unless the voucher is theirs. */
  readonly user_id?: string | undefined
}

export interface Redemption {
  readonly id: string
  readonly state: string
  readonly code: string
  readonly order_id: string
  readonly merchant_id: string
  readonly discount_amount: number
  readonly payer_amount: number
  readonly merchant_receivable: number
  readonly currency: string
  readonly redeemed_at: string
}

export type ReversalRequest =
  | { readonly type: 'full'; readonly reason?: string | undefined }
  | { readonly type: 'partial'; readonly amount: number; readonly reason?: string | undefined }

export interface Reversal {
  readonly id: string
  readonly redemption_id: string
  readonly state: string
  readonly amount: number
  readonly voucher_state: string
  readonly reversed_at: string
}

export interface Locked {
  readonly code: string
  readonly state: 'locked'
  readonly lock: { readonly id: string; readonly order_id: string; readonly ends_at: string }
}

/** Keyed by the till. */
export interface Keyed extends Patience {
  /** Made once for this change, and written down before it is sent: 1 to 128 visible characters of ASCII. */
  readonly key: string
}

interface Change {
  readonly path: string
  readonly body: unknown
  /** What the answer has to be: another one is somebody else's. */
  readonly expects: Expected
  readonly patience: Patience & { readonly key?: string | undefined }
}

/** A code as it was issued, however somebody typed it. */
const plain = (code: string): string =>
  `${code}`.toUpperCase().replace(/[- ]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1')

const sameCode = (code: string) => (given: unknown) => isText(given) && plain(given) === plain(code)

/** Posts a change and insists on its answer. */
async function change<Outcome extends string, Body>(
  transport: Transport,
  outcome: Outcome,
  { path, body, expects, patience }: Change,
): Promise<TillResult<Outcome, Body>> {
  const settled = await insist(transport, { method: 'POST', path, body, key: patience.key, expects }, patience)
  const { answer } = settled
  if (!isDone(answer)) return notDone(settled)
  return { outcome, body: answer.body as Body, replayed: answer.headers.has('idempotent-replayed') }
}

const voucherPath = (code: string, action: string): string => `/v1/vouchers/${inPath(code)}/${action}`

export interface LockRequest {
  readonly order_id: string
  /** 1 to 3,600 seconds; 30 unless given. */
  readonly ttl_s?: number | undefined
}

/** Keeps a voucher for an order. */
export const lock = (transport: Transport, code: string, body: LockRequest, patience: Patience = {}) =>
  change<'locked', Locked>(transport, 'locked', {
    path: voucherPath(code, 'lock'),
    body,
    // Whether it ended by now is for the engine's clock: a till's may be years wrong.
    expects: {
      code: sameCode(code),
      state: 'locked',
      lock: { order_id: body.order_id, ends_at: at => Date.parse(at as string) > 0 },
    },
    patience,
  })

/** Takes an order's lock off again. */
export const unlock = (transport: Transport, code: string, order_id: string, patience: Patience = {}) =>
  change<'unlocked', { readonly code: string; readonly state: string }>(transport, 'unlocked', {
    path: voucherPath(code, 'unlock'),
    body: { order_id },
    expects: { code: sameCode(code), state: state => isText(state) && state !== 'locked' },
    patience,
  })

/** Uses a voucher for an order, once for each key. */
export const redeem = (transport: Transport, body: RedemptionRequest, patience: Keyed) =>
  change<'redeemed', Redemption>(transport, 'redeemed', {
    path: '/v1/redemptions',
    body,
    expects: {
      ...{ id: isText, state: 'succeeded', code: sameCode(body.code) },
      ...{ order_id: body.order.id, merchant_id: body.merchant_id },
    },
    patience,
  })

/** Takes a redemption back, once for each key. */
export const reverse = (transport: Transport, id: string, body: ReversalRequest, patience: Keyed) =>
  change<'reversed', Reversal>(transport, 'reversed', {
    path: `/v1/redemptions/${inPath(id)}/reversals`,
    body,
    expects: {
      ...{ id: isText, state: 'succeeded', redemption_id: id, type: body.type },
      amount: body.type === 'partial' ? body.amount : Number.isInteger,
    },
    patience,
  })
