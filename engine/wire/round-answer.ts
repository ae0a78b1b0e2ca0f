/**
 * A round as the API shows it: its public state is the same for everybody, with or without a credential. Counts are
 * absolute and stand beside the epoch and version that they are true for.
 */
import { rfc3339 } from '../base/clock.ts'

export interface RoundFacts {
  readonly id: string
  readonly campaignId: string
  readonly name?: string | undefined
  readonly state: string
  /** Milliseconds since 1970, 0 for none. */
  readonly opensAt: number
  readonly closesAt: number
  readonly allocation: { readonly mode: string }
  readonly epoch: string
  readonly version: number
  readonly pools: readonly (Counts & { readonly name: string })[]
  readonly aside?: readonly { readonly from: number; readonly to: number; readonly released: boolean }[] | undefined
}

interface Counts {
  readonly total: number
  readonly granted: number
  readonly quarantined?: number
}

const moment = (ms: number): string | null => (ms > 0 ? rfc3339(ms) : null)

/** `quarantined` stands only where a fail-over left something in doubt; total = granted + remaining + quarantined. */
function counted({ total, granted, quarantined = 0 }: Counts) {
  return { total, granted, remaining: total - granted - quarantined, ...(quarantined > 0 ? { quarantined } : {}) }
}

function stockOf(pools: readonly Counts[]) {
  const sum = (of: (pool: Counts) => number) => pools.reduce((all, pool) => all + of(pool), 0)
  return counted({
    total: sum(pool => pool.total),
    granted: sum(pool => pool.granted),
    quarantined: sum(pool => pool.quarantined ?? 0),
  })
}

export function roundAnswer(round: RoundFacts) {
  return {
    id: round.id,
    campaign_id: round.campaignId,
    ...(round.name === undefined ? {} : { name: round.name }),
    state: round.state,
    opens_at: moment(round.opensAt),
    closes_at: moment(round.closesAt),
    allocation: round.allocation,
    stock: { ...stockOf(round.pools), epoch: round.epoch, version: round.version },
    pools: round.pools.map(pool => ({ name: pool.name, ...counted(pool) })),
    ...(round.aside ? { set_aside: round.aside } : {}),
  }
}

export type RoundAnswer = ReturnType<typeof roundAnswer>

/** A row of a list of rounds for one that cannot be read: what is wrong with it and what to do. */
export interface DamagedRound {
  readonly id: string
  readonly state: 'fenced'
  readonly problem: string
}
