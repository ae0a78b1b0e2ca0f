/**
 * scripts/claim.lua over a real Redis: each answer, and what the raw keys hold after it.
 *
 * A round is made for each test; holders, log, state and notices are read behind the store's back. The last test
 * counts that every outcome that the script names was answered at least once in this file.
 */

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { holdersIn } from '../../engine/base/holder.ts'
import { BATCH_CLAIMS_MAX } from '../../engine/base/limits.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { packVias } from '../../engine/store/data/claim-store.ts'
import type { Notice } from '../../engine/store/data/notice.ts'
import { openScriptRoom, packUsers } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

const names = (count: number, prefix = 'u') => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
const granted = (sequence: number, pool = 0) => ({ outcome: 'granted', sequence, pool })
const replayed = (sequence: number, pool = 0) => ({ outcome: 'replayed', sequence, pool })
const refused = (outcome: string, pool = 0) => ({ outcome, sequence: 0, pool })

test('a batch is numbered, held in 5 bytes a holder, logged once and counted in the state', async () => {
  const id = await room.newRound({ totals: [10] })
  const before = await room.notice(id)
  const decision = await room.claims.claim(id, room.epoch, packUsers(['a', 'b', 'c/2']), Buffer.from([0]))
  expect(decision).toMatchObject({
    first: 1,
    outcomes: new Uint8Array(3).fill(CODES.granted.number),
    sequences: Uint32Array.of(1, 2, 3),
  })
  expect(decision.notice).toMatchObject({
    version: before.version + 1,
    sequence: 3,
    pools: [{ total: 10, granted: 3 }],
  })
  expect(await room.holders(id)).toEqual({
    a: { sequence: 1, pool: 0, bytes: 5 },
    b: { sequence: 2, pool: 0, bytes: 5 },
    'c/2': { sequence: 3, pool: 0, bytes: 5 },
  })
  const entry = (await room.log(id)).at(-1)!
  expect(entry.id).toBe('3-0')
  expect(holdersIn(Buffer.from(entry.fields.users!, 'latin1'))).toEqual(['a', 'b', 'c/2'])
  expect(entry.fields).toMatchObject({ at: String(decision.notice.at), pools: '\0' })
  const state = await room.state(id)
  expect(state).toMatchObject({ sequence: '3', g0: '3', version: String(before.version + 1), last: entry.fields.at })
})

test('a claim that is asked again gets its sequence and pool, and changes nothing', async () => {
  const id = await room.newRound({ totals: [2, 2] })
  expect(await room.claim(id, ['a', 'b'], [0, 1])).toEqual([granted(1), granted(2, 1)])
  const [state, log] = [await room.state(id), await room.log(id)]
  expect(await room.claim(id, ['b', 'a'], 0)).toEqual([replayed(2, 1), replayed(1, 0)])
  expect(await room.state(id)).toEqual(state)
  expect(await room.log(id)).toEqual(log)
  const mixed = await room.claim(id, ['a', 'new', 'b'], 0)
  expect(mixed).toEqual([replayed(1), granted(3), replayed(2, 1)])
})

test('a holder twice in one batch is granted once, and both get that answer', async () => {
  const id = await room.newRound({ totals: [1] })
  expect(await room.claim(id, ['a', 'a', 'b', 'a'])).toEqual([
    granted(1),
    replayed(1),
    refused('sold_out'),
    replayed(1),
  ])
  expect(Object.keys(await room.holders(id))).toEqual(['a'])
})

test('the slots of a user are holders of their own', async () => {
  const id = await room.newRound({ totals: [5] })
  expect(await room.claim(id, ['u', 'u/2', 'u/3', 'u/2'])).toEqual([granted(1), granted(2), granted(3), replayed(2)])
})

test('the stock ends inside a batch: the first get it, in order, the rest are sold out', async () => {
  const id = await room.newRound({ totals: [3] })
  const answers = await room.claim(id, names(6))
  expect(answers).toEqual([granted(1), granted(2), granted(3), ...Array(3).fill(refused('sold_out'))])
  expect(holdersIn(Buffer.from((await room.log(id)).at(-1)!.fields.users!, 'latin1'))).toEqual(['u0', 'u1', 'u2'])
  const before = await room.state(id)
  expect(await room.claim(id, ['u1', 'late'])).toEqual([replayed(2), refused('sold_out')])
  expect(await room.state(id)).toEqual(before)
})

test('pools are counted apart, sequences over all of them', async () => {
  const id = await room.newRound({ totals: [2, 1, 1] })
  const asked = [1, 1, 0, 2, 0, 0, 2]
  expect(await room.claim(id, names(7), asked)).toEqual([
    granted(1, 1),
    refused('sold_out', 1),
    granted(2, 0),
    granted(3, 2),
    granted(4, 0),
    refused('sold_out', 0),
    refused('sold_out', 2),
  ])
  expect(await room.state(id)).toMatchObject({ sequence: '4', t0: '2', g0: '2', t1: '1', g1: '1', t2: '1', g2: '1' })
  const entry = (await room.log(id)).at(-1)!
  expect(entry.id).toBe('4-0')
  expect([...Buffer.from(entry.fields.pools!, 'latin1')]).toEqual([1, 0, 2, 0])
  const batch = await room.claims.batchOf(id, 3)
  expect([1, 2, 3, 4].map(place => batch?.poolOf(place - 1))).toEqual([1, 0, 2, 0])
})

test('a full batch of 512 in one call, and every grant is found again by its sequence', async () => {
  const id = await room.newRound({ totals: [BATCH_CLAIMS_MAX + 10] })
  const longest = names(BATCH_CLAIMS_MAX).map(name => name.padEnd(64, 'x'))
  const answers = await room.claim(id, longest)
  expect(answers.map(({ sequence }) => sequence)).toEqual(names(BATCH_CLAIMS_MAX).map((_, i) => i + 1))
  const again = await room.claim(id, longest)
  expect(again.every(({ outcome }, i) => outcome === 'replayed' && again[i]?.sequence === i + 1)).toBe(true)
  expect(await room.claim(id, ['one.more'])).toEqual([granted(BATCH_CLAIMS_MAX + 1)])
  const batch = await room.claims.batchOf(id, 300)
  expect(batch).toMatchObject({ firstSequence: 1 })
  expect(batch?.holders[299]).toBe(longest[299])
  expect(await room.claims.batchOf(id, BATCH_CLAIMS_MAX + 1)).toMatchObject({
    firstSequence: 513,
    holders: ['one.more'],
  })
  expect(await room.claims.batchOf(id, BATCH_CLAIMS_MAX + 2)).toBeUndefined()
  expect(await room.claims.holdings(id, [longest[4]!, 'nobody'])).toEqual([{ sequence: 5, pool: 0 }, undefined])
})

test('each state that is shut refuses with its outcome, and still answers holders', async () => {
  const id = await room.newRound({ open: false })
  expect(await room.claim(id, ['a'])).toEqual([refused('not_open')])
  await room.rounds.turn(id, room.epoch, 'open', 'r1')
  expect(await room.claim(id, ['a'])).toEqual([granted(1)])
  await room.rounds.turn(id, room.epoch, 'pause', 'r2')
  expect(await room.claim(id, ['b', 'a', 'c'])).toEqual([refused('paused'), replayed(1), refused('paused')])
  await room.rounds.turn(id, room.epoch, 'resume', 'r3')
  expect(await room.claim(id, ['b'])).toEqual([granted(2)])
  await room.rounds.turn(id, room.epoch, 'close', 'r4')
  expect(await room.claim(id, ['b', 'c'])).toEqual([replayed(2), refused('closed')])
})

test('the window opens and closes by the clock of Redis', async () => {
  const now = await room.now()
  const [future, past, over] = await Promise.all([
    room.newRound({ opensAt: now + 60_000 }),
    room.newRound({ opensAt: now - 1 }),
    room.newRound({ opensAt: now - 60_000, closesAt: now - 1 }),
  ])
  expect(await room.claim(future, ['a'])).toEqual([refused('not_open')])
  expect(await room.claim(past, ['a'])).toEqual([granted(1)])
  expect(await room.claim(over, ['a'])).toEqual([refused('closed')])
  expect((await room.notice(future)).state).toBe('scheduled')
  expect((await room.notice(past)).state).toBe('open')
  expect((await room.notice(over)).state).toBe('closed')
})

test('that the clock has closed a round is written with the first refusal, so a clock that is behind does not open it', async () => {
  const id = await room.newRound({ opensAt: 1, closesAt: (await room.now()) + 3_600_000 })
  await room.claim(id, ['a'])
  const { last = '', version } = await room.state(id)
  await room.setState(id, 'last', (await room.now()) + 7_200_000)
  expect(await room.claim(id, ['a', 'b'])).toEqual([{ outcome: 'replayed', sequence: 1, pool: 0 }, refused('closed')])
  expect((await room.state(id)).version).toBe(String(Number(version) + 1))
  await room.setState(id, 'last', last)
  expect(await room.claim(id, ['b'])).toEqual([refused('closed')])
  expect((await room.state(id)).version).toBe(String(Number(version) + 1))
})

test('the first moment of the window is inside, the last is not', async () => {
  const later = (await room.now()) + 3_600_000
  const id = await room.newRound({ opensAt: later, closesAt: later + 1000 })
  const at: [number, string][] = [
    [later - 1, 'not_open'],
    [later, 'granted'],
    [later + 999, 'granted'],
    [later + 1000, 'closed'],
  ]
  for (const [last, outcome] of at) {
    await room.setState(id, 'last', last)
    expect((await room.claim(id, [`at-${last}`]))[0]?.outcome, `${last - later} ms after opening`).toBe(outcome)
  }
})

test('time never goes back: a grant is never dated before the newest change', async () => {
  const id = await room.newRound()
  const ahead = (await room.now()) + 3_600_000
  await room.setState(id, 'last', ahead)
  const { notice } = await room.claims.claim(id, room.epoch, packUsers(['a']), Buffer.from([0]))
  expect(notice.at).toBe(ahead)
  expect((await room.state(id)).last).toBe(String(ahead))
  expect((await room.log(id)).at(-1)?.fields.at).toBe(String(ahead))
})

test('a missing state and another epoch are fenced, and nothing is written', async () => {
  const fenced = { name: 'Fault', code: 'fenced' }
  await expect(room.claim('rnd_nowhere', ['a'])).rejects.toMatchObject(fenced)
  expect(
    await room.link.request(client => client.exists(keys.roundState('rnd_nowhere'), keys.roundHolders('rnd_nowhere'))),
  ).toBe(0)
  const id = await room.newRound()
  const before = await room.state(id)
  await expect(room.claim(id, ['a'], 0, '00000000000000ab')).rejects.toMatchObject(fenced)
  expect(await room.state(id)).toEqual(before)
  expect(await room.holders(id)).toEqual({})
  await room.claim(id, ['a'])
  await room.link.request(client => client.del(keys.roundState(id)))
  await expect(room.claim(id, ['a'])).rejects.toMatchObject(fenced)
  expect(await room.link.request(client => client.exists(keys.roundState(id)))).toBe(0)
})

test.each([
  ['holders', keys.roundHolders],
  ['log', keys.roundLog],
] as const)('a round that lost its %s is fenced and sells no place again', async (_, lost) => {
  const id = await room.newRound({ totals: [3] })
  await room.claim(id, ['a'])
  const before = await room.state(id)
  await room.link.request(client => client.del(lost(id)))
  await expect(room.claim(id, ['a', 'b'])).rejects.toMatchObject({ name: 'Fault', code: 'fenced' })
  expect(await room.state(id)).toEqual(before)
  expect(await room.link.request(client => client.exists(lost(id)))).toBe(0)
})

test('each change is announced once, with absolute values and the next version', async () => {
  const id = await room.newRound({ totals: [2, 1] })
  const heard: Notice[] = []
  const last = Promise.withResolvers<void>()
  const listening = Promise.withResolvers<void>()
  const stop = room.listen(
    'node-1',
    {
      received: (roundId, notice) => {
        if (roundId !== id) return
        heard.push(notice)
        if (notice.state === 'closed') last.resolve()
      },
      awaited: () => {},
      gap: () => listening.resolve(),
    },
    id,
  )
  await listening.promise
  const { version } = await room.notice(id)
  await room.claim(id, ['a', 'b', 'c'], [0, 1, 1])
  await room.claim(id, ['a', 'c'], [0, 1])
  await room.rounds.restock(id, room.epoch, { pool: 1, add: 1, most: 10, request: 'more' })
  await room.claim(id, ['c'], 1)
  await room.rounds.turn(id, room.epoch, 'close', 'end')
  await last.promise
  stop()
  expect(heard.map(notice => notice.version - version)).toEqual([1, 2, 3, 4])
  expect(heard.map(notice => notice.pools.map(({ total, granted: taken }) => `${taken}/${total}`).join(' '))).toEqual([
    '1/2 1/1',
    '1/2 1/2',
    '1/2 2/2',
    '1/2 2/2',
  ])
  expect(heard.map(notice => notice.sequence)).toEqual([2, 2, 3, 3])
  expect(heard.at(-1)).toEqual(await room.notice(id).then(notice => ({ ...notice, at: heard.at(-1)?.at })))
})

test.each(['', 'hello', '1 2 3'])(
  'a message that is no notice, "%s", is a reason to read and ends nothing',
  async words => {
    const heard: string[] = []
    const twice = Promise.withResolvers<void>()
    const listening = Promise.withResolvers<void>()
    const stop = room.listen(
      'node-1',
      {
        received: (_, { state }) => heard.push(state),
        awaited: () => {},
        gap: () => {
          listening.resolve()
          if (heard.push('gap') === 2) twice.resolve()
        },
      },
      'nobody',
    )
    await listening.promise
    await room.publish('nobody', words)
    await twice.promise
    stop()
    expect(heard).toEqual(['gap', 'gap'])
  },
)

test('at the level fenced a batch that passes the reserve is not begun', async () => {
  const id = await room.newRound({ totals: [10], fenced: true })
  const standing = { roundId: id, epoch: room.epoch, engine: 'e1' }
  await room.fence.lift(standing, await room.fence.note(standing, 1))
  const decide = (holders: readonly string[]) =>
    room.claims.decide(id, room.epoch, packUsers(holders), Buffer.from([0]), 'e1')
  expect(await decide(['a', 'b'])).toEqual({ again: false })
  expect(await decide(['a'])).toMatchObject({ first: 1, reserve: 1 })
  expect(await room.holders(id)).toEqual({ a: { sequence: 1, pool: 0, bytes: 5 } })
})

test('the log has the scope of the key of each grant, and nothing more where no key with a scope asked', async () => {
  const sent = vi.spyOn(room.link, 'send')
  const id = await room.newRound({ totals: [2, 2] })
  const claim = (rows: readonly (readonly [user: string, pool: number, via?: string])[]) => {
    const pools = Buffer.from(rows.map(([, pool]) => pool))
    const vias = packVias(rows.map(([, , via]) => [via, 1]))
    return room.claims.claim(id, room.epoch, packUsers(rows.map(([user]) => user)), pools, vias)
  }
  const entry = async () => Object.keys((await room.log(id)).at(-1)?.fields ?? {})
  await claim([['plain', 0]])
  expect([sent.mock.lastCall?.[2].length, await entry()]).toEqual([5, ['at', 'users', 'pools']])
  await claim([['a', 1, 'alipay']])
  expect([sent.mock.lastCall?.[2].length, await entry()]).toEqual([6, ['at', 'users', 'pools', 'via']])
  // One who held, one whom the first pool refuses and the second grants, one twice by two keys, one without a scope.
  const mixed = await claim([
    ['a', 0, 'wechat'],
    ['b', 0, 'alipay'],
    ['c', 0, 'alipay'],
    ['c', 1, 'wechat'],
    ['c', 1, 'alipay'],
    ['d', 1],
  ])
  expect([...mixed.sequences]).toEqual([2, 3, 0, 4, 4, 0])
  const vias = await Promise.all(['plain', 'a', 'b', 'c'].map((user, i) => room.claims.viaOf(id, i + 1, user)))
  expect(vias).toEqual([undefined, 'alipay', 'alipay', 'wechat'])
  expect(await room.claims.viaOf(id, 3, 'another'), 'somebody else').toBeUndefined()
  expect((await room.claims.batchOf(id, 1))?.viaOf).toBeUndefined()
  sent.mockRestore()
})

test('a batch of 512 may come by as many keys, and a batch by one key has its scope once', async () => {
  const id = await room.newRound({ totals: [2000] })
  const users = names(BATCH_CLAIMS_MAX)
  const scopes = users.map((_, i) => (i % 3 === 0 ? undefined : `scope-${i}`))
  const packed = packVias(scopes.map(via => [via, 1]))
  await room.claims.claim(id, room.epoch, packUsers(users), Buffer.from([0]), packed)
  const batch = await room.claims.batchOf(id, BATCH_CLAIMS_MAX)
  expect(users.map((_, i) => batch?.viaOf?.(i))).toEqual(scopes)
  await room.claims.claim(id, room.epoch, packUsers(names(9, 'v')), Buffer.from([0]), packVias([['alipay', 9]]))
  expect((await room.log(id)).at(-1)?.fields.via).toBe('alipay')
  expect(packVias([[undefined, 512]])).toBeUndefined()
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('claim')
  expect(named).toContain('sold_out')
  expect(seen).toEqual(named)
})
