/**
 * How far first come, first served was kept, as the clients can see it: unjust losses and overtaking.
 *
 * A rightful winner is one of the first K to arrive, where K were granted; an unjust loss is one of them who got nothing.
 * A grant was overtaken by as much as the latest arrival among the grants before it came later than its own. Both count from the
 * sending, so the way through the sockets is in them: they bound the engine's own disorder from above.
 *
 * Rejected: counting pairs out of order. A single late claim makes thousands of them and harms one person.
 */

import type { Ledger } from '../../audit/ledger.ts'
import { Latency } from '../latency.ts'
import type { Crowd } from './crowd.ts'

export interface ArrivalOrder {
  readonly rightful: number
  readonly unjust: number
  /** Share of the grants that a later arrival came before. */
  readonly overtaken: number
  readonly overtaking_p99_us: number
  readonly overtaking_p999_us: number
  readonly overtaking_max_us: number
}

export function arrivalOrderOf({ user, arrivedUs, won }: Crowd, ledger: Ledger, people: number): ArrivalOrder {
  const granted = won.reduce((sum, one) => sum + one, 0)
  const unjust = won.subarray(0, granted).reduce((sum, one) => sum + 1 - one, 0)
  const arrival = new Float64Array(people).fill(Number.NaN)
  for (const [place, person] of user.entries()) arrival[person] = arrivedUs[place]!
  const { sequence, user: holder } = ledger.at
  const bySequence = Uint32Array.from({ length: ledger.length }, (_, row) => row).sort(
    (a, b) => sequence[a]! - sequence[b]!,
  )
  const overtaking = new Latency()
  let latest = Number.NEGATIVE_INFINITY
  let overtaken = 0
  for (const row of bySequence) {
    const arrived = arrival[holder[row]!]
    if (arrived === undefined || Number.isNaN(arrived)) continue
    overtaking.record(Math.max(0, latest - arrived))
    if (latest > arrived) overtaken++
    latest = Math.max(latest, arrived)
  }
  return {
    rightful: granted,
    unjust,
    overtaken: overtaken / Math.max(1, ledger.length),
    overtaking_p99_us: overtaking.at(99),
    overtaking_p999_us: overtaking.at(99.9),
    overtaking_max_us: overtaking.at(100),
  }
}
