/**
 * After the claim, over HTTP: locks, rules that name themselves, reversals, merchants, money, settlement, report.
 *
 * The scripts have tests of their own; here it is about what a till and a sponsor see. A campaign's clock is moved ahead
 * in Redis where a business day or a validity has to pass. What a forged code costs is counted in commands that Redis
 * was asked, because a stop-watch on a busy machine proves nothing.
 */
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RIGHTS, type Right } from '../../engine/auth/callers.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import {
  Api,
  expectProblem,
  type Fields,
  type Granted,
  makeRound,
  PACK,
  type Reply,
  type Round,
} from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { primariesOf, type RedisServer, rawRedis, startRedis } from '../support/redis.ts'

const BOUND = 'merchant-key-of-m1'
const OTHER = 'merchant-key-of-m2'
const DAY_MS = 86_400_000

let redis: RedisServer
let client: Redis
let worker: TestWorker
let operator: Api
let merchant: Api
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  client = rawRedis(redis.url)
  const list = Object.entries(KEYS).map(([role, key]) => `${role}:${key}`)
  worker = await startTestWorker(redis.url, {
    FAIRGRAB_KEYS: [...list, `merchant:${BOUND}:m1`, `merchant:${OTHER}:m2`].join(','),
  })
  operator = new Api(worker.url, KEYS.operator)
  merchant = operator.as(KEYS.merchant)
})
afterAll(async () => {
  await worker.stop()
  client.disconnect()
  await redis.stop()
})

let count = 0
const freshKey = () => ({ 'idempotency-key': `key-${++count}` })
const one = (more: Fields = {}) => [{ ...PACK[0], quantity: 1, ...more }]

async function voucher(round: Round, user = `u${++count}`): Promise<string> {
  const { body } = await operator.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: user })
  return body.vouchers[0]?.code as string
}
const redeem = (code: string, more: Fields = {}, by = merchant): Promise<Reply> =>
  by.post(
    '/v1/redemptions',
    { code, order: { id: `o${++count}`, amount: 5000, currency: 'CNY' }, merchant_id: 'm1', ...more },
    freshKey(),
  )
const order = (id: string, amount = 5000) => ({ order: { id, amount, currency: 'CNY' } })
const moveClock = (round: Round, ms: number) => client.hset(keys.campaignState(round.campaign_id), 'ahead', ms)
const balances = async (round: Round): Promise<Record<string, number>> =>
  (await operator.get<{ balances: Record<string, number> }>(`/v1/campaigns/${round.campaign_id}/ledger`)).body.balances

test('a lock is shown, kept against other orders, and ends with the redemption of its own', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const code = await voucher(round)
  const locked = await merchant.post(`/v1/vouchers/${code}/lock`, { order_id: 'mine', ttl_s: 60 })
  expect([locked.status, locked.body]).toMatchObject([
    200,
    { code, state: 'locked', lock: { id: expect.stringMatching(/^lck_/), order_id: 'mine' } },
  ])
  expect((await merchant.get(`/v1/vouchers/${code}`)).body).toMatchObject({ state: 'locked', lock: locked.body.lock })
  const other = await merchant.post(`/v1/vouchers/${code}/lock`, { order_id: 'other' })
  expectProblem(other, 'voucher_locked', { locked_until: (locked.body.lock as Fields).ends_at })
  expectProblem(await merchant.post(`/v1/vouchers/${code}/unlock`, { order_id: 'other' }), 'voucher_locked')
  expectProblem(await redeem(code), 'voucher_locked')
  expect((await merchant.post(`/v1/vouchers/${code}/unlock`, { order_id: 'mine' })).body).toMatchObject({
    state: 'active',
    lock: null,
  })
  expect((await merchant.post(`/v1/vouchers/${code}/unlock`, { order_id: 'mine' })).status).toBe(200)
  await merchant.post(`/v1/vouchers/${code}/lock`, { order_id: 'mine' })
  expect((await redeem(code, order('mine'))).status).toBe(201)
  expectProblem(await merchant.post(`/v1/vouchers/${code}/lock`, { order_id: 'mine' }), 'already_redeemed')
})

test('limits name themselves, and an owner is asked for where he is named', async () => {
  const rules = { max_per_order: 1, max_per_merchant_per_day: 2 }
  const budget = { max_amount: 1_000_000, max_amount_per_day: 3000 }
  const round = await makeRound(operator, {}, { pack: [{ ...PACK[0], quantity: 5, ...rules }], budget })
  const { body } = await operator.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'owner' })
  const [a, b, c, d] = body.vouchers.map(({ code }) => code) as [string, string, string, string]
  expectProblem(await redeem(a, { user_id: 'thief' }), 'not_eligible')
  expect((await redeem(a, { ...order('x'), user_id: 'owner' })).status).toBe(201)
  expectProblem(await redeem(b, order('x')), 'order_limit')
  expect((await redeem(b, order('y'))).status).toBe(201)
  expectProblem(await redeem(c, order('z')), 'merchant_limit')
  expect((await redeem(c, { ...order('z'), merchant_id: 'm2' })).status).toBe(201)
  expectProblem(await redeem(d, { ...order('w'), merchant_id: 'm2' }), 'budget_exceeded')
  await moveClock(round, DAY_MS)
  expect((await redeem(d, { ...order('w'), merchant_id: 'm2' })).status).toBe(201)
})

test('a template for tags is accepted by merchants that have one; a repeat is answered whatever became of the tags', async () => {
  const round = await makeRound(operator, {}, { pack: one({ merchant_tags: ['small_shop'] }) })
  const [code, next] = [await voucher(round), await voucher(round)]
  const key = freshKey()
  const body = { code, ...order('o'), merchant_id: 'shop' }
  const ask = () => merchant.post('/v1/redemptions', body, key)
  expectProblem(await ask(), 'merchant_not_eligible')
  const shop = { name: 'Corner', tags: ['small_shop', 'food'], stores: ['s1'] }
  expect((await operator.call('PUT', '/v1/merchants/shop', { body: shop })).body).toEqual({ id: 'shop', ...shop })
  expect((await merchant.get('/v1/merchants/shop')).body).toEqual({ id: 'shop', ...shop })
  const made = await ask()
  expect(made.status).toBe(201)
  await operator.call('PUT', '/v1/merchants/shop', { body: { name: 'Corner' } })
  expectProblem(await redeem(next, { merchant_id: 'shop' }), 'merchant_not_eligible')
  expect((await ask()).bytes).toEqual(made.bytes)
  expectProblem(await merchant.get('/v1/merchants/none'), 'not_found')
  expectProblem(await operator.call('PUT', '/v1/merchants/a:b', { body: shop }), 'invalid')
})

test('a bound key acts for its merchant only', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const bound = operator.as(BOUND)
  const [own, foreign] = [await voucher(round), await voucher(round)]
  expectProblem(await redeem(own, { merchant_id: 'm2' }, bound), 'forbidden')
  expect((await redeem(own, {}, bound)).status).toBe(201)
  const { body } = await redeem(foreign, { merchant_id: 'm2' })
  const back = (by: Api) => by.post(`/v1/redemptions/${body.id}/reversals`, { type: 'full' }, freshKey())
  expectProblem(await back(bound), 'not_found')
  expect((await back(merchant)).status).toBe(201)
})

test('a bound key has no part in another’s lock, and sees of others only that the voucher is taken', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const [m1, m2] = [operator.as(BOUND), operator.as(OTHER)]
  const lock = (by: Api, code: string) => by.post(`/v1/vouchers/${code}/lock`, { order_id: 'same', ttl_s: 60 })
  const unlock = (by: Api, code: string) => by.post(`/v1/vouchers/${code}/unlock`, { order_id: 'same' })
  const shown = async (by: Api, code: string) => (await by.get(`/v1/vouchers/${code}`)).body
  const holders: readonly (readonly [Api, Fields])[] = [
    [m2, { order_id: 'same', merchant_id: 'm2' }],
    [merchant, { order_id: 'same' }],
  ]
  for (const [holder, its] of holders) {
    const code = await voucher(round)
    const { lock: first } = (await lock(holder, code)).body as { lock: Fields }
    const refused = [await lock(m1, code), await unlock(m1, code), await redeem(code, order('same'), m1)]
    for (const reply of refused) {
      expectProblem(reply, 'voucher_locked', { locked_until: first.ends_at })
      expect(JSON.stringify(reply.body)).not.toMatch(/same|m2|lck_/)
    }
    expect(await shown(m1, code)).toMatchObject({ state: 'locked', lock: null, redemption: null })
    for (const by of [holder, operator])
      expect((await shown(by, code)).lock).toEqual({ id: first.id, ...its, ends_at: first.ends_at })
    const made = await redeem(code, { ...order('same'), merchant_id: 'm2' })
    expect(made.status).toBe(201)
    expect(await shown(m1, code)).toMatchObject({ state: 'redeemed', lock: null, redemption: null })
    const { body: unlocked } = await unlock(m1, code)
    expect([unlocked.state, unlocked.redemption, JSON.stringify(unlocked)]).toEqual([
      'redeemed',
      null,
      expect.not.stringContaining('m2'),
    ])
    for (const by of [m2, merchant]) expect((await shown(by, code)).redemption).toMatchObject(made.body)
    const taken = [await lock(m1, code), await redeem(code, order('same'), m1)]
    for (const reply of taken) {
      expectProblem(reply, 'already_redeemed')
      expect(JSON.stringify(reply.body)).not.toMatch(/same|m2|rdm_/)
    }
  }
})

test('a key that is bound to nobody does not touch a bound lock, and redeems under it for its merchant', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const code = await voucher(round)
  const m2 = operator.as(OTHER)
  const its = { order_id: 'o', ttl_s: 60 }
  expect((await m2.post(`/v1/vouchers/${code}/lock`, its)).status).toBe(200)
  expectProblem(await merchant.post(`/v1/vouchers/${code}/lock`, its), 'voucher_locked')
  expectProblem(await merchant.post(`/v1/vouchers/${code}/unlock`, { order_id: 'o' }), 'voucher_locked')
  expectProblem(await redeem(code, { ...order('o'), merchant_id: 'm1' }), 'voucher_locked')
  expect((await m2.post(`/v1/vouchers/${code}/unlock`, { order_id: 'o' })).body).toMatchObject({ state: 'active' })
  expect((await m2.post(`/v1/vouchers/${code}/lock`, its)).status).toBe(200)
  expect((await redeem(code, { ...order('o'), merchant_id: 'm2' })).status).toBe(201)
})

/** The routes that a merchant's key may ask besides those of everybody: none tells a bound one of another merchant. */
const ASKED = [
  'get /v1/merchants/{id}',
  'get /v1/vouchers/{code}',
  'post /v1/redemptions',
  'post /v1/redemptions/{id}/reversals',
]
  .concat(['lock', 'unlock'].map(verb => `post /v1/vouchers/{code}/${verb}`))
  .concat(['', '/{id}'].map(end => `get /v1/redemptions${end}`))
  .sort()

test('a bound key reads its own merchant only, and every other route of its rights is tried above', async () => {
  const rights = new Set<Right>(RIGHTS.merchant.filter(right => right !== 'public'))
  const asked = ROUTES.filter(({ right }) => rights.has(right)).map(({ method, path }) => `${method} ${path}`)
  expect(asked.sort()).toEqual(ASKED)
  const body = { name: 'Secret', tags: [], stores: ['s'] }
  for (const id of ['m1', 'm2']) await operator.call('PUT', `/v1/merchants/${id}`, { body })
  expect((await operator.as(BOUND).get('/v1/merchants/m1')).status).toBe(200)
  for (const id of ['m2', 'none']) expectProblem(await operator.as(BOUND).get(`/v1/merchants/${id}`), 'forbidden')
  expect((await merchant.get('/v1/merchants/m2')).status).toBe(200)
})

test('reversals: full restores, partial does not, repeats are byte for byte', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const code = await voucher(round)
  const { body: first } = await redeem(code)
  const path = `/v1/redemptions/${first.id}/reversals`
  const key = freshKey()
  const full = { type: 'full', reason: 'refund' }
  const made = await merchant.post(path, full, key)
  expect([made.status, made.body]).toMatchObject([
    201,
    {
      id: expect.stringMatching(/^rev_/),
      redemption_id: first.id,
      type: 'full',
      reason: 'refund',
      amount: 1000,
      voucher_state: 'active',
    },
  ])
  const again = await merchant.post(path, full, key)
  expect([again.status, again.headers.get('idempotent-replayed'), again.bytes]).toEqual([200, 'true', made.bytes])
  expectProblem(await merchant.post(path, { type: 'partial', amount: 1 }, key), 'idempotency_mismatch')
  expectProblem(await merchant.post(path, full, freshKey()), 'not_reversible')
  expectProblem(await merchant.post(path, full), 'idempotency_key_required')
  const { body: second } = await redeem(code)
  const other = `/v1/redemptions/${second.id}/reversals`
  expect((await merchant.post(other, { type: 'partial', amount: 300 }, freshKey())).body).toMatchObject({
    amount: 300,
    voucher_state: 'redeemed',
  })
  expectProblem(await merchant.post(other, { type: 'partial', amount: 701 }, freshKey()), 'over_redeemed')
  expect((await merchant.post(other, full, freshKey())).body).toMatchObject({ amount: 700, voucher_state: 'redeemed' })
  for (const body of [
    { type: 'partial' },
    { type: 'full', amount: 5 },
    { type: 'half' },
    { type: 'partial', amount: 0 },
  ])
    expectProblem(await merchant.post(other, body, freshKey()), 'invalid')
  for (const id of ['rdm_none', `${first.id}x`, 'rdm_0000000000000000_0000000000000000'])
    expectProblem(await merchant.post(`/v1/redemptions/${id}/reversals`, full, freshKey()), 'not_found')
})

/** The day of a redemption is settled: once, with files whose sums are those that were told. */
async function expectSettlement(round: Round, redeemedAt: string): Promise<void> {
  const path = `/v1/campaigns/${round.campaign_id}`
  const date = new Intl.DateTimeFormat('en-CA', { timeZone: 'Asia/Shanghai' }).format(Date.parse(redeemedAt))
  expectProblem(await operator.post(`${path}/settlements`, { business_date: date }), 'day_open')
  expectProblem(await operator.post(`${path}/settlements`, { business_date: '2026-02-30' }), 'invalid')
  expectProblem(await operator.get(`${path}/settlements/${date}`), 'not_found')
  await moveClock(round, DAY_MS)
  const settled = await operator.post(`${path}/settlements`, { business_date: date })
  expect([settled.status, settled.body]).toMatchObject([
    200,
    {
      business_date: date,
      rows: 3,
      control_total: 1600,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      merchants: [
        { merchant_id: 'm1', rows: 1, amount: 1000 },
        { merchant_id: 'm2', rows: 2, amount: 600 },
      ],
    },
  ])
  expect((await operator.post(`${path}/settlements`, { business_date: date })).bytes).toEqual(settled.bytes)
  expect((await operator.get(`${path}/settlements/${date}`)).body).toEqual(settled.body)
  expect(await balances(round)).toMatchObject({
    'payable:m1': 0,
    'settled:m1': 1000,
    'payable:m2': 0,
    'settled:m2': 600,
  })
  for (const [accept, sum] of [
    ['text/csv', 'sha256'],
    ['application/x-ndjson', 'sha256_ndjson'],
  ] as const) {
    const file = await operator.get(`${path}/settlements/${date}`, { accept })
    expect([file.headers.get('content-type'), createHash('sha256').update(file.bytes).digest('hex')]).toEqual([
      expect.stringContaining(accept),
      settled.body[sum],
    ])
  }
}

async function expectReport(round: Round): Promise<void> {
  const path = `/v1/campaigns/${round.campaign_id}`
  const report = await operator.get(`${path}/report`)
  expect(report.body).toMatchObject({
    packs: 3,
    vouchers: { issued: 3, active: 0, redeemed: 2, expired: 0, deactivated: 1 },
    subsidy: 1600,
    gross: 8000,
    gross_per_subsidy: 5,
    not_causal: expect.stringContaining('not the causal effect'),
    by_pool: [{ pool: 'general', packs: 3, redeemed: 2, reversed: 1 }],
  })
  const study = await operator.get<{ data: Fields[] }>(`${path}/study`)
  expect(study.body.data.map(({ sequence, redeemed, subsidy }) => [sequence, redeemed, subsidy])).toEqual([
    [1, 1, 1000],
    [2, 1, 600],
    [3, 0, 0],
  ])
  for (const { person } of study.body.data) expect(person).toMatch(/^[0-9a-f]{20}$/)
  expect(JSON.stringify(study.body)).not.toContain('anna')
}

test('a campaign from funding to settlement: balances, entries, files, report, study', async () => {
  const campaign = { pack: one(), budget: { max_amount: 20_000 }, timezone: 'Asia/Shanghai', on_expiry: 'available' }
  const round = await makeRound(operator, {}, campaign)
  const path = `/v1/campaigns/${round.campaign_id}`
  const [kept, back, off] = [await voucher(round, 'anna'), await voucher(round, 'ben'), await voucher(round, 'carl')]
  expect(await balances(round)).toMatchObject({ sponsor_funds: -20_000, available: 17_000, allocated: 3000 })
  const { body: made } = await redeem(kept)
  const { body: undone } = await redeem(back, { merchant_id: 'm2' })
  await merchant.post(`/v1/redemptions/${undone.id}/reversals`, { type: 'partial', amount: 400 }, freshKey())
  const gone = await operator.post(`/v1/vouchers/${off}/deactivate`, { reason: 'lost' })
  expect(gone.body.state).toBe('deactivated')
  expectProblem(await redeem(off), 'deactivated')
  expectProblem(await operator.post(`/v1/vouchers/${kept}/deactivate`, { reason: 'lost' }), 'already_redeemed')
  const standing = await balances(round)
  expect(standing).toMatchObject({ available: 18_400, allocated: 0, 'payable:m1': 1000, 'payable:m2': 600 })
  expect(Object.values(standing).reduce((sum, amount) => sum + amount, 0)).toBe(0)
  const entries = await operator.get<{ data: Fields[]; has_more: boolean; next_cursor: string }>(
    `${path}/ledger/entries?limit=2`,
  )
  expect(entries.body.data.map(({ kind }) => kind)).toEqual(['fund', 'redeem'])
  const more = await operator.get<{ data: Fields[] }>(`${path}/ledger/entries?cursor=${entries.body.next_cursor}`)
  expect(more.body.data.map(({ kind }) => kind)).toEqual(['redeem', 'reverse', 'deactivate'])
  expectProblem(await operator.get(`${path}/ledger/entries?cursor=x`), 'invalid')
  await expectSettlement(round, made.redeemed_at as string)
  await expectReport(round)
})

test('expired money is free again where the campaign says so, and a hold takes what is not settled', async () => {
  const budget = { max_amount: 2000 }
  const round = await makeRound(
    operator,
    { stock: 2 },
    { pack: one({ valid_for_s: 60 }), budget, on_expiry: 'available' },
  )
  const path = `/v1/campaigns/${round.campaign_id}`
  const used = await voucher(round)
  await voucher(round)
  expect((await redeem(used, { merchant_id: 'm9' })).status).toBe(201)
  expectProblem(await operator.post(`${path}/rounds`, { stock: 1 }), 'budget_exceeded')
  await moveClock(round, 180_000)
  expect((await operator.get(`${path}/report`)).body.vouchers).toMatchObject({ redeemed: 1, expired: 1, active: 0 })
  expect((await operator.post(`${path}/rounds`, { stock: 1 })).status).toBe(201)
  expectProblem(await operator.post(`${path}/rounds`, { stock: 1 }), 'budget_exceeded')
  const held = await operator.post(`${path}/holds`, { merchant_id: 'm9', reason: 'fraud' })
  expect(held.body).toMatchObject({ merchant_id: 'm9', redemptions: 1 })
  expect((await operator.post(`${path}/holds`, { merchant_id: 'm9', reason: 'fraud' })).body.redemptions).toBe(0)
  expect((await merchant.get(`/v1/vouchers/${used}`)).body.state).toBe('deactivated')
  expect(await balances(round)).toMatchObject({ available: 2000, allocated: 0, 'payable:m9': 0 })
})

test('a code that is forged, altered or guessed costs the same, in Redis too', async () => {
  const round = await makeRound(operator, {}, { pack: one() })
  const code = await voucher(round)
  await merchant.get(`/v1/vouchers/${code}`)
  // The least of three: what the worker reads beside it (checks, a round behind a new connection) only adds.
  const asked = async (wrong: string) => {
    const once = async () => {
      const before = await commands()
      const reply = await merchant.get(`/v1/vouchers/${wrong}`)
      expectProblem(reply, 'not_found')
      return { cost: (await commands()) - before, bytes: reply.bytes.toString() }
    }
    const times = [await once(), await once(), await once()]
    return [Math.min(...times.map(({ cost }) => cost)), ...new Set(times.map(({ bytes }) => bytes))]
  }
  const flipped = (at: number) => code.slice(0, at) + (code[at] === 'Z' ? 'Y' : 'Z') + code.slice(at + 1)
  const costs = [flipped(19), flipped(6), flipped(12), `ZZZZ${code.slice(4)}`, 'no-code', `${code}0`]
  const seen = new Set<string>()
  for (const wrong of costs) seen.add(JSON.stringify(await asked(wrong)))
  expect([...seen]).toEqual([expect.stringMatching(/^\[1,/)])
})

/** How many times a field of a hash was read so far. */
async function commands(): Promise<number> {
  const infos = await Promise.all((await primariesOf(client)).map(server => server.info('commandstats')))
  return infos.reduce((sum, info) => sum + Number(/cmdstat_hget:calls=(\d+)/.exec(info)?.[1] ?? 0), 0)
}
