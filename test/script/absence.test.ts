/**
 * What speaks against an absence at the level fenced, over a real Redis that becomes another server: each state of a round
 * between a promotion and the end of its recovery, for a user and for sequences.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Clock, realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { roundHolders, roundLog } from '../../engine/store/connection/keys.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { AbsenceStore } from '../../engine/store/data/absence-store.ts'
import { patientClock } from '../support/patient-clock.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { packUsers, ScriptRoom } from '../support/script-room.ts'

const NEXT = '00000000000000bb'
const CHUNK = 5

let redis: RedisProcess
let room: ScriptRoom
let admin: Redis
let absences: AbsenceStore
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  room = new ScriptRoom(redis.url, 0)
  admin = new Redis({ path: redis.socketPath as string })
  absences = new AbsenceStore(room.link, room.scripts, { fenced: true, soon: patientClock.soon })
})
afterAll(async () => {
  admin.disconnect()
  await room.link.close()
  await redis.stop()
})

const at = (roundId: string, engine = 'e1', epoch = room.epoch) => ({ roundId, engine, epoch })

/** A link that gives up when an engine's does, for what is about that. */
function hastyLink(url: string, clock: Clock = realClock): Link {
  const link = new Link({ url, scripts: room.scripts, clock, random: realRandom })
  onTestFinished(() => link.close())
  return link
}

/** What is certain of a user, of two sequences that are granted, of the third, which is next, and of one far beyond. */
async function verdicts(id: string): Promise<readonly string[]> {
  const asked = ['nobody', 1, 2, 3, 50].map(missed => absences.confirm(id, missed))
  const fates = await Promise.allSettled(asked)
  return fates.map(fate => (fate.status === 'fulfilled' ? 'absent' : String(fate.reason.code)))
}

/** Two grants by one engine; the reserve goes up to CHUNK. */
async function granted(): Promise<string> {
  const id = await room.newRound({ totals: [1000], fenced: true })
  await room.fence.lift(at(id), await room.fence.note(at(id), CHUNK))
  await room.claims.decide(id, room.epoch, packUsers(['a', 'b']), Buffer.from([0]), 'e1')
  return id
}

async function promote(): Promise<void> {
  await admin.replicaof('127.0.0.1', '1')
  await admin.replicaof('NO', 'ONE')
}

test('from the first grant to the release of what a fail-over set aside', async () => {
  const id = await granted()
  expect(await verdicts(id), 'bound').toEqual(['absent', 'fenced', 'fenced', 'fenced', 'fenced'])
  await promote()
  expect(await verdicts(id), 'promoted').toEqual(['fenced', 'fenced', 'fenced', 'fenced', 'fenced'])
  await room.fence.bind(at(id), NEXT, 0)
  expect((await room.notice(id)).aside).toEqual([{ from: 3, to: 5, released: false }])
  expect(await verdicts(id), 'set aside').toEqual(['fenced', 'fenced', 'fenced', 'fenced', 'fenced'])
  await room.fence.release(id, NEXT, { most: 1e6, request: 'r' })
  expect(await verdicts(id), 'released').toEqual(['absent', 'fenced', 'fenced', 'absent', 'fenced'])
})

test('who was given back is there, and with the last of them nobody is in doubt', async () => {
  const id = await granted()
  await promote()
  await room.fence.bind(at(id), NEXT, 0)
  const given = { sequence: 4, pool: 0, at: 1, holder: 'c' }
  await room.fence.restore(at(id, 'e1', NEXT), [given], [room.epoch])
  await expect(absences.confirm(id, 'c')).rejects.toMatchObject({ code: 'fenced' })
  await expect(absences.confirm(id, 4)).rejects.toMatchObject({ code: 'fenced' })
  await expect(absences.confirm(id, 5)).resolves.toBeUndefined()
  await expect(absences.confirm(id, 'nobody')).resolves.toBeUndefined()
})

test('what a server lacks that was made a replica says nothing, below fenced too', async () => {
  const id = await room.newRound()
  const waits = { fenced: false, soon: patientClock.soon }
  const unfenced = new AbsenceStore(hastyLink(room.url), room.scripts, waits)
  await expect(unfenced.confirm(id, 1)).resolves.toBeUndefined()
  await admin.replicaof('127.0.0.1', '1')
  const asked = Promise.allSettled([unfenced.confirm(id, 1), unfenced.confirm(id, 'a')])
  for (const fate of await asked) expect(fate).toMatchObject({ status: 'rejected', reason: { code: 'fenced' } })
  const [known, number] = [room.rounds.isKnown('rnd_none'), room.rounds.roundIdOf(999)]
  await admin.replicaof('NO', 'ONE')
  // The link reaches a primary again: what is asked of it is certain.
  expect([await known, await number]).toEqual([false, null])
  await expect(unfenced.confirm(id, 1)).resolves.toBeUndefined()
  await room.claims.claim(id, room.epoch, packUsers(['a']), Buffer.from([0]))
  for (const missed of [1, 'a']) await expect(unfenced.confirm(id, missed)).rejects.toMatchObject({ code: 'fenced' })
})

/** Longer than replicas may take to confirm, by a clock that is half as fast. */
const SILENT_MS = 1400

test('a primary that is slow to answer leaves no doubt where nobody else is asked', async () => {
  const link = hastyLink(room.url, { ...realClock, monotonicMs: () => realClock.monotonicMs() / 2 })
  const id = await room.newRound()
  const store = new AbsenceStore(link, room.scripts, { fenced: false, soon: patientClock.soon })
  await store.confirm(id, 'a')
  await admin.client('PAUSE', SILENT_MS)
  await expect(store.confirm(id, 'a')).resolves.toBeUndefined()
})

test('without a state nothing is certain', async () => {
  await expect(absences.confirm('rnd_none', 'a')).rejects.toMatchObject({ code: 'fenced' })
  const id = await room.newRound()
  expect(await verdicts(id), 'a round that is not fenced').toEqual(['absent', 'fenced', 'fenced', 'fenced', 'fenced'])
})

test.each([false, true])('keys that lack what the state counts say nothing, fenced: %s', async fenced => {
  const store = new AbsenceStore(room.link, room.scripts, { fenced, soon: patientClock.soon })
  const id = await granted()
  await expect(store.confirm(id, 'nobody')).resolves.toBeUndefined()
  await admin.hdel(roundHolders(id), 'a')
  await expect(store.confirm(id, 'a')).rejects.toMatchObject({
    code: 'fenced',
    message: expect.stringMatching(/holders are 1.* says 2/),
  })
  await admin.del(roundHolders(id))
  await expect(store.confirm(id, 'nobody')).rejects.toMatchObject({ code: 'fenced' })
  await admin.del(roundLog(id))
  for (const sequence of [1, 2])
    await expect(store.confirm(id, sequence)).rejects.toMatchObject({ message: expect.stringMatching(/lacks/) })
})
