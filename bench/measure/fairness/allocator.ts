/**
 * The allocator that replays judge: the engine's own, which is the verifier's too. One function, the only place to say
 * which, and the only file of the battery that sees the engine: everything else knows packed records, a stock and
 * winners. The second implementation (audit/draw.ts) draws a part of the replays again, which is test B0.
 */

import { allocate as engineAllocates } from '../../../engine/draw/allocation.ts'
import { ScoreOrder } from '../../../engine/draw/score-order.ts'
import type { Allocate } from './lotteries.ts'

export const allocate: Allocate = (entries, stock, seed) => {
  const order = new ScoreOrder(seed, entries)
  const pools = [{ name: 'general', total: stock }]
  return engineAllocates(order, entries, { pools, quota_order: 'general-first', waitlist: 0 }).winners
}
