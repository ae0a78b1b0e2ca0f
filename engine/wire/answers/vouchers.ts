/**
 * Answers about vouchers at the till and afterwards: looked up, locked, redeemed, reversed, taken out of use, with their history;
 * and about the merchants that take them.
 */
import { z } from 'zod'
import { merchant, merchantId, newCampaign } from '../schemas.ts'
import { amount, dryRun, moment, text, voucherState } from './fields.ts'

const lock = z.strictObject({ id: text, order_id: text, merchant_id: text.optional(), ends_at: moment })
const redemptionFields = {
  id: text,
  state: z.enum(['succeeded', 'partial', 'reversed', 'deactivated']),
  code: text,
  order_id: text,
  merchant_id: text,
  store_id: text.optional(),
  via: text.optional(),
  discount_amount: amount,
  payer_amount: amount,
  merchant_receivable: amount,
  currency: text,
  redeemed_at: moment,
}
export const redemption = z.strictObject(redemptionFields).meta({
  id: 'Redemption',
  examples: [
    {
      id: 'rdm_6fo0yx5n9c3j2e1d_0a1b2c3d4e5f6g7h',
      state: 'succeeded',
      code: '0001P97Q5931GQ975ZP0',
      order_id: 'o1',
      merchant_id: 'm1',
      discount_amount: 1000,
      payer_amount: 4000,
      merchant_receivable: 5000,
      currency: 'CNY',
      redeemed_at: '2026-12-01T10:05:34.250Z',
    },
  ],
})
export const keptRedemption = z
  .strictObject({ ...redemptionFields, reversed_amount: amount })
  .meta({ id: 'KeptRedemption' })
export const reversal = z
  .strictObject({
    id: text,
    redemption_id: text,
    state: z.literal('succeeded'),
    type: z.enum(['full', 'partial']),
    reason: text,
    via: text.optional(),
    amount,
    voucher_state: voucherState,
    reversed_at: moment,
  })
  .meta({ id: 'Reversal' })

export const voucher = z
  .strictObject({
    code: text,
    state: voucherState,
    template: text,
    discount: newCampaign.shape.pack.element.shape.discount,
    user_id: text,
    round_id: text,
    expires_at: moment,
    lock: lock.nullable(),
    redemption: keptRedemption.nullable(),
  })
  .meta({ id: 'Voucher' })
export const lockedVoucher = z
  .strictObject({ code: text, state: z.literal('locked'), lock })
  .meta({ id: 'LockedVoucher' })
const deactivationEffect = z
  .strictObject({ dry_run: dryRun, before: voucherState, after: voucherState })
  .meta({ id: 'DeactivationEffect' })
export const deactivatedVoucher = z.union([voucher, deactivationEffect])
export const voucherHistory = z
  .strictObject({
    code: text,
    events: z.array(
      z.strictObject({
        at: moment,
        event: z.enum(['granted', 'locked', 'unlocked', 'redeemed', 'reversed', 'deactivated', 'expired']),
        by: text.optional(),
        via: text.optional(),
        merchant_id: text.optional(),
        note: text.optional(),
        ref: text.optional(),
        amount: amount.optional(),
      }),
    ),
  })
  .meta({ id: 'VoucherHistory' })

export const keptMerchant = z.strictObject({ id: merchantId, ...merchant.shape }).meta({ id: 'KeptMerchant' })
const keptLine = z.strictObject({ line: z.int().min(1), id: merchantId, outcome: z.literal('kept') })
const wrongLine = z.strictObject({ line: z.int().min(1), code: z.enum(['malformed', 'invalid']), detail: text })
export const lineResults = z
  .strictObject({ results: z.array(z.union([keptLine, wrongLine])) })
  .meta({ id: 'LineResults' })
const heldMerchant = z
  .strictObject({ merchant_id: merchantId, reason: text, by: text, at: moment })
  .meta({ id: 'HeldMerchant' })
export const heldMerchants = z.strictObject({ data: z.array(heldMerchant) })
export const merchantStanding = z.union([
  z.strictObject({ merchant_id: merchantId, held: heldMerchant.nullable() }),
  z.strictObject({ dry_run: dryRun, before: heldMerchant.nullable(), after: heldMerchant.nullable() }),
])
