/**
 * Pages of other origins: those that FAIRGRAB_ORIGINS names may read every answer, refusals, lists and the stream too, and
 * no other page may read any. A preflight names the methods of its path, counts against no rate, and is nothing for those that
 * are not named.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, type Asked, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, upgradeAnswer } from '../support/stream-client.ts'

const SHOP = 'https://shop.example'
const APP = 'capacitor://localhost'
const RATE = 30

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const settings = {
    FAIRGRAB_ORIGINS: `http://other.example, ${SHOP}:443/, ${APP}`,
    FAIRGRAB_RATE_ADDRESS: String(RATE),
  }
  worker = await startTestWorker(redis.url, settings)
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 100 })
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

const OF_CORS = /^access-control-|^vary$/
const said = (headers: Headers) => Object.fromEntries([...headers].filter(([name]) => OF_CORS.test(name)))
const READABLE = {
  'access-control-allow-origin': SHOP,
  'access-control-expose-headers': 'RateLimit, RateLimit-Policy, Retry-After, Idempotent-Replayed',
  vary: 'Origin',
}

const claims = () => `/v1/rounds/${round.id}/claims`
const ASKED: readonly [
  status: number,
  what: string,
  ask: (headers: NonNullable<Asked['headers']>) => ReturnType<Api['get']>,
][] = [
  [201, 'a claim', headers => api.post(claims(), { user_id: 'a' }, headers)],
  [200, 'a claim again', headers => api.post(claims(), { user_id: 'a' }, headers)],
  [422, 'a claim that is refused', headers => api.post(claims(), { user_id: '' }, headers)],
  [401, 'a claim without a credential', headers => api.as('').post(claims(), { user_id: 'a' }, headers)],
  [401, 'a credential that is none', headers => api.as('nobodys-key').get(`/v1/rounds/${round.id}`, headers)],
  [200, 'a batch', headers => api.post(`${claims()}/batch`, { claims: [{ user_id: 'b' }] }, headers)],
  [200, 'a list as NDJSON', headers => api.get(claims(), { ...headers, accept: 'application/x-ndjson' })],
  [200, 'a round', headers => api.get(`/v1/rounds/${round.id}`, headers)],
  [404, 'a round that is none', headers => api.get('/v1/rounds/rnd_none', headers)],
  [404, 'a path that is none', headers => api.get('/nowhere', headers)],
  [405, 'a method that is none', headers => api.call('PUT', `/v1/rounds/${round.id}`, { headers })],
  [200, 'readiness', headers => api.get('/readyz', headers)],
]

test.each(ASKED)('%i, %s: a page that is named may read it, and no other', async (status, _, ask) => {
  const named = await ask({ origin: SHOP })
  expect([named.status, said(named.headers)]).toEqual([status, READABLE])
  for (const origin of [
    'https://evil.example',
    `${SHOP}.evil.example`,
    'http://shop.example',
    `${SHOP}:8443`,
    'null',
    '*',
  ])
    expect(said((await ask({ origin })).headers), origin).toEqual({})
  expect(said((await ask({})).headers)).toEqual({})
})

test('an app whose pages have an origin of its own may be named', async () => {
  const named = await api.get(`/v1/rounds/${round.id}`, { origin: APP })
  expect(said(named.headers)).toEqual({ ...READABLE, 'access-control-allow-origin': APP })
  expect((await upgradeAnswer(worker.url, { headers: { origin: APP } })).status).toBe(101)
  for (const origin of ['capacitor://localhost.evil.example', 'capacitor://', 'ionic://localhost']) {
    expect(said((await api.get(`/v1/rounds/${round.id}`, { origin })).headers), origin).toEqual({})
    expect((await upgradeAnswer(worker.url, { headers: { origin } })).status, origin).toBe(403)
  }
})

const preflight = (path: string, origin = SHOP) =>
  api.as('').call('OPTIONS', path, { headers: { origin, 'access-control-request-method': 'POST' } })

test.each([
  [() => claims(), 'POST, GET, HEAD'],
  [() => `/v1/rounds/${round.id}`, 'GET, HEAD'],
  [() => '/v1/redemptions', 'POST, GET, HEAD'],
  [() => '/v1/stream', 'GET'],
])('a preflight of a page that is named says what it may ask: %s', async (path, methods) => {
  const { status, headers, bytes } = await preflight(path())
  expect([status, bytes.length, headers.get('content-type'), headers.get('allow')]).toEqual([204, 0, null, methods])
  expect(said(headers)).toEqual({
    ...READABLE,
    'access-control-allow-methods': methods,
    'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key',
    'access-control-max-age': '600',
  })
})

test('a preflight of another page is a method that is not allowed, and of a path that is none nothing is there', async () => {
  for (const path of [claims(), '/v1/stream']) {
    const other = await preflight(path, 'https://evil.example')
    expect([other.status, said(other.headers)]).toEqual([405, {}])
    expect(other.headers.get('allow')).toContain('GET')
  }
  expect((await preflight('/nowhere')).status).toBe(404)
})

test('preflights count against no rate, and the connection goes on behind one', async () => {
  for (let i = 0; i < 3 * RATE; i++) expect((await preflight(claims())).status).toBe(204)
  const connection = new RawConnection(worker.url)
  const line = (method: string) => `${method} /v1/rounds/${round.id} HTTP/1.1\r\nHost: x\r\nOrigin: ${SHOP}\r\n\r\n`
  expect((await connection.ask(line('OPTIONS'))).status).toBe(204)
  expect((await connection.ask(line('GET'))).status).toBe(200)
  connection.close()
})

test('the stream opens for the pages that are named, and for no others', async () => {
  const socket = await openStream(worker.url, { headers: { origin: SHOP } })
  expect((await socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })).op).toBe('subscribed')
  await socket.close()
  await expect(openStream(worker.url, { headers: { origin: 'https://evil.example' } })).rejects.toThrow()
})
