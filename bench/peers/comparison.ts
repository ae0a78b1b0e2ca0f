/**
 * Runs become a table: per contender the median and the range over the rounds, and the ratios to our row.
 *
 * Machines are noisy over minutes, so a ratio is taken inside each interleaved round, between two runs that stood
 * close in time, and only then summarised; the ratio of two medians would mix quiet minutes with busy ones.
 * `rate` is ours over theirs, `cpu` theirs over ours (server and Redis together): above 1 we are ahead in both.
 * Void runs are counted and left out of every figure; a round in which either side is void has no ratio.
 * Rejected: means and standard deviations, which one disturbed round moves at will.
 */
import type { Contender } from './contenders.ts'
import type { Run } from './measurement.ts'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Summary {
  readonly contender: string
  readonly runs: number
  readonly void: number
  readonly claimsPerS: Spread | null
  readonly serverUs: Spread | null
  readonly redisUs: Spread | null
  readonly generatorUs: Spread | null
  readonly generatorShare: Spread | null
  readonly othersShare: Spread | null
  readonly generatorLimited: boolean
  readonly grantsCounted: number | null
  readonly against: string | null
  readonly rate: Spread | null
  readonly cpu: Spread | null
}

export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}

const cpuOf = ({ serverUs, redisUs }: Run): number => serverUs + redisUs

export function compare(contenders: readonly Contender[], runs: readonly Run[]): readonly Summary[] {
  const valid = runs.filter(({ troubles }) => troubles.length === 0)
  return contenders.map(({ name, against }) => {
    const all = runs.filter(({ contender }) => contender === name)
    const own = valid.filter(({ contender }) => contender === name)
    const pairs = own.flatMap(theirs => {
      const ours = valid.find(({ contender, round }) => contender === against && round === theirs.round)
      return ours ? [{ ours, theirs }] : []
    })
    const spread = (choose: (run: Run) => number): Spread | null => spreadOf(own.map(choose))
    return {
      contender: name,
      runs: all.length,
      void: all.length - own.length,
      claimsPerS: spread(run => run.claimsPerS),
      serverUs: spread(run => run.serverUs),
      redisUs: spread(run => run.redisUs),
      generatorUs: spread(run => run.generatorUs),
      generatorShare: spread(run => run.generatorShare),
      othersShare: spread(run => run.othersShare),
      generatorLimited: own.some(({ generatorLimited }) => generatorLimited),
      grantsCounted:
        own.length === 0 || own.some(run => run.grantsCounted === null)
          ? null
          : own.reduce((total, run) => total + (run.grantsCounted ?? 0), 0),
      against,
      rate: spreadOf(pairs.map(({ ours, theirs }) => ours.claimsPerS / theirs.claimsPerS)),
      cpu: spreadOf(pairs.map(({ ours, theirs }) => cpuOf(theirs) / cpuOf(ours))),
    }
  })
}

type Column = readonly [title: string, cell: (summary: Summary) => string]

const show = (spread: Spread | null, write: (value: number) => string): string => {
  if (!spread) return '–'
  const { median, min, max } = spread
  return `${write(median)} (${write(min)}..${write(max)})`
}
const thousands = (value: number): string => `${(value / 1000).toFixed(1)} k`
const tenths = (value: number): string => value.toFixed(1)
const hundredths = (value: number): string => value.toFixed(2)
const percent = (value: number): string => `${Math.round(value * 100)} %`
const middle = (spread: Spread | null, write: (value: number) => string): string =>
  spread ? write(spread.median) : '–'

function verdict({ runs, void: voided }: Summary): string {
  if (runs === 0) return '✗ not measured'
  return voided > 0 ? `✗ ${voided} of ${runs} void` : `✓ ${runs}`
}

const COLUMNS: readonly Column[] = [
  ['contender', ({ contender }) => contender],
  ['claims/s', ({ claimsPerS }) => show(claimsPerS, thousands)],
  ['server µs', ({ serverUs }) => show(serverUs, tenths)],
  ['Redis µs', ({ redisUs }) => middle(redisUs, tenths)],
  ['generator µs', ({ generatorUs }) => middle(generatorUs, tenths)],
  [
    'its share',
    ({ generatorShare, generatorLimited }) => middle(generatorShare, percent) + (generatorLimited ? ' limited' : ''),
  ],
  ['granted', ({ grantsCounted }) => (grantsCounted === null ? '–' : `${grantsCounted}`)],
  ['ours/theirs claims/s', ({ rate }) => show(rate, hundredths)],
  ['theirs/ours CPU', ({ cpu }) => show(cpu, hundredths)],
  ['runs', verdict],
]

export function table(summaries: readonly Summary[]): string {
  const rows = [COLUMNS.map(([title]) => title), ...summaries.map(summary => COLUMNS.map(([, cell]) => cell(summary)))]
  const widths = COLUMNS.map((_, at) => Math.max(...rows.map(row => row[at]!.length)))
  return rows
    .map(row =>
      row
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
