/**
 * A token ends at its time on a socket that it opened, too. The tokens of this file ended almost a leeway ago, so that they are
 * over within the test: frames are sent one after the other until one of them finds the end.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, expectProblem, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, SUBPROTOCOLS } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const LEEWAY_S = 60
/** How long a token is still good, seconds: enough to open a socket on a busy machine. */
const LEFT_S = 3

let redis: RedisServer
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url, { FAIRGRAB_RATE_USER: '0' })
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

test.each(['json', 'msgpack'] as const)('a socket claims no longer than its token lasts (%s)', async encoding => {
  const round = await makeRound(api, { stock: 5 })
  const token = userToken('late', { claims: { exp: Date.now() / 1000 - LEEWAY_S + LEFT_S } })
  const socket = await openStream(worker.url, { query: `?access_token=${token}`, protocols: [SUBPROTOCOLS[encoding]] })
  expect(await socket.ask({ op: 'ping', id: 0 })).toMatchObject({ op: 'pong', id: 0 })
  const user = api.as(token)
  await untilHolds(async () => (await user.get(`/v1/rounds/${round.id}`)).status !== 200)
  socket.send({ op: 'claim', id: 1, round_id: round.id })
  expect(await socket.next('result').catch(() => socket.closed)).toBe(4401)
  expectProblem(await api.get(`/v1/rounds/${round.id}/claims/late`), 'not_found')
})

test('a key has no end, and neither has who shows none', async () => {
  const round = await makeRound(api, { stock: 5 })
  const [keyed, nobody] = [await openStream(worker.url, { credential: KEYS.platform }), await openStream(worker.url)]
  expect(await keyed.ask({ op: 'claim', id: 1, round_id: round.id, user_id: 'u1' })).toMatchObject({
    outcome: 'granted',
  })
  expect(await nobody.ask({ op: 'ping', id: 2 })).toMatchObject({ op: 'pong' })
  await Promise.all([keyed.close(), nobody.close()])
})
