/**
 * scripts/budget.lua: money is committed once a request, never beyond the most, exactly up to 2^52 minor units, and settled
 * to what came of the request.
 *
 * The raw hash is read after each call, because the sum and its parts have to agree whatever was refused. Amounts near
 * the limit are tried on purpose: Lua's numbers are doubles, and its default text form would round them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AMOUNT_MAX } from '../../engine/base/limits.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Commitment } from '../../engine/store/data/budget-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

let campaigns = 0
const campaign = () => `cmp_budget${++campaigns}`
const held = (id: string) => room.link.request(client => client.hgetall(keys.campaignBudget(id)))

/** A commitment of a campaign; `request` stands for its round, too. */
const of = (campaignId: string, request: string, amount: number): Commitment => ({
  ...{ campaignId, roundId: `rnd_${request}`, request, amount },
})
const commit = (id: string, request: string, amount: number, most = 100) =>
  room.budgets.commit(of(id, request, amount), most)
const settle = (id: string, request: string, amount: number, isMade: boolean) =>
  room.budgets.settle(of(id, request, amount), isMade)

test('requests add up to the most and not beyond it', async () => {
  const id = campaign()
  expect(await commit(id, 'a', 60)).toBe(true)
  expect(await commit(id, 'b', 41)).toBe(false)
  expect(await held(id)).toEqual({ sum: '60', 'rnd_a a': '60' })
  expect(await commit(id, 'b', 40)).toBe(true)
  expect(await held(id)).toEqual({ sum: '100', 'rnd_a a': '60', 'rnd_b b': '40' })
})

test('a request that is repeated counts once, and so does what came of it', async () => {
  const id = campaign()
  for (let i = 0; i < 3; i++) expect(await commit(id, 'a', 70)).toBe(true)
  for (let i = 0; i < 3; i++) await settle(id, 'a', 70, true)
  expect(await held(id)).toEqual({ sum: '70', 'rnd_a a': '70' })
  for (let i = 0; i < 3; i++) await settle(id, 'a', 70, false)
  expect(await held(id)).toEqual({ sum: '0', 'rnd_a a': '0' })
})

test('a copy of a request that arrives after it was settled commits nothing', async () => {
  const id = campaign()
  await settle(id, 'late', 70, false)
  await commit(id, 'taken', -20)
  await settle(id, 'taken', -20, true)
  const before = await held(id)
  expect(before).toEqual({ sum: '-20', 'rnd_late late': '0', 'rnd_taken taken': '-20' })
  expect(await commit(id, 'late', 70)).toBe(true)
  expect(await commit(id, 'taken', -20)).toBe(true)
  expect(await held(id)).toEqual(before)
})

test('money that goes back is taken even when the budget is exceeded by now', async () => {
  const id = campaign()
  await commit(id, 'a', 90)
  expect(await commit(id, 'b', -20, 50)).toBe(true)
  expect((await held(id)).sum).toBe('90')
  await settle(id, 'b', -20, true)
  expect((await held(id)).sum).toBe('70')
  expect(await commit(id, 'c', 1, 50)).toBe(false)
})

test('large amounts lose no digit', async () => {
  const id = campaign()
  expect(await commit(id, 'a', AMOUNT_MAX - 1, AMOUNT_MAX)).toBe(true)
  expect((await held(id)).sum).toBe(String(AMOUNT_MAX - 1))
  expect(await commit(id, 'b', 2, AMOUNT_MAX)).toBe(false)
  expect((await held(id)).sum).toBe(String(AMOUNT_MAX - 1))
  expect(await commit(id, 'b', 1, AMOUNT_MAX)).toBe(true)
  expect((await held(id)).sum).toBe(String(AMOUNT_MAX))
  expect(await commit(campaign(), 'a', 1e23, AMOUNT_MAX)).toBe(false)
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('budget')
  expect(seen).toEqual(named)
})
