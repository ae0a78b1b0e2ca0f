/**
 * A reader who stops reading: he delays nobody, loses no answer to his claims, and sees the last state of the stock. One
 * who goes on asking and never reads is closed once he is owed more than his limit, and what he asked for stands.
 *
 * The socket of the test is paused, so the kernel's buffers and then the engine's fill up: frames of 4,096 claims
 * are answered into it until there are some eight megabytes. Meanwhile another reader of the same round is served at
 * once. When the slow one reads again, every answer has to be there, complete and in its place, and the last stock
 * frame has to show the end, though frames before it may have been dropped.
 */
import { beforeAll, expect, test } from 'vitest'
import { CLOSE_CODES } from '../../engine/base/codes.ts'
import { CLAIMS_PER_REQUEST_MAX, OWED_BYTES_MAX } from '../../engine/base/limits.ts'
import { Api, type Fields, makeRound, pack, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { Stalls } from '../support/stalls.ts'
import { openStream, SUBPROTOCOLS } from '../support/stream-client.ts'
import { useWorker } from '../support/use-worker.ts'

const FRAMES = 100
/** So many frames are sent before the quick reader's claim, which is decided behind them, gives the engine time. */
const FRAMES_AT_ONCE = 10

const worker = useWorker()
let api: Api
beforeAll(() => {
  api = new Api(worker.url, KEYS.operator)
})

const metric = async (name: string): Promise<number> =>
  sumOf(readMetrics(String((await api.get('/metrics')).body)), name)
const socketsOpen = (): Promise<number> => metric('fairgrab_stream_sockets')

test.each(['json', 'msgpack'] as const)(
  '%s: no answer is lost, nobody is delayed, the last stock comes',
  async encoding => {
    const before = await metric('fairgrab_stream_catch_ups_total')
    using stalls = new Stalls()
    const round = await makeRound(api, { stock: CLAIMS_PER_REQUEST_MAX + 1000 })
    const topics = [`stock:${round.id}`]
    const slow = await openStream(worker.url, { credential: KEYS.platform, protocols: [SUBPROTOCOLS[encoding]] })
    const quick = await openStream(worker.url, { credential: KEYS.platform, protocols: [SUBPROTOCOLS[encoding]] })
    for (const socket of [slow, quick]) await socket.ask({ op: 'subscribe', id: 'watch', topics })
    const user_ids = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => `a-user-of-the-slow-reader-${i}`)
    slow.pause()
    for (let id = 1; id <= FRAMES; id++) {
      slow.send({ op: 'claims', id, round_id: round.id, user_ids })
      if (id % FRAMES_AT_ONCE > 0) continue
      const asked = performance.now()
      const claim = { op: 'claim', id, round_id: round.id, user_id: `quick-${id}` }
      expect(await quick.askUntilTaken(claim)).toMatchObject({ outcome: 'granted' })
      expect(stalls.since(asked)).toBeLessThan(2000)
    }
    for (let i = 0; i < 20; i++) await api.post(`/v1/rounds/${round.id}/claims`, { user_id: `more-${i}` })
    await api.post(`/v1/rounds/${round.id}/close`)
    const { body: end } = await api.get<Round>(`/v1/rounds/${round.id}`)
    expect(await quick.next(frame => frame.version === end.stock.version)).toMatchObject({ state: 'closed' })
    slow.resume()
    const answers: Fields[] = []
    for (let id = 1; id <= FRAMES; id++) {
      let answer = await slow.next(frame => frame.id === id)
      // A busy machine makes the engine shed a frame, or the claims of it that waited too long: they are asked again.
      while (answer.code === 'overloaded' || (answer.outcomes as string[]).includes('overloaded'))
        answer = await slow.ask({ op: 'claims', id, round_id: round.id, user_ids })
      answers.push(answer)
    }
    const rows = (await api.get(`/v1/rounds/${round.id}/claims`, { accept: 'application/x-ndjson' })).bytes.toString()
    const held = new Map(
      rows
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as Fields)
        .map(row => [row.user_id, row.sequence]),
    )
    const expected = user_ids.map(user => held.get(user))
    for (const { id, sequences, outcomes } of answers) {
      const wrong = (sequences as number[]).findIndex((sequence, i) => sequence !== expected[i])
      expect([id, wrong, (sequences as number[])[wrong], expected[wrong]]).toEqual([id, -1, undefined, undefined])
      expect(new Set(outcomes as string[])).toEqual(new Set(['granted']))
    }
    const last = await slow.next(frame => frame.op === 'stock' && frame.version === end.stock.version)
    expect(last).toMatchObject({ state: 'closed', granted: end.stock.granted })
    // What was dropped while he was slow nobody can know, so he is told again whenever he has caught up.
    expect(await metric('fairgrab_stream_catch_ups_total')).toBeGreaterThan(before)
    await Promise.all([slow.close(), quick.close()])
  },
)

/** More than the kernel's buffers and the limit take, whatever an answer's size: then the engine did not bound it. */
const OWED_MIB_BEYOND = 2 * (OWED_BYTES_MAX.key / 2 ** 20)

test('claims that go on without a reader end with the socket, and every grant is found again', async () => {
  const round = await makeRound(api, { stock: CLAIMS_PER_REQUEST_MAX })
  const platform = { credential: KEYS.platform, protocols: [SUBPROTOCOLS.msgpack] }
  const others = await socketsOpen()
  const slow = await openStream(worker.url, platform)
  const user_ids = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => `never-reads-${i}`)
  const { sequences } = await slow.askUntilTaken({ op: 'claims', id: 1, round_id: round.id, user_ids })
  const again = pack({ op: 'claims', id: 2, round_id: round.id, user_ids })
  // An answer to a repeated frame is about as long as the frame.
  const frames = Math.ceil((OWED_MIB_BEYOND * 2 ** 20) / again.length)
  slow.pause()
  const heap = process.memoryUsage().rss
  for (let sent = 0; sent < frames && slow.socket.readyState === slow.socket.OPEN; sent += FRAMES_AT_ONCE) {
    for (let i = 0; i < FRAMES_AT_ONCE; i++) slow.send(again)
    expect((await api.get('/livez')).status).toBe(200)
    if ((await socketsOpen()) === others) break
  }
  expect(await socketsOpen()).toBe(others)
  expect((process.memoryUsage().rss - heap) / 2 ** 20).toBeLessThan(OWED_MIB_BEYOND + 64)
  slow.resume()
  expect([CLOSE_CODES.slow.close, 1006]).toContain(await slow.closed)
  const next = await openStream(worker.url, platform)
  expect((await next.askUntilTaken({ op: 'claims', id: 3, round_id: round.id, user_ids })).sequences).toEqual(sequences)
  await next.close()
})

test('who shows no key is owed less', async () => {
  const round = await makeRound(api)
  const others = await socketsOpen()
  const slow = await openStream(worker.url)
  slow.pause()
  for (let turn = 0; (await socketsOpen()) > others; turn++) {
    expect(turn).toBeLessThan(200)
    for (let id = 0; id < 2000; id++) slow.send({ op: 'subscribe', id, topics: [`stock:${round.id}`] })
  }
  slow.resume()
  expect([CLOSE_CODES.slow.close, 1006]).toContain(await slow.closed)
})
