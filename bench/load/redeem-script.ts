/**
 * What is done to one voucher in the redemption loop, as a list of requests and the answers that are right.
 *
 * Most vouchers are simply redeemed. Some are locked first, some locks are abandoned, some redemptions are sent again
 * with the same key (the same body must come back), some again with another key (which must be refused), some are
 * reversed. The list is made from the seed before anything is sent, so a run can be repeated.
 *
 * Every step knows its right status: an answer with another one is a broken promise, not a slow one.
 */

import { merchantOf, orderAmount } from '../people/order.ts'
import type { Random } from '../people/random.ts'

export type StepKind = 'lock' | 'unlock' | 'redeem' | 'repeat' | 'second' | 'reverse'

export interface Step {
  readonly kind: StepKind
  readonly path: string
  readonly idempotencyKey: string | undefined
  readonly body: string
  readonly status: number
  readonly amount: number
}

export const SHARES = { lock: 0.3, abandon: 0.03, repeat: 0.05, second: 0.03, reverse: 0.03, full: 0.85 } as const
const MERCHANTS = 300_000

interface Order {
  readonly code: string
  readonly number: number
  readonly amount: number
  readonly merchant: number
}

function redemption(kind: 'redeem' | 'repeat' | 'second', order: Order, status: number): Step {
  const { code, number, amount, merchant } = order
  const id = kind === 'second' ? `o${number}-second` : `o${number}`
  const body = { code, order: { id, amount, currency: 'CNY' }, merchant_id: `m${merchant}`, store_id: 's1' }
  return { kind, path: '/v1/redemptions', idempotencyKey: id, body: JSON.stringify(body), status, amount }
}

function onVoucher(kind: 'lock' | 'unlock', order: Order): Step {
  const body = { order_id: `o${order.number}`, ...(kind === 'lock' ? { ttl_s: 30 } : {}) }
  const path = `/v1/vouchers/${order.code}/${kind}`
  return { kind, path, idempotencyKey: undefined, body: JSON.stringify(body), status: 200, amount: 0 }
}

/** The path of a reversal names the redemption, which is known only when it has been answered. */
export const REDEMPTION_ID = '{redemption}'

function reversal(order: Order, full: boolean): Step {
  const body = full ? { type: 'full', reason: 'refund' } : { type: 'partial', amount: 100, reason: 'refund' }
  return {
    kind: 'reverse',
    path: `/v1/redemptions/${REDEMPTION_ID}/reversals`,
    idempotencyKey: `r${order.number}`,
    body: JSON.stringify(body),
    status: 201,
    amount: 0,
  }
}

export function scriptOf(code: string, number: number, random: Random): Step[] {
  const order = { code, number, amount: orderAmount(random), merchant: merchantOf(random, MERCHANTS) }
  const happens = (share: number) => random.uniform() < share
  if (happens(SHARES.abandon)) return [onVoucher('lock', order), onVoucher('unlock', order)]
  const steps = happens(SHARES.lock) ? [onVoucher('lock', order)] : []
  steps.push(redemption('redeem', order, 201))
  if (happens(SHARES.repeat)) steps.push(redemption('repeat', order, 200))
  if (happens(SHARES.second)) steps.push(redemption('second', order, 409))
  if (happens(SHARES.reverse)) steps.push(reversal(order, happens(SHARES.full)))
  return steps
}
