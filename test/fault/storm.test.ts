/**
 * Everybody who watches is cut off and comes back within a second, again and again, while people claim; at the end the
 * node itself is restarted under them. And: thousands of connections that send half a request and no more.
 *
 * A storm of clients that reconnect is what follows each restart and each hiccup of a network, and it arrives when the
 * release is under way. Claims have to be answered in time through it, and every viewer has to be told the stock as it
 * is at the end on the connection that he has then. When all have left, the worker holds as many open files as before
 * anybody came: a socket that is forgotten once in a storm is found here. Its memory is told.
 *
 * Rejected: a bound on how many connections are accepted a second. A connection that comes back costs the worker about
 * 0.2 ms, most of it the system's, before anything of ours could put it off; who waits there comes again and costs more.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { answerTimes } from '../support/answer-times.ts'
import { Api, type Round } from '../support/api.ts'
import { Audience } from '../support/audience.ts'
import { ANSWER_MS_MAX, type Crowd, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { heldTogether } from '../support/process-files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { Witness } from '../support/witness/witness.ts'

const SOCKETS = effort(200, 10_000)
const STORMS = effort(1, 20)
const WITHIN_MS = effort(300, 1000)
/** Claims that are told before a fault, for the figure of a calm time. */
const CALM = effort(1000, 50_000)
const HALVES = effort(300, 5000)
/** More than can be claimed meanwhile. */
const PEOPLE = effort(300_000, 6_000_000)
/** Where a request is cut decides whether its half is an error already, which is answered and ended at once: some one in fifteen. */
const STAY_HALF = 0.85
/** Connections to Redis that come and go with health checks. */
const FILES_BESIDE = 4
/** The library ends a connection without a whole request after ten seconds; its clock has steps of four. */
const HALF_ENDS_MS = 30_000

let redis: RedisProcess
let node: NodeProcess
let roundId: string
beforeAll(async () => {
  redis = await startLocalRedis()
  node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'fatal' })
})
afterAll(async () => {
  await node.stop()
  await redis.stop()
})

const held = () => heldTogether(node.pid, 'worker')

/** Waits until the worker has no more files open than before. */
const expectFiles = (before: number) =>
  expect.poll(() => held().files, { timeout: HALF_ENDS_MS, interval: 50 }).toBeLessThanOrEqual(before + FILES_BESIDE)

/** Lets people claim while `through` lasts; audits, and resolves with the crowd. */
async function claimThrough(through: (crowd: Crowd) => Promise<void>): Promise<Crowd> {
  const round = await openRound(node.url, PEOPLE)
  roundId = round.id
  await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'nothing' })
  const many = { people: PEOPLE, singles: 2000, streams: 1, window: 2, frame: 32, ...RESTING }
  using crowd = witness.crowd({ url: node.url, roundId, ...many }, round, PEOPLE)
  const act = async () => {
    await crowd.told(500)
    await witness.fault(() => through(crowd)).finally(() => crowd.quit())
  }
  await Promise.all([crowd.ask(), act()])
  await crowd.askAgain()
  expect((await crowd.audit()).faults).toEqual([])
  expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
  expect(await witness.verdict()).toEqual([])
  return crowd
}

/** The p99 of the claims asked while `act` lasts. */
async function timed(crowd: Crowd, act: () => Promise<void>): Promise<number> {
  const from = monotonicUs()
  await act()
  return answerTimes(crowd, from, monotonicUs()).p99Ms
}

const restart = async () => {
  expect(await node.terminate()).toBe(0)
  node.launch()
  await node.serves()
}

test(
  `${SOCKETS} viewers come back ${STORMS} times, and once more to a node that was restarted`,
  async () => {
    await using audience = new Audience(SOCKETS)
    const fresh = held()
    const told = { calm: 0, storm: 0, grewMiB: 0 }
    const crowd = await claimThrough(async crowd => {
      told.calm = await timed(crowd, () => crowd.told(crowd.granted + CALM))
      await audience.come(node.url, roundId, WITHIN_MS)
      const { files, residentMiB } = held()
      expect(files).toBeGreaterThanOrEqual(fresh.files + SOCKETS)
      for (let i = 0; i < STORMS; i++) told.storm = Math.max(told.storm, await timed(crowd, () => audience.cut()))
      await expectFiles(files)
      told.grewMiB = held().residentMiB - residentMiB
      await restart()
      await crowd.told(crowd.granted + 500)
    })
    const api = new Api(node.url, KEYS.operator)
    await api.post(`/v1/rounds/${roundId}/close`)
    const { body } = await api.get<Round>(`/v1/rounds/${roundId}`)
    const lost = await audience.saw(body.stock.version)
    expect(lost).toBeGreaterThanOrEqual((STORMS + 1) * SOCKETS)
    await audience.leave()
    await expectFiles(fresh.files)
    console.log(
      `p99 of claims: calm ${told.calm.toFixed(1)} ms, worst storm ${told.storm.toFixed(1)} ms; sockets lost ${lost}, worker grew ${told.grewMiB.toFixed(1)} MiB`,
    )
    tell({
      viewers: SOCKETS,
      storms: STORMS + 1,
      acknowledged: crowd.acknowledged,
      slowestP99CalmMs: Math.round(told.calm),
      slowestP99StormMs: Math.round(told.storm),
      slowestGrewMiB: Math.round(told.grewMiB),
    })
  },
  PATIENCE_MS,
)

const HALF =
  'POST /v1/rounds/rnd_none/claims HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"us'

test(
  `${HALVES} connections with half a request delay nobody and are ended`,
  async () => {
    const before = held().files
    const told = { calm: 0, halves: 0 }
    const halves: RawConnection[] = []
    const crowd = await claimThrough(async crowd => {
      told.calm = await timed(crowd, () => crowd.told(crowd.granted + CALM))
      told.halves = await timed(crowd, async () => {
        for (let i = 0; i < HALVES; i++) {
          const half = new RawConnection(node.url)
          halves.push(half)
          void half.ask(HALF.slice(0, 20 + (i % (HALF.length - 20))))
        }
        await expect
          .poll(() => held().files, { timeout: HALF_ENDS_MS, interval: 20 })
          .toBeGreaterThanOrEqual(before + HALVES * STAY_HALF)
        await crowd.told(crowd.granted + CALM)
      })
    })
    if (effort(0, 1) === 1) await Promise.all(halves.map(half => half.ended()))
    else for (const half of halves) half.close()
    await expectFiles(before)
    console.log(`p99 of claims: calm ${told.calm.toFixed(1)} ms, beside ${HALVES} halves ${told.halves.toFixed(1)} ms`)
    tell({ halves: HALVES, acknowledged: crowd.acknowledged, slowestP99HalvesMs: Math.round(told.halves) })
  },
  PATIENCE_MS,
)
