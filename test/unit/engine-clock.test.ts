/**
 * The engine's clock as the client knows it: the quicker answer is the better one, and neither a clock that was set nor a time
 * that is none is believed for longer than it can be right.
 */
import { expect, test } from 'vitest'
import { EngineClock } from '../../engine/client/engine-clock.ts'

const HOUR_MS = 3_600_000
const iso = (ms: number): string => new Date(ms).toISOString()
/** Whether it is within a second of a time, which is what the test itself may take. */
const near = (clock: EngineClock, ms: number): boolean => Math.abs(clock.now() - ms) < 1000

/** Asked so many milliseconds ago, the engine says this. */
const answered = (clock: EngineClock, ms: number, agoMs: number): void => clock.take(iso(ms), performance.now() - agoMs)

test('a slower answer that agrees is not taken, one that cannot be right beside the other is', () => {
  const clock = new EngineClock()
  const engine = Date.now() + HOUR_MS
  answered(clock, engine, 2)
  expect(near(clock, engine)).toBe(true)
  answered(clock, engine + 1000, 4000)
  expect(near(clock, engine)).toBe(true)
  answered(clock, engine + HOUR_MS, 4000)
  expect(near(clock, engine + HOUR_MS + 2000)).toBe(true)
})

test('a time that is none changes nothing', () => {
  const clock = new EngineClock()
  clock.take('garbage')
  clock.take('garbage', performance.now())
  expect(near(clock, Date.now())).toBe(true)
})
