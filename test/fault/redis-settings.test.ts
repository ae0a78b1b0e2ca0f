/**
 * Redis stops giving what was promised, while people claim: grants stop in time, say why, and go on when it is mended.
 *
 * Scripts that are flushed come back without anybody noticing. Memory that runs out refuses every claim before it is
 * executed. Then four promises are broken at once, an evicting policy, no append only file, no fsync before the
 * answer or while the log is rewritten: within six seconds nobody is granted anything, each is named with its mend, and the last one alone is enough
 * to keep it so. The audit at the end covers all of it, so a grant in the wrong moment would have to be told and kept like any other.
 *
 * One lane asks one by one here: the check of the settings runs every five seconds, and frames would be sold out.
 */

import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { Api, expectProblem, type Fields } from '../support/api.ts'
import { ANSWER_MS_MAX, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { Witness } from '../support/witness/witness.ts'

const FLUSHES = effort(50, 1000)
const SHORTAGES = effort(1, 20)
/** More than one lane can ask for in the time until the broken promises are noticed, on any machine. */
const PEOPLE = effort(400_000, 800_000)
const NOTICED_MS = 6000
const ONE = { people: PEOPLE, singles: PEOPLE, singleLanes: 1, ...RESTING }

const PROMISES = [
  { name: 'maxmemory-policy', broken: 'allkeys-lru', kept: 'noeviction', what: 'holders could be evicted' },
  { name: 'appendfsync', broken: 'everysec', kept: 'always', what: 'the level is always' },
  { name: 'no-appendfsync-on-rewrite', broken: 'yes', kept: 'no', what: 'fsync stops during rewrites' },
  { name: 'appendonly', broken: 'no', kept: 'yes', what: 'persistence is off' },
] as const

test(
  'flushed scripts, no memory, broken promises: refused in time, nothing lost, mended',
  async () => {
    await using redis = await startLocalRedis()
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    const admin = new Redis({ path: redis.socketPath as string })
    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'nothing' })
    using crowd = witness.crowd({ url: node.url, roundId: round.id, ...ONE }, round, PEOPLE)
    const api = new Api(node.url, KEYS.operator)
    const problems = async () => JSON.stringify((await api.get<Fields>('/readyz?verbose')).body.problems)
    const claim = () => api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'somebody' })
    /** More people are told that they hold a grant than now. */
    const resumed = () => crowd.told(crowd.granted + 20)

    const flushScripts = async () => {
      for (let i = 0; i < FLUSHES; i++) {
        await admin.script('FLUSH')
        await crowd.told(crowd.granted + 1)
      }
      // Where the disk held Redis up, the link asked again, and that is a repeat.
      expect([...crowd.answers.keys()].filter(code => code !== 'granted' && code !== 'replayed')).toEqual([])
    }
    const runOutOfMemory = async () => {
      for (let i = 0; i < SHORTAGES; i++) {
        await admin.config('SET', 'maxmemory', '1mb')
        expectProblem(await claim(), 'unavailable')
        expectProblem(await claim(), 'unavailable')
        await admin.config('SET', 'maxmemory', '0')
        await resumed()
      }
    }
    const breakPromises = async () => {
      for (const { name, broken } of PROMISES) await admin.config('SET', name, broken)
      const broken = performance.now()
      await node.says(/granting is stopped/)
      expect(crowd.stalls.since(broken)).toBeLessThan(NOTICED_MS)
      for (const { name, kept, what } of PROMISES) {
        expectProblem(await claim(), 'fenced')
        expect(await problems()).toContain(what)
        expect(await problems()).toContain(`redis-cli CONFIG SET ${name} ${kept}`)
        await admin.config('SET', name, kept)
      }
      await resumed()
      expect(await problems()).toBe('[]')
    }
    const faults = async () => {
      await crowd.told(100)
      await flushScripts()
      await witness.fault(runOutOfMemory)
      await witness.fault(breakPromises)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), faults()]).finally(() => admin.disconnect())
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(crowd.count('fenced')).toBeGreaterThan(0)
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    tell({ flushes: FLUSHES, outOfMemory: SHORTAGES, acknowledged: crowd.acknowledged })
  },
  PATIENCE_MS,
)

test('a Redis that comes back without memory gives holders what they hold, and grants again when it has some', async () => {
  await using redis = await startLocalRedis()
  await using node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'info' })
  const api = new Api(node.url, KEYS.operator)
  const { id } = await openRound(node.url, 10)
  const claim = (user_id: string) => api.post(`/v1/rounds/${id}/claims`, { user_id })
  const held = await claim('holder')
  await redis.kill()
  await using poor = await startLocalRedis({ dir: redis.dir, args: ['--maxmemory', '100kb'] })
  await node.says(/redis down[\s\S]*redis up[\s\S]*redis up/)
  expect(await api.get(`/v1/rounds/${id}/claims/holder`)).toMatchObject({ status: 200, body: held.body })
  expect((await claim('holder')).status).toBe(200)
  expectProblem(await claim('late'), 'unavailable')
  const admin = new Redis({ path: poor.socketPath as string })
  await admin.config('SET', 'maxmemory', '0')
  admin.disconnect()
  expect((await claim('late')).status).toBe(201)
})
