/**
 * The three ways to decide the claims of a round, and which of them a round has: first come and strict are one class with two
 * queues, a draw has its own. Each is made once, where the round is loaded, and behind the interface Decider no claim sees which
 * it is. What else a draw has (windows, files, a waitlist) is campaign/drawing's.
 */
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Store } from '../../store/store.ts'
import type { Decider, DeciderParts, MakeDecider } from '../round/round.ts'
import { isDrawn, isStrict } from '../round/round-config.ts'
import { ArrivalQueue } from './arrival-queue.ts'
import { ClaimQueue } from './claim-queue.ts'
import { Entries } from './entries.ts'
import { Ordered, type Queue } from './ordered.ts'

export interface DecidersOptions {
  readonly store: Pick<Store, 'allotments' | 'claims' | 'draws' | 'entries'>
  readonly clock: Clock
  readonly random: Random
  readonly batchClaims: number
  readonly batchesInFlight: number
  /** How many entrants of a draw are known at most; the room for them is set aside when the round is loaded. */
  readonly entrantsKnown: number
}

/** Makes the deciders of one worker's rounds. */
export function decidersOf(options: DecidersOptions): MakeDecider {
  const { store, clock, random, batchClaims, batchesInFlight, entrantsKnown } = options
  const worker = random.bytes(8).toString('hex')
  const ordered = (parts: DeciderParts, queue: Queue) => new Ordered({ ...parts, claims: store.claims, queue })
  return (parts): Decider => {
    const { config } = parts.view
    if (isDrawn(config))
      return new Entries({ ...parts, stores: store, clock, batchClaims, batchesInFlight, entrantsKnown })
    if (isStrict(config)) {
      const own = { store: store.allotments, worker, secret: parts.secrets.ties }
      return ordered(parts, new ArrivalQueue({ ...parts, ...own, clock, batchClaims }))
    }
    return ordered(parts, new ClaimQueue({ ...parts, clock, batchClaims, batchesInFlight }))
  }
}
