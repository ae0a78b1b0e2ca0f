/**
 * A clock that is corrected by another one: within a minute it is its own, beyond it the other's, also when the machine's
 * is set while the process runs, and nothing that measures spans is touched. The machine is a hand's clock whose calendar
 * is set by the test.
 */
import { expect, test } from 'vitest'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import type { Clock } from '../../engine/base/clock.ts'
import { CorrectedClock } from '../../engine/base/corrected-clock.ts'
import { JWT_SECRET } from '../support/engine.ts'
import { HandClock } from '../support/hand-clock.ts'
import { userToken } from '../support/user-token.ts'

const HOUR_MS = 3_600_000
const TRUE_MS = Date.UTC(2026, 10, 29)

/** A machine whose calendar is so far ahead of the true one, and can be set. */
function machine(aheadMs: number) {
  const hand = new HandClock(TRUE_MS)
  const set = { aheadMs }
  const own: Clock = {
    wallMs: () => hand.wallMs() + set.aheadMs,
    monotonicMs: () => hand.monotonicMs(),
    originMs: hand.originMs + aheadMs,
    after: (ms, run) => hand.after(ms, run),
    soon: run => hand.soon(run),
  }
  return { hand, set, own, clock: new CorrectedClock(own) }
}

test.each([
  [0, 0],
  [59_000, 59_000],
  [-60_000, -60_000],
  [61_000, 0],
  [-5 * HOUR_MS, 0],
  [-20 * 8766 * HOUR_MS, 0],
])('a machine %d ms ahead tells a time that is %d ms ahead', (aheadMs, told) => {
  const { clock, hand } = machine(aheadMs)
  clock.learn(-aheadMs)
  expect(clock.wallMs() - hand.wallMs()).toBe(told)
  expect(clock.originMs - hand.originMs).toBe(told)
  hand.advance(7000)
  expect(clock.wallMs() - hand.wallMs()).toBe(told)
})

test('a machine that is set while the process runs is right again with the next check, its stamps too', () => {
  const { clock, hand, set } = machine(0)
  clock.learn(0)
  set.aheadMs = -5 * HOUR_MS
  clock.learn(5 * HOUR_MS)
  expect([clock.wallMs(), clock.originMs]).toEqual([hand.wallMs(), hand.originMs])
  set.aheadMs = 0
  clock.learn(0)
  expect([clock.wallMs(), clock.originMs]).toEqual([hand.wallMs(), hand.originMs])
})

test('a machine that was wrong when the process began and was set since stamps by the calendar of now', () => {
  const { clock, hand, set } = machine(-5 * HOUR_MS)
  set.aheadMs = 0
  clock.learn(0)
  expect([clock.wallMs(), clock.originMs]).toEqual([hand.wallMs(), hand.originMs])
})

test('spans are never corrected', () => {
  const { clock, hand } = machine(-5 * HOUR_MS)
  const before = clock.monotonicMs()
  const ran: number[] = []
  clock.after(1000, () => ran.push(clock.monotonicMs() - before))
  clock.learn(5 * HOUR_MS)
  hand.advance(1000)
  expect(ran).toEqual([1000])
})

test('a token that was verified and remembered ends when the check finds the machine behind', () => {
  const { clock } = machine(-5 * HOUR_MS)
  const tokens = new UserTokens({ secret: JWT_SECRET, publicKey: '' }, clock)
  const token = userToken('u1', { claims: { exp: (TRUE_MS - HOUR_MS) / 1000 } })
  expect(tokens.verify(token)?.userId).toBe('u1')
  clock.learn(5 * HOUR_MS)
  expect(tokens.verify(token)).toBeUndefined()
})
