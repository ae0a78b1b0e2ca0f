/**
 * The folder of a result: summary.json for programs, report.html for people, the distributions and the timeline.
 *
 * With `--repeat` every run has a folder of its own below the given one (`run-1`, `run-2`, …), which is what `compare`
 * reads. Files of several parts are numbered by the part. Everything is text, so results can be kept in a repository.
 */

import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Options } from '../options.ts'
import { reportPage } from './report-page.ts'
import type { Summary } from './result.ts'
import type { TimelineRow } from './timeline.ts'

export interface Result {
  readonly summary: Summary
  /** By part: the percentile distributions by name. */
  readonly hgrm: readonly Readonly<Record<string, string>>[]
  readonly options: Options
  readonly run: number
}

const COLUMNS = ['second', 'sent', 'granted', 'refused', 'in_flight', 'remaining'] as const

function csvOf(rows: readonly TimelineRow[]): string {
  return `${COLUMNS.join(',')}\n${rows.map(row => COLUMNS.map(column => row[column]).join(',')).join('\n')}\n`
}

/** A folder that is written again keeps no file of the run before. */
async function forgetEarlier(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^(summary\.json|report\.html|timeline.*\.csv|.*\.hgrm)$/.test(name)) await rm(join(folder, name))
  }
}

export async function writeResult({ summary, hgrm, options, run }: Result): Promise<string> {
  const stamp = summary.machine.taken_at.slice(0, 19).replace(/:/g, '-')
  const base = options.out ?? join('bench-results', `${stamp}-${options.scenario}`)
  const folder = options.repeat > 1 ? join(base, `run-${run}`) : base
  await mkdir(folder, { recursive: true })
  await forgetEarlier(folder)
  const json = `${JSON.stringify(summary, null, 2)}\n`
  await writeFile(join(folder, 'summary.json'), json)
  await writeFile(join(folder, 'report.html'), reportPage(summary))
  for (const [index, part] of summary.parts.entries()) {
    const suffix = summary.parts.length > 1 ? `-${index + 1}` : ''
    if (part.timeline.length > 0) await writeFile(join(folder, `timeline${suffix}.csv`), csvOf(part.timeline))
    for (const [name, distribution] of Object.entries(hgrm[index] ?? {})) {
      await writeFile(join(folder, `${name}${suffix}.hgrm`), distribution)
    }
  }
  if (options.json === '-') process.stdout.write(json)
  else if (options.json !== undefined) await writeFile(options.json, json)
  return folder
}
