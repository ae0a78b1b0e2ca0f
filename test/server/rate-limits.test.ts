/**
 * Rate limits: users and addresses have one, keys have none unless the configuration says so.
 *
 * The rates are set so low that a handful of requests uses them up within one second, and the wait for a bucket to
 * fill again is the `Retry-After` that the engine itself names. A limited request may cost nothing but itself: others
 * are served, and what was granted stays.
 */
import { setTimeout as until } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { networkOf } from '../../engine/auth/addresses.ts'
import { Api, expectProblem, makeRound, type Reply, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, upgradeStatus } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const USER_RATE = 5
const ADDRESS_RATE = 8
const AT_ONCE = 30

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const settings = { FAIRGRAB_RATE_USER: String(USER_RATE), FAIRGRAB_RATE_ADDRESS: String(ADDRESS_RATE) }
  worker = await startTestWorker(redis.url, settings)
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api)
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

/** Asks, many at once, until the engine limits; returns what passed before in the order asked, and a limit. */
async function untilLimited(
  ask: () => Promise<Reply>,
): Promise<{ readonly passed: readonly Reply[]; readonly limited: Reply }> {
  const passed: Reply[] = []
  for (let tries = 0; tries < 50; tries++) {
    // At once, because on a slow machine one after the other would give the bucket time to fill again.
    const replies = await Promise.all(Array.from({ length: AT_ONCE }, ask))
    passed.push(...replies.filter(({ status }) => status !== 429))
    const limited = replies.find(({ status }) => status === 429)
    if (limited) return { passed, limited }
  }
  throw new Error(`none of ${passed.length} requests was limited`)
}

function expectLimit(reply: Reply, rate: number): number {
  expect(reply.headers.get('ratelimit-policy')).toBe(`"default";q=${rate};w=1`)
  const left = /^"default";r=(\d+);t=1$/.exec(reply.headers.get('ratelimit') ?? '')?.[1]
  expect(left).toBeDefined()
  return Number(left)
}

test('a user is limited by himself, is told when to come back, and keeps what he has', async () => {
  const [one, two] = ['one', 'two'].map(name => api.as(userToken(name))) as [Api, Api]
  const path = `/v1/rounds/${round.id}/claims`
  const { passed, limited } = await untilLimited(() => one.post(path, {}))
  expect(passed.length).toBeGreaterThanOrEqual(USER_RATE)
  const left = passed.map(reply => expectLimit(reply, USER_RATE))
  expect([Math.max(...left), Math.min(...left)]).toEqual([USER_RATE - 1, 0])
  expectProblem(limited, 'rate_limited', { retry_after_s: 1 })
  expect(expectLimit(limited, USER_RATE)).toBe(0)
  expect(passed.map(({ status }) => status).sort()).toEqual(passed.map((_, i) => (i < passed.length - 1 ? 200 : 201)))
  expect((await two.post(path, {})).status).toBe(201)
  expect((await api.post(path, { user_id: 'one' })).body).toMatchObject({
    replayed: true,
    claim: passed.find(({ status }) => status === 201)?.body.claim,
  })
  await until(1000 * Number(limited.headers.get('retry-after')))
  const again = await one.post(path, {})
  expect([again.status, expectLimit(again, USER_RATE)]).toEqual([200, USER_RATE - 1])
  const refused = await one.post(path, { user_id: 'two' })
  expectProblem(refused, 'forbidden')
  expect((await one.get(`${path}/one`)).status).toBe(200)
})

test('callers without a credential are limited by address; a socket gets an error and stays', async () => {
  const nobody = api.as('')
  const path = `/v1/rounds/${round.id}`
  const { passed, limited } = await untilLimited(() => nobody.get(path))
  expect(passed.length).toBeGreaterThanOrEqual(ADDRESS_RATE)
  expectProblem(limited, 'rate_limited')
  expectLimit(limited, ADDRESS_RATE)
  await until(1000)
  const socket = await openStream(worker.url)
  const ids = Array.from({ length: 3 * ADDRESS_RATE }, (_, i) => i + 1)
  const answers = await Promise.all(ids.map(id => socket.ask({ op: 'ping', id })))
  expect(answers.filter(({ op }) => op === 'pong').length).toBeGreaterThanOrEqual(ADDRESS_RATE)
  const limitedOne = answers.find(({ op }) => op === 'error')
  expect(limitedOne).toMatchObject({ code: 'rate_limited' })
  // What has no id, or is no frame at all, is refused all the same.
  for (const odd of ['{"op":"ping"}', '{', '[]', 'null', '{"id":{}}']) socket.send(odd)
  expect(await socket.ask({ op: 'ping', id: 0 })).toMatchObject({ code: 'rate_limited' })
  await until(1000)
  expect(await socket.ask({ op: 'ping', id: 'later' })).toMatchObject({ op: 'pong' })
  await socket.close()
})

test.each([
  ['a wrong key', 401, (nobody: Api) => nobody.as('a wrong key').get(`/v1/rounds/${round.id}`)],
  ['a forged token', 401, (nobody: Api) => nobody.as('x.y.N').post(`/v1/rounds/${round.id}/claims`, {})],
  ['no credential where one is needed', 401, (nobody: Api) => nobody.get('/v1/campaigns')],
  ['a path that does not exist', 404, (nobody: Api) => nobody.get('/v1/no-such-thing')],
  ['a method that a path does not have', 405, (nobody: Api) => nobody.call('DELETE', '/v1/rounds')],
  ['the stream without Upgrade', 422, (nobody: Api) => nobody.get('/v1/stream')],
])('%s counts against its address, and against nobody who shows a good credential', async (_, status, ask) => {
  await until(1000)
  const { passed, limited } = await untilLimited(() => ask(api.as('')))
  expect(passed.length).toBeGreaterThanOrEqual(ADDRESS_RATE)
  expect(new Set(passed.map(reply => reply.status))).toEqual(new Set([status]))
  expectProblem(limited, 'rate_limited', { retry_after_s: 1 })
  expectLimit(limited, ADDRESS_RATE)
  const user = api.as(userToken(`good ${status}`.replace(' ', '-')))
  const [good, ...keyed] = await Promise.all([
    user.get(`/v1/rounds/${round.id}`),
    ...Array.from({ length: AT_ONCE }, () => api.as(KEYS.viewer).get('/v1/no-such-thing')),
  ])
  expect([good?.status, new Set(keyed.map(reply => reply.status))]).toEqual([200, new Set([404])])
})

test('what a user may not do counts against the user', async () => {
  const { passed } = await untilLimited(() => api.as(userToken('pushy')).post('/v1/campaigns', {}))
  expect(passed.length).toBeGreaterThanOrEqual(USER_RATE)
  expect(new Set(passed.map(({ status }) => status))).toEqual(new Set([403]))
  expectLimit(passed[0] as Reply, USER_RATE)
})

test.each([
  [401, { credential: 'x.y.N' }],
  [422, { query: '?token=x' }],
  [403, { headers: { origin: 'https://evil.example' } }],
] as const)('an upgrade that is refused with %s counts against its address', async (status, options) => {
  await until(1000)
  const ask = () => upgradeStatus(worker.url, options)
  const statuses = await Promise.all(Array.from({ length: AT_ONCE }, ask))
  expect(new Set(statuses)).toEqual(new Set([status, 429]))
  expect(await upgradeStatus(worker.url, { credential: KEYS.platform })).toBe(101)
})

test('keys have no limit by default, and the one of the configuration where there is one', async () => {
  for (const key of Object.values(KEYS)) {
    const replies = await Promise.all(Array.from({ length: 50 }, () => api.as(key).get(`/v1/rounds/${round.id}`)))
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
    expect(replies[0]?.headers.get('ratelimit')).toBeNull()
  }
  const limited = await startTestWorker(redis.url, { FAIRGRAB_RATE_KEY: '3' })
  const viewer = new Api(limited.url, KEYS.viewer)
  const { passed } = await untilLimited(() => viewer.get(`/v1/rounds/${round.id}`))
  expect(passed.length).toBeGreaterThanOrEqual(3)
  expectLimit(passed[0] as Reply, 3)
  expect((await viewer.as(KEYS.platform).get(`/v1/rounds/${round.id}`)).status).toBe(200)
  await limited.stop()
})

test.each([
  ['127.0.0.1', '127.0.0.2', false],
  ['0000:0000:0000:0000:0000:ffff:7f00:0001', '0000:0000:0000:0000:0000:ffff:7f00:0002', false],
  ['2001:0db8:0000:0001:0000:0000:0000:0001', '2001:0db8:0000:0001:ffff:0000:0000:0002', true],
  ['2001:0db8:0000:0001:0000:0000:0000:0001', '2001:0db8:0000:0002:0000:0000:0000:0001', false],
])('%s and %s are counted together: %s', (one, other, together) => {
  expect(networkOf(one) === networkOf(other)).toBe(together)
})
