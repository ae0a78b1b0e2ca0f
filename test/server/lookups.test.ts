/**
 * What look-ups cost and what they remember: two workers share one Redis, and the second one's is behind a proxy that
 * delays it and shows what it asks. A crowd that looks codes up shares reads, and that something was not there a moment ago
 * is nothing to go by. That no read answers a question that came behind it is held by test/script/grant-pages.test.ts.
 */
import { Redis } from 'ioredis'
import { beforeEach, expect, test } from 'vitest'
import { roundState, rounds, roundsByNumber } from '../../engine/store/connection/keys.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

/** How far the second worker is from Redis; all that happens meanwhile at the first takes a tenth of it. */
const WAY_MS = 150

let near: Api
let far: Api
let proxy: TcpProxy
let redis: RedisProcess

beforeEach(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const workers: readonly TestWorker[] = [
    await startTestWorker(redis.url),
    await startTestWorker(proxy.url, { FAIRGRAB_RATE_WRONG_CODES: '2' }),
  ]
  ;[near, far] = workers.map(({ url }) => new Api(url, KEYS.operator)) as [Api, Api]
  return async () => {
    proxy.delayMs = 0
    for (const worker of workers) await worker.stop()
    await proxy.close()
    await redis.stop()
  }
})

/** How often a command was sent to Redis by the second worker. */
const commands = (name: string): number =>
  proxy.asked.reduce((sum, bytes) => sum + bytes.toString('latin1').split(`\r\n${name}\r\n`).length - 1, 0)

async function claim(roundId: string, user: string): Promise<string> {
  const { body } = await near.post<Granted>(`/v1/rounds/${roundId}/claims`, { user_id: user })
  return body.vouchers[0]?.code as string
}

const found = async (code: string): Promise<number> => (await far.get(`/v1/vouchers/${code}`)).status

test('a storm of look-ups costs two reads of a page', async () => {
  const { id } = await makeRound(near, { stock: 50 })
  expect(await found(await claim(id, 'u0'))).toBe(200)
  const codes: string[] = []
  for (let i = 1; i <= 40; i++) codes.push(await claim(id, `u${i}`))
  proxy.delayMs = WAY_MS
  const before = commands('xrange')
  expect(new Set(await Promise.all(codes.map(found)))).toEqual(new Set([200]))
  expect(commands('xrange') - before).toBeLessThanOrEqual(2)
})

test('a round that was made a moment after its id was asked for is found', async () => {
  const { id } = await makeRound(near)
  const admin = new Redis(redis.socketPath as string)
  const state = await admin.dumpBuffer(roundState(id))
  await admin.del(roundState(id))
  await admin.del(rounds(), roundsByNumber())
  const path = `/v1/rounds/${id}`
  expect((await far.get(path)).status).toBe(404)
  await admin.restore(roundState(id), 0, state)
  await admin.quit()
  expect((await far.get(path)).status).toBe(200)
})

test('an id that nothing has is read at most every 50 ms, whoever asks for it', async () => {
  const nonsense = `/v1/rounds/rnd_${'x'.repeat(26)}`
  const from = performance.now()
  const before = commands('hexists')
  for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 50 }, () => far.get(nonsense)))
  expect(commands('hexists') - before).toBeLessThanOrEqual(1 + (performance.now() - from) / 50)
})
