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
/** What was on its way when Redis froze, and what took its place each time that was given up before Redis thawed. */
const UNKNOWN_MAX = 4 * BATCH_CLAIMS_MAX * BATCHES_IN_FLIGHT_MAX

test('a crowd beyond the limit is shed at once or in time, and nothing that was shed was executed', async () => {
  await using redis = await startLocalRedis()
  await using node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'error' })
  const { id } = await openRound(node.url, STOCK)
  const window = Math.ceil(PEOPLE / CLAIMS_PER_REQUEST_MAX)
  const one = { url: node.url, roundId: id, people: PEOPLE, singles: 0, streams: 1 }
  using crowd = new Crowd({ ...one, window, frame: CLAIMS_PER_REQUEST_MAX })
  const freeze = async () => {
    await redis.kill('SIGSTOP')
    await crowd.answered('overloaded', BEYOND / 2)
    expect(crowd.slowestMs).toBeLessThan(2000)
    await crowd.answered('overloaded', CLAIMS_WAITING_MAX)
    await redis.kill('SIGCONT')
  }
  await Promise.all([freeze(), crowd.ask()])
  expect(crowd.count('unknown')).toBeLessThanOrEqual(UNKNOWN_MAX)
  expect(crowd.count('no_answer')).toBe(0)
  expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
  tell({ shed: crowd.count('overloaded'), unknown: crowd.count('unknown'), acknowledged: crowd.acknowledged })
})
