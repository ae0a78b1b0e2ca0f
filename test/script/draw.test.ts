/**
 * The scripts of a draw over a real Redis: each phase ends once, whoever asks and however often.
 *
 * Two stores are two workers here, since an owner is a store's. Each test makes its own round; what a script leaves is read
 * behind the store's back. The last test counts that every outcome that the scripts name was answered in this file.
 */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { DrawStore } from '../../engine/store/data/draw-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
let other: DrawStore
beforeAll(async () => {
  room = await openScriptRoom()
  other = new DrawStore(room.link, room.scripts, realRandom)
})
afterAll(() => room[Symbol.asyncDispose]())

const fenced = expect.objectContaining({ code: 'fenced' })
const TAGS = ['a', 'b', 'c', 'd'].map(letter => `tag:${letter.repeat(32)}`)

/** Enters so many people, each a bucket of his own. */
async function enter(id: string, people: number, from = 0): Promise<void> {
  const claims = Buffer.alloc(people * 25)
  for (let i = 0; i < people; i++) claims.writeUInt16BE(from + i, i * 25)
  for (let i = 0; i < people; i++) claims[i * 25 + 7] = 1
  await room.entries.enter(id, room.epoch, claims, 0)
}

/** The window's time is over. */
const endWindow = (id: string) => room.link.request(client => client.hset(keys.roundDraw(id), 'closes', 1))
const take = (store: DrawStore, id: string, drawsAt = 0) => store.take(id, room.epoch, drawsAt)
const write = (store: DrawStore, id: string, from: string, to: string, bytes: string) =>
  store.write(id, { window: 0, from, to, files: { [to]: Buffer.from(bytes) } } as Parameters<DrawStore['write']>[1])

/** A round whose first window has `people` and was taken up to the granting. */
async function drawnRound(totals: readonly number[], people: number): Promise<string> {
  const id = await room.newDrawnRound(totals)
  await enter(id, people)
  await endWindow(id)
  await take(room.draws, id)
  for (const [from, to] of [
    ['closed', 'committed'],
    ['committed', 'beacon'],
    ['beacon', 'drawn'],
  ] as const)
    expect(await write(room.draws, id, from, to, to)).toBe('granted')
  return id
}

test('the hold of a worker that died ends although the clock was set back: nobody can hold a draw for longer than the lease', async () => {
  const id = await room.newDrawnRound([2])
  await enter(id, 1)
  await endWindow(id)
  expect((await take(room.draws, id)).draw).toMatchObject({ phase: 'closed' })
  expect((await take(other, id)).code).toBe('wrong_state')
  const ahead = (await room.now()) + 3_600_000
  await room.setState(id, 'last', ahead)
  await room.link.request(client => client.hset(keys.roundDraw(id), 'until', ahead + 5000))
  expect((await take(other, id)).draw, 'it was taken by a clock that was an hour ahead').toMatchObject({
    phase: 'closed',
  })
  expect((await take(room.draws, id)).code, 'the new hold is by the clock as it is').toBe('wrong_state')
})

test('rules are published once; only an empty window whose time is over gets new ones', async () => {
  const id = await room.newRound({ totals: [5] })
  const open = async (window: number, rules: string, closes: number, isNew: boolean, latest = 4e12) =>
    (await room.draws.open(id, { window, rules: Buffer.from(rules), closes, latest, isNew })).code
  await expect(open(0, 'x', 1, false)).rejects.toEqual(fenced)
  expect(await open(0, '', 0, true)).toBe('granted')
  expect(await room.draws.state(id)).toMatchObject({ phase: 'new', entries: 0 })
  expect(await open(0, 'late', 1, false, (await room.now()) - 1), 'the window would open late').toBe('not_open')
  expect(await room.draws.state(id)).toMatchObject({ phase: 'new' })
  expect(await open(0, 'first', 1, false)).toBe('granted')
  expect(await open(0, 'second', 4e12, false), 'nobody entered and it is over').toBe('granted')
  expect(await open(0, 'third', 4e12, false), 'its time is not over').toBe('replayed')
  await enter(id, 1)
  await endWindow(id)
  expect(await open(0, 'fourth', 4e12, false), 'somebody entered').toBe('replayed')
  expect(String(await room.draws.file(id, 0, 'rules.json'))).toBe('second')
})

test('a window is closed when its time is over, by one worker; the lease of a dead one ends', async () => {
  const id = await room.newDrawnRound([5])
  expect((await take(room.draws, id)).code).toBe('not_open')
  await enter(id, 3)
  expect((await take(room.draws, id)).code, 'its time is not over').toBe('not_open')
  await endWindow(id)
  expect((await take(room.draws, id, 4e12)).code, 'a lottery’s hour').toBe('not_open')
  await room.rounds.turn(id, room.epoch, 'pause', 'p')
  expect((await take(room.draws, id)).code, 'paused').toBe('not_open')
  await room.rounds.turn(id, room.epoch, 'resume', 'r')
  const taken = await take(room.draws, id)
  expect(taken).toMatchObject({ code: 'granted', notice: { state: 'drawing' } })
  expect(taken.draw).toMatchObject({ window: 0, phase: 'closed', first: 0, entries: 3, base: 0 })
  expect((await take(other, id)).code).toBe('wrong_state')
  expect((await take(room.draws, id)).code).toBe('granted')
  await room.link.request(client => client.hset(keys.roundDraw(id), 'until', 1))
  expect((await take(other, id)).draw).toMatchObject({ phase: 'closed', first: 0, entries: 3 })
  expect(await write(room.draws, id, 'closed', 'committed', 'mine'), 'it lost the draw').toBe('wrong_state')
  expect(await write(other, id, 'closed', 'committed', 'theirs')).toBe('granted')
  expect(await write(room.draws, id, 'committed', 'beacon', 'slow'), 'what follows is the same from both').toBe(
    'granted',
  )
  await expect(room.draws.take(id, '00000000000000bb', 0)).rejects.toEqual(fenced)
})

test('the log tells a window’s changes in order: what was done before its draw, and when it was opened', async () => {
  const before = await room.now()
  const id = await room.newDrawnRound([5])
  const opened = await room.now()
  await enter(id, 2)
  await room.rounds.turn(id, room.epoch, 'pause', 'p')
  await room.rounds.turn(id, room.epoch, 'resume', 'r')
  await room.rounds.turn(id, room.epoch, 'close', 'c')
  await take(room.draws, id)
  await take(room.draws, id)
  const changes = await room.draws.changes(id, 0)
  expect(changes.map(({ kind }) => kind)).toEqual(['create', 'open', 'pause', 'resume', 'close', 'draw 0'])
  const times = changes.map(({ at }) => at)
  expect(times).toEqual([...times].sort())
  expect(times[0]).toBeGreaterThanOrEqual(before)
  const { amount = 0 } = changes.at(-1) ?? {}
  expect(amount, 'when the window was opened').toBeGreaterThanOrEqual(before)
  expect(amount).toBeLessThanOrEqual(opened)
  expect(await room.draws.changes(id, 1), 'nothing was granted').toEqual([])
})

test('a phase ends once: the first bytes stand', async () => {
  const id = await room.newDrawnRound([5])
  await enter(id, 3)
  await endWindow(id)
  await take(room.draws, id)
  expect(await write(room.draws, id, 'closed', 'committed', 'one')).toBe('granted')
  expect(await write(room.draws, id, 'closed', 'committed', 'two')).toBe('replayed')
  expect(
    await room.draws.write(id, { window: 0, from: 'committed', to: 'beacon', files: { b: Buffer.from('x') } }),
  ).toBe('granted')
  expect(String((await room.draws.files(id, 0)).committed)).toBe('one')
  await expect(write(room.draws, 'rnd_none', 'closed', 'committed', 'x')).rejects.toEqual(fenced)
})

test('winners are granted once, in order, within the pools', async () => {
  const id = await drawnRound([2, 1], 4)
  const grant = (first: number, holders: readonly string[], pools: readonly number[]) =>
    room.draws.grant(id, room.epoch, { first, holders, pools: Buffer.from(pools) })
  await expect(grant(2, ['x'], [0]), 'a gap').rejects.toEqual(fenced)
  await grant(1, TAGS.slice(0, 2), [0, 1])
  await grant(1, TAGS.slice(0, 2), [0, 1])
  await expect(grant(3, TAGS.slice(2), [0, 0]), 'more than the pool has').rejects.toEqual(fenced)
  await grant(3, TAGS.slice(2, 3), [0])
  expect(await room.notice(id)).toMatchObject({ sequence: 3, pools: [{ granted: 2 }, { granted: 1 }] })
  expect(await room.holders(id)).toEqual({
    [TAGS[0] as string]: { sequence: 1, pool: 0, bytes: 5 },
    [TAGS[1] as string]: { sequence: 2, pool: 1, bytes: 5 },
    [TAGS[2] as string]: { sequence: 3, pool: 0, bytes: 5 },
  })
  const holders: string[] = []
  for await (const batch of room.claims.batches(id, 1)) holders.push(...batch.holders)
  expect(holders).toEqual(TAGS.slice(0, 3))
  await expect(
    room.draws.grant('rnd_none', room.epoch, { first: 1, holders: ['x'], pools: Buffer.of(0) }),
  ).rejects.toEqual(fenced)
})

test('what is left goes to the next window, once; the end of the stock or of the round ends the draws', async () => {
  const id = await drawnRound([2], 1)
  await room.draws.grant(id, room.epoch, { first: 1, holders: [TAGS[0] as string], pools: Buffer.of(0) })
  const next = { rules: Buffer.from('next'), closes: (await room.now()) + 3_600_000, latest: 4e12 }
  const late = { ...next, latest: (await room.now()) - 1 }
  expect(await room.draws.finish(id, room.epoch, 0, late), 'it would open late').toMatchObject({ state: 'drawing' })
  expect(await room.draws.state(id)).toMatchObject({ window: 0, phase: 'drawn' })
  expect(await room.draws.finish(id, room.epoch, 0, next)).toMatchObject({ state: 'open' })
  expect(await room.draws.finish(id, room.epoch, 0, undefined), 'again').toMatchObject({ state: 'open' })
  expect(await room.draws.state(id)).toMatchObject({ window: 1, phase: 'open', first: 1, entries: 1 })
  expect(String(await room.draws.file(id, 1, 'rules.json'))).toBe('next')
  await enter(id, 2, 100)
  await room.rounds.turn(id, room.epoch, 'close', 'c')
  const taken = await take(room.draws, id)
  expect(taken.draw).toMatchObject({ window: 1, first: 1, entries: 3, base: 1 })
  expect(await room.draws.firstOf(id, 1)).toBe(1)
  await room.link.request(client => client.hset(keys.roundDraw(id), 'phase', 'drawn'))
  expect(await room.draws.finish(id, room.epoch, 1, next), 'the round was closed').toMatchObject({ state: 'drawn' })
  expect((await take(room.draws, id)).code).toBe('replayed')
  await expect(room.draws.finish(id, '00000000000000bb', 1, next)).rejects.toEqual(fenced)
})

test('a lapsed seat goes to one person, with a pack and a line of its own', async () => {
  const id = await drawnRound([1], 2)
  await room.draws.grant(id, room.epoch, { first: 1, holders: [TAGS[0] as string], pools: Buffer.of(0) })
  const lapse = (before: number, line: string, epoch = room.epoch) =>
    room.draws.lapse(id, epoch, { before, line, holder: TAGS[1] as string, pool: 0 })
  expect((await lapse(0, 'early\n')).code, 'the draw is not over').toBe('wrong_state')
  await room.draws.finish(id, room.epoch, 0, undefined)
  expect(await lapse(0, 'one\n')).toMatchObject({
    code: 'granted',
    notice: { sequence: 2, pools: [{ total: 2, granted: 2 }] },
  })
  expect((await lapse(0, 'one\n')).code, 'somebody was promoted meanwhile').toBe('wrong_state')
  expect(String(await room.draws.file(id, 0, 'promotions.log'))).toBe('one\n')
  expect((await room.holders(id))[TAGS[1] as string]).toEqual({ sequence: 2, pool: 0, bytes: 5 })
  await expect(lapse(4, 'x\n', '00000000000000bb')).rejects.toEqual(fenced)
})

test('a round that closes without entries is not drawn', async () => {
  const id = await room.newDrawnRound([2])
  await room.rounds.turn(id, room.epoch, 'close', 'c')
  expect((await take(room.draws, id)).code).toBe('replayed')
  expect(await room.draws.state(id)).toMatchObject({ phase: 'done' })
  expect(await room.notice(id)).toMatchObject({ state: 'closed' })
})

test.each(['draw-open', 'draw-take', 'draw-write', 'draw-grant', 'draw-finish', 'draw-lapse'] as const)(
  'every outcome of %s was answered',
  name => {
    const { named, seen } = room.outcomes(name)
    expect(seen).toEqual(named)
  },
)
