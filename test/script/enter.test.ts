/**
 * scripts/enter.lua over a real Redis, against a model that is a Map and a list.
 *
 * Users are eight bytes here: a bucket and a digest. Buckets are few in the random sequences, so that each is written
 * anew many times, and digests overlap each other's bytes, so that a search that forgot where a slot begins is found. The
 * last test counts that every outcome that the script names was answered at least once in this file.
 */
import { createCipheriv } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeOf } from '../../engine/base/codes.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { ENTRY_CLAIM_BYTES, type EntryDecision } from '../../engine/store/data/entry-store.ts'
import { effort } from '../support/effort.ts'
import { testCluster } from '../support/redis.ts'
import { openScriptRoom } from '../support/script-room.ts'
import { below, random, seed } from '../support/seed.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Claim {
  readonly user: Buffer
  readonly record: Buffer
}

/** A claim of bucket and digest; the tag says who it is of and how often he asked. */
function claimOf(bucket: number, digest: number, nonce = 0): Claim {
  const user = Buffer.alloc(8)
  user.writeUInt16BE(bucket)
  user.writeUIntBE(digest, 2, 6)
  const record = Buffer.alloc(17, 1)
  user.copy(record)
  record.writeUInt32BE(nonce, 8)
  record[16] = digest % 3
  return { user, record }
}

const pack = (claims: readonly Claim[]): Buffer => Buffer.concat(claims.flatMap(({ user, record }) => [user, record]))
const enter = (id: string, claims: readonly Claim[], shed = 0) => room.entries.enter(id, room.epoch, pack(claims), shed)

/** A decision as one answer a claim: the place from 1, or the outcome. */
const answersOf = ({ outcomes, indexes }: EntryDecision): (number | string)[] =>
  Array.from(outcomes, (outcome, i) =>
    (indexes[i] as number) < 0 ? (codeOf(outcome) as string) : (indexes[i] as number) + 1,
  )

test('a batch is one record an entrant, in order, and one line of the log; a repeat keeps its place', async () => {
  const id = await room.newDrawnRound()
  const claims = [claimOf(1, 10), claimOf(2, 10), claimOf(1, 10, 7), claimOf(1, 11)]
  const decision = await enter(id, claims)
  expect(answersOf(decision)).toEqual([1, 2, 1, 3])
  expect(decision).toMatchObject({ window: 0, entries: 0 })
  const [a, b, , c] = claims as [Claim, Claim, Claim, Claim]
  expect(await room.entries.records(id, 0, 3)).toEqual(Buffer.concat([a.record, b.record, c.record]))
  expect(answersOf(await enter(id, [claimOf(1, 11, 9), claimOf(3, 1)]))).toEqual([3, 4])
  expect(await room.entries.batchOf(id, 1)).toEqual({ first: 0, end: 3, at: decision.notice.at, window: 0 })
  expect(await room.entries.batchOf(id, 3)).toMatchObject({ first: 3, end: 4 })
  expect(await room.entries.indexOf(id, c.user)).toBe(2)
  expect(await room.entries.indexOf(id, claimOf(1, 12).user)).toBe(-1)
  expect((await room.notice(id)).version, 'entries publish nothing').toBe(decision.notice.version)
})

test('random batches from several workers agree with a Map and a list', async () => {
  const next = random(11)
  const id = await room.newDrawnRound([10, 5, 5])
  const places = new Map<string, number>()
  const list: Buffer[] = []
  const total = effort(12_000, 60_000)
  let nonce = 0
  while (list.length < total) {
    const batch = Array.from({ length: 1 + below(next, 512) }, () =>
      claimOf(below(next, 6), 0x0a0a0a000000 + below(next, total), nonce++),
    )
    const answers = answersOf(await enter(id, batch))
    for (const [i, { user, record }] of batch.entries()) {
      const known = places.get(user.toString('hex'))
      if (known === undefined) list.push(record)
      places.set(user.toString('hex'), known ?? list.length)
      expect(answers[i]).toBe(known ?? list.length)
    }
  }
  expect(await room.entries.records(id, 0, list.length)).toEqual(Buffer.concat(list))
  const from = list.length - 4000
  expect(await room.entries.records(id, from, from + 3900)).toEqual(Buffer.concat(list.slice(from, from + 3900)))
  for (const [user, place] of [...places].slice(0, 50))
    expect(await room.entries.indexOf(id, Buffer.from(user, 'hex'))).toBe(place - 1)
  expect((await room.draws.state(id))?.entries).toBe(list.length)
})

test('a worker that last heard long ago is told where the list is, and asks again', async () => {
  const id = await room.newDrawnRound()
  const [state, draw, batches] = [keys.roundState(id), keys.roundDraw(id), keys.roundBatches(id)]
  await room.link.request(client => client.hset(draw, 'entries', 3854 * 5))
  await room.link.request(client => client.xadd(batches, `${3854 * 5}-0`, 'at', 1, 'window', 0))
  const claims = Array.from({ length: 3 }, (_, i) => claimOf(i, 5))
  expect(answersOf(await enter(id, claims))).toEqual([1, 2, 3].map(i => 3854 * 5 + i))
  expect(await room.link.request(client => client.hget(state, 'sequence'))).toBe('0')
})

test('a closed, paused, early or late window takes nobody, and tells whoever entered', async () => {
  const id = await room.newDrawnRound([1], 3_600_000)
  await enter(id, [claimOf(1, 1)])
  const ask = async () => answersOf(await enter(id, [claimOf(1, 1), claimOf(1, 2)]))
  await room.rounds.turn(id, room.epoch, 'pause', 'p')
  expect(await ask()).toEqual([1, 'paused'])
  await room.rounds.turn(id, room.epoch, 'resume', 'r')
  const closes = await room.link.request(client => client.hget(keys.roundDraw(id), 'closes'))
  await room.link.request(client => client.hset(keys.roundDraw(id), 'closes', 1))
  expect(await ask()).toEqual([1, 'not_open'])
  await room.link.request(client => client.hset(keys.roundDraw(id), 'closes', closes ?? ''))
  await room.rounds.turn(id, room.epoch, 'close', 'c')
  expect(await ask()).toEqual([1, 'closed'])
  await room.setState(id, 'state', 5)
  expect(await ask()).toEqual([1, 'not_open'])
  await room.setState(id, 'state', 6)
  expect(await ask(), 'drawn with stock left').toEqual([1, 'closed'])
  await room.setState(id, 'g0', 1)
  expect(await ask()).toEqual([1, 'sold_out'])
  expect((await room.draws.state(id))?.entries).toBe(1)
})

test('the most that any worker sheds is every worker’s, for this window', async () => {
  const id = await room.newDrawnRound()
  expect((await enter(id, [claimOf(1, 1)], 9)).shed).toBe(9)
  expect((await enter(id, [claimOf(1, 2)], 4)).shed).toBe(9)
})

test('a round without its state, its draw or its log is fenced, and nothing is made anew', async () => {
  const id = await room.newDrawnRound()
  await enter(id, [claimOf(1, 1)])
  const fenced = expect.objectContaining({ code: 'fenced' })
  await expect(room.entries.enter(id, '00000000000000bb', pack([claimOf(1, 2)]), 0)).rejects.toEqual(fenced)
  await room.link.request(client => client.del(keys.roundBatches(id)))
  await expect(enter(id, [claimOf(1, 2)])).rejects.toEqual(fenced)
  await room.link.request(client => client.del(keys.roundDraw(id)))
  await expect(enter(id, [claimOf(1, 2)])).rejects.toEqual(fenced)
  expect(await room.link.request(client => client.exists(keys.roundDraw(id)))).toBe(0)
})

test('an entrant costs Redis at most 62 bytes in a round of 200,000 and 32 in one of two million', async () => {
  const id = await room.newDrawnRound()
  const read = (client: Redis) => Promise.all([client.info('memory'), client.exists(keys.roundState(id))])
  // Less what is kept for replicas, which is as large as the server's settings let it be.
  const used = async () => {
    const [info] = await room.link.request(read)
    const [all, kept] = ['used_memory', 'mem_total_replication_buffers'].map(name =>
      Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0),
    ) as [number, number]
    return all - kept
  }
  const total = effort(200_000, 2_000_000)
  const chance = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  const before = await used()
  for (let done = 0; done < total; done += 512) {
    const claims = Buffer.alloc(512 * ENTRY_CLAIM_BYTES)
    chance.update(claims).copy(claims)
    for (let at = 0; at < claims.length; at += ENTRY_CLAIM_BYTES) claims[at]! &= 127
    await room.entries.enter(id, room.epoch, claims, 0)
  }
  const each = ((await used()) - before) / total
  expect(each).toBeGreaterThan(27)
  // A server of a cluster also lists the keys of each slot.
  expect(each).toBeLessThanOrEqual(effort(62, 32) + (testCluster() > 0 ? 2 : 0))
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('enter')
  expect(seen).toEqual(named)
})
