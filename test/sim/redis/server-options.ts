/**
 * What a simulated server is made of, and the bugs that a world may plant in it.
 *
 * Here and not beside the server, since worlds, clusters and seats name these and make no server.
 */
import type { Chance, Timeline } from '../timeline.ts'
import type { Published } from './call.ts'
import type { execute } from './commands.ts'
import type { Network } from './network.ts'
import type { Seat } from './seat.ts'
import type { Server } from './server.ts'

export type Sync = 'none' | 'everysec' | 'always'

export interface ServerOptions {
  readonly name: string
  readonly network: Network
  readonly timeline: Timeline
  readonly chance: Chance
  readonly sync: Sync
  /** Told of what scripts publish, when it leaves: with the answers of their turn, so behind the sync. */
  readonly published: (server: Server, told: Published) => void
  /** Told of each notice that a script wrote, with its place in the log. */
  readonly noted: (server: Server, told: Published, place: number) => void
  /** The text of a script to its name. */
  readonly scriptOf: (source: string) => string
  readonly plant: ServerPlant
  /** Of a server of a cluster. */
  readonly seat?: ((server: Server) => Seat) | undefined
}

/** Bugs that a world may plant in its servers. */
export interface ServerPlant {
  /** Answers before the log is synced. */
  readonly answersEarly?: boolean
  /** Says at once that as many replicas have it as were asked for. */
  readonly waitsForNobody?: boolean
  /** Runs commands and scripts in another way. */
  readonly execute?: typeof execute
}
