/**
 * The client's stock and countdown against a running engine, through a network that breaks: it comes back by itself, says where
 * a gap was, drops what is old, knows another epoch, and leaves no socket behind.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { Fairgrab } from '../../engine/client/fairgrab.ts'
import type { StockNews } from '../../engine/client/stock.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

let redis: RedisServer
let worker: TestWorker
let proxy: TcpProxy
let api: Api
let fairgrab: Fairgrab
let round: Round
let leaving: AbortController
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})
beforeEach(async () => {
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(worker.url).port) }, { remembers: false })
  fairgrab = new Fairgrab({ url: proxy.url.replace('redis', 'http'), key: KEYS.platform, WebSocket })
  round = await makeRound(api, { stock: 100 })
  leaving = new AbortController()
})
afterEach(async () => {
  leaving.abort(new Error('the test is over'))
  await proxy.close()
})

type Watched = AsyncGenerator<StockNews>
const take = async (news: Watched): Promise<StockNews> => (await news.next()).value as StockNews
const sockets = async (): Promise<number> => {
  const { bytes } = await api.get('/metrics')
  return Number(/^fairgrab_stream_sockets (\d+)$/m.exec(bytes.toString())?.[1])
}
const untilSockets = (wanted: number): Promise<void> => untilHolds(async () => (await sockets()) === wanted)

test('the stock as it is, then as it moves; who leaves leaves no socket', async () => {
  const seen: StockNews[] = []
  for await (const news of fairgrab.stock(round.id)) {
    seen.push(news)
    const granted = news.kind === 'stock' ? news.stock.granted : -1
    if (granted === 3) break
    expect((await fairgrab.claim(round.id, { user: `u${seen.length}` })).outcome).toBe('granted')
  }
  expect(seen[0]).toMatchObject({ kind: 'stock', stock: { granted: 0, total: 100 }, afterGap: false, newEpoch: false })
  expect(seen.map(({ kind }) => kind)).not.toContain('gap')
  await untilSockets(0)
})

test('several who watch share one socket, and who comes later gets the stock as it is', async () => {
  const other = await makeRound(api, { stock: 5 })
  const watchers = [round.id, round.id, other.id].map(id => fairgrab.stock(id, { signal: leaving.signal }))
  const firsts = []
  for (const watcher of watchers) firsts.push(await take(watcher))
  expect(firsts).toMatchObject([100, 100, 5].map(total => ({ kind: 'stock', stock: { total } })))
  expect(await sockets()).toBe(1)
  await watchers[0]?.return(undefined)
  await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })
  expect(await take(watchers[1] as Watched)).toMatchObject({ stock: { granted: 1 } })
})

test('a lost connection is a gap; the stock behind it says so, and nothing old is shown', async () => {
  const news = fairgrab.stock(round.id, { signal: leaving.signal })
  await take(news)
  proxy.disconnect()
  expect(await take(news)).toEqual({ kind: 'gap', reason: 'the connection is lost' })
  await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })
  const back = await take(news)
  expect(back).toMatchObject({ kind: 'stock', afterGap: true, newEpoch: false })
  expect((await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'bea' })).status).toBe(201)
  expect(await take(news)).toMatchObject({ kind: 'stock', afterGap: false })
})

test('a network that is silent is a gap after some seconds', async () => {
  const news = fairgrab.stock(round.id, { signal: leaving.signal })
  await take(news)
  proxy.way = 'black hole'
  expect(await take(news)).toEqual({ kind: 'gap', reason: 'nothing came for six seconds' })
  proxy.way = 'pass'
  for (let next = await take(news); next.kind !== 'stock'; next = await take(news)) expect(next.kind).toBe('gap')
})

test('a round that is none is an error at once, and takes no other down', async () => {
  const news = fairgrab.stock(round.id, { signal: leaving.signal })
  const none = fairgrab.stock('rnd_none')
  const [first, refused] = await Promise.allSettled([take(news), take(none)])
  expect(first).toMatchObject({ status: 'fulfilled', value: { kind: 'stock' } })
  expect(refused).toMatchObject({ status: 'rejected', reason: { message: 'rnd_none: there is no round rnd_none' } })
})

test('a signal ends it with its reason', async () => {
  const news = fairgrab.stock(round.id, { signal: leaving.signal })
  await take(news)
  const next = expect(news.next()).rejects.toThrow('enough')
  leaving.abort(new Error('enough'))
  await next
  await untilSockets(0)
})

/** A stream whose order, epochs and clock are made up, which no engine can be made to mix; over HTTP it has a round. */
async function saying(
  frames: readonly object[],
  round: object = {},
  clockMs: () => number | string = () => Date.now(),
) {
  const web = createServer((_, response) => response.end(JSON.stringify(round)))
  const server = new WebSocketServer({ server: web })
  web.listen(0, '127.0.0.1')
  await once(web, 'listening')
  const now = () => {
    const ms = clockMs()
    return typeof ms === 'string' ? ms : new Date(ms).toISOString()
  }
  server.on('connection', socket => {
    socket.send(JSON.stringify({ op: 'welcome', server_time: now() }))
    socket.on('message', data => {
      const { op, id } = JSON.parse(String(data)) as { readonly op: string; readonly id: number }
      if (op === 'ping') socket.send(JSON.stringify({ op: 'pong', id, server_time: now() }))
      if (op === 'subscribe') for (const frame of frames) socket.send(JSON.stringify(frame))
    })
  })
  const client = new Fairgrab({ url: `http://127.0.0.1:${(web.address() as AddressInfo).port}`, WebSocket })
  const say = (frame: object) => {
    for (const socket of server.clients) socket.send(JSON.stringify(frame))
  }
  const sayBytes = (bytes: string | Buffer) => {
    for (const socket of server.clients) socket.send(bytes)
  }
  const close = (code: number) => {
    for (const socket of server.clients) socket.close(code)
  }
  return { client, say, sayBytes, close, stop: () => web.close() }
}

const scheduled = { op: 'stock', round_id: 'r', state: 'scheduled', epoch: 'a', version: 1 }

test.each(['{"op":"sto', 'null', '5', '[]', '{"op":1}', Buffer.of(1, 2, 3)])(
  'what is no frame (%#) is a lost connection and not the end of the program',
  async bytes => {
    const { client, sayBytes, stop } = await saying([scheduled])
    const news = client.stock('r', { signal: leaving.signal })
    expect((await take(news)).kind).toBe('stock')
    sayBytes(bytes)
    expect(await take(news)).toEqual({ kind: 'gap', reason: 'what came is no frame' })
    expect(await take(news)).toMatchObject({ kind: 'stock', afterGap: true })
    stop()
  },
)

test('a socket that was idle for too long comes back, one that asked too much does not', async () => {
  const { client, close, stop } = await saying([scheduled])
  const news = client.stock('r', { signal: leaving.signal })
  await take(news)
  close(4408)
  expect((await take(news)).kind).toBe('gap')
  expect((await take(news)).kind).toBe('stock')
  close(4403)
  await expect(take(news)).rejects.toThrow('the stream is refused')
  stop()
})

test('a countdown whose reader is busy misses neither the opening nor the end of their patience', async () => {
  const { client, say, stop } = await saying([scheduled], { id: 'r', opens_at: null })
  const other = client.stock('r', { signal: leaving.signal })
  await take(other)
  const lefts: (number | null)[] = []
  for await (const left of client.countdown('r')) {
    lefts.push(left)
    say({ ...scheduled, state: 'open', version: 2 })
    // The same socket brought it to both.
    await take(other)
  }
  expect(lefts).toEqual([null])
  say({ ...scheduled, version: 3 })
  await take(other)
  const patience = new AbortController()
  const watched = (async () => {
    for await (const _ of client.countdown('r', { signal: patience.signal })) patience.abort(new Error('enough'))
  })()
  await expect(watched).rejects.toThrow('enough')
  stop()
})

test('a countdown says whole milliseconds, and none where the engine’s times are no times', async () => {
  const soon = new Date(Date.now() + 60_000).toISOString()
  const sound = await saying([scheduled], { id: 'r', opens_at: soon })
  const left = (await sound.client.countdown('r', { signal: leaving.signal }).next()).value
  expect(Number.isInteger(left)).toBe(true)
  sound.stop()
  const wrong = await saying([scheduled], { id: 'r', opens_at: 'soon' }, () => 'now')
  const countdown = wrong.client.countdown('r', { signal: leaving.signal })
  expect((await countdown.next()).value).toBeNull()
  wrong.stop()
})

test('the countdown goes by the clock of the node that it is connected to now', async () => {
  let ahead = 0
  const clockMs = () => Date.now() + ahead
  const round = { id: 'r', opens_at: new Date(Date.now() + 320_000).toISOString() }
  const { client, close, stop } = await saying([scheduled], round, clockMs)
  const news = client.stock('r', { signal: leaving.signal })
  const countdown = client.countdown('r', { signal: leaving.signal })
  await take(news)
  expect((await countdown.next()).value).toBeGreaterThan(310_000)
  ahead = 300_000
  close(1012)
  await take(news)
  await take(news)
  expect((await countdown.next()).value).toBeLessThan(30_000)
  stop()
})

test('a socket that cannot be made is an error every time', async () => {
  class Refusing extends WebSocket {
    constructor() {
      super('ws://127.0.0.1:2/#refused')
    }
  }
  const refused = new Fairgrab({ url: proxy.url.replace('redis', 'http'), WebSocket: Refusing })
  for (const _ of [1, 2]) await expect(take(refused.stock(round.id))).rejects.toThrow('fragment')
})

test('the countdown goes by the engine’s clock where this machine’s is hours apart from it', async () => {
  const clockMs = () => Date.now() + 7_200_000
  const round = { id: 'r', opens_at: new Date(clockMs() + 1500).toISOString() }
  const { client, stop } = await saying([scheduled], round, clockMs)
  const lefts: (number | null)[] = []
  for await (const left of client.countdown('r')) lefts.push(left)
  expect(lefts.map(left => Math.ceil(Number(left) / 1000))).toEqual([2, 1].slice(-lefts.length))
  stop()
})

test('a lower version of the same epoch is dropped, another epoch replaces everything', async () => {
  const frame = (round_id: string, epoch: string, version: number) => ({ op: 'stock', round_id, epoch, version })
  const { client, say, stop } = await saying([frame('r', 'a', 5)])
  const [news, other] = ['r', 'other'].map(id => client.stock(id, { signal: leaving.signal })) as [Watched, Watched]
  const shown = async (next: ReturnType<Watched['next']>) => {
    const { value } = await next
    return value.kind === 'stock' ? [value.stock.epoch, value.stock.version, value.newEpoch] : [value]
  }
  expect(await shown(news.next())).toEqual(['a', 5, false])
  const behind = other.next()
  const next = news.next()
  say(frame('r', 'a', 4))
  say(frame('other', 'x', 1))
  // What comes behind it on the same socket is here, so it was here, too.
  await behind
  say(frame('r', 'a', 6))
  expect(await shown(next)).toEqual(['a', 6, false])
  say(frame('r', 'b', 1))
  expect(await shown(news.next())).toEqual(['b', 1, true])
  // What is old stays old behind another epoch that nobody has read yet.
  say(frame('r', 'c', 1))
  say(frame('r', 'a', 5))
  say(frame('other', 'x', 2))
  await other.next()
  expect(await shown(news.next())).toEqual(['c', 1, true])
  stop()
})

test('the countdown goes on in full seconds, and ends when the round opens', async () => {
  const opens = await makeRound(api, { opens_at: new Date(Date.now() + 2500).toISOString() })
  const lefts: (number | null)[] = []
  for await (const left of fairgrab.countdown(opens.id)) lefts.push(left)
  const seconds = lefts.map(left => Math.ceil(Number(left) / 1000))
  expect(seconds.length).toBeGreaterThan(1)
  expect(seconds).toEqual(seconds.map((_, i) => seconds.length - i))
  expect((await fairgrab.claim(opens.id, { user: 'ada' })).outcome).toBe('granted')
})

test('a countdown of a round that opens by hand has no number, and ends with the lever', async () => {
  const byHand = await makeRound(api, { opens_at: null })
  const countdown = fairgrab.countdown(byHand.id, { signal: leaving.signal })
  expect((await countdown.next()).value).toBeNull()
  const end = countdown.next()
  await api.post(`/v1/rounds/${byHand.id}/open`)
  expect(await end).toEqual({ done: true, value: undefined })
})

test('a platform without WebSocket says so', async () => {
  const own = globalThis.WebSocket
  Reflect.deleteProperty(globalThis, 'WebSocket')
  const nowhere = new Fairgrab({ url: proxy.url.replace('redis', 'http') })
  const asked = Promise.allSettled([1, 2].map(() => take(nowhere.stock(round.id))))
  globalThis.WebSocket = own
  for (const result of await asked)
    expect(result).toMatchObject({ reason: { message: expect.stringContaining('no WebSocket: give one') } })
})
