/**
 * Slots of rounds move to and fro between the shards of a real cluster under load, key by key as `redis-cli --cluster reshard`
 * moves them, at the levels replicated and fenced: no acknowledged grant is lost or somebody else's, and nobody is refused.
 *
 * People claim over two nodes, of which each learns of a move by itself; who was not answered for certain asks again.
 * No witness: what is compared are the answers themselves, every one of them, with the rounds as they are at the end.
 */
import { expect, test } from 'vitest'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import type { ClusterServer } from '../support/redis-cluster.ts'
import { clusterOfTwoNodes, LEVELS, ShardLoad } from '../support/shard-load.ts'

const MOVES = effort(3, 100)
/** A round is left behind for a new one after so many moves: a move of more holders stops both servers for longer. */
const MOVES_OF_A_ROUND = 10

test.each(LEVELS)(
  '%s: slots move under load: nothing acknowledged is lost or doubled, and nobody is refused',
  {
    timeout: PATIENCE_MS,
  },
  async level => {
    const { redis, urls, rounds } = await clusterOfTwoNodes(level)
    let [acknowledged, slowest] = [0, 0]
    for (let moved = 0; moved < MOVES; ) {
      const ids = await rounds()
      const load = new ShardLoad(urls, ids)
      for (let i = 0; i < Math.min(MOVES_OF_A_ROUND, MOVES) && moved < MOVES; i++, moved++) {
        const id = ids[i % ids.length] as string
        const from = await redis.ownerOf(keys.roundState(id))
        const targets = redis.primaries.filter(each => each !== from)
        await load.granted(id, 100)
        const began = performance.now()
        const to = targets[(i >> 1) % targets.length] as ClusterServer
        await redis.moveSlot(clusterSlotOf(keys.roundState(id)), to, () =>
          load.granted(ids[(i + 1) % ids.length] as string, 20),
        )
        await load.granted(id, 100)
        slowest = Math.max(slowest, performance.now() - began)
        expect(await redis.ownerOf(keys.roundState(id))).toBe(to)
      }
      const ended = await load.end()
      expect(ended.wrong).toEqual([])
      acknowledged += ended.acknowledged
    }
    expect(acknowledged).toBeGreaterThan(MOVES * 200)
    tell({ slotMoves: MOVES, acknowledged, lost: 0, slowestMs: Math.round(slowest) })
  },
)
