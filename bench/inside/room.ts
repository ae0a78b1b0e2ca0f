/**
 * The engine without its server, for the modes that split a claim's cost: an embedded Redis as `fairgrab up` starts it,
 * the store on it, and one round made straight through the store. Only this folder of the bench looks inside the
 * engine; everything else is an outsider. Whatever happens, the Redis is stopped and its folder goes.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realClock } from '../../engine/base/clock.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import type { RoundEvents } from '../../engine/campaign/round/round.ts'
import type { Allocation, RoundConfig } from '../../engine/campaign/round/round-config.ts'
import { startEmbedded } from '../../engine/store/server/embedded.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import { openStore, type Store } from '../../engine/store/store.ts'

export const COMMON = { clock: realClock, random: realRandom }

/** Nobody wants to know what the rounds tell. */
export const NOBODY: RoundEvents = {
  ...{ changed: () => {}, decided: () => {}, answered: () => {}, failed: () => {}, drawn: () => {}, begun: () => {} },
}

export interface InsideRoom {
  readonly store: Store
  readonly redisPid: number
  readonly round: RoundConfig
  readonly epoch: string
}

const roundConfig = (allocation: Allocation): RoundConfig => ({
  id: newId(realRandom, 'rnd'),
  campaign_id: 'cmp_inside',
  number: 1,
  currency: 'CNY',
  allocation,
  pools: ['general'],
  per_user: 1,
  pack: [
    {
      template: '40-10',
      quantity: 5,
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
      valid_for_s: 604_800,
    },
  ],
  created_at: new Date().toISOString(),
})

/** Runs `play` on a fresh Redis with an open round of `stock` packs. */
export async function withRoom<T>(
  durability: Durability,
  stock: number,
  play: (room: InsideRoom) => Promise<T>,
  allocation: Allocation = { mode: 'fcfs' },
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'fairgrab-inside-'))
  const redis = await startEmbedded(folder, durability, realClock)
  const store = openStore({ url: redis.url, durability, clock: realClock, random: realRandom })
  try {
    const round = roundConfig(allocation)
    const epoch = realRandom.bytes(8).toString('hex')
    await store.rounds.createRound({
      id: round.id,
      campaignId: round.campaign_id,
      number: round.number,
      epoch,
      opensAt: 1,
      closesAt: 0,
      config: JSON.stringify(round),
      totals: [stock],
    })
    await store.rounds.enlist({ id: round.id, number: round.number, campaignId: round.campaign_id })
    return await play({ store, redisPid: redis.pid, round, epoch })
  } finally {
    await store.close()
    await redis.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
