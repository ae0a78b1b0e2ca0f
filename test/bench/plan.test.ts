/**
 * The plan of a release: it has the shape that the profile promises, and the same for everybody who plans it.
 *
 * The shapes are checked against the historical figures (sold out when, peak, share of bots) at a tenth of the size:
 * if an assumption drifts, the published comparisons would silently compare something else.
 */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KIND, orderOf, type Plan, planLate, planRelease, planUntil } from '../../bench/people/arrival.ts'
import { merchantOf, orderAmount, vouchersUsed } from '../../bench/people/order.ts'
import { DRAW_BOTS, PROFILES, type Profile, retriesExpected, sizesOf } from '../../bench/people/profile.ts'
import { Random } from '../../bench/people/random.ts'

const WHOLE = { index: 0, of: 1 }
const seed = Number(process.env.TEST_SEED ?? 1)

function planOf(profile: Profile, scale: number, runSeed = seed): Plan {
  return planRelease({ profile, sizes: sizesOf(profile, scale), seed: runSeed, part: WHOLE })
}

/** When the last pack goes if every first tap after the opening wins. */
function soldOutS(plan: Plan, stock: number): number {
  const holders = new Set<number>()
  for (let place = 0; place < plan.user.length; place++) {
    if (plan.timeUs[place]! < 0) continue
    holders.add(plan.user[place]!)
    if (holders.size === stock) return plan.timeUs[place]! / 1e6
  }
  return Number.POSITIVE_INFINITY
}

function peakPerS(plan: Plan): number {
  const seconds = new Map<number, number>()
  for (const timeUs of plan.timeUs) {
    const second = Math.floor(timeUs / 1e6)
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
  }
  return Math.max(...seconds.values())
}

describe('a release', () => {
  test.each(['hangzhou', 'city-2m', 'wuhan'] as const)('%s sells out when it did', name => {
    const profile = PROFILES[name]
    const sizes = sizesOf(profile, 0.05)
    const at = soldOutS(planOf(profile, 0.05), sizes.stock)
    expect(at).toBeGreaterThan(profile.soldOutS * 0.93)
    expect(at).toBeLessThan(profile.soldOutS * 1.07)
  })

  test.each(Object.values(PROFILES))('$name has its peak and its share of bots', profile => {
    const scale = 100_000 / profile.people
    const sizes = sizesOf(profile, scale)
    const plan = planOf(profile, scale)
    const bots = plan.kind.filter(kind => kind === KIND.naiveBot || kind === KIND.spreadBot).length
    const retries = (sizes.people - sizes.stock) * retriesExpected()
    expect(bots / (plan.kind.length + retries)).toBeCloseTo(profile.botShare, 1)
    expect(peakPerS(plan) / (profile.peakPerS * scale)).toBeGreaterThan(0.75)
    expect(peakPerS(plan) / (profile.peakPerS * scale)).toBeLessThan(1.25)
  })

  test('twelve of a hundred people tap twice, within a millisecond', () => {
    const plan = planOf(PROFILES.hangzhou, 0.02)
    const first = new Map<number, number>()
    const doubles: number[] = []
    for (let place = 0; place < plan.user.length; place++) {
      const { [place]: user = 0 } = plan.user
      const { [place]: timeUs = 0 } = plan.timeUs
      if (plan.kind[place] === KIND.first) first.set(user, timeUs)
      if (plan.kind[place] === KIND.double) doubles.push(timeUs - (first.get(user) ?? Number.NaN))
    }
    // The share of 37,600 people has a standard deviation of 0.0017.
    expect(Math.abs(doubles.length / first.size - 0.12)).toBeLessThan(0.012)
    expect(Math.min(...doubles)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...doubles)).toBeLessThanOrEqual(1001)
  })

  test('times are in order, from a second before the opening on', () => {
    const { timeUs } = planOf(PROFILES['city-2m'], 0.01)
    expect(timeUs.every((time, place) => place === 0 || time >= timeUs[place - 1]!)).toBe(true)
    expect(timeUs[0]).toBeGreaterThanOrEqual(-1_000_000)
  })

  test('the same seed makes the same people, another seed others', () => {
    expect(planOf(PROFILES.scarce, 0.005, 7)).toEqual(planOf(PROFILES.scarce, 0.005, 7))
    expect(planOf(PROFILES.scarce, 0.005, 7).timeUs).not.toEqual(planOf(PROFILES.scarce, 0.005, 8).timeUs)
  })

  test('the parts of several processes add up to the plan of one', () => {
    const profile = PROFILES.hangzhou
    const sizes = sizesOf(profile, 0.002)
    const row = (plan: Plan) =>
      Array.from(plan.user, (user, place) => `${user} ${plan.timeUs[place]} ${plan.kind[place]}`)
    const parts = [0, 1, 2].map(index => planRelease({ profile, sizes, seed, part: { index, of: 3 } }))
    expect(parts.flatMap(row).toSorted()).toEqual(row(planRelease({ profile, sizes, seed, part: WHOLE })).toSorted())
  })

  test('a scale divides people and stock alike and leaves at least one of each', () => {
    expect(sizesOf(PROFILES.hangzhou, 0.1)).toMatchObject({ people: 188_000, stock: 150_000 })
    expect(sizesOf(PROFILES.hangzhou, 1e-9)).toMatchObject({ people: 1, stock: 1 })
  })
})

test('the radix order is the order of a stable sort, for any times', () => {
  fc.assert(
    fc.property(fc.int32Array({ maxLength: 300 }), times => {
      const expected = Array.from(times, (_, place) => place).sort((a, b) => times[a]! - times[b]! || a - b)
      expect(Array.from(orderOf(times))).toEqual(expected)
    }),
    { seed },
  )
})

test('a late plan asks everybody as often as it says, evenly', () => {
  const plan = planLate({ sizes: { people: 100, stock: 1, bots: 0 }, taps: 3, secondsPerTap: 2 }, { index: 1, of: 2 })
  expect(plan.user.length).toBe(150)
  expect(new Set(plan.user).size).toBe(50)
  expect(plan.timeUs.at(-1)).toBe((2 + 99 / 100) * 2e6)
})

test('a plan can be cut at a time', () => {
  const plan = planOf(PROFILES.hangzhou, 0.001)
  const cut = planUntil(plan, 5)
  expect(cut.timeUs.at(-1)).toBeLessThanOrEqual(5e6)
  expect(plan.timeUs[cut.timeUs.length]).toBeGreaterThan(5e6)
})

test('orders have the mean, the median and the tail of real ones', () => {
  const random = new Random(seed)
  const amounts = Array.from({ length: 200_000 }, () => orderAmount(random)).sort((a, b) => a - b)
  expect(amounts[0]).toBeGreaterThanOrEqual(4000)
  expect(amounts[100_000]! / 7000).toBeCloseTo(1, 1)
  expect(amounts[198_000]! / 84_400).toBeCloseTo(1, 0)
  const used = Array.from({ length: 50_000 }, () => vouchersUsed(random, 5))
  expect(used.filter(count => count === 0).length / used.length).toBeCloseTo(0.08, 1)
  const merchants = Array.from({ length: 10_000 }, () => merchantOf(random, 1000))
  expect(Math.min(...merchants)).toBe(1)
  expect(Math.max(...merchants)).toBeLessThanOrEqual(1000)
})

test("bots that enter a draw send fifty requests each, at once, and are still the profile's share of the requests", () => {
  const profile = { ...PROFILES.scarce, entryTaps: DRAW_BOTS.taps }
  const sizes = sizesOf(profile, 0.01)
  const plan = planRelease({ profile, sizes, seed, part: WHOLE })
  const taps = new Map<number, number>()
  let last = 0
  for (const [place, user] of plan.user.entries()) {
    if (user < sizes.people - sizes.bots) continue
    taps.set(user, (taps.get(user) ?? 0) + 1)
    last = Math.max(last, plan.timeUs[place]!)
  }
  expect([taps.size, new Set(taps.values())]).toEqual([sizes.bots, new Set([50])])
  expect(last).toBeLessThanOrEqual(DRAW_BOTS.withinS * 1e6)
  expect((sizes.bots * 50) / plan.user.length).toBeCloseTo(profile.botShare, 2)
})
