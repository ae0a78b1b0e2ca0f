/**
 * The battery: is there any sign that the winners were not drawn uniformly, whatever their worker, hour or speed?
 *
 * H0: the K winners of a draw are a uniform K-subset of its N entrants, independent of everything known before the
 * seed. Each test is a row: a statistic with a known distribution under H0, and its p-value. FAIL means a chance below
 * 1e-6 / 7 for the row, so a fair engine fails one run of the whole battery in a million; WARN is a thousand times
 * looser. Cells are merged with their neighbour until each expects 20 winners and 20 losers, since below that a
 * chi-square's tail is not true; what is left in one cell is not tested and says so.
 *
 * B6 needs the same entrants in several draws. Given K fixed, the overlaps of two draws are independent over all pairs of draws, so
 * its variance is exactly 2 (N - 1) (1 - 1/R); it is scaled by that root, which tends to the textbook form.
 * Jain's and Gini's numbers over individuals are the same for every allocation and were rejected; inequality.ts has them
 * over cohorts.
 */

import { chiSquareAbove, chiSquareTwoSided, normalTwoSided, poissonTwoSided } from './tails.ts'
import type { Cell, Tally } from './tally.ts'

const TESTS = 7
export const FAIL_BELOW = 1e-6 / TESTS
export const WARN_BELOW = 1e-3 / TESTS
const EXPECTED_MIN = 20

export type Mark = 'pass' | 'warn' | 'fail' | 'none'

export interface TestResult {
  /** B1 … B7. */
  readonly test: string
  /** What of it: a kind of cohort, or a feature. */
  readonly of: string
  readonly finds: string
  readonly statistic: number
  /** The distribution that the statistic has under H0. */
  readonly under: string
  readonly p: number
  readonly mark: Mark
}

export function markOf(p: number): Mark {
  if (Number.isNaN(p)) return 'none'
  if (p < FAIL_BELOW) return 'fail'
  return p < WARN_BELOW ? 'warn' : 'pass'
}

/** Neighbours merged until each cell expects 20 winners and 20 losers; the rest joins the last one. */
export function mergeCells(cells: readonly Cell[]): Cell[] {
  const merged: Cell[] = []
  let open: Cell | undefined
  const join = (into: Cell, { wins, expected, variance }: Cell): void => {
    into.wins += wins
    into.expected += expected
    into.variance += variance
  }
  for (const cell of cells) {
    if (open === undefined) open = { ...cell }
    else join(open, cell)
    // Of n that expect np winners, n(1-p) lose: variance / p, and p is 1 - variance / expected.
    const losers = open.variance / Math.max(Number.EPSILON, 1 - open.variance / open.expected)
    if (open.expected < EXPECTED_MIN || losers < EXPECTED_MIN) continue
    merged.push(open)
    open = undefined
  }
  const last = merged.at(-1)
  if (open !== undefined && last !== undefined) join(last, open)
  return merged
}

type Measure = Pick<TestResult, 'statistic' | 'under' | 'p'>

const NOTHING: Measure = { statistic: Number.NaN, under: 'nothing to test', p: Number.NaN }

function byCohort(cells: readonly Cell[]): Measure {
  const merged = mergeCells(cells)
  const degrees = merged.length - 1
  if (degrees < 1) return NOTHING
  const statistic = merged.reduce((sum, { wins, expected, variance }) => sum + (wins - expected) ** 2 / variance, 0)
  return { statistic, under: `chi-square ${degrees}`, p: chiSquareAbove(statistic, degrees) }
}

function bySlope(sum: number, { variance }: Tally): Measure {
  if (variance < EXPECTED_MIN) return NOTHING
  const z = sum / Math.sqrt(variance)
  return { statistic: z, under: 'normal', p: normalTwoSided(z) }
}

function byDispersion({ wins, draws, winners }: Tally): Measure {
  if (wins === undefined || draws < 2 || winners === 0) return NOTHING
  const degrees = wins.length - 1
  const mean = winners / wins.length
  const p = mean / draws
  const squares = wins.reduce((sum, count) => sum + (count - mean) ** 2, 0)
  const plain = squares / (mean * (1 - p) * (1 + 1 / degrees))
  const statistic = degrees + (plain - degrees) / Math.sqrt(1 - 1 / draws)
  return { statistic, under: `chi-square ${degrees}`, p: chiSquareTwoSided(Math.max(0, statistic), degrees) }
}

function byPairs({ pairs }: Tally): Measure {
  if (pairs.expected === 0) return NOTHING
  return {
    statistic: pairs.seen,
    under: `Poisson ${pairs.expected.toPrecision(6)}`,
    p: poissonTwoSided(pairs.seen, pairs.expected),
  }
}

interface CohortTest {
  readonly test: string
  readonly finds: string
}

/** Which kinds of cohorts a tally may have, and the test that each belongs to. */
const COHORT_TESTS: Readonly<Record<string, CohortTest>> = {
  worker: { test: 'B1', finds: 'technical bias' },
  shard: { test: 'B1', finds: 'technical bias' },
  connection: { test: 'B1', finds: 'technical bias' },
  'arrival decile': { test: 'B2', finds: 'preferred hours' },
  requests: { test: 'B5', finds: 'gain by retries' },
  account: { test: 'B5', finds: 'gain by bots' },
}
const SLOPE_TESTS: Readonly<Record<string, CohortTest>> = {
  latency: { test: 'B3', finds: 'speed advantage' },
  arrival: { test: 'B4', finds: 'position bias' },
}

/** Every test that the tally has data for, in the order B1 … B7. */
export function judge(tally: Tally): TestResult[] {
  const row = (of: string, { test, finds }: CohortTest, measure: Measure): TestResult => ({
    test,
    of,
    finds,
    ...measure,
    mark: markOf(measure.p),
  })
  const cohorts = Object.entries(COHORT_TESTS).flatMap(([name, test]) => {
    const cells = tally.cells[name]
    return cells === undefined ? [] : [row(name, test, byCohort(cells))]
  })
  const slopes = Object.entries(SLOPE_TESTS).flatMap(([name, test]) => {
    const sum = tally.slopes[name]
    return sum === undefined ? [] : [row(name, test, bySlope(sum, tally))]
  })
  return [
    ...cohorts,
    ...slopes,
    row('entrant', { test: 'B6', finds: 'few seeds, favourites' }, byDispersion(tally)),
    row('neighbours', { test: 'B7', finds: 'runs' }, byPairs(tally)),
  ].toSorted((a, b) => a.test.localeCompare(b.test))
}
