/**
 * A measured run of claims: every scenario that claims is this with another plan.
 *
 * It plays the claims (played-claims.ts), then compares what clients were told
 * with what the engine holds. The audit comes before any figure: a run whose two stories differ is void, and its
 * figures are printed only to show what was void. What the figures are is claim-part.ts.
 */

import { Frames } from '../audit/frames.ts'
import type { MeasuredPart } from '../measure/result.ts'
import { partOf } from './claim-part.ts'
import type { ClaimRun, Reading } from './planned-run.ts'
import { type Played, playClaims } from './played-claims.ts'
import { auditClaims, recordRun } from './run-audit.ts'
import { openKeeper, type Stage } from './stage.ts'

/** What the engine may answer when the machine has no time for it or its Redis: right by the contract, and shown as a note. */
const OF_LOAD = ['overloaded', 'unknown', 'fenced', 'unavailable'] as const

const INTERRUPTED = 'the run was interrupted: the plan was not played to its end'

const NO_READING: Reading = { use: [], redisBytes: undefined }
const NO_COST = { before: NO_READING, after: NO_READING, generators: [] }

/** Judges one of the rounds that were played, and makes its part. What several cost together is no single one's. */
export async function judgedPart(stage: Stage, run: ClaimRun, played: Played, place = 0): Promise<MeasuredPart> {
  const { report, startUs, watched } = played
  const cost = played.rounds.length === 1 ? { ...played, generators: report.generators } : NO_COST
  const { shard: _, ...round } = played.rounds[place]!
  const history = report.histories[place]!
  const recordings = report.generators.map(({ rounds }) => rounds[place]!)
  const frames = watched?.frames ?? new Frames()
  const told = { round, history, frames, drawn: run.windowMs !== undefined }
  const keeper = await openKeeper(stage)
  const expected = [...run.expected, ...OF_LOAD]
  const record = await recordRun(stage.operator, { sizes: run.plan.sizes, expected, ...told }, keeper)
  const { before, after, generators } = cost
  const measured = partOf({
    run,
    history,
    recordings,
    generators,
    startUs,
    before,
    after,
    ...auditClaims(record),
    watched,
  })
  const figures = [...(run.closing?.(round) ?? []), ...measured.figures]
  const part = { ...measured, figures, recordFolder: keeper.folder }
  return stage.interrupted.aborted ? { ...part, notes: [INTERRUPTED, ...part.notes] } : part
}

export const runClaims = async (stage: Stage, run: ClaimRun): Promise<MeasuredPart> =>
  judgedPart(stage, run, await playClaims(stage, { run, count: 1 }))
