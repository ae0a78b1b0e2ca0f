/**
 * The scripts that turn vouchers, one rule at a time: locks, redemptions, limits, reversals, deactivation, expiry.
 *
 * Each test ends with the audit of the raw ledger, so a rule that forgets its money is found by the test of the rule.
 * The campaign's clock is moved ahead instead of waiting; what concurrent tills do is at the end.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AMOUNT_MAX } from '../../engine/base/limits.ts'
import { realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { AgreementStore } from '../../engine/store/data/agreement-store.ts'
import {
  bucketEnds,
  bucketOf,
  type RedeemCall,
  type ReverseCall,
  type VoucherFacts,
} from '../../engine/store/data/voucher-store.ts'
import { effort } from '../support/effort.ts'
import { expectSoundLedger, heldBy } from '../support/ledger-audit.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

const HOUR = 3_600_000
const DAY = { date: '2026-12-01', startsAt: 1, endsAt: 4e12 }
const FOR_EVER = { from: 0, until: 4e12 }
const NO_LIMIT = { perOrder: 0, perMerchantAndDay: 0, amountPerDay: 0 }
const PACK_WORTH = 1000
let calls = 0

/** A campaign with `packs` grants of one voucher each, booked. */
async function campaign({ packs = 10, worth = PACK_WORTH, funds = 1_000_000 } = {}) {
  const id = await room.newCampaign(funds)
  await room.ledger.book(id, 1, { sequence: packs, amount: worth, source: 'available' })
  const expiresAt = (await room.now()) + HOUR
  const voucher = (serial = 0): VoucherFacts => ({ roundNumber: 1, serial, template: 0, expiresAt, worth })
  return { id, voucher, expiresAt, sound: () => expectSoundLedger(room.link, id) }
}

function call(voucher: VoucherFacts, more: Partial<RedeemCall> = {}): RedeemCall {
  const id = `rdm_${++calls}`
  const asked = {
    caller: 'merchant:m',
    key: `key-${calls}`,
    fingerprint: 'f1',
    day: DAY,
    lease: FOR_EVER,
    most: NO_LIMIT,
    id,
    discount: voucher.worth,
  }
  const order = { merchant: 'm1', bound: false, user: 'u1', order: `o${calls}`, gross: 5000, pool: 'general' }
  return { voucher, ...asked, ...order, answer: `{"id":"${id}","text":"line\\nü 🎟"}`, ...more }
}

function reversal(redemption: string, more: Partial<ReverseCall> = {}): ReverseCall {
  const id = `rev_${++calls}`
  const asked = { caller: 'merchant:m', key: `key-${calls}`, fingerprint: 'r1', redemption, id, amount: 0 }
  return { ...asked, unused: 'returned', merchant: '', note: 'refund', answer: `{"id":"${id}","amount":`, ...more }
}

const ownerOf = (order: string) => ({ by: 'platform:p', merchant: '', order })
const lockOf = (order: string, ttlMs = 30_000) => ({ ...ownerOf(order), ttlMs, id: `lck_${++calls}` })
const stateOf = async (id: string, voucher: VoucherFacts) =>
  (await room.vouchers.read(id, [voucher])).vouchers[0]?.state

test('a redemption is kept, marks the voucher, and its money goes to the merchant', async () => {
  const { id, voucher, sound } = await campaign()
  const first = call(voucher(3), { discount: 700 })
  const made = await room.vouchers.redeem(id, first)
  expect(made).toEqual({ code: 'granted', at: expect.any(Number), answer: first.answer })
  expect((await room.vouchers.read(id, [voucher(3)])).vouchers).toEqual([
    { state: 'redeemed', lock: '', answer: `${made.at} ${first.answer}` },
  ])
  const { balances, records } = await sound()
  expect(balances).toEqual({ sponsor_funds: -1_000_000n, available: 990_300n, allocated: 9000n, 'payable:m1': 700n })
  expect(records).toEqual({ '1:3': `redeemed ${voucher().expiresAt} 1000 ${first.id}` })
})

test('the same request again gets the first answer; another body is a mismatch; another caller has his own keys', async () => {
  const { id, voucher, sound } = await campaign()
  const first = call(voucher())
  const { at, answer } = await room.vouchers.redeem(id, first)
  const again = { ...first, id: 'rdm_other', answer: '{"id":"rdm_other"}' }
  expect(await room.vouchers.redeem(id, again)).toEqual({ code: 'replayed', at, answer })
  expect(await room.vouchers.redeem(id, { ...first, voucher: voucher(1), fingerprint: 'f2' })).toEqual({
    code: 'idempotency_mismatch',
  })
  const other = { ...first, caller: 'merchant:n', voucher: voucher(1), fingerprint: 'f2', id: 'rdm_n' }
  expect(await room.vouchers.redeem(id, other)).toMatchObject({ code: 'granted' })
  expect(await room.vouchers.isKnown(id, first)).toBe(true)
  expect((await sound()).entries.filter(({ words }) => words.kind === 'redeem')).toHaveLength(2)
})

test('a lock belongs to an order: it keeps others out until it ends, is taken off, or is redeemed', async () => {
  const { id, voucher, sound } = await campaign()
  const mine = lockOf('o1')
  const locked = await room.vouchers.lock(id, voucher(), mine)
  expect(locked).toEqual({ code: 'granted', at: expect.any(Number), answer: mine.id })
  expect((await sound()).balances).toMatchObject({ allocated: 9000n, reserved: 1000n })
  expect(await room.vouchers.lock(id, voucher(), lockOf('o2'))).toEqual({ code: 'voucher_locked', at: locked.at })
  expect(await room.vouchers.unlock(id, voucher(), ownerOf('o2'))).toEqual({
    code: 'voucher_locked',
    at: locked.at,
  })
  expect(await room.vouchers.redeem(id, call(voucher(), { order: 'o2' }))).toEqual({
    code: 'voucher_locked',
    at: locked.at,
  })
  expect(await room.vouchers.lock(id, voucher(), lockOf('o1', 60_000))).toMatchObject({
    code: 'granted',
    answer: mine.id,
  })
  expect((await room.vouchers.read(id, [voucher()])).vouchers[0]?.lock).toMatch(new RegExp(`^\\d+ ${mine.id} o1$`))
  expect(await room.vouchers.unlock(id, voucher(), ownerOf('o1'))).toMatchObject({ code: 'granted' })
  expect(await room.vouchers.unlock(id, voucher(), ownerOf('o1'))).toMatchObject({ code: 'replayed' })
  expect((await sound()).balances).toMatchObject({ allocated: 10_000n, reserved: 0n })
  await room.vouchers.lock(id, voucher(), lockOf('o3', 1000))
  await room.moveClock(id, 2000)
  expect(await stateOf(id, voucher())).toBe('active')
  expect(await room.vouchers.redeem(id, call(voucher(), { order: 'o4' }))).toMatchObject({ code: 'granted' })
  expect((await sound()).balances).toMatchObject({ allocated: 9000n, reserved: 0n, 'payable:m1': 1000n })
})

test('the order that holds the lock redeems', async () => {
  const { id, voucher, sound } = await campaign()
  await room.vouchers.lock(id, voucher(), lockOf('an order, with spaces\nand a line'))
  const made = await room.vouchers.redeem(id, call(voucher(), { order: 'an order, with spaces\nand a line' }))
  expect(made).toMatchObject({ code: 'granted' })
  expect((await sound()).balances).toMatchObject({ allocated: 9000n, reserved: 0n })
})

test('limits count an order, a user at a merchant on a day, and the money of a day', async () => {
  const { id, voucher, sound } = await campaign()
  const most = { perOrder: 1, perMerchantAndDay: 2, amountPerDay: 3500 }
  const redeem = (serial: number, more: Partial<RedeemCall>) =>
    room.vouchers.redeem(id, call(voucher(serial), { most, ...more }))
  expect(await redeem(0, { order: 'o' })).toMatchObject({ code: 'granted' })
  expect(await redeem(1, { order: 'o' })).toEqual({ code: 'order_limit' })
  expect(await redeem(1, { order: 'o', merchant: 'm2' })).toMatchObject({ code: 'granted' })
  expect(await redeem(2, {})).toMatchObject({ code: 'granted' })
  expect(await redeem(3, {})).toEqual({ code: 'merchant_limit' })
  expect(await redeem(3, { user: 'u2' })).toEqual({ code: 'budget_exceeded' })
  expect(await redeem(3, { user: 'u2', day: { ...DAY, date: '2026-12-02' } })).toMatchObject({ code: 'granted' })
  expect(await redeem(4, { day: { date: '1970-01-01', startsAt: 0, endsAt: 10 } })).toMatchObject({
    code: 'wrong_day',
    at: expect.any(Number),
  })
  expect(await redeem(4, { lease: { from: 0, until: 1 } })).toMatchObject({ code: 'unavailable' })
  expect(Object.keys((await sound()).records)).toHaveLength(4)
})

test('a full reversal inside the validity restores the voucher, its limits and its expiry', async () => {
  const { id, voucher, sound } = await campaign()
  const most = { perOrder: 1, perMerchantAndDay: 1, amountPerDay: 1000 }
  const made = call(voucher(), { most, order: 'o', discount: 600 })
  await room.vouchers.redeem(id, made)
  const back = reversal(made.id)
  const { at, answer } = await room.vouchers.reverse(id, back)
  expect(answer).toBe(`{"id":"${back.id}","amount":600,"voucher_state":"active"}`)
  expect(await room.vouchers.reverse(id, back)).toEqual({ code: 'replayed', at, answer })
  expect(await room.vouchers.reverse(id, { ...back, fingerprint: 'r2' })).toEqual({ code: 'idempotency_mismatch' })
  expect(await room.vouchers.reverse(id, reversal(made.id))).toEqual({ code: 'not_reversible' })
  const { balances, records } = await sound()
  expect(balances).toMatchObject({ available: 990_000n, allocated: 10_000n, 'payable:m1': 0n })
  expect(records['1:0']).toBe(`active ${voucher().expiresAt} 1000 `)
  expect(await room.vouchers.redeem(id, call(voucher(), { most, order: 'o' }))).toMatchObject({ code: 'granted' })
})

test('partial and late reversals leave the voucher, never give back more than was redeemed', async () => {
  const { id, voucher, expiresAt, sound } = await campaign()
  const most = { perOrder: 1, perMerchantAndDay: 9, amountPerDay: 99_000 }
  const [part, late] = [call(voucher(0), { most, order: 'o' }), call(voucher(1))]
  await room.vouchers.redeem(id, part)
  await room.vouchers.redeem(id, late)
  const state = async (serial: number) => stateOf(id, voucher(serial))
  expect(await room.vouchers.reverse(id, reversal(part.id, { amount: 400 }))).toMatchObject({ code: 'granted' })
  expect(await room.vouchers.redeem(id, call(voucher(2), { most, order: 'o' }))).toEqual({ code: 'order_limit' })
  const usage = await room.link.request(client => client.hgetall(keys.campaignUsage(id)))
  expect(Object.values(usage)).toEqual(['1', '1', '600'])
  expect(await room.vouchers.reverse(id, reversal(part.id, { amount: 601 }))).toEqual({ code: 'over_redeemed' })
  expect(await room.vouchers.reverse(id, reversal(part.id, { merchant: 'm2' }))).toEqual({ code: 'not_found' })
  expect(await room.vouchers.reverse(id, reversal('rdm_none'))).toEqual({ code: 'not_found' })
  const rest = reversal(part.id, { merchant: 'm1' })
  expect((await room.vouchers.reverse(id, rest)).answer).toBe(
    `{"id":"${rest.id}","amount":600,"voucher_state":"redeemed"}`,
  )
  expect(await room.vouchers.reverse(id, reversal(part.id, { amount: 1 }))).toEqual({ code: 'not_reversible' })
  await room.moveClock(id, expiresAt - (await room.now()) + 1)
  await room.vouchers.reverse(id, reversal(late.id, { unused: 'available' }))
  expect([await state(0), await state(1)]).toEqual(['redeemed', 'redeemed'])
  expect((await sound()).balances).toMatchObject({ 'payable:m1': 0n, returned: 1000n, available: 991_000n })
})

test('a voucher or a redemption is deactivated, once, and says who and why', async () => {
  const { id, voucher, expiresAt, sound } = await campaign()
  const [held, gone, reversed] = [call(voucher(0)), call(voucher(1)), call(voucher(2))]
  for (const made of [held, gone, reversed]) await room.vouchers.redeem(id, made)
  await room.vouchers.reverse(id, reversal(reversed.id))
  const off = (what: { voucher?: VoucherFacts; redemption?: string }) =>
    room.vouchers.deactivate(id, { ...what, unused: 'returned', by: 'operator:o', note: 'fraud' })
  expect(await off({ redemption: held.id })).toEqual({ code: 'granted' })
  expect(await off({ redemption: held.id })).toEqual({ code: 'replayed' })
  expect(await off({ redemption: reversed.id })).toEqual({ code: 'not_reversible' })
  expect(await off({ voucher: voucher(1) })).toEqual({ code: 'already_redeemed' })
  await room.vouchers.lock(id, voucher(4), lockOf('o'))
  expect(await off({ voucher: voucher(4) })).toEqual({ code: 'granted' })
  expect(await off({ voucher: voucher(4) })).toEqual({ code: 'replayed' })
  expect(await room.vouchers.redeem(id, call(voucher(4)))).toEqual({ code: 'deactivated' })
  expect(await room.vouchers.lock(id, voucher(4), lockOf('o'))).toEqual({ code: 'deactivated' })
  expect(await room.vouchers.lock(id, voucher(1), lockOf('o'))).toEqual({ code: 'already_redeemed' })
  expect(await room.vouchers.redeem(id, call(voucher(1)))).toEqual({ code: 'already_redeemed' })
  await room.moveClock(id, expiresAt - (await room.now()) + 1)
  expect(await off({ voucher: voucher(5) })).toEqual({ code: 'expired' })
  expect(await room.vouchers.redeem(id, call(voucher(5)))).toEqual({ code: 'expired' })
  expect(await room.vouchers.lock(id, voucher(5), lockOf('o'))).toEqual({ code: 'expired' })
  const { entries, balances } = await sound()
  const audit = entries
    .filter(({ words }) => words.by === 'operator:o')
    .map(({ words }) => [words.kind, words.ref, words.voucher, words.note])
  expect(audit).toEqual([
    ['hold', held.id, '1:0', 'fraud'],
    ['deactivate', undefined, '1:4', 'fraud'],
  ])
  expect(balances).toMatchObject({ returned: 2000n, 'payable:m1': 1000n, reserved: 0n })
})

test('what was never touched expires in one entry, what was touched by itself, and nothing twice', async () => {
  const { id, voucher, expiresAt, sound } = await campaign({ packs: 1000 })
  await room.vouchers.redeem(id, call(voucher(0)))
  await room.vouchers.lock(id, voucher(1), lockOf('o', 1000))
  await room.vouchers.lock(id, voucher(2), lockOf('o', 10 * HOUR))
  const run = {
    roundNumber: 1,
    template: 0,
    from: 0,
    to: 1000,
    quantity: 1,
    worth: PACK_WORTH,
    endsAt: bucketEnds(expiresAt),
    buckets: [bucketOf(1, 0, expiresAt)],
    unused: 'returned',
  } as const
  expect(await room.ledger.expire(id, run)).toBe('not_open')
  expect(await room.ledger.due(id, 100, 'returned')).toBe(0)
  await room.moveClock(id, 2000)
  expect(await room.ledger.due(id, 100, 'returned')).toBe(1)
  expect((await sound()).balances).toMatchObject({ reserved: 1000n, allocated: 998_000n })
  await room.moveClock(id, bucketEnds(expiresAt) - (await room.now()) + 1)
  expect(await room.ledger.expire(id, run)).toBe('granted')
  expect(await room.ledger.expire(id, run)).toBe('replayed')
  expect(await room.ledger.expiredTo(id, 1, 0)).toBe(1000)
  expect(await room.ledger.due(id, 100, 'returned')).toBe(2)
  expect(await room.ledger.due(id, 100, 'returned')).toBe(0)
  const { balances, records } = await sound()
  expect(balances).toMatchObject({ allocated: 0n, reserved: 0n, returned: 999_000n, 'payable:m1': 1000n })
  expect(heldBy(records)).toEqual({ allocated: 0n, reserved: 0n })
  expect(await room.link.request(client => client.hlen(keys.campaignTouched(id)))).toBe(0)
})

test('a day is settled when it is over, part by part, each once', async () => {
  const { id, voucher, sound } = await campaign()
  await room.vouchers.redeem(id, call(voucher(0)))
  const part = {
    date: '2026-12-01',
    endsAt: 4e12,
    part: 1,
    amounts: [['m1', 1000]] as const,
    totals: '{"rows":1}',
    by: 'operator:o',
  }
  expect(await room.ledger.settle(id, part)).toBe('day_open')
  expect(await room.ledger.settle(id, { ...part, endsAt: 1 })).toBe('granted')
  expect(await room.ledger.settle(id, { ...part, endsAt: 1 })).toBe('replayed')
  expect(await room.ledger.settled(id, '2026-12-01')).toBe('{"rows":1}')
  expect((await sound()).balances).toMatchObject({ 'payable:m1': 0n, 'settled:m1': 1000n })
})

test('amounts at the edge of what a Lua number can say lose nothing', async () => {
  const worth = AMOUNT_MAX - 1
  const { id, voucher, sound } = await campaign({ packs: 1, worth, funds: AMOUNT_MAX })
  const made = call(voucher(), { discount: worth - 2, most: { ...NO_LIMIT, amountPerDay: AMOUNT_MAX } })
  await room.vouchers.redeem(id, made)
  expect((await sound()).balances).toMatchObject({
    sponsor_funds: -(2n ** 52n),
    available: 3n,
    'payable:m1': 2n ** 52n - 3n,
  })
  await room.vouchers.reverse(id, reversal(made.id, { amount: worth - 3 }))
  expect((await sound()).balances).toMatchObject({ 'payable:m1': 1n, returned: 2n ** 52n - 4n })
  const usage = await room.link.request(client => client.hgetall(keys.campaignUsage(id)))
  expect(usage).toEqual({ 'spent 2026-12-01': '1' })
})

test('a sequence is booked once', async () => {
  const { id, sound } = await campaign({ packs: 5 })
  const grants = { sequence: 5, amount: PACK_WORTH, source: 'available' }
  expect(await room.ledger.book(id, 1, grants)).toBe('replayed')
  expect(await room.ledger.book(id, 1, { ...grants, sequence: 7 })).toBe('granted')
  await room.ledger.create(id, 5)
  expect((await sound()).balances).toMatchObject({ allocated: 7000n })
})

test('a campaign that lost a key is fenced, whatever is asked', async () => {
  for (const key of [keys.campaignState, keys.campaignLedger, keys.campaignVouchers]) {
    const { id, voucher } = await campaign()
    const made = call(voucher())
    await room.vouchers.redeem(id, made)
    await room.vouchers.lock(id, voucher(7), lockOf('o', 1))
    await room.moveClock(id, 10)
    await room.link.request(client => client.del(key(id)))
    const asked: (() => Promise<unknown>)[] = [
      () => room.vouchers.redeem(id, call(voucher(1))),
      () => room.vouchers.lock(id, voucher(1), lockOf('o')),
      () => room.vouchers.unlock(id, voucher(1), ownerOf('o')),
      () => room.vouchers.read(id, [voucher(1)]),
      () => room.vouchers.reverse(id, reversal(made.id)),
      () => room.vouchers.deactivate(id, { voucher: voucher(1), unused: 'returned', by: 'o', note: '' }),
      () => room.ledger.due(id, 10, 'returned'),
    ]
    const books = [
      () => room.ledger.book(id, 1, { sequence: 99, amount: 1, source: 'available' }),
      () => room.ledger.settle(id, { date: 'd', endsAt: 1, part: 1, amounts: [], totals: '', by: 'o' }),
      () =>
        room.ledger.expire(id, {
          roundNumber: 1,
          template: 0,
          from: 0,
          to: 1,
          quantity: 1,
          worth: 1,
          endsAt: 1,
          buckets: ['b'],
          unused: 'returned',
        }),
    ]
    if (key !== keys.campaignVouchers) asked.push(...books)
    for (const ask of asked) await expect(ask(), String(ask)).rejects.toMatchObject({ code: 'fenced' })
  }
})

const RACES = effort(40, 200)

test(`of 1,000 redemptions of one voucher at once one succeeds, ${RACES} times`, { timeout: 240_000 }, async () => {
  const { id, voucher, sound } = await campaign({ packs: RACES })
  for (let serial = 0; serial < RACES; serial++) {
    const all = await Promise.all(Array.from({ length: 1000 }, () => room.vouchers.redeem(id, call(voucher(serial)))))
    // A link that lost its connection asks again, and the winner then reads its own answer.
    const won = all.filter(({ code }) => code === 'granted' || code === 'replayed')
    expect([won.length, all.filter(({ code }) => code === 'already_redeemed').length]).toEqual([1, 999])
  }
  expect((await sound()).balances).toMatchObject({ allocated: 0n, 'payable:m1': BigInt(RACES * PACK_WORTH) })
})

test('1,000 repeats of one request at once get one answer', async () => {
  const { id, voucher, sound } = await campaign()
  const one = call(voucher())
  const all = await Promise.all(Array.from({ length: 1000 }, () => room.vouchers.redeem(id, one)))
  expect(new Set(all.map(({ at, answer }) => `${at} ${answer}`)).size).toBe(1)
  expect(all.filter(({ code }) => code === 'granted')).toHaveLength(1)
  expect((await sound()).entries.filter(({ words }) => words.kind === 'redeem')).toHaveLength(1)
})

test('a key stands for one body of a caller', async () => {
  const owns = (caller: string, fingerprint: string) => room.vouchers.ownsKey({ caller, key: 'k', fingerprint })
  const owned = [await owns('c', 'f1'), await owns('c', 'f1'), await owns('c', 'f2'), await owns('d', 'f2')]
  expect(owned).toEqual([true, true, false, true])
})

test('the secret is made once and is the same for everybody', async () => {
  const agreement = new AgreementStore(room.link, room.link, realRandom)
  const secrets = await Promise.all(Array.from({ length: 20 }, () => agreement.secret('voucher')))
  expect(secrets[0]).toHaveLength(32)
  expect(new Set(secrets.map(secret => secret.toString('hex'))).size).toBe(1)
})

test.each([
  'campaign-create',
  'book',
  'voucher-lock',
  'voucher-unlock',
  'voucher-read',
  'key-own',
  'redeem',
  'reverse',
  'deactivate',
  'voucher-due',
  'expire',
  'settle',
] as const)('every outcome that %s names was answered', name => {
  const { named, seen } = room.outcomes(name)
  expect(seen).toEqual(named)
})
