/**
 * scripts/budget.lua: money is committed once a request, never beyond the most, exactly up to 2^52 minor units.
 *
 * The raw hash is read after each call, because the sum and its parts have to agree whatever was refused. Amounts near
 * the limit are tried on purpose: Lua's numbers are doubles, and its default text form would round them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AMOUNT_MAX } from '../../engine/base/limits.ts'
import * as keys from '../../engine/store/keys.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

let campaigns = 0
const campaign = () => `cmp_budget${++campaigns}`
const held = (id: string) => room.link.request(client => client.hgetall(keys.campaignBudget(id)))

test('requests add up to the most and not beyond it', async () => {
  const id = campaign()
  expect(await room.rounds.commitBudget(id, 'a create', 60, 100)).toBe(true)
  expect(await room.rounds.commitBudget(id, 'b create', 41, 100)).toBe(false)
  expect(await held(id)).toEqual({ sum: '60', 'a create': '60' })
  expect(await room.rounds.commitBudget(id, 'b create', 40, 100)).toBe(true)
  expect(await held(id)).toEqual({ sum: '100', 'a create': '60', 'b create': '40' })
})

test('a request that is repeated counts once, and can be taken back once', async () => {
  const id = campaign()
  for (let i = 0; i < 3; i++) expect(await room.rounds.commitBudget(id, 'a', 70, 100)).toBe(true)
  expect((await held(id)).sum).toBe('70')
  for (let i = 0; i < 3; i++) expect(await room.rounds.commitBudget(id, 'a', 0, 100)).toBe(true)
  expect(await held(id)).toEqual({ sum: '0', a: '0' })
})

test('money that goes back is taken even when the budget is exceeded by now', async () => {
  const id = campaign()
  await room.rounds.commitBudget(id, 'a', 90, 100)
  expect(await room.rounds.commitBudget(id, 'b', -20, 50)).toBe(true)
  expect((await held(id)).sum).toBe('70')
  expect(await room.rounds.commitBudget(id, 'c', 1, 50)).toBe(false)
})

test('large amounts lose no digit', async () => {
  const id = campaign()
  expect(await room.rounds.commitBudget(id, 'a', AMOUNT_MAX - 1, AMOUNT_MAX)).toBe(true)
  expect((await held(id)).sum).toBe(String(AMOUNT_MAX - 1))
  expect(await room.rounds.commitBudget(id, 'b', 2, AMOUNT_MAX)).toBe(false)
  expect(await room.rounds.commitBudget(id, 'b', 1, AMOUNT_MAX)).toBe(true)
  expect((await held(id)).sum).toBe(String(AMOUNT_MAX))
  expect(await room.rounds.commitBudget(campaign(), 'a', 1e23, AMOUNT_MAX)).toBe(false)
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('budget')
  expect(seen).toEqual(named)
})
