/**
 * What a bench run produces, as data: everything that is printed, drawn or compared later comes from these types.
 *
 * A run has parts (a release over the stream, one over HTTP, …). A part's figures are a flat list of named numbers with
 * a unit and a direction, so that printing, comparing and repeating need no knowledge of the scenario. `problems` are
 * the sentences behind a ✗: a part with one makes the bench exit with 99. Schema 2 added `fairness`; schema 3 what makes a
 * result checkable: the tree, how the run ended, each part's record, the hashes of all files and the seal (record/seal.ts).
 */

import type { AuditSummary } from '../audit/finding.ts'
import type { RunFairness } from './fairness/run-fairness.ts'
import type { FileMark } from './kept-files.ts'
import type { LatencySummary } from './latency.ts'
import type { MachineCard } from './machine.ts'
import type { TimelineRow } from './timeline.ts'
import type { TreeCard } from './tree-card.ts'

export const SCHEMA = 3

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly better: 'higher' | 'lower' | 'neither'
}

export interface PartResult {
  readonly name: string
  /** What was run, as flags: profile, transport, pace, scale, … */
  readonly settings: Readonly<Record<string, string | number>>
  /** undefined for a scenario that makes no claims. */
  readonly audit: AuditSummary | undefined
  readonly figures: readonly Figure[]
  readonly latencies: Readonly<Record<string, LatencySummary>>
  readonly outcomes: Readonly<Record<string, number>>
  /** Who won how often; undefined for a scenario that makes no claims. Since schema 2. */
  readonly fairness?: RunFairness
  readonly timeline: readonly TimelineRow[]
  /** Sentences that qualify the figures: what limited them, what they are not. */
  readonly notes: readonly string[]
  readonly problems: readonly string[]
  /** The part that sums this one up with others of its kind; terminals show this one as a line while it is sound. */
  readonly summedIn?: string
  /** The folder of the record, which the audit can be repeated from; undefined where none was kept. Since schema 3. */
  readonly record?: string
}

/** A part and its percentile distributions, which are files of their own and not part of summary.json. */
export interface MeasuredPart extends PartResult {
  /** Where its record lies until it is moved into the result; undefined when none was kept. */
  readonly recordFolder: string | undefined
  readonly hgrm: Readonly<Record<string, string>>
}

export interface Summary {
  readonly schema: typeof SCHEMA
  readonly command: string
  readonly seed: number
  readonly machine: MachineCard
  readonly tree: TreeCard
  /** Where it ran: an engine of this tree that the bench started, or the address of somebody's. */
  readonly engine: string
  /** `complete`, `running` while parts are to come, else why it ended before them. */
  readonly ended: string
  readonly parts: readonly PartResult[]
  /** By name: every other file of the folder. */
  readonly files: Readonly<Record<string, FileMark>>
  /** SHA-256 of this summary's text with an empty seal. */
  readonly seal: string
}

export const figure = (name: string, value: number, unit: string, better: Figure['better'] = 'neither'): Figure => ({
  name,
  value: Number.isFinite(value) ? Number(value.toPrecision(6)) : 0,
  unit,
  better,
})

export function isSound(part: PartResult): boolean {
  return part.problems.length === 0 && part.audit?.ok !== false
}
