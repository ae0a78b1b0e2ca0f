/**
 * `fairgrab bench audit FOLDER`: is a kept result as it was written, and does its record still say so?
 *
 * First the seal: an edited, lost or exchanged file is named, and nothing else is looked at. Then each part's record is
 * judged again by the audit of this tree, and what it gives is held against what the summary says (kept-part.ts); the
 * rest is as true as the seal. A folder of `--repeat` is audited run by run. Exit codes: 0 sound, 1 an error, 2 wrong usage or no record, 99 a ✗ stands in the answer.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type AuditedPart, auditPart } from './kept-part.ts'
import { treeCard, treeText } from './measure/tree-card.ts'
import { type Opened, openResult } from './record/seal.ts'
import { UsageError } from './stage/options.ts'
import { EXIT, type Terminal } from './terminal.ts'

const HELP = `fairgrab bench audit: holds a kept result against its seal, and audits its record again.

  npm run bench -- audit FOLDER

  --json    the answer as JSON
  --help    this text

Exit codes: 0 sound, 1 an error, 2 wrong usage or no record, 99 a file was edited, a record tells no story, or the
summary says something else than its record.

Examples:
  npm run bench -- audit bench-results/2026-12-01T10-00-00-release
  npm run bench -- audit before --json`

interface AuditedResult {
  readonly folder: string
  readonly ok: boolean
  readonly measured_by: string
  readonly audited_by: string
  /** How the run ended; only the seal stands for it. */
  readonly ended: string
  readonly edits: readonly string[]
  /** What the summary says against itself. */
  readonly differences: readonly string[]
  readonly strays: readonly string[]
  readonly parts: readonly AuditedPart[]
}

/** What the summary says twice. */
const doubles = (names: readonly string[]): string[] =>
  [...new Set(names.filter((name, place) => names.indexOf(name) < place))].map(name => `the part ${name} stands twice`)

/** What an opened result, its files and its records say against each other. */
export async function auditResult(opened: Opened): Promise<AuditedResult> {
  const { folder, summary, edits, strays } = opened
  const parts: AuditedPart[] = []
  if (edits.length === 0) for (const place of summary.parts.keys()) parts.push(await auditPart(opened, place))
  const differences = doubles(summary.parts.map(part => part.name))
  const { ended } = summary
  const isSound = ({ audit, differences }: AuditedPart) => audit?.ok !== false && differences.length === 0
  const ok = edits.length === 0 && differences.length === 0 && parts.every(isSound)
  return {
    folder,
    ok,
    measured_by: treeText(summary.tree),
    audited_by: treeText(treeCard()),
    ended,
    edits,
    strays,
    differences,
    parts,
  }
}

function partLines({ name, audit, differences, sums }: AuditedPart): string[] {
  if (sums !== undefined && differences.length === 0) return [`✓ ${name}: it counts what its ${sums} parts count`]
  if (audit === undefined && differences.length === 0) return [`– ${name}: no record was kept`]
  const mark = audit?.ok && differences.length === 0 ? '✓' : '✗'
  return [
    `${mark} ${name}`,
    ...(audit?.lines ?? []).map(line => `  ${line}`),
    ...differences.map(text => `  ✗ ${text}`),
  ]
}

export function resultLines(result: AuditedResult): string[] {
  const { folder, ok, measured_by, audited_by, ended, edits, strays, differences, parts } = result
  const sealed = edits.length === 0 ? 'as it was written' : 'EDITED since it was written, and not audited'
  return [
    `${ok ? '✓' : '✗'} ${folder}: ${sealed}`,
    ...[...edits, ...differences].map(text => `  ✗ ${text}`),
    ...strays.map(stray => `  ! ${stray}`),
    ...parts.flatMap(partLines),
    ...(ended === 'complete' ? [] : [`! the run did not end: ${ended}`]),
    `measured by ${measured_by}; audited by ${audited_by}`,
  ]
}

/** The folders of the runs of `--repeat`, or the folder itself. */
export async function runFolders(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => {
    throw new UsageError(`${folder} is not a folder of a result`)
  })
  const runs = entries.filter(entry => entry.isDirectory() && entry.name.startsWith('run-'))
  return runs.length > 0 ? runs.map(entry => join(folder, entry.name)).toSorted() : [folder]
}

function wordsOf(args: readonly string[]) {
  const options = { json: { type: 'boolean' }, help: { type: 'boolean' } } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message}; try npm run bench -- audit --help`)
  }
}

export async function auditFolders(args: readonly string[], { out }: Terminal): Promise<number> {
  const { values, positionals } = wordsOf(args)
  if (values.help) {
    out(`${HELP}\n`)
    return EXIT.sound
  }
  const [folder, ...more] = positionals
  if (folder === undefined || more.length > 0)
    throw new UsageError('audit takes one folder: npm run bench -- audit FOLDER; try npm run bench -- audit --help')
  const results: AuditedResult[] = []
  for (const run of await runFolders(folder)) results.push(await auditResult(await openResult(run)))
  const text = values.json ? JSON.stringify(results, null, 2) : results.flatMap(resultLines).join('\n')
  out(`${text}\n`)
  if (!results.every(({ ok }) => ok)) return EXIT.unsound
  if (results.every(({ parts }) => parts.every(({ audit }) => audit === undefined)))
    throw new UsageError(
      `no part of ${folder} kept a record, so there is nothing to audit again; run with --record keep`,
    )
  return EXIT.sound
}
