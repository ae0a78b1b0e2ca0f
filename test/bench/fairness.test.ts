/**
 * The trial as its users start it, in its short form: the allocator passes, and every unfair lottery is found.
 *
 * Each injected bias and each exhibit of the museum has to fail the battery on the test that is there for it. A bias in
 * the allocator's place must end with 99, or the exit code could not fail. That the second implementation draws as the
 * published format says is audit-draw.test.ts.
 */

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { simulateDemand } from '../../bench/measure/fairness/demand.ts'
import { BIASES, smallest } from '../../bench/measure/fairness/lotteries.ts'
import { MUSEUM } from '../../bench/measure/fairness/museum.ts'
import type { Trial } from '../../bench/measure/fairness/trial.ts'
import { runLine } from '../support/kept-programs.ts'
import { seed } from '../support/seed.ts'

const PROGRAM = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))

const run = (...args: readonly string[]) =>
  runLine({ program: PROGRAM, words: ['fairness', ...args], env: process.env })

test('the allocator passes, and every bias and exhibit is found by its own test', async () => {
  const { code, out } = await run('--short', '--seed', String(seed), '--json', '-')
  const trial = JSON.parse(out) as Trial
  expect([code, trial.ok, trial.claim, trial.form]).toEqual([0, true, 'replayed draws', 'short'])
  expect(trial.judged).toMatchObject({ name: 'the allocator', draws: 250, winners: 250 * 244 })
  expect(trial.judged.tests.map(({ test: name }) => name)).toEqual(['B1', 'B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7'])
  expect(trial.judged.tests.filter(({ mark }) => mark === 'fail' || mark === 'none')).toEqual([])
  expect(trial.biases.map(({ name, found }) => [name, found])).toEqual(BIASES.map(({ name }) => [name, true]))
  expect(trial.museum.map(({ name, found }) => [name, found])).toEqual(MUSEUM.map(({ name }) => [name, true]))
}, 240_000)

test('a biased allocator ends with 99, and the first line says on which test', async () => {
  const { code, out } = await run('--short', '--seed', String(seed), '--judge', '100 possible seeds')
  expect(code).toBe(99)
  expect(out.split('\n')[0]).toMatch(/^✗ NOT FAIR: 100 possible seeds fails .*B6 entrant/)
}, 240_000)

test('what cannot be is a usage error that says what may be', async () => {
  const wrong = await Promise.all([run('--judge', '99 possible seeds'), run('--seed', 'x'), run('--sort')])
  expect(wrong.map(({ code }) => code)).toEqual([2, 2, 2])
  expect(wrong[0].err).toContain('the nearest is "100 possible seeds"')
}, 240_000)

test('ties go to the first, and nobody wins twice', () => {
  expect([...smallest(Float64Array.of(2, 1, 1, 3, 1), 2)]).toEqual([1, 2])
  expect([...smallest(Float64Array.of(2, 1, 1, 3, 1), 4)].toSorted()).toEqual([0, 1, 2, 4])
  expect([...smallest(Float64Array.of(2, 1), 5)]).toEqual([0, 1])
})

test('the simulated share of bots is the closed form within its noise, and falls to theirs', () => {
  const rows = simulateDemand(100_000, seed)
  expect(rows.map(({ windowS }) => windowS)).toEqual([0, 0.1, 0.5, 1, 2, 3])
  for (const { windowS, times, expected, deviation } of rows) {
    expect(Math.abs(times - expected), `window ${windowS}, seed ${seed}`).toBeLessThanOrEqual(6 * deviation + 0.4)
  }
  expect(rows[0]?.share).toBe(1)
  expect(rows[5]?.expected).toBeLessThan(1.03)
})
