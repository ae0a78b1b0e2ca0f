/**
 * Who may read /metrics: by itself an operator's and a viewer's key where keys are set, everybody where a node made its own, and
 * whom FAIRGRAB_METRICS names. What is off answers like a path that is none, and asks Redis nothing.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, expectProblem } from '../support/api.ts'
import { KEYS, startNode, startTestWorker, type TestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { userToken } from '../support/user-token.ts'

let redis: RedisServer
const workers: Record<string, TestWorker> = {}

beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  for (const who of ['', 'public', 'key', 'off'])
    workers[who] = await startTestWorker(redis.url, { FAIRGRAB_METRICS: who })
})

afterAll(async () => {
  for (const worker of Object.values(workers)) await worker.stop()
  await redis?.stop()
})

const apiOf = (who: string, credential = '') => new Api((workers[who] as TestWorker).url, credential)
const told = (bytes: Buffer): number => sumOf(readMetrics(bytes.toString()), 'fairgrab_redis_up')

test.each(['', 'key'])('FAIRGRAB_METRICS=%s with keys: operators and viewers read them, nobody else', async who => {
  for (const key of [KEYS.operator, KEYS.viewer]) {
    const { status, bytes } = await apiOf(who, key).get('/metrics')
    expect([status, told(bytes)]).toEqual([200, 1])
  }
  expectProblem(await apiOf(who).get('/metrics'), 'unauthorized')
  expectProblem(await apiOf(who, 'no key of ours').get('/metrics'), 'unauthorized')
  for (const credential of [KEYS.platform, KEYS.merchant, userToken('ada')])
    expectProblem(await apiOf(who, credential).get('/metrics'), 'forbidden')
  expect((await apiOf(who).get('/readyz?verbose')).body).toMatchObject({ ready: true, metrics: 'key' })
})

test('FAIRGRAB_METRICS=public: everybody reads them', async () => {
  for (const credential of ['', KEYS.merchant, KEYS.operator]) {
    const { status, bytes } = await apiOf('public', credential).get('/metrics')
    expect([status, told(bytes)]).toEqual([200, 1])
  }
  expect((await apiOf('public').get('/readyz?verbose')).body.metrics).toBe('public')
})

test('FAIRGRAB_METRICS=off: no path of that name is there, for operators neither', async () => {
  for (const credential of ['', KEYS.operator]) {
    const { detail } = expectProblem(await apiOf('off', credential).get('/metrics'), 'not_found')
    expect(detail).toBe(String((await apiOf('off').get('/nowhere')).body.detail).replace('nowhere', 'metrics'))
  }
  expect((await apiOf('off').get('/readyz?verbose')).body.metrics).toBe('off')
})

test('a node that makes its own key shows them to everybody on its machine, all its workers too', async () => {
  const node = await startNode({ FAIRGRAB_KEYS: '', FAIRGRAB_WORKERS: '2' })
  try {
    const { status, bytes } = await new Api(node.url).get('/metrics')
    expect([status, told(bytes)]).toEqual([200, 2])
  } finally {
    await node.stop()
  }
})
