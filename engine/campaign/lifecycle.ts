/**
 * What operators do: campaigns and rounds are made here, and rounds are opened, paused, resumed, closed and restocked.
 * A change that lets grants resume (open, resume, adding stock) takes effect LEASE_MS after it was made and is answered
 * then, so that no worker's local refusal outlives it (holds.ts); the others take effect and are answered at once.
 */
import { Fault, Refusal } from '../base/assert.ts'
import { type Clock, rfc3339 } from '../base/clock.ts'
import type { Code } from '../base/codes.ts'
import { STOCK_MAX, VOUCHERS_PER_ROUND_MAX } from '../base/limits.ts'
import { newId, type Random } from '../base/random.ts'
import { grantedOf, totalOf } from '../store/notice.ts'
import type { Turned, TurnVerb } from '../store/round-store.ts'
import type { Store } from '../store/store.ts'
import { budgetOf, type Campaign, type CampaignRules, type Campaigns } from './campaigns.ts'
import type { Claims } from './claims.ts'
import type { Draws } from './draws.ts'
import { type Allocation, packAmount, type RoundConfig, vouchersOf } from './round-config.ts'
import type { Rounds } from './rounds.ts'

export interface RoundRules {
  readonly stock: number
  readonly opens_at: string | null
  readonly closes_at: string | null
  readonly allocation: Allocation
  readonly pools: readonly { readonly name: string; readonly stock: number }[]
}

const ROUND_NUMBER_MAX = 2 ** 20 - 1
const RESUMES: readonly TurnVerb[] = ['open', 'resume']

export interface LifecycleOptions {
  readonly store: Store
  readonly rounds: Rounds
  readonly campaigns: Campaigns
  readonly draws: Draws
  readonly clock: Clock
  readonly random: Random
  /** At the level fenced. */
  readonly fenced?: boolean
}

/** What follows a change that was made: where it fails the change is not undone, so nobody may be told that nothing was done. */
const behindChange = <T>(rest: Promise<T>): Promise<T> =>
  rest.catch((cause: unknown) => {
    throw cause instanceof Fault ? new Fault('unknown', `the change was made; ${cause.message}`, cause) : cause
  })

export class Lifecycle {
  readonly #store: Store
  readonly #rounds: Rounds
  readonly #campaigns: Campaigns
  readonly #draws: Draws
  readonly #clock: Clock
  readonly #random: Random
  readonly #fenced: boolean

  constructor({ store, rounds, campaigns, draws, clock, random, fenced = false }: LifecycleOptions) {
    this.#fenced = fenced
    this.#draws = draws
    this.#store = store
    this.#rounds = rounds
    this.#campaigns = campaigns
    this.#clock = clock
    this.#random = random
  }

  createCampaign(rules: CampaignRules): Promise<Campaign> {
    return this.#campaigns.create(rules)
  }

  /** Throws `not_found`. */
  campaign(id: string): Promise<Campaign> {
    return this.#campaigns.get(id)
  }

  campaigns(): Promise<Campaign[]> {
    return this.#campaigns.all()
  }

  async createRound(campaignId: string, rules: RoundRules): Promise<Claims> {
    const campaign = await this.campaign(campaignId)
    this.refuseUnfenced(rules)
    const closesAt = closesOf(rules, this.#rounds.serverTimeMs())
    const vouchers = vouchersOf(campaign.pack).length
    if (rules.stock * vouchers > VOUCHERS_PER_ROUND_MAX)
      throw new Refusal('invalid', `stock: ${rules.stock} packs of ${vouchers} pass ${VOUCHERS_PER_ROUND_MAX} vouchers`)
    const id = newId(this.#random, 'rnd')
    await this.#commitBudget(campaign, `${id} create`, rules.stock)
    const number = await this.#store.rounds.nextNumber()
    if (number > ROUND_NUMBER_MAX) throw new Refusal('invalid', 'this Redis has given out all its round numbers')
    const setAside = rules.pools.reduce((sum, pool) => sum + pool.stock, 0)
    const config: RoundConfig = {
      id,
      campaign_id: campaign.id,
      number,
      currency: campaign.currency,
      allocation: rules.allocation,
      pools: ['general', ...rules.pools.map(pool => pool.name)],
      per_user: campaign.limits.per_user,
      pack: campaign.pack,
      created_at: rfc3339(this.#clock.wallMs()),
    }
    const opensAt = momentOf(rules.opens_at)
    const totals = [rules.stock - setAside, ...rules.pools.map(pool => pool.stock)]
    const isDrawn = config.allocation.mode !== 'fcfs'
    if (isDrawn) await this.#draws.announce(id)
    await this.#store.rounds.createRound({
      id,
      campaignId: campaign.id,
      number,
      epoch: this.#random.bytes(8).toString('hex'),
      opensAt,
      closesAt,
      config: JSON.stringify(config),
      totals,
      fenced: this.#fenced,
    })
    if (isDrawn) await this.#store.draws.announce(id)
    const round = await this.round(id)
    if (isDrawn && opensAt > 0) await this.#draws.begin(round)
    return round
  }

  /** Throws where the level fenced could not be kept: it covers grants in the order of asking and no draw. */
  refuseUnfenced({ allocation }: RoundRules): void {
    if (!this.#fenced || (allocation.mode === 'fcfs' && !allocation.strict)) return
    throw new Refusal(
      'invalid',
      'allocation: FAIRGRAB_DURABILITY fenced covers {"mode":"fcfs"} only; draws and strict order go under replicated',
    )
  }

  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  serverTimeMs(): number {
    return this.#rounds.serverTimeMs()
  }

  /** A round as it stands now; throws `not_found`. */
  async round(id: string): Promise<Claims> {
    const round = /^rnd_[0-9a-z]{1,32}$/.test(id) ? await this.#rounds.refresh(id) : undefined
    if (!round) throw new Refusal('not_found', `there is no round ${id}`)
    return round
  }

  /** All rounds, or a campaign's, in the order in which they were made. */
  async roundIds(campaignId?: string): Promise<string[]> {
    if (campaignId) await this.campaign(campaignId)
    return this.#store.rounds.roundIds(campaignId)
  }

  async turn(id: string, verb: TurnVerb): Promise<Claims> {
    const round = await this.round(id)
    const { epoch } = round.view.notice
    const turned = await this.#store.rounds.turn(id, epoch, verb, newId(this.#random, 'req'))
    this.#rounds.take(id, turned.notice)
    if (turned.code === 'wrong_state')
      throw new Refusal('wrong_state', `the round is ${round.view.state}; it cannot ${verb}`, {
        state: round.view.state,
      })
    if (verb === 'open' && round.entries) await behindChange(this.#draws.begin(round))
    if (RESUMES.includes(verb)) await behindChange(this.#rounds.reopened(id))
    return round
  }

  async restock(id: string, poolName: string, add: number): Promise<Claims> {
    const round = await this.round(id)
    const { config, notice, vouchers } = round.view
    if (round.entries) throw drawnStock(round.view.state)
    const pool = config.pools.indexOf(poolName)
    if (pool < 0) throw new Refusal('invalid', `pool: this round has ${config.pools.join(', ')}`)
    const campaign = await this.campaign(config.campaign_id)
    const request = newId(this.#random, 'req')
    if (add > 0) await this.#commitBudget(campaign, `${id} ${request}`, add)
    const most = Math.min(STOCK_MAX, Math.floor(VOUCHERS_PER_ROUND_MAX / vouchers.length))
    const turned = await this.#store.rounds.restock(id, notice.epoch, { pool, add, most, request })
    this.#rounds.take(id, turned.notice)
    if (turned.code !== 'granted') {
      if (add > 0) await this.#commitBudget(campaign, `${id} ${request}`, 0)
      throw new Refusal(turned.code, restockRefused(turned, most, round.view.state))
    }
    if (add < 0) await behindChange(this.#commitBudget(campaign, `${id} ${request}`, add))
    if (add > 0) await behindChange(this.#rounds.reopened(id))
    return round
  }

  /** Gives what a fail-over quarantined back to the stock: nobody comes any more who holds some of it. */
  async release(id: string): Promise<Claims> {
    const round = await this.round(id)
    const { notice, vouchers } = round.view
    const request = newId(this.#random, 'req')
    const most = Math.min(STOCK_MAX, Math.floor(VOUCHERS_PER_ROUND_MAX / vouchers.length))
    const released = await this.#store.fence.release(id, notice.epoch, { most, request })
    this.#rounds.take(id, released.notice)
    if (released.code !== 'granted') throw new Refusal(released.code, releaseRefused(released.code, most))
    await behindChange(this.#rounds.reopened(id))
    return round
  }

  /** Commits the money that `packs` could cost; a request that is repeated counts once. */
  async #commitBudget(campaign: Campaign, request: string, packs: number): Promise<void> {
    const most = budgetOf(campaign)
    const amount = packs * packAmount(campaign.pack)
    if (!(await this.#store.rounds.commitBudget(campaign.id, request, amount, most)))
      throw new Refusal('budget_exceeded', `${packs} packs could cost ${amount}; the budget's max_amount is ${most}`)
  }
}

/** Milliseconds since 1970, 0 for none; a moment before all clocks is the first one that is not none. */
const momentOf = (text: string | null): number => (text === null ? 0 : Math.max(1, Date.parse(text)))

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

export const releaseRefused = (code: Code, most: number): string =>
  code === 'wrong_state' ? 'nothing is quarantined' : `release: no sequence of a round may pass ${most}`

export const drawnStock = (state: string): Refusal =>
  new Refusal('wrong_state', 'the stock of a drawn round is part of its published rules', { state })

function restockRefused({ code, notice }: Turned, most: number, state: string): string {
  if (code === 'below_granted') return `${grantedOf(notice)} are granted of ${totalOf(notice)}; take back less`
  if (code === 'wrong_state') return `the round is ${state}; stock cannot be added any more`
  return `add: the round may hold ${most} packs at most`
}
