/**
 * The table of slots on a real cluster: a server that has not heard of what the others know takes no slot back, another one is asked
 * instead, and a cluster that was made anew is believed after a while.
 *
 * What a server knows is made wrong by CLUSTER SETSLOT and CLUSTER DELSLOTS at that server. A wrong owner of a lower config epoch lasts until its
 * rightful one is heard of, a second at most, so each try looks whether it was still wrong behind the reply.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Clock, realClock } from '../../engine/base/clock.ts'
import { Cluster } from '../../engine/store/cluster/cluster.ts'
import { clusterAddress } from '../../engine/store/connection/address.ts'
import { dialRedis } from '../../engine/store/connection/line.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'

/** Longer than older replies are held back. */
const LONG_MS = 20_000
/** In a slot of the third server. */
const KEY = 'foo'
const SLOT = 12_182

let redis: RedisCluster
beforeAll(async () => {
  redis = await RedisCluster.open()
})
afterAll(() => redis.stop())

const servers = () => redis.primaries as [ClusterServer, ClusterServer, ClusterServer]

/** What a worker knows that asks this server first of all. */
async function clusterFrom(server: ClusterServer, clock: Clock = realClock): Promise<Cluster> {
  const address = clusterAddress(`redis+cluster://${server.address}`) as NonNullable<ReturnType<typeof clusterAddress>>
  const cluster = new Cluster({ address, dial: dialRedis, clock })
  onTestFinished(() => cluster.close())
  await until(async () => cluster.ownerOf(KEY) !== undefined)
  return cluster
}

const tablesAskedOf = async ({ admin }: ClusterServer): Promise<number> =>
  Number(/cmdstat_cluster\|slots:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)

test('a server that has not heard of the owner of a slot takes it from nobody, and another one is asked', async () => {
  const [first, second, third] = servers()
  const wrong = (await second.admin.cluster('MYID')) as string
  for (let isWrong = false; !isWrong; ) {
    const cluster = await clusterFrom(first)
    const owners = new Set([cluster.ownerOf(KEY)])
    cluster.onChanged(() => owners.add(cluster.ownerOf(KEY)))
    const before = await tablesAskedOf(second)
    await first.admin.cluster('SETSLOT', SLOT, 'NODE', wrong)
    cluster.refresh()
    await until(async () => (await tablesAskedOf(second)) > before)
    isWrong = (await redis.ownerOfSlot(SLOT, first)) === second
    if (isWrong) expect([...owners]).toEqual([third.address])
    await until(async () => (await redis.ownerOfSlot(SLOT, first)) === third)
  }
})

test('what the owner of a slot said is kept while others have not heard of it', async () => {
  const [first, second, third] = servers()
  const cluster = await clusterFrom(first)
  cluster.moved(SLOT, second.address, first.address)
  expect(cluster.ownerOf(KEY)).toBe(third.address)
  cluster.moved(SLOT, third.address, second.address)
  const before = await tablesAskedOf(third)
  await until(async () => (await tablesAskedOf(third)) > before)
  expect(cluster.ownerOf(KEY)).toBe(second.address)
  // Second has not got it: it says so.
  cluster.moved(SLOT, second.address, third.address)
  expect(cluster.ownerOf(KEY)).toBe(third.address)
})

test('a server that has another address is asked there as soon as the others know it', async () => {
  const [first, , third] = servers()
  // By a clock that stands, nothing is believed because time has passed.
  const cluster = await clusterFrom(first, { ...realClock, monotonicMs: () => 0 })
  const other = third.announcedPort + 1
  onTestFinished(async () => void (await third.admin.config('SET', 'cluster-announce-port', '0')))
  await third.admin.config('SET', 'cluster-announce-port', String(other))
  await until(async () => {
    cluster.refresh()
    return cluster.ownerOf(KEY) === `127.0.0.1:${other}`
  })
  await third.admin.config('SET', 'cluster-announce-port', '0')
  await until(async () => {
    cluster.refresh()
    return cluster.ownerOf(KEY) === third.address
  })
  expect(cluster.unserved).toBe(0)
})

test('a cluster whose replies stay older than the table is believed after a while', async () => {
  let shiftMs = 0
  const cluster = await clusterFrom(servers()[0], {
    ...realClock,
    monotonicMs: () => realClock.monotonicMs() + shiftMs,
  })
  onTestFinished(async () => {
    await servers()[2].admin.cluster('ADDSLOTS', SLOT)
    for (const server of servers()) await redis.ownerOfSlot(SLOT, server)
  })
  for (const { admin } of servers().toReversed()) await admin.cluster('DELSLOTS', SLOT)
  const asked = await Promise.all(servers().map(tablesAskedOf))
  cluster.refresh()
  await until(async () =>
    (await Promise.all(servers().map(tablesAskedOf))).every((calls, i) => calls > (asked[i] ?? 0)),
  )
  expect([cluster.ownerOf(KEY), cluster.unserved]).toEqual([servers()[2].address, 0])
  shiftMs = LONG_MS
  await until(async () => cluster.unserved === 1)
  expect(cluster.ownerOf(KEY)).toBeUndefined()
})
