/**
 * Merchants by the thousand: kept a line each with one wait for all, with a result a line; and listed by their ids. The wrong
 * lines are named by their numbers and keep no other from being kept. Under a key all of them are kept once.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MERCHANTS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { weekOf } from '../../engine/store/data/voucher-store.ts'
import { Api, expectProblem, type Fields } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'

interface Results {
  readonly results: readonly Fields[]
}

interface Listed {
  readonly data: readonly { readonly id: string; readonly name: string }[]
  readonly has_more: boolean
  readonly next_cursor: string | null
}

let redis: RedisProcess
let client: Redis
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  client = new Redis(redis.url)
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  client?.disconnect()
  await redis?.stop()
})

const LINES = { 'content-type': 'application/x-ndjson' }
const put = (lines: readonly (string | object)[], headers: Readonly<Record<string, string>> = {}) => {
  const text = lines.map(line => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
  return api.call<Results>('PUT', '/v1/merchants', { body: Buffer.from(text), headers: { ...LINES, ...headers } })
}
const many = (count: number, name = 'Shop') =>
  Array.from({ length: count }, (_, i) => ({ id: `m${String(i).padStart(5, '0')}`, name: `${name} ${i}`, tags: ['t'] }))

test('the most that a request may have is kept within a wait, and listed by id, page by page', async () => {
  const from = performance.now()
  const { status, body } = await put(many(MERCHANTS_PER_REQUEST_MAX))
  const took = performance.now() - from
  expect(status).toBe(200)
  expect(body.results).toHaveLength(MERCHANTS_PER_REQUEST_MAX)
  expect(body.results.at(-1)).toEqual({ line: MERCHANTS_PER_REQUEST_MAX, id: 'm09999', outcome: 'kept' })
  expect(took).toBeLessThan(5000)
  console.log(`${MERCHANTS_PER_REQUEST_MAX} merchants were kept in ${Math.round(took)} ms`)

  const seen: string[] = []
  let cursor = ''
  do {
    const page = await api.get<Listed>(`/v1/merchants?limit=1000${cursor && `&cursor=${cursor}`}`)
    seen.push(...page.body.data.map(({ id }) => id))
    cursor = page.body.next_cursor ?? ''
  } while (cursor !== '')
  const wrong = many(MERCHANTS_PER_REQUEST_MAX).filter(({ id }, i) => seen[i] !== id)
  expect([seen.length, wrong.slice(0, 3)]).toEqual([MERCHANTS_PER_REQUEST_MAX, []])
  const all = await api.get('/v1/merchants?cursor=m09997', { accept: 'application/x-ndjson' })
  expect(
    all.bytes
      .toString()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
  ).toEqual([9998, 9999].map(i => ({ id: `m0${i}`, name: `Shop ${i}`, tags: ['t'], stores: [] })))
  expectProblem(await api.get('/v1/merchants?cursor=a:b'), 'invalid')
})

test('a line that is wrong refuses itself by its number, and no other', async () => {
  const { status, body } = await put([
    { id: 'a1', name: 'A' },
    '',
    '{"id":"a2"',
    { id: 'a3' },
    { id: 'a4', name: 'D', more: 1 },
    { id: 'a:5', name: 'E' },
    { id: 'a1', name: 'again' },
    '{"id":"a6","id":"a7","name":"F"}',
    { id: 'a8', name: 'G' },
  ])
  expect(status).toBe(200)
  const said = body.results.map(({ line, outcome, code, detail }) =>
    `${line} ${outcome ?? code} ${detail ?? ''}`.trim(),
  )
  expect(said).toEqual([
    '1 kept',
    '3 malformed the bytes are not JSON',
    expect.stringMatching(/^4 invalid name/),
    expect.stringMatching(/^5 invalid .*more/),
    expect.stringMatching(/^6 invalid id/),
    '7 invalid id: a1 is on line 1, too',
    expect.stringMatching(/^8 malformed a name stands twice/),
    '9 kept',
  ])
  expect((await api.get('/v1/merchants/a1')).body).toMatchObject({ name: 'A' })
  expectProblem(await api.get('/v1/merchants/a3'), 'not_found')
})

test('the answer is a line a line where that is asked for', async () => {
  const reply = await put([{ id: 'n1', name: 'N' }, '{'], { accept: 'application/x-ndjson' })
  expect(reply.headers.get('content-type')).toBe('application/x-ndjson')
  expect(
    reply.bytes
      .toString()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
  ).toEqual([
    { line: 1, id: 'n1', outcome: 'kept' },
    { line: 2, code: 'malformed', detail: 'the bytes are not JSON' },
  ])
})

test('too many lines, none, another type and too many bytes are refused, and nothing is kept', async () => {
  const before = await client.hlen(keys.merchants())
  expectProblem(
    (await put(many(MERCHANTS_PER_REQUEST_MAX + 1, 'x'))) as unknown as Parameters<typeof expectProblem>[0],
    'invalid',
  )
  expectProblem((await put(['', ' '])) as unknown as Parameters<typeof expectProblem>[0], 'invalid')
  const json = await api.call('PUT', '/v1/merchants', { body: { id: 'z1', name: 'Z' } })
  expectProblem(json, 'unsupported_type')
  const long = `{"id":"z2","name":"${'z'.repeat(17 * 1024 * 1024)}"}`
  expectProblem((await put([long])) as unknown as Parameters<typeof expectProblem>[0], 'too_large')
  expect(await client.hlen(keys.merchants())).toBe(before)
})

test('under a key all lines are kept once, also where the first try came to half of them', async () => {
  const key = { 'idempotency-key': 'import-1' }
  expect((await put(many(1200, 'First'), key)).headers.get('idempotent-replayed')).toBeNull()
  await put([{ id: 'm00000', name: 'Newer' }])
  const again = await put(many(1200, 'First'), key)
  expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true'])
  expect((await api.get('/v1/merchants/m00000')).body).toMatchObject({ name: 'Newer' })
  // A part that is not remembered was not kept, and is.
  const table = keys.callerKeys(keys.merchants(), weekOf(Date.now()))
  const [part] = (await client.hkeys(table)).filter(name => name.endsWith(' 1'))
  await client.hdel(table, part as string)
  await put([{ id: 'm00500', name: 'Newer' }])
  const rest = await put(many(1200, 'First'), key)
  expect(rest.headers.get('idempotent-replayed')).toBeNull()
  const names = await Promise.all(
    ['m00000', 'm00500'].map(async id => (await api.get(`/v1/merchants/${id}`)).body.name),
  )
  expect(names).toEqual(['Newer', 'First 500'])
})

test('a page ends at any id that a merchant may have, and the next one goes on behind it', async () => {
  const ids = ['z-a', 'z.b', 'z@c', 'z_d', 'zE']
  await put(ids.map(id => ({ id, name: id })))
  const seen: string[] = []
  for (let cursor: string | null = 'y'; cursor !== null; ) {
    const page: Listed = (await api.get<Listed>(`/v1/merchants?limit=1&cursor=${encodeURIComponent(cursor)}`)).body
    seen.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
  }
  expect(seen.sort()).toEqual(ids.toSorted())
})
