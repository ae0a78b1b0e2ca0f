/**
 * kill -9 of Redis in the middle of a drain, again and again: nothing that was acknowledged is lost or doubled.
 *
 * People claim through the whole run and record every answer. Each kill falls inside an answer, with batches in
 * flight; where in the drain it falls is drawn from the seed. After the last restart everybody asks again, and the
 * audit compares all answers ever given with what the engine holds: the stock is sold exactly once, 1..N without a
 * gap, the same sequences and vouchers for the same people, and nobody holds what he was refused.
 *
 * Rejected: kills by a timer. On a slow machine they fall before or after the drain and prove nothing.
 */

import { expect, test } from 'vitest'
import { ANSWER_MS_MAX, Crowd, openRound } from '../support/crowd.ts'
import { effort } from '../support/effort.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { random } from '../support/seed.ts'

const KILLS = effort(5, 100)
const STOCK = effort(40_000, 2_000_000)
const PEOPLE = STOCK * 1.25

test(
  `${KILLS} kills of Redis under load lose and double nothing`,
  async () => {
    const next = random()
    await using redis = await startLocalRedis()
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    const round = await openRound(node.url, STOCK)
    using crowd = new Crowd({ url: node.url, roundId: round.id, people: PEOPLE, singles: 2000 })
    const killAndRestart = async () => {
      for (let kill = 0; kill < KILLS; kill++) {
        await crowd.told(Math.floor((STOCK * (kill + next())) / (KILLS + 1)))
        await redis.restart()
      }
    }
    await Promise.all([crowd.ask(), killAndRestart()])
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(crowd.granted).toBe(STOCK)
    expect(crowd.count('replayed')).toBeGreaterThan(STOCK)
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
  },
  effort(30_000, 600_000),
)
