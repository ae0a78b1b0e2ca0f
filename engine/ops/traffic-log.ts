/**
 * What a worker says of its traffic: one line a second while claims are answered, and one for each change of a round's state.
 *
 * It looks once a second at numbers that are there anyway, so no claim pays for it, and a quiet engine is silent. A state
 * that came and went within a second is not logged here; the audit log has who asked for it. Rejected: a line a batch.
 */
import type { Log } from './log.ts'

export interface RoundNow {
  readonly id: string
  readonly state: string
  readonly granted: number
  readonly total: number
}

export class TrafficLog {
  readonly #log: Pick<Log, 'info'>
  readonly #states = new Map<string, string>()

  constructor(log: Pick<Log, 'info'>) {
    this.#log = log
  }

  /** Called once a second with the claims by outcome since the last call, and the rounds as they stand. */
  second(outcomes: Readonly<Record<string, number>>, rounds: Iterable<RoundNow>): void {
    const claims = Object.values(outcomes).reduce((sum, count) => sum + count, 0)
    if (claims > 0) this.#log.info({ claims, ...outcomes }, 'claims in this second')
    for (const { id, state, granted, total } of rounds) {
      const before = this.#states.get(id)
      if (before === state) continue
      this.#states.set(id, state)
      if (before !== undefined) this.#log.info({ round: id, before, state, granted, total }, 'round changed')
    }
  }
}
