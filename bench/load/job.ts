/**
 * What the bench and its generator processes say to each other: the job, the order of a run, the report.
 *
 * A process may play several rounds at once, each with a plan, connections and a history of its own.
 * All of it is plain data, since it crosses a process boundary. The plan itself does not travel: a generator makes its
 * part from the seed, which is faster than copying it.
 */

import type { LateTaps, Part } from '../people/arrival.ts'
import type { Profile, Sizes } from '../people/profile.ts'
import type { Pace } from './claim-flow.ts'
import type { Recording } from './recorder.ts'
import type { Target, TransportName, TransportSettings } from './transport.ts'

export type PlanShape =
  | { readonly shape: 'release'; readonly profile: Profile; readonly sizes: Sizes; readonly untilS: number }
  | ({ readonly shape: 'late'; readonly sizes: Sizes } & LateTaps)

/** The claims of one round in one process. */
export interface RoundJob {
  readonly roundId: string
  /** Of the round's people: the same in every process. */
  readonly seed: number
  readonly historyFile: string
}

export interface GeneratorJob {
  readonly plan: PlanShape
  readonly pace: Pace
  readonly part: Part
  readonly retries: boolean
  readonly transport: TransportName
  /** Of each round; its target is the round's. */
  readonly settings: Omit<TransportSettings, 'target'>
  readonly target: Omit<Target, 'roundId'>
  readonly rounds: readonly RoundJob[]
}

/** What one process says of its claims to one round. */
export interface RoundReport extends Recording {
  readonly lostConnections: number
}

export interface GeneratorReport {
  readonly cpuUs: number
  readonly wallUs: number
  readonly loopDelayP99Us: number
  readonly loopDelayMaxUs: number
  /** In the order of the job. */
  readonly rounds: readonly RoundReport[]
}

export type ToGenerator =
  | { readonly type: 'job'; readonly job: GeneratorJob }
  | { readonly type: 'start'; readonly startUs: number }
  | { readonly type: 'opened'; readonly openedUs: number }
  | { readonly type: 'stop' }

export interface Progress {
  readonly sent: number
  readonly answered: number
  readonly granted: number
  readonly inFlight: number
}

export type ToBench =
  | { readonly type: 'ready'; readonly planned: number }
  | { readonly type: 'waiting' }
  | ({ readonly type: 'progress' } & Progress)
  | { readonly type: 'done'; readonly report: GeneratorReport }
  | { readonly type: 'failed'; readonly reason: string }
