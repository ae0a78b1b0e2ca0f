/**
 * The audit: what clients were told and what the engine holds must tell one story, else the run is void.
 *
 * `auditRun` gathers the evidence once and runs every check on it; `printVerdict` says the verdict first, then a
 * line a check with how much it looked at, and the first examples under those that failed. A check with nothing to
 * look at gets a dash instead of a ✓: a run without viewers proves nothing about frames, and the reader should see
 * that.
 *
 * Rejected: a score. A run is sound or void, and no number published from a void run means anything.
 */
import { performance } from 'node:perf_hooks'
import { ANSWER_CHECKS } from './answer-checks.ts'
import { CLAIM_CHECKS } from './claim-checks.ts'
import { gatherEvidence, type Run } from './evidence.ts'
import { type Check, type CheckResult, runCheck } from './finding.ts'
import { FRAME_CHECKS } from './frame-checks.ts'
import { STOCK_CHECKS } from './stock-checks.ts'
import { TIME_CHECKS } from './time-checks.ts'

export interface Verdict {
  readonly ok: boolean
  readonly checks: readonly CheckResult[]
  /** Rows of the clients' record, and grants of the ledger. */
  readonly claims: number
  readonly grants: number
  readonly durationMs: number
}

export const CHECKS: readonly Check[] = [
  ...CLAIM_CHECKS,
  ...STOCK_CHECKS,
  ...ANSWER_CHECKS,
  ...TIME_CHECKS,
  ...FRAME_CHECKS,
]

export function auditRun(run: Run): Verdict {
  const started = performance.now()
  const evidence = gatherEvidence(run)
  const checks = CHECKS.map(check => runCheck(check, evidence))
  const ok = checks.every(check => check.ok)
  const durationMs = performance.now() - started
  return { ok, checks, claims: run.history.length, grants: run.ledger.length, durationMs }
}

const count = (number: number): string => number.toLocaleString('en-US')

function checkLines({ id, title, ok, checked, violations, examples }: CheckResult): readonly string[] {
  if (ok)
    return [
      `${checked > 0 ? '✓' : '–'} ${id.padEnd(13)} ${title} (${checked > 0 ? count(checked) : 'nothing to look at'})`,
    ]
  const told = `${count(violations)} violations in ${count(checked)}`
  return [`✗ ${id.padEnd(13)} NOT TRUE: ${title} (${told})`, ...examples.map(example => `    ${example}`)]
}

/** The verdict as lines, the verdict itself first. */
export function printVerdict({ ok, checks, claims, grants, durationMs }: Verdict): readonly string[] {
  const failed = checks.filter(check => !check.ok).length
  const size = `${count(claims)} claims, ${count(grants)} grants, audited in ${durationMs.toFixed(0)} ms`
  const sentence = ok ? 'one story' : `the run is VOID, ${failed} of ${checks.length} checks failed`
  return [`${ok ? '✓' : '✗'} audit: ${sentence} (${size})`, ...checks.flatMap(checkLines)]
}
