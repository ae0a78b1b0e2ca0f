/**
 * Lists of rounds while the shard that has their index is away: they begin with the rounds that the worker knows, those of other shards as
 * they are now, and do not end as if they were whole: the page behind them says that Redis cannot be asked, and the command line with it.
 *
 * Rejected: a part of engine.test.ts, whose shards that go away have no shared key.
 */
import { expect, onTestFinished, test } from 'vitest'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { type ClusterServer, RedisCluster, until } from '../support/redis-cluster.ts'
import { roundAt } from '../support/shard-load.ts'

/** A node whose secrets are set starts without the shard that would keep them. */
const QUIET = {
  ...{ FAIRGRAB_VOUCHER_SECRET: '1'.repeat(64), FAIRGRAB_DRAW_SECRET: '2'.repeat(64) },
  LOG_LEVEL: 'fatal',
}

interface Page {
  readonly data: readonly Fields[]
  readonly has_more: boolean
  readonly next_cursor: string | null
}

test('a list whose index is away has the rounds that are known, and does not end', async () => {
  await using redis = await RedisCluster.open()
  const worker = await startTestWorker(redis.url, QUIET, SOON_MS)
  onTestFinished(() => worker.stop())
  const api = new Api(worker.url, KEYS.operator)
  const owners = await Promise.all([keys.agreed(), keys.controls()].map(key => redis.ownerOf(key)))
  const away = redis.primaries.find(each => !owners.includes(each)) as ClusterServer
  const there = redis.primaries.find(each => each !== away) as ClusterServer
  if ((await redis.ownerOf(keys.rounds())) !== away) await redis.moveSlot(clusterSlotOf(keys.rounds()), away)
  const [lost, kept] = [await roundAt(redis, api, away), await roundAt(redis, api, there)]
  await api.post(`/v1/rounds/${kept.id}/claims`, { user_id: 'ada' })
  await away.redis.kill()
  await until(async () => {
    const { body } = await api.get<{ problems: readonly { what: string }[] }>('/readyz?verbose')
    return body.problems.some(({ what }) => what.startsWith(`shard ${away.address}: `))
  })
  for (const path of ['/v1/rounds', `/v1/campaigns/${kept.campaign_id}/rounds`]) {
    const { status, body } = await api.get<Page & Fields>(`${path}?limit=1000`)
    expect([path, status, body.has_more]).toEqual([path, 200, true])
    expect(body.data.find(({ id }) => id === kept.id)).toMatchObject({ state: 'open' })
    expect(body.data.find(({ id }) => id === lost.id)).toEqual(
      path === '/v1/rounds'
        ? { id: lost.id, state: 'fenced', problem: expect.stringContaining('its shard does not answer') }
        : undefined,
    )
    const behind = await api.get(`${path}?limit=1000&cursor=${body.next_cursor}`)
    expectProblem(behind, behind.body.code === 'unknown' ? 'unknown' : 'unavailable')
  }
  const grants = `/v1/rounds/${kept.id}/claims`
  const { status, body } = await api.get<Page & Fields>(grants)
  expect([status, body]).toMatchObject([200, { data: [{ user_id: 'ada' }], has_more: true }])
  expect([503, 504]).toContain((await api.get(`${grants}?cursor=${body.next_cursor}`)).status)
  const env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  const listed = await fairgrab('round list', env)
  expect(listed.out).toMatch(new RegExp(`^${kept.id}  open .*$`, 'm'))
  expect([listed.code, listed.err]).toEqual([
    1,
    expect.stringMatching(
      /^fairgrab: this list may be incomplete, what comes next cannot be asked: un\w+: .*\. A shard of the cluster, or Redis, is away: GET \/readyz\?verbose names it$/,
    ),
  ])
  expect(JSON.parse((await fairgrab('round list --json', env)).out)).toMatchObject({ has_more: true })
  const stranger = await startTestWorker(redis.url, QUIET, SOON_MS)
  onTestFinished(() => stranger.stop())
  expect([503, 504]).toContain((await new Api(stranger.url, KEYS.operator).get('/v1/rounds')).status)
  await away.redis.restart()
  await until(async () => (await api.get<Page & Fields>('/v1/rounds?limit=1000')).body.has_more === false)
})
