/**
 * scripts/redeem.lua: a voucher is redeemed exactly once, a request that is repeated gets the first answer byte for
 * byte, and what the raw keys hold says the same.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/keys.ts'
import type { RedeemCall } from '../../engine/store/voucher-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

let calls = 0
const FAR = Date.UTC(2090, 0, 1)
const call = (more: Partial<RedeemCall> = {}): RedeemCall => {
  const id = `rdm_${++calls}`
  const rest = { serial: 7, expiresAt: FAR, caller: 'merchant:m', key: `key ${calls}`, fingerprint: 'f1' }
  return { ...rest, id, answer: `{"id":"${id}","text":"line\\nü 🎟"}`, ...more }
}
const round = () => room.newRound({ open: false })

test('a redemption is kept with its time, and marks the voucher', async () => {
  const id = await round()
  const from = await room.now()
  const first = call({ serial: 12 })
  const redeemed = await room.vouchers.redeem(id, first)
  expect(redeemed).toEqual({ code: 'granted', at: redeemed.at, answer: first.answer })
  expect(redeemed.at).toBeGreaterThanOrEqual(from)
  expect(redeemed.at).toBeLessThanOrEqual(await room.now())
  expect(await room.vouchers.record(id, 12)).toBe(`redeemed ${first.id}`)
  expect(await room.vouchers.records(id, [11, 12])).toEqual([null, `redeemed ${first.id}`])
  expect(await room.vouchers.redemption(id, first.id)).toEqual({ at: redeemed.at, answer: first.answer })
  expect(await room.vouchers.redemption(id, 'rdm_none')).toBeUndefined()
  expect(await room.link.request(client => client.hgetall(keys.roundRedemptions(id)))).toEqual({
    [`request ${first.caller} ${first.key}`]: first.id,
    [first.id]: `f1 ${redeemed.at} ${first.answer}`,
  })
})

test('the same request again gets the first answer, whatever id it brings', async () => {
  const id = await round()
  const first = call()
  const { at } = await room.vouchers.redeem(id, first)
  const again = await room.vouchers.redeem(id, { ...first, id: 'rdm_other', answer: '{"id":"rdm_other"}' })
  expect(again).toEqual({ code: 'replayed', at, answer: first.answer })
  expect(await room.vouchers.redeem(id, { ...first, expiresAt: 1 })).toMatchObject({ code: 'replayed', at })
  expect(await room.link.request(client => client.hlen(keys.roundRedemptions(id)))).toBe(2)
})

test('a key with another body is a mismatch and changes nothing; another caller may use the same key', async () => {
  const id = await round()
  const first = call()
  await room.vouchers.redeem(id, first)
  const before = await room.link.request(client => client.hgetall(keys.roundRedemptions(id)))
  expect(await room.vouchers.redeem(id, { ...first, serial: 8, fingerprint: 'f2' })).toEqual({
    code: 'idempotency_mismatch',
  })
  expect(await room.link.request(client => client.hgetall(keys.roundRedemptions(id)))).toEqual(before)
  expect(await room.vouchers.record(id, 8)).toBeNull()
  const other = { ...first, caller: 'merchant:n', serial: 8, fingerprint: 'f2', id: 'rdm_n' }
  expect(await room.vouchers.redeem(id, other)).toMatchObject({ code: 'granted' })
})

test('a voucher that was redeemed stays redeemed; the refused request leaves no trace', async () => {
  const id = await round()
  await room.vouchers.redeem(id, call({ serial: 3 }))
  const second = call({ serial: 3 })
  expect(await room.vouchers.redeem(id, second)).toEqual({ code: 'already_redeemed' })
  expect(await room.link.request(client => client.hexists(keys.roundRedemptions(id), second.id))).toBe(0)
  expect(await room.vouchers.redeem(id, call({ serial: 4 }))).toMatchObject({ code: 'granted' })
})

test('validity ends at its moment by the clock of Redis, and a refused voucher keeps no record', async () => {
  const id = await round()
  expect(await room.vouchers.redeem(id, call({ expiresAt: await room.now() }))).toEqual({ code: 'expired' })
  expect(await room.vouchers.record(id, 7)).toBeNull()
  expect(await room.vouchers.redeem(id, call({ expiresAt: (await room.now()) + 60_000 }))).toMatchObject({
    code: 'granted',
  })
})

test('of 1,000 redemptions of one voucher at once one succeeds', async () => {
  const id = await round()
  const all = await Promise.all(Array.from({ length: 1000 }, () => room.vouchers.redeem(id, call({ serial: 99 }))))
  const count = Object.groupBy(all, ({ code }) => code)
  expect(count.granted).toHaveLength(1)
  expect(count.already_redeemed).toHaveLength(999)
  expect(await room.link.request(client => client.hlen(keys.roundRedemptions(id)))).toBe(2)
})

test('1,000 repeats of one request at once get one answer', async () => {
  const id = await round()
  const one = call()
  const all = await Promise.all(Array.from({ length: 1000 }, () => room.vouchers.redeem(id, one)))
  expect(new Set(all.map(({ at, answer }) => `${at} ${answer}`)).size).toBe(1)
  expect(all.filter(({ code }) => code === 'granted')).toHaveLength(1)
})

test('a key stands for one body of a caller, and is forgotten after a week', async () => {
  expect(await room.vouchers.ownsKey('c', 'k', 'f1')).toBe(true)
  expect(await room.vouchers.ownsKey('c', 'k', 'f1')).toBe(true)
  expect(await room.vouchers.ownsKey('c', 'k', 'f2')).toBe(false)
  expect(await room.vouchers.ownsKey('d', 'k', 'f2')).toBe(true)
  const ttl = await room.link.request(client => client.ttl(keys.idempotency('c', 'k')))
  expect(ttl).toBeGreaterThan(7 * 86_400 - 60)
  expect(ttl).toBeLessThanOrEqual(7 * 86_400)
})

test('the secret is made once and is the same for everybody', async () => {
  const secrets = await Promise.all(Array.from({ length: 20 }, () => room.vouchers.secret()))
  expect(secrets[0]).toHaveLength(32)
  expect(new Set(secrets.map(secret => secret.toString('hex'))).size).toBe(1)
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('redeem')
  expect(seen).toEqual(named)
})
