/**
 * What a generator sends and when: the feed's merge of planned and repeated taps, and what answers lead to.
 *
 * The feed is checked by a property, since its wheel went wrong only for gaps that no profile has. The flow is played
 * against fixed answers without a socket: it is the real one, only the transport is a loop.
 */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NO_ANSWER } from '../../bench/audit/history.ts'
import { ClaimFlow } from '../../bench/load/claim-flow.ts'
import { Feed } from '../../bench/load/feed.ts'
import { Flights } from '../../bench/load/flights.ts'
import { KIND, type Plan } from '../../bench/people/arrival.ts'
import { RETRY, retriesExpected } from '../../bench/people/profile.ts'
import { CODES } from '../../engine/base/codes.ts'

const seed = Number(process.env.TEST_SEED ?? 1)
const BUCKET_US = 4000

function planAt(times: readonly number[], kind: number = KIND.first): Plan {
  return {
    timeUs: Int32Array.from(times),
    user: Uint32Array.from(times, (_, place) => place),
    kind: new Uint8Array(times.length).fill(kind),
  }
}

test('a tap that was put back comes out once, never before its time and never later than its bucket', () => {
  const taps = fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 3_000_000 }), gap: fc.integer({ min: 0, max: 2_500_000 }) }),
    { maxLength: 200 },
  )
  fc.assert(
    fc.property(taps, rows => {
      const sorted = rows.toSorted((a, b) => a.at - b.at)
      const feed = new Feed(planAt(sorted.map(row => row.at)))
      const wanted = new Map<number, number>()
      let last = Number.NEGATIVE_INFINITY
      let count = 0
      while (feed.next(Number.POSITIVE_INFINITY)) {
        count++
        expect(feed.plannedUs).toBeGreaterThanOrEqual(last)
        last = feed.plannedUs
        if (feed.kind === KIND.retry) {
          expect(feed.plannedUs).toBeGreaterThanOrEqual(wanted.get(feed.user)!)
          expect(feed.plannedUs).toBeLessThanOrEqual(wanted.get(feed.user)! + BUCKET_US)
        } else {
          const at = feed.plannedUs + sorted[feed.user]!.gap
          wanted.set(feed.user, at)
          feed.again(feed.user, 1, at)
        }
      }
      expect(count).toBe(rows.length * 2)
      expect(feed.exhausted).toBe(true)
    }),
    { seed },
  )
})

test('nothing is given out before the limit allows it', () => {
  const feed = new Feed(planAt([0, 1000, 2000]))
  expect([feed.next(-1), feed.next(0), feed.next(999), feed.next(1500)]).toEqual([false, true, false, true])
  expect([feed.left, feed.dueUs]).toEqual([1, 2000])
})

/** Plays a plan against a fixed answer; how often each user asked. */
function play(plan: Plan, answer: (user: number, asked: number) => number, gate = true): number[] {
  const flow = new ClaimFlow({ plan, pace: 'max', seed, retries: true })
  if (gate) flow.openGate(0)
  const asked: number[] = []
  for (;;) {
    flow.tick()
    const slot = flow.take()
    if (slot < 0) break
    const user = flow.flights.user[slot]!
    asked[user] = (asked[user] ?? 0) + 1
    flow.sent(1)
    flow.answer(slot, answer(user, asked[user]), 0)
  }
  return asked
}

test('losers tap again with the chance of the profile, at most six times; winners do not', () => {
  const plan = planAt(Array.from({ length: 40_000 }, (_, place) => place * 100))
  const asked = play(plan, user => (user % 2 === 0 ? CODES.sold_out.number : CODES.granted.number))
  const losers = asked.filter((_, user) => user % 2 === 0)
  const again = losers.reduce((sum, taps) => sum + taps - 1, 0) / losers.length
  // The mean of 20,000 has a standard deviation of 0.0106.
  expect(Math.abs(again - retriesExpected())).toBeLessThan(0.08)
  expect(Math.max(...losers)).toBe(RETRY.max + 1)
  expect(asked.filter((taps, user) => user % 2 === 1 && taps !== 1)).toEqual([])
})

test('who was not answered, or told to wait, asks again for certain', () => {
  const codes = [NO_ANSWER, CODES.overloaded.number, CODES.unknown.number, CODES.not_open.number, CODES.paused.number]
  const asked = play(planAt(codes.map((_, place) => place)), (user, times) =>
    times === 1 ? codes[user]! : CODES.granted.number,
  )
  expect(asked).toEqual(codes.map(() => 2))
})

test('bots with a rhythm and second taps keep to the plan', () => {
  for (const kind of [KIND.naiveBot, KIND.spreadBot, KIND.double]) {
    expect(play(planAt([1, 2, 3], kind), () => CODES.sold_out.number)).toEqual([1, 1, 1])
  }
})

test('before the gate opens only what is planned before the opening goes out', () => {
  const asked = play(planAt([-500, -1, 0, 10]), () => CODES.not_open.number, false)
  expect(asked).toEqual([1, 1])
})

const LATE_US = 10_000_000

test('a slow answer delays nobody else, and its lateness counts from the plan', async () => {
  const flow = new ClaimFlow({ plan: planAt([0, 0]), pace: 'real', seed, retries: false })
  // Ten seconds late, so that no stall of this process is as long.
  flow.openGate(flow.tick() - LATE_US)
  const first = flow.take()
  const second = flow.take()
  flow.sent(2)
  flow.answer(second, CODES.granted.number, 1)
  expect(flow.flights.count).toBe(1)
  flow.answer(first, CODES.granted.number, 2)
  const { corrected, raw, slip } = flow.recorder.summary()
  const { Latency } = await import('../../bench/measure/latency.ts')
  expect(new Latency(corrected).at(50)).toBeGreaterThanOrEqual(LATE_US * 0.99)
  expect(new Latency(slip).at(50)).toBeGreaterThanOrEqual(LATE_US * 0.99)
  expect(new Latency(raw).at(100)).toBeLessThan(LATE_US)
})

test('what is in flight when a run ends is recorded as unanswered', () => {
  const flow = new ClaimFlow({ plan: planAt([1, 2, 3]), pace: 'max', seed, retries: true })
  flow.openGate(0)
  flow.tick()
  const slots = [flow.take(), flow.take(), flow.take()]
  flow.answer(slots[1]!, CODES.granted.number, 1)
  flow.abandon(NO_ANSWER)
  const { at, length } = flow.recorder.history
  expect(Array.from(at.outcome.subarray(0, length)).toSorted()).toEqual(
    [CODES.granted.number, NO_ANSWER, NO_ANSWER].toSorted(),
  )
  expect(at.answered.subarray(1, 3).every(time => time === Number.POSITIVE_INFINITY)).toBe(true)
})

test('slots are recycled and the table grows without losing what is in flight', () => {
  const flights = new Flights()
  const slots = Array.from({ length: 10_000 }, (_, user) => {
    const slot = flights.take()
    flights.user[slot] = user
    return slot
  })
  for (const slot of slots.slice(0, 5000)) flights.release(slot)
  expect(flights.count).toBe(5000)
  expect(flights.taken()).toEqual(slots.slice(5000))
  expect(flights.user[slots[9999]!]).toBe(9999)
  expect(slots).toContain(flights.take())
})
