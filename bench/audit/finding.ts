/**
 * One check, and what it found.
 *
 * A check is a row of a table: the invariant it holds, one sentence that is true of a sound run, and a loop that
 * counts what it looked at and what contradicts the sentence. A contradiction is told as an example only while there
 * are few, so a run with a million violations costs no more than a run with five. A check that looked at nothing
 * proves nothing and is shown as such, never as a pass. Checks see only the evidence, so they can run in any order
 * and one fault may be seen by several: the verdict names all of them.
 *
 * Rejected: throwing at the first contradiction. The pattern over all checks is what tells a lost write from a
 * doubled one.
 */
import type { Evidence } from './evidence.ts'

const EXAMPLES_MAX = 5

/** The verdict of a run in words. */
export interface AuditSummary {
  readonly ok: boolean
  readonly lines: readonly string[]
}

/** `E` is what the check looks at: the evidence of a run, or of its draw. */
export interface Check<E = Evidence> {
  /** The invariant and what of it: `I3-acked`. */
  readonly id: string
  /** A full sentence that holds in every sound run. */
  readonly title: string
  /** False where the sentence does not apply to the run's mode. */
  readonly applies?: (evidence: E) => boolean
  readonly look: (evidence: E, finding: Finding) => void
}

export interface CheckResult {
  readonly id: string
  readonly title: string
  readonly ok: boolean
  readonly checked: number
  readonly violations: number
  readonly examples: readonly string[]
}

export class Finding {
  checked = 0
  violations = 0
  readonly examples: string[] = []

  /** Counts a contradiction; the sentence is only made for the first few. */
  violate(tell: () => string, times = 1): void {
    this.violations += times
    if (this.examples.length < EXAMPLES_MAX) this.examples.push(tell())
  }
}

export function runCheck<E>(check: Check<E>, evidence: E): CheckResult {
  const finding = new Finding()
  if (check.applies?.(evidence) ?? true) check.look(evidence, finding)
  const { checked, violations, examples } = finding
  return { id: check.id, title: check.title, ok: violations === 0, checked, violations, examples }
}
