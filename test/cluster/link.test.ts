/**
 * The link on a real cluster: whatever slots, servers and lines do, a claim is decided once, and what a caller is answered
 * about a request without an answer is true. What a server says of where and when concerns the one request that it answers.
 *
 * Redis itself is read over connections of the tests. No witness: there is no engine behind the link.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Fault } from '../../engine/base/assert.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Cluster } from '../../engine/store/cluster/cluster.ts'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import { clusterAddress } from '../../engine/store/connection/address.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { dialRedis } from '../../engine/store/connection/line.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { patientClock } from '../support/patient-clock.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'
import { ScriptRoom } from '../support/script-room.ts'

let redis: RedisCluster
let room: ScriptRoom
beforeAll(async () => {
  redis = await RedisCluster.open()
  room = new ScriptRoom(redis.url, 0)
})
afterAll(async () => {
  await room.link.close()
  await redis.stop()
})

const slotOfRound = (id: string) => clusterSlotOf(keys.roundState(id))
const other = (server: ClusterServer) => redis.primaries.find(each => each !== server) as ClusterServer

/** A round of which a server has the slot. */
async function roundAt(server: ClusterServer, totals = [1000]): Promise<string> {
  for (;;) {
    const id = await room.newRound({ totals })
    if ((await redis.ownerOf(keys.roundState(id))) === server) return id
  }
}

const sequences = (answers: readonly { sequence: number }[]) => answers.map(({ sequence }) => sequence)
const outcomes = (answers: readonly { outcome: string }[]) => answers.map(({ outcome }) => outcome)

test('requests go where their keys are', async () => {
  for (const server of redis.primaries) {
    const id = await roundAt(server)
    expect(sequences(await room.claim(id, ['a', 'b']))).toEqual([1, 2])
    expect(Object.keys(await room.holders(id)).sort()).toEqual(['a', 'b'])
    expect(await server.admin.hlen(keys.roundHolders(id))).toBe(2)
  }
  expect(await room.link.request(client => client.ping())).toBe('PONG')
})

test('a slot that moved: the claim follows, and its refusals stay certain', async () => {
  const [from] = redis.primaries as [ClusterServer]
  const id = await roundAt(from, [1])
  expect(outcomes(await room.claim(id, ['a']))).toEqual(['granted'])
  await redis.moveSlot(slotOfRound(id), other(from))
  // The first request behind the move is the one that is redirected.
  const { again } = await room.link.send(room.scripts['round-read'], [keys.roundState(id)], [])
  expect(again).toBe(false)
  expect(outcomes(await room.claim(id, ['b']))).toEqual(['sold_out'])
  expect(await room.holders(id)).toHaveProperty('a')
})

test('a slot that moves key by key under load: nothing is lost, doubled or refused', async () => {
  const [, from] = redis.primaries as [ClusterServer, ClusterServer]
  const id = await roundAt(from, [2000])
  await room.claim(id, ['warm'])
  let isMoving = true
  const answers: string[] = []
  const load = Array.from({ length: 8 }, async (_, line) => {
    for (let i = 0; isMoving || i < 50; i++) answers.push(...outcomes(await room.claim(id, [`u${line}-${i}`])))
  })
  await redis.moveSlot(slotOfRound(id), other(from), () => new Promise(resume => setTimeout(resume, 30)))
  isMoving = false
  await Promise.all(load)
  expect(new Set(answers)).toEqual(new Set(['granted']))
  const held = Object.values(await room.holders(id)).map(({ sequence }) => sequence)
  expect(held.toSorted((a, b) => a - b)).toEqual(Array.from({ length: answers.length + 1 }, (_, i) => i + 1))
  expect(await room.state(id)).toMatchObject({ sequence: String(answers.length + 1) })
})

test('a round that is not there yet is made while its slot moves', async () => {
  const [from, to] = redis.primaries as [ClusterServer, ClusterServer]
  const key = keys.campaignAnswers('cmp_moves')
  const slot = clusterSlotOf(key)
  if ((await redis.ownerOfSlot(slot)) !== from) await redis.moveSlot(slot, from)
  let isAsked = false
  await redis.moveSlot(slot, to, async () => {
    if (isAsked) return
    isAsked = true
    expect(await room.link.request(client => client.hset(key, 'a', '1'))).toBe(1)
    expect(await room.link.request(client => client.hget(key, 'a'))).toBe('1')
    await expect(from.admin.exists(key)).rejects.toThrow(`ASK ${slot} `)
  })
  expect(isAsked).toBe(true)
  expect(await to.admin.hget(key, 'a')).toBe('1')
})

test('a shard that is away stops its own requests and no others', async () => {
  const [away, there] = redis.primaries as [ClusterServer, ClusterServer]
  const [lost, kept] = [await roundAt(away), await roundAt(there)]
  await room.claim(lost, ['a'])
  await away.redis.kill()
  onTestFinished(() => away.redis.restart())
  const waiting = room.claim(lost, ['b'])
  // Until the loss is seen a request is still sent, and nobody knows what became of it.
  const unsent = () =>
    room.link.request(client => client.hlen(keys.roundHolders(lost)), 20).catch((cause: Fault) => cause.code)
  await expect.poll(unsent).toBe('unavailable')
  expect(sequences(await room.claim(kept, ['a', 'b']))).toEqual([1, 2])
  expect(room.link.ready).toBe(true)
  await away.redis.restart()
  expect(sequences(await waiting)).toEqual([2])
  expect(sequences(await room.claim(kept, ['b']))).toEqual([2])
})

test('a shard that freezes: what was written is unknown, and answered when it thaws', async () => {
  const [, , frozen] = redis.primaries as [ClusterServer, ClusterServer, ClusterServer]
  const id = await roundAt(frozen)
  await room.claim(id, ['a'])
  await frozen.redis.kill('SIGSTOP')
  const short = room.link.request(client => client.hlen(keys.roundHolders(id)), 10)
  await expect(short).rejects.toMatchObject({ name: 'Fault', code: 'unknown' })
  const answers = room.claim(id, ['b'])
  const line = [...room.link.lines].find(({ url }) => url.endsWith(`:${frozen.port}`))
  await until(async () => line?.ready === false)
  await frozen.redis.kill('SIGCONT')
  expect(sequences(await answers)).toEqual([2])
})

test('who knows one server that is away, and one that is there, finds all of them', async () => {
  const [, one] = redis.primaries as [ClusterServer, ClusterServer]
  const address = clusterAddress(`redis+cluster://127.0.0.1:1,${one.address}`) as NonNullable<
    ReturnType<typeof clusterAddress>
  >
  const cluster = new Cluster({ address, dial: dialRedis, clock: patientClock })
  const link = new Link({ url: '', cluster, scripts: room.scripts, clock: patientClock, random: realRandom })
  onTestFinished(async () => {
    await link.close()
    cluster.close()
  })
  for (const server of redis.primaries) {
    const id = await roundAt(server)
    expect(await link.request(client => client.hget(keys.roundState(id), 'sequence'))).toBe('0')
  }
  expect([...cluster.owners].toSorted()).toEqual(redis.primaries.map(each => each.address).toSorted())
})

test('an old table is followed, not believed', async () => {
  const [from] = redis.primaries as [ClusterServer]
  const address = clusterAddress(redis.url) as NonNullable<ReturnType<typeof clusterAddress>>
  const cluster = new Cluster({ address, dial: dialRedis, clock: patientClock })
  const link = new Link({ url: '', cluster, scripts: room.scripts, clock: patientClock, random: realRandom })
  onTestFinished(async () => {
    await link.close()
    cluster.close()
  })
  const id = await roundAt(from)
  expect(await link.request(client => client.hget(keys.roundState(id), 'sequence'))).toBe('0')
  const ids = await Promise.all(redis.primaries.map(server => roundAt(server)))
  const asked = await Promise.all(
    ids.map(async (round, i) => {
      const owner = redis.primaries[i] as ClusterServer
      cluster.moved(slotOfRound(round), owner.address, other(owner).address)
      return link.request(client => client.hget(keys.roundState(round), 'sequence'))
    }),
  )
  expect(asked).toEqual(['0', '0', '0'])
})
