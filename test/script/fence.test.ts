/**
 * The scripts of the level fenced, over a real Redis that becomes another server: made a replica and a primary again, it
 * keeps its data and takes a new name for its history, as a promoted replica does. What a lagging copy would miss is
 * taken away behind the scripts' back, in the same keys that replication would not have brought.
 *
 * The last test counts that every outcome that the scripts name was answered at least once in this file.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { remainingOf } from '../../engine/store/data/notice.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { answersOf, packUsers, ScriptRoom } from '../support/script-room.ts'

let redis: RedisProcess
let room: ScriptRoom
let admin: Redis
beforeAll(async () => {
  redis = await startLocalRedis()
  room = new ScriptRoom(redis.url, 60)
  admin = new Redis({ path: redis.socketPath as string })
})
afterAll(async () => {
  admin.disconnect()
  await room.link.close()
  await redis.stop()
})

const NEXT = '00000000000000bb'
const CHUNK = 100
const at = (roundId: string, engine = 'e1', epoch = room.epoch) => ({ roundId, engine, epoch })

async function newServer(): Promise<void> {
  await admin.replicaof('127.0.0.1', '1')
  await admin.replicaof('NO', 'ONE')
}

async function join(id: string, engine = 'e1', chunk = CHUNK, epoch = room.epoch): Promise<number> {
  return room.fence.lift(at(id, engine, epoch), await room.fence.note(at(id, engine, epoch), chunk))
}

async function fencedRound(totals: readonly number[] = [1000]): Promise<string> {
  return room.newRound({ totals, fenced: true })
}

async function claim(id: string, holders: readonly string[], engine = 'e1', epoch = room.epoch, pool = 0) {
  const decision = await room.claims.decide(id, epoch, packUsers(holders), Buffer.from([pool]), engine)
  return decision.notice && answersOf(decision)
}

const grant = (sequence: number, holder: string, pool = 0, moment = 1_700_000_000_000) => ({
  ...{ sequence, holder, pool },
  at: moment,
})
const fencedFault = { code: 'fenced' }
const bind = (id: string, patienceMs = 0, epoch = room.epoch, next = NEXT) =>
  room.fence.bind(at(id, 'e1', epoch), next, patienceMs)

/** The last `count` grants of a round never reached this copy. */
async function forget(id: string, holders: readonly string[], last: number): Promise<void> {
  await admin.hdel(keys.roundHolders(id), ...holders)
  const log = keys.roundLog(id)
  const entries = await admin.xrangeBuffer(log, '-', `${last}-999999`)
  await admin.del(log)
  for (const [entry, fields] of entries) await admin.xadd(log, entry as Buffer, ...(fields as Buffer[]))
  await admin.hset(keys.roundState(id), 'sequence', last, 'g0', last)
}

async function order(id: string): Promise<string[]> {
  const rows: string[] = []
  for await (const batch of room.claims.batches(id, 1))
    for (const [i, holder] of batch.holders.entries()) rows.push(`${batch.firstSequence + i} ${holder}`)
  return rows
}

test('an engine claims from a fenced round only after it joined, and no engine of another level does', async () => {
  const id = await fencedRound()
  const refused = (engine: string) => expect(claim(id, ['a'], engine)).rejects.toMatchObject(fencedFault)
  await refused('e1')
  await refused('')
  const noted = await room.fence.note(at(id), CHUNK)
  await refused('e1')
  expect([noted, await room.fence.lift(at(id), noted)]).toEqual([CHUNK, CHUNK])
  await refused('')
  await refused('e2')
  expect(await claim(id, ['a'])).toEqual([{ outcome: 'granted', sequence: 1, pool: 0 }])
  const plain = await room.newRound()
  await expect(claim(plain, ['a'], 'e1')).rejects.toMatchObject(fencedFault)
})

test('grants end at the reserve, whole, and go on when it is raised; it is never lowered and never above the stock', async () => {
  const id = await fencedRound([10])
  await join(id, 'e1', 3)
  expect(await claim(id, ['a', 'b'])).toHaveLength(2)
  const [state, log] = [await room.state(id), await room.log(id)]
  expect(await claim(id, ['c', 'd'])).toBeUndefined()
  expect([await room.state(id), await room.log(id)]).toEqual([state, log])
  expect(await claim(id, ['a', 'c'])).toHaveLength(2)
  expect(await join(id, 'e1', 4)).toBe(7)
  expect(await join(id, 'e2', 1)).toBe(7)
  expect(await join(id, 'e1', 100)).toBe(10)
  const rest = ['d', 'e', 'f', 'g', 'h', 'i', 'j', 'k']
  expect((await claim(id, rest))?.map(answer => answer.outcome)).toEqual([
    ...Array.from({ length: 7 }, () => 'granted'),
    'sold_out',
  ])
})

test('a reserve that no replica was asked for is not lifted, nor for an engine that never asked', async () => {
  const id = await fencedRound()
  const noted = await room.fence.note(at(id), CHUNK)
  await expect(room.fence.lift(at(id), noted + 1)).rejects.toMatchObject(fencedFault)
  await expect(room.fence.lift(at(id, 'e2'), noted)).rejects.toMatchObject(fencedFault)
  await expect(room.fence.note(at(id, 'e1', NEXT), 1)).rejects.toMatchObject(fencedFault)
  expect((await room.state(id)).reserve).toBe('0')
})

test('on another server nothing is granted, turned, restocked or raised until the round is bound to it', async () => {
  const [id, plain] = [await fencedRound(), await room.newRound()]
  await join(id)
  expect((await room.rounds.read(id))?.binding).toBe('here')
  await newServer()
  expect((await room.rounds.read(id))?.binding).toBe('elsewhere')
  await expect(room.fence.assertBound(id)).rejects.toMatchObject(fencedFault)
  expect((await room.rounds.read(plain))?.binding).toBe('')
  const state = await room.state(id)
  await expect(claim(id, ['a'])).rejects.toMatchObject(fencedFault)
  await expect(room.fence.note(at(id), CHUNK)).rejects.toMatchObject(fencedFault)
  await expect(room.fence.lift(at(id), CHUNK)).rejects.toMatchObject(fencedFault)
  const restock = { pool: 0, add: 1, most: 9999, request: 'r2' }
  for (const [change, dry] of [
    [room.rounds.turn(id, room.epoch, 'pause', 'r1'), room.rounds.dryTurn(id, room.epoch, 'pause')],
    [room.rounds.restock(id, room.epoch, restock), room.rounds.dryRestock(id, room.epoch, restock)],
    [
      room.fence.release(id, room.epoch, { most: 9999, request: 'r3' }),
      room.fence.dryRelease(id, room.epoch, { most: 9999 }),
    ],
  ] as const) {
    const told = await change.catch(cause => cause)
    expect(told).toMatchObject(fencedFault)
    await expect(dry).rejects.toEqual(told)
  }
  expect(await room.state(id)).toEqual(state)
  expect((await room.claim(plain, ['a']))[0]).toMatchObject({ outcome: 'granted' })
})

test('all engines told: what was lost is given back, the next grant stands behind it, the old epoch is over', async () => {
  const id = await fencedRound()
  await join(id)
  for (const holder of ['a', 'b', 'c', 'd']) await claim(id, [holder])
  await forget(id, ['c', 'd'], 2)
  await newServer()
  const before = await room.notice(id)
  const told = await room.fence.restore(at(id), [grant(3, 'c'), grant(4, 'd')], [room.epoch])
  expect(told).toMatchObject({ restored: 2, conflicts: 0 })
  expect(await room.fence.restore(at(id), [grant(4, 'd')], [room.epoch])).toMatchObject({ restored: 0, conflicts: 0 })
  const bound = await bind(id, 60_000)
  expect(bound).toMatchObject({ code: 'granted', missing: 0, notice: { epoch: NEXT, sequence: 4 } })
  expect(bound.notice.version).toBeGreaterThan(before.version)
  expect(await bind(id)).toMatchObject({ code: 'replayed', notice: { epoch: NEXT } })
  await expect(claim(id, ['e'])).rejects.toMatchObject(fencedFault)
  await expect(claim(id, ['e'], 'e1', NEXT)).rejects.toMatchObject(fencedFault)
  await join(id, 'e1', CHUNK, NEXT)
  expect((await claim(id, ['e'], 'e1', NEXT))?.[0]).toMatchObject({ outcome: 'fenced' })
  await room.rounds.endHold(id, NEXT, (await room.notice(id)).hold ?? '')
  expect(await claim(id, ['c', 'e'], 'e1', NEXT)).toMatchObject([
    { outcome: 'replayed', sequence: 3 },
    { outcome: 'granted', sequence: 5 },
  ])
  expect(await order(id)).toEqual(['1 a', '2 b', '3 c', '4 d', '5 e'])
  expect((await room.claims.batchOf(id, 3))?.at).toBe(1_700_000_000_000)
  expect((await room.notice(id)).aside).toBeUndefined()
})

test('a grant that is given back opens a round whose opening was lost, and nobody hears not_open behind it', async () => {
  const id = await room.newRound({ totals: [1000], fenced: true, open: false })
  await join(id)
  await room.rounds.turn(id, room.epoch, 'open', 'opens')
  for (const holder of ['a', 'b']) await claim(id, [holder])
  await forget(id, ['a', 'b'], 0)
  await admin.hset(keys.roundState(id), 'state', 1, 'opens', 0)
  await admin.hdel(keys.roundState(id), 'request opens')
  await newServer()
  expect((await room.notice(id)).state).toBe('scheduled')
  await room.fence.restore(at(id), [grant(2, 'b', 0, 1_700_000_002_000)], [])
  expect(await room.notice(id)).toMatchObject({
    state: 'open',
    opensAt: 1_700_000_002_000,
    hold: expect.stringMatching(/^opened_/),
  })
  await room.fence.restore(at(id), [grant(1, 'a', 0, 1_700_000_001_000)], [room.epoch])
  const bound = await bind(id)
  expect(bound).toMatchObject({ code: 'granted', missing: 0, notice: { state: 'open', sequence: 2 } })
  await join(id, 'e1', CHUNK, NEXT)
  expect((await claim(id, ['c'], 'e1', NEXT))?.[0]).toMatchObject({ outcome: 'fenced' })
  await room.rounds.endHold(id, NEXT, (await room.notice(id)).hold ?? '')
  expect((await claim(id, ['c'], 'e1', NEXT))?.[0]).toMatchObject({ outcome: 'granted', sequence: 3 })
})

test('an engine is silent: after the patience all that may be granted is quarantined, and comes late', async () => {
  const id = await fencedRound([60, 60])
  await join(id)
  await join(id, 'e2', 50)
  for (const holder of ['a', 'b', 'c', 'd']) await claim(id, [holder])
  await forget(id, ['b', 'c', 'd'], 1)
  await newServer()
  await room.fence.restore(at(id), [grant(2, 'b')], [room.epoch])
  expect((await bind(id, 60_000)).code).toBe('unavailable')
  // The server's clock is set back meanwhile: the patience begins anew, and ends.
  const [server, since] = ((await room.state(id)).waits ?? '').split(' ')
  await room.setState(id, 'waits', `${server} ${Number(since) + 3_600_000}`)
  let bound = await bind(id, 20)
  for (let turn = 0; bound.code === 'unavailable' && turn < 5000; turn++) bound = await bind(id, 20)
  const { code, missing, notice } = bound
  expect([code, missing, notice.sequence]).toEqual(['granted', 98, 100])
  expect(notice.aside).toEqual([{ from: 2, to: 100, released: false }])
  expect(notice.pools).toEqual([
    { total: 60, granted: 2, quarantined: 58 },
    { total: 60, granted: 0, quarantined: 40 },
  ])
  expect(remainingOf(notice)).toBe(20)
  await join(id, 'e1', CHUNK, NEXT)
  await room.rounds.endHold(id, NEXT, (await room.notice(id)).hold ?? '')
  expect((await claim(id, ['x', 'y'], 'e1', NEXT, 1))?.map(({ sequence }) => sequence)).toEqual([101, 102])
  const late = [grant(3, 'c', 1), grant(4, 'd'), grant(3, 'other'), grant(101, 'z'), grant(2, 'b'), grant(5, 'a')]
  expect(await room.fence.restore(at(id, 'e1', NEXT), late, [])).toMatchObject({ restored: 2, conflicts: 3 })
  expect(await room.fence.restore(at(id, 'e1', NEXT), late, [])).toMatchObject({ restored: 0, conflicts: 0 })
  const conflicts = Object.keys(await room.state(id)).filter(field => field.startsWith('conflict'))
  expect(conflicts.sort()).toEqual(['conflict 101 z', 'conflict 3 other', 'conflict 5 a'])
  expect(await order(id)).toEqual(['1 a', '2 b', '3 c', '4 d', '101 x', '102 y'])
  const sums = (await room.notice(id)).pools.map(({ total, granted, quarantined = 0 }) => [total, granted, quarantined])
  expect(sums).toEqual([
    [60, 3, 57],
    [60, 3, 39],
  ])
  expect(await claim(id, ['d', 'c'], 'e1', NEXT)).toMatchObject([
    { outcome: 'replayed', sequence: 4 },
    { outcome: 'replayed', sequence: 3, pool: 1 },
  ])
})

test('what was noted and not yet lifted may have been granted, too: the next epoch begins behind it', async () => {
  const id = await fencedRound()
  await join(id, 'e1', 10)
  await room.fence.note(at(id, 'e1'), 30)
  await newServer()
  expect((await bind(id)).notice).toMatchObject({ sequence: 30, pools: [{ total: 1000, granted: 0, quarantined: 30 }] })
})

test('the silent engine tells all at last: what nobody knows of is given back to the stock', async () => {
  const id = await fencedRound([50])
  await join(id, 'e2', 50)
  await newServer()
  expect((await bind(id)).missing).toBe(50)
  expect((await room.notice(id)).pools).toEqual([{ total: 50, granted: 0, quarantined: 50 }])
  await room.fence.restore(at(id, 'e1', NEXT), [], [room.epoch])
  await room.fence.restore(at(id, 'e2', NEXT), [], [NEXT])
  expect(remainingOf(await room.notice(id))).toBe(0)
  await room.fence.restore(at(id, 'e2', NEXT), [grant(7, 'g')], [room.epoch])
  const { pools, aside } = await room.notice(id)
  expect([pools, aside]).toEqual([[{ total: 50, granted: 1 }], [{ from: 1, to: 50, released: true }]])
  const released = (await room.log(id)).filter(({ fields }) => fields.kind === 'release')
  expect(released.map(({ fields }) => `${fields.request} ${fields.amount}`)).toEqual(['all told 49'])
  await join(id, 'e1', 100, NEXT)
  await room.rounds.endHold(id, NEXT, (await room.notice(id)).hold ?? '')
  expect((await claim(id, ['x'], 'e1', NEXT))?.[0]).toMatchObject({ outcome: 'granted', sequence: 51 })
  expect((await room.state(id)).reserve).toBe('99')
})

test('a place that was restored moves to its pool; where nothing is left it is a conflict', async () => {
  const id = await fencedRound([2, 1])
  await join(id)
  await newServer()
  const back = [grant(1, 'a', 1), grant(2, 'b', 1), grant(3, 'c', 1), grant(4, 'd', 1), grant(5, 'e', 7)]
  expect(await room.fence.restore(at(id), back, [room.epoch])).toMatchObject({ restored: 3, conflicts: 2 })
  expect((await bind(id)).notice).toMatchObject({
    sequence: 3,
    pools: [
      { total: 0, granted: 0 },
      { total: 3, granted: 3 },
    ],
  })
  const moves = (await room.log(id)).filter(({ fields }) => fields.kind === 'moved')
  expect(moves.map(({ fields }) => `${fields.request} ${fields.amount}`)).toEqual(['0 1 1', '0 1 1'])
})

test('the first moment that is told of a grant is the true one, whoever tells it first', async () => {
  const id = await fencedRound()
  await join(id)
  await newServer()
  for (const moment of [2000, 1000, 3000]) await room.fence.restore(at(id), [grant(1, 'a', 0, moment)], [])
  await room.fence.restore(at(id), [], [room.epoch])
  await bind(id)
  expect((await room.claims.batchOf(id, 1))?.at).toBe(1000)
})

test('an engine that left an epoch does not come back to it; on the same server a new epoch sets nothing aside', async () => {
  const id = await fencedRound()
  await join(id)
  await join(id, 'e2')
  await claim(id, ['a'])
  await admin.hset(keys.roundState(id), 'engines', ' e2:in e1:left ')
  await expect(join(id, 'e1')).rejects.toMatchObject(fencedFault)
  await expect(claim(id, ['b'], 'e1')).rejects.toMatchObject(fencedFault)
  expect(await bind(id, 60_000)).toMatchObject({ code: 'granted', missing: 0, notice: { epoch: NEXT, sequence: 1 } })
})

test('an operator releases what is quarantined, once; what comes after that is a conflict', async () => {
  const id = await fencedRound([50])
  const release = (most: number, request: string) => room.fence.release(id, NEXT, { most, request })
  await join(id, 'e2', 20)
  await newServer()
  await bind(id)
  expect((await release(60, 'r1')).code).toBe('invalid')
  expect((await release(70, 'r1')).code).toBe('granted')
  expect((await release(70, 'r1')).code).toBe('replayed')
  expect((await release(70, 'r2')).code).toBe('wrong_state')
  expect(await room.fence.restore(at(id, 'e2', NEXT), [grant(3, 'late')], [room.epoch])).toMatchObject({ conflicts: 1 })
  expect((await room.state(id))['conflict 3 late']).toBe('not set aside')
  const notice = await room.notice(id)
  expect([remainingOf(notice), notice.sequence]).toEqual([50, 20])
})

test('a missing state or log is fenced for every step', async () => {
  const id = await fencedRound()
  await admin.del(keys.roundLog(id))
  await expect(bind(id)).rejects.toMatchObject(fencedFault)
  await admin.del(keys.roundState(id))
  await expect(room.fence.note(at(id), 1)).rejects.toMatchObject(fencedFault)
  await expect(room.fence.restore(at(id), [], [room.epoch])).rejects.toMatchObject(fencedFault)
  await expect(room.fence.release(id, room.epoch, { most: 1, request: 'r' })).rejects.toMatchObject(fencedFault)
  expect(await room.fence.read(id)).toBeUndefined()
})

test('every outcome that the scripts name was answered', () => {
  for (const name of ['fence-reserve', 'fence-restore', 'fence-bind', 'fence-release'] as const) {
    const { named, seen } = room.outcomes(name)
    expect(named).toContain('fenced')
    expect(seen, name).toEqual(named)
  }
})
