/**
 * The audit of a run of claims, of either kind: the record of what was told against what the engine holds.
 *
 * First the record is made whole: the grants are exported, and a drawn round is ended and its proof fetched
 * (drawn-end.ts). Then it is judged, by a function that sees nothing but the record, so that `bench audit` can judge it
 * again from its files. First come, first served has the checks of claims; over a drawn round the same run, with what
 * people were told after it, and the draw's own checks repeat it from its proof. Fairness needs the same two sides.
 */

import type { Code } from '../../engine/base/codes.ts'
import { statementOf } from '../audit/draw-bundle.ts'
import { DRAW_CHECKS, type DrawEvidence } from '../audit/draw-checks.ts'
import type { AuditSummary } from '../audit/finding.ts'
import { runCheck } from '../audit/finding.ts'
import type { Frames } from '../audit/frames.ts'
import { History } from '../audit/history.ts'
import { auditRun, printVerdict, type Verdict } from '../audit/verdict.ts'
import { benchUsers } from '../load/user-id.ts'
import { type RunFairness, runFairness } from '../measure/fairness/run-fairness.ts'
import type { Keeper } from '../measure/kept-files.ts'
import { type Figure, figure } from '../measure/result.ts'
import type { Sizes } from '../people/profile.ts'
import { type ClaimsRecord, type DrawRecord, keepClaims, keepGrants } from '../record/claims-record.ts'
import type { Operator, RoundState } from '../stage/operator.ts'
import { endDraw, entrantsOf } from './drawn-end.ts'

export interface ToldRun {
  readonly sizes: Sizes
  readonly expected: readonly Code[]
  readonly drawn: boolean
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

/** Reads what the engine holds of a run whose load is over, and keeps the whole record. */
export async function recordRun(operator: Operator, told: ToldRun, keeper: Keeper): Promise<ClaimsRecord> {
  const { sizes, expected, history, frames } = told
  const { people, bots, stock } = sizes
  const about = { kind: 'claims', people, bots, ordered: [stock], expected } as const
  let record: ClaimsRecord
  if (told.drawn) {
    const { round, drawnInS, ledger, draw } = await endDraw(operator, told.round.id, { history, people, keeper })
    record = { about: { ...about, round, drawnInS }, history, frames, ledger, draw }
  } else {
    const { round } = told
    const ledger = await operator.whole(
      () => operator.grants(round.id),
      grants => keepGrants(keeper, grants, { people, round }),
    )
    record = { about: { ...about, round, drawnInS: undefined }, history, frames, ledger, draw: undefined }
  }
  await keepClaims(keeper, record)
  return record
}

function withDraw(verdict: Verdict, evidence: DrawEvidence): Verdict {
  const checks = [...verdict.checks, ...DRAW_CHECKS.map(check => runCheck(check, evidence))]
  return { ...verdict, checks, ok: checks.every(({ ok }) => ok) }
}

/** Judges a record of either kind. */
export const auditClaims = (record: ClaimsRecord): Audited =>
  record.draw === undefined ? auditFcfs(record) : auditDrawn(record, record.draw)

function auditFcfs({ about, history, frames, ledger }: ClaimsRecord): Audited {
  const { people, bots, ordered, round } = about
  const known = { history, users: benchUsers(people), ledger, round, frames, expected: new Set(about.expected) }
  const verdict = auditRun({ ...COMMON, ...known, ordered, mode: 'fcfs' })
  const fairness = runFairness({ history, ledger, people, bots, windows: undefined })
  return { audit: summaryOf(verdict), fairness, drawn: [] }
}

function auditDrawn({ about, history, frames, ledger }: ClaimsRecord, draw: DrawRecord): Audited {
  const { people, bots, ordered, round, drawnInS = 0 } = about
  const users = benchUsers(people)
  const whole = new History(history.length + draw.after.length)
  for (const part of [history, draw.after]) whole.append(part.toBuffer())
  const expected = new Set<Code>([...about.expected, 'entered'])
  const verdict = auditRun({
    ...{ ...COMMON, history: whole, users, ledger, round, frames, expected },
    ...{ ordered, mode: 'drawn' },
  })
  const { bundles, holders, receipts } = draw
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
    fairness: runFairness({ history, ledger, people, bots, windows }),
    drawn,
  }
}
