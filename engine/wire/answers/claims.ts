/**
 * Answers to claims and about them: the grant with its vouchers, the entry with its receipt, results of a batch, and the draw that
 * an entry waits for.
 */
import { z } from 'zod'
import { CODES, type Code } from '../../base/codes.ts'
import { count, hex, moment, sequence, slot, text, voucherState } from './fields.ts'
import { roundState } from './rounds.ts'

const via = text.meta({ description: 'The scope of the key that claimed it, for keys that may read' })
const claim = z
  .strictObject({
    id: text,
    round_id: text,
    user_id: text,
    pool: text,
    slot,
    sequence,
    granted_at: moment,
    via: via.optional(),
  })
  .meta({ id: 'Claim' })
const claimVoucher = z
  .strictObject({ code: text, template: text, state: voucherState, expires_at: moment })
  .meta({ id: 'ClaimVoucher' })
const level = { durability: text.optional(), declared: z.literal(true).optional() }
const grantFields = {
  outcome: z.literal('granted'),
  replayed: z.literal(true).optional().meta({ description: 'It was granted before' }),
  claim,
  vouchers: z.array(claimVoucher),
}
const receipt = z
  .strictObject({
    tag: hex(32),
    pool: count,
    round_id: text,
    window: count,
    at: moment,
    path: z.array(z.string().regex(/^[LR][0-9a-f]{64}$/)),
    root: hex(64),
    signature: hex(128),
    key_id: text,
    user_id: text.optional(),
    salt: hex(32).optional(),
    nonce: hex(32).optional(),
  })
  .meta({ id: 'Receipt' })
const entryFields = { outcome: z.literal('entered'), receipt }

export const grantedClaim = z.strictObject(grantFields).meta({
  id: 'GrantedClaim',
  examples: [
    {
      outcome: 'granted',
      claim: {
        id: 'clm_6fo0yx5n9c3j2e1d_1',
        round_id: 'rnd_6fo0yx5n9c3j2e1d',
        user_id: 'u1',
        pool: 'general',
        slot: 1,
        sequence: 1,
        granted_at: '2026-12-01T10:00:00.412Z',
      },
      vouchers: [
        {
          code: '0001P97Q5931GQ975ZP0',
          template: '40-10',
          state: 'active',
          expires_at: '2026-12-08T10:00:00.412Z',
        },
      ],
    },
  ],
})
export const enteredClaim = z.strictObject(entryFields).meta({ id: 'EnteredClaim' })
export const readClaim = z.strictObject({ ...grantFields, ...level }).meta({ id: 'ClaimNow' })
export const readEntry = z.strictObject({ ...entryFields, ...level }).meta({ id: 'EntryNow' })

const claimResult = z.union([
  z.strictObject({ ...grantFields, sequence, claim: claim.optional(), vouchers: z.array(claimVoucher).optional() }),
  z.strictObject({ outcome: z.enum(Object.keys(CODES) as [Code, ...Code[]]).exclude(['granted', 'replayed']) }),
])
export const batchResults = z.strictObject({ results: z.array(claimResult), ...level }).meta({ id: 'BatchResults' })

export const grant = z
  .strictObject({ sequence, user_id: text, slot, pool: text, granted_at: moment, via: via.optional() })
  .meta({ id: 'Grant' })

const inRound = { round_id: text, campaign_id: text, round_state: roundState, slot }
export const userClaim = z
  .union([
    z.strictObject({ ...inRound, ...grantFields }),
    z.strictObject({ ...inRound, ...entryFields }),
    z.strictObject({ ...inRound, outcome: z.literal('sold_out') }),
    z.strictObject({
      round_id: text,
      round_state: z.literal('fenced'),
      slot,
      outcome: z.literal('fenced'),
      problem: text,
    }),
  ])
  .meta({ id: 'UserClaim' })

export const draw = z
  .strictObject({
    round_id: text,
    mode: z.enum(['window', 'lottery']),
    window: count,
    state: z.enum(['open', 'closed', 'committed', 'beacon', 'drawn', 'overdue']),
    overdue_since: moment.optional(),
    trust: z.enum(['T1', 'T2', 'T3']),
    files: z.array(z.strictObject({ name: text, bytes: count, sha256: hex(64) })),
  })
  .meta({ id: 'Draw' })
export const proof = z.strictObject({
  index: count,
  n: count,
  leaf: text,
  path: z.array(text),
  root: hex(64),
})
export const drawKeys = z.strictObject({ keys: z.array(z.strictObject({ key_id: text, public_key: text })) })
export const revealed = z.strictObject({ round_id: text, state: z.literal('beacon') })
export const promotion = z.strictObject({
  pool: text.nullable(),
  from: hex(32),
  to: hex(32).nullable(),
  at: moment.nullable(),
})
