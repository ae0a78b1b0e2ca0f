/**
 * A disk that is full, or that fails, under Redis in the middle of the load: nothing that was acknowledged is lost.
 *
 * At `always` Redis ends by itself at the first write that does not go down, before it answers: when there is no room at all,
 * when a part of a write still fits and is taken back, when that part cannot be taken back (a torn tail), and when a sync
 * fails. Started again on the same disk it reads everything and ends at its first write, so nobody is granted anything.
 * With room it goes on, and everybody asks again. At `everysec` Redis stays and refuses what writes: grants stop, the node says
 * what to do, and they go on when there is room, without a restart.
 *
 * The errors are those that the kernel gives (bad-disk.c), so no rights and no file system are needed.
 */

import { expect, test } from 'vitest'
import { Api, type Fields } from '../support/api.ts'
import { BadDisk, noBadDisk } from '../support/bad-disk.ts'
import { ANSWER_MS_MAX, openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

const ROUNDS = effort(1, 15)
const PEOPLE = effort(800_000, 3_000_000)
const FEW = { singles: 400, streams: 1, window: 2, frame: 64, ...RESTING }
/** Claims that are told before each fault, by chance up to so many more than 500. */
const BETWEEN = effort(500, 2000)
const FAILED = 1

type Break = (disk: BadDisk, part: number) => void
const full: Break = disk => {
  disk.room = 0
}
const nearlyFull: Break = (disk, part) => {
  disk.room = part
}
const torn: Break = (disk, part) => {
  disk.keepsShortWrites = true
  disk.room = part
}
const unsyncable: Break = disk => {
  disk.syncFails = true
}

test.skipIf(noBadDisk)(
  `always, ${ROUNDS} times full, short, torn, unsynced: Redis ends, nothing is lost (needs Linux and a C compiler)`,
  async () => {
    const next = random()
    using disk = new BadDisk()
    await using redis = await startLocalRedis({ env: disk.env })
    await using node = await startNodeProcess({ REDIS_URL: redis.url })
    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
    using crowd = witness.crowd({ url: node.url, roundId: round.id, people: PEOPLE, ...FEW }, round, PEOPLE)
    const ready = async () => (await new Api(node.url).get<Fields>('/readyz')).status
    const breakAndMend = async (breaks: Break) => {
      await crowd.told(crowd.granted + 500 + below(next, BETWEEN))
      node.forgetWords()
      // A batch of this crowd is some kilobytes, so the room ends within the first write or one of the next.
      breaks(disk, 1 + below(next, 4000))
      expect(await redis.ended()).toBe(FAILED)
      await node.says(/redis down/)
      expect(await ready()).toBe(503)
      await redis.restart()
      expect(await redis.ended()).toBe(FAILED)
      disk.mend()
      await redis.restart()
      await crowd.told(crowd.granted + 500)
    }
    const through = async () => {
      for (let round = 0; round < ROUNDS; round++)
        for (const breaks of [full, nearlyFull, torn, unsyncable]) await breakAndMend(breaks)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), witness.fault(through)])
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    expect(disk.refused).toBeGreaterThan(0)
    expect(disk.shortened).toBeGreaterThanOrEqual(2 * ROUNDS)
    tell({ full: 4 * ROUNDS, shortWrites: disk.shortened, acknowledged: crowd.acknowledged, lost: 0 })
  },
  PATIENCE_MS,
)

test.skipIf(noBadDisk)(
  'everysec, full: Redis stays and refuses, grants stop with words, and go on with room (needs Linux and a C compiler)',
  async () => {
    using disk = new BadDisk()
    await using redis = await startLocalRedis({ appendfsync: 'everysec', env: disk.env })
    await using node = await startNodeProcess({ REDIS_URL: redis.url, FAIRGRAB_DURABILITY: 'everysec' })
    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'everysec', worst: 'nothing' })
    using crowd = witness.crowd({ url: node.url, roundId: round.id, people: PEOPLE, ...FEW }, round, PEOPLE)
    const through = async () => {
      for (let round = 0; round < ROUNDS; round++) {
        await crowd.told(crowd.granted + 500)
        node.forgetWords()
        disk.room = 1000
        await node.says(/granting is stopped: the last write to the append only file failed/)
        expect(node.words).toContain('free or repair the disk that holds the append only file')
        await crowd.answered('fenced', crowd.count('fenced') + 1)
        disk.room = undefined
        await crowd.told(crowd.granted + 500)
      }
      crowd.quit()
    }
    await Promise.all([crowd.ask(), witness.fault(through)])
    await crowd.askAgain()
    expect(crowd.count('unavailable')).toBeGreaterThan(0)
    // What was in Redis's memory while there was no room went down, too.
    await redis.restart()
    expect((await crowd.audit()).faults).toEqual([])
    expect(await witness.verdict()).toEqual([])
    tell({ everysecFull: ROUNDS, everysecAcknowledged: crowd.acknowledged })
  },
  PATIENCE_MS,
)
