/**
 * What was told is found: a look-up is never answered by a read that left before it was asked. Two workers share one
 * Redis; the second one's is behind a proxy that holds a reply back, so that a first look-up is under way while the
 * first worker grants or makes what the second look-up asks for.
 */
import { beforeEach, expect, test } from 'vitest'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

/** How far the second worker is from Redis; all that happens meanwhile at the first takes a tenth of it. */
const WAY_MS = 150

let near: Api
let far: Api
let proxy: TcpProxy

beforeEach(async () => {
  const started: (TestWorker | RedisServer | TcpProxy)[] = []
  const redis = await startLocalRedis({ appendfsync: 'no' })
  proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const workers = [await startTestWorker(redis.url), await startTestWorker(proxy.url, { FAIRGRAB_RATE_WRONG_CODES: '2' })]
  started.push(...workers, proxy, redis)
  ;[near, far] = workers.map(({ url }) => new Api(url, KEYS.operator)) as [Api, Api]
  return async () => {
    proxy.delayMs = 0
    for (const part of started) await ('stop' in part ? part.stop() : part.close())
  }
})

/** Resolves when Redis has read a page of the log whose grants are on their way to the second worker. */
const pageRead = () => proxy.forwarded('reply', bytes => bytes.includes('users'))

async function claim(roundId: string, user: string): Promise<string> {
  const { body } = await near.post<Granted>(`/v1/rounds/${roundId}/claims`, { user_id: user })
  return body.vouchers[0]?.code as string
}

const found = async (code: string): Promise<number> => (await far.get(`/v1/vouchers/${code}`)).status

test('a voucher that was granted while a look-up reads its page is found', async () => {
  const { id } = await makeRound(near)
  const first = await claim(id, 'u1')
  expect(await found(first)).toBe(200)
  const second = await claim(id, 'u2')
  proxy.delayMs = WAY_MS
  const read = pageRead()
  const early = found(second)
  await read
  const told = [await claim(id, 'u3'), await claim(id, 'u4'), await claim(id, 'u5')]
  expect(await Promise.all(told.map(found))).toEqual([200, 200, 200])
  expect(await early).toBe(200)
})

test('a storm of look-ups costs two reads of a page', async () => {
  const { id } = await makeRound(near, { stock: 50 })
  expect(await found(await claim(id, 'u0'))).toBe(200)
  const codes: string[] = []
  for (let i = 1; i <= 40; i++) codes.push(await claim(id, `u${i}`))
  proxy.delayMs = WAY_MS
  const reads = () => proxy.asked.reduce((sum, bytes) => sum + bytes.toString('latin1').split('xrange\r\n').length - 1, 0)
  const before = reads()
  expect(new Set(await Promise.all(codes.map(found)))).toEqual(new Set([200]))
  expect(reads() - before).toBeLessThanOrEqual(2)
})

test('a round that was made while somebody asks for its id is found', async () => {
  const { id } = await makeRound(near)
  const unknown = `rnd_${'x'.repeat(26)}`
  expect((await far.get(`/v1/rounds/${unknown}`)).status).toBe(404)
  expect((await far.get(`/v1/rounds/${id}`)).status).toBe(200)
})
