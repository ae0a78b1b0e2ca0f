/**
 * The marks by which the engine sees that replicas have what was written lie in slots of their servers, and such a slot may move
 * like any other: what waits for replicas meanwhile waits for them, and not for the end of the move.
 */
import { expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { openStore } from '../../engine/store/store.ts'
import { type ClusterServer, RedisCluster } from '../support/redis-cluster.ts'
import { ScriptRoom } from '../support/script-room.ts'

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

test('a check of the server while the slot of its mark moves, and behind that, finds nothing wrong', async () => {
  const redis = await RedisCluster.open({ replicas: 1 })
  const store = openStore({
    ...{ url: redis.url, durability: 'replicated', replicas: 1, clock: realClock, random: realRandom },
  })
  onTestFinished(async () => {
    await store.close()
    await redis.stop()
  })
  const check = async () => {
    const { problems, damages } = await store.health()
    const found = [...problems, ...(damages ?? [])].map(({ what }) => what)
    expect(found.filter(what => what.includes('does not answer'))).toEqual([])
  }
  await check()
  const [from, to] = redis.primaries as [ClusterServer, ClusterServer]
  const [mark] = await from.admin.keys('*:replication-mark')
  await redis.moveSlot(clusterSlotOf(mark as string), to, check)
  await check()
})
