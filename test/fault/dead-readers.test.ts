/**
 * Half of the viewers die without a word while a round drains: their processes are frozen, so their connections stand,
 * nothing is read from them and no ping is answered.
 *
 * The engine publishes into sockets that nobody reads. Claims have to be answered in time, those who live have to be told
 * the end at once, and what the dead are owed may not pile up: frames beyond a bound are dropped, and the bound is far
 * away in the time after which a silent socket is closed. Those who come back to life find the newest stock, since the
 * engine sends it again when their connection has room. In the longer forms they stay dead until the engine has closed
 * them, when they were silent for long enough, and its open files and memory are looked at then.
 */
import { expect, test } from 'vitest'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { SOCKET_IDLE_S } from '../../engine/base/limits.ts'
import { answerTimes } from '../support/answer-times.ts'
import { Api, type Round } from '../support/api.ts'
import { Audience } from '../support/audience.ts'
import { ANSWER_MS_MAX, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { heldTogether } from '../support/process-files.ts'
import { startLocalRedis } from '../support/redis.ts'
import { Witness } from '../support/witness/witness.ts'

const DEAD = effort(100, 5000)
const LIVING = effort(100, 5000)
const STOCK = effort(10_000, 1_500_000)
const WITHIN_MS = effort(200, 2000)
/** What the dead may cost: a connection's own state, its session, and the frames until it is closed. */
const GREW_MIB_MAX = 64 + (DEAD * 64) / 1024
const IS_SHORT = effort(1, 4) === 1
/** The library counts silence in steps of four seconds, and pings before it gives up. */
const CLOSED_WITHIN_MS = (SOCKET_IDLE_S + 60) * 1000

test(
  `${DEAD} dead viewers beside ${LIVING} living ones cost neither time nor memory`,
  async () => {
    await using redis = await startLocalRedis()
    await using node = await startNodeProcess({ REDIS_URL: redis.url, LOG_LEVEL: 'fatal' })
    const held = () => heldTogether(node.pid, 'worker')
    const round = await openRound(node.url, STOCK)
    const { id } = round
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'nothing' })
    using crowd = witness.crowd({ url: node.url, roundId: id, people: STOCK * 1.25, singles: 2000 }, round, STOCK)
    await using dead = new Audience(DEAD)
    await using living = new Audience(LIVING)
    const before = held()
    await Promise.all([dead.come(node.url, id, WITHIN_MS), living.come(node.url, id, WITHIN_MS)])
    const watched = held()
    const from = monotonicUs()
    const die = async () => {
      await crowd.told(500)
      dead.freeze()
    }
    await Promise.all([crowd.ask(), die()])
    const { p99Ms } = answerTimes(crowd, from, monotonicUs())
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    const api = new Api(node.url, KEYS.operator)
    await api.post(`/v1/rounds/${id}/close`)
    const { body } = await api.get<Round>(`/v1/rounds/${id}`)
    await living.saw(body.stock.version)
    const grewMiB = held().residentMiB - watched.residentMiB
    expect(grewMiB).toBeLessThan(GREW_MIB_MAX)
    if (!IS_SHORT)
      await expect
        .poll(() => held().files, { timeout: CLOSED_WITHIN_MS, interval: 500 })
        .toBeLessThanOrEqual(watched.files - DEAD)
    // Those who still have their connection catch up on it; those who were closed come back.
    dead.thaw()
    await dead.saw(body.stock.version)
    await Promise.all([dead.leave(), living.leave()])
    await expect.poll(() => held().files, { timeout: 30_000, interval: 50 }).toBeLessThanOrEqual(before.files + 24)
    console.log(`p99 of claims ${p99Ms.toFixed(1)} ms, the worker grew ${grewMiB.toFixed(1)} MiB`)
    const slowest = { slowestP99Ms: Math.round(p99Ms), slowestGrewMiB: Math.round(grewMiB) }
    tell({ dead: DEAD, living: LIVING, acknowledged: crowd.acknowledged, ...slowest })
  },
  PATIENCE_MS,
)
