/**
 * The watch that tests measure promises with: it takes off what this process lost, and not what somebody merely waited.
 *
 * A busy loop stands for a machine that gives this process nothing, since no timer runs in either. That the time of an
 * idle wait is not taken off cannot be told on a machine that others use; only that no more is taken than there was.
 */
import { setTimeout as after } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Stalls } from '../support/stalls.ts'

test('a stall is taken off, wherever it lies in the time that is asked for, and never more than that time', async () => {
  using stalls = new Stalls()
  const from = performance.now()
  await after(60)
  const frozen = performance.now()
  while (performance.now() < frozen + 200);
  const thawed = performance.now()
  expect(stalls.since(frozen)).toBeLessThan(60)
  await after(60)
  expect(stalls.between(from)).toBeGreaterThan(140)
  expect(stalls.between(frozen, thawed)).toBeGreaterThan(140)
  expect(stalls.between(frozen, thawed)).toBeLessThanOrEqual(thawed - frozen)
  expect(stalls.between(thawed, thawed)).toBe(0)
})
