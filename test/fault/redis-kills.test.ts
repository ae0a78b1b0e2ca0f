/**
 * kill -9 of Redis in the middle of a drain, again and again: nothing that was acknowledged is lost or doubled.
 *
 * People claim through the whole run and record every answer. Each kill falls inside an answer, with batches in
 * flight; where in the drain it falls is drawn from the seed. After the last restart everybody asks again, and the
 * audit compares all answers ever given with what the engine holds: the stock is sold exactly once, 1..N without a
 * gap, the same sequences and vouchers for the same people, and nobody holds what he was refused.
 *
 * The long form is ten drains after one another on the same servers, so what a client remembers stays small while the
 * log that each restart loads grows. Rejected: kills by a timer; on a slow machine they fall before or after the drain.
 */

import { expect, test } from 'vitest'
import { ANSWER_MS_MAX, type Crowd, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

const DRAINS = effort(1, 10)
const KILLS = effort(5, 10)
const STOCK = effort(20_000, 420_000)
const PEOPLE = STOCK * 1.25

async function drainWithKills(url: string, redis: RedisProcess, next: () => number): Promise<Crowd> {
  const round = await openRound(url, STOCK)
  await using witness = await Witness.open({ nodes: [url], level: 'always', worst: 'end of Redis' })
  using crowd = witness.crowd({ url, roundId: round.id, people: PEOPLE, singles: 2000 }, round, STOCK)
  const killAndRestart = async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      await crowd.told(Math.floor((STOCK * (kill + next())) / (KILLS + 1)))
      await witness.fault(() => redis.restart())
    }
  }
  await Promise.all([crowd.ask(), killAndRestart()])
  await crowd.askAgain()
  expect(crowd.granted).toBe(STOCK)
  // All of them hold it still; a kill adds more where it lost an answer, which test/fault/link.test.ts makes certain.
  expect(crowd.count('replayed')).toBeGreaterThanOrEqual(STOCK)
  expect(crowd.count('no_answer')).toBe(0)
  expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
  expect(await witness.verdict()).toEqual([])
  return crowd
}

test(
  `${DRAINS * KILLS} kills of Redis under load lose and double nothing`,
  async () => {
    const next = random()
    await using redis = await startLocalRedis()
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    let acknowledged = 0
    for (let drain = 0; drain < DRAINS; drain++) {
      const crowd = await drainWithKills(node.url, redis, next)
      expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
      acknowledged += crowd.acknowledged
    }
    tell({ kills: DRAINS * KILLS, granted: DRAINS * STOCK, acknowledged, lost: 0 })
  },
  PATIENCE_MS,
)
