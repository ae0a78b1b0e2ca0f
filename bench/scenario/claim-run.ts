/**
 * A measured run of claims: every scenario that claims is this with another plan.
 *
 * It makes the round, lets the crew loose on it, reads what the processes used, then compares what clients were told
 * with what the engine holds. The audit comes before any figure: a run whose two stories differ is void, and its
 * figures are printed only to show what was void. What the figures are is claim-part.ts.
 */

import type { Code } from '../../engine/base/codes.ts'
import { Frames } from '../audit/frames.ts'
import { Crew, type CrewReport, type Opening } from '../load/crew.ts'
import type { PlanShape } from '../load/job.ts'
import { monotonicUs } from '../load/recorder.ts'
import type { TransportName } from '../load/transport.ts'
import type { Latency } from '../measure/latency.ts'
import { type ProcessUse, treeOf } from '../measure/process-cost.ts'
import { redisMemory } from '../measure/redis-memory.ts'
import type { Figure, MeasuredPart } from '../measure/result.ts'
import type { Story } from '../measure/story.ts'
import type { RoundState } from '../operator.ts'
import type { Stage } from '../stage.ts'
import { partOf } from './claim-part.ts'
import { auditDrawn, auditFcfs } from './run-audit.ts'

export interface ClaimRun {
  readonly name: string
  readonly plan: PlanShape
  readonly transport: TransportName
  readonly pace: 'real' | 'max'
  /** Milliseconds of a window of the draw; undefined for first come, first served. */
  readonly windowMs?: number | undefined
  /** By the stamps of arrival over all workers. */
  readonly strict?: boolean
  readonly frame: number
  readonly window: number
  readonly connections: number
  readonly processes: number
  readonly sameUsers: boolean
  readonly retries: boolean
  /** The outcomes besides grants that this run can rightly produce. */
  readonly expected: readonly Code[]
  readonly settings: Readonly<Record<string, string | number>>
  /** What a reader has to know about the figures of this scenario. */
  readonly notes?: readonly string[]
  /** Figures that only this scenario has. */
  readonly figures?: (story: Story) => readonly Figure[]
  /** Figures of the round as it stands at the end. */
  readonly closing?: (round: RoundState) => readonly Figure[]
  /** Who watches while the claims run; their frames are audited with the claims. */
  readonly audience?: (round: RoundState) => Promise<Audience>
}

export interface AudienceReport {
  readonly frames: Frames
  readonly ages: Latency
  readonly figures: readonly Figure[]
}

/** People who watch the stock while others claim. */
export interface Audience {
  /** Ends the watching once everybody saw `version`, or says in the report who did not. */
  leave(version: number): Promise<AudienceReport>
  kill(): void
}

export interface Reading {
  readonly use: readonly ProcessUse[]
  readonly redisBytes: number | undefined
}

/** Seconds between the making of a round and its opening at the pace `real`: planning, connecting, the bots' lead. */
const LEAD_S = 10
const PLANNED_PER_S = 700_000
/** Less than this before the opening, the first taps of the bots would already be late. */
const LEAD_LEFT_MS_MIN = 1500

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
  const inMs = opensAt.getTime() - Date.now()
  if (inMs < LEAD_LEFT_MS_MIN) throw new Error('planning took longer than the lead; use a smaller --scale')
  return { at: 'agreed', openedUs: monotonicUs() + inMs * 1000 }
}

function crewFor({ engine, options, scratch }: Stage, run: ClaimRun, roundId: string): Crew {
  const target = { url: engine.url, key: engine.key, roundId }
  const { connections, frame, window } = run
  const settings = { target, firstConnection: 0, connections, frame, window }
  return new Crew({ ...run, seed: options.seed, settings, directory: scratch })
}

export async function runClaims(stage: Stage, run: ClaimRun): Promise<MeasuredPart> {
  const { operator } = stage
  const { people, stock } = run.plan.sizes
  const leadMs = (LEAD_S + people / PLANNED_PER_S) * 1000
  const opensAt = run.pace === 'real' ? new Date(Date.now() + leadMs) : null
  const round = await operator.createRound({
    name: run.name,
    stock,
    opensAt,
    windowMs: run.windowMs,
    strict: run.strict,
  })
  const crew = crewFor(stage, run, round.id)
  let audience: Audience | undefined
  try {
    audience = await run.audience?.(round)
    await crew.ready()
    const before = await takeReading(stage)
    const [report, startUs] = await runCrew(stage, run.name, crew, openingOf(stage, round.id, opensAt))
    const after = await takeReading(stage)
    const state = await operator.round(round.id)
    const watched = await audience?.leave(state.stock.version)
    const frames = watched?.frames ?? new Frames()
    const told = { sizes: run.plan.sizes, expected: run.expected, round: state, history: report.history, frames }
    const audited = await (run.windowMs === undefined ? auditFcfs : auditDrawn)(operator, told)
    const measured = partOf({ run, report, startUs, before, after, ...audited, watched })
    const part = { ...measured, figures: [...(run.closing?.(state) ?? []), ...measured.figures] }
    return stage.interrupted.aborted ? { ...part, notes: [INTERRUPTED, ...part.notes] } : part
  } finally {
    crew.kill()
    audience?.kill()
  }
}
