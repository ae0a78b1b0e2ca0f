/**
 * A disk whose syncs take a second and a half, and a Redis that ends in the middle of one, by kill -9 or by loss of power.
 *
 * At `always` everything is slow and nothing is lost: a loss of power takes every byte that no sync had reached, and no
 * answer rested on one. That holds, too, for what a killed Redis had written and not synced: the next one reads it from the
 * kernel's memory as if it were safe, so nobody may be told that he holds it before a sync has ended. At `everysec`
 * Redis writes nothing while a sync is under way, so even kill -9 takes what was acknowledged meanwhile: that is the
 * counter-check, the audit must say so, and the engine must have warned of the level when it started.
 *
 * Each end is aimed at a sync that is under way. Rejected: SIGSTOP instead of a slow disk; a frozen server answers nobody.
 */

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted } from '../support/api.ts'
import { BadDisk, noBadDisk } from '../support/bad-disk.ts'
import { bareEnv } from '../support/bare-env.ts'
import { ANSWER_MS_MAX, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

const ENDS = effort(2, 40)
/** Longer than a link bears silence, and at everysec less than the two seconds after which Redis writes all the same. */
const SYNC_MS = effort(600, 1500)
const SYNC_MS_EVERYSEC = 1500
const PEOPLE = effort(200_000, 4_000_000)
const LOSSES = effort(1, 10)
/** What is written is one file that only grows, so that a loss of power is a shorter file. */
const ONE_FILE = ['--auto-aof-rewrite-percentage', '0']
const FEW = { singles: 400, streams: 1, window: 2, frame: 64, ...RESTING }

const run = promisify(execFile)

describe('always', () => {
  let disk: BadDisk
  let redis: RedisProcess
  let node: NodeProcess

  beforeAll(async () => {
    if (noBadDisk) return
    disk = new BadDisk()
    redis = await startLocalRedis({ env: disk.env, args: ONE_FILE })
    node = await startNodeProcess({ REDIS_URL: redis.url })
  })
  afterAll(async () => {
    if (noBadDisk) return
    await node.stop()
    await redis.stop()
    disk[Symbol.dispose]()
  })

  test.skipIf(noBadDisk)(
    `${ENDS} ends of Redis in a slow sync: nothing is lost (needs Linux and a C compiler)`,
    async () => {
      const next = random()
      const round = await openRound(node.url, PEOPLE)
      await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
      using crowd = witness.crowd({ url: node.url, roundId: round.id, people: PEOPLE, ...FEW }, round, PEOPLE)
      let bytesLost = 0
      const endAgainAndAgain = async () => {
        for (let end = 0; end < ENDS; end++) {
          await crowd.told(crowd.granted + 1000)
          disk.syncMs = SYNC_MS
          await crowd.told(crowd.granted + 1 + below(next, 200))
          await disk.until(({ syncing }) => syncing > 0)
          await redis.kill()
          // The disk is still slow when a killed one starts again, and quick when the power is back.
          disk.forgetKilled()
          if (end % 2 === 1) {
            bytesLost += disk.losePower(redis.dir)
            disk.syncMs = 0
          }
          await redis.restart()
          await crowd.told(crowd.granted + 1)
          disk.syncMs = 0
        }
        crowd.quit()
      }
      await Promise.all([crowd.ask(), witness.fault(endAgainAndAgain)])
      await crowd.askAgain()
      expect((await crowd.audit()).faults).toEqual([])
      expect(crowd.count('no_answer')).toBe(0)
      expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
      expect(bytesLost).toBeGreaterThan(0)
      expect(await witness.verdict()).toEqual([])
      const [unknown, slowestMs] = [crowd.count('unknown'), Math.round(crowd.slowestMs)]
      tell({ ends: ENDS, bytesLost, acknowledged: crowd.acknowledged, unknown, slowestMs, lost: 0 })
    },
    PATIENCE_MS,
  )

  test.skipIf(noBadDisk)(
    'what a killed Redis had not synced is acknowledged by the next one only when it has (needs a C compiler)',
    async () => {
      const api = new Api(node.url, KEYS.operator)
      const { id } = await openRound(node.url, 3 * LOSSES)
      // A round that was opened by hand has that in its state; one that the clock has opened would write it with an answer.
      for (const turn of ['pause', 'resume']) expect((await api.post(`/v1/rounds/${id}/${turn}`)).status).toBe(200)
      const sequenceOf = async (user_id: string) =>
        (await api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id })).body.claim.sequence
      for (let loss = 0; loss < LOSSES; loss++) {
        const first = await sequenceOf(`first${loss}`)
        disk.syncMs = 10_000
        const unsynced = sequenceOf(`unsynced${loss}`)
        await disk.until(({ syncing }) => syncing > 0)
        await redis.kill()
        disk.mend()
        await redis.restart()
        expect(await unsynced).toBe(first + 1)
        await redis.kill()
        disk.losePower(redis.dir)
        await redis.restart()
        expect(await sequenceOf(`stranger${loss}`)).toBe(first + 2)
      }
      tell({ readAgain: LOSSES })
    },
    PATIENCE_MS,
  )
})

test.skipIf(noBadDisk)(
  'what is read of a killed Redis is on its disk before anybody learns it (needs a C compiler)',
  async () => {
    using disk = new BadDisk()
    await using redis = await startLocalRedis({ env: disk.env, args: ONE_FILE })
    const link = new Link({ url: redis.url, scripts: {}, clock: realClock, random: realRandom, syncs: true })
    onTestFinished(() => link.close())
    const read = async () => {
      await vi.waitUntil(() => link.ready)
      return link.request(client => client.get('kept'))
    }
    expect(await read()).toBe(null)
    for (let loss = 0; loss < LOSSES; loss++) {
      disk.syncMs = 10_000
      const writer = new Redis({ path: redis.socketPath as string, retryStrategy: () => null }).on('error', () => {})
      void writer.set('kept', String(loss)).catch(() => undefined)
      await disk.until(({ syncing }) => syncing > 0)
      await redis.kill()
      disk.mend()
      await redis.restart()
      expect(await read()).toBe(String(loss))
      await redis.kill()
      disk.losePower(redis.dir)
      await redis.restart()
      expect(await read()).toBe(String(loss))
    }
  },
  PATIENCE_MS,
)

test.skipIf(noBadDisk)(
  'everysec does lose what was acknowledged during a slow sync: warned of, and the audit sees it (needs a C compiler)',
  async () => {
    using disk = new BadDisk()
    await using redis = await startLocalRedis({ appendfsync: 'everysec', env: disk.env, args: ONE_FILE })
    const settings = { REDIS_URL: redis.url, FAIRGRAB_DURABILITY: 'everysec' }
    await using node = await startNodeProcess(settings)
    const warning = /the level is everysec: grants acknowledged in the last seconds are lost/
    expect(node.words).toMatch(warning)
    const env = bareEnv(settings)
    const doctor = await run(process.execPath, [join(ROOT, 'engine/cli.ts'), 'doctor'], { env })
    expect(doctor.stdout).toMatch(warning)

    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'everysec', worst: 'end of Redis' })
    using crowd = witness.crowd({ url: node.url, roundId: round.id, people: PEOPLE, ...FEW }, round, PEOPLE)
    const killInSync = async () => {
      await crowd.told(500)
      disk.syncMs = SYNC_MS_EVERYSEC
      for (let aimed = false; !aimed; ) {
        await disk.until(({ syncing }) => syncing > 0)
        const { written } = disk
        await crowd.told(crowd.granted + 500)
        await redis.kill()
        // A kill that came after the sync had ended loses less, and does not count.
        aimed = disk.written === written
        disk.forgetKilled()
        await redis.restart()
      }
      crowd.quit()
    }
    // Nobody asks again: whose grant is lost is told by the worker that he holds it, and by nobody else.
    await Promise.all([crowd.ask(), witness.fault(killInSync)])
    const { faults } = await crowd.audit()
    const lost = Number(/I3-acked .*\(([\d,]+) violations/.exec(faults.join('\n'))?.[1]?.replaceAll(',', ''))
    expect(lost).toBeGreaterThan(100)
    disk.mend()
    expect(await witness.verdict()).toEqual([])
    tell({ everysecAcknowledged: crowd.acknowledged, everysecLost: lost })
  },
  PATIENCE_MS,
)
