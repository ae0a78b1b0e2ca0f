/**
 * What a till rests on when it redeems, script by script: the lease of what operators had set, and whose a lock is.
 *
 * A lease is tried from both sides of Redis's clock and in one call with others; a lock in every pair of the keys that may
 * meet at a voucher, by the rule as docs/redemption.md has it and not as the scripts do. That random sequences end alike is
 * voucher-model.test.ts's.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import type { RedeemCall, VoucherFacts } from '../../engine/store/data/voucher-store.ts'
import { expectSoundLedger } from '../support/ledger-audit.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

const FAR_MS = 60_000
let calls = 0

async function campaign() {
  const id = await room.newCampaign()
  await room.ledger.book(id, 1, { sequence: 10, amount: 1000, source: 'available' })
  const expiresAt = (await room.now()) + 3_600_000
  const voucher = (serial = 0): VoucherFacts => ({ roundNumber: 1, serial, template: 0, expiresAt, worth: 1000 })
  return { id, voucher, sound: () => expectSoundLedger(room.link, id) }
}

function call(voucher: VoucherFacts, more: Partial<RedeemCall> = {}): RedeemCall {
  const id = `rdm_${++calls}`
  const request = { caller: 'merchant:m', key: id, fingerprint: 'f', id, answer: `{"id":"${id}"}` }
  const day = { date: '2026-12-01', startsAt: 1, endsAt: 4e12 }
  const rules = { lease: { from: 0, until: 4e12 }, most: { perOrder: 0, perMerchantAndDay: 0, amountPerDay: 0 } }
  const order = { merchant: 'm1', bound: false, user: 'u', order: `o${calls}`, discount: 1000, gross: 5000, pool: 'p' }
  return { voucher, day, ...request, ...rules, ...order, ...more }
}

test('beyond the lease, or before it by a clock that was set back, nothing is redeemed and nothing is written', async () => {
  const { id, voucher, sound } = await campaign()
  const now = await room.now()
  const wrong = [
    { from: now - FAR_MS, until: now - 1 },
    { from: now + FAR_MS, until: now + 2 * FAR_MS },
  ]
  for (const lease of wrong)
    expect(await room.vouchers.redeem(id, call(voucher(), { lease }))).toEqual({ code: 'unavailable', again: false })
  const { balances, records, entries } = await sound()
  expect(balances).toMatchObject({ allocated: 10_000n })
  expect([Object.keys(records), entries.some(({ words }) => words.kind === 'redeem')]).toEqual([[], false])
  const right = call(voucher(), { lease: { from: now, until: now + FAR_MS } })
  expect(await room.vouchers.redeem(id, right)).toMatchObject({ code: 'granted' })
})

test('a lease is by Redis’s clock, not by that of a campaign that a rehearsal moved', async () => {
  const { id, voucher } = await campaign()
  await room.moveClock(id, FAR_MS)
  const now = await room.now()
  const lease = { from: now, until: now + FAR_MS / 2 }
  expect(await room.vouchers.redeem(id, call(voucher(), { lease }))).toMatchObject({ code: 'granted' })
})

test('what was redeemed is answered whatever became of the lease, and doubt stays where there was doubt', async () => {
  const { id, voucher } = await campaign()
  const first = call(voucher())
  const made = await room.vouchers.redeem(id, first)
  const lease = { from: 0, until: 1 }
  expect(await room.vouchers.redeem(id, { ...first, lease })).toEqual({ ...made, code: 'replayed' })
  room.link.twice = true
  const late = call(voucher(1), { lease })
  expect(await room.vouchers.redeem(id, late)).toEqual({ code: 'unavailable', again: true })
  room.link.twice = false
  await room.vouchers.lock(id, voucher(1), { by: 'p', merchant: '', order: 'other', ttlMs: FAR_MS, id: 'lck_1' })
  const { lease: valid } = call(voucher(1))
  await expect(room.vouchers.redeem(id, { ...late, lease: valid, again: true })).rejects.toMatchObject({
    code: 'unknown',
  })
})

test.each([
  { from: 0, until: 1 },
  { from: 4e12 - 1, until: 4e12 },
])('redemptions that share a call share the shortest lease: %o', async lease => {
  const { id, voucher } = await campaign()
  const leases = [{ from: 0, until: 4e12 }, lease, { from: 0, until: 4e12 }]
  const all = leases.map((each, serial) => room.vouchers.redeem(id, call(voucher(serial), { lease: each })))
  expect((await Promise.all(all)).map(({ code }) => code)).toEqual(['unavailable', 'unavailable', 'unavailable'])
})

/** Keys that may meet at a voucher: whom each is bound to, or nobody. */
const BOUND = ['', 'm1', 'm2'] as const

test.each(BOUND.flatMap(holder => BOUND.map(other => [holder || 'nobody', other || 'nobody', holder, other] as const)))(
  'a lock of a key bound to %s, met by one bound to %s with the same order',
  async (_, __, holder, other) => {
    const { id, voucher, sound } = await campaign()
    const owner = (merchant: string) => ({ by: 'p', merchant, order: 'a b\nc' })
    const lock = (merchant: string) =>
      room.vouchers.lock(id, voucher(), { ...owner(merchant), ttlMs: FAR_MS, id: `lck_${++calls}` })
    const first = await lock(holder)
    const own = holder === other
    expect((await lock(other)).code).toBe(own ? 'granted' : 'voucher_locked')
    expect((await room.vouchers.unlock(id, voucher(), owner(other))).code).toBe(own ? 'granted' : 'voucher_locked')
    if (own) expect((await lock(holder)).code).toBe('granted')
    const { lock: kept = '' } = (await room.vouchers.read(id, [voucher()])).vouchers[0] ?? {}
    if (!own) expect(kept).toBe(`${first.at} ${first.answer}${holder && `@${holder}`} a b\nc`)
    const redeem = (merchant: string, bound: boolean, order = 'a b\nc') =>
      room.vouchers.redeem(id, call(voucher(), { merchant, bound, order })).then(({ code }) => code)
    expect(await redeem(other || 'm1', other !== '', 'another')).toBe('voucher_locked')
    if (holder !== '') expect(await redeem('m3', false)).toBe('voucher_locked')
    if (!own && other !== '') expect(await redeem(other, true)).toBe('voucher_locked')
    // A key that is bound to nobody redeems for the merchant who holds the lock, and under a lock that is only an order's.
    const may = own ? other !== '' : false
    expect(await redeem(holder || 'm9', may)).toBe('granted')
    expect((await sound()).balances).toMatchObject({ allocated: 9000n, reserved: 0n })
  },
)

test('a lock of before locks had merchants is the order’s, and keeps bound keys out', async () => {
  const { id, voucher } = await campaign()
  await room.vouchers.lock(id, voucher(), { by: 'p', merchant: '', order: 'o@1 x', ttlMs: FAR_MS, id: 'lck_1' })
  const record = await room.link.request(client => client.hget(keys.campaignVouchers(id), '1:0'))
  expect(record).toMatch(/^locked \d+ 1000 \d+ lck_1 o@1 x$/)
  const redeem = (bound: boolean) => room.vouchers.redeem(id, call(voucher(), { bound, order: 'o@1 x' }))
  expect(await redeem(true)).toMatchObject({ code: 'voucher_locked' })
  expect(await redeem(false)).toMatchObject({ code: 'granted' })
})
