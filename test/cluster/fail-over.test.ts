/**
 * A primary of a real cluster dies at the level replicated, and the cluster promotes a replica by itself: no acknowledged grant is
 * lost or somebody else's, nobody is refused who may still get something, and rounds of other shards go on. What the shard
 * lacks meanwhile is said with its address.
 *
 * Each claim goes over HTTP to one worker of the engine; who was not answered for certain asks again. No witness: what is
 * compared are the answers themselves, every one of them, with the rounds as they are at the end.
 */
import { expect, onTestFinished, test } from 'vitest'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'
import { ScriptRoom } from '../support/script-room.ts'
import { roundAt, ShardLoad } from '../support/shard-load.ts'

const LEVEL = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1', LOG_LEVEL: 'fatal' }
const KILLS = effort(2, 100)

interface Report {
  readonly ready: boolean
  readonly problems: readonly { readonly what: string }[]
}

test('primaries die one after the other: nothing acknowledged is lost or doubled', {
  timeout: PATIENCE_MS,
}, async () => {
  const redis = await RedisCluster.open({ replicas: 1, appendfsync: 'always' })
  onTestFinished(() => redis.stop())
  const worker = await startTestWorker(redis.url, LEVEL, SOON_MS)
  onTestFinished(() => worker.stop())
  const api = new Api(worker.url, KEYS.operator)
  const ids: string[] = []
  for (const server of redis.primaries) ids.push((await roundAt(redis, api, server)).id)
  const load = new ShardLoad(worker.url, ids)
  for (let kill = 0; kill < KILLS; kill++) {
    const id = ids[kill % ids.length] as string
    const others = ids.filter(each => each !== id)
    await load.granted(id, 50)
    const primary = await redis.ownerOf(keys.roundState(id))
    const survivor = redis.servers.find(each => each !== primary && each.admin.status === 'ready') as ClusterServer
    const from = load.answers.length
    await primary.redis.kill()
    await until(async () => (await redis.ownerOf(keys.roundState(id), survivor)) !== primary)
    for (const other of others) {
      await load.granted(other, 20)
      expect(load.outcomes(other, from)).toEqual(new Set(['granted']))
    }
    // The promoted one has no replica: it is said, and grants nothing.
    const promoted = await redis.ownerOf(keys.roundState(id), survivor)
    await until(async () => {
      const { body } = await api.get<Report & Record<string, unknown>>('/readyz?verbose')
      return (
        body.ready && body.problems.some(({ what }) => what.startsWith(`shard ${promoted.address}: 0 of 1 replicas`))
      )
    })
    await primary.redis.restart()
    await load.granted(id, 50)
    await redis.whole()
  }
  const { acknowledged, wrong } = await load.end()
  expect(wrong).toEqual([])
  expect(acknowledged).toBeGreaterThan(KILLS * 100)
})

test("the slot of a server's own mark moves: what waits for its replicas does not wait for the move", async () => {
  const redis = await RedisCluster.open({ replicas: 1 })
  const room = new ScriptRoom(redis.url, 0, { replicas: 1 })
  onTestFinished(async () => {
    await room.link.close()
    await redis.stop()
  })
  const [from, to] = redis.primaries as [ClusterServer, ClusterServer]
  let id = await room.newRound({ totals: [1000] })
  while ((await redis.ownerOf(keys.roundState(id))) !== from) id = await room.newRound({ totals: [1000] })
  await room.claim(id, ['first'])
  const [mark] = await from.admin.keys('*:replication-mark')
  let claims = 0
  // The mark goes with the first key; from then on the server does not take it.
  await redis.moveSlot(clusterSlotOf(mark as string), to, async () => {
    const before = performance.now()
    // Behind the move of the mark it is executed, cannot be confirmed there, and is asked again.
    expect((await room.claim(id, [`during-${claims++}`]))[0]?.sequence).toBe(claims + 1)
    expect(performance.now() - before).toBeLessThan(2000)
  })
  expect(claims).toBeGreaterThanOrEqual(2)
})
