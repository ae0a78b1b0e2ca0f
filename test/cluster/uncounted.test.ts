/**
 * Replicas of a cluster that no answer waits for: the checks name them while one of them may take over by itself, with the setting
 * that keeps it from that, and are silent once the cluster itself says so.
 */
import { expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { openStore } from '../../engine/store/store.ts'
import { RedisCluster } from '../support/redis-cluster.ts'

test('replicas that nobody waits for are named until none of them takes over by itself', async () => {
  await using redis = await RedisCluster.open({ appendfsync: 'always', replicas: 1 })
  const store = openStore({ url: redis.url, durability: 'always', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  const found = async () => (await store.health()).warnings.filter(({ what }) => what.includes('connected replicas'))
  const finding = {
    what: expect.stringContaining('the level always waits for none of 1 connected replicas: '),
    mend: expect.stringContaining('cluster-replica-no-failover yes on each replica'),
  }
  expect(await found()).toEqual([finding])
  const [first, ...others] = redis.primaries
  const forbid = async (primary: typeof first) => {
    for (const { admin } of primary ? await redis.replicasOf(primary) : [])
      await admin.config('SET', 'cluster-replica-no-failover', 'yes')
  }
  for (const primary of others) await forbid(primary)
  await expect
    .poll(async () => (await found()).map(({ what }) => what.slice(0, 30)), { timeout: 20_000 })
    .toEqual([`shard ${first?.address}: the level always`.slice(0, 30)])
  await forbid(first)
  await expect.poll(found, { timeout: 20_000 }).toEqual([])
})
