/**
 * What rounds and their deciders need of a worker, for tests that have none: nobody refuses, nobody waits, and what is told
 * of them goes nowhere but where a test says so.
 */
import { RoundSecrets, signingSeed } from '../../engine/auth/draw-secrets.ts'
import { type Clock, realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { decidersOf } from '../../engine/campaign/claim/deciders.ts'
import type { DeciderParts, MakeDecider, RoundEvents } from '../../engine/campaign/round/round.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import type { Store } from '../../engine/store/store.ts'

export const DRAW_SECRET = Buffer.alloc(32, 3)

const ignore = () => {}

export const NO_EVENTS: RoundEvents = {
  ...{ changed: ignore, decided: ignore, answered: ignore, failed: ignore, drawn: ignore, begun: ignore },
}

/** Everything of a decider but its view, its store and who answers. */
export const quietParts = (roundId: string): Omit<DeciderParts, 'view' | 'store' | 'round'> => ({
  ...{ events: NO_EVENTS, gate: () => undefined, pressure: () => 0, renew: undefined },
  secrets: new RoundSecrets(DRAW_SECRET, roundId),
  signingKey: signingKeyOf(signingSeed(DRAW_SECRET)),
})

/** Deciders as a worker has them, with small batches. */
export const smallDeciders = (
  store: Parameters<typeof decidersOf>[0]['store'] | Store,
  clock: Clock = realClock,
): MakeDecider =>
  decidersOf({ store, clock, random: realRandom, batchClaims: 8, batchesInFlight: 4, entrantsKnown: 1000 })
