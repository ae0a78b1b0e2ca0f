/**
 * A measured run of claims: every scenario that claims is this with another plan.
 *
 * It makes the round, lets the crew loose on it, reads what the processes used, then compares what clients were told
 * with what the engine holds. The audit comes before any figure: a run whose two stories differ is void, and its
 * figures are printed only to show what was void. What the figures are is claim-part.ts.
 */

import { Frames } from '../audit/frames.ts'
import { Crew, type CrewReport, type Opening } from '../load/crew.ts'
import { monotonicUs } from '../load/recorder.ts'
import { treeOf } from '../measure/process-cost.ts'
import { redisMemory } from '../measure/redis-memory.ts'
import type { MeasuredPart } from '../measure/result.ts'
import type { RoundState } from '../stage/operator.ts'
import { partOf } from './claim-part.ts'
import type { Audience, ClaimRun, Reading } from './planned-run.ts'
import { auditClaims, recordRun } from './run-audit.ts'
import { openKeeper, type Stage } from './stage.ts'

/** Seconds between the making of a round and its opening at the pace `real`: planning, connecting, the bots' lead. */
const LEAD_S = 10
const PLANNED_PER_S = 700_000
/** Less than this before the opening, the first taps of the bots would already be late. */
const LEAD_LEFT_MS_MIN = 1500
const PREPARED_TIMES_MAX = 3
/** What the engine may answer when the machine has no time for it or its Redis: right by the contract, and shown as a note. */
const OF_LOAD = ['overloaded', 'unknown', 'fenced', 'unavailable'] as const

const INTERRUPTED = 'the run was interrupted: the plan was not played to its end'

async function takeReading({ engine }: Stage): Promise<Reading> {
  return {
    use: engine.pid === undefined ? [] : treeOf(engine.pid),
    redisBytes: engine.directory === undefined ? undefined : await redisMemory(`${engine.directory}/redis.sock`),
  }
}

/** Runs the crew with the live line, and ends it early when the bench is interrupted. */
async function runCrew(stage: Stage, name: string, crew: Crew, opening: Opening): Promise<[CrewReport, number]> {
  const startUs = monotonicUs()
  const stop = () => crew.stop()
  stage.interrupted.addEventListener('abort', stop)
  stage.live.begin(() => {
    const { sent, answered, granted, inFlight } = crew.progress
    const seconds = ((monotonicUs() - startUs) / 1e6).toFixed(1)
    return `${name} ${seconds} s: ${sent} sent, ${answered} answered, ${granted} told granted, ${inFlight} in flight`
  })
  try {
    return [await crew.run(startUs, opening), startUs]
  } finally {
    stage.live.end()
    stage.interrupted.removeEventListener('abort', stop)
  }
}

function openingOf({ operator }: Stage, roundId: string, opensAt: Date | null): Opening {
  if (opensAt === null) {
    return {
      at: 'after-early',
      open: async () => {
        await operator.open(roundId)
      },
    }
  }
  return { at: 'agreed', openedUs: monotonicUs() + (opensAt.getTime() - Date.now()) * 1000 }
}

function crewFor({ engine, options, scratch }: Stage, run: ClaimRun, roundId: string): Crew {
  const target = { url: engine.url, key: engine.key, roundId }
  const { connections, frame, window } = run
  const settings = { target, firstConnection: 0, connections, frame, window }
  return new Crew({ ...run, seed: options.seed, settings, directory: scratch })
}

interface Prepared {
  readonly round: RoundState
  readonly opensAt: Date | null
  readonly crew: Crew
  readonly audience: Audience | undefined
}

/** Makes the round, and waits until everybody who takes part in it is ready. */
async function prepare(stage: Stage, run: ClaimRun, leadMs: number): Promise<Prepared> {
  const opensAt = run.pace === 'real' ? new Date(Date.now() + leadMs) : null
  const { name, windowMs, strict } = run
  const round = await stage.operator.createRound({ name, stock: run.plan.sizes.stock, opensAt, windowMs, strict })
  const crew = crewFor(stage, run, round.id)
  let audience: Audience | undefined
  try {
    audience = await run.audience?.(round)
    await crew.ready()
    return { round, opensAt, crew, audience }
  } catch (error) {
    crew.kill()
    audience?.kill()
    throw error
  }
}

/**
 * The same in time: a round that opens by the clock waits for nobody, and on a machine that others use the planning may
 * take longer than was thought. Then another round is made, with a lead after the time that it really took.
 */
async function prepareInTime(stage: Stage, run: ClaimRun): Promise<Prepared> {
  let leadMs = run.leadMs ?? (LEAD_S + run.plan.sizes.people / PLANNED_PER_S) * 1000
  for (let left = PREPARED_TIMES_MAX - 1; ; left--) {
    const startedMs = performance.now()
    const prepared = await prepare(stage, run, leadMs)
    if (prepared.opensAt === null || prepared.opensAt.getTime() - Date.now() >= LEAD_LEFT_MS_MIN) return prepared
    prepared.crew.kill()
    prepared.audience?.kill()
    await stage.operator.closed(prepared.round.id)
    if (left === 0) throw new Error('planning took longer than the lead, each time; use a smaller --scale')
    leadMs = Math.max(leadMs, 2 * (performance.now() - startedMs) + 2 * LEAD_LEFT_MS_MIN)
    stage.live.say(`planning took longer than the lead: again, with ${(leadMs / 1000).toFixed(0)} s`)
  }
}

export async function runClaims(stage: Stage, run: ClaimRun): Promise<MeasuredPart> {
  const { operator } = stage
  const { round, opensAt, crew, audience } = await prepareInTime(stage, run)
  try {
    const before = await takeReading(stage)
    const [report, startUs] = await runCrew(stage, run.name, crew, openingOf(stage, round.id, opensAt))
    const after = await takeReading(stage)
    const state = await operator.round(round.id)
    const watched = await audience?.leave(state.stock.version)
    const frames = watched?.frames ?? new Frames()
    const told = { round: state, history: report.history, frames, drawn: run.windowMs !== undefined }
    const keeper = await openKeeper(stage)
    const expected = [...run.expected, ...OF_LOAD]
    const record = await recordRun(operator, { sizes: run.plan.sizes, expected, ...told }, keeper)
    const measured = partOf({ run, report, startUs, before, after, ...auditClaims(record), watched })
    const figures = [...(run.closing?.(state) ?? []), ...measured.figures]
    const part = { ...measured, figures, recordFolder: keeper.folder }
    return stage.interrupted.aborted ? { ...part, notes: [INTERRUPTED, ...part.notes] } : part
  } finally {
    crew.kill()
    audience?.kill()
  }
}
