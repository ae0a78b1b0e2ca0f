/**
 * How a list of rounds is read: several at a time and never all at once, so that a Redis that is far away costs a list a few ways to it and
 * not one a round; and the command line lists all of them, however many pages there are. The reads are seen at the network, where the first of them is kept back.
 *
 * Rejected: how long a list takes; on a busy machine that says nothing.
 */
import { expect, test } from 'vitest'
import { LIST_ROWS_MAX } from '../../engine/base/limits.ts'
import { Api, makeCampaign, patiently, type Round } from '../support/api.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const ROUNDS = 80
const CHECK_MS = 3_600_000
/** More than this are not under way at a time. */
const TOGETHER_MAX = 64

test('rounds of a list are read side by side, a bounded number at a time, and come in their order', async () => {
  await using redis = await startLocalRedis({ appendfsync: 'no' })
  await using proxy = await TcpProxy.open({ path: redis.url.replace('unix://', '') })
  // A check reads rounds, too; none comes but the first.
  const worker = await startTestWorker(proxy.url, {}, CHECK_MS)
  const api = new Api(worker.url, KEYS.operator)
  const campaign = await makeCampaign(api)
  const ids: string[] = []
  for (let i = 0; i < ROUNDS; i++)
    ids.push((await patiently(() => api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1 }))).body.id)
  const newestFirst = ids.toReversed()
  const before = proxy.asked.map(({ length }) => length)
  const isKept = proxy.keepBack(bytes => bytes.includes(newestFirst[0] as string))
  const listed = patiently(() => api.get<{ data: Round[] }>('/v1/rounds?limit=1000'))
  await isKept
  // What left with the first read is there behind an answer that needs no Redis.
  await api.get('/livez')
  // A line that is opened because this one keeps quiet has all rounds read again.
  const now = before.map((length, i) => proxy.asked[i]?.subarray(length).toString('latin1') ?? '')
  const read = newestFirst.filter(id => now.some(asked => asked.includes(id)))
  expect(read.length).toBeGreaterThan(8)
  expect(read.length).toBeLessThanOrEqual(TOGETHER_MAX)
  proxy.letGo()
  expect((await listed).body.data.map(({ id }) => id)).toEqual(newestFirst)
  await worker.stop()
})

test('the command line lists all rounds, also those behind the first page', async () => {
  await using redis = await startLocalRedis({ appendfsync: 'no' })
  const worker = await startTestWorker(redis.url, {}, CHECK_MS)
  const api = new Api(worker.url, KEYS.operator)
  const campaign = await makeCampaign(api)
  const ids: string[] = []
  while (ids.length <= LIST_ROWS_MAX) {
    const made = Array.from({ length: TOGETHER_MAX }, () =>
      patiently(() => api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1 })),
    )
    ids.push(...(await Promise.all(made)).map(({ body }) => body.id))
  }
  const env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  const { code, out } = await fairgrab('round list', env)
  const listed = out.split('\n').map(line => line.split(' ')[0])
  expect([code, listed.length, new Set(listed)]).toEqual([0, ids.length, new Set(ids)])
  const whole = JSON.parse((await fairgrab('round list --json', env)).out)
  expect(whole).toMatchObject({ has_more: false, next_cursor: null })
  expect(whole.data).toHaveLength(ids.length)
  await worker.stop()
})
