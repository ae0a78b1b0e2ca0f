/**
 * Redis is late, frozen, silent, gone, or the wrong one: everybody gets an answer in time, and service comes back.
 *
 * One node lives through all of it while people claim one by one and in frames. It starts before its Redis does and
 * says what to type. Then Redis freezes for a second (what was sent is executed late, when it thaws), the network
 * swallows everything for a second, Redis is gone for three, and Redis becomes a replica that only reads. After each
 * the grants go on within the time that was promised, and at the end the audit compares all answers ever given.
 *
 * The lengths of the outages are part of the faults, so they are timers; everything else is awaited as an event.
 */

import { setTimeout as last } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Api, expectProblem, type Fields } from '../support/api.ts'
import { type Crowd, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { launchNode, type NodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { Witness } from '../support/witness/witness.ts'

const ANSWER_MS = 2500
const RESUME_MS = 1000
/** Somebody waited through an outage of a second. */
const FELT_MS = 500
/** The long form is longer than any deadline of a start. */
const ABSENT_MS = effort(100, 15_000)
/** How often Redis freezes, and how often the network swallows each kind of bytes, in one drain. */
const TIMES = effort(1, 15)
const PEOPLE = effort(400_000, 3_000_000)

/** The longest time that an answer took, with all that the machine took. */
function longestMs({ history: { at, length } }: Crowd): number {
  let longest = 0
  for (let i = 0; i < length; i++) {
    const took = ((at.answered[i] as number) - (at.sent[i] as number)) / 1000
    if (took < Number.POSITIVE_INFINITY) longest = Math.max(longest, took)
  }
  return longest
}

describe('one node through the outages of its Redis', () => {
  let redis: RedisProcess
  let admin: Redis
  let proxy: TcpProxy
  let node: NodeProcess
  let roundId: string

  beforeAll(async () => {
    redis = await startLocalRedis()
    admin = new Redis({ path: redis.socketPath as string })
    admin.on('error', () => {})
    await admin.replicaof('127.0.0.1', '1')
    proxy = await TcpProxy.open({ path: redis.socketPath as string })
    node = await launchNode({ REDIS_URL: proxy.url })
  })
  afterAll(async () => {
    admin.disconnect()
    await node.stop()
    await proxy.close()
    await redis.stop()
  })

  const claim = (user_id: string) => new Api(node.url, KEYS.operator).post(`/v1/rounds/${roundId}/claims`, { user_id })

  /** Claims while `fault` lasts, asks everybody again, audits; resolves with what people were told. */
  async function claimThrough(fault: (crowd: Crowd) => Promise<void>, times = 1): Promise<Crowd> {
    const round = await openRound(node.url, PEOPLE)
    roundId = round.id
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
    const few = { people: PEOPLE, singles: 200, streams: 1, window: 2, frame: 32, ...RESTING }
    const crowd = witness.crowd({ url: node.url, roundId, ...few }, round, PEOPLE)
    const through = async () => {
      for (let time = 0; time < times; time++) {
        await crowd.told(crowd.granted + 500)
        await witness.fault(() => fault(crowd))
        const before = crowd.granted
        const healed = performance.now()
        await crowd.told(before + 500)
        expect(crowd.stalls.since(healed)).toBeLessThan(RESUME_MS)
      }
      crowd.quit()
    }
    await Promise.all([crowd.ask(), through()])
    await crowd.askAgain()
    const { faults } = await crowd.audit()
    expect(faults).toEqual([])
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS)
    expect(crowd.count('no_answer')).toBe(0)
    expect(await witness.verdict()).toEqual([])
    crowd[Symbol.dispose]()
    tell({ outages: times, acknowledged: crowd.acknowledged })
    return crowd
  }

  test('a replica at the start, then absent: the node says what to type, and serves when a primary appears', async () => {
    await node.says(/granting is stopped: Redis cannot be reached.*not a primary/)
    await redis.kill()
    await node.says(/granting is stopped: Redis cannot be reached .(?!the server is)/)
    expect(node.words).toMatch(/start it, or correct REDIS_URL/)
    await last(ABSENT_MS)
    await redis.restart()
    await node.serves()
    roundId = (await openRound(node.url, 1)).id
    expect((await claim('first')).status).toBe(201)
  })

  test(
    'frozen for a second: late execution is harmless',
    async () => {
      const crowd = await claimThrough(async () => {
        await redis.kill('SIGSTOP')
        await last(1000)
        await redis.kill('SIGCONT')
      }, TIMES)
      expect(longestMs(crowd)).toBeGreaterThan(FELT_MS)
      tell({ freezes: TIMES })
    },
    PATIENCE_MS,
  )

  test.each(['black hole', 'drop replies'] as const)(
    'the network is set to %s for a second',
    async way => {
      const crowd = await claimThrough(async () => {
        proxy.way = way
        await last(1000)
        proxy.way = 'pass'
      }, TIMES)
      expect(longestMs(crowd)).toBeGreaterThan(FELT_MS)
      tell({ blackHoles: TIMES })
    },
    PATIENCE_MS,
  )

  test('gone for three seconds: answers in time, then service', async () => {
    const crowd = await claimThrough(async () => {
      await redis.kill()
      await last(3000)
      const ready = await new Api(node.url).get<Fields>('/readyz?verbose')
      expect(ready.status).toBe(503)
      expect(JSON.stringify(ready.body)).toMatch(/start it, or correct REDIS_URL/)
      await redis.restart()
    })
    expect(crowd.count('unknown') + crowd.count('unavailable')).toBeGreaterThan(0)
  })

  test('a replica that only reads: no grants, words, and service when it is the primary again', async () => {
    await claimThrough(async () => {
      node.forgetWords()
      await admin.replicaof('127.0.0.1', '1')
      await node.says(/granting is stopped: .*(slave|replica)/)
      expectProblem(await claim('second'), 'fenced')
      await admin.replicaof('NO', 'ONE')
    })
  })
})
