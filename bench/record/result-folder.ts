/**
 * The folder of a result, which is never written over: summary.json for programs, report.html for people, the distributions, the timeline, and the
 * record that the audit looked at.
 *
 * Each part is written when it ends, and the summary anew with it, so what was measured survives whatever comes next; how
 * the run ended stands in the summary. Files are numbered by the part. With `--repeat` every run has a folder of its own
 * below the given one (`run-1`, `run-2`, …), which is what `compare` reads. All of it but the record is text.
 */

import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FileMark, markOf } from '../measure/kept-files.ts'
import { reportPage } from '../measure/report-page.ts'
import { type MeasuredPart, type PartResult, SCHEMA, type Summary } from '../measure/result.ts'
import type { TimelineRow } from '../measure/timeline.ts'
import { type Options, UsageError } from '../stage/options.ts'
import { SUMMARY, sealed } from './seal.ts'

const COLUMNS = ['second', 'sent', 'granted', 'refused', 'in_flight', 'remaining'] as const

export function csvOf(rows: readonly TimelineRow[]): string {
  return `${COLUMNS.join(',')}\n${rows.map(row => COLUMNS.map(column => row[column]).join(',')).join('\n')}\n`
}

/** Throws UsageError where the folder that was asked for has files: a result that stands there would be lost, or be mixed with another. */
export async function refuseTaken({ out }: Pick<Options, 'out'>): Promise<void> {
  if (out === undefined) return
  const found = await readdir(out).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw new UsageError(`${out} (from --out) cannot be a folder (${cause.code}); give another --out`)
  })
  if (found.length > 0)
    throw new UsageError(`${out} (from --out) has files, and a result is never written over; give another --out`)
}

/** What is known of a run before its first part. */
export type Head = Pick<Summary, 'command' | 'seed' | 'machine' | 'tree' | 'engine'>

export class ResultFolder {
  readonly path: string
  readonly #options: Options
  readonly #head: Head
  readonly #parts: PartResult[] = []
  readonly #files: Record<string, FileMark> = {}

  constructor(options: Options, head: Head, run: number) {
    const stamp = head.machine.taken_at.slice(0, 19).replace(/:/g, '-')
    const base = options.out ?? join('bench-results', `${stamp}-${options.scenario}`)
    this.path = options.repeat > 1 ? join(base, `run-${run}`) : base
    this.#options = options
    this.#head = head
  }

  /** Writes a part that has ended; gives it as the summary has it. */
  async add({ hgrm, recordFolder, ...part }: MeasuredPart): Promise<PartResult> {
    const number = this.#parts.length + 1
    if (number === 1) await mkdir(this.path, { recursive: true })
    if (part.timeline.length > 0) await this.#write(`timeline-${number}.csv`, csvOf(part.timeline))
    for (const [name, distribution] of Object.entries(hgrm)) await this.#write(`${name}-${number}.hgrm`, distribution)
    const record = recordFolder === undefined ? undefined : await this.#move(recordFolder, `record-${number}`)
    const result = { ...part, ...(record === undefined ? {} : { record }) }
    this.#parts.push(result)
    await this.end('running')
    return result
  }

  /** Writes the summary as it is now; `ended` says how the run did. */
  async end(ended: string): Promise<Summary> {
    const summary: Summary = {
      schema: SCHEMA,
      ...this.#head,
      ended,
      parts: this.#parts,
      files: this.#files,
      seal: '',
    }
    await this.#write('report.html', reportPage(summary))
    const { text, seal } = sealed(summary)
    await writeFile(join(this.path, SUMMARY), text)
    if (ended !== 'running' && this.#options.json === '-') process.stdout.write(text)
    else if (ended !== 'running' && this.#options.json !== undefined) await writeFile(this.#options.json, text)
    return { ...summary, seal }
  }

  /** Brings a record in from where it was kept; gives its name here. */
  async #move(from: string, name: string): Promise<string> {
    const files = (await readdir(from)).toSorted()
    await mkdir(join(this.path, name))
    for (const file of files) {
      await copyFile(join(from, file), join(this.path, name, file))
      await this.#mark(`${name}/${file}`)
    }
    await rm(from, { recursive: true })
    return name
  }

  async #write(name: string, text: string): Promise<void> {
    await writeFile(join(this.path, name), text)
    await this.#mark(name)
  }

  async #mark(name: string): Promise<void> {
    this.#files[name] = await markOf(join(this.path, name))
  }
}
