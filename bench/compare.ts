/**
 * `fairgrab bench compare A B`: what changed between two sets of runs, and whether the runs can show it.
 *
 * Each argument is a folder of one result or of the runs of `--repeat`; one that was edited since it was written is
 * refused (exit code 99), and so are runs whose ratio would mean nothing (compared-runs.ts). Figures are matched by part
 * and name; each is printed with its ratio and the interval of it. A ✗ stands only where a figure got worse by more than the runs
 * scatter, and only sets of five or more runs can say that; fewer are printed with that remark, no interval and no mark.
 */

import { parseArgs } from 'node:util'
import { runFolders } from './audit-again.ts'
import { remarksOn } from './compared-runs.ts'
import { median, ratioOfMedians } from './measure/bootstrap.ts'
import type { Figure, Summary } from './measure/result.ts'
import { type Opened, openResult } from './record/seal.ts'
import { UsageError } from './stage/options.ts'
import { EXIT, type Terminal } from './terminal.ts'

const RUNS_MIN = 5
const NAME_WIDTH = 46

const HELP = `fairgrab bench compare: what changed between two sets of runs, with a confidence interval.

  npm run bench -- compare BEFORE AFTER

  --json    the answer as JSON
  --help    this text

Exit codes: 0 nothing got worse, 1 an error, 2 wrong usage, 99 a figure got worse, a folder was edited, or a run is void,
did not end or had another load. What only colours the ratio (machine, program, seed, an overloaded engine) is said in a line.

Examples:
  npm run bench -- --repeat 5 --out before    (then change something, --out after, and:)
  npm run bench -- compare before after`

const openRuns = async (folder: string): Promise<readonly Opened[]> =>
  Promise.all((await runFolders(folder)).map(openResult))
const summariesOf = (runs: readonly Opened[]): readonly Summary[] => runs.map(({ summary }) => summary)

interface Sample {
  readonly figure: Figure
  readonly values: number[]
}

function samplesOf(summaries: readonly Summary[]): Map<string, Sample> {
  const samples = new Map<string, Sample>()
  for (const part of summaries.flatMap(summary => summary.parts)) {
    for (const figure of part.figures) {
      const name = `${part.name}: ${figure.name}`
      const sample = samples.get(name) ?? { figure, values: [] }
      sample.values.push(figure.value)
      samples.set(name, sample)
    }
  }
  return samples
}

export interface Comparison {
  readonly lines: readonly string[]
  readonly worse: boolean
}

export function compareSummaries(before: readonly Summary[], after: readonly Summary[]): Comparison {
  const old = samplesOf(before)
  const enough = before.length >= RUNS_MIN && after.length >= RUNS_MIN
  let worse = false
  const lines = [
    `${before.length} runs before, ${after.length} after${enough ? '' : `; fewer than ${RUNS_MIN} cannot show a difference, use --repeat`}`,
  ]
  for (const [name, { figure, values }] of samplesOf(after)) {
    const earlier = old.get(name)
    if (earlier === undefined) continue
    const { ratio, low, high } = ratioOfMedians(earlier.values, values)
    if (!Number.isFinite(ratio)) continue
    const changed = enough && (low > 1 || high < 1)
    const bad = changed && figure.better !== 'neither' && (figure.better === 'lower') === ratio > 1
    worse ||= bad
    const mark = !changed ? ' ' : figure.better === 'neither' ? '~' : bad ? '✗' : '✓'
    const medians = `${median(earlier.values).toPrecision(4)} → ${median(values).toPrecision(4)} ${figure.unit}`
    // Few runs scatter as it falls: a single one has no interval at all.
    const interval = enough ? ` [${low.toFixed(3)}, ${high.toFixed(3)}]` : ''
    lines.push(`${mark} ${name.padEnd(NAME_WIDTH)} ×${ratio.toFixed(3)}${interval}  ${medians}`)
  }
  return { lines, worse }
}

function wordsOf(args: readonly string[]) {
  const options = { json: { type: 'boolean' }, help: { type: 'boolean' } } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message}; try npm run bench -- compare --help`)
  }
}

function refuse({ err }: Terminal, reasons: readonly string[], why: string): number {
  err(`${reasons.map(reason => `✗ ${reason}`).join('\n')}\n${why}\n`)
  return EXIT.unsound
}

export async function compareFolders(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = wordsOf(args)
  if (values.help) {
    terminal.out(`${HELP}\n`)
    return EXIT.sound
  }
  const [before, after, ...rest] = positionals
  if (before === undefined || after === undefined || rest.length > 0) {
    throw new UsageError('compare takes two folders: npm run bench -- compare before after')
  }
  const [one, other] = [await openRuns(before), await openRuns(after)]
  const edits = [...one, ...other].flatMap(run => run.edits)
  if (edits.length > 0) return refuse(terminal, edits, 'an edited result is not compared')
  const { refused, said } = remarksOn(one, other)
  if (refused.length > 0) return refuse(terminal, refused, 'a ratio of such runs means nothing: not compared')
  const { lines, worse } = compareSummaries(summariesOf(one), summariesOf(other))
  const comparison = { lines: [...said.map(remark => `! ${remark}`), ...lines], worse }
  terminal.out(`${values.json ? JSON.stringify(comparison, null, 2) : comparison.lines.join('\n')}\n`)
  return worse ? EXIT.unsound : EXIT.sound
}
