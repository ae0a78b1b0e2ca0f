/**
 * A line to a server that becomes a primary: it is connected as soon as the table of slots names it, and not when its wait behind
 * failed attempts, up to half a second, is over. Who may not ask for a round's history meanwhile keeps a strict round waiting.
 *
 * The link's own clock has no timers here, so whatever connects is not a timer of its own.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Cluster } from '../../engine/store/cluster/cluster.ts'
import { clusterAddress } from '../../engine/store/connection/address.ts'
import { dialRedis } from '../../engine/store/connection/line.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'

/** In a slot of the first server. */
const KEY = 'bar'

let redis: RedisCluster
beforeAll(async () => {
  redis = await RedisCluster.open({ replicas: 1 })
})
afterAll(() => redis.stop())

/** A link without timers: a line that is lost is not made again by itself. */
function linkWithoutTimers() {
  const clock = { ...realClock, after: () => () => {} }
  const address = clusterAddress(redis.url) as NonNullable<ReturnType<typeof clusterAddress>>
  const cluster = new Cluster({ address, dial: dialRedis, clock: realClock })
  const link = new Link({ cluster, url: redis.url, scripts: {}, clock, random: realRandom })
  onTestFinished(async () => {
    await link.close()
    cluster.close()
  })
  const lineTo = ({ port }: ClusterServer) => [...link.lines].find(({ url }) => url.endsWith(`:${port}`))
  return { cluster, lineTo }
}

/** A replica takes over, once it has all that its primary has and without a vote, of which there are few; resolves when the table knows. */
async function promote(cluster: Cluster, replica: ClusterServer): Promise<void> {
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')))
  await replica.admin.cluster('FAILOVER', 'TAKEOVER')
  await until(async () => {
    cluster.refresh()
    return cluster.ownerOf(KEY) === replica.address
  })
}

test('a server that becomes a primary again is connected at once, however long it was none', async () => {
  const first = await redis.ownerOf(KEY)
  const [second] = (await redis.replicasOf(first)) as [ClusterServer]
  const { cluster, lineTo } = linkWithoutTimers()
  await until(async () => lineTo(first)?.ready === true)

  await promote(cluster, second)
  await until(async () => lineTo(second)?.ready === true)
  lineTo(first)?.renew('its server is a replica now')
  await until(async () => lineTo(first)?.client.status === 'end')
  expect(lineTo(first)?.ready).toBe(false)

  await promote(cluster, first)
  await until(async () => lineTo(first)?.ready === true)
})
