/**
 * What is refused of an operator's change of a round by its request and by what never changes of the round; and the words for
 * what the scripts refuse by its state, which are the same for the change and for its dry run. The order of all refusals
 * is in lifecycle.ts.
 */
import { Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { STOCK_MAX, VOUCHERS_PER_ROUND_MAX } from '../../base/limits.ts'
import type { PoolCount } from '../../store/data/notice.ts'
import type { Restock, Turned, TurnVerb } from '../../store/data/round-store.ts'
import type { CampaignRules } from '../round/campaigns.ts'
import type { Round } from '../round/round.ts'
import { type Allocation, isDrawn, vouchersOf } from '../round/round-config.ts'
import { endOf, type RoundView } from '../round/round-view.ts'

export interface RoundRules {
  readonly name?: string | undefined
  readonly stock: number
  readonly opens_at: string | null
  readonly closes_at: string | null
  readonly allocation: Allocation
  readonly pools: readonly { readonly name: string; readonly stock: number }[]
}

/** Milliseconds since 1970, 0 for none; a moment before all clocks is the first one that is not none. */
export const momentOf = (text: string | null): number => (text === null ? 0 : Math.max(1, Date.parse(text)))

/** Packs that one round may hold. */
export const mostPacks = (vouchersOfPack: number): number =>
  Math.min(STOCK_MAX, Math.floor(VOUCHERS_PER_ROUND_MAX / vouchersOfPack))

/** A round has no more vouchers than its codes can number. */
export function refusePacks({ stock }: Pick<RoundRules, 'stock'>, { pack }: Pick<CampaignRules, 'pack'>): void {
  const vouchers = vouchersOf(pack).length
  if (stock * vouchers > VOUCHERS_PER_ROUND_MAX)
    throw new Refusal('invalid', `stock: ${stock} packs of ${vouchers} pass ${VOUCHERS_PER_ROUND_MAX} vouchers`)
}

/** When entries end at last: a lottery's draw ends them where nothing else does. An end that has passed by Redis's clock is refused. */
export function closesOf({ allocation, opens_at, closes_at }: RoundRules, now: number): number {
  const refuseEarly = (name: string, text: string | null, than: number, what: string) => {
    if (text !== null && Date.parse(text) <= than) throw new Refusal('invalid', `${name}: must be later than ${what}`)
  }
  refuseEarly('closes_at', closes_at, now, `now, ${rfc3339(now)}`)
  if (allocation.mode !== 'lottery') return momentOf(closes_at)
  const { draws_at } = allocation
  const drawsAt = Date.parse(draws_at)
  refuseEarly('allocation.draws_at', draws_at, now, `now, ${rfc3339(now)}`)
  if (opens_at !== null) refuseEarly('allocation.draws_at', draws_at, Date.parse(opens_at), 'opens_at')
  if (closes_at !== null && Date.parse(closes_at) > drawsAt)
    throw new Refusal('invalid', 'closes_at: must not be later than allocation.draws_at')
  return closes_at === null ? drawsAt : momentOf(closes_at)
}

/** The place of the pool that is restocked; throws the refusal by what never changes of a round. */
export function restockPool({ view }: Round, poolName: string): number {
  const { config, state } = view
  if (isDrawn(config))
    throw new Refusal('wrong_state', 'the stock of a drawn round is part of its published rules', { state })
  const place = config.pools.indexOf(poolName)
  if (place < 0) throw new Refusal('invalid', `pool: this round has ${config.pools.join(', ')}`)
  return place
}

/** The refusals of the scripts, with the round as it stands: scripts/round-turn.lua, fence-release.lua, restock.lua. */
export function turnRefused({ code, notice }: Turned, verb: TurnVerb): Refusal {
  const state = endOf(notice)
  return new Refusal(code, `the round is ${state}; it cannot ${verb}`, { state })
}

export const releaseRefused = ({ code, notice }: Turned, most: number): Refusal =>
  code === 'wrong_state'
    ? new Refusal(code, 'nothing is quarantined', { state: endOf(notice) })
    : new Refusal(code, `release: no sequence of a round may pass ${most}`)

export function restockRefused({ code, notice }: Turned, { config }: RoundView, { pool, add, most }: Restock): Refusal {
  const { total, granted } = notice.pools[pool] as PoolCount
  const state = endOf(notice)
  if (code === 'below_granted')
    return new Refusal(code, `${granted} are granted of ${total} in ${config.pools[pool]}; take back less than ${-add}`)
  if (code === 'changed') return new Refusal(code, `the total of ${config.pools[pool]} is ${total} now`, { total })
  if (code === 'wrong_state')
    return new Refusal(code, `the round is ${state}; stock cannot be added any more`, { state })
  if (code === 'unavailable') return new Refusal(code, 'this took too long and was given up; nothing was executed')
  return new Refusal(code, `add: the round may hold ${most} packs at most`)
}
