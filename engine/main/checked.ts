/**
 * One check of the server as a worker does it: what the store found, then what the parts above it have to say. A part that
 * cannot be asked (what it reads waits for the replica that is missing) says less than what the store found, so it never
 * stands in its place; where the store found nothing, it is the finding.
 */

import { Fault } from '../base/assert.ts'
import { type Clock, realClock } from '../base/clock.ts'
import type { CorrectedClock } from '../base/corrected-clock.ts'
import type { Checked, Finding } from '../ops/health.ts'
import type { StoreHealth } from '../store/server/health.ts'
import type { Ears } from './rounds.ts'

interface Above {
  readonly problems: readonly Finding[]
  readonly damages: readonly Finding[]
  readonly warnings: readonly Finding[]
}

const NOTHING: Above = { problems: [], damages: [], warnings: [] }

/** Also tells the clock how it stands. Throws Fault when the server cannot be asked. */
export async function checked(
  { health }: { readonly health: () => Promise<StoreHealth> },
  clock: Pick<CorrectedClock, 'learn'>,
  ears: Ears,
  now: Pick<Clock, 'wallMs'> = realClock,
): Promise<Checked> {
  const found = await health()
  clock.learn(found.aheadMs)
  ears.measured?.(now.wallMs() + found.aheadMs)
  const { problems, damages, warnings } = await above(ears).catch(cause => {
    if (cause instanceof Fault && found.problems.length > 0) return NOTHING
    throw cause
  })
  return {
    ...found,
    problems: [...found.problems, ...problems],
    damages,
    warnings: [...found.warnings, ...warnings],
  }
}

async function above(ears: Ears): Promise<Above> {
  const { problems = [], warnings = [] } = (await ears.agreed?.()) ?? {}
  const { lost = [], damaged = [] } = (await ears.damage?.()) ?? {}
  const concerns = (await ears.concerns?.()) ?? []
  return { problems: [...problems, ...lost], damages: damaged, warnings: [...warnings, ...concerns] }
}
