/**
 * What a transport is to the generator: it opens its connections, sends what the flow gives it, and closes.
 *
 * `pump` sends as much as there is room for and returns; it is called after every answer by the transport itself and
 * by the generator's pacer when claims come due. `lost` counts connections that broke, which a run reports.
 */

import type { ClaimFlow } from './claim-flow.ts'

export interface Target {
  readonly url: string
  readonly key: string
  readonly roundId: string
}

export interface TransportSettings {
  readonly target: Target
  /** The number of the first connection; numbers are unique over all processes of a run. */
  readonly firstConnection: number
  readonly connections: number
  /** Claims of one stream frame at most. */
  readonly frame: number
  /** Unanswered frames of one stream connection. */
  readonly window: number
}

export interface Transport {
  open(): Promise<void>
  pump(): void
  close(): void
  readonly lost: number
}

export type TransportName = 'http' | 'stream'
export type MakeTransport = (settings: TransportSettings, flow: ClaimFlow) => Transport
