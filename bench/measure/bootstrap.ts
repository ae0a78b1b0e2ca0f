/**
 * Whether two sets of runs differ: the ratio of their medians, with a bootstrap confidence interval.
 *
 * Both sets are drawn again from themselves a few thousand times; the middle 95 % of the ratios are the interval. An
 * interval that holds 1 means that the runs do not show a difference. No distribution is assumed: times of a shared
 * machine have none that a t-test could rely on. The draws are seeded, so the same folders give the same answer.
 */

import { Random } from '../people/random.ts'

export interface RatioInterval {
  readonly ratio: number
  readonly low: number
  readonly high: number
}

const DRAWS = 4000
const SEED = 20200420

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function redrawn(values: readonly number[], random: Random): number[] {
  return values.map(() => values[Math.floor(random.uniform() * values.length)] as number)
}

/** The ratio of the medians, b over a. */
export function ratioOfMedians(a: readonly number[], b: readonly number[]): RatioInterval {
  const random = new Random(SEED)
  const ratios = Array.from({ length: DRAWS }, () => median(redrawn(b, random)) / median(redrawn(a, random)))
  const finite = ratios.filter(Number.isFinite).toSorted((x, y) => x - y)
  const at = (share: number) => finite[Math.min(finite.length - 1, Math.floor(share * finite.length))] ?? Number.NaN
  return { ratio: median(b) / median(a), low: at(0.025), high: at(0.975) }
}
