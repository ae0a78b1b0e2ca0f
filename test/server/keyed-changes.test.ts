/**
 * Operators' changes with an Idempotency-Key, over the public API: asked again, by whichever credential of the role and at
 * whichever node, a change is made once, and its repetition gets what stands now. Another body under the key is refused by name.
 */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import {
  Api,
  expectProblem,
  type Fields,
  LONG_AGO,
  makeCampaign,
  makeRound,
  patiently,
  type Reply,
  type Round,
} from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { OperatorChanges } from '../support/operator-changes.ts'
import { untilHolds } from '../support/polled.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const CAMPAIGN = {
  name: 'spring',
  currency: 'CNY',
  pack: [
    {
      template: 't',
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 1000 },
      valid_for_s: 1000,
    },
  ],
  budget: { max_amount: 20_000 },
}

let redis: RedisProcess
let client: Redis
let worker: TestWorker
let node: TestWorker
let api: Api
let other: Api
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  client = new Redis(redis.url)
  worker = await startTestWorker(redis.url)
  node = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
  other = new Api(node.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  await node?.stop()
  client?.disconnect()
  await redis?.stop()
})

let names = 0
const freshKey = () => `key-${++names}`
const under = (key: string) => ({ 'idempotency-key': key })
const isReplayed = ({ headers }: Reply<unknown>) => headers.get('idempotent-replayed') === 'true'

/** Asks three times, at two nodes; the first is made, the others are repetitions of it. */
async function thrice<Body = Fields>(path: string, body: unknown, method = 'POST'): Promise<Reply<Body>[]> {
  const asked = { body, headers: under(freshKey()) }
  const replies = [
    await api.call<Body>(method, path, asked),
    await api.call<Body>(method, path, asked),
    await other.call<Body>(method, path, asked),
  ]
  expect(replies.map(isReplayed), JSON.stringify(replies.map(({ body }) => body))).toEqual([false, true, true])
  expect(replies.slice(1).map(({ status }) => status)).toEqual([200, 200])
  return replies
}

const spent = async (campaign: string) => Number(await client.hget(keys.campaignBudget(campaign), 'sum'))

test('a campaign is made once', async () => {
  const [first, again, there] = await thrice('/v1/campaigns', CAMPAIGN)
  expect(first?.status).toBe(201)
  expect([again?.body, there?.body]).toEqual([first?.body, first?.body])
  const { body } = await api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
  expect(body.data.filter(({ id }) => id === first?.body.id)).toEqual([first?.body])
})

test('of many that make a campaign at once under one key one made it', async () => {
  const headers = under(freshKey())
  const asked = Array.from({ length: 30 }, (_, i) => (i % 2 ? other : api).post('/v1/campaigns', CAMPAIGN, headers))
  const replies = await Promise.all(asked)
  expect(replies.filter(({ status }) => status === 201).map(isReplayed)).toEqual([false])
  expect(replies.filter(reply => reply.status === 200 && isReplayed(reply))).toHaveLength(29)
  expect(new Set(replies.map(({ body }) => JSON.stringify(body))).size).toBe(1)
})

test('of two that found no campaign under their key, the one whose row was written later made none', async () => {
  await using proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const far = await startTestWorker(proxy.url)
  const headers = under(freshKey())
  const isAsked = proxy.keepBack(bytes => bytes.includes('hsetnx') && bytes.includes(keys.campaigns()))
  const later = patiently(() => new Api(far.url, KEYS.operator).post('/v1/campaigns', CAMPAIGN, headers))
  await isAsked
  const first = await patiently(() => api.post('/v1/campaigns', CAMPAIGN, headers))
  proxy.letGo()
  const replies = [first, await later]
  expect(replies.map(({ status }) => status).sort()).toEqual([200, 201])
  expect(replies.map(reply => reply.status === 200)).toEqual(replies.map(isReplayed))
  expect(replies[1]?.body).toEqual(first.body)
  await far.stop()
})

test('a round is made once, and paid for once', async () => {
  const campaign = await makeCampaign(api, { budget: { max_amount: 20_000 } })
  const [first, again] = await thrice<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 10, opens_at: LONG_AGO })
  expect(first?.status).toBe(201)
  expect(again?.body.id).toBe(first?.body.id)
  expect(await spent(campaign)).toBe(20_000)
  expect((await api.get<{ data: Round[] }>(`/v1/campaigns/${campaign}/rounds`)).body.data).toHaveLength(1)
})

test('a repetition gets the round as it is now, whatever would refuse to make it again', async () => {
  const campaign = await makeCampaign(api, { budget: { max_amount: 20_000 } })
  const closesAt = new Date(Date.now() + 1500).toISOString()
  const asked = { stock: 8, opens_at: LONG_AGO, closes_at: closesAt }
  const headers = under(freshKey())
  const { body } = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked, headers)
  expect((await api.post(`/v1/rounds/${body.id}/stock`, { add: 2 })).status).toBe(200)
  await untilHolds(async () => (await api.get<Round>(`/v1/rounds/${body.id}`)).body.state === 'closed')
  const late = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked, headers)
  expect([late.status, isReplayed(late), late.body.id, late.body.state, late.body.stock.total]).toEqual([
    200,
    true,
    body.id,
    'closed',
    10,
  ])
})

test('a drawn round is made once and is open to entries', async () => {
  const campaign = await makeCampaign(api)
  const draws_at = new Date(Date.now() + 60_000).toISOString()
  const asked = { stock: 5, opens_at: LONG_AGO, allocation: { mode: 'lottery', draws_at } }
  const [first] = await thrice<Round>(`/v1/campaigns/${campaign}/rounds`, asked)
  // Rules that would come too late are made again by whichever worker looks next.
  await untilHolds(async () => (await api.get(`/v1/rounds/${first?.body.id}/draw`)).status !== 404)
  expect((await api.get(`/v1/rounds/${first?.body.id}/draw`)).body).toMatchObject({ state: 'open' })
})

test('a beacon is published once, also when it is asked for again behind the next window', async () => {
  const { path, body, check } = await new OperatorChanges(api, client).beacon(5000)
  const asked = { body, headers: under(freshKey()) }
  const first = await api.call('POST', path, asked)
  await check()
  const draw = keys.roundDraw(path.split('/')[3] as string)
  await expect.poll(() => client.hget(draw, 'window'), { timeout: 20_000 }).toBe('1')
  const again = await other.call('POST', path, asked)
  expect([first, again].map(reply => [reply.status, isReplayed(reply)])).toEqual([
    [200, false],
    [200, true],
  ])
  expect(again.body).toEqual(first.body)
  expectProblem(await other.call('POST', path, { body, headers: {} }), 'wrong_state')
})

test('stock is added once, also where the total was asked for', async () => {
  const { id, campaign_id } = await makeRound(api, { stock: 4 }, { budget: { max_amount: 40_000 } })
  const before = await spent(campaign_id)
  const replies = await thrice<Round>(`/v1/rounds/${id}/stock`, { add: 6, if_total: 4 })
  expect(replies.map(({ body }) => body.stock.total)).toEqual([10, 10, 10])
  expect(await spent(campaign_id)).toBe((before / 4) * 10)
})

test('stock that is taken back is taken back once', async () => {
  const { id, campaign_id } = await makeRound(api, { stock: 10 }, { budget: { max_amount: 40_000 } })
  const before = await spent(campaign_id)
  await thrice<Round>(`/v1/rounds/${id}/stock`, { add: -4 })
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(6)
  expect(await spent(campaign_id)).toBe((before / 10) * 6)
})

test('a change of stock is refused where the total is another, dry and real, and its key is not spent', async () => {
  const { id } = await makeRound(api, { stock: 100 })
  const asked = { add: 20, if_total: 90 }
  for (const query of ['?dry_run=true', '']) {
    const reply = await api.post(`/v1/rounds/${id}/stock${query}`, asked, under('stock-later'))
    expectProblem(reply, 'changed')
    expect(reply.body.total).toBe(100)
  }
  expect((await api.post(`/v1/rounds/${id}/stock`, { add: -10 })).status).toBe(200)
  const made = await api.post<Round>(`/v1/rounds/${id}/stock`, asked, under('stock-later'))
  expect([made.status, isReplayed(made), made.body.stock.total]).toEqual([200, false, 110])
  const late = await api.post<Round>(`/v1/rounds/${id}/stock`, asked, under('stock-later'))
  expect([isReplayed(late), late.body.stock.total]).toEqual([true, 110])
})

test('a round is turned once: whoever asks again does not pause what was resumed', async () => {
  const { id } = await makeRound(api, { stock: 1 })
  const pause = under(freshKey())
  expect((await api.post(`/v1/rounds/${id}/pause`, undefined, pause)).status).toBe(200)
  await thrice(`/v1/rounds/${id}/resume`, undefined)
  const late = await other.post<Round>(`/v1/rounds/${id}/pause`, undefined, pause)
  expect([late.status, isReplayed(late), late.body.state]).toEqual([200, true, 'open'])
  await thrice(`/v1/rounds/${id}/close`, undefined)
  expectProblem(await api.post(`/v1/rounds/${id}/close`, undefined, under(freshKey())), 'wrong_state')
})

test('rates, merchants and holds of merchants that others changed meanwhile are not changed back', async () => {
  const rates = under(freshKey())
  await api.post('/v1/rates', { key: 5000 }, rates)
  await api.post('/v1/rates', { key: null })
  const late = await other.post('/v1/rates', { key: 5000 }, rates)
  expect([isReplayed(late), late.body]).toEqual([
    true,
    expect.objectContaining({ rates: expect.objectContaining({ key: 0 }) }),
  ])

  const put = { body: { name: 'Old', tags: ['a'] }, headers: under(freshKey()) }
  await api.call('PUT', '/v1/merchants/m1', put)
  await api.call('PUT', '/v1/merchants/m1', { body: { name: 'New', tags: ['b'] } })
  const again = await other.call('PUT', '/v1/merchants/m1', put)
  expect([again.status, isReplayed(again), again.body]).toEqual([
    200,
    true,
    { id: 'm1', name: 'New', tags: ['b'], stores: [] },
  ])

  const hold = under(freshKey())
  await api.post('/v1/merchants/m1/hold', { reason: 'review' }, hold)
  await thrice('/v1/merchants/m1/release', undefined)
  const held = await other.post('/v1/merchants/m1/hold', { reason: 'review' }, hold)
  expect([isReplayed(held), held.body]).toEqual([true, { merchant_id: 'm1', held: null }])
})

describe('what a merchant redeemed', () => {
  async function redeem(roundId: string, user: string, merchant: string) {
    const { body } = await api.post<{ vouchers: { code: string }[] }>(`/v1/rounds/${roundId}/claims`, { user_id: user })
    const order = { id: `o-${user}`, amount: 5000, currency: 'CNY' }
    const asked = { code: body.vouchers[0]?.code, order, merchant_id: merchant }
    expect((await api.post('/v1/redemptions', asked, under(`r-${user}`))).status).toBe(201)
    return body.vouchers[0]?.code as string
  }
  const stateOf = async (code: string) => (await api.get(`/v1/vouchers/${code}`)).body.state

  test('is held once: what they redeem later is not held by a repetition', async () => {
    const { id, campaign_id } = await makeRound(api, { stock: 9 })
    const before = await redeem(id, 'h1', 'held')
    const asked = { merchant_id: 'held', reason: 'fraud' }
    const headers = under(freshKey())
    const first = await api.post(`/v1/campaigns/${campaign_id}/holds`, asked, headers)
    expect([first.status, isReplayed(first), first.body.redemptions]).toEqual([200, false, 1])
    const later = await redeem(id, 'h2', 'held')
    const late = await other.post(`/v1/campaigns/${campaign_id}/holds`, asked, headers)
    expect([isReplayed(late), late.body.redemptions]).toEqual([true, 1])
    expect([await stateOf(before), await stateOf(later)]).toEqual(['deactivated', 'redeemed'])
  })

  test('a voucher is taken out of use once', async () => {
    const { id } = await makeRound(api, { stock: 9 })
    const { body } = await api.post<{ vouchers: { code: string }[] }>(`/v1/rounds/${id}/claims`, { user_id: 'd1' })
    const code = body.vouchers[0]?.code as string
    await thrice(`/v1/vouchers/${code}/deactivate`, { reason: 'lost' })
    expect(await stateOf(code)).toBe('deactivated')
  })
})

test('a settlement whose day is not over does not spend its key', async () => {
  const campaign = await makeCampaign(api, { timezone: 'UTC' })
  const business_date = new Date().toISOString().slice(0, 10)
  for (const _ of [1, 2])
    expectProblem(
      await api.post(`/v1/campaigns/${campaign}/settlements`, { business_date }, under('day-1')),
      'day_open',
    )
})

test('another body under a key is refused by name, and changes nothing', async () => {
  const key = under(freshKey())
  expect((await api.post('/v1/campaigns', CAMPAIGN, key)).status).toBe(201)
  const reply = await other.post('/v1/campaigns', { ...CAMPAIGN, name: 'other' }, key)
  expectProblem(reply, 'idempotency_mismatch')
  const { id } = await makeRound(api, { stock: 1 })
  const stock = under(freshKey())
  expect((await api.post(`/v1/rounds/${id}/stock`, { add: 1 }, stock)).status).toBe(200)
  expectProblem(await api.post(`/v1/rounds/${id}/stock`, { add: 2 }, stock), 'idempotency_mismatch')
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(2)
})

test('the same fields in another order and encoding are the same body', async () => {
  const { id } = await makeRound(api, { stock: 1 })
  const key = under(freshKey())
  await api.post(`/v1/rounds/${id}/stock`, { add: 1, pool: 'general' }, key)
  const packed = new Api(node.url, KEYS.operator, 'msgpack')
  const again = await packed.post<Round>(`/v1/rounds/${id}/stock`, { pool: 'general', add: 1 }, key)
  expect([again.status, isReplayed(again), again.body.stock.total]).toEqual([200, true, 2])
})

test('a key is one of its path: the same one on another round or campaign is another change', async () => {
  const key = under(freshKey())
  const rounds = await Promise.all(
    [await makeCampaign(api), await makeCampaign(api)].map(campaign =>
      api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1 }, key),
    ),
  )
  expect(rounds.map(({ status }) => status)).toEqual([201, 201])
  expect(new Set(rounds.map(({ body }) => body.id)).size).toBe(2)
  for (const _ of ['one', 'two']) {
    const { id } = await makeRound(api, { stock: 1 })
    const made = await api.post<Round>(`/v1/rounds/${id}/stock`, { add: 1 }, key)
    expect([isReplayed(made), made.body.stock.total]).toEqual([false, 2])
  }
})

test('without a key a change is made as often as it is asked for', async () => {
  const { id } = await makeRound(api, { stock: 1 })
  for (const total of [2, 3]) {
    const made = await api.post<Round>(`/v1/rounds/${id}/stock`, { add: 1 })
    expect([isReplayed(made), made.body.stock.total]).toEqual([false, total])
  }
})

test('a key that no header should carry is refused, also of a dry run, which spends no key', async () => {
  const { id } = await makeRound(api, { stock: 1 })
  for (const query of ['', '?dry_run=true'])
    for (const bad of ['a b', 'x'.repeat(129)])
      expectProblem(await api.post(`/v1/rounds/${id}/stock${query}`, { add: 1 }, under(bad)), 'invalid')
  const key = under(freshKey())
  expect((await api.post(`/v1/rounds/${id}/stock?dry_run=true`, { add: 7 }, key)).status).toBe(200)
  expect((await api.post<Round>(`/v1/rounds/${id}/stock`, { add: 1 }, key)).body.stock.total).toBe(2)
})

test.each([
  ['without a value', 'Idempotency-Key:\r\n'],
  ['of spaces', 'Idempotency-Key:   \r\n'],
  ['twice', 'Idempotency-Key: a\r\nIdempotency-Key: b\r\n'],
  ['twice, once without a value', 'Idempotency-Key:\r\nidempotency-key: b\r\n'],
])('a key that stands there %s is no key, and is not taken for none', async (_, lines) => {
  const { id } = await makeRound(api, { stock: 1 })
  const raw = new RawConnection(worker.url)
  onTestFinished(() => raw.close())
  const head = `POST /v1/rounds/${id}/stock HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.operator}\r\n`
  const { status, body } = await raw.ask(
    `${head}Content-Type: application/json\r\nContent-Length: 9\r\n${lines}\r\n{"add":1}`,
  )
  expect([status, body]).toEqual([422, expect.stringContaining('Idempotency-Key: 1..128 visible characters')])
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(1)
})

test('two at once, at two nodes, make one round, one campaign and one change of stock', async () => {
  const campaign = await makeCampaign(api, { budget: { max_amount: 1_000_000 } })
  const both = <Body>(path: string, body: unknown) => {
    const headers = under(freshKey())
    return Promise.all([api, other, api, other].map(each => each.post<Body>(path, body, headers)))
  }
  const made = await both<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 10, opens_at: LONG_AGO })
  expect(new Set(made.map(({ body }) => body.id)).size).toBe(1)
  const id = made[0]?.body.id as string
  const stock = await both<Round>(`/v1/rounds/${id}/stock`, { add: 10 })
  expect(stock.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(20)
  expect(await spent(campaign)).toBe(20 * 2000)
  expect(await client.hlen(keys.unsettledBudgets())).toBe(0)
  expect(new Set((await both<Fields>('/v1/campaigns', CAMPAIGN)).map(({ body }) => body.id)).size).toBe(1)
})

test('the audit says of each change that it was made once, and of a repetition that it changed nothing', async () => {
  const { id } = await makeRound(api, { stock: 1 })
  await thrice(`/v1/rounds/${id}/stock`, { add: 1 })
  const { body } = await api.get<{ data: Fields[] }>('/v1/audit?limit=1000')
  const ends = body.data.filter(({ target, outcome }) => target === `/v1/rounds/${id}/stock` && outcome !== 'asked')
  expect(ends.map(({ outcome }) => outcome)).toEqual(['200', 'replayed', 'replayed'])
})

test('on another Redis the same key makes other ids', async () => {
  const elsewhere = await startLocalRedis({ appendfsync: 'no' })
  const there = await startTestWorker(elsewhere.url)
  const [here, far] = [
    await api.post('/v1/campaigns', CAMPAIGN, under('everywhere')),
    await new Api(there.url, KEYS.operator).post('/v1/campaigns', CAMPAIGN, under('everywhere')),
  ]
  await there.stop()
  await elsewhere.stop()
  expect([here.status, far.status]).toEqual([201, 201])
  expect(here.body.id).not.toBe(far.body.id)
})
