/**
 * What strangers may do to a worker and it stays the worker it was: hostile paths, queries and headers, spoofed
 * addresses, browsers of other pages, messages on Redis's channels that are no notices, guessed codes, sockets that
 * never read.
 *
 * Everything is tried on the real worker, since a decoder that is sound alone can be called with what nobody decoded.
 * The bug counter is the judge: a request that meets a bug raises it, whatever the stranger was answered.
 * Rejected: a random crawler over all routes; it finds 404.
 */
import { setTimeout as until } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { CLAIMS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import { allChannels, roundChannel } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { PatientApi } from '../support/patient-api.ts'
import { RawConnection } from '../support/raw-http.ts'
import { primariesOf, rawRedis, testCluster } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { openStream, StreamClient, upgradeStatus } from '../support/stream-client.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
let api: Api
let round: Round
beforeAll(async () => {
  api = new PatientApi(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 20 })
})

const counted = async (name: string, url = worker.url): Promise<number> =>
  sumOf(readMetrics(String((await new Api(url, KEYS.operator).get<string>('/metrics')).body)), name)

const HOSTILE: readonly string[] = [
  ...[
    '',
    ' ',
    '0',
    '-1',
    '-0',
    '1e3',
    '1e300',
    '0x10',
    '9'.repeat(30),
    '1.5',
    'NaN',
    'Infinity',
    'null',
    '[]',
    '()',
    '*',
  ],
  ...[
    '{x}',
    'rnd_{x}',
    'u{1}',
    'a:b:c',
    'rnd_none:NaN',
    'rnd_none:-5',
    '1-2',
    '1-2-3',
    '(1-1',
    '+',
    '-',
    '$',
    '>',
    '..',
  ],
  ...[
    '../../etc/passwd',
    '\0',
    'a\0b',
    'a\r\nSET x 1',
    'a\nb',
    '\u2028',
    '%',
    '%zz',
    '\ud800'.toWellFormed(),
    '__proto__',
  ],
  ...['constructor', 'toString', 'x'.repeat(3000), "'; --", '<script>', '\u202e', '🎟', '１'],
]
const PATHS: readonly string[] = [
  '/v1/campaigns?limit=1&cursor={}',
  '/v1/rounds?cursor={}',
  '/v1/rounds?limit={}',
  '/v1/rounds/{}',
  '/v1/rounds/ROUND/claims?cursor={}',
  '/v1/rounds/ROUND/claims?limit={}',
  '/v1/rounds/ROUND/claims/{}',
  '/v1/rounds/ROUND/claims/u1?slot={}',
  '/v1/rounds/{}/claims/u1',
  '/v1/rounds/{}/draw?window={}',
  '/v1/rounds/ROUND/draw/files/{}',
  '/v1/vouchers/{}',
  '/v1/vouchers/{}/history',
  '/v1/claims?user_id={}',
  '/v1/claims?user_id=u1&cursor={}',
  '/v1/campaigns/{}/ledger',
  '/v1/campaigns/CAMPAIGN/ledger/entries?cursor={}',
  '/v1/campaigns/CAMPAIGN/study?cursor={}',
  '/v1/campaigns/CAMPAIGN/settlements/{}',
  '/v1/merchants/{}',
  '/v1/audit?cursor={}',
  '/readyz?{}',
]

/** All keys there are, but for those that a connection writes for itself when a server is first asked. */
async function keysOf(client: Redis): Promise<readonly string[]> {
  const keys = await Promise.all((await primariesOf(client)).map(server => server.keys('*')))
  return keys
    .flat()
    .filter(key => !key.endsWith('-mark'))
    .sort()
}

test('no path, query or cursor of a stranger meets a bug, and none makes a key', async () => {
  const client = rawRedis(worker.redisUrl)
  onTestFinished(() => client.disconnect())
  const keys = await keysOf(client)
  const bugs = await counted('fairgrab_bugs_total')
  const asked = PATHS.flatMap(path => HOSTILE.map(word => [path, word] as const))
  const odd: unknown[] = []
  await Promise.all(
    asked.map(async ([path, word]) => {
      const filled = path
        .replaceAll('{}', encodeURIComponent(word))
        .replace('ROUND', round.id)
        .replace('CAMPAIGN', round.campaign_id)
      const { status, body } = await api.get(filled)
      if (status >= 500) odd.push([filled, status, body])
    }),
  )
  expect(odd).toEqual([])
  expect([await counted('fairgrab_bugs_total'), await keysOf(client)]).toEqual([bugs, keys])
})

test('an Idempotency-Key of any bytes is taken or refused, and never split', async () => {
  const next = random(3)
  const body = '{"code":"none","order":{"id":"o","amount":1,"currency":"CNY"},"merchant_id":"m"}'
  const bugs = await counted('fairgrab_bugs_total')
  // Control bytes never get so far: the library leaves such a request without an answer.
  const bytes = () => Buffer.from(Array.from({ length: 1 + below(next, 140) }, () => 32 + below(next, 224)))
  const statuses = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const connection = new RawConnection(worker.url)
      const head =
        `POST /v1/redemptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.merchant}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nIdempotency-Key: `
      const { status } = await connection.ask(
        Buffer.concat([Buffer.from(head), bytes(), Buffer.from(`\r\n\r\n${body}`)]),
      )
      connection.close()
      return status
    }),
  )
  expect(statuses.filter(status => ![400, 404, 422].includes(status))).toEqual([])
  expect(await counted('fairgrab_bugs_total')).toBe(bugs)
})

test('who asks is the socket: a spoofed X-Forwarded-For or Forwarded has no bucket of its own', async () => {
  const limited = await startTestWorker(worker.redisUrl, { FAIRGRAB_RATE_ADDRESS: '5' })
  const asked = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      new Api(limited.url).get('/livez', {
        'x-forwarded-for': `203.0.113.${i}`,
        'x-real-ip': `203.0.113.${i}`,
        forwarded: `for=203.0.113.${i}`,
      }),
    ),
  )
  expect(asked.filter(({ status }) => status === 429).length).toBeGreaterThan(20)
  await limited.stop()
})

test('no answer lets a page of another origin read it, and none sets a cookie', async () => {
  const origin = 'https://evil.example'
  const preflight = {
    origin,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization',
  }
  const replies = [
    await api.get('/v1/rounds', { origin }),
    await api.as('').get(`/v1/rounds/${round.id}`, { origin: 'null' }),
    await api.get('/', { origin }),
    await api.call('OPTIONS', `/v1/rounds/${round.id}/claims`, { headers: preflight }),
    await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'cors' }, { origin }),
  ]
  for (const { headers } of replies)
    expect([...headers.keys()].filter(name => /^access-control-|^set-cookie$/.test(name))).toEqual([])
})

test('a client that offers compression of frames is not given it', async () => {
  const connection = new RawConnection(worker.url)
  const { status, head } = await connection.ask(
    'GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n',
  )
  connection.close()
  expect([status, /extensions/i.test(head)]).toEqual([101, false])
})

test('a message on a stock channel that is no notice changes nothing and ends nobody', async () => {
  const before = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
  const client = rawRedis(worker.redisUrl)
  onTestFinished(() => client.disconnect())
  const { epoch } = before.stock
  // On a cluster a worker listens to the channels of rounds that it knows, and to no pattern.
  const [send, channels] = testCluster() > 0 ? ['SPUBLISH', []] : ['PUBLISH', [allChannels(), roundChannel('')]]
  for (const message of ['', 'x', 'awaits', 'awaits x', `${epoch} 999999 9 1 1 0 0 1 1`, `${epoch} x 4 1 1 0 0 1 1`])
    for (const channel of [roundChannel(round.id), ...channels])
      expect(await client.call(send, channel, message)).toBeGreaterThan(0)
  await until(50)
  expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body).toEqual(before)
})

test('wrong codes are counted, and beyond the rate their guesser is refused before anything is looked at', async () => {
  const limited = await startTestWorker(worker.redisUrl, { FAIRGRAB_RATE_WRONG_CODES: '5' })
  const merchant = new Api(limited.url, KEYS.merchant)
  const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'code' })
  const code = body.vouchers[0]?.code as string
  for (let i = 0; i < 20; i++) expect((await merchant.get(`/v1/vouchers/${code}`)).status).toBe(200)
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  const guesses: (() => Promise<{ status: number }>)[] = [
    () => merchant.get('/v1/vouchers/guess'),
    () => merchant.post('/v1/vouchers/guess/lock', { order_id: 'o', ttl_s: 1 }),
    () => merchant.post('/v1/vouchers/guess/unlock', { order_id: 'o' }),
    () => merchant.post('/v1/redemptions', { code: 'guess', order, merchant_id: 'm' }, { 'idempotency-key': 'g' }),
    () => merchant.get('/v1/vouchers/guess'),
  ]
  const statuses: number[] = []
  for (const guess of [...guesses, ...guesses]) statuses.push((await guess()).status)
  expect(statuses.slice(0, 5)).toEqual([404, 404, 404, 404, 404])
  expect(statuses.filter(status => status === 429).length).toBeGreaterThan(0)
  expect(await counted('fairgrab_wrong_codes_total', limited.url)).toBe(statuses.filter(each => each === 404).length)
  const refused = await merchant.get(`/v1/vouchers/${code}`)
  if (refused.status !== 200) expectProblem(refused, 'rate_limited', { retry_after_s: 1 })
  expect((await merchant.as(KEYS.platform).get(`/v1/vouchers/${code}`)).status).toBe(200)
  await vi.waitUntil(async () => (await merchant.get(`/v1/vouchers/${code}`)).status === 200, { timeout: 5000 })
  await limited.stop()
})

test('a socket that asks and never reads is ended before it fills the memory', { timeout: 60_000 }, async () => {
  const { id } = await makeRound(api, { stock: CLAIMS_PER_REQUEST_MAX })
  const deaf = await openStream(worker.url, { credential: KEYS.platform })
  const user_ids = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => `d${i}`)
  await deaf.ask({ op: 'claims', id: 'first', round_id: id, user_ids })
  const sockets = await counted('fairgrab_stream_sockets')
  deaf.pause()
  for (let sent = 0; sent < 1000; sent++) {
    deaf.send({ op: 'claims', id: sent, round_id: id, user_ids })
    if (sent % 50 === 49 && (await counted('fairgrab_stream_sockets')) < sockets) break
  }
  expect(await counted('fairgrab_stream_sockets')).toBe(sockets - 1)
  const other = new StreamClient(worker.url)
  expect(await other.next('welcome')).toMatchObject({ op: 'welcome' })
  await other.close()
  deaf.socket.terminate()
})

test('a worker that has all the sockets it may have refuses the next one, and serves HTTP on', async () => {
  const small = await startTestWorker(worker.redisUrl, { FAIRGRAB_SOCKETS: '2' })
  const sockets = await Promise.all([openStream(small.url), openStream(small.url)])
  expect(await upgradeStatus(small.url)).toBe(503)
  expect((await new Api(small.url).get('/livez')).status).toBe(200)
  await sockets[0]?.close()
  await vi.waitUntil(async () => (await upgradeStatus(small.url)) === 101)
  await sockets[1]?.close()
  await small.stop()
})
