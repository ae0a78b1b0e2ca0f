/**
 * What most tests over HTTP begin with: one worker over a Redis of its own for all tests of a file.
 *
 * Rejected: a part of engine.ts, which programs outside of the test runner use too.
 */
import { afterAll, beforeAll } from 'vitest'
import { startTestWorker, type TestWorker } from './engine.ts'
import { type RedisServer, startRedis } from './redis.ts'

/**
 * A worker and its Redis for all tests of a file; the addresses are there when the first test begins. Where a test counts on
 * being alone, `start` is startLocalRedis.
 */
export function useWorker(
  settings: Readonly<Record<string, string>> = {},
  start: typeof startRedis = startRedis,
): {
  readonly url: string
  readonly redisUrl: string
} {
  let redis: RedisServer
  let worker: TestWorker
  beforeAll(async () => {
    redis = await start({ appendfsync: 'no' })
    worker = await startTestWorker(redis.url, settings)
  })
  afterAll(async () => {
    await worker?.stop()
    await redis?.stop()
  })
  return {
    get url() {
      return worker.url
    },
    get redisUrl() {
      return redis.url
    },
  }
}
