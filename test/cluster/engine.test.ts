/**
 * The engine on a real cluster of three shards: rounds and campaigns of all shards are claimed, redeemed, drawn and watched as
 * on one Redis. A shard that is away stops its own rounds, is named where people look, and stops nothing else; a node
 * starts without it. A slot that moves under load takes its round along, with its viewers.
 */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, type Fields, type Granted, type Round } from '../support/api.ts'
import { effort } from '../support/effort.ts'
import { KEYS, SOON_MS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'
import { roundAt, ShardLoad } from '../support/shard-load.ts'
import { openStream } from '../support/stream-client.ts'

const SECRETS = { FAIRGRAB_VOUCHER_SECRET: '1'.repeat(64), FAIRGRAB_DRAW_SECRET: '2'.repeat(64) }
/** Of each shard's round, over two engines. */
const GRANTED = effort(150, 500)
const QUIET = { ...SECRETS, LOG_LEVEL: 'fatal' }

let redis: RedisCluster
let worker: TestWorker
let second: TestWorker
let api: Api
beforeAll(async () => {
  redis = await RedisCluster.open()
  worker = await startTestWorker(redis.url, QUIET, SOON_MS)
  second = await startTestWorker(redis.url, QUIET, SOON_MS)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  await second.stop()
  await redis.stop()
})

interface Report {
  readonly ready: boolean
  readonly nodes: number
  readonly problems: readonly { readonly what: string }[]
}
const reportOf = async (from = api) => (await from.get<Report & Fields>('/readyz?verbose')).body
const claim = (round: string, user_id: string, from = api) =>
  from.post<Granted & { code?: string }>(`/v1/rounds/${round}/claims`, { user_id })
const other = (server: ClusterServer) => redis.primaries.find(each => each !== server) as ClusterServer

async function watch(url: string, round: string) {
  const socket = await openStream(url)
  await socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${round}`] })
  onTestFinished(() => socket.close())
  return socket
}
const grantedIs = (granted: number) => (frame: Fields) => frame.op === 'stock' && frame.granted === granted

test('rounds of each shard: claimed over one node, held over the other, redeemed once, and watched', async () => {
  for (const [i, server] of redis.primaries.entries()) {
    const round = await roundAt(redis, api, server, 3)
    const granted = await claim(round.id, 'ada')
    expect([granted.status, granted.body.claim.sequence]).toEqual([201, 1])
    const again = await claim(round.id, 'ada', new Api(second.url, KEYS.operator))
    expect([again.status, again.body.claim.sequence]).toEqual([200, 1])
    const body = { code: granted.body.vouchers[0]?.code, order: { id: `o${i}`, amount: 5000, currency: 'CNY' } }
    const redeem = () =>
      api.as(KEYS.merchant).post('/v1/redemptions', { ...body, merchant_id: 'm1' }, { 'idempotency-key': `k${i}` })
    expect((await redeem()).status).toBe(201)
    expect((await redeem()).body).toEqual((await redeem()).body)
    const socket = await watch(second.url, round.id)
    for (const user of ['bea', 'cid', 'dan']) await claim(round.id, user)
    expect(await socket.next(grantedIs(3))).toBeDefined()
    expect((await claim(round.id, 'eve')).body.code).toBe('sold_out')
    expect(await server.admin.hlen(keys.roundHolders(round.id))).toBe(3)
  }
  // Both workers have the same name, so they are one node.
  await until(async () => (await reportOf()).nodes === 1)
})

test('a drawn round of each shard is entered, drawn and granted', async () => {
  for (const server of redis.primaries) {
    const { id } = await roundAt(redis, api, server, 2, { allocation: { mode: 'window', window_ms: 60_000 } })
    const drawn = (await watch(second.url, id)).next('drawn')
    for (const user of ['a', 'b', 'c']) expect((await claim(id, user)).status).toBe(202)
    await api.post(`/v1/rounds/${id}/close`)
    await drawn
    // The worker that said so knows it; another one reads the draw a moment later.
    const there = new Api(second.url, KEYS.operator)
    const statuses = await Promise.all(['a', 'b', 'c'].map(async user => (await claim(id, user, there)).status))
    expect(statuses.toSorted((x, y) => x - y)).toEqual([200, 200, 409])
  }
})

test('a slot moves under load: nothing is lost or refused, and who watches goes along', async () => {
  const [from] = redis.primaries as [ClusterServer]
  const { id } = await roundAt(redis, api, from)
  const still = await roundAt(redis, api, other(from))
  const socket = await watch(second.url, id)
  const load = new ShardLoad([worker.url], [id, still.id])
  await load.granted(id, 100)
  await redis.moveSlot(clusterSlotOf(keys.roundState(id)), other(from), () => new Promise(done => setTimeout(done, 20)))
  await load.granted(id, 100)
  const { acknowledged, wrong } = await load.end()
  expect(wrong).toEqual([])
  expect(acknowledged).toBeGreaterThan(200)
  const { body } = await api.get<Round>(`/v1/rounds/${id}`)
  expect(await socket.next(grantedIs(body.stock.granted))).toBeDefined()
  expect((await claim(id, 'behind')).status).toBe(201)
  expect(await socket.next(grantedIs(body.stock.granted + 1))).toBeDefined()
})

test('two engines of two workers each decide rounds of all shards as one', async () => {
  const settings = {
    ...SECRETS,
    REDIS_URL: redis.url,
    FAIRGRAB_DURABILITY: 'memory',
    FAIRGRAB_WORKERS: '2',
    FAIRGRAB_KEYS: `platform:${KEYS.platform}`,
  }
  const started = Array.from({ length: 2 }, async () => {
    const node = await startNodeProcess(settings)
    onTestFinished(async () => void (await node.stop()))
    return node.url
  })
  const rounds = await Promise.all(redis.primaries.map(server => roundAt(redis, api, server)))
  const load = new ShardLoad(
    await Promise.all(started),
    rounds.map(({ id }) => id),
  )
  for (const { id } of rounds) await load.granted(id, GRANTED)
  const { acknowledged, wrong } = await load.end()
  expect(wrong).toEqual([])
  expect(acknowledged).toBeGreaterThanOrEqual(rounds.length * GRANTED)
})

/** Lists and what is watched have the rounds of shards that answer, and say what is wrong with the others. */
async function listsAll(lost: string, kept: string): Promise<void> {
  const problem = expect.stringContaining(`round ${lost}: its shard does not answer`)
  for (const path of ['/v1/rounds', '/v1/rounds?limit=1000']) {
    const { status, body } = await api.get<{ data: { id: string; state: string }[] } & Fields>(path)
    expect([status, body.data.find(({ id }) => id === kept)]).toMatchObject([200, { state: 'open' }])
    expect(body.data.find(({ id }) => id === lost)).toEqual({ id: lost, state: 'fenced', problem })
  }
  const env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  const { code, out } = await fairgrab(`watch ${lost} ${kept} --once --json`, env)
  expect([code, JSON.parse(out)]).toEqual([
    0,
    [
      { id: lost, state: 'fenced', problem: expect.stringMatching(/unavailable|unknown/) },
      expect.objectContaining({ id: kept, state: 'open' }),
    ],
  ])
}

test('a shard that is away: its rounds stand still, others go on, it is named, and a node starts without it', async () => {
  const owners = await Promise.all([keys.agreed(), keys.controls()].map(key => redis.ownerOf(key)))
  const away = redis.primaries.find(each => !owners.includes(each)) as ClusterServer
  // Without their index no list is read.
  await redis.moveSlot(clusterSlotOf(keys.rounds()), other(away))
  const lost = await roundAt(redis, api, away)
  const kept = await roundAt(redis, api, other(away))
  expect((await claim(lost.id, 'ada')).status).toBe(201)
  await away.redis.kill()
  onTestFinished(() => away.redis.restart())
  expect(['unknown', 'unavailable', 'fenced']).toContain((await claim(lost.id, 'bea')).body.code)
  expect((await claim(kept.id, 'ada')).status).toBe(201)
  await until(async () => {
    const { ready, problems } = await reportOf()
    return ready && problems.some(({ what }) => what.startsWith(`shard ${away.address}: `))
  })
  expect((await claim(lost.id, 'cid')).body.code).toBe('fenced')
  await listsAll(lost.id, kept.id)
  const shardsAway = async () => /^fairgrab_shards_away (\d+)$/m.exec((await api.get<string>('/metrics')).body)?.[1]
  expect(await shardsAway()).toBe('1')
  const third = await startTestWorker(redis.url, QUIET, SOON_MS)
  onTestFinished(() => third.stop())
  const late = new Api(third.url, KEYS.operator)
  expect((await claim(kept.id, 'bea', late)).status).toBe(201)
  expect((await reportOf(late)).problems.map(({ what }) => what.split(':').slice(0, 2).join(':'))).toContain(
    `shard ${away.address}`,
  )
  await away.redis.restart()
  await until(async () => (await claim(lost.id, 'cid')).status === 201)
  await until(async () => (await claim(lost.id, 'ada', late)).status === 200)
  await until(async () => (await reportOf()).problems.length === 0)
  expect(await shardsAway()).toBe('0')
})

test('a server that comes back empty has lost its slots: their rounds stand still, nothing ends, and others go on', async () => {
  const owners = await Promise.all([keys.agreed(), keys.controls()].map(key => redis.ownerOf(key)))
  const emptied = redis.primaries.find(each => !owners.includes(each)) as ClusterServer
  const lost = await roundAt(redis, api, emptied)
  const kept = await roundAt(redis, api, other(emptied))
  // A server that has just started takes itself for no part of a whole cluster for a moment.
  await until(async () => (await claim(lost.id, 'ada')).status === 201)
  await emptied.redis.kill()
  for (const name of readdirSync(emptied.redis.dir))
    if (/^nodes|^appendonlydir|rdb$/.test(name)) rmSync(join(emptied.redis.dir, name), { recursive: true })
  await emptied.redis.restart()
  const asked = () => other(emptied).admin.cluster('NODES') as Promise<string>
  await until(async () => /:0@0 .*noaddr/.test(await asked()))
  await until(async () =>
    (await reportOf()).problems.some(({ what }) => /^no server is known for \d+ cluster slots/.test(what)),
  )
  expect((await claim(lost.id, 'bea')).body.code).toBe('fenced')
  const going = await claim(kept.id, 'ada')
  expect(going.status, JSON.stringify(going.body)).toBe(201)
  expect((await claim(kept.id, 'ada', new Api(second.url, KEYS.operator))).status).toBe(200)
})
