/**
 * Redis rewrites its log, and saves a snapshot, while people claim, and is killed in the middle of it.
 *
 * A child of Redis writes the new file while the claims go on into another one; only when the manifest names the new
 * files do they count. So the kills are aimed: while the child writes (it is made slow, and Redis is asked whether it runs
 * right before the kill), and with a disk whose renamings are slow at each of the four of a rewrite, which is where the
 * manifest changes. First a rewrite and a snapshot run to their end under load, and what answers took meanwhile is
 * told as a figure. At the end the log is rewritten once more, and the last restart reads nothing else.
 *
 * Rejected: kills by a timer behind the command; a child that is not slowed down is gone before the first of them.
 */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BadDisk, noBadDisk } from '../support/bad-disk.ts'
import { ANSWER_MS_MAX, type Crowd, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

/** For each kind of child. */
const KILLS = effort(1, 20)
/** For each of the four renamings. */
const SWITCHES = effort(1, 5)
const PEOPLE = effort(800_000, 4_000_000)
const FEW = { singles: 400, streams: 1, window: 2, frame: 64, ...RESTING }
/** Microseconds a key: a dozen keys take a child long enough for any kill. */
const SLOW_CHILD = '300000'
const QUICK_CHILD = '20000'
const RENAME_MS = 250
const RENAMES = 4

const CHILDREN = [
  { command: 'BGREWRITEAOF', sign: 'aof_rewrite_in_progress:1' },
  { command: 'BGSAVE', sign: 'rdb_bgsave_in_progress:1' },
] as const

const runs = async (admin: Redis, sign: string): Promise<boolean> => (await admin.info('persistence')).includes(sign)

/** How long the answers of a moment took, without the slowest hundredth, milliseconds. */
function p99Ms({ history: { at, length } }: Crowd, from: number): number {
  const took: number[] = []
  for (let i = from; i < length; i++) took.push(((at.answered[i] as number) - (at.sent[i] as number)) / 1000)
  return Math.round(took.sort((a, b) => a - b)[Math.floor(took.length * 0.99)] as number)
}

/** Both kinds of child from their beginning to their end, while people claim. Resolves with what answers took meanwhile. */
async function runToTheEnd(admin: Redis, crowd: Crowd): Promise<number> {
  await crowd.told(crowd.granted + 500)
  const from = crowd.history.length
  for (const { command, sign } of CHILDREN) {
    await admin.call(command)
    while (await runs(admin, sign)) await crowd.told(crowd.granted + 100)
  }
  return p99Ms(crowd, from)
}

describe('one Redis through all of it', () => {
  let disk: BadDisk | undefined
  let redis: RedisProcess
  let admin: Redis
  let node: NodeProcess

  beforeAll(async () => {
    if (!noBadDisk) disk = new BadDisk()
    redis = await startLocalRedis({ env: disk?.env ?? {} })
    admin = new Redis({ path: redis.socketPath as string, retryStrategy: () => 5 })
    admin.on('error', () => {})
    node = await startNodeProcess({ REDIS_URL: redis.url })
  })
  afterAll(async () => {
    admin.disconnect()
    await node.stop()
    await redis.stop()
    disk?.[Symbol.dispose]()
  })

  /** Claims while `faults` come, asks everybody again, audits. */
  async function claimThrough(faults: (crowd: Crowd) => Promise<void>): Promise<Crowd> {
    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
    using crowd = witness.crowd({ url: node.url, roundId: round.id, people: PEOPLE, ...FEW }, round, PEOPLE)
    const through = async () => {
      await witness.fault(() => faults(crowd))
      await crowd.told(crowd.granted + 500)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), through()])
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    tell({ acknowledged: crowd.acknowledged, slowestMs: Math.round(crowd.slowestMs), lost: 0 })
    return crowd
  }

  test(
    `${2 * KILLS} kills while a child rewrites the log or saves: nothing is lost or doubled`,
    async () => {
      const next = random()
      let slowestP99Ms = 0
      await claimThrough(async crowd => {
        await admin.config('SET', 'rdb-key-save-delay', QUICK_CHILD)
        slowestP99Ms = await runToTheEnd(admin, crowd)
        for (let kill = 0; kill < KILLS; kill++)
          for (const { command, sign } of CHILDREN) {
            await crowd.told(crowd.granted + 500)
            await admin.config('SET', 'rdb-key-save-delay', SLOW_CHILD)
            await admin.call(command)
            await crowd.told(crowd.granted + 1 + below(next, 3000))
            expect(await runs(admin, sign)).toBe(true)
            await redis.restart()
          }
        await runToTheEnd(admin, crowd)
        await redis.restart()
      })
      tell({ childKills: 2 * KILLS, slowestP99Ms })
    },
    PATIENCE_MS,
  )

  test.skipIf(noBadDisk)(
    `${RENAMES * SWITCHES} kills at each renaming of a rewrite: nothing is lost (needs Linux and a C compiler)`,
    async () => {
      const slow = disk as BadDisk
      const { granted } = await claimThrough(async crowd => {
        for (let kill = 0; kill < RENAMES * SWITCHES; kill++) {
          await crowd.told(crowd.granted + 500)
          const { renames } = slow
          slow.renameMs = RENAME_MS
          // It has no answer when it dies at the first of them.
          admin.call('BGREWRITEAOF').catch(() => {})
          await slow.until(now => now.renames > renames + (kill % RENAMES))
          await redis.kill()
          slow.mend()
          await redis.restart()
        }
      })
      expect(granted).toBeGreaterThan(500 * RENAMES * SWITCHES)
      tell({ switchKills: RENAMES * SWITCHES })
    },
    PATIENCE_MS,
  )
})
