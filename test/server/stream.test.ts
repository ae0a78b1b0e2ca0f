/**
 * The live stream, in both subprotocols: the first frames, every op, who may, what closes a socket and what does not.
 *
 * Frames are awaited, never slept for. Two workers on one Redis serve the file, so that stock moves on one and is
 * watched on the other. The table of origins and the ways to send a credential are tried on the upgrade itself.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FRAME_BYTES_MAX, STOCK_FRAMES_PER_S_MAX, TOPICS_PER_SOCKET_MAX } from '../../engine/base/limits.ts'
import { roundState } from '../../engine/store/connection/keys.ts'
import { textOf } from '../repo/tree.ts'
import { Api, type Fields, type Granted, makeRound, pack, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { primariesOf, type RedisServer, rawRedis, startRedis } from '../support/redis.ts'
import { openStream, type StreamClient, SUBPROTOCOLS, upgradeStatus } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const ALLOWED_ORIGIN = 'https://shop.example'

let redis: RedisServer
let worker: TestWorker
let other: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const settings = { FAIRGRAB_ORIGINS: ALLOWED_ORIGIN, FAIRGRAB_RATE_ADDRESS: '0', FAIRGRAB_RATE_USER: '0' }
  worker = await startTestWorker(redis.url, settings)
  other = await startTestWorker(redis.url, settings)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  await other.stop()
  await redis.stop()
})

const stockOf = ({ id, state, stock: { total, granted, remaining, epoch, version } }: Round): Fields => ({
  op: 'stock',
  round_id: id,
  state,
  ...{ total, granted, remaining, epoch, version },
  at: expect.stringMatching(TIME),
})
const isStock = (version: number) => (frame: Fields) => frame.op === 'stock' && (frame.version as number) >= version

for (const encoding of ['json', 'msgpack'] as const)
  describe(encoding, () => {
    const protocols = [SUBPROTOCOLS[encoding]]
    const open = (credential?: string, url = worker.url): Promise<StreamClient> =>
      openStream(url, credential === undefined ? { protocols } : { protocols, credential })

    test('the welcome is first; ping, unsubscribe and subscribe are answered by their id', async () => {
      const round = await makeRound(api)
      const socket = await open()
      expect(socket.socket.protocol).toBe(SUBPROTOCOLS[encoding])
      const answered = socket.ask({ op: 'ping', id: 5 })
      expect(await answered).toEqual({ op: 'pong', id: 5, server_time: expect.stringMatching(TIME) })
      expect(socket.frames).toEqual([
        { op: 'welcome', server_time: expect.stringMatching(TIME), max_frame_bytes: FRAME_BYTES_MAX },
      ])
      const topics = [`stock:${round.id}`]
      expect(await socket.ask({ op: 'subscribe', id: 'a', topics })).toEqual({ op: 'subscribed', id: 'a', topics })
      expect(await socket.next('stock')).toEqual(stockOf(round))
      await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })
      expect(await socket.next(isStock(2))).toMatchObject({ granted: 1, remaining: 9, version: 2 })
      expect(await socket.ask({ op: 'unsubscribe', id: 2, topics })).toEqual({ op: 'unsubscribed', id: 2, topics })
      await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'u2' })
      await socket.ask({ op: 'ping', id: 6 })
      expect(socket.frames.filter(frame => frame.op === 'stock')).toEqual([])
      await socket.close()
    })

    test('a claim has the body of HTTP, and its code where it is refused', async () => {
      const round = await makeRound(api, { stock: 1 }, { limits: { per_user: 2 } })
      const socket = await open(KEYS.platform)
      const claim = (id: number, more: Fields) => socket.ask({ op: 'claim', id, round_id: round.id, ...more })
      const first = await claim(1, { user_id: 'u1' })
      const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })
      expect(first).toEqual({ op: 'result', id: 1, outcome: 'granted', claim: body.claim, vouchers: body.vouchers })
      expect(await claim(2, { user_id: 'u1' })).toEqual({ ...first, id: 2, replayed: true })
      for (let id = 3; id < 6; id++)
        expect(await claim(id, { user_id: 'u2' })).toMatchObject({
          op: 'result',
          id,
          outcome: 'sold_out',
          code: 'sold_out',
        })
      expect(await claim(7, { user_id: 'u1', slot: 3 })).toMatchObject({ op: 'result', code: 'limit_reached' })
      const scheduled = await makeRound(api, { opens_at: '2126-01-01T00:00:00.000Z' })
      expect(await claim(8, { round_id: scheduled.id, user_id: 'u' })).toMatchObject({
        code: 'not_open',
        opens_at: '2126-01-01T00:00:00.000Z',
        server_time: expect.stringMatching(TIME),
      })
      expect(await claim(9, { user_id: 'u', pool: 'nobody' })).toMatchObject({ op: 'error', id: 9, code: 'invalid' })
      expect(await claim(10, { round_id: 'rnd_none', user_id: 'u' })).toMatchObject({
        op: 'error',
        id: 10,
        code: 'not_found',
      })
      expect(await claim(11, {})).toMatchObject({ op: 'error', id: 11, code: 'invalid' })
      await socket.close()
    })

    test('many claims are answered in order, with the places of those granted before', async () => {
      const round = await makeRound(api, { stock: 700 })
      const socket = await open(KEYS.platform)
      const users = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `w${from + i}`)
      const first = await socket.ask({ op: 'claims', id: 1, round_id: round.id, user_ids: users(0, 600) })
      expect(first).toEqual({
        op: 'results',
        id: 1,
        outcomes: users(0, 600).map(() => 'granted'),
        sequences: users(0, 600).map((_, i) => i + 1),
      })
      const asked = [...users(595, 800), 'w700', 'w0']
      const mixed = await socket.ask({ op: 'claims', id: 2, round_id: round.id, user_ids: asked })
      const granted = (user: string) => Number(user.slice(1)) < 700
      const replayed = (user: string, i: number) => Number(user.slice(1)) < 600 || asked.indexOf(user) < i
      expect(mixed).toEqual({
        op: 'results',
        id: 2,
        outcomes: asked.map(user => (granted(user) ? 'granted' : 'sold_out')),
        sequences: asked.map(user => (granted(user) ? Number(user.slice(1)) + 1 : 0)),
        replayed: asked.flatMap((user, i) => (granted(user) && replayed(user, i) ? [i] : [])),
      })
      const again = { ...mixed, replayed: asked.flatMap((user, i) => (granted(user) ? [i] : [])) }
      for (let id = 3; id < 6; id++)
        expect(await socket.ask({ op: 'claims', id, round_id: round.id, user_ids: asked })).toEqual({ ...again, id })
      await socket.close()
    })

    test('frames in flight are answered by their ids, each once', async () => {
      const round = await makeRound(api, { stock: 20_000 })
      const socket = await open(KEYS.operator)
      const ids = Array.from({ length: 40 }, (_, i) => i + 1)
      const answers = ids.map(id => {
        const user_ids = Array.from({ length: 250 }, (_, i) => `f${id}-${i}`)
        return id % 4 === 0
          ? socket.ask({ op: 'ping', id })
          : socket.ask({ op: 'claims', id, round_id: round.id, user_ids })
      })
      const told = await Promise.all(answers)
      const sequences = told.flatMap(frame => (frame.sequences as number[] | undefined) ?? [])
      expect(told.map(frame => frame.op)).toEqual(ids.map(id => (id % 4 === 0 ? 'pong' : 'results')))
      expect(sequences.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 7500 }, (_, i) => i + 1))
      expect(socket.frames.map(frame => frame.op)).toEqual(['welcome'])
      await socket.close()
    })

    test('a frame that is wrong gets an error and the socket stays', async () => {
      const round = await makeRound(api)
      const socket = await open(KEYS.platform)
      const raw = encoding === 'json' ? '{"op":' : pack({ op: 'ping', id: 1 }).subarray(0, 5)
      socket.send(raw as string)
      expect(await socket.next('error')).toEqual({
        op: 'error',
        id: 0,
        code: 'malformed',
        detail: expect.stringMatching(/./),
      })
      const wrong: readonly Fields[] = [
        { op: 'dance', id: 1 },
        { op: 'ping', id: 2, more: 1 },
        { op: 'subscribe', id: 3, topics: [] },
        {
          op: 'subscribe',
          id: 4,
          topics: Array.from({ length: TOPICS_PER_SOCKET_MAX + 1 }, (_, i) => `stock:rnd_${i}`),
        },
        { op: 'claim', id: 5, user_id: 'u' },
        { op: 'claim', id: 6, round_id: round.id, user_id: 'a{b}' },
        { op: 'claims', id: 7, round_id: round.id, user_ids: [] },
        { op: 'claims', id: 8, round_id: round.id, user_ids: ['ok', 'not ok'] },
        { op: 'claims', id: 9, round_id: round.id, user_ids: Array.from({ length: 4097 }, (_, i) => `u${i}`) },
        { op: 'claims', id: 10, round_id: round.id, user_ids: [1, 2] },
      ]
      for (const frame of wrong)
        expect(await socket.ask(frame)).toEqual({
          op: 'error',
          id: frame.id,
          code: 'invalid',
          detail: expect.stringMatching(/./),
        })
      for (const topic of ['claims:all', 'stock:rnd_none', 'stock:', `stock:${round.id}x`])
        expect(await socket.ask({ op: 'subscribe', id: topic, topics: [`stock:${round.id}`, topic] })).toMatchObject({
          op: 'error',
          code: 'not_found',
        })
      for (const odd of [null, 7, 'ping', [1], {}]) {
        socket.send((encoding === 'json' ? JSON.stringify(odd) : pack(odd)) as string)
        expect(await socket.next('error')).toMatchObject({ id: 0, code: 'invalid' })
      }
      expect(await socket.ask({ op: 'ping', id: 99 })).toMatchObject({ op: 'pong' })
      expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(0)
      await socket.close()
    })

    test('what may not be claimed closes with a 44xx code; a frame that is too large too', async () => {
      const round = await makeRound(api)
      const claim = { op: 'claim', id: 1, round_id: round.id, user_id: 'u1' }
      const claims = { op: 'claims', id: 1, round_id: round.id, user_ids: ['u1', 'u2'] }
      const rows: readonly (readonly [credential: string | undefined, frame: Fields, close: number])[] = [
        [undefined, claim, 4401],
        [undefined, claims, 4401],
        [KEYS.viewer, claim, 4403],
        [KEYS.merchant, claims, 4403],
        [userToken('u1'), claims, 4403],
        [KEYS.platform, { op: 'ping', id: 'x'.repeat(FRAME_BYTES_MAX) }, 4413],
      ]
      for (const [credential, frame, close] of rows) {
        const socket = await open(credential)
        socket.send(frame)
        expect([credential, frame.op, await socket.closed]).toEqual([credential, frame.op, close])
      }
      const huge = await open(KEYS.platform)
      huge.send('x'.repeat(20 * FRAME_BYTES_MAX))
      expect(await huge.closed).not.toBe(1000)
      expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(0)
    })

    test('docs/api.md tells these close codes', () => {
      const told = textOf('docs/api.md').replaceAll(/\s+/g, ' ')
      expect(told).toContain(
        'A claim without a credential closes the socket with 4401, one that the credential may not',
      )
      expect(told).toContain(
        'make with 4403, a frame over `max_frame_bytes` with 4413, one of more than twice that without',
      )
    })

    test('a user claims for themselves; nobody watches the stock', async () => {
      const round = await makeRound(api)
      const user = await open(userToken('me'))
      expect(await user.ask({ op: 'claim', id: 1, round_id: round.id })).toMatchObject({
        outcome: 'granted',
        claim: { user_id: 'me' },
      })
      expect(await user.ask({ op: 'claim', id: 3, round_id: round.id, user_id: 'me' })).toMatchObject({
        replayed: true,
      })
      const nobody = await open()
      await nobody.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
      expect(await nobody.next('stock')).toMatchObject({ granted: 1 })
      user.send({ op: 'claim', id: 2, round_id: round.id, user_id: 'you' })
      expect(await user.closed).toBe(4403)
      await nobody.close()
    })

    test('stock frames are absolute, coalesced, in order, and the last one always comes, on every worker', async () => {
      const round = await makeRound(api, { stock: 3000 })
      const watchers = await Promise.all([open(), open(undefined, other.url)])
      for (const watcher of watchers) await watcher.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
      const early: Fields[] = []
      const from = performance.now()
      for (let i = 0; i < 150; i++) {
        const claims = Array.from({ length: 20 }, (_, k) => ({ user_id: `s${i}-${k}` }))
        await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims })
        // On any machine there is a frame before the last one.
        if (i === 75) for (const watcher of watchers) early.push(await watcher.next(isStock(2)))
      }
      const { body: end } = await api.get<Round>(`/v1/rounds/${round.id}`)
      expect(end).toMatchObject({ state: 'sold_out', stock: { granted: 3000 } })
      for (const [i, watcher] of watchers.entries()) {
        const last = await watcher.next(isStock(end.stock.version))
        const seconds = (performance.now() - from) / 1000
        expect(last).toEqual(stockOf(end))
        const seen = watcher.frames.filter(frame => frame.op === 'stock')
        expect(seen.length + 1).toBeLessThanOrEqual(2 + seconds * STOCK_FRAMES_PER_S_MAX)
        const next = seen.find(isStock(2)) ?? last
        expect(next.version as number).toBeGreaterThanOrEqual(early[i]?.version as number)
        let version = 0
        for (const frame of seen) {
          expect(frame.version as number).toBeGreaterThanOrEqual(version)
          expect((frame.granted as number) + (frame.remaining as number)).toBe(3000)
          version = frame.version as number
        }
      }
      await api.post(`/v1/rounds/${round.id}/close`)
      for (const watcher of watchers)
        expect(await watcher.next(isStock(end.stock.version + 1))).toMatchObject({ state: 'closed' })
      await Promise.all(watchers.map(watcher => watcher.close()))
    })
  })

test('without a subprotocol frames are JSON; of several the engine takes one of its own', async () => {
  const plain = await openStream(worker.url)
  expect([plain.socket.protocol, (await plain.next('welcome')).op]).toEqual(['', 'welcome'])
  const several = await openStream(worker.url, { protocols: ['chat', SUBPROTOCOLS.json] })
  expect(several.socket.protocol).toBe(SUBPROTOCOLS.json)
  expect(several.socket.extensions).toBe('')
  await Promise.all([plain.close(), several.close()])
})

test('a credential comes in the header or as access_token; a wrong one refuses the upgrade', async () => {
  const token = userToken('me')
  for (const [query, credential, status] of [
    ['', KEYS.platform, 101],
    [`?access_token=${KEYS.platform}`, undefined, 101],
    [`?access_token=${token}`, undefined, 101],
    ['', 'wrong', 401],
    ['?access_token=wrong', undefined, 401],
    [`?access_token=${KEYS.platform}`, 'wrong', 401],
    [`?access_token=${userToken('me', { claims: { exp: 1 } })}`, undefined, 401],
  ] as const) {
    const options = credential === undefined ? { query } : { query, credential }
    expect([query, credential, await upgradeStatus(worker.url, options)]).toEqual([query, credential, status])
  }
  const schemes = [token, KEYS.platform, `Basic ${token}`, `Bearer${token}`, 'Bearer', `bearer ${token}`]
  const statuses = schemes.map(authorization => upgradeStatus(worker.url, { headers: { authorization } }))
  expect(await Promise.all(statuses)).toEqual([401, 401, 401, 401, 401, 101])
  const round = await makeRound(api)
  const byQuery = await openStream(worker.url, { query: `?access_token=${token}` })
  expect(await byQuery.ask({ op: 'claim', id: 1, round_id: round.id })).toMatchObject({ claim: { user_id: 'me' } })
  await byQuery.close()
})

test('browsers may come from pages of this host and from those that are allowed', async () => {
  const { host, port } = new URL(worker.url)
  const rows: readonly (readonly [origin: string, status: number])[] = [
    [`http://${host}`, 101],
    [`https://${host}`, 101],
    [ALLOWED_ORIGIN, 101],
    ['null', 403],
    ['https://evil.example', 403],
    [`${ALLOWED_ORIGIN}.evil.example`, 403],
    ['http://shop.example', 403],
    [`http://127.0.0.1:${Number(port) + 1}`, 403],
    ['http://127.0.0.1', 403],
    [`http://${host}/`, 403],
  ]
  for (const [origin, status] of rows)
    expect([origin, await upgradeStatus(worker.url, { headers: { origin } })]).toEqual([origin, status])
})

test('a read that failed is shared by those who asked with it, and by nobody later', async () => {
  const { id } = await makeRound(api)
  const admin = rawRedis(redis.url)
  const socket = await openStream(other.url)
  const subscribe = () => socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${id}`] })
  const [whole, aside] = [roundState(id), `${roundState(id)}:aside`]
  await admin.rename(whole, aside)
  expect(await subscribe()).toMatchObject({ op: 'error' })
  await admin.rename(aside, whole)
  await expect.poll(subscribe, { timeout: 20_000 }).toMatchObject({ op: 'subscribed' })
  await socket.close()
  admin.disconnect()
})

test('those who subscribe at once share a read of the round, and each is told what it read', async () => {
  const round = await makeRound(api)
  const admin = rawRedis(redis.url)
  const scripts = async () => {
    const infos = await Promise.all((await primariesOf(admin)).map(server => server.info('commandstats')))
    return infos.reduce((sum, info) => sum + Number(/cmdstat_evalsha:calls=(\d+)/.exec(info)?.[1] ?? 0), 0)
  }
  const socket = await openStream(worker.url)
  const before = await scripts()
  const asked = Array.from({ length: 200 }, (_, id) =>
    socket.ask({ op: 'subscribe', id, topics: [`stock:${round.id}`] }),
  )
  await Promise.all(asked)
  // A handful for the time in which the first of them is read, and for the worker's own looks.
  expect((await scripts()) - before).toBeLessThan(20)
  for (let i = 0; i < asked.length; i++) expect(await socket.next('stock')).toEqual(stockOf(round))
  await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })
  const later = await openStream(worker.url)
  await later.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
  expect(await later.next('stock')).toMatchObject({ granted: 1 })
  await later.close()
  expect(await socket.ask({ op: 'subscribe', id: 'none', topics: ['stock:rnd_none'] })).toMatchObject({
    code: 'not_found',
  })
  await socket.close()
  admin.disconnect()
})
