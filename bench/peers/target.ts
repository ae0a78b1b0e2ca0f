/**
 * What a contender offers to the load: where claims go, which processes to charge, and what it says it granted.
 *
 * `StartPeer` is the whole interface of a contender. It starts what it needs in the room it is given, answers when
 * claims can be made, and has no stop: the room ends everything. `granted` is null for the bare HTTP floor, which
 * keeps no state and so has nothing to disagree about.
 */

import type { RivalRedis, Setting } from './redis.ts'
import type { Room } from './room.ts'

export interface Target {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** The processes that were started; their children are found and charged too. */
  readonly pids: readonly number[]
  readonly granted: (() => Promise<number>) | null
  /** For a generator that asks Redis itself, reads no answers, and lets Redis count what it executed. */
  readonly redis?: RivalRedis
}

export type StartPeer = (room: Room, setting: Setting) => Promise<Target>
