/**
 * More claims than a worker holds: it sheds load, and what it shed was certainly not executed.
 *
 * Redis freezes, and over the stream come more claims than CLAIMS_WAITING_MAX. Those beyond the limit are told
 * `overloaded` at once, the queued ones when they have waited too long, and only the few batches that were on their
 * way may be `unknown`. Then Redis thaws and executes late what it had been sent. Whoever is shy has left by then, so
 * a claim that was executed although it was shed would stand in the ledger under the name of somebody who was
 * refused. Everybody else asks again, and service goes on by itself.
 */

import { expect, test } from 'vitest'
import {
  ANSWER_DEADLINE_MS,
  BATCH_CLAIMS_MAX,
  BATCHES_IN_FLIGHT_MAX,
  CLAIMS_PER_REQUEST_MAX,
  CLAIMS_WAITING_MAX,
} from '../../engine/base/limits.ts'
import { Crowd, openRound } from '../support/crowd.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'

const BEYOND = 10 * CLAIMS_PER_REQUEST_MAX
const PEOPLE = CLAIMS_WAITING_MAX + BEYOND
const STOCK = 20_000
/** What is on its way to Redis at once. */
const IN_FLIGHT = BATCH_CLAIMS_MAX * BATCHES_IN_FLIGHT_MAX

test('a crowd beyond the limit is shed at once or in time, and nothing that was shed was executed', async () => {
  await using redis = await startLocalRedis()
  await using node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'error' })
  const { id } = await openRound(node.url, STOCK)
  const window = Math.ceil(PEOPLE / CLAIMS_PER_REQUEST_MAX)
  const one = { url: node.url, roundId: id, people: PEOPLE, singles: 0, streams: 1 }
  using crowd = new Crowd({ ...one, window, frame: CLAIMS_PER_REQUEST_MAX })
  const freeze = async () => {
    await redis.kill('SIGSTOP')
    const frozen = performance.now()
    await crowd.answered('overloaded', BEYOND / 2)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_DEADLINE_MS)
    await crowd.answered('overloaded', CLAIMS_WAITING_MAX)
    await redis.kill('SIGCONT')
    return performance.now() - frozen
  }
  const [frozenMs] = await Promise.all([freeze(), crowd.ask()])
  // What was on its way when Redis froze, what took its place whenever that was given up, and what was at the thaw.
  expect(crowd.count('unknown')).toBeLessThanOrEqual((2 + frozenMs / ANSWER_DEADLINE_MS) * IN_FLIGHT)
  expect(crowd.count('no_answer')).toBe(0)
  expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
  tell({ shed: crowd.count('overloaded'), unknown: crowd.count('unknown'), acknowledged: crowd.acknowledged })
})
