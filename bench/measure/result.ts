/**
 * What a bench run produces, as data: everything that is printed, drawn or compared later comes from these types.
 *
 * A run has parts (a release over the stream, one over HTTP, …). A part's figures are a flat list of named numbers with
 * a unit and a direction, so that printing, comparing and repeating need no knowledge of the scenario. `problems` are
 * the sentences behind a ✗: a part with one makes the bench exit with 99. Schema 2 added `fairness`.
 */

import type { RunFairness } from './fairness/run-fairness.ts'
import type { LatencySummary } from './latency.ts'
import type { MachineCard } from './machine.ts'
import type { TimelineRow } from './timeline.ts'

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly better: 'higher' | 'lower' | 'neither'
}

export interface AuditSummary {
  readonly ok: boolean
  readonly lines: readonly string[]
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
}

/** A part and its percentile distributions, which are files of their own and not part of summary.json. */
export interface MeasuredPart extends PartResult {
  readonly hgrm: Readonly<Record<string, string>>
}

export interface Summary {
  readonly schema: 2
  readonly command: string
  readonly seed: number
  readonly machine: MachineCard
  readonly parts: readonly PartResult[]
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
