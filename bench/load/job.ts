/**
 * What the bench and its generator processes say to each other: the job, the order of a run, the report.
 *
 * All of it is plain data, since it crosses a process boundary. The plan itself does not travel: a generator makes its
 * part from the seed, which is faster than copying it.
 */

import type { LateTaps, Part } from '../people/arrival.ts'
import type { Profile, Sizes } from '../people/profile.ts'
import type { Pace } from './claim-flow.ts'
import type { Recording } from './recorder.ts'
import type { TransportName, TransportSettings } from './transport.ts'

export type PlanShape =
  | { readonly shape: 'release'; readonly profile: Profile; readonly sizes: Sizes; readonly untilS: number }
  | ({ readonly shape: 'late'; readonly sizes: Sizes } & LateTaps)

export interface GeneratorJob {
  readonly plan: PlanShape
  readonly pace: Pace
  readonly seed: number
  readonly part: Part
  readonly retries: boolean
  readonly transport: TransportName
  readonly settings: TransportSettings
  readonly historyFile: string
}

export interface GeneratorReport extends Recording {
  readonly cpuUs: number
  readonly wallUs: number
  readonly loopDelayP99Us: number
  readonly loopDelayMaxUs: number
  readonly lostConnections: number
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
