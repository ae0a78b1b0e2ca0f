/**
 * A subscription to several rounds, one of which is read from a Redis that is far away: what the others grant meanwhile is in the
 * frames that come with the answer. It was lost, and a round that had just sold out went on showing stock.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const FAR_MS = 60

let redis: RedisProcess
let proxy: TcpProxy
let near: TestWorker
let far: TestWorker
beforeAll(async () => {
  redis = await startLocalRedis()
  proxy = await TcpProxy.open({ path: redis.socketPath as string })
  near = await startTestWorker(redis.url)
  far = await startTestWorker(proxy.url)
})
afterAll(async () => {
  await Promise.all([near.stop(), far.stop()])
  await proxy.close()
  await redis.stop()
})

test('what is granted while another round of the same subscription is read is shown with the answer', async () => {
  const [known, unread] = [
    await makeRound(new Api(near.url, KEYS.operator)),
    await makeRound(new Api(near.url, KEYS.operator)),
  ]
  const there = new Api(far.url, KEYS.operator)
  const socket = await openStream(far.url)
  await there.get(`/v1/rounds/${known.id}`)
  proxy.delayMs = FAR_MS
  const subscribed = socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${known.id}`, `stock:${unread.id}`] })
  // Asked behind it, so the subscription has read this one when it is answered; the other one takes two ways more.
  await there.get(`/v1/rounds/${known.id}`)
  await new Api(near.url, KEYS.operator).post(`/v1/rounds/${known.id}/claims`, { user_id: 'ada' })
  expect((await subscribed).op).toBe('subscribed')
  const first = await socket.next(frame => frame.op === 'stock' && frame.round_id === known.id)
  expect(first.granted).toBe(1)
  proxy.delayMs = 0
  await socket.close()
})
