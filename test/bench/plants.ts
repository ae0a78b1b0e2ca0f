/**
 * The faults that the audit must catch, as a table: what went wrong, the check that has to say so, and how it looks
 * in the records. They are the failures of real engines: writes lost or doubled, refusals too early, retries that
 * grant twice, numbers given out again after a fail-over, stock frames out of order.
 *
 * A fault may be seen by several checks; the named one must be among them. Each check has at least one plant, which
 * the test holds, so no check can rot into one that never fails.
 *
 * Rejected: changing records at random. Most random changes are impossible histories that any check trips over; the
 * hard ones are those where only one contradiction is left.
 */
import { ANSWER_PLANTS, CLAIM_PLANTS } from './claim-plants.ts'
import { type Plant, Planting } from './planting.ts'
import { FRAME_PLANTS, STOCK_PLANTS, TIME_PLANTS } from './round-plants.ts'
import type { Dice, SyntheticRun } from './synthetic.ts'

/** Plants a fault at a random place of a run. */
export function plantFault(plant: Plant, run: SyntheticRun, dice: Dice): void {
  plant.grow(new Planting(run, dice))
}

export const PLANTS: readonly Plant[] = [
  ...CLAIM_PLANTS,
  ...STOCK_PLANTS,
  ...ANSWER_PLANTS,
  ...TIME_PLANTS,
  ...FRAME_PLANTS,
]
