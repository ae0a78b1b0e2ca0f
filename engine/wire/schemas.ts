/**
 * What requests look like. Each schema validates and documents: /openapi.json and /asyncapi.json are made of these
 * very objects, so the contract cannot say another thing than the code. Unknown fields are refused by name.
 */
import { z } from 'zod'
import { isTimeZone } from '../base/business-day.ts'
import { isMerchantId, isUserId, USER_ID_FORM } from '../base/holder.ts'
import {
  AMOUNT_MAX,
  CLAIMS_PER_REQUEST_MAX,
  KEY_BYTES_MAX,
  LOCK_TTL_S_MAX,
  MOMENT_MS_END,
  PACK_VOUCHERS_MAX,
  POOLS_MAX,
  SLOTS_MAX,
  STOCK_MAX,
  TOPICS_PER_SOCKET_MAX,
  VALID_FOR_S_MAX,
} from '../base/limits.ts'

const amount = z.int().min(0).max(AMOUNT_MAX)
const name = z.string().min(1).max(200)
/** Names of pools and tags of merchants. */
export const TAG = /^[a-z0-9_-]{1,64}$/
const tag = z.string().regex(TAG, 'must be 1..64 of a-z 0-9 _ -')
const poolName = tag.meta({ description: 'A part of the round’s stock' })
const opaque = z.string().min(1).max(KEY_BYTES_MAX)
const moment = z.iso
  .datetime({ offset: true, error: 'must be a time in RFC 3339, like 2026-12-01T10:00:00.000Z' })
  .refine(text => Date.parse(text) < MOMENT_MS_END, 'must be before the year 5138')
  .meta({ description: 'RFC 3339' })

export const userId = z
  .string()
  .refine(isUserId, USER_ID_FORM)
  .meta({ id: 'UserId', pattern: '^[A-Za-z0-9._:@|+-]{1,64}$' })

export const merchantId = z
  .string()
  .refine(isMerchantId, 'must be 1..64 of A-Z a-z 0-9 . _ @ -')
  .meta({ id: 'MerchantId', pattern: '^[A-Za-z0-9._@-]{1,64}$' })
const reason = z.string().min(1).max(200)

const amountOff = z.strictObject({ type: z.literal('amount_off'), amount_off: amount.min(1), minimum_amount: amount })
const percentOff = z.strictObject({
  type: z.literal('percent_off'),
  percent_off: z.number().gt(0).max(100).multipleOf(0.01),
  minimum_amount: amount,
  maximum_discount_amount: amount.min(1),
})

const template = z.strictObject({
  template: z.string().min(1).max(64),
  quantity: z.int().min(1).max(PACK_VOUCHERS_MAX).default(1),
  discount: z.discriminatedUnion('type', [amountOff, percentOff]),
  valid_for_s: z.int().min(1).max(VALID_FOR_S_MAX),
  max_per_order: z.int().min(1).max(1000).optional(),
  max_per_merchant_per_day: z.int().min(1).max(1000).optional(),
  merchant_tags: z.array(tag).max(32).optional(),
})

const SPRING = {
  name: 'Spring',
  sponsor: 'city',
  currency: 'CNY',
  budget: { max_amount: 7_500_000_000 },
  pack: [
    {
      template: '40-10',
      quantity: 5,
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
      valid_for_s: 604_800,
    },
  ],
  limits: { per_user: 1 },
}

export const newCampaign = z
  .strictObject({
    name,
    sponsor: name.optional(),
    currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code'),
    timezone: z.string().refine(isTimeZone, 'must be an IANA time zone, for example Asia/Shanghai').default('UTC'),
    budget: z.strictObject({ max_amount: amount.min(1), max_amount_per_day: amount.min(1).optional() }).optional(),
    on_expiry: z.enum(['returned', 'available']).default('returned'),
    pack: z
      .array(template)
      .min(1)
      .max(PACK_VOUCHERS_MAX)
      .refine(pack => pack.reduce((sum, { quantity }) => sum + quantity, 0) <= PACK_VOUCHERS_MAX, {
        message: `must hold at most ${PACK_VOUCHERS_MAX} vouchers`,
      })
      .refine(pack => new Set(pack.map(each => each.template)).size === pack.length, 'must name each template once'),
    limits: z.strictObject({ per_user: z.int().min(1).max(SLOTS_MAX).default(1) }).default({ per_user: 1 }),
  })
  .meta({ id: 'NewCampaign', examples: [SPRING] })

const drawChoices = {
  beacon: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('commit') }),
      z.strictObject({ kind: z.literal('drand') }),
    ])
    .default({ kind: 'commit' }),
  quota_order: z.enum(['general-first', 'pool-first']).default('general-first'),
  waitlist: z.int().min(0).max(STOCK_MAX).default(0),
  may_end_early: z.boolean().default(false),
}

const allocation = z.discriminatedUnion('mode', [
  // What is not strict is not said: the answer is then the same bytes as ever.
  z
    .strictObject({ mode: z.literal('fcfs'), strict: z.boolean().default(false) })
    .transform(({ mode, strict }) => (strict ? { mode, strict } : { mode })),
  z.strictObject({
    mode: z.literal('window'),
    window_ms: z.int().min(1).max(86_400_000).default(3000),
    ...drawChoices,
  }),
  z.strictObject({ mode: z.literal('lottery'), draws_at: moment, ...drawChoices }),
])

const seed = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 lower case hexadecimal digits')

export const newRound = z
  .strictObject({
    name: z.string().min(1).max(100).optional().meta({ description: 'Public; for people and for fairgrab apply' }),
    stock: z.int().min(1).max(STOCK_MAX),
    opens_at: moment.nullable().default(null),
    closes_at: moment.nullable().default(null),
    allocation: allocation.default({ mode: 'fcfs' }),
    pools: z
      .array(z.strictObject({ name: poolName, stock: z.int().min(1).max(STOCK_MAX) }))
      .max(POOLS_MAX - 1)
      .default([]),
  })
  .refine(round => round.pools.reduce((sum, pool) => sum + pool.stock, 0) <= round.stock, {
    path: ['pools'],
    message: 'must not set aside more than stock',
  })
  .refine(round => new Set(['general', ...round.pools.map(pool => pool.name)]).size === round.pools.length + 1, {
    path: ['pools'],
    message: 'must have different names; general is the rest of the stock',
  })
  .refine(round => !round.opens_at || !round.closes_at || Date.parse(round.closes_at) > Date.parse(round.opens_at), {
    path: ['closes_at'],
    message: 'must be later than opens_at',
  })
  .meta({
    id: 'NewRound',
    examples: [{ stock: 100_000, opens_at: '2026-12-01T10:00:00.000Z', pools: [{ name: 'assisted', stock: 5000 }] }],
  })

export const restock = z
  .strictObject({
    add: z
      .int()
      .min(-STOCK_MAX)
      .max(STOCK_MAX)
      .refine(add => add !== 0, 'must not be 0'),
    pool: poolName.default('general'),
    if_total: z
      .int()
      .min(0)
      .max(STOCK_MAX)
      .optional()
      .meta({ description: 'What the pool’s total has to be now; else nothing changes' }),
  })
  .meta({ id: 'Restock', examples: [{ add: 1000, pool: 'general' }] })

export const claim = z
  .strictObject({
    user_id: userId.optional(),
    pool: poolName.optional(),
    slot: z.int().min(1).max(SLOTS_MAX).default(1),
    nonce: seed.optional(),
    salt: seed.optional(),
  })
  .meta({ id: 'ClaimRequest', examples: [{ user_id: 'u1', pool: 'general', slot: 1 }] })

export const claimsBatch = z
  .strictObject({
    claims: z
      .array(claim.required({ user_id: true }))
      .min(1)
      .max(CLAIMS_PER_REQUEST_MAX),
  })
  .meta({ id: 'ClaimsBatch', examples: [{ claims: [{ user_id: 'u1' }, { user_id: 'u2', slot: 2 }] }] })

export const redemption = z
  .strictObject({
    code: z.string().min(1).max(64),
    order: z.strictObject({ id: opaque, amount, currency: z.string().length(3) }),
    merchant_id: merchantId,
    store_id: opaque.optional(),
    user_id: userId.optional(),
  })
  .meta({
    id: 'RedemptionRequest',
    examples: [
      {
        code: '0001P97Q5931GQ975ZP0',
        order: { id: 'o1', amount: 5000, currency: 'CNY' },
        merchant_id: 'm1',
        store_id: 's1',
      },
    ],
  })

export const voucherLock = z
  .strictObject({ order_id: opaque, ttl_s: z.int().min(1).max(LOCK_TTL_S_MAX).default(30) })
  .meta({ id: 'LockRequest', examples: [{ order_id: 'o1', ttl_s: 30 }] })

export const voucherUnlock = z
  .strictObject({ order_id: opaque })
  .meta({ id: 'UnlockRequest', examples: [{ order_id: 'o1' }] })

export const deactivation = z
  .strictObject({ reason })
  .meta({ id: 'Deactivation', examples: [{ reason: 'reported as stolen' }] })

export const reversal = z
  .strictObject({ type: z.enum(['full', 'partial']), amount: amount.min(1).optional(), reason: reason.optional() })
  .refine(({ type, amount: part }) => (type === 'partial') === (part !== undefined), {
    path: ['amount'],
    message: 'is what a partial reversal needs and a full one must not have',
  })
  .meta({ id: 'ReversalRequest', examples: [{ type: 'full', reason: 'refund' }] })

export const merchant = z
  .strictObject({ name, tags: z.array(tag).max(32).default([]), stores: z.array(opaque).max(1000).default([]) })
  .meta({ id: 'Merchant', examples: [{ name: 'Corner shop', tags: ['small_shop'], stores: ['s1'] }] })

/** A merchant on a line of its own. */
export const merchantLine = z
  .strictObject({ id: merchantId, ...merchant.shape })
  .meta({ id: 'MerchantLine', examples: [{ id: 'm1', name: 'Corner shop', tags: ['small_shop'] }] })

export const hold = z
  .strictObject({ merchant_id: merchantId, reason })
  .meta({ id: 'Hold', examples: [{ merchant_id: 'm1', reason: 'complaint 4711' }] })

const rate = z.int().min(0).max(10_000_000).nullable().optional()
export const rates = z
  .strictObject({ user: rate, address: rate, key: rate })
  .meta({ id: 'RateChange', examples: [{ user: 5, address: null }] })

export const merchantHold = z
  .strictObject({ reason })
  .meta({ id: 'MerchantHold', examples: [{ reason: 'complaint 4711' }] })

export const settlement = z
  .strictObject({ business_date: z.iso.date().meta({ description: 'A business day that is over' }) })
  .meta({ id: 'SettlementRequest', examples: [{ business_date: '2026-12-01' }] })

export const lapse = z
  .strictObject({ tag: z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 lower case hexadecimal digits') })
  .meta({ id: 'Lapse', examples: [{ tag: '9b1c0f5ad3e84b7796a2c4d85e0f1324' }] })

export const drandBeacon = z
  .strictObject({
    round: z.int().min(1),
    signature: z.string().regex(/^[0-9a-f]{96}$/, 'must be 96 lower case hexadecimal digits'),
  })
  .meta({ id: 'DrandBeacon', examples: [{ round: 4_735_000, signature: 'a0'.repeat(48) }] })

const id = z.union([z.int(), z.string().max(64)])
const topics = z.array(z.string().max(80)).min(1).max(TOPICS_PER_SOCKET_MAX)
const round = z.string().max(64)

/** What a client may send on the stream, by `op`. */
export const streamFrame = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('subscribe'), id, topics }),
  z.strictObject({ op: z.literal('unsubscribe'), id, topics }),
  z.strictObject({ op: z.literal('claim'), id, round_id: round, ...claim.shape }),
  z.strictObject({
    op: z.literal('claims'),
    id,
    round_id: round,
    user_ids: z.array(userId).min(1).max(CLAIMS_PER_REQUEST_MAX),
    pool: poolName.optional(),
  }),
  z.strictObject({ op: z.literal('ping'), id }),
])

export type ClaimBody = z.output<typeof claim>
export type RedemptionBody = z.output<typeof redemption>
export type StreamFrame = z.output<typeof streamFrame>

/** The first thing that is wrong with a body, in words that name the field. */
export const complaint = (error: z.ZodError): string => complaints(error)[0] ?? 'the body is invalid'

/** All that is wrong, unknown fields first: a misspelt one is why another is missing. */
export function complaints({ issues }: z.ZodError): readonly string[] {
  const unknown = issues.flatMap(issue =>
    issue.code === 'unrecognized_keys' ? issue.keys.map(key => `unknown field ${[...issue.path, key].join('.')}`) : [],
  )
  const others = issues.filter(({ code }) => code !== 'unrecognized_keys')
  return [
    ...unknown,
    ...others.map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`)),
  ]
}
