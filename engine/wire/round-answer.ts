/**
 * A round as the API shows it: its public state is the same for everybody, with or without a credential. Counts are
 * absolute and stand beside the epoch and version that they are true for.
 */
import { rfc3339 } from '../base/clock.ts'

export interface RoundFacts {
  readonly id: string
  readonly campaignId: string
  readonly state: string
  /** Milliseconds since 1970, 0 for none. */
  readonly opensAt: number
  readonly closesAt: number
  readonly allocation: { readonly mode: string }
  readonly epoch: string
  readonly version: number
  readonly pools: readonly { readonly name: string; readonly total: number; readonly granted: number }[]
}

const moment = (ms: number): string | null => (ms > 0 ? rfc3339(ms) : null)

export function stockOf(pools: readonly { readonly total: number; readonly granted: number }[]) {
  const total = pools.reduce((sum, pool) => sum + pool.total, 0)
  const granted = pools.reduce((sum, pool) => sum + pool.granted, 0)
  return { total, granted, remaining: total - granted }
}

export function roundAnswer(round: RoundFacts) {
  return {
    id: round.id,
    campaign_id: round.campaignId,
    state: round.state,
    opens_at: moment(round.opensAt),
    closes_at: moment(round.closesAt),
    allocation: round.allocation,
    stock: { ...stockOf(round.pools), epoch: round.epoch, version: round.version },
    pools: round.pools.map(pool => ({ ...pool, remaining: pool.total - pool.granted })),
  }
}

export type RoundAnswer = ReturnType<typeof roundAnswer>
