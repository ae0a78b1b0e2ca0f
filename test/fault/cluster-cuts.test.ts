/**
 * Servers of a real cluster are cut off from the others while nodes still reach all of them: a primary alone, which goes on
 * taking claims until it notices that it has no majority, while its replica is promoted; and a whole shard, of which
 * nothing can be promoted. At the levels replicated and fenced no acknowledged grant is lost or somebody else's, nobody is
 * refused who may still get something, and rounds of other shards go on meanwhile.
 *
 * No witness: what is compared are the answers themselves, every one of them, with the rounds as they are at the end.
 */
import { expect, onTestFinished, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { Partition } from '../support/partition.ts'
import { type ClusterServer, until } from '../support/redis-cluster.ts'
import { clusterOfTwoNodes, LEVELS, ShardLoad } from '../support/shard-load.ts'

const CUTS = effort(1, 100)

test.each(LEVELS)(
  '%s: primaries and whole shards are cut off: nothing acknowledged is lost or doubled',
  {
    timeout: PATIENCE_MS,
  },
  async level => {
    const partition = new Partition()
    onTestFinished(() => partition.close())
    const { redis, urls, rounds } = await clusterOfTwoNodes(level, { partition })
    const ids = await rounds()
    const load = new ShardLoad(urls, ids)
    let [promoted, slowest] = [0, 0]
    for (let i = 0; i < CUTS; i++) {
      const id = ids[i % ids.length] as string
      await load.granted(id, 200)
      const primary = await redis.ownerOf(keys.roundState(id))
      const replicas = await redis.replicasOf(primary)
      const shard = [primary, ...replicas]
      const far = redis.servers.find(each => !shard.includes(each)) as ClusterServer
      // In the short form one of the two at each level.
      const alone = (i + LEVELS.indexOf(level)) % 2 === 1
      const began = performance.now()
      partition.cut(...(alone ? [primary] : shard).map(({ name }) => name))
      await until(async () => /cluster_state:fail/.test((await primary.admin.cluster('INFO')) as string))
      if (alone) {
        await until(async () => (await redis.ownerOf(keys.roundState(id), far)) !== primary)
        promoted++
      }
      for (const other of ids) if (other !== id) await load.granted(other, 50)
      partition.heal()
      await load.granted(id, 50)
      slowest = Math.max(slowest, performance.now() - began)
      await redis.whole()
    }
    const { acknowledged, wrong } = await load.end()
    expect(wrong).toEqual([])
    expect(acknowledged).toBeGreaterThan(CUTS * 100)
    tell({ clusterCuts: CUTS, promoted, acknowledged, lost: 0, slowestMs: Math.round(slowest) })
  },
)
