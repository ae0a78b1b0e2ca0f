/**
 * Answers about money and what became of it: ledger, settled days, holds of redemptions, report, study.
 * Amounts are minor units.
 */
import { z } from 'zod'
import { merchantId } from '../schemas.ts'
import { amount, count, dryRun, hex, moment, sequence, text } from './fields.ts'

export const balances = z.strictObject({
  campaign_id: text,
  currency: text,
  balances: z.record(z.string(), amount).meta({ description: 'By account; they sum to zero' }),
})
export const ledgerEntry = z
  .strictObject({
    id: text,
    at: moment,
    kind: text,
    ref: text.optional(),
    voucher: text.optional(),
    by: text.optional(),
    note: text.optional(),
    merchant: text.optional(),
    gross: text.optional(),
    pool: text.optional(),
    count: text.optional(),
    chain: hex(40),
    legs: z.array(z.strictObject({ account: text, amount })),
  })
  .meta({ id: 'LedgerEntry' })
export const settledDay = z
  .strictObject({
    campaign_id: text,
    business_date: text,
    timezone: text,
    currency: text,
    rows: count,
    control_total: amount,
    sha256: hex(64),
    sha256_ndjson: hex(64),
    merchants: z.array(z.strictObject({ merchant_id: text, rows: count, amount })),
  })
  .meta({ id: 'SettledDay' })
const heldFields = { campaign_id: text, merchant_id: merchantId, redemptions: count }
export const hold = z.union([
  z.strictObject({ ...heldFields, reason: text }),
  z.strictObject({ dry_run: dryRun, ...heldFields }),
])

const sums = { redeemed: count, reversed: count, subsidy: amount, gross: amount }
export const report = z
  .strictObject({
    campaign_id: text,
    name: text,
    currency: text,
    timezone: text,
    at: moment,
    packs: count,
    vouchers: z.strictObject({ issued: count, redeemed: count, expired: count, deactivated: count, active: count }),
    redemption_rate: z.number(),
    ...sums,
    gross_per_subsidy: z.number(),
    not_causal: text,
    by_day: z.array(z.strictObject({ business_date: text, ...sums, expired: count, redemption_rate: z.number() })),
    by_pool: z.array(z.strictObject({ pool: text, packs: count, ...sums })),
    by_merchant_tag: z.array(z.strictObject({ tag: text, ...sums })),
  })
  .meta({ id: 'Report' })
export const studyRow = z
  .strictObject({ person: text, round_id: text, pool: text, sequence, granted_at: moment, ...sums })
  .meta({ id: 'StudyRow' })
