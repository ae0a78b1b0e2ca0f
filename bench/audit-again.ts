/**
 * `fairgrab bench audit FOLDER`: is a kept result as it was written, and does its record still say so?
 *
 * First the seal: an edited, lost or exchanged file is named, and nothing else is looked at. Then each part's record is
 * judged again by the audit of this tree, and what the record gives (outcomes, rates, fairness) is held against what the
 * summary says. Latencies and cost are not in the record: they are as true as the seal. A folder of `--repeat` is audited
 * run by run. Exit codes: 0 sound, 1 an error, 2 wrong usage or no record, 99 a ✗ stands in the answer.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { judgeRedemptions } from './audit/redemption-audit.ts'
import type { AuditSummary, PartResult } from './measure/result.ts'
import { treeCard, treeText } from './measure/tree-card.ts'
import { UsageError } from './options.ts'
import { readClaims } from './record/claims-record.ts'
import { keptJson } from './record/kept-files.ts'
import { readRedemptions } from './record/redemption-record.ts'
import { type Opened, openResult } from './record/seal.ts'
import { figuresOfRecord } from './scenario/claim-part.ts'
import { auditClaims } from './scenario/run-audit.ts'

const HELP = `fairgrab bench audit: holds a kept result against its seal, and audits its record again.

  npm run bench -- audit FOLDER

  --json    the answer as JSON
  --help    this text

Exit codes: 0 sound, 1 an error, 2 wrong usage or no record, 99 a file was edited, a record tells no story, or the
summary says something else than its record.

Examples:
  npm run bench -- audit bench-results/2026-12-01T10-00-00-release
  npm run bench -- audit before --json`

interface AuditedPart {
  readonly name: string
  /** undefined where no record was kept. */
  readonly audit: AuditSummary | undefined
  /** What the summary says and the record does not. */
  readonly differences: readonly string[]
}

interface AuditedResult {
  readonly folder: string
  readonly ok: boolean
  readonly measured_by: string
  readonly audited_by: string
  readonly edits: readonly string[]
  readonly strays: readonly string[]
  readonly parts: readonly AuditedPart[]
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** Sentences about what the summary says of a part and its record does not give. */
async function auditRecord(folder: string, part: PartResult): Promise<Omit<AuditedPart, 'name'>> {
  const { kind } = await keptJson<{ readonly kind: string }>(folder, 'about.json')
  const differences: string[] = []
  const agree = (what: string, says: unknown, gives: unknown) => {
    if (!same(says, gives))
      differences.push(`${what}: the summary says ${JSON.stringify(says)}, the record gives ${JSON.stringify(gives)}`)
  }
  if (kind === 'redemptions') {
    const audit = judgeRedemptions(await readRedemptions(folder))
    agree('audit', part.audit, audit)
    return { audit, differences }
  }
  const record = await readClaims(folder)
  const { audit, fairness, drawn } = auditClaims(record)
  const { figures, outcomes } = figuresOfRecord(record.history, record.about.ordered, drawn)
  agree('audit', part.audit?.ok, audit.ok)
  agree('outcomes', part.outcomes, outcomes)
  for (const { name, value } of figures) agree(name, part.figures.find(figure => figure.name === name)?.value, value)
  if (!same(part.fairness, fairness)) differences.push('fairness: the summary says something else than the record')
  return { audit, differences }
}

async function auditResult({ folder, summary, edits, strays }: Opened): Promise<AuditedResult> {
  const parts: AuditedPart[] = []
  for (const part of edits.length > 0 ? [] : summary.parts) {
    const none = { audit: undefined, differences: [] }
    const again = part.record === undefined ? none : await auditRecord(join(folder, part.record), part)
    parts.push({ name: part.name, ...again })
  }
  const isSound = ({ audit, differences }: AuditedPart) => audit?.ok !== false && differences.length === 0
  const ok = edits.length === 0 && parts.every(isSound)
  return { folder, ok, measured_by: treeText(summary.tree), audited_by: treeText(treeCard()), edits, strays, parts }
}

function partLines({ name, audit, differences }: AuditedPart): string[] {
  if (audit === undefined) return [`– ${name}: no record was kept`]
  const mark = audit.ok && differences.length === 0 ? '✓' : '✗'
  return [`${mark} ${name}`, ...audit.lines.map(line => `  ${line}`), ...differences.map(text => `  ✗ ${text}`)]
}

function resultLines({ folder, ok, measured_by, audited_by, edits, strays, parts }: AuditedResult): string[] {
  const sealed = edits.length === 0 ? 'as it was written' : 'EDITED since it was written, and not audited'
  return [
    `${ok ? '✓' : '✗'} ${folder}: ${sealed}`,
    ...edits.map(edit => `  ✗ ${edit}`),
    ...strays.map(stray => `  ! ${stray}`),
    ...parts.flatMap(partLines),
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

export async function auditFolders(args: readonly string[]): Promise<number> {
  const { values, positionals } = wordsOf(args)
  if (values.help) {
    process.stdout.write(`${HELP}\n`)
    return 0
  }
  const [folder, ...more] = positionals
  if (folder === undefined || more.length > 0)
    throw new UsageError('audit takes one folder: npm run bench -- audit FOLDER; try npm run bench -- audit --help')
  const results: AuditedResult[] = []
  for (const run of await runFolders(folder)) results.push(await auditResult(await openResult(run)))
  const text = values.json ? JSON.stringify(results, null, 2) : results.flatMap(resultLines).join('\n')
  process.stdout.write(`${text}\n`)
  if (!results.every(({ ok }) => ok)) return 99
  if (results.every(({ parts }) => parts.every(({ audit }) => audit === undefined)))
    throw new UsageError(
      `no part of ${folder} kept a record, so there is nothing to audit again; run with --record keep`,
    )
  return 0
}
