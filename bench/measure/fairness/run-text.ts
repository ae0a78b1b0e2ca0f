/**
 * The fairness of a run, and of several runs pooled, as lines for the terminal and the report.
 *
 * Groups of two to ten rows are shown whole; of connections only the two that lie furthest apart, and the result has
 * the rest. What is claimed stands in front: one run, or runs that were pooled; replays are the business of
 * trial-text.ts.
 */

import { judge } from './battery.ts'
import type { Rate, RunFairness } from './run-fairness.ts'
import { addTally, type Tally } from './tally.ts'
import { testLine } from './trial-text.ts'

const ROWS_MAX = 10
const percent = (share: number): string => `${(share * 100).toPrecision(3)} %`
const count = (value: number): string => value.toLocaleString('en-US')
const ms = (us: number): string => `${(us / 1000).toFixed(1)} ms`

function rateLine({ label, people, won, rate, low, high }: Rate): string {
  return `    ${label.padEnd(18)}${percent(rate).padStart(8)} won (${percent(low)} to ${percent(high)}), ${count(won)} of ${count(people)}`
}

function groupLines(name: string, rows: readonly Rate[]): string[] {
  if (rows.length <= ROWS_MAX) return [`  by ${name}`, ...rows.map(rateLine)]
  const sorted = rows.toSorted((a, b) => a.rate - b.rate)
  return [`  by ${name}, the lowest and the highest of ${rows.length}`, rateLine(sorted[0]!), rateLine(sorted.at(-1)!)]
}

function orderLines({ order }: RunFairness): string[] {
  if (order === undefined) return []
  const {
    unjust,
    rightful,
    overtaken,
    overtaking_p99_us: p99,
    overtaking_p999_us: p999,
    overtaking_max_us: max,
  } = order
  return [
    `  unjust losses: ${count(unjust)} of the first ${count(rightful)} to arrive were not granted (${percent(unjust / Math.max(1, rightful))})`,
    `  overtaking: ${percent(overtaken)} of the grants, p99 ${ms(p99)}, p99.9 ${ms(p999)}, max ${ms(max)}, from the sending as clients see it`,
  ]
}

export function runFairnessLines(fairness: RunFairness): string[] {
  const { mode, competitors, winners, rates, odds, tests } = fairness
  const groups = [...new Set(rates.map(rate => rate.of))]
  return [
    `fairness of one whole run (${mode}): ${count(winners)} winners of ${count(competitors)} who competed`,
    ...(tests ?? []).map(test => `  ${testLine(test)}`),
    ...odds.map(
      ({ of, ratio, low, high }) => `  odds of ${of}: ${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`,
    ),
    ...orderLines(fairness),
    ...groups.flatMap(name =>
      groupLines(
        name,
        rates.filter(rate => rate.of === name),
      ),
    ),
  ]
}

/** The battery over several whole runs of one scenario; nothing for fewer than two. */
export function pooledLines(
  name: string,
  tallies: readonly Tally[],
): { readonly lines: readonly string[]; readonly ok: boolean } {
  const [first, ...rest] = structuredClone(tallies)
  if (first === undefined || rest.length === 0) return { lines: [], ok: true }
  for (const tally of rest) addTally(first, tally)
  const tests = judge(first)
  const ok = tests.every(({ mark }) => mark !== 'fail')
  const head = `${ok ? '✓' : '✗'} ${name}: ${tallies.length} whole runs pooled, ${count(first.winners)} winners`
  return { ok, lines: [head, ...tests.map(test => `  ${testLine(test)}`)] }
}
