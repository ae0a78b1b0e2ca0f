/**
 * What goes by the clock: rates, the feed of stock frames, and the times of grants, with a clock moved by hand.
 *
 * The feed is tried with random gaps between changes: whatever they are, no second has more frames than the limit and
 * the last state is told. Real timers were rejected, they would make the bounds a matter of the machine's mood.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Caller } from '../../engine/auth/callers.ts'
import { every } from '../../engine/base/clock.ts'
import { RATE_BUCKETS_MAX, STOCK_FRAMES_PER_S_MAX } from '../../engine/base/limits.ts'
import { GrantTimes } from '../../engine/campaign/round/grant-times.ts'
import { COHORTS, StockFeed } from '../../engine/campaign/round/stock-feed.ts'
import { RateLimits } from '../../engine/server/http/rate-limits.ts'
import type { ClaimStore, LogBatch } from '../../engine/store/data/claim-store.ts'
import { HandClock } from '../support/hand-clock.ts'
import { seed } from '../support/seed.ts'

describe('rates', () => {
  const nobody = () => '127.0.0.1'
  const user = (id: string): Caller => ({ role: 'user', id: `user:${id}` })
  const anonymous: Caller = { role: 'anonymous', id: 'anonymous' }
  const platform: Caller = { role: 'platform', id: 'platform:1' }
  const passed = (limits: RateLimits, caller: Caller, times: number, address = nobody): number => {
    let allowed = 0
    for (let i = 0; i < times; i++) if (limits.take(caller, address).allowed) allowed++
    return allowed
  }

  test('a burst of one second passes, then as many as time gives back', () => {
    const clock = new HandClock()
    const limits = new RateLimits({ user: 20, address: 5, key: 0 }, clock)
    expect(passed(limits, user('a'), 100)).toBe(20)
    clock.advance(100)
    expect(passed(limits, user('a'), 100)).toBe(2)
    clock.advance(3_600_000)
    expect(passed(limits, user('a'), 100)).toBe(20)
    expect(passed(limits, user('b'), 100)).toBe(20)
  })

  test('over any time no more than the burst and the rate pass, and no fewer when all is asked', () => {
    const clock = new HandClock()
    const limits = new RateLimits({ user: 7, address: 0, key: 0 }, clock)
    let allowed = 0
    for (let i = 0; i < 10_000; i++) {
      clock.advance(1)
      if (limits.take(user('a'), nobody).allowed) allowed++
    }
    expect(allowed).toBeGreaterThanOrEqual(70)
    expect(allowed).toBeLessThanOrEqual(77)
  })

  test('addresses count without a credential, an IPv6 network as one; keys are free unless they are not', () => {
    const limits = new RateLimits({ user: 1, address: 3, key: 0 }, new HandClock())
    expect(passed(limits, anonymous, 9, () => '2001:db8:1:2::1')).toBe(3)
    expect(passed(limits, anonymous, 9, () => '2001:db8:1:2:ffff::9')).toBe(0)
    expect(passed(limits, anonymous, 9, () => '2001:db8:1:3::1')).toBe(3)
    expect(passed(limits, anonymous, 9, () => '10.0.0.1')).toBe(3)
    expect(passed(limits, anonymous, 9, () => '10.0.0.2')).toBe(3)
    expect(limits.take(platform, nobody)).toEqual({ allowed: true, headers: [] })
    expect(passed(new RateLimits({ user: 0, address: 0, key: 2 }, new HandClock()), platform, 9)).toBe(2)
    expect(passed(new RateLimits({ user: 0, address: 0, key: 0 }, new HandClock()), user('a'), 9)).toBe(9)
  })

  test.each([
    { user: 0, address: 0, key: 2 },
    { user: 2, address: 0, key: 0 },
  ])('behind a standstill nobody passes before the rates were read again, also who had none: %o', rates => {
    let late = true
    const limits = new RateLimits(rates, new HandClock(), 0, () => late)
    for (const caller of [user('a'), anonymous, platform])
      expect(limits.take(caller, nobody)).toMatchObject({ allowed: false, late: true })
    late = false
    for (const caller of [user('a'), anonymous, platform])
      expect(passed(limits, caller, 9)).toBe({ platform: rates.key, user: rates.user }[caller.role as string] || 9)
  })

  test('wrong codes have a bucket of their own, by caller, and right ones take nothing from it', () => {
    const clock = new HandClock()
    const limits = new RateLimits({ user: 0, address: 0, key: 0 }, clock, 3)
    for (let i = 0; i < 100; i++) expect(limits.mayGuess(platform)).toBe(true)
    for (let i = 0; i < 3; i++) limits.guessed(platform)
    expect([limits.mayGuess(platform), limits.mayGuess(user('a')), limits.take(platform, nobody).allowed]).toEqual([
      false,
      true,
      true,
    ])
    clock.advance(334)
    expect(limits.mayGuess(platform)).toBe(true)
    const free = new RateLimits({ user: 0, address: 0, key: 0 }, clock)
    for (let i = 0; i < 100; i++) free.guessed(platform)
    expect(free.mayGuess(platform)).toBe(true)
  })

  test('the headers say the rate, what is left, and when to come again', () => {
    const limits = new RateLimits({ user: 2, address: 0, key: 0 }, new HandClock())
    const policy = ['RateLimit-Policy', '"default";q=2;w=1']
    expect(limits.take(user('a'), nobody).headers).toEqual([policy, ['RateLimit', '"default";r=1;t=1']])
    limits.take(user('a'), nobody)
    const { allowed, headers } = limits.take(user('a'), nobody)
    expect([allowed, headers]).toEqual([false, [policy, ['RateLimit', '"default";r=0;t=1'], ['Retry-After', '1']]])
  })

  test('a crowd of callers forgets the oldest, who then has a full bucket', () => {
    const limits = new RateLimits({ user: 1, address: 0, key: 0 }, new HandClock())
    expect(passed(limits, user('first'), 2)).toBe(1)
    for (let i = 0; i < RATE_BUCKETS_MAX - 1; i++) limits.take(user(`u${i}`), nobody)
    expect(passed(limits, user('first'), 1)).toBe(0)
    limits.take(user('one-more'), nobody)
    expect(passed(limits, user('first'), 1)).toBe(1)
  })
})

describe('the feed of stock frames', () => {
  function feedOf(viewers = 1) {
    const clock = new HandClock()
    const told: { at: number; round: string; cohorts: readonly number[]; saw: number }[] = []
    let stock = 0
    const feed = new StockFeed({
      clock,
      viewers: () => viewers,
      publish: (round, cohorts) => told.push({ at: clock.monotonicMs(), round, cohorts, saw: stock }),
    })
    const change = (round = 'r') => {
      stock++
      feed.changed(round)
    }
    return { clock, feed, told, change, stock: () => stock }
  }

  test('the first change after a quiet time goes out at once', () => {
    const { clock, told, change } = feedOf()
    change()
    expect(told).toHaveLength(1)
    clock.advance(10_000)
    change()
    expect(told).toHaveLength(2)
    expect(clock.waiting).toBe(0)
  })

  test('whatever changes when: at most 20 a second, and the last state is always told', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 300 }), gaps => {
        const { clock, told, change, stock } = feedOf()
        for (const gap of gaps) {
          clock.advance(gap)
          change()
        }
        clock.advance(1000 / STOCK_FRAMES_PER_S_MAX)
        expect(told.at(-1)?.saw).toBe(stock())
        for (let i = STOCK_FRAMES_PER_S_MAX; i < told.length; i++)
          expect(told[i]!.at - told[i - STOCK_FRAMES_PER_S_MAX]!.at).toBeGreaterThanOrEqual(999.999)
        const before = told.length
        clock.advance(60_000)
        expect(told).toHaveLength(before)
      }),
      { seed },
    )
  })

  test('rounds do not wait for each other, and nobody watching costs nothing', () => {
    const { told, change } = feedOf()
    for (const round of ['a', 'b', 'c', 'a']) change(round)
    expect(told.map(({ round }) => round)).toEqual(['a', 'b', 'c'])
    const unseen = feedOf(0)
    unseen.change()
    expect([unseen.told.length, unseen.clock.waiting]).toEqual([0, 0])
  })

  test('18,000 viewers are told in turns, each once in two seconds and with the stock of the moment', () => {
    const { clock, told, change, stock } = feedOf(18_000)
    const start = clock.monotonicMs()
    for (let ms = 0; ms < 10_000; ms += 10) {
      change()
      clock.advance(10)
    }
    clock.advance(2000)
    for (const { at, saw } of told) expect(saw).toBeGreaterThanOrEqual(Math.min(stock(), Math.floor((at - start) / 10)))
    for (let cohort = 0; cohort < COHORTS; cohort++) {
      const times = told.filter(({ cohorts }) => cohorts.includes(cohort))
      expect(times.length).toBeGreaterThanOrEqual(5)
      expect(times.at(-1)?.saw).toBe(stock())
      const whileMoving = times.filter(({ at }) => at < start + 10_000)
      for (const [i, { at }] of whileMoving.slice(1).entries())
        expect(at - whileMoving[i]!.at).toBeGreaterThanOrEqual(1979)
    }
    const moving = told.filter(({ at }) => at < start + 10_000)
    expect(Math.max(...moving.map(({ cohorts }) => cohorts.length))).toBe(1)
    expect(clock.waiting).toBe(0)
  })

  test('once the stock stands still, the last state reaches 18,000 viewers within half a second', () => {
    const { clock, told, change, stock } = feedOf(18_000)
    change()
    clock.advance(500)
    const knowing = new Set(told.filter(({ saw }) => saw === stock()).flatMap(({ cohorts }) => cohorts))
    expect(knowing.size).toBe(COHORTS)
  })

  test('closing cancels what is due', () => {
    const { clock, feed, told, change } = feedOf(18_000)
    change()
    feed.close()
    clock.advance(10_000)
    expect(told).toHaveLength(1)
  })
})

describe('times of grants', () => {
  const logged = (asked: number[]) => {
    const batch = { firstSequence: 1, at: 777, holders: [], poolOf: () => 0 } satisfies LogBatch
    const batchOf = async (_: string, sequence: number) => {
      asked.push(sequence)
      return sequence <= 1000 ? batch : undefined
    }
    return { batchOf } as unknown as ClaimStore
  }

  test('each sequence of a remembered batch is known, the others are read from the log', async () => {
    const asked: number[] = []
    const times = new GrantTimes('r', logged(asked))
    times.remember(5, 9, 100)
    times.remember(10, 9, 150)
    times.remember(21, 21, 200)
    const known = Array.from({ length: 24 }, (_, sequence) => times.known(sequence))
    expect(known).toEqual([0, 0, 0, 0, 0, 100, 100, 100, 100, 100, ...Array(11).fill(0), 200, 0, 0])
    expect(await Promise.all([times.at(7), times.at(15)])).toEqual([100, 777])
    await expect(times.at(2000)).rejects.toMatchObject({ code: 'unknown' })
    expect(asked).toEqual([15, 2000])
  })

  test('what was forgotten is read from the log again, and the newest are kept', async () => {
    const asked: number[] = []
    const times = new GrantTimes('r', logged(asked))
    const batches = 262_144
    for (let i = 1; i <= batches; i++) times.remember(i, i, i + 0.5)
    expect([times.known(1), times.known(batches), times.known(131_073)]).toEqual([0, batches + 0.5, 131_073.5])
    expect(await times.at(1)).toBe(777)
  })
})

test('what repeats runs after its end, goes on after an error, and stops when it is told', async () => {
  const clock = new HandClock()
  const errors: unknown[] = []
  let runs = 0
  const turn = async () => {
    if (++runs === 2) throw new Error('once')
  }
  const stop = every(clock, 10, turn, cause => errors.push(cause))
  const settle = () => new Promise(resolve => setImmediate(resolve))
  for (let i = 0; i < 4; i++) {
    clock.advance(10)
    await settle()
  }
  expect([runs, errors.length]).toEqual([4, 1])
  stop()
  clock.advance(100)
  expect([runs, clock.waiting]).toEqual([4, 0])
})
