/**
 * The scripts that make, turn, read and restock a round (round-create, round-turn, round-read, restock), over a real
 * Redis, with the raw keys read after each call.
 *
 * A change that is asked again after its answer was lost must be answered as the first time, whatever other changes
 * were made meanwhile: another worker's change may lie between a request and its repeat.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId, realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { TurnVerb } from '../../engine/store/data/round-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

let request = 0
const turn = (id: string, verb: TurnVerb, by = `r${++request}`, epoch = room.epoch) =>
  room.rounds.turn(id, epoch, verb, by)
const restock = (id: string, add: number, more: { pool?: number; most?: number; by?: string; epoch?: string } = {}) =>
  room.rounds.restock(id, more.epoch ?? room.epoch, {
    pool: more.pool ?? 0,
    add,
    most: more.most ?? 1000,
    request: more.by ?? `r${++request}`,
  })

test('a new round has its state, its log and nothing else', async () => {
  const now = await room.now()
  const id = await room.newRound({ totals: [7, 2], opensAt: now + 5000, closesAt: now + 9000 })
  const state = await room.state(id)
  expect(state).toEqual({
    epoch: room.epoch,
    version: '1',
    state: '1',
    opens: String(now + 5000),
    closes: String(now + 9000),
    last: state.last,
    sequence: '0',
    pools: '2',
    t0: '7',
    g0: '0',
    t1: '2',
    g1: '0',
    config: '{}',
    history: expect.stringMatching(/^[0-9a-f]{40}$/),
  })
  expect(Number(state.last)).toBeGreaterThanOrEqual(now)
  expect(await room.log(id)).toEqual([
    { id: '0-1', fields: { at: state.last, kind: 'create', request: '', amount: '0' } },
  ])
  expect(await room.holders(id)).toEqual({})
  expect(await room.link.request(client => client.ttl(keys.roundState(id)))).toBe(-1)
})

test('a round that stands is not made again, not even with other words', async () => {
  const id = await room.newRound({ totals: [3] })
  await room.claim(id, ['a'])
  const before = await room.state(id)
  const again = { id, campaignId: 'cmp_test', number: 9, opensAt: 1, closesAt: 2, config: '{"other":1}', totals: [99] }
  const { code, notice } = await room.rounds.createRound({ ...again, epoch: 'ffffffffffffffff' })
  expect(code).toBe('replayed')
  expect(notice).toMatchObject({ epoch: room.epoch, sequence: 1, pools: [{ total: 3, granted: 1 }] })
  expect(await room.state(id)).toEqual(before)
})

test('the state machine, turn by turn', async () => {
  const steps: readonly (readonly [from: readonly TurnVerb[], verb: TurnVerb, code: string, state: string])[] = [
    [[], 'open', 'granted', 'open'],
    [[], 'pause', 'wrong_state', 'scheduled'],
    [[], 'resume', 'wrong_state', 'scheduled'],
    [[], 'close', 'granted', 'closed'],
    [['open'], 'open', 'wrong_state', 'open'],
    [['open'], 'pause', 'granted', 'paused'],
    [['open'], 'resume', 'wrong_state', 'open'],
    [['open'], 'close', 'granted', 'closed'],
    [['open', 'pause'], 'open', 'wrong_state', 'paused'],
    [['open', 'pause'], 'pause', 'wrong_state', 'paused'],
    [['open', 'pause'], 'resume', 'granted', 'open'],
    [['open', 'pause'], 'close', 'granted', 'closed'],
    [['close'], 'open', 'wrong_state', 'closed'],
    [['close'], 'pause', 'wrong_state', 'closed'],
    [['close'], 'resume', 'wrong_state', 'closed'],
    [['close'], 'close', 'wrong_state', 'closed'],
  ]
  for (const [from, verb, code, state] of steps) {
    const id = await room.newRound({ open: false })
    for (const first of from) await turn(id, first)
    const before = await room.state(id)
    const turned = await turn(id, verb)
    expect([turned.code, turned.notice.state], `${from.join(' ')} then ${verb}`).toEqual([code, state])
    if (code === 'wrong_state') expect(await room.state(id)).toEqual(before)
    else expect(turned.notice.version).toBe(Number(before.version) + 1)
  }
})

test('opening dates the window to now, closing ends it now, both are logged', async () => {
  const now = await room.now()
  const id = await room.newRound({ opensAt: now + 60_000, closesAt: now + 120_000 })
  const opened = await turn(id, 'open', 'early')
  expect(opened.notice.opensAt).toBe(opened.notice.at)
  expect(opened.notice.closesAt).toBe(now + 120_000)
  await room.claim(id, ['a', 'b'])
  const closed = await turn(id, 'close', 'enough')
  expect(closed.notice.closesAt).toBe(closed.notice.at)
  const entries = (await room.log(id)).map(
    ({ id: entry, fields }) => `${entry} ${fields.kind ?? 'grants'} ${fields.request ?? ''}`,
  )
  expect(entries).toEqual(['0-1 create ', '0-2 open early', '2-0 grants ', '2-1 close enough'])
})

test('a turn by the clock is a state like another: it can be paused, and a round past its end cannot be turned', async () => {
  const now = await room.now()
  const open = await room.newRound({ opensAt: now - 1000 })
  expect(await turn(open, 'pause')).toMatchObject({ code: 'granted', notice: { state: 'paused' } })
  const over = await room.newRound({ opensAt: now - 1000, closesAt: now - 1 })
  expect(await turn(over, 'pause')).toMatchObject({ code: 'wrong_state', notice: { state: 'closed' } })
})

test('a paused round closes at its time', async () => {
  const id = await room.newRound({ closesAt: (await room.now()) + 3_600_000 })
  await turn(id, 'pause')
  await room.setState(id, 'last', (await room.now()) + 3_600_000)
  expect((await room.notice(id)).state).toBe('closed')
})

test('a turn that is asked again is answered as the first time, also after other turns', async () => {
  const id = await room.newRound()
  const first = await turn(id, 'pause', 'mine')
  expect(await turn(id, 'pause', 'mine')).toMatchObject({ code: 'replayed', notice: { version: first.notice.version } })
  await turn(id, 'resume', 'theirs')
  const late = await turn(id, 'pause', 'mine')
  expect(late).toMatchObject({ code: 'replayed', notice: { state: 'open' } })
  expect((await room.log(id)).filter(({ fields }) => fields.request === 'mine')).toHaveLength(1)
})

test('stock that is asked for again is added once, also after other changes', async () => {
  const id = await room.newRound({ totals: [5] })
  await restock(id, 10, { by: 'mine' })
  await restock(id, 10, { by: 'mine' })
  expect((await room.notice(id)).pools).toEqual([{ total: 15, granted: 0 }])
  await restock(id, 1, { by: 'theirs' })
  expect(await restock(id, 10, { by: 'mine' })).toMatchObject({ code: 'replayed' })
  expect((await room.notice(id)).pools).toEqual([{ total: 16, granted: 0 }])
  const logged = (await room.log(id)).filter(({ fields }) => fields.kind === 'restock 0')
  expect(logged.map(({ fields }) => `${fields.request} ${fields.amount}`)).toEqual(['mine 10', 'theirs 1'])
})

test('stock changes only where its total is what it was thought to be', async () => {
  const id = await room.newRound({ totals: [5, 3] })
  const thought = (ifTotal: number, pool = 0) =>
    room.rounds.restock(id, room.epoch, { pool, add: 10, most: 1000, ifTotal, request: newId(realRandom, 'req') })
  expect(await thought(8)).toMatchObject({ code: 'changed', notice: { pools: [{ total: 5 }, { total: 3 }] } })
  expect(await thought(5)).toMatchObject({ code: 'granted', notice: { pools: [{ total: 15 }, { total: 3 }] } })
  expect(await thought(5)).toMatchObject({ code: 'changed' })
  expect(await thought(3, 1)).toMatchObject({ code: 'granted', notice: { pools: [{ total: 15 }, { total: 13 }] } })
})

test('what a request did is known to a dry call, and what was given up', async () => {
  const id = await room.newRound({ totals: [5] })
  const dry = (request: string) => room.rounds.dryRestock(id, room.epoch, { pool: 0, add: 1, most: 99, request })
  expect(await dry('mine')).toMatchObject({ code: 'granted' })
  await restock(id, 1, { by: 'mine' })
  expect(await dry('mine')).toMatchObject({ code: 'replayed' })
  await room.budgets.fate({ campaignId: 'c', roundId: id, request: 'gone', amount: 1 })
  expect(await dry('gone')).toMatchObject({ code: 'unavailable' })
  await turn(id, 'pause', 'paused')
  expect(await room.rounds.dryTurn(id, room.epoch, 'pause', 'paused')).toMatchObject({ code: 'replayed' })
  expect(await room.rounds.dryTurn(id, room.epoch, 'pause', 'other')).toMatchObject({ code: 'wrong_state' })
})

test('a round is made, void, or nothing yet', async () => {
  const id = await room.newRound({ totals: [5] })
  expect(await room.rounds.standing(id)).toBe('made')
  expect(await room.rounds.standing('rnd_never')).toBe('none')
  await room.budgets.fate({ campaignId: 'c', roundId: 'rnd_never', request: 'create', amount: 1 })
  expect(await room.rounds.standing('rnd_never')).toBe('void')
})

test('unsold stock can be taken back down to what is granted, pool by pool', async () => {
  const id = await room.newRound({ totals: [5, 3] })
  await room.claim(id, ['a', 'b', 'c'], [0, 0, 1])
  const before = await room.state(id)
  expect(await restock(id, -4)).toMatchObject({ code: 'below_granted' })
  expect(await restock(id, -3, { pool: 1 })).toMatchObject({ code: 'below_granted' })
  expect(await room.state(id)).toEqual(before)
  expect(await restock(id, -3)).toMatchObject({
    code: 'granted',
    notice: { pools: [{ total: 2, granted: 2 }, { total: 3 }] },
  })
  expect((await room.claim(id, ['d', 'e'], [0, 1])).map(({ outcome }) => outcome)).toEqual(['sold_out', 'granted'])
})

test('the most is over all pools and includes what is granted', async () => {
  const id = await room.newRound({ totals: [5, 3] })
  await room.claim(id, ['a', 'b'])
  expect(await restock(id, 3, { most: 10 })).toMatchObject({ code: 'invalid' })
  expect(await restock(id, 2, { most: 10, pool: 1 })).toMatchObject({ code: 'granted' })
  expect(await restock(id, 1, { most: 10 })).toMatchObject({ code: 'invalid' })
})

test('a closed round takes no stock, but gives unsold stock back', async () => {
  const id = await room.newRound({ totals: [5] })
  await turn(id, 'close')
  expect(await restock(id, 1)).toMatchObject({ code: 'wrong_state', notice: { state: 'closed' } })
  expect(await restock(id, -5)).toMatchObject({ code: 'granted', notice: { pools: [{ total: 0, granted: 0 }] } })
})

test('stock for a round that is sold out lets the next claim in, numbered on', async () => {
  const id = await room.newRound({ totals: [1] })
  expect((await room.claim(id, ['a', 'b'])).map(({ outcome }) => outcome)).toEqual(['granted', 'sold_out'])
  await restock(id, 1)
  expect(await room.claim(id, ['b'])).toEqual([{ outcome: 'granted', sequence: 2, pool: 0 }])
})

test('a missing state and another epoch are fenced for every script, and nothing is made', async () => {
  const fenced = { name: 'Fault', code: 'fenced' }
  const id = await room.newRound()
  const before = await room.state(id)
  await expect(turn(id, 'pause', 'r', 'ffffffffffffffff')).rejects.toMatchObject(fenced)
  await expect(restock(id, 1, { epoch: 'ffffffffffffffff' })).rejects.toMatchObject(fenced)
  await expect(room.rounds.endHold(id, 'ffffffffffffffff', '')).rejects.toMatchObject(fenced)
  expect((await room.rounds.endHold(id, room.epoch, 'none')).hold).toBeUndefined()
  expect(await room.state(id)).toEqual(before)
  await expect(turn('rnd_none', 'open')).rejects.toMatchObject(fenced)
  await expect(restock('rnd_none', 1)).rejects.toMatchObject(fenced)
  expect(await room.rounds.read('rnd_none')).toBeUndefined()
  expect(await room.link.request(client => client.exists(keys.roundState('rnd_none'), keys.roundLog('rnd_none')))).toBe(
    0,
  )
})

test('a round that lost its log is neither turned nor restocked', async () => {
  const fenced = { name: 'Fault', code: 'fenced' }
  const id = await room.newRound()
  const before = await room.state(id)
  await room.link.request(client => client.del(keys.roundLog(id)))
  await expect(turn(id, 'pause')).rejects.toMatchObject(fenced)
  await expect(restock(id, 1)).rejects.toMatchObject(fenced)
  expect(await room.state(id)).toEqual(before)
})

test('what was given up before it came is never made, and what was made cannot be given up', async () => {
  const given = { campaignId: 'cmp_test', amount: 1 }
  const round = {
    id: 'rnd_givenup',
    campaignId: 'cmp_test',
    number: 99,
    opensAt: 1,
    closesAt: 0,
    config: '{}',
    totals: [1],
  }
  expect(await room.budgets.fate({ ...given, roundId: round.id, request: 'create' })).toBe('void')
  await expect(room.rounds.createRound({ ...round, epoch: room.epoch })).rejects.toMatchObject({ code: 'unavailable' })
  expect(await room.rounds.read(round.id)).toBeUndefined()
  const id = await room.newRound({ totals: [3] })
  const change = (request: string) => room.rounds.restock(id, room.epoch, { pool: 0, add: 1, most: 9, request })
  expect(await room.budgets.fate({ ...given, roundId: id, request: 'late' })).toBe('void')
  expect(await change('late')).toMatchObject({ code: 'unavailable', notice: { pools: [{ total: 3 }] } })
  expect(await change('made')).toMatchObject({ code: 'granted', notice: { pools: [{ total: 4 }] } })
  expect(await room.budgets.fate({ ...given, roundId: id, request: 'made' })).toBe('made')
  expect(await change('made')).toMatchObject({ code: 'replayed', notice: { pools: [{ total: 4 }] } })
  expect(await room.budgets.fate({ ...given, roundId: id, request: 'create' })).toBe('made')
})

test('reading changes nothing and gives the configuration as it was given', async () => {
  const id = await room.newRound({ totals: [4] })
  await room.claim(id, ['a'])
  const before = await room.state(id)
  const read = await room.rounds.read(id)
  expect(read).toMatchObject({ config: '{}', notice: { sequence: 1, state: 'open', version: Number(before.version) } })
  expect(await room.state(id)).toEqual(before)
})

test.each(['round-create', 'round-turn', 'hold-end', 'round-read', 'restock'] as const)(
  'every outcome that %s names was answered',
  name => {
    const { named, seen } = room.outcomes(name)
    expect(named).toContain('granted')
    expect(seen).toEqual(named)
  },
)

test('after open, resume and restock nothing is granted until the hold is ended, and holders are still answered', async () => {
  const held = await openScriptRoom(60)
  try {
    const outcomes = async (id: string, ...users: string[]) =>
      (await held.claim(id, users)).map(({ outcome }) => outcome)
    const id = await held.newRound({ totals: [2], open: false })
    const { epoch } = (await held.rounds.read(id))?.notice ?? { epoch: '' }
    const grantsAfter = async (change: string, refusal: string, user: string) => {
      const { hold = '' } = (await held.rounds.read(id))?.notice ?? {}
      // A change that is made again on another server begins another hold.
      expect(hold).toMatch(new RegExp(`^${change}_[0-9a-f]{16}$`))
      expect(await outcomes(id, user)).toEqual([refusal])
      // Of a hold that is over, or never was, nothing is ended.
      for (const other of ['another', change]) expect((await held.rounds.endHold(id, epoch, other)).hold).toBe(hold)
      expect(await outcomes(id, user)).toEqual([refusal])
      const { hold: now, version } = await held.rounds.endHold(id, epoch, hold)
      expect(now).toBeUndefined()
      expect((await held.rounds.endHold(id, epoch, hold)).version).toBe(version)
      expect(await outcomes(id, user)).toEqual(['granted'])
    }
    await held.rounds.turn(id, epoch, 'open', 'a')
    await grantsAfter('a', 'not_open', 'first')
    await held.rounds.turn(id, epoch, 'pause', 'b')
    await held.rounds.turn(id, epoch, 'resume', 'c')
    expect(await outcomes(id, 'first')).toEqual(['replayed'])
    await grantsAfter('c', 'paused', 'second')
    expect(await outcomes(id, 'late')).toEqual(['sold_out'])
    await held.rounds.restock(id, epoch, { pool: 0, add: 5, most: 99, request: 'd' })
    await grantsAfter('d', 'sold_out', 'third')
    await held.rounds.restock(id, epoch, { pool: 0, add: 1, most: 99, request: 'e' })
    expect(await outcomes(id, 'at-once'), 'stock that was not out is not held back').toEqual(['granted'])
    await expect(held.rounds.endHold(id, 'ffffffffffffffff', 'e')).rejects.toMatchObject({ code: 'fenced' })
  } finally {
    await held[Symbol.asyncDispose]()
  }
})

test('a clock that is set back by an hour, or ahead, changes nothing about a hold', async () => {
  const held = await openScriptRoom(60)
  try {
    const id = await held.newRound({ totals: [9] })
    const { epoch } = (await held.rounds.read(id))?.notice ?? { epoch: '' }
    for (const [n, hours] of [-1, 1].entries()) {
      await held.rounds.turn(id, epoch, 'pause', `p${n}`)
      const { hold = '' } = (await held.rounds.turn(id, epoch, 'resume', `r${n}`)).notice
      // What the round remembers of the clock lies ahead of it, or behind.
      await held.setState(id, 'last', Number((await held.state(id)).last) - hours * 3_600_000)
      expect((await held.claim(id, [`u${n}`]))[0]?.outcome).toBe('paused')
      await held.rounds.endHold(id, epoch, hold)
      expect((await held.claim(id, [`u${n}`]))[0]?.outcome).toBe('granted')
    }
  } finally {
    await held[Symbol.asyncDispose]()
  }
})
