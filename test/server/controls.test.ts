/**
 * The levers that are of no round, over the API and on two nodes: rates of callers, held merchants, vouchers out of use, and one
 * case looked up. What was changed on one node is looked for on the other, which follows within a second; how long it took is printed.
 *
 * A dry run is held to the deed that follows it. The history of a voucher is compared with what the test did to it, step
 * by step. Rejected: asking the same node that was told; it is the other one that could be behind.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { VERSION } from '../../engine/server/routes/routes.ts'
import { openStore } from '../../engine/store/store.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type RedisServer, startOwnRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

let redis: RedisServer
let workers: readonly TestWorker[]
let api: Api
let other: Api
let round: Round
beforeAll(async () => {
  redis = await startOwnRedis()
  workers = await Promise.all(
    ['20', '30'].map(rate =>
      startTestWorker(redis.url, { FAIRGRAB_DURABILITY: 'memory', FAIRGRAB_RATE_USER: rate, LOG_LEVEL: 'silent' }),
    ),
  )
  const [one, two] = workers.map(({ url }) => new Api(url, KEYS.operator)) as [Api, Api]
  api = one
  other = two
  round = await makeRound(api, { stock: 50 }, { limits: { per_user: 2 } })
})
afterAll(async () => {
  for (const worker of workers ?? []) await worker.stop()
  await redis?.stop()
})

interface RatesAnswer {
  readonly rates: Fields
  readonly before: Fields
  readonly after: Fields
}

let users = 0
/** The rate that a user who never asked before is told on a node. */
async function userRate(node: Api): Promise<string | null> {
  const reply = await node.as(userToken(`asker-${++users}`)).get(`/v1/rounds/${round.id}`)
  return reply.headers.get('ratelimit-policy')
}

async function voucher(user: string): Promise<string> {
  const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: user })
  return body.vouchers[0]?.code as string
}

let orders = 0
const redeem = (node: Api, code: string, merchant: string) => {
  const id = `o${++orders}`
  const order = { id, amount: 5000, currency: 'CNY' }
  return node.post('/v1/redemptions', { code, order, merchant_id: merchant }, { 'idempotency-key': id })
}

test('rates: what the dry run told holds on the other node when it is answered, and can be taken back', async () => {
  const path = '/v1/rates'
  const dry = await api.post<RatesAnswer>(`${path}?dry_run=true`, { user: 7, key: 5000 })
  expect(dry.body).toMatchObject({ before: { user: 20, key: 0 }, after: { user: 7, address: 200, key: 5000 } })
  expect(await userRate(other)).toBe('"default";q=30;w=1')
  const from = performance.now()
  const done = await api.post<RatesAnswer>(path, { user: 7, key: 5000 })
  expect(done.body.rates).toEqual(dry.body.after)
  expect(await userRate(api)).toBe('"default";q=7;w=1')
  await expect.poll(() => userRate(other)).toBe('"default";q=7;w=1')
  console.log(`rates held on two nodes ${Math.round(performance.now() - from)} ms after they were asked for`)
  const policy = (await other.as(KEYS.viewer).get(`/v1/rounds/${round.id}`)).headers.get('ratelimit-policy')
  expect(policy).toBe('"default";q=5000;w=1')
  await other.post(path, { user: null, key: null })
  expect(await userRate(other)).toBe('"default";q=30;w=1')
  await expect.poll(() => userRate(api)).toBe('"default";q=20;w=1')
  expect((await api.get<RatesAnswer>(path)).body.rates).toEqual({ user: 20, address: 200, key: 0 })
  for (const wrong of [{}, { user: -1 }, { users: 5 }, { user: 1.5 }])
    expectProblem(await api.post(path, wrong), 'invalid')
  expectProblem(await api.as(KEYS.platform).post(path, { user: 1 }), 'forbidden')
})

test('a node that starts later begins with the rates that were set', async () => {
  await api.post('/v1/rates', { user: 9 })
  const late = await startTestWorker(redis.url, { FAIRGRAB_DURABILITY: 'memory', LOG_LEVEL: 'silent' })
  expect(await userRate(new Api(late.url))).toBe('"default";q=9;w=1')
  await late.stop()
  await api.post('/v1/rates', { user: null })
})

test('a held merchant redeems nothing on any node; what he did is answered again; a release ends it', async () => {
  const [before, code] = [await voucher('h1'), await voucher('h2')]
  const order = { id: 'kept', amount: 5000, currency: 'CNY' }
  const kept = { code: before, order, merchant_id: 'm1' }
  const first = await api.post('/v1/redemptions', kept, { 'idempotency-key': 'kept' })
  const dry = await api.post<Fields>('/v1/merchants/m1/hold?dry_run=true', { reason: 'fake orders' })
  expect(dry.body).toMatchObject({ before: null, after: { merchant_id: 'm1', reason: 'fake orders' } })
  const held = await api.post<{ held: Fields }>('/v1/merchants/m1/hold', { reason: 'fake orders' })
  expect(held.status).toBe(200)
  const listed = async () => (await other.get<{ data: Fields[] }>('/v1/holds')).body.data
  await expect.poll(listed).toEqual([held.body.held])
  expectProblem(await redeem(other, code, 'm1'), 'merchant_not_eligible')
  expectProblem(await redeem(api, code, 'm1'), 'merchant_not_eligible')
  const again = await other.post('/v1/redemptions', kept, { 'idempotency-key': 'kept' })
  expect([again.status, again.body]).toEqual([200, first.body])
  const count = await api.post(`/v1/campaigns/${round.campaign_id}/holds?dry_run=true`, {
    merchant_id: 'm1',
    reason: 'fake orders',
  })
  expect(count.body).toMatchObject({ dry_run: true, redemptions: 1 })
  const taken = await api.post(`/v1/campaigns/${round.campaign_id}/holds`, { merchant_id: 'm1', reason: 'fake orders' })
  expect(taken.body.redemptions).toBe(1)
  await other.post('/v1/merchants/m1/release')
  expect(await listed()).toEqual([])
  expect((await redeem(other, code, 'm1')).status).toBe(201)
  expectProblem(await api.post('/v1/merchants/m%2F1/release'), 'invalid')
})

test('taking a voucher out of use: the dry run tells what is done, or the refusal', async () => {
  const path = (code: string) => `/v1/vouchers/${code}/deactivate`
  const [active, redeemed] = [await voucher('d1'), await voucher('d2')]
  await redeem(api, redeemed, 'm2')
  const reason = { reason: 'lost' }
  const rows: readonly (readonly [string, Fields])[] = [
    [active, { dry_run: true, before: 'active', after: 'deactivated' }],
    [active, { dry_run: true, before: 'deactivated', after: 'deactivated' }],
  ]
  for (const [code, told] of rows) {
    expect((await api.post(`${path(code)}?dry_run=true`, reason)).body).toEqual(told)
    expect((await api.post(path(code), reason)).body.state).toBe(told.after)
  }
  const [dry, done] = [await api.post(`${path(redeemed)}?dry_run=true`, reason), await api.post(path(redeemed), reason)]
  expectProblem(done, 'already_redeemed')
  expect(dry.body).toEqual(done.body)
})

test('a user is found over all rounds and slots, a draw’s too, and a voucher tells its whole history', async () => {
  const drawn = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 60_000 } })
  const code = await voucher('ada')
  await other.post(`/v1/rounds/${round.id}/claims`, { user_id: 'ada', slot: 2 })
  await api.post(`/v1/rounds/${drawn.id}/claims`, { user_id: 'ada' })
  const found = await other.get<{ data: Fields[]; next_cursor: string }>('/v1/claims?user_id=ada&limit=2')
  const rows = found.body.data.map(({ round_id, slot, outcome }) => [round_id, slot, outcome])
  expect(rows).toEqual([
    [drawn.id, 1, 'entered'],
    [round.id, 1, 'granted'],
  ])
  const rest = await other.get<{ data: Fields[] }>(`/v1/claims?user_id=ada&cursor=${found.body.next_cursor}`)
  expect(rest.body.data.map(({ round_id, slot }) => [round_id, slot])).toEqual([[round.id, 2]])
  expectProblem(await api.as(userToken('ada')).get('/v1/claims?user_id=ada'), 'forbidden')

  await api.post(`/v1/vouchers/${code}/lock`, { order_id: 'a1' })
  await api.post(`/v1/vouchers/${code}/unlock`, { order_id: 'a1' })
  const made = await redeem(other, code, 'm3')
  await api.post(
    `/v1/redemptions/${made.body.id}/reversals`,
    { type: 'full', reason: 'refund' },
    { 'idempotency-key': 'r' },
  )
  await api.post(`/v1/vouchers/${code}/deactivate`, { reason: 'lost' })
  const { events } = (await other.get<{ events: Fields[] }>(`/v1/vouchers/${code}/history`)).body
  const { granted_at } = (await api.get<Granted>(`/v1/rounds/${round.id}/claims/ada`)).body.claim
  expect(events.map(({ event }) => event)).toEqual([
    'granted',
    'locked',
    'unlocked',
    'redeemed',
    'reversed',
    'deactivated',
  ])
  expect(events[0]?.at).toBe(granted_at)
  expect(events[3]).toMatchObject({ merchant_id: 'm3', ref: made.body.id, by: expect.stringMatching(/^operator:/) })
  expect([events[4]?.note, events[5]?.note]).toEqual(['refund', 'lost'])
  const forged = `${code.slice(0, -1)}${code.endsWith('0') ? '1' : '0'}`
  expectProblem(await api.get(`/v1/vouchers/${forged}/history`), 'not_found')
})

test('redemptions, the version, Redis and the age of the stock are counted', async () => {
  const socket = await openStream(api.url)
  await socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
  const told = socket.next(frame => frame.op === 'stock' && frame.remaining === 0)
  const { total, granted } = (await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock
  const claims = Array.from({ length: total - granted }, (_, i) => ({ user_id: `rest-${i}` }))
  await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims })
  await told
  await socket.close()
  const metrics = readMetrics((await api.get<string>('/metrics')).body)
  const sum = (name: string, labels: Readonly<Record<string, string>> = {}) =>
    sumOf(metrics, `fairgrab_${name}`, labels)
  expect(sum('redemptions_total', { outcome: 'granted' })).toBeGreaterThan(0)
  expect(sum('redemptions_total', { outcome: 'merchant_not_eligible' })).toBe(1)
  expect(sum('redemption_seconds_count')).toBe(sum('redemptions_total'))
  expect(sum('build_info', { version: VERSION })).toBe(1)
  expect(sum('redis_commands_total')).toBeGreaterThan(0)
  expect(sum('stock_age_seconds_count')).toBe(sum('stock_frames_total'))
  expect(sum('stock_frames_total')).toBeGreaterThan(0)
})

test('nodes are counted while they listen, each once however many workers it has', async () => {
  const store = openStore({ url: redis.url, durability: 'memory', clock: realClock, random: realRandom })
  const nodes = async () => (await store.health()).nodes
  await expect.poll(nodes).toBe(1)
  const before = 1
  const listener = { received: () => {}, awaited: () => {}, gap: () => {} }
  const common = { url: redis.url, durability: 'memory', clock: realClock, random: realRandom } as const
  const stores = ['one', 'one', 'two'].map(node => openStore({ ...common, node }))
  const stops = stores.map(each => each.listen(listener))
  await expect.poll(nodes).toBe(before + 2)
  stops[2]?.()
  await expect.poll(nodes).toBe(before + 1)
  for (const stop of stops) stop()
  await expect.poll(nodes).toBe(before)
  for (const each of [store, ...stores]) await each.close()
})
