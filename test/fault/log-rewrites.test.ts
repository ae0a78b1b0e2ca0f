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
import { expect, test } from 'vitest'
import { BadDisk, noBadDisk } from '../support/bad-disk.ts'
import { ANSWER_MS_MAX, Crowd, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'

/** For each kind of child. */
const KILLS = effort(1, 20)
/** For each of the four renamings. */
const SWITCHES = effort(1, 5)
const PEOPLE = effort(400_000, 4_000_000)
const FEW = { singles: 1000, streams: 1, window: 2, frame: 64 }
/** Microseconds a key: a dozen keys take a child long enough for any kill. */
const SLOW_CHILD = '300000'
const NO_ANSWER_MS = 500
const RENAMES = 4

const CHILDREN = [
  { command: 'BGREWRITEAOF', runs: 'aof_rewrite_in_progress:1' },
  { command: 'BGSAVE', runs: 'rdb_bgsave_in_progress:1' },
] as const

const runs = async (admin: Redis, sign: string): Promise<boolean> => (await admin.info('persistence')).includes(sign)

/** A connection that comes back after each restart. */
function adminOf(redis: RedisProcess): Redis {
  const admin = new Redis({ path: redis.socketPath as string, retryStrategy: () => 5 })
  return admin.on('error', () => {})
}

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
  for (const { command, runs: sign } of CHILDREN) {
    await admin.call(command)
    while (await runs(admin, sign)) await crowd.told(crowd.granted + 100)
  }
  return p99Ms(crowd, from)
}

test(
  `${2 * KILLS} kills of Redis while a child rewrites its log or saves: nothing is lost or doubled`,
  async () => {
    const next = random()
    await using redis = await startLocalRedis()
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    const admin = adminOf(redis)
    const { id } = await openRound(node.url, PEOPLE)
    using crowd = new Crowd({ url: node.url, roundId: id, people: PEOPLE, ...FEW })
    let slowestP99Ms = 0
    const killAgainAndAgain = async () => {
      await admin.config('SET', 'rdb-key-save-delay', '20000')
      slowestP99Ms = await runToTheEnd(admin, crowd)
      for (let kill = 0; kill < KILLS; kill++)
        for (const { command, runs: sign } of CHILDREN) {
          await crowd.told(crowd.granted + 500)
          await admin.config('SET', 'rdb-key-save-delay', SLOW_CHILD)
          await admin.call(command)
          await crowd.told(crowd.granted + 1 + below(next, 3000))
          expect(await runs(admin, sign)).toBe(true)
          await redis.restart()
        }
      await runToTheEnd(admin, crowd)
      await redis.restart()
      await crowd.told(crowd.granted + 500)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), killAgainAndAgain()])
    admin.disconnect()
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    tell({ childKills: 2 * KILLS, acknowledged: crowd.acknowledged, slowestP99Ms, slowestMs: Math.round(crowd.slowestMs), lost: 0 })
  },
  PATIENCE_MS,
)

test.skipIf(noBadDisk)(
  `${RENAMES * SWITCHES} kills of Redis at each renaming of a rewrite: nothing is lost (needs Linux and a C compiler)`,
  async () => {
    using disk = new BadDisk()
    await using redis = await startLocalRedis({ env: disk.env })
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    const admin = adminOf(redis)
    const { id } = await openRound(node.url, PEOPLE)
    using crowd = new Crowd({ url: node.url, roundId: id, people: PEOPLE, ...FEW })
    const killAtEach = async () => {
      for (let kill = 0; kill < RENAMES * SWITCHES; kill++) {
        await crowd.told(crowd.granted + 500)
        const { renames } = disk
        disk.renameMs = NO_ANSWER_MS
        // It has no answer when it dies at the first of them.
        admin.call('BGREWRITEAOF').catch(() => {})
        await disk.until(now => now.renames > renames + (kill % RENAMES))
        await redis.kill()
        disk.mend()
        await redis.restart()
      }
      await crowd.told(crowd.granted + 500)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), killAtEach()])
    admin.disconnect()
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    tell({ switchKills: RENAMES * SWITCHES, acknowledged: crowd.acknowledged, lost: 0 })
  },
  PATIENCE_MS,
)
