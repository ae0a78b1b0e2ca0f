/**
 * The embedded server's append only file with a torn tail, and with flipped bits.
 *
 * A machine that loses power leaves the last write torn at any byte: the server starts again, and each batch is there
 * as a whole or not at all. A flipped bit is another thing, Redis loads most of them without a word: each must be
 * refused by Redis, be told at the start as a log that ended early, be found by the check of the round's keys, or
 * change nothing about who holds what. Both begin with a log that batches of claims have written, and every damage is
 * done to a copy of it, which the engine's own start of an embedded server then loads. No witness: nothing here has an HTTP door.
 *
 * Rejected: damage to a file that a test wrote by hand; what Redis writes for a script is what has to survive.
 */

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { checkRound } from '../../engine/campaign/operator/round-check.ts'
import { roundHolders, roundLog, roundState } from '../../engine/store/connection/keys.ts'
import { startEmbedded } from '../../engine/store/server/embedded.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { ScriptRoom } from '../support/script-room.ts'
import { below, random } from '../support/seed.ts'

const KEYS_OF = { state: roundState, holders: roundHolders, log: roundLog } as const
const FLIPS = effort(24, 1000)
/** The torn bytes of the last batches: every so many. */
const STRIDE = effort(67, 1)
const BATCHES = [['a', 'b', 'c'], ['d', 'a', 'e'], ['f'], ['a', 'c'], ['g', 'h', 'i', 'j'], ['k', 'l', 'b']] as const

let folder: string
let log: Buffer
let roundId: string
/** The file's length and the last sequence after the round was opened, and after each batch. */
const marks: { bytes: number; sequence: number }[] = []

const fileIn = (dir: string): string => {
  const name = readdirSync(join(dir, 'appendonlydir')).find(each => each.endsWith('.incr.aof'))
  return join(dir, 'appendonlydir', name as string)
}

async function readGrants(room: ScriptRoom) {
  const batches = []
  for await (const { firstSequence, holders, poolOf } of room.claims.batches(roundId, 1))
    batches.push({ firstSequence, holders, pools: holders.map((_, i) => poolOf(i)) })
  const read = await room.rounds.read(roundId)
  return { batches, holders: await room.holders(roundId), granted: read?.notice.pools.map(pool => pool.granted) }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fg-log-'))
  const dir = join(folder, 'sound')
  const redis = await startEmbedded(dir, 'always', realClock)
  const room = new ScriptRoom(redis.url, 0)
  roundId = await room.newRound({ totals: [60, 40] })
  const mark = async () =>
    marks.push({ bytes: statSync(fileIn(dir)).size, sequence: (await room.notice(roundId)).sequence })
  await mark()
  for (const [i, holders] of BATCHES.entries()) {
    await room.claim(roundId, holders, i % 2)
    await mark()
  }
  await room.link.close()
  await redis.stop()
  log = readFileSync(fileIn(dir))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Loads these bytes as the server's log; resolves with `look`, or with why the server refused to start. */
async function load<T>(bytes: Buffer, look: (room: ScriptRoom, cut: string | undefined) => Promise<T>) {
  const dir = join(folder, 'damaged')
  rmSync(dir, { recursive: true, force: true })
  cpSync(join(folder, 'sound'), dir, { recursive: true })
  writeFileSync(fileIn(dir), bytes)
  const redis = await startEmbedded(dir, 'always', realClock).catch((cause: Error) => cause.message)
  if (typeof redis === 'string') return redis
  const room = new ScriptRoom(redis.url, 0)
  try {
    return await look(room, redis.cut)
  } finally {
    await room.link.close()
    await redis.stop()
  }
}

test(
  'a tail that is torn at any byte leaves whole batches, and says so',
  async () => {
    const [from, last] = [marks.at(-3), marks.at(-1)] as { bytes: number; sequence: number }[]
    let torn = 0
    for (let bytes = (from?.bytes ?? 0) + 1; bytes <= log.length; bytes += STRIDE) {
      const whole = marks.findLast(mark => mark.bytes <= bytes)
      const seen = await load(log.subarray(0, bytes), async (room, cut) => {
        const { sequence } = await room.notice(roundId)
        return { sequence, told: cut !== undefined, findings: await checkRound(room, roundId) }
      })
      const told = marks.every(mark => mark.bytes !== bytes)
      expect(seen, `torn after ${bytes} bytes`).toEqual({ sequence: whole?.sequence, told, findings: [] })
      torn++
    }
    expect([torn > 3, last?.bytes]).toEqual([true, log.length])
    tell({ torn, halfBatches: 0 })
  },
  PATIENCE_MS,
)

test.each([
  ['a holder who is gone', 'HDEL', 'holders', ['f'], /who holds nothing/],
  ['a holder of another place', 'HSET', 'holders', ['f', '\0\0\0\u0001\0'], /sequence 1 of pool 0/],
  ['a holder of another pool', 'HSET', 'holders', ['f', '\0\0\0\u0006\u0001'], /sequence 6 of pool 1/],
  ['a holder who is in no log', 'HSET', 'holders', ['z', '\0\0\0\u0007\0'], /holders' table has/],
  ['a batch that is gone from the log', 'XDEL', 'log', ['6-0'], /pool 0 has .* in the log/],
  ['a count of a pool', 'HSET', 'state', ['g1', '0'], /pool 1 has .* the state says 0/],
  ['a count of all', 'HSET', 'state', ['sequence', '99'], /the state says 99/],
  ['a state that is gone', 'DEL', 'state', [], /the state is missing/],
  ['a state that is nonsense', 'HSET', 'state', ['closes', 'x'], /the state cannot be read/],
] as const)('%s: found', async (_, command, key, args, finding) => {
  const found = await load(log, async room => {
    await room.link.request(client => client.call(command, KEYS_OF[key](roundId), ...args))
    return (await checkRound(room, roundId)).join()
  })
  expect(found).toMatch(finding)
})

test(
  `${FLIPS} flipped bits are refused, told, found, or change nothing about who holds what`,
  async () => {
    const next = random(4)
    const sound = await load(log, async room => ({
      grants: await readGrants(room),
      found: await checkRound(room, roundId),
    }))
    if (typeof sound === 'string') throw new Error(sound)
    expect(sound.found).toEqual([])
    const fates = { refused: 0, told: 0, found: 0, harmless: 0 }
    const opened = marks[0]?.bytes ?? 0
    // Two whose fate is certain: the sequence of the holder f, and the first byte of the last command. The others are chance's.
    const certain = [
      [log.indexOf('$1\r\nf\r\n$5\r\n') + '$1\r\nf\r\n$5\r\n'.length, 0],
      [log.lastIndexOf('\r\n*') + 2, 0],
    ] as const
    for (const [place] of certain) expect(place).toBeGreaterThan(opened)
    for (let flip = 0; flip < FLIPS; flip++) {
      const [place, bit] = certain[flip] ?? [opened + below(next, log.length - opened), below(next, 8)]
      const bytes = Buffer.from(log)
      bytes.writeUInt8((log[place] as number) ^ (1 << bit), place)
      const fate = await load(bytes, async (room, cut) => {
        if (cut !== undefined) return 'told'
        if ((await checkRound(room, roundId)).length > 0) return 'found'
        expect(await readGrants(room), `bit ${bit} of byte ${place} is found by nobody`).toEqual(sound.grants)
        return 'harmless'
      })
      fates[fate === 'told' || fate === 'found' || fate === 'harmless' ? fate : 'refused']++
    }
    expect(fates.refused + fates.told + fates.found).toBeGreaterThan(FLIPS / 12)
    expect(Math.min(fates.found, fates.refused)).toBeGreaterThan(0)
    tell({ flips: FLIPS, ...fates })
  },
  PATIENCE_MS,
)
