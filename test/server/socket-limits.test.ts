/**
 * The bounds of the stream and of HTTP's head, one test each: sockets in total, sockets of one address, topics of one
 * socket, lines of a head, seconds of silence. Those of frames, bodies, rates and what may wait for a reader stand in
 * stream.test.ts, edge.test.ts, rate-limits.test.ts and slow-readers.test.ts.
 *
 * A bound has to hold and to let go: whoever leaves makes room for the next one. The time of silence is tried on a
 * server of its own, with the shortest that the library has, and goes on in the background of the other tests.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FRAME_BYTES_MAX, TOPICS_PER_SOCKET_MAX } from '../../engine/base/limits.ts'
import type { StreamSocket } from '../../engine/server/stream/stream-socket.ts'
import { type Server, serve } from '../../engine/server/uws/server.ts'
import { Api, makeCampaign, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, type StreamClient, SUBPROTOCOLS, upgradeAnswer, upgradeStatus } from '../support/stream-client.ts'

const SOCKETS = 6
const SOCKETS_ADDRESS = 3
/** The shortest that the library has; it counts in steps of four seconds. */
const IDLE_S = 8

let redis: RedisServer
let worker: TestWorker
let api: Api
let silence: Promise<readonly [silent: number, answering: string]>
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url, {
    FAIRGRAB_SOCKETS: String(SOCKETS),
    FAIRGRAB_SOCKETS_ADDRESS: String(SOCKETS_ADDRESS),
    FAIRGRAB_RATE_ADDRESS: '0',
  })
  api = new Api(worker.url, KEYS.operator)
  silence = beSilent()
})
afterAll(async () => {
  await silence
  await worker.stop()
  await redis.stop()
})

/** A server that only keeps sockets; its port, and who is open. */
async function serveSockets(): Promise<{ server: Server; sockets: Set<StreamSocket>; url: string }> {
  const sockets = new Set<StreamSocket>()
  const server = await serve({
    ...{ host: '127.0.0.1', port: 0, routes: [], fallback: exchange => exchange.answer(404, 'text/plain', '') },
    edge: undefined,
    ...{ streamPath: '/v1/stream', frameBytesMax: FRAME_BYTES_MAX, socketIdleS: IDLE_S },
    stream: {
      refuses: () => undefined,
      opened: socket => void sockets.add(socket),
      received: () => undefined,
      drained: () => undefined,
      closed: socket => void sockets.delete(socket),
    },
  })
  return { server, sockets, url: `http://127.0.0.1:${server.port}` }
}

/** One client that answers nothing and one that only answers pings: how many seconds the first had, and how the second is then. */
async function beSilent(): Promise<readonly [number, string]> {
  const { server, url } = await serveSockets()
  const answering = await openStream(url)
  const socket = connect(server.port, '127.0.0.1')
  const key = Buffer.alloc(16).toString('base64')
  socket.write(
    `GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  socket.resume()
  const from = performance.now()
  await once(socket, 'close')
  const seconds = (performance.now() - from) / 1000
  const state = answering.socket.readyState === answering.socket.OPEN ? 'open' : 'closed'
  server.close()
  await answering.closed
  return [seconds, state]
}

const open = (count: number, credential?: string): Promise<StreamClient[]> =>
  Promise.all(
    Array.from({ length: count }, () => openStream(worker.url, credential === undefined ? {} : { credential })),
  )
const close = (sockets: readonly StreamClient[]) => Promise.all(sockets.map(socket => socket.close()))
const status = (credential?: string) => upgradeStatus(worker.url, credential === undefined ? {} : { credential })

test('sockets in total: one more is refused with 503, and let in when one has left', async () => {
  const all = await open(SOCKETS, KEYS.viewer)
  expect(await status(KEYS.viewer)).toBe(503)
  expect(await status(KEYS.operator)).toBe(503)
  expect((await upgradeAnswer(worker.url, { credential: KEYS.viewer })).headers['retry-after']).toBe('1')
  await close(all.splice(0, 1))
  await expect.poll(() => status(KEYS.viewer)).toBe(101)
  await close(all)
})

test('sockets of one address: only those without a credential count, each address for itself', async () => {
  await expect.poll(async () => String((await api.get('/metrics')).body)).toMatch(/^fairgrab_stream_sockets 0$/m)
  const all = await open(SOCKETS_ADDRESS)
  expect(await status()).toBe(429)
  expect((await upgradeAnswer(worker.url)).headers['retry-after']).toBe('1')
  await close(await open(SOCKETS - SOCKETS_ADDRESS, KEYS.platform))
  const elsewhere = connect({ port: Number(new URL(worker.url).port), host: '127.0.0.1', localAddress: '127.0.0.9' })
  elsewhere.write(
    `GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
  )
  expect(String((await once(elsewhere, 'data'))[0])).toMatch(/^HTTP\/1\.1 101 /)
  elsewhere.destroy()
  await close(all.splice(0, 1))
  await expect.poll(() => status()).toBe(101)
  await close(all)
})

test('viewers of a round are those who watch it now', async () => {
  const round = await makeRound(api)
  const watched = () =>
    api.get('/metrics').then(({ body }) => sumOf(readMetrics(String(body)), 'fairgrab_round_viewers'))
  const all = await open(3, KEYS.viewer)
  for (const [id, socket] of all.entries()) await socket.ask({ op: 'subscribe', id, topics: [`stock:${round.id}`] })
  expect(await watched()).toBe(3)
  await all[0]?.ask({ op: 'unsubscribe', id: 3, topics: [`stock:${round.id}`] })
  expect(await watched()).toBe(2)
  await close(all)
  await expect.poll(watched).toBe(0)
})

test.each(['json', 'msgpack'] as const)(
  'topics of one socket, %s: frames sent at once share the room',
  async encoding => {
    const campaign = await makeCampaign(api)
    const more = Math.ceil(TOPICS_PER_SOCKET_MAX / 2) + 1
    const topics: string[] = []
    for (let i = 0; i < 2 * more; i++) {
      const made = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1, opens_at: null })
      topics.push(`stock:${made.body.id}`)
    }
    const socket = await openStream(worker.url, { protocols: [SUBPROTOCOLS[encoding]] })
    const halves = [topics.slice(0, more), topics.slice(more)]
    const told = await Promise.all(halves.map((half, id) => socket.ask({ op: 'subscribe', id, topics: half })))
    expect(told.map(({ op, code }) => [op, code])).toEqual([
      ['subscribed', undefined],
      ['error', 'invalid'],
    ])
    const again = await socket.ask({ op: 'subscribe', id: 2, topics: topics.slice(0, TOPICS_PER_SOCKET_MAX) })
    expect(again.op).toBe('subscribed')
    expect(await socket.ask({ op: 'subscribe', id: 3, topics: topics.slice(-1) })).toMatchObject({ code: 'invalid' })
    await socket.close()
  },
)

const TURNS = 6
const MESSAGES = 200
const MESSAGE_BYTES = 64 * 1024

test('what was read is owed no more: a reader may be slow again and again', async () => {
  const { server, sockets, url } = await serveSockets()
  const reader = await openStream(url)
  const [socket] = [...sockets] as [StreamSocket]
  socket.owedBytesMax = MESSAGES * MESSAGE_BYTES
  const text = (turn: number, i: number) => JSON.stringify({ turn, i }).padEnd(MESSAGE_BYTES)
  for (let turn = 0; turn < TURNS; turn++) {
    reader.pause()
    for (let i = 0; i < MESSAGES; i++) socket.send(text(turn, i))
    reader.resume()
    await reader.next(({ i }) => i === MESSAGES - 1)
  }
  expect(reader.frames.map(({ turn, i }) => [turn, i])).toEqual(
    Array.from({ length: TURNS * (MESSAGES - 1) }, (_, at) => [Math.floor(at / (MESSAGES - 1)), at % (MESSAGES - 1)]),
  )
  server.close()
  await reader.closed
})

test('a head with too many lines is refused', async () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: 1\r\n`).join('')
  for (const [count, expected] of [
    [50, 200],
    [200, 431],
  ] as const) {
    const connection = new RawConnection(worker.url)
    const answer = await connection.ask(`GET /livez HTTP/1.1\r\nHost: x\r\n${lines(count)}\r\n`)
    expect([count, answer.status]).toEqual([count, expected])
    connection.close()
  }
})

test('a socket that answers nothing is closed, one that answers pings is not', async () => {
  const [seconds, answering] = await silence
  expect(seconds).toBeGreaterThan(IDLE_S - 4.5)
  expect(answering).toBe('open')
})
