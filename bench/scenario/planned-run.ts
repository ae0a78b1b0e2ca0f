/**
 * One run of claims as a scenario plans it, and what is read around it: the shapes that the player (claim-run.ts) and the
 * maker of figures (claim-part.ts) share.
 */
import type { Code } from '../../engine/base/codes.ts'
import type { Frames } from '../audit/frames.ts'
import type { PlanShape } from '../load/job.ts'
import type { TransportName } from '../load/transport.ts'
import type { Latency } from '../measure/latency.ts'
import type { ProcessUse } from '../measure/process-cost.ts'
import type { Figure } from '../measure/result.ts'
import type { Story } from '../measure/story.ts'
import type { RoundState } from '../stage/operator.ts'

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
  /** Milliseconds between the making of a round and its opening at the pace `real`; undefined: by the size of the plan. */
  readonly leadMs?: number
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
