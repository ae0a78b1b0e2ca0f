/**
 * Keys that are limited to campaigns: for them there is nothing of another campaign, on any route, in any list, on the stream.
 *
 * The routes are those of the engine's own table, so a new one is in: each is asked for a campaign, a round, a voucher or a redemption
 * that is another campaign's, and each answers what it answers for what does not exist.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseKeys } from '../../engine/auth/callers.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'

const ROLES = ['operator', 'platform', 'merchant', 'viewer'] as const
const keyOf = (role: (typeof ROLES)[number]) => `limited-key-of-${role}`

/** What there is of a campaign. */
interface Owned {
  readonly campaign: string
  readonly round: string
  readonly code: string
  readonly redemption: string
}

let redis: RedisServer
let worker: TestWorker
let api: Api
let own: Owned
let other: Owned

async function made(operator: Api, user_id: string): Promise<Owned> {
  const { id: round, campaign_id: campaign } = await makeRound(operator, { stock: 20 }, { limits: { per_user: 5 } })
  const { body } = await operator.post<Granted>(`/v1/rounds/${round}/claims`, { user_id })
  const [code = '', spare = ''] = body.vouchers.map(voucher => voucher.code)
  const asked = { code: spare, order: { id: 'o1', amount: 5000, currency: 'CNY' }, merchant_id: 'm1' }
  const redeemed = await operator.post('/v1/redemptions', asked, { 'idempotency-key': `made-${user_id}` })
  return { campaign, round, code, redemption: redeemed.body.id as string }
}

beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const first = await startTestWorker(redis.url, {})
  const operator = new Api(first.url, KEYS.operator)
  own = await made(operator, 'ada')
  other = await made(operator, 'bo')
  await first.stop()
  const limited = ROLES.map(role => `${role}:${keyOf(role)}:m1:${own.campaign}`)
  worker = await startTestWorker(redis.url, { FAIRGRAB_KEYS: [`operator:${KEYS.operator}`, ...limited].join(',') })
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
})

const filled = (path: string, { campaign, round, code, redemption }: Owned): string =>
  path
    .replace('/campaigns/{id}', `/campaigns/${campaign}`)
    .replace('/rounds/{id}', `/rounds/${round}`)
    .replace('/vouchers/{code}', `/vouchers/${code}`)
    .replace('/redemptions/{id}', `/redemptions/${redemption}`)
    .replace('{user_id}', 'bo')
    .replace('{date}', '2026-11-01')
    .replace('{name}', 'rules.json')

/** A body that each route takes, so that nothing but the campaign is wrong. */
const BODIES: Readonly<Record<string, (owned: Owned) => object>> = {
  'post /v1/campaigns/{id}/rounds': () => ({ stock: 1 }),
  'post /v1/rounds/{id}/stock': () => ({ add: 1 }),
  'post /v1/rounds/{id}/claims': () => ({ user_id: 'cy' }),
  'post /v1/rounds/{id}/claims/batch': () => ({ claims: [{ user_id: 'cy' }] }),
  'post /v1/rounds/{id}/draw/beacon': () => ({ round: 1, signature: 'a'.repeat(96) }),
  'post /v1/rounds/{id}/draw/lapses': () => ({ tag: 'a'.repeat(32) }),
  'post /v1/vouchers/{code}/lock': () => ({ order_id: 'o9' }),
  'post /v1/vouchers/{code}/unlock': () => ({ order_id: 'o9' }),
  'post /v1/vouchers/{code}/deactivate': () => ({ reason: 'x' }),
  'post /v1/redemptions': ({ code }) => ({
    code,
    order: { id: 'o9', amount: 5000, currency: 'CNY' },
    merchant_id: 'm1',
  }),
  'post /v1/redemptions/{id}/reversals': () => ({ type: 'full' }),
  'post /v1/campaigns/{id}/settlements': () => ({ business_date: '2026-11-01' }),
  'post /v1/campaigns/{id}/holds': () => ({ merchant_id: 'm1', reason: 'x' }),
}

const OF_CAMPAIGNS = /\/(campaigns|rounds|vouchers)\/\{|\/redemptions(\/|$)/
const routes = ROUTES.filter(({ operation, path, query }) => {
  const isList = query?.includes('order_id')
  return operation !== undefined && OF_CAMPAIGNS.test(path) && !isList
})

test('nothing of another campaign is there, on any route, for any role', async () => {
  expect(routes.length).toBeGreaterThan(30)
  for (const role of ROLES) {
    const limited = api.as(keyOf(role))
    for (const { method, path } of routes) {
      const body = BODIES[`${method} ${path}`]?.(other)
      const headers = { 'idempotency-key': `${role}-${method}-${path.replaceAll(/[{}]/g, '')}` }
      const { status, body: answer } = await limited.call(method.toUpperCase(), filled(path, other), { body, headers })
      const words = `${role} ${method} ${path}: ${JSON.stringify(answer)}`
      expect(['not_found', 'forbidden'], words).toContain(answer.code)
      expect([404, 403], words).toContain(status)
      if (role === 'operator') expect(answer.code, words).toBe('not_found')
    }
  }
  const { body } = await api.get<Round>(`/v1/rounds/${other.round}`)
  expect([body.state, body.stock.total, body.stock.granted]).toEqual(['open', 20, 1])
  expect((await api.get(`/v1/vouchers/${other.code}`)).body).toMatchObject({ state: 'active', lock: null })
})

test('what is of its campaign is there', async () => {
  const [operator, platform, merchant] = ROLES.map(role => api.as(keyOf(role))) as [Api, Api, Api]
  expect((await platform.post(`/v1/rounds/${own.round}/claims`, { user_id: 'dee' })).status).toBe(201)
  const batch = await platform.post<{ results: Fields[] }>(`/v1/rounds/${own.round}/claims/batch`, {
    claims: [{ user_id: 'dee' }],
  })
  expect(batch.body.results).toMatchObject([{ outcome: 'granted', replayed: true }])
  expect((await merchant.get(`/v1/vouchers/${own.code}`)).body.state).toBe('active')
  expect((await merchant.get(`/v1/redemptions/${own.redemption}`)).status).toBe(200)
  expect((await operator.post(`/v1/rounds/${own.round}/pause`)).status).toBe(200)
  expect((await operator.post(`/v1/rounds/${own.round}/resume`)).status).toBe(200)
  expect((await platform.get(`/v1/campaigns/${own.campaign}/ledger`)).status).toBe(200)
  expect((await platform.get('/v1/merchants')).status).toBe(200)
})

test('lists leave the others out, and what is of no campaign is not for it to change', async () => {
  const [operator, platform] = ROLES.map(role => api.as(keyOf(role))) as [Api, Api]
  const ids = async (path: string, by: Api) => {
    const { body } = await by.get<{ data: { id?: string; round_id?: string }[] }>(path)
    return body.data.map(row => row.id ?? row.round_id)
  }
  for (const [path, mine, others] of [
    ['/v1/campaigns', own.campaign, other.campaign],
    ['/v1/rounds', own.round, other.round],
    ['/v1/redemptions?order_id=o1&merchant_id=m1', own.redemption, other.redemption],
  ] as const) {
    expect([path, await ids(path, platform)]).toEqual([path, [mine]])
    expect(await ids(path, api)).toEqual(expect.arrayContaining([mine, others]))
  }
  expect(await ids('/v1/claims?user_id=bo', platform)).toEqual([])
  expect(await ids('/v1/claims?user_id=bo', api)).toEqual([other.round])
  expectProblem(await operator.post('/v1/campaigns', { name: 'n', currency: 'CNY', pack: PACK }), 'forbidden')
  expectProblem(await operator.post('/v1/rates', { user: 5 }), 'forbidden')
  expectProblem(await operator.post('/v1/merchants/m1/hold', { reason: 'x' }), 'forbidden')
  expectProblem(await operator.get('/v1/audit'), 'forbidden')
})

test('the stream has no round of another campaign for it, in any frame', async () => {
  for (const protocol of ['fairgrab.json.v1', 'fairgrab.msgpack.v1']) {
    const socket = await openStream(worker.url, { credential: keyOf('platform'), protocols: [protocol] })
    const frames = [
      { op: 'subscribe', id: 1, topics: [`stock:${other.round}`] },
      { op: 'claim', id: 2, round_id: other.round, user_id: 'eve' },
      { op: 'claims', id: 3, round_id: other.round, user_ids: ['eve'] },
      { op: 'claims', id: 4, round_id: other.round, user_ids: ['eve'], pool: 'general' },
    ]
    for (const frame of frames) expect(await socket.ask(frame)).toMatchObject({ op: 'error', code: 'not_found' })
    const granted = await socket.ask({ op: 'claims', id: 5, round_id: own.round, user_ids: ['eve'] })
    expect(granted.outcomes).toEqual(['granted'])
    expect(await socket.ask({ op: 'subscribe', id: 6, topics: [`stock:${own.round}`] })).toMatchObject({
      op: 'subscribed',
    })
    await socket.close()
  }
  expect((await api.get<Round>(`/v1/rounds/${other.round}`)).body.stock.granted).toBe(1)
})

test('the metrics, which tell of all campaigns, are for none of its keys', async () => {
  for (const role of ['operator', 'viewer'] as const)
    expectProblem(await api.as(keyOf(role)).get('/metrics'), 'forbidden')
  expect((await api.get('/metrics')).status).toBe(200)
})

test.each(['cmp_', 'cmp_1', 'rnd_abcdefghijklmnop', '', 'cmp_abcdefghijklmnop/', 'cmp_abcdefghijklmnop:x'])(
  'a list that is none stops the start: %s',
  campaigns => {
    expect(() => parseKeys(`platform:abcdefghij:alipay:${campaigns}`)).toThrow(
      'FAIRGRAB_KEYS: entry 1 (platform) has something behind its scope that is no list of campaigns; write platform:KEY:SCOPE:cmp_…/cmp_…',
    )
  },
)
