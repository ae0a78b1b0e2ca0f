/**
 * When a refused claim is worth asking again, to the millisecond: `retry_after_ms` beside `retry_after_s`, over HTTP and on the
 * stream. Somebody who comes just before the opening and waits for it is there with the opening, also when the
 * worker refused him by itself and knows the round from a quarter of a second ago.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { problem } from '../../engine/wire/problem.ts'
import { Api, expectProblem, type Granted, makeRound, type Reply } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startOwnRedis } from '../support/redis.ts'
import { StreamClient } from '../support/stream-client.ts'

const OPENS_IN_MS = 900
/** How old a worker's knowledge may get before it asks again: within its lease. */
const IDLE_MS = 150

let redis: RedisServer
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
})

interface Refused {
  readonly opens_at: string
  readonly server_time: string
  readonly retry_after_s: number
  readonly retry_after_ms: number
}

const soon = async () => {
  const round = await makeRound(api, { opens_at: new Date(Date.now() + OPENS_IN_MS).toISOString() })
  return { id: round.id, opensAt: Date.parse(round.opens_at as string) }
}
const claim = (id: string) => api.post<Granted & Refused>(`/v1/rounds/${id}/claims`, { user_id: 'ada' })
const wait = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

/** The wait is the whole way to the opening from the moment that the answer names, and in seconds it is rounded up. */
function expectExact(told: Refused, opensAt: number): void {
  expect(Date.parse(told.opens_at)).toBe(opensAt)
  expect(told.retry_after_ms).toBe(Math.max(1, opensAt - Date.parse(told.server_time)))
  expect(told.retry_after_s).toBe(Math.ceil(told.retry_after_ms / 1000))
}

test('whoever waits for it is there with the opening', async () => {
  const { id, opensAt } = await soon()
  let late = 0
  for (let asked = 1; ; asked++) {
    const reply = await claim(id)
    if (reply.status === 201) {
      expect(Date.parse(reply.body.claim.granted_at) - opensAt).toBeLessThan(50 + late)
      expect(asked).toBeLessThan(5)
      return
    }
    expectProblem(reply as unknown as Reply, 'not_open')
    expect(reply.headers.get('retry-after')).toBe(String(reply.body.retry_after_s))
    expectExact(reply.body, opensAt)
    const due = performance.now() + reply.body.retry_after_ms
    await wait(reply.body.retry_after_ms)
    // What this machine itself was late is not the engine's.
    late += performance.now() - due
  }
})

test('a refusal by the worker itself is as exact as one by Redis', async () => {
  const { id, opensAt } = await soon()
  const first = (await claim(id)).body
  const from = performance.now()
  await wait(IDLE_MS)
  const passed = performance.now() - from
  const second = (await claim(id)).body
  for (const told of [first, second]) expectExact(told, opensAt)
  expect(Date.parse(second.server_time) - Date.parse(first.server_time)).toBeGreaterThan(passed - 10)
})

test('on the stream it is the same', async () => {
  const { id, opensAt } = await soon()
  const stream = new StreamClient(api.url, { credential: KEYS.platform })
  await stream.next('welcome')
  const told = await stream.ask({ op: 'claim', id: 1, round_id: id, user_id: 'ada' })
  expect(told).toMatchObject({ op: 'result', code: 'not_open' })
  expectExact(told as unknown as Refused, opensAt)
  await stream.close()
})

test('a round that is opened by hand, and every problem with a time, has both', async () => {
  const byHand = await makeRound(api, { opens_at: null })
  expectProblem((await claim(byHand.id)) as unknown as Reply, 'not_open', { retry_after_s: 5, retry_after_ms: 5000 })
  for (const code of Object.keys(CODES) as Code[]) {
    const { retry_after_s: s, retry_after_ms: ms } = problem(code)
    expect([code, ms]).toEqual([code, s === undefined ? undefined : s * 1000])
  }
  expect(problem('fenced', undefined, { retry_after_s: 7 })).toMatchObject({ retry_after_s: 7, retry_after_ms: 7000 })
  expect(problem('not_open', undefined, { retry_after_ms: 50 })).toMatchObject({ retry_after_s: 1, retry_after_ms: 50 })
})
