/**
 * The three ways to decide the claims of a round, and which of them a round has: the one place that asks for its mode. Each
 * is made once, where the round is loaded, and behind the interface Decider nobody sees which it is.
 */
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Store } from '../../store/store.ts'
import type { Decider, DeciderParts, MakeDecider } from '../round/round.ts'
import { ArrivalQueue } from './arrival-queue.ts'
import { ClaimQueue } from './claim-queue.ts'
import { Entries } from './entries.ts'
import { Ordered, type Queue, type QueueEvents } from './ordered.ts'

export interface DecidersOptions {
  readonly store: Pick<Store, 'allotments' | 'claims' | 'draws' | 'entries'>
  readonly clock: Clock
  readonly random: Random
  readonly batchClaims: number
  readonly batchesInFlight: number
}

/** Makes the deciders of one worker's rounds. */
export function decidersOf({ store, clock, random, batchClaims, batchesInFlight }: DecidersOptions): MakeDecider {
  const worker = random.bytes(8).toString('hex')
  const ordered = (parts: DeciderParts, queue: (events: QueueEvents) => Queue) =>
    new Ordered({ ...parts, claims: store.claims, clock, queue })
  return (parts): Decider => {
    const { id: roundId, config } = parts.view
    const { allocation } = config
    if (allocation.mode !== 'fcfs') return new Entries({ ...parts, stores: store, clock, batchClaims, batchesInFlight })
    if (allocation.strict) {
      const own = { roundId, store: store.allotments, worker, secret: parts.secrets.ties, renew: parts.renew }
      return ordered(parts, events => new ArrivalQueue({ ...own, clock, batchClaims, events }))
    }
    const own = { roundId, store: parts.store, renew: parts.renew }
    return ordered(parts, events => new ClaimQueue({ ...own, clock, batchClaims, batchesInFlight, events }))
  }
}
