/**
 * Primaries of a real cluster die or stand still one after the other at the levels replicated and fenced, and the cluster promotes a
 * replica by itself: no acknowledged grant is lost or somebody else's, nobody is refused who may still get something, and rounds of
 * other shards go on. What the shard lacks meanwhile is said with its address.
 *
 * People claim over two nodes; who was not answered for certain asks again. No witness: what is compared are the answers
 * themselves, every one of them, with the rounds as they are at the end. How long a shard is away is told beside the
 * cluster's own time to promote.
 */
import { expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { type ClusterServer, until } from '../support/redis-cluster.ts'
import { clusterOfTwoNodes, LEVELS, ShardLoad } from '../support/shard-load.ts'

const FAIL_OVERS = effort(1, 100)

interface Report {
  readonly ready: boolean
  readonly problems: readonly { readonly what: string }[]
  readonly warnings: readonly { readonly what: string }[]
}

const worst = (times: readonly number[]) => Math.round(Math.max(...times))
const median = (times: readonly number[]) => Math.round(times.toSorted((a, b) => a - b)[times.length >> 1] as number)

test.each(LEVELS)(
  '%s: primaries die or freeze one after the other: nothing acknowledged is lost or doubled',
  {
    timeout: PATIENCE_MS,
  },
  async level => {
    const { redis, urls, api, rounds } = await clusterOfTwoNodes(level)
    const ids = await rounds()
    const load = new ShardLoad(urls, ids)
    const [promotions, returns]: [number[], number[]] = [[], []]
    for (let i = 0; i < FAIL_OVERS; i++) {
      const id = ids[i % ids.length] as string
      const others = ids.filter(each => each !== id)
      await load.granted(id, 200)
      const primary = await redis.ownerOf(keys.roundState(id))
      const survivor = redis.servers.find(each => each !== primary && each.admin.status === 'ready') as ClusterServer
      // In the short form one of the two at each level.
      const frozen = (i + LEVELS.indexOf(level)) % 2 === 1
      const from = performance.now()
      await primary.redis.kill(frozen ? 'SIGSTOP' : 'SIGKILL')
      await until(async () => (await redis.ownerOf(keys.roundState(id), survivor)) !== primary)
      promotions.push(performance.now() - from)
      for (const other of others) await load.granted(other, 50)
      // The promoted one has no replica: it is said. At replicated it grants nothing, at fenced what was reserved.
      const promoted = await redis.ownerOf(keys.roundState(id), survivor)
      await until(async () => {
        const { ready, problems, warnings } = (await api.get<Report>('/readyz?verbose')).body
        const found = level === 'fenced' ? warnings : problems
        return ready && found.some(({ what }) => what.startsWith(`shard ${promoted.address}: 0 of 1 replicas`))
      })
      const back = performance.now()
      await (frozen ? primary.redis.kill('SIGCONT') : primary.redis.restart())
      await load.granted(id, 50)
      returns.push(performance.now() - back)
      await redis.whole()
    }
    const { acknowledged, wrong } = await load.end()
    expect(wrong).toEqual([])
    expect(acknowledged).toBeGreaterThan(FAIL_OVERS * 100)
    tell({
      clusterFailOvers: FAIL_OVERS,
      acknowledged,
      lost: 0,
      ...{ promotedMedianMs: median(promotions), promotedWorstMs: worst(promotions) },
      ...{ grantsAgainMedianMs: median(returns), grantsAgainWorstMs: worst(returns) },
    })
  },
)
