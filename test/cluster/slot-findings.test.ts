/**
 * Slots that stop rounds though every server answers: a move that was begun and forgotten, and a slot that its owner gave away to
 * nobody. The checks and the doctor name the slot, the servers and the line to type, and the line helps.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { openStore } from '../../engine/store/store.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { typed } from '../support/fairgrab.ts'
import { freePort } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { type ClusterServer, RedisCluster } from '../support/redis-cluster.ts'

let redis: RedisCluster
beforeAll(async () => {
  redis = await RedisCluster.open({ appendfsync: 'always' })
})
afterAll(() => redis.stop())

async function doctor(...flags: readonly string[]) {
  const env = { REDIS_URL: redis.url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` }
  return (await typed(['doctor', ...flags], env)).out
}

/** What a running store says at its next check. */
function watched() {
  const store = openStore({ url: redis.url, durability: 'always', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  const look = async () => {
    const { problems, damages = [], warnings } = await store.health()
    return { problems, damages, warnings: warnings.filter(({ what }) => what.includes('slot ')) }
  }
  return { store, look }
}

/** A round with a grant, the slot that it lies in, the server that has it and another one. */
async function released() {
  const worker = await startTestWorker(redis.url, { LOG_LEVEL: 'silent', FAIRGRAB_DURABILITY: 'always' }, SOON_MS)
  onTestFinished(() => worker.stop())
  const api = new Api(worker.url, KEYS.operator)
  const round = await makeRound(api, { stock: 5 })
  const claim = (user_id: string) => api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id })
  expect((await claim('ada')).status).toBe(201)
  const owner = await redis.ownerOf(keys.roundState(round.id))
  const other = redis.primaries.find(each => each !== owner) as ClusterServer
  return { api, id: round.id, claim, owner, other, slot: clusterSlotOf(keys.roundState(round.id)) }
}

test('a move that was begun and forgotten is named at the second look, with the line that ends it', async () => {
  const { slot, owner, other } = await released()
  const { look } = watched()
  expect(await look()).toEqual({ problems: [], damages: [], warnings: [] })
  const [from, to] = await Promise.all([owner, other].map(({ admin }) => admin.cluster('MYID') as Promise<string>))
  await other.admin.cluster('SETSLOT', slot, 'IMPORTING', from as string)
  await owner.admin.cluster('SETSLOT', slot, 'MIGRATING', to as string)
  onTestFinished(async () => {
    for (const { admin } of [owner, other]) await admin.cluster('SETSLOT', slot, 'STABLE')
  })
  const named = {
    what: `shard ${owner.address}: slot ${slot} is half moved to ${other.address}: its keys lie on two servers, and claims of its rounds may get no answer`,
    mend: `where nobody is moving it now, end the move while all servers are there: redis-cli --cluster fix ${owner.address}; nothing is lost`,
  }
  // A move that goes on passes by.
  expect((await look()).warnings).toEqual([])
  expect(await look()).toEqual({ problems: [], damages: [], warnings: [named] })
  expect(await doctor()).toContain(`    ${named.what}\n      → ${named.mend}\n`)
  // Of one that gave up half of the way the mark of one side is left.
  await owner.admin.cluster('SETSLOT', slot, 'STABLE')
  expect((await look()).warnings).toEqual([named])
  await other.admin.cluster('SETSLOT', slot, 'STABLE')
  expect((await look()).warnings).toEqual([])
})

test('a slot that its owner has no more is named with the line that gives it back, and the doctor goes on', async () => {
  const { slot, owner, claim, api, id } = await released()
  const { store, look } = watched()
  await look()
  await owner.admin.cluster('DELSLOTS', slot)
  const what = `shard ${owner.address}: slot ${slot} is without an owner: the others send for it to this server, which has it no more, and its rounds stand still`
  const mend = `redis-cli -h 127.0.0.1 -p ${owner.port} CLUSTER ADDSLOTS ${slot}`
  expect((await look()).damages).toEqual([])
  expect(await look()).toEqual({ problems: [], damages: [{ what, mend }], warnings: [] })
  expect(store.isStopped?.(id)).toBe(true)
  await expect
    .poll(async () => JSON.stringify((await api.get('/readyz?verbose')).body), { timeout: 15_000 })
    .toContain(what)
  const said = await doctor('--rounds')
  expect(said).toContain(`    ${what}\n      → ${mend}\n`)
  expect(said).toContain('the engine is the default user')
  expect(said).toContain(`round ${id}: `)
  await owner.admin.cluster('ADDSLOTS', slot)
  expect((await look()).damages).toEqual([])
  expect(store.isStopped?.(id)).toBe(false)
  await expect.poll(async () => (await claim('bea')).status, { timeout: 15_000 }).toBe(201)
})

test('a subscription that a slot without an owner refuses is said to be tried again, and not to be allowed', async () => {
  const node = 'alone'
  const slot = clusterSlotOf(keys.shardedNodeChannel(node))
  const owner = await redis.ownerOfSlot(slot)
  await owner.admin.cluster('DELSLOTS', slot)
  const store = openStore({ url: redis.url, durability: 'memory', clock: realClock, random: realRandom, node })
  onTestFinished(() => store.close())
  onTestFinished(store.listen({ received: () => {}, awaited: () => {}, gap: () => {} }))
  const found = async () => (await store.health()).warnings.filter(({ what }) => what.includes('not shown here'))
  await expect
    .poll(found, { timeout: 10_000 })
    .toEqual([
      { what: expect.stringContaining('CLUSTERDOWN'), mend: expect.stringMatching(/^it is tried again by itself/) },
    ])
  await owner.admin.cluster('ADDSLOTS', slot)
  await expect.poll(found, { timeout: 10_000 }).toEqual([])
})

test.each([
  ['a single server', [], /cluster support disabled.*write redis:\/\/ in place of redis\+cluster:\/\//s],
  ['a server that has no slots yet', ['--cluster-enabled', 'yes'], /has no slots yet.*deploy\/cluster\/make.sh/s],
])('%s that is named as a cluster: the doctor says what it is and what to do', async (_, args, said) => {
  const server = await startLocalRedis({ port: await freePort(), args })
  onTestFinished(() => server.stop())
  const env = { REDIS_URL: server.url.replace('redis:', 'redis+cluster:'), FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` }
  expect((await typed(['doctor'], env)).out).toMatch(said)
})
