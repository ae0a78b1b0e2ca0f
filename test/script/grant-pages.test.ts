/**
 * Pages of a round's log, over a real Redis: a read that is under way does not answer for what was granted after it, at
 * whatever moment the question comes; what is known is not read again; and an epoch's pages are its own.
 *
 * The store is the real one; the test only holds back what it has read, which is what distance does.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { GrantPages } from '../../engine/campaign/voucher/grant-pages.ts'
import type { LogBatch } from '../../engine/store/data/claim-store.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { ScriptRoom } from '../support/script-room.ts'

let redis: RedisProcess
let room: ScriptRoom
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  room = new ScriptRoom(redis.url, 0)
})
afterAll(async () => {
  await room.link.close()
  await redis.stop()
})

/** Reads that have been made and are held back, oldest first; each says where it began. */
let held: { readonly from: number; readonly release: () => void }[] = []
let holds = true
let pages: GrantPages
let read = Promise.withResolvers<void>()

beforeEach(() => {
  held = []
  holds = true
  read = Promise.withResolvers()
  pages = new GrantPages({
    async *batches(roundId, from) {
      const batches: LogBatch[] = []
      for await (const batch of room.claims.batches(roundId, from)) batches.push(batch)
      const released = Promise.withResolvers<void>()
      held.push({ from, release: released.resolve })
      if (!holds) released.resolve()
      read.resolve()
      await released.promise
      yield* batches
    },
  })
})

const holderOf = async (id: string, sequence: number) => (await pages.of(id, room.epoch, sequence))?.holder

test('what was granted while a page is read is found by the next read, which all who asked meanwhile share', async () => {
  const id = await room.newRound({ totals: [1000] })
  await room.claim(id, ['u1'])
  const early = holderOf(id, 1)
  await read.promise
  const users = Array.from({ length: 50 }, (_, i) => `u${i + 2}`)
  await room.claim(id, users)
  const told = users.map((_, i) => holderOf(id, i + 2))
  holds = false
  held[0]?.release()
  expect(await early).toBe('u1')
  expect(await Promise.all(told)).toEqual(users)
  expect(held.map(({ from }) => from)).toEqual([1, 2])
})

test('an earlier read suffices for what it shows, and what nobody holds costs a read each time', async () => {
  const id = await room.newRound({ totals: [1000] })
  await room.claim(id, ['u1', 'u2'])
  const asked = [holderOf(id, 1), holderOf(id, 2)]
  await read.promise
  held[0]?.release()
  expect(await Promise.all(asked)).toEqual(['u1', 'u2'])
  holds = false
  expect([await holderOf(id, 3), await holderOf(id, 3)]).toEqual([undefined, undefined])
  expect(held.map(({ from }) => from)).toEqual([1, 3, 3])
  expect(pages.of(id, room.epoch, 2)).toMatchObject({ holder: 'u2' })
})

test('pages end where they end, and another epoch reads its own', async () => {
  holds = false
  const id = await room.newRound({ totals: [2000] })
  const users = Array.from({ length: 1100 }, (_, i) => `u${i + 1}`)
  for (let at = 0; at < users.length; at += 300) await room.claim(id, users.slice(at, at + 300))
  for (const sequence of [1, 512, 513, 600, 1024, 1025, 1100]) expect(await holderOf(id, sequence)).toBe(`u${sequence}`)
  expect(held.map(({ from }) => from)).toEqual([1, 513, 1025])
  expect(await holderOf(id, 1101)).toBeUndefined()
  const other = '00000000000000bb'
  expect(pages.of(id, other, 1)).toBeInstanceOf(Promise)
  expect(await pages.of(id, other, 1)).toMatchObject({ holder: 'u1' })
})
