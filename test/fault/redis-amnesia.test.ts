/**
 * Redis forgets, in part or altogether, while people claim: grants stop, and nothing is ever begun anew.
 *
 * A round lives in three keys. When one of them is gone the scripts refuse, because a fresh holders' table or log would
 * sell the same places twice; another round on the same Redis goes on. FLUSHALL takes all rounds: everybody is
 * refused, no key comes back by itself, and the state says what to do. Then the operator does what the words say: he
 * puts the keys back, or cuts the FLUSHALL off the append only file and starts Redis again, and the rounds go on
 * where they were. The audit over the whole history shows that the interlude granted nothing.
 */

import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { roundHolders, roundLog, roundState } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, makeRound } from '../support/api.ts'
import { openRound } from '../support/crowd.ts'
import { KEYS } from '../support/engine.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { Witness } from '../support/witness/witness.ts'

const STOCK = 10_000

/** Cuts the last FLUSHALL, and what came after it, off the append only file of a server that is down. */
function undoFlush({ dir }: RedisProcess): void {
  const folder = join(dir, 'appendonlydir')
  const file = join(folder, readdirSync(folder).find(name => name.endsWith('.incr.aof')) as string)
  const at = readFileSync(file).toString('latin1').toLowerCase().lastIndexOf('*1\r\n$8\r\nflushall')
  expect(at).toBeGreaterThan(0)
  truncateSync(file, at)
}

/** Longer than a node's checks are apart. */
const WAITS = { timeout: 20_000 }

test('lost keys and FLUSHALL: fenced, never a fresh round, and everything goes on when the state is back', async () => {
  await using redis = await startLocalRedis()
  await using node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'error' })
  const admin = new Redis({ path: redis.socketPath as string })
  admin.on('error', () => {})
  const api = new Api(node.url, KEYS.operator)
  const other = await makeRound(api, { stock: 100 })
  const round = await openRound(node.url, STOCK)
  const { id } = round
  await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
  const few = { people: STOCK * 1.25, streams: 1, window: 1, frame: 32 }
  using crowd = witness.crowd({ url: node.url, roundId: id, ...few }, round, STOCK)
  const claim = (roundId: string, user_id: string) => api.post(`/v1/rounds/${roundId}/claims`, { user_id })
  const expectFenced = async (roundId: string) => {
    for (const user of ['first', 'second']) expectProblem(await claim(roundId, user), 'fenced')
  }

  const loseKeys = async () => {
    for (const [turn, key] of [roundState(id), roundHolders(id), roundLog(id)].entries()) {
      await crowd.told(500 * (turn + 1))
      const kept = `kept:${key}`
      await admin.rename(key, kept)
      await expectFenced(id)
      expect(await admin.exists(key)).toBe(0)
      expect((await claim(other.id, `other${turn}`)).status).toBe(201)
      const { body } = await api.get(`/v1/rounds/${id}`)
      if (turn === 0) expect(body).toMatchObject({ code: 'fenced', detail: expect.stringMatching(/backup/) })
      await admin.rename(kept, key)
    }
  }
  const flushAll = async () => {
    await crowd.told(2500)
    const flushed = admin.flushall()
    await flushed
    await expectFenced(id)
    await expectFenced(other.id)
    expectProblem(await api.get(`/v1/rounds/${id}`), 'fenced')
    expect(await admin.keys('*')).toEqual([])
    await redis.kill()
    undoFlush(redis)
    await redis.restart()
    await crowd.told(3000)
  }
  const faults = async () => {
    await witness.fault(loseKeys)
    // While there are no keys nobody else may make some.
    await witness.rest(() => witness.fault(flushAll))
  }
  await Promise.all([crowd.ask(), faults()])
  admin.disconnect()
  await crowd.askAgain()
  // A round that was found damaged is one until the node's next check, and no list of it ends before.
  await expect.poll(async () => (await api.get(`/v1/rounds/${id}`)).body, WAITS).not.toHaveProperty('problem')
  expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
  expect(crowd.count('fenced')).toBeGreaterThan(0)
  expect((await claim(other.id, 'other0')).status).toBe(200)
  expect(await witness.verdict()).toEqual([])
})
