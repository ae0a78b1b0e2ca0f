/**
 * The tails against published tables and against values of 17 digits from arbitrary-precision arithmetic.
 *
 * The reference values were computed with mpmath at 30 to 40 digits (the incomplete gamma function and, for large
 * parameters, the integral itself). The battery decides at 1e-7, so the far tails and half a million degrees of
 * freedom matter more than the middle.
 */

import { expect, test } from 'vitest'
import {
  chiSquareAbove,
  chiSquareTwoSided,
  gammaTails,
  normalTwoSided,
  poissonTails,
  poissonTwoSided,
} from '../../bench/measure/fairness/tails.ts'

function expectDigits(value: number, reference: number, relative: number): void {
  expect(Math.abs(value / reference - 1), `${value} against ${reference}`).toBeLessThan(relative)
}

test.each([
  [0.5, 24.5, 0.9999999999974404, 2.55962508777167e-12],
  [7.5, 50, 0.9999999999999869, 1.3047043436251444e-14],
  [0.5, 1e-8, 0.00011283791633342487, 0.9998871620836666],
  [5, 9.153519, 0.9499999991752678, 0.050000000824732264],
  [127.5, 250, 1, 4.384961916799651e-18],
  [100, 40, 1.2062542053086514e-15, 0.9999999999999988],
  [12.25, 0.5, 1.432924244924443e-13, 0.9999999999998567],
  [2000, 2300, 0.9999999999256766, 7.432346137968059e-11],
  [3, 60, 1, 1.6295866529378224e-23],
])('gamma tails at a = %d, x = %d', (a, x, lower, upper) => {
  const tails = gammaTails(a, x)
  expectDigits(tails.lower, lower, 1e-12)
  expectDigits(tails.upper, upper, 1e-12)
})

test('two hundred thousand degrees of freedom lose no digit that matters', () => {
  expectDigits(gammaTails(100_000, 97_786).lower, 8.781902934846312e-13, 1e-10)
  expectDigits(gammaTails(100_000, 102_213).upper, 1.849800723391631e-12, 1e-10)
  expectDigits(gammaTails(2_500_000, 2_511_067.9718105895).upper, 1.3753403448153281e-12, 1e-7)
})

test.each([
  [3.841458820694124, 1, 0.05],
  [18.307038053275146, 10, 0.05],
  [6.634896601021213, 1, 0.01],
  [124.342113, 100, 0.05],
  [23.589351, 9, 0.005],
])('the table of chi-square: %d with %d degrees', (x, degrees, p) => {
  expectDigits(chiSquareAbove(x, degrees), p, 1e-4)
})

test('the table of the normal distribution', () => {
  expectDigits(normalTwoSided(1.959963984540054), 0.05, 1e-12)
  expectDigits(normalTwoSided(-7), 2 * 1.279812543885835e-12, 1e-12)
  expect(normalTwoSided(0)).toBe(1)
})

test('Poisson tails are the sums of their terms, both with the count itself', () => {
  for (const [count, mean] of [
    [0, 3],
    [4, 10],
    [10, 10],
    [31, 10],
  ] as const) {
    const terms = [Math.exp(-mean)]
    for (let k = 1; k < 200; k++) terms.push((terms[k - 1]! * mean) / k)
    expectDigits(
      poissonTails(count, mean).lower,
      terms.slice(0, count + 1).reduce((a, b) => a + b),
      1e-12,
    )
    expectDigits(
      poissonTails(count, mean).upper,
      terms.slice(count).reduceRight((a, b) => a + b),
      1e-12,
    )
  }
  expect(poissonTwoSided(10, 10)).toBe(1)
  expectDigits(poissonTwoSided(31, 10), 2 * poissonTails(31, 10).upper, 1e-15)
})

test('a chi-square is found to be too small as well as too large', () => {
  expect(chiSquareTwoSided(100, 100)).toBeGreaterThan(0.9)
  expectDigits(chiSquareTwoSided(40, 100), 2 * gammaTails(50, 20).lower, 1e-15)
  expectDigits(chiSquareTwoSided(200, 100), 2 * gammaTails(50, 100).upper, 1e-15)
})

test('what has no tail is refused', () => {
  expect(() => gammaTails(0, 1)).toThrow('no gamma tail')
  expect(() => gammaTails(1, -1)).toThrow('no gamma tail')
  expect(() => gammaTails(Number.NaN, 1)).toThrow('no gamma tail')
  expect(gammaTails(2, 0)).toEqual({ lower: 0, upper: 1 })
})
