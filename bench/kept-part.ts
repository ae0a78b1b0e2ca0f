/**
 * One part of a kept result: its record is audited again, and whatever the record and the part's other files give is held
 * against what the summary says of it.
 *
 * The record gives the audit, outcomes, rates and fairness, the people and the stock, every latency from the send (its
 * figures and its distribution), the counts of the other latencies, and the timeline. It cannot give latencies from the
 * plan, ages of frames, claims in flight, cost, memory, notes or problems, nor which machine and program it was: these
 * rest on the seal. A part without its record, with another's, or with one that cannot be read is a difference too.
 */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditSummary } from './audit/finding.ts'
import { judgeRedemptions } from './audit/redemption-audit.ts'
import { keptJson } from './measure/kept-files.ts'
import type { PartResult, Summary } from './measure/result.ts'
import { treeCard, treeText } from './measure/tree-card.ts'
import { answersOf, connectionDifferences, slotDifferences } from './record/answers.ts'
import { type ClaimsRecord, readClaims } from './record/claims-record.ts'
import { readRedemptions } from './record/redemption-record.ts'
import { csvOf } from './record/result-folder.ts'
import type { Opened } from './record/seal.ts'
import { timelineDifferences } from './record/timeline-record.ts'
import { figuresOfRecord, latencyFigures } from './scenario/claim-part.ts'
import { auditClaims } from './scenario/run-audit.ts'

const FROM_SEND = 'latency-from-send'
const FROM_PLAN = 'latency-from-plan'

export interface AuditedPart {
  readonly name: string
  /** undefined where no record was kept, or none that can be read. */
  readonly audit: AuditSummary | undefined
  /** What the summary says and the record does not. */
  readonly differences: readonly string[]
  /** How many other parts, which have the records, this one sums up; undefined where it sums up none. */
  readonly sums?: number
}

/** The part as the summary has it, where its files lie, and what is found to differ. */
class Comparison {
  readonly differences: string[] = []
  readonly part: PartResult
  readonly #folder: string
  readonly #number: number

  constructor(part: PartResult, folder: string, number: number) {
    this.part = part
    this.#folder = folder
    this.#number = number
  }

  agree(what: string, says: unknown, gives: unknown): void {
    const [one, other] = [JSON.stringify(says), JSON.stringify(gives)]
    if (one !== other) this.differences.push(`${what}: the summary says ${one}, the record gives ${other}`)
  }

  /** `name` is without the number of the part. */
  async agreeFile(name: string, ending: string, text: string): Promise<void> {
    const file = `${name}-${this.#number}.${ending}`
    const found = await readFile(join(this.#folder, file), 'utf8').catch(() => undefined)
    if (found !== text) this.differences.push(`${file}: it is not what the record and the summary give`)
  }
}

const withoutTime = (line: string): string => line.replace(/, audited in \d+ ms\)/, ')')
/** By check: its mark. */
const marksOf = (lines: readonly string[]): ReadonlyMap<string, string> =>
  new Map(lines.flatMap(line => (/^[✓✗–] [A-Z]/.test(line) ? [[line.split(' ')[1]!, line[0]!]] : [])))

/** The lines of an audit by this program are the same; another one may have had other checks and other words. */
function agreeLines(compared: Comparison, audit: AuditSummary, tree: Summary['tree']): void {
  const says = compared.part.audit?.lines ?? []
  if (treeText(tree) === treeText(treeCard())) {
    const gives = new Set(audit.lines.map(withoutTime))
    const said = new Set(says.map(withoutTime))
    const lost = [...gives].filter(line => !said.has(line))
    const more = [...said].filter(line => !gives.has(line))
    compared.differences.push(
      ...lost.map(line => `audit: the summary lacks the line: ${line}`),
      ...more.map(line => `audit: the record does not give the line: ${line}`),
    )
    return
  }
  const marks = marksOf(audit.lines)
  for (const [check, mark] of marksOf(says))
    if (marks.has(check)) compared.agree(`audit, ${check}`, mark, marks.get(check))
}

async function agreeAnswers(compared: Comparison, { about, history }: ClaimsRecord): Promise<void> {
  const { settings, latencies, figures, timeline } = compared.part
  const stock = about.ordered.reduce((sum, one) => sum + one, 0)
  compared.agree('people', settings.people, about.people)
  compared.agree('stock', settings.stock, stock)
  const latency = answersOf(history)
  if (latency.count > 0) {
    compared.agree(FROM_SEND, latencies[FROM_SEND], latency.summary())
    await compared.agreeFile(FROM_SEND, 'hgrm', latency.toHgrm())
  }
  for (const { name, value } of latencyFigures('latency from send', latency))
    compared.agree(name, figures.find(figure => figure.name === name)?.value, value)
  if (FROM_PLAN in latencies) compared.agree(`${FROM_PLAN} count`, latencies[FROM_PLAN]?.count, latency.count)
  compared.differences.push(
    ...timelineDifferences(timeline, history, stock),
    ...connectionDifferences(history, settings),
    ...slotDifferences(history),
  )
  if (timeline.length > 0) await compared.agreeFile('timeline', 'csv', csvOf(timeline))
}

async function auditRecord(folder: string, compared: Comparison, tree: Summary['tree']): Promise<AuditSummary> {
  const { part } = compared
  const { kind } = await keptJson<{ readonly kind: string }>(folder, 'about.json')
  if (kind === 'redemptions') {
    const audit = judgeRedemptions(await readRedemptions(folder))
    compared.agree('audit', part.audit, audit)
    return audit
  }
  const record = await readClaims(folder)
  const { audit, fairness, drawn } = auditClaims(record)
  const { figures, outcomes } = figuresOfRecord(record.history, record.about.ordered, drawn)
  compared.agree('audit', part.audit?.ok, audit.ok)
  compared.agree('outcomes', part.outcomes, outcomes)
  for (const { name, value } of figures)
    compared.agree(name, part.figures.find(figure => figure.name === name)?.value, value)
  if (JSON.stringify(part.fairness) !== JSON.stringify(fairness))
    compared.differences.push('fairness: the summary says something else than the record')
  agreeLines(compared, audit, tree)
  await agreeAnswers(compared, record)
  return audit
}

/** Why there is no record of this part to look at, in a sentence; undefined where it may be none. */
function recordLacks({ parts, files }: Summary, part: PartResult, own: string): string | undefined {
  const kept = Object.keys(files).some(name => name.startsWith(`${own}/`))
  if (part.record !== undefined && part.record !== own)
    return `record: the summary names ${JSON.stringify(part.record)}, the record of this part is ${own}`
  if (part.record !== undefined) return undefined
  if (kept) return `record: ${own} is in the folder, the summary does not name it`
  const others = parts.some(other => other.record !== undefined)
  return others && part.audit !== undefined ? `record: ${own} is missing, other parts have theirs` : undefined
}

/** A part that sums others up has no record: what it counts is held against what they count. */
function auditSum(part: PartResult, parts: readonly PartResult[]): AuditedPart {
  const compared = new Comparison(part, '', 0)
  const counted: Record<string, number> = {}
  for (const [code, count] of parts.flatMap(({ outcomes }) => Object.entries(outcomes)))
    counted[code] = (counted[code] ?? 0) + count
  const inOrder = (counts: Readonly<Record<string, number>>) => Object.entries(counts).toSorted()
  compared.agree('outcomes', inOrder(part.outcomes), inOrder(counted))
  for (const name of ['people', 'stock'])
    compared.agree(
      name,
      part.settings[name],
      parts.reduce((sum, { settings }) => sum + Number(settings[name]), 0),
    )
  return { name: part.name, audit: undefined, differences: compared.differences, sums: parts.length }
}

/** Audits the part at a place of the summary, counted from 0. */
export async function auditPart({ folder, summary }: Opened, place: number): Promise<AuditedPart> {
  const part = summary.parts[place]!
  const { name } = part
  const own = `record-${place + 1}`
  const lacks = recordLacks(summary, part, own)
  if (lacks !== undefined) return { name, audit: undefined, differences: [lacks] }
  const summed = summary.parts.filter(({ summedIn }) => summedIn === name)
  if (summed.length > 0) return auditSum(part, summed)
  if (part.record === undefined) return { name, audit: undefined, differences: [] }
  const compared = new Comparison(part, folder, place + 1)
  const found = await readdir(join(folder, own)).catch(() => [])
  const loose = found.map(file => `${own}/${file}`).filter(file => file.endsWith('.gz') && !(file in summary.files))
  compared.differences.push(...loose.map(file => `record: ${file} is not among the files that were sealed`))
  try {
    const audit = await auditRecord(join(folder, own), compared, summary.tree)
    return { name, audit, differences: compared.differences }
  } catch (cause) {
    const unread = `record: ${own} cannot be held against the summary: ${(cause as Error).message}`
    return { name, audit: undefined, differences: [...compared.differences, unread] }
  }
}
