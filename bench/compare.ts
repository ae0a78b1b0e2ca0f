/**
 * `fairgrab bench compare A B`: what changed between two sets of runs, and whether the runs can show it.
 *
 * Each argument is a folder of one result or of the runs of `--repeat`. Figures are matched by part and name; each
 * is printed with its ratio and the interval of it. A ✗ stands only where a figure got worse by more than the runs
 * scatter, and only sets of five or more runs can say that; fewer are printed with that remark and no mark.
 */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { median, ratioOfMedians } from './measure/bootstrap.ts'
import type { Figure, Summary } from './measure/result.ts'
import { UsageError } from './options.ts'

const RUNS_MIN = 5
const NAME_WIDTH = 46

async function summariesOf(folder: string): Promise<Summary[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => {
    throw new UsageError(`${folder} is not a folder of a result`)
  })
  const runs = entries
    .filter(entry => entry.isDirectory() && entry.name.startsWith('run-'))
    .map(entry => join(folder, entry.name))
  const folders = runs.length > 0 ? runs : [folder]
  return Promise.all(
    folders.map(async one => {
      const text = await readFile(join(one, 'summary.json'), 'utf8').catch(() => {
        throw new UsageError(`${one} has no summary.json`)
      })
      return JSON.parse(text) as Summary
    }),
  )
}

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
    lines.push(
      `${mark} ${name.padEnd(NAME_WIDTH)} ×${ratio.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]  ${medians}`,
    )
  }
  return { lines, worse }
}

export async function compareFolders(args: readonly string[]): Promise<number> {
  const [before, after, ...rest] = args
  if (before === undefined || after === undefined || rest.length > 0) {
    throw new UsageError('compare takes two folders: fairgrab bench compare before after')
  }
  const { lines, worse } = compareSummaries(await summariesOf(before), await summariesOf(after))
  process.stdout.write(`${lines.join('\n')}\n`)
  return worse ? 99 : 0
}
