/**
 * scripts/allot.lua over a real Redis: who is decided when, in which order, and what the raw keys hold after it.
 *
 * Workers and stamps are chosen by hand, so an order that only a race would bring is a line here. A worker that is silent
 * for too long is made by moving the times that Redis keeps, instead of by waiting. The last tests hold a thousand random
 * arrivals at four workers against a sort, and count that every outcome that the script names was answered.
 */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeOf } from '../../engine/base/codes.ts'
import { holdersIn } from '../../engine/base/holder.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { ALLOT_HEAD_BYTES, TIE_BYTES } from '../../engine/store/data/allot-store.ts'
import { packVias } from '../../engine/store/data/claim-store.ts'
import { openScriptRoom } from '../support/script-room.ts'
import { below, random } from '../support/seed.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Claim {
  readonly holder: string
  readonly stamp: number
  readonly tie?: number
  readonly pool?: number
  readonly again?: boolean
  readonly via?: string
}

const T = 1_764_000_000_000_000

function pack({ holder, stamp, tie = 0, pool = 0, again = false }: Claim): Buffer {
  const bytes = Buffer.alloc(ALLOT_HEAD_BYTES + holder.length)
  bytes.writeDoubleBE(T + stamp, 0)
  bytes[8] = again ? 1 : 0
  bytes.writeUInt32BE(tie, 9)
  bytes[9 + TIE_BYTES] = pool
  bytes[10 + TIE_BYTES] = holder.length
  bytes.write(holder, ALLOT_HEAD_BYTES, 'latin1')
  return bytes
}

/** One call of a worker; what it brought, as `holder outcome sequence`, and the frontier relative to T. */
async function call(id: string, worker: string, mark: number, claims: readonly Claim[] = [], epoch = room.epoch) {
  const packed = Buffer.concat(claims.map(pack))
  const vias = packVias(claims.map(({ via }) => [via, 1]))
  const allotment = await room.allotments.allot(id, epoch, { worker, mark: T + mark }, packed, vias)
  const told = allotment.decided.map(
    ({ index, outcome, sequence }) => `${claims[index]?.holder} ${codeOf(outcome)} ${sequence}`,
  )
  return { ...allotment, told, upTo: allotment.frontier - T }
}

const order = (id: string, fields: Readonly<Record<string, string | number>>) =>
  room.link.request(client => client.hset(keys.roundOrder(id), fields))

/** A round whose workers may be silent for an hour, so that a slow test machine changes nothing. */
async function newRound(round: Parameters<typeof room.newRound>[0] = {}): Promise<string> {
  const id = await room.newRound(round)
  await order(id, { patience: 3_600_000_000 })
  return id
}

const claim = (holder: string, stamp: number, more: Partial<Claim> = {}): Claim => ({ holder, stamp, ...more })

test('alone, a claim is decided in the call that brings it, and kept as any grant is', async () => {
  const id = await newRound({ totals: [2] })
  const { told, upTo, late, notice, decided } = await call(id, 'a', 10, [claim('y', 7), claim('x', 5), claim('z', 9)])
  expect(told).toEqual(['y granted 2', 'x granted 1', 'z sold_out 0'])
  expect([upTo, late]).toEqual([10, 0])
  expect(notice).toMatchObject({ sequence: 2, pools: [{ total: 2, granted: 2 }] })
  expect(decided.map(({ at }) => at)).toEqual([notice.at, notice.at, 0])
  expect(await room.holders(id)).toEqual({
    x: { sequence: 1, pool: 0, bytes: 21 },
    y: { sequence: 2, pool: 0, bytes: 21 },
  })
  const entry = (await room.log(id)).at(-1)
  expect(entry).toMatchObject({ id: '2-0', fields: { at: String(notice.at), pools: '\0\0' } })
  expect(holdersIn(Buffer.from(entry?.fields.users ?? '', 'latin1'))).toEqual(['x', 'y'])
})

test('nobody is decided before every worker has told that nothing older comes', async () => {
  const id = await newRound({ totals: [2] })
  await call(id, 'a', 0)
  await call(id, 'b', 0)
  expect(await call(id, 'a', 10, [claim('late-but-first-here', 8)])).toMatchObject({ told: [], upTo: 0 })
  expect(await call(id, 'b', 20, [claim('older', 3), claim('newer', 15)])).toMatchObject({
    told: ['older granted 1'],
    upTo: 10,
  })
  const first = [claim('late-but-first-here', 8, { again: true })]
  expect((await call(id, 'a', 30, first)).told).toEqual(['late-but-first-here granted 2'])
  expect((await call(id, 'b', 30, [claim('newer', 15, { again: true })])).told).toEqual(['newer sold_out 0'])
})

test('of one stamp the smaller tie comes first', async () => {
  const id = await newRound({ totals: [1] })
  const claims = [claim('loses', 5, { tie: 9 }), claim('wins', 5, { tie: 2 })]
  expect((await call(id, 'a', 5, claims)).told).toEqual(['loses sold_out 0', 'wins granted 1'])
})

test('a claim that is sent again finds its grant; a second one of the same holder is a repeat', async () => {
  const id = await newRound({ totals: [5, 5] })
  const [own, other] = [claim('u', 5, { tie: 1 }), claim('u', 6, { tie: 2, pool: 1 })]
  expect((await call(id, 'a', 9, [own])).told).toEqual(['u granted 1'])
  const before = await room.log(id)
  expect((await call(id, 'a', 9, [own])).told).toEqual(['u granted 1'])
  expect((await call(id, 'b', 12, [other])).told).toEqual(['u replayed 1'])
  const both = [claim('v', 20, { tie: 3 }), claim('v', 21, { tie: 4, pool: 1 })]
  await call(id, 'b', 30)
  expect((await call(id, 'a', 30, both)).told).toEqual(['v granted 2', 'v replayed 2'])
  expect(await room.log(id)).toHaveLength(before.length + 1)
})

test('a scope is kept with the grant that its claim won, whoever granted it, once its worker asks; no other one follows', async () => {
  const id = await newRound({ totals: [5, 5] })
  await call(id, 'b', 1)
  const won = claim('u', 5, { tie: 1, via: 'alipay' })
  const lost = claim('u', 6, { tie: 2, pool: 1, via: 'wechat' })
  expect((await call(id, 'a', 9, [won])).told).toEqual([])
  const vias = async () =>
    Promise.all([1, 2].map((_, i) => room.claims.viaOf(id, i + 1, ['u', 'v'][i] as string, true)))
  expect((await call(id, 'b', 12, [lost])).told, 'b grants what a brought').toEqual(['u replayed 1'])
  expect((await room.holders(id)).u).toEqual({ sequence: 1, pool: 0, bytes: 21 })
  for (let again = 0; again < 2; again++) {
    expect((await call(id, 'a', 13, [{ ...won, again: true }])).told).toEqual(['u granted 1'])
    expect((await call(id, 'b', 14, [{ ...lost, again: true }])).told).toEqual(['u replayed 1'])
    expect([await vias(), (await room.holders(id)).u?.bytes]).toEqual([['alipay', undefined], 27])
  }
  const mixed = [claim('v', 20, { tie: 3 }), claim('w', 20, { tie: 4, via: 'wechat' }), claim('x', 21, { via: 'm.1' })]
  await call(id, 'b', 30)
  expect((await call(id, 'a', 30, mixed)).told).toEqual(['v granted 2', 'w granted 3', 'x granted 4'])
  const rows: unknown[] = []
  for await (const { holders, viaOf } of room.claims.withVias(id, room.claims.batches(id, 1)))
    for (const [i, holder] of holders.entries()) rows.push([holder, viaOf?.(i)])
  expect(rows).toEqual([
    ['u', 'alipay'],
    ['v', undefined],
    ['w', 'wechat'],
    ['x', 'm.1'],
  ])
  expect(await room.claims.holding(id, 'w')).toEqual({ sequence: 3, pool: 0 })
})

test('what comes behind the frontier is late: behind everybody, counted, and never lost', async () => {
  const id = await newRound({ totals: [2] })
  expect((await call(id, 'a', 100, [claim('in-time', 90)])).told).toEqual(['in-time granted 1'])
  const { told, late } = await call(id, 'b', 120, [claim('late', 50)])
  expect([told, late]).toEqual([['late granted 2'], 1])
  expect(await room.allotments.late(id)).toBe(1)
  // One that was registered, passed over and is asked again is not late.
  expect(await call(id, 'b', 121, [claim('again', 60, { again: true })])).toMatchObject({
    told: ['again sold_out 0'],
    late: 1,
  })
})

test('a worker that keeps others waiting for 50 ms is waited for no longer, and one that was only idle is', async () => {
  const id = await newRound({ totals: [9] })
  await call(id, 'idle', 0)
  await call(id, 'a', 0)
  expect((await call(id, 'a', 10, [claim('u', 5)])).told).toEqual([])
  // Heard of an hour ago, but nobody waited then: patience counts from the claim on.
  await order(id, { 'w:idle': `${T} 1` })
  expect((await call(id, 'a', 11)).upTo).toBe(0)
  await order(id, { since: 1, patience: 50_000 })
  expect((await call(id, 'a', 12, [claim('u', 5, { again: true })])).told).toEqual(['u granted 1'])
  expect(await room.link.request(client => client.hexists(keys.roundOrder(id), 'w:idle'))).toBe(0)
  // It comes back, and is waited for again.
  await order(id, { patience: 3_600_000_000 })
  await call(id, 'idle', 13)
  expect((await call(id, 'a', 20, [claim('v', 15)])).told).toEqual([])
})

test('a clock that is set back holds nobody up for longer than a worker is waited for', async () => {
  const id = await newRound({ totals: [9] })
  await call(id, 'silent', 0)
  await call(id, 'a', 0)
  const ahead = (await room.now()) * 1000 + 3_600_000_000
  await order(id, { 'w:silent': `${T} ${ahead}`, since: ahead, woken: ahead, patience: 20_000 })
  const asked = [claim('u', 5)]
  expect((await call(id, 'a', 10, asked)).told).toEqual([])
  let told: readonly string[] = []
  for (let mark = 11; told.length === 0 && mark < 5000; mark++)
    told = (await call(id, 'a', mark, [claim('u', 5, { again: true })])).told
  expect(told).toEqual(['u granted 1'])
})

test('while a claim waits, the other workers are called for their marks', async () => {
  const id = await newRound()
  const listening = Promise.withResolvers<void>()
  const called = Promise.withResolvers<number>()
  const stop = room.listen(
    'test',
    {
      received: () => {},
      awaited: (roundId, stamp) => (roundId === id ? called.resolve(stamp) : undefined),
      gap: () => listening.resolve(),
    },
    id,
  )
  await listening.promise
  await call(id, 'b', 0)
  await call(id, 'a', 10, [claim('u', 5)])
  expect(await called.promise).toBe(T + 5)
  stop()
})

test.each([
  ['pause', 'paused'],
  ['close', 'closed'],
] as const)('after %s what waits is refused as %s, and holders keep what they have', async (verb, outcome) => {
  const id = await newRound()
  await call(id, 'a', 5, [claim('holds', 4)])
  await call(id, 'b', 5)
  await call(id, 'a', 10, [claim('waits', 8)])
  await room.rounds.turn(id, room.epoch, verb, `${verb} ${id}`)
  await call(id, 'b', 20)
  const asked = [claim('waits', 8, { again: true }), claim('holds', 12, { tie: 1 })]
  expect((await call(id, 'a', 20, asked)).told).toEqual([`waits ${outcome} 0`, 'holds replayed 1'])
})

test('before the opening nobody is granted; a missing key or another epoch is fenced', async () => {
  const id = await newRound({ open: false })
  expect((await call(id, 'a', 5, [claim('early', 4)])).told).toEqual(['early not_open 0'])
  const fenced = { name: 'Fault', code: 'fenced' }
  await expect(call(id, 'a', 6, [], '00000000000000ab')).rejects.toMatchObject(fenced)
  await expect(call('rnd_nowhere', 'a', 6)).rejects.toMatchObject(fenced)
  await room.rounds.turn(id, room.epoch, 'open', `open ${id}`)
  await call(id, 'a', 9, [claim('u', 8)])
  for (const lost of [keys.roundHolders, keys.roundLog]) {
    const kept = await room.link.request(client => client.dumpBuffer(lost(id)))
    await room.link.request(client => client.del(lost(id)))
    await expect(call(id, 'a', 10, [claim('v', 10)])).rejects.toMatchObject(fenced)
    await room.link.request(client => client.restore(lost(id), 0, kept as Buffer))
  }
})

test('a round that lost who waits and how far it was decides everybody who asks again', async () => {
  const id = await newRound({ totals: [2] })
  await call(id, 'b', 0)
  expect((await call(id, 'a', 10, [claim('u', 5)])).told).toEqual([])
  await room.link.request(client => client.del(keys.roundOrder(id), keys.roundWaiting(id)))
  expect((await call(id, 'a', 12, [claim('u', 5, { again: true })])).told).toEqual(['u granted 1'])
})

test('a thousand arrivals at four workers are allotted in the order of their stamps and ties', async () => {
  const next = random(41)
  const id = await newRound({ totals: [300, 100] })
  const workers = ['a', 'b', 'c', 'd']
  for (const worker of workers) await call(id, worker, 0)
  const arrivals = Array.from({ length: 1000 }, (_, i) => ({
    worker: workers[below(next, 4)] as string,
    ...claim(`u${below(next, 900)}`, 1 + below(next, 500), {
      tie: below(next, 2 ** 32),
      pool: i % 3 === 0 ? 1 : 0,
    }),
  }))
  const sent: Claim[] = []
  for (let now = 1; now <= 500; now += 1 + below(next, 20)) {
    for (const worker of workers.toSorted(() => next() - 0.5)) {
      if (next() < 0.3) continue
      const due = arrivals.filter(each => each.worker === worker && each.stamp <= now)
      for (const each of due) arrivals.splice(arrivals.indexOf(each), 1)
      sent.push(...due)
      await call(id, worker, now, due)
    }
  }
  for (const worker of workers) {
    const due = arrivals.filter(each => each.worker === worker)
    sent.push(...due)
    await call(id, worker, 600, due)
  }
  await call(id, 'a', 600)
  const left = [300, 100]
  const expected: string[] = []
  for (const { holder, pool = 0 } of sent.toSorted((a, b) => a.stamp - b.stamp || (a.tie ?? 0) - (b.tie ?? 0))) {
    if (expected.includes(holder) || left[pool] === 0) continue
    left[pool]!--
    expected.push(holder)
  }
  const held = Object.entries(await room.holders(id)).sort(([, a], [, b]) => a.sequence - b.sequence)
  expect(held.map(([holder]) => holder)).toEqual(expected)
  expect(await room.allotments.late(id)).toBe(0)
})
test('every outcome that the script names was answered here', () => {
  const { named, seen } = room.outcomes('allot')
  expect(seen).toEqual(named)
})
