/**
 * The audit of a run of claims, of either kind: the record of what was told against what the engine holds.
 *
 * First come, first served: the grants are read and compared. A drawn round ends first (drawn-end.ts), then the same
 * checks run over the record with what people were told after the draw, and the draw's own checks repeat it from its
 * proof. Both end with the fairness of the run, which needs the same two sides.
 */

import type { Code } from '../../engine/base/codes.ts'
import { statementOf } from '../audit/draw-bundle.ts'
import { DRAW_CHECKS, type DrawEvidence } from '../audit/draw-checks.ts'
import { runCheck } from '../audit/finding.ts'
import type { Frames } from '../audit/frames.ts'
import { History } from '../audit/history.ts'
import { readLedger } from '../audit/ledger.ts'
import { auditRun, printVerdict, type Verdict } from '../audit/verdict.ts'
import { benchUsers } from '../load/user-id.ts'
import { type RunFairness, runFairness } from '../measure/fairness/run-fairness.ts'
import { type AuditSummary, type Figure, figure } from '../measure/result.ts'
import type { Operator, RoundState } from '../operator.ts'
import { endDraw, entrantsOf } from './drawn-end.ts'
import type { Sizes } from './profile.ts'

export interface ToldRun {
  readonly sizes: Sizes
  readonly expected: readonly Code[]
  readonly round: RoundState
  readonly history: History
  readonly frames: Frames
}

export interface Audited {
  readonly audit: AuditSummary
  readonly fairness: RunFairness
  /** Figures that only a drawn round has. */
  readonly drawn: readonly Figure[]
}

const COMMON = { perUser: 1, changes: [], setAside: [] } as const
const summaryOf = (verdict: Verdict): AuditSummary => ({ ok: verdict.ok, lines: printVerdict(verdict) })

export async function auditFcfs(
  operator: Operator,
  { sizes, expected, round, history, frames }: ToldRun,
): Promise<Audited> {
  const users = benchUsers(sizes.people)
  const pools = round.pools.map(pool => pool.name)
  const ledger = await readLedger(operator.grants(round.id), { users, pools, capacity: round.stock.granted + 1 })
  const verdict = auditRun({
    ...COMMON,
    history,
    users,
    ledger,
    round,
    frames,
    expected: new Set(expected),
    mode: 'fcfs',
  })
  const fairness = runFairness({ history, ledger, ...sizes, windows: undefined })
  return { audit: summaryOf(verdict), fairness, drawn: [] }
}

function withDraw(verdict: Verdict, evidence: DrawEvidence): Verdict {
  const checks = [...verdict.checks, ...DRAW_CHECKS.map(check => runCheck(check, evidence))]
  return { ...verdict, checks, ok: checks.every(({ ok }) => ok) }
}

export async function auditDrawn(
  operator: Operator,
  { sizes, expected, round: { id }, history, frames }: ToldRun,
): Promise<Audited> {
  const { round, bundles, after, ledger, holders, receipts, drawnInS } = await endDraw(
    operator,
    id,
    history,
    sizes.people,
  )
  const users = benchUsers(sizes.people)
  const whole = new History(history.length + after.length)
  for (const part of [history, after]) whole.append(part.toBuffer())
  const known = { history: whole, users, ledger, round, frames, expected: new Set<Code>([...expected, 'entered']) }
  const verdict = auditRun({ ...COMMON, ...known, mode: 'drawn' })
  const evidence = { draws: bundles.map(statementOf), history, users, ledger, holders, receipts }
  const windows = entrantsOf(bundles)
  const entrants = windows.reduce((sum, count) => sum + count, 0)
  const drawn = [
    figure('entrants', entrants, 'people'),
    figure('windows', windows.length, 'draws'),
    figure('granted', round.stock.granted, 'grants'),
    figure('close to the last grant', drawnInS, 's', 'lower'),
  ]
  return {
    audit: summaryOf(withDraw(verdict, evidence)),
    fairness: runFairness({ history, ledger, ...sizes, windows }),
    drawn,
  }
}
