/**
 * Vouchers over HTTP: looked up by their code, locked, redeemed exactly once, reversed, deactivated. The rules are in
 * campaign/voucher/redemption.ts, the header Idempotency-Key's in server/http/idempotency.ts.
 */
import type { Caller } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import type { KeyedAnswer, ReversalRequest } from '../../campaign/voucher/redemption.ts'
import type { VoucherLock } from '../../campaign/voucher/vouchers.ts'
import * as shown from '../../wire/answers/vouchers.ts'
import {
  deactivation,
  type RedemptionBody,
  redemption,
  reversal,
  voucherLock,
  voucherUnlock,
} from '../../wire/schemas.ts'
import { type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'
import { idempotencyKey } from '../http/idempotency.ts'

/** A voucher as its caller may see it: a key that is bound to a merchant sees of others' only that it is taken. */
async function voucherBody({ vouchers, keptRedemptions }: Services, code: string, { merchant }: Caller) {
  const voucher = await vouchers.of(code)
  const { state, lock, redemption: made } = await vouchers.now(voucher)
  // As it stands now, and not as it was answered: a partial reversal leaves the voucher redeemed.
  const redeemed = made ? await keptRedemptions.of((JSON.parse(made.answer) as { readonly id: string }).id) : null
  const isOwn = (of: { readonly merchant_id?: string | undefined } | null | undefined) =>
    merchant === undefined || of?.merchant_id === merchant
  return {
    code: voucher.code,
    state,
    template: voucher.template.template,
    discount: voucher.template.discount,
    user_id: voucher.userId,
    round_id: voucher.round.view.id,
    expires_at: rfc3339(voucher.facts.expiresAt),
    lock: lock && isOwn(lock) ? shownLock(lock) : null,
    redemption: isOwn(redeemed) ? redeemed : null,
  }
}

const shownLock = ({ id, order_id, merchant_id, ends_at }: VoucherLock) => ({
  id,
  order_id,
  ...(merchant_id === undefined ? {} : { merchant_id }),
  ends_at: rfc3339(ends_at),
})

const readVoucher = async (services: Services, { params, caller }: Call) => ({
  status: 200,
  body: await voucherBody(services, params[0] as string, caller),
})

async function lock({ redemption: rules }: Services, { params, body, caller }: Call) {
  const { code, ...lock } = await rules.lock(caller, params[0] as string, body as LockBody)
  return { status: 200, body: { code, state: 'locked', lock } }
}

interface LockBody {
  readonly order_id: string
  readonly ttl_s: number
}

async function unlock(services: Services, { params, body, caller }: Call) {
  const code = params[0] as string
  await services.redemption.unlock(caller, code, (body as LockBody).order_id)
  return { status: 200, body: await voucherBody(services, code, caller) }
}

async function deactivate(services: Services, { params, body, caller, query }: Call) {
  const code = params[0] as string
  if (isDryRun(query))
    return { status: 200, body: { dry_run: true, ...(await services.redemption.dryDeactivate(code)) } }
  await services.redemption.deactivate(caller, code, (body as { reason: string }).reason)
  return { status: 200, body: await voucherBody(services, code, caller) }
}

function requiredKey({ exchange }: Call): string {
  const key = idempotencyKey(exchange)
  if (key === '') throw new Refusal('idempotency_key_required', 'send Idempotency-Key: one value for each request')
  return key
}

const made = ({ replayed, json }: KeyedAnswer) => ({ status: replayed ? 200 : 201, json, isReplayed: replayed })

async function redeem({ redemption: rules, metrics, clock }: Services, call: Call) {
  const from = clock.monotonicMs()
  const counted = (outcome: string) => metrics.redeemed(outcome, (clock.monotonicMs() - from) / 1000)
  try {
    const answer = await rules.redeem(call.caller, requiredKey(call), call.body as RedemptionBody)
    counted(answer.replayed ? 'replayed' : 'granted')
    return made(answer)
  } catch (cause) {
    counted(cause instanceof Refusal || cause instanceof Fault ? cause.code : 'internal')
    throw cause
  }
}

async function reverse({ redemption: rules }: Services, call: Call) {
  const id = call.params[0] as string
  const asked = { reason: '', ...(call.body as Partial<ReversalRequest>) } as ReversalRequest
  return made(await rules.reverse(call.caller, requiredKey(call), id, asked))
}

/** What the rules say to a redemption. */
const REFUSED: readonly Code[] = [
  'not_found',
  'not_eligible',
  'already_redeemed',
  'expired',
  'deactivated',
  'voucher_locked',
  'below_minimum',
  'wrong_currency',
  'order_limit',
  'merchant_limit',
  'merchant_not_eligible',
  'budget_exceeded',
  'wrong_day',
]

export const VOUCHER_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/vouchers/{code}',
    operation: 'readVoucher',
    answers: { 200: shown.voucher },
    byCode: true,
    right: 'look-up',
    summary: 'A voucher by its code',
    handle: readVoucher,
  },
  {
    method: 'post',
    path: '/v1/vouchers/{code}/lock',
    operation: 'lockVoucher',
    answers: { 200: shown.lockedVoucher },
    refusals: ['voucher_locked', 'already_redeemed', 'expired', 'deactivated'],
    byCode: true,
    right: 'redeem',
    summary: 'Locks a voucher for an order, for some seconds',
    body: voucherLock,
    handle: lock,
  },
  {
    method: 'post',
    path: '/v1/vouchers/{code}/unlock',
    operation: 'unlockVoucher',
    answers: { 200: shown.voucher },
    refusals: ['voucher_locked'],
    byCode: true,
    right: 'redeem',
    summary: "Takes an order's lock off a voucher, also when there is none",
    body: voucherUnlock,
    handle: unlock,
  },
  {
    method: 'post',
    path: '/v1/vouchers/{code}/deactivate',
    operation: 'deactivateVoucher',
    answers: { 200: shown.deactivatedVoucher },
    refusals: ['already_redeemed', 'expired'],
    byCode: true,
    query: ['dry_run'],
    right: 'operate',
    summary: 'Takes a voucher out of use',
    isLasting: true,
    body: deactivation,
    handle: deactivate,
  },
  {
    method: 'post',
    path: '/v1/redemptions',
    operation: 'redeem',
    answers: { 200: shown.redemption, 201: shown.redemption },
    refusals: REFUSED,
    needsKey: true,
    byCode: true,
    right: 'redeem',
    summary: 'Redeems a voucher exactly once for each Idempotency-Key',
    body: redemption,
    handle: redeem,
  },
  {
    method: 'post',
    path: '/v1/redemptions/{id}/reversals',
    operation: 'reverse',
    answers: { 200: shown.reversal, 201: shown.reversal },
    refusals: ['not_reversible', 'over_redeemed'],
    needsKey: true,
    right: 'reverse',
    summary: 'Reverses a redemption in full or in part, once for each Idempotency-Key',
    body: reversal,
    handle: reverse,
  },
]
