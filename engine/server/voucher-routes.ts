/**
 * Vouchers over HTTP: looked up by their code, and redeemed exactly once. The rules are in campaign/redemption.ts; the
 * header Idempotency-Key is checked here because it is HTTP's.
 */
import { Refusal } from '../base/assert.ts'
import { rfc3339 } from '../base/clock.ts'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import { type RedemptionBody, redemption } from '../wire/schemas.ts'
import type { Route } from './gateway.ts'
import type { Call, Services } from './services.ts'

async function readVoucher({ redemption }: Services, { params }: Call) {
  const voucher = await redemption.voucher(params[0] as string)
  const { state, redemption: made } = await redemption.state(voucher)
  const body = {
    code: voucher.code,
    state,
    template: voucher.template.template,
    discount: voucher.template.discount,
    user_id: voucher.userId,
    round_id: voucher.round.view.id,
    expires_at: rfc3339(voucher.expiresAt),
    lock: null,
    redemption: made,
  }
  return { status: 200, body }
}

async function redeem(services: Services, { exchange, body, caller }: Call) {
  const key = exchange.idempotencyKey
  if (key === '') throw new Refusal('idempotency_key_required', 'send Idempotency-Key: one value for each redemption')
  if (!/^[\x21-\x7e]+$/.test(key) || key.length > KEY_BYTES_MAX)
    throw new Refusal('invalid', `Idempotency-Key: 1..${KEY_BYTES_MAX} visible characters without spaces`)
  const { replayed, json } = await services.redemption.redeem(caller.id, key, body as RedemptionBody)
  return replayed ? { status: 200, json, headers: [['Idempotent-Replayed', 'true'] as const] } : { status: 201, json }
}

export const VOUCHER_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/vouchers/{code}',
    right: 'look-up',
    summary: 'A voucher by its code',
    handle: readVoucher,
  },
  {
    method: 'post',
    path: '/v1/redemptions',
    right: 'redeem',
    summary: 'Redeems a voucher exactly once for each Idempotency-Key',
    body: redemption,
    handle: redeem,
  },
]
