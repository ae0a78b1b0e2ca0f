/**
 * The client against a running engine: every outcome of a claim, alone and in a batch, rounds, receipts, and a till's changes.
 *
 * What it says is compared with what the API itself says to another program. How it behaves when things break is
 * test/fault/client.test.ts, what it asks again test/unit/client-patience.test.ts, the stream test/server/client-stream.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ClaimResult, Granted } from '../../engine/client/claim.ts'
import { EngineError, Fairgrab } from '../../engine/client/fairgrab.ts'
import type { ReceiptFields } from '../../engine/client/receipt-check.ts'
import { Api, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { userToken } from '../support/user-token.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
let platform: Fairgrab
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
  platform = new Fairgrab({ url: `${worker.url}/`, key: KEYS.platform, WebSocket })
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

const granted = (result: ClaimResult): Granted => {
  if (result.outcome !== 'granted') throw new Error(JSON.stringify(result))
  return result
}

test('a claim is granted, and asked again it is the same one', async () => {
  const { id } = await makeRound(api, {}, { limits: { per_user: 2 } })
  const first = granted(await platform.claim(id, { user: 'ada' }))
  expect(first).toMatchObject({ claim: { user_id: 'ada', sequence: 1, slot: 1, pool: 'general' } })
  const again = granted(await platform.claim(id, { user: 'ada' }))
  expect(again).toEqual({ ...first, replayed: true })
  expect(granted(await platform.claim(id, { user: 'ada', slot: 2 })).claim.slot).toBe(2)
  const held = await api.get(`/v1/rounds/${id}/claims/ada`)
  expect(held.body).toMatchObject({ claim: first.claim, vouchers: first.vouchers })
})

test('a user’s token names its user, and may be a function', async () => {
  const { id } = await makeRound(api)
  const own = new Fairgrab({ url: worker.url, token: () => userToken('bea') })
  expect(granted(await own.claim(id)).claim.user_id).toBe('bea')
  expect(await own.claim(id, { user: 'ada' })).toMatchObject({ outcome: 'refused', code: 'forbidden', executed: 'no' })
})

/** What the round is made to be, and what a newcomer is told then. */
const STATES: readonly (readonly [
  string,
  Readonly<Record<string, unknown>>,
  string | undefined,
  object,
  Partial<ClaimResult>,
])[] = [
  ['not open', { opens_at: null }, undefined, {}, { outcome: 'not_open', opens_at: null, retry_after_ms: 5000 }],
  ['paused', {}, 'pause', {}, { outcome: 'paused', retry_after_ms: 2000 }],
  ['closed', {}, 'close', {}, { outcome: 'closed' }],
  ['beyond the limit', {}, undefined, { slot: 2 }, { outcome: 'limit_reached' }],
  [
    'no such pool',
    {},
    undefined,
    { pool: 'none' },
    { outcome: 'refused', code: 'invalid', status: 422, executed: 'no' },
  ],
]

test.each(STATES)('%s is told at once', async (_, rules, turn, options, result) => {
  const { id } = await makeRound(api, rules)
  if (turn) await api.post(`/v1/rounds/${id}/${turn}`)
  expect(await platform.claim(id, { user: 'ada', ...options })).toMatchObject(result)
})

test('a round that is none, a key that is none, and a pool that is not the user’s', async () => {
  expect(await platform.claim('rnd_none', { user: 'ada' })).toMatchObject({ outcome: 'refused', code: 'not_found' })
  const stranger = new Fairgrab({ url: worker.url, key: 'nobodys-key' })
  expect(await stranger.claim('rnd_none', { user: 'ada' })).toMatchObject({ outcome: 'refused', code: 'unauthorized' })
  const { id } = await makeRound(api, { pools: [{ name: 'assisted', stock: 2 }] })
  const own = new Fairgrab({ url: worker.url, token: userToken('ada') })
  expect((await own.claim(id, { pool: 'assisted' })).outcome).toBe('not_eligible')
})

test('a batch comes in its order, whatever each of them is, and in pieces where it is long', async () => {
  const { id } = await makeRound(api, { stock: 4098 }, { limits: { per_user: 1 } })
  const users = Array.from({ length: 4100 }, (_, i) => ({ user: `u${i}` }))
  const results = await platform.claimBatch(id, [{ user: 'u5', slot: 9 }, ...users])
  expect(results[0]).toEqual({ outcome: 'limit_reached' })
  const sequences = results.flatMap(result => (result.outcome === 'granted' ? [result.claim.sequence] : []))
  expect(sequences).toEqual(Array.from({ length: 4098 }, (_, i) => i + 1))
  expect(results.slice(-2)).toEqual([{ outcome: 'sold_out' }, { outcome: 'sold_out' }])
  const [again] = await platform.claimBatch(id, [{ user: 'u7' }])
  expect(again).toMatchObject({ outcome: 'granted', replayed: true, claim: { user_id: 'u7', sequence: 8 } })
  expect((again as Granted).vouchers).toHaveLength(2)
  const refused = await platform.claimBatch('rnd_none', [{ user: 'a' }, { user: 'b' }])
  expect(refused).toMatchObject(Array(2).fill({ outcome: 'refused', code: 'not_found', executed: 'no' }))
  const wrong = await platform.claimBatch(id, [{ user: 'a' }, { user: 'not a name' }])
  expect(wrong).toMatchObject(
    Array(2).fill({ outcome: 'refused', code: 'invalid', detail: expect.stringContaining('claims.1.user_id') }),
  )
  const pool = await platform.claimBatch(id, [{ user: 'a', pool: 'none' }])
  expect(pool).toMatchObject([{ code: 'invalid', detail: expect.stringContaining('pool'), executed: 'no' }])
})

test('a round as the API has it, and an error where there is none', async () => {
  const made: Round = await makeRound(api, { name: 'Noon' })
  expect(await platform.round(made.id)).toEqual((await api.get(`/v1/rounds/${made.id}`)).body)
  await expect(platform.round('rnd_none')).rejects.toBeInstanceOf(EngineError)
})

test('a receipt verifies itself, survives being kept, and fails when anything of it was changed', async () => {
  const { id } = await makeRound(api, {
    stock: 2,
    allocation: { mode: 'window', window_ms: 60_000, may_end_early: true },
  })
  const entered = await platform.claim(id, { user: 'ada' })
  if (entered.outcome !== 'entered') throw new Error(JSON.stringify(entered))
  expect(await entered.receipt.verify()).toEqual({ verdict: 'holds', why: 'The tag is that of ada.' })
  const kept = JSON.parse(JSON.stringify(entered.receipt)) as ReceiptFields
  expect((await platform.receipt(kept).verify()).verdict).toBe('holds')
  expect((await platform.receipt({ ...kept, user_id: 'eve' }).verify()).verdict).toBe('fails')
  const spoilt: readonly Partial<ReceiptFields>[] = [
    { at: '2020-01-01T00:00:00.000Z' },
    { pool: 1 },
    { key_id: '0'.repeat(16) },
    { signature: '0'.repeat(128) },
  ]
  for (const change of spoilt) expect((await platform.receipt({ ...kept, ...change }).verify()).verdict).toBe('fails')
  const { user_id: _, salt, ...unowned } = kept
  expect((await platform.receipt(unowned).verify()).why).toMatch(/^Signed by/)
  expect((await platform.receipt(unowned, 'ada').verify()).verdict).toBe('unchecked')
})

test('a till locks, redeems once for each key, and takes it back', async () => {
  const { id } = await makeRound(api)
  const [voucher] = granted(await platform.claim(id, { user: 'ada' })).vouchers
  const code = voucher?.code as string
  const till = new Fairgrab({ url: worker.url, key: KEYS.operator })
  const order = { id: 'o1', amount: 5000, currency: 'CNY' }
  expect(await till.lock(code, { order_id: 'o1' })).toMatchObject({
    outcome: 'locked',
    body: { lock: { order_id: 'o1' } },
  })
  expect(await till.lock(code, { order_id: 'o2' })).toMatchObject({ outcome: 'refused', code: 'voucher_locked' })
  const asked = { code, order, merchant_id: 'm1' }
  const first = await till.redeem(asked, { key: 'receipt-1' })
  expect(first).toMatchObject({ outcome: 'redeemed', replayed: false, body: { discount_amount: 1000 } })
  const typed = (code.match(/.{5}/g) ?? []).join('-').toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l')
  expect(await till.redeem({ ...asked, code: typed }, { key: 'receipt-1' })).toMatchObject({ outcome: 'refused' })
  expect(await till.lock(typed, { order_id: 'o2' })).toMatchObject({ code: 'already_redeemed' })
  expect(await till.redeem(asked, { key: 'receipt-1' })).toEqual({ ...first, replayed: true })
  expect(await till.redeem(asked, { key: 'receipt-2' })).toMatchObject({ outcome: 'refused', code: 'already_redeemed' })
  if (first.outcome !== 'redeemed') throw new Error(first.detail)
  const reversal = { type: 'full', reason: 'refund' } as const
  const back = await till.reverse(first.body.id, reversal, { key: 'refund-1' })
  expect(back).toMatchObject({ outcome: 'reversed', replayed: false, body: { voucher_state: 'active', amount: 1000 } })
  expect(await till.reverse(first.body.id, reversal, { key: 'refund-1' })).toMatchObject({ replayed: true })
  expect(await till.unlock(code, 'o1')).toMatchObject({ outcome: 'unlocked', body: { state: 'active' } })
})

test('every other route is asked by request, a change under its key', async () => {
  const operator = new Fairgrab({ url: worker.url, key: KEYS.operator })
  const body = { name: 'by request', currency: 'CNY', pack: PACK }
  const change = { method: 'POST', path: '/v1/campaigns', body, key: 'campaign-1' } as const
  const made = await operator.request<{ id: string }>(change)
  expect(await operator.request<{ id: string }>(change)).toEqual(made)
  await expect(operator.request({ path: '/v1/campaigns/cmp_none' })).rejects.toMatchObject({ code: 'not_found' })
})
