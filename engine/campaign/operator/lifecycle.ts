/**
 * What operators do: campaigns and rounds are made here, and rounds are opened, paused, resumed, closed and restocked.
 * A change that lets grants resume (open, resume, adding stock) takes effect LEASE_MS after it was made and is answered
 * then, so that no worker's local refusal outlives it (engine/campaign/round/resume-holds.ts); the others take effect and are answered at once.
 *
 * Each has its dry run beside it: what would be, or the refusal that would come, and nothing is written. There is no second
 * state machine for that, the same scripts answer before their first write. Refusals have one order, dry and real: the
 * request, the round's state, the budget. Since money is committed before a round is changed, whoever adds stock
 * makes the dry call first. What a dry run says is true for the moment of asking: claims go on, and another operator may
 * be quicker.
 */
import { Refusal } from '../../base/assert.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import { VOUCHERS_PER_ROUND_MAX } from '../../base/limits.ts'
import { newId, type Random } from '../../base/random.ts'
import { CREATE } from '../../store/data/budget-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import type { DryTurned, Restock, TurnVerb } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import type { Draws } from '../drawing/draws.ts'
import { behindChange } from '../money/behind-change.ts'
import type { BudgetEffect, Commitments } from '../money/commitments.ts'
import type { Campaign, CampaignRules, Campaigns } from '../round/campaigns.ts'
import type { Round } from '../round/round.ts'
import { isDrawn, isFencible, packAmount, type RoundConfig, vouchersOf } from '../round/round-config.ts'
import { endOf, type RoundView } from '../round/round-view.ts'
import type { Rounds } from '../round/rounds.ts'
import {
  closesOf,
  momentOf,
  mostPacks,
  type RoundRules,
  releaseRefused,
  restockPool,
  restockRefused,
  turnRefused,
} from './round-rules.ts'

const ROUND_NUMBER_MAX = 2 ** 20 - 1
const RESUMES: readonly TurnVerb[] = ['open', 'resume']

export interface LifecycleOptions {
  readonly store: Store
  readonly rounds: Rounds
  readonly campaigns: Campaigns
  readonly draws: Draws
  readonly clock: Clock
  readonly random: Random
  readonly commitments: Commitments
  /** At the level fenced. */
  readonly fenced?: boolean
}

/** As much of a round as its public face is made of. */
export type RoundFace = Pick<RoundView, 'id' | 'config' | 'notice' | 'state'>

/** What a change would do. */
export interface RoundEffect {
  readonly before: RoundFace
  readonly after: RoundFace
  readonly budget?: BudgetEffect
}

export class Lifecycle {
  readonly #options: LifecycleOptions

  constructor(options: LifecycleOptions) {
    this.#options = options
  }

  createCampaign(rules: CampaignRules): Promise<Campaign> {
    return this.#options.campaigns.create(rules)
  }

  /** Throws `not_found`. */
  campaign(id: string): Promise<Campaign> {
    return this.#options.campaigns.get(id)
  }

  campaigns(): Promise<Campaign[]> {
    return this.#options.campaigns.all()
  }

  async createRound(campaignId: string, rules: RoundRules): Promise<Round> {
    const campaign = await this.campaign(campaignId)
    const closesAt = await this.#refuseRound(campaign, rules)
    const id = newId(this.#options.random, 'rnd')
    const amount = rules.stock * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request: CREATE, amount }
    const make = () => this.#make(campaign, { id, rules, closesAt })
    await this.#options.commitments.around(campaign, commitment, rules.stock, make)
    return behindChange(this.#begun(id))
  }

  /** What a new round would commit. */
  async dryRound(campaignId: string, rules: RoundRules): Promise<BudgetEffect> {
    const campaign = await this.campaign(campaignId)
    await this.#refuseRound(campaign, rules)
    return this.#options.commitments.dry(campaign, rules.stock)
  }

  /** When a new round closes, milliseconds since 1970; throws the refusal that it gets before any money is asked for. */
  async #refuseRound(campaign: Campaign, rules: RoundRules): Promise<number> {
    if (this.#options.fenced && !isFencible(rules))
      throw new Refusal(
        'invalid',
        'allocation: FAIRGRAB_DURABILITY fenced covers {"mode":"fcfs"} only; draws and strict order go under replicated',
      )
    const closesAt = closesOf(rules, this.#options.rounds.serverTimeMs())
    const vouchers = vouchersOf(campaign.pack).length
    if (rules.stock * vouchers > VOUCHERS_PER_ROUND_MAX)
      throw new Refusal('invalid', `stock: ${rules.stock} packs of ${vouchers} pass ${VOUCHERS_PER_ROUND_MAX} vouchers`)
    refuseNumber((await this.#options.store.rounds.lastNumber()) + 1)
    return closesAt
  }

  /** Writes a round's state. */
  async #make(campaign: Campaign, round: { id: string; rules: RoundRules; closesAt: number }): Promise<void> {
    const { id, rules, closesAt } = round
    const number = await this.#options.store.rounds.nextNumber()
    refuseNumber(number)
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
      created_at: rfc3339(this.#options.clock.wallMs()),
    }
    if (config.allocation.mode !== 'fcfs') await this.#options.draws.announce(id)
    await this.#options.store.rounds.createRound({
      id,
      campaignId: campaign.id,
      number,
      epoch: this.#options.random.bytes(8).toString('hex'),
      opensAt: momentOf(rules.opens_at),
      closesAt,
      config: JSON.stringify(config),
      totals: [rules.stock - setAside, ...rules.pools.map(pool => pool.stock)],
      fenced: this.#options.fenced ?? false,
    })
  }

  /** A round that was just made; one that is drawn at a time that is known is opened to entries. */
  async #begun(id: string): Promise<Round> {
    const round = await this.round(id)
    if (isDrawn(round.view.config) && round.view.notice.opensAt > 0) await this.#options.draws.begin(round)
    return round
  }

  /** A round as it stands now; throws `not_found`. */
  async round(id: string): Promise<Round> {
    const round = /^rnd_[0-9a-z]{1,32}$/.test(id) ? await this.#options.rounds.refresh(id) : undefined
    if (!round) throw new Refusal('not_found', `there is no round ${id}`)
    return round
  }

  /** All rounds, or a campaign's, in the order in which they were made. */
  async roundIds(campaignId?: string): Promise<string[]> {
    if (campaignId) await this.campaign(campaignId)
    return this.#options.store.rounds.roundIds(campaignId)
  }

  async turn(id: string, verb: TurnVerb): Promise<Round> {
    const round = await this.round(id)
    const { epoch } = round.view.notice
    const turned = await this.#options.store.rounds.turn(id, epoch, verb, newId(this.#options.random, 'req'))
    this.#options.rounds.take(id, turned.notice)
    if (turned.code !== 'granted') throw turnRefused(turned, verb)
    if (verb === 'open' && isDrawn(round.view.config)) await behindChange(this.#options.draws.begin(round))
    if (RESUMES.includes(verb)) await behindChange(this.#options.rounds.reopened(id))
    return round
  }

  async dryTurn(id: string, verb: TurnVerb): Promise<RoundEffect> {
    const { view } = await this.round(id)
    const turned = await this.#options.store.rounds.dryTurn(id, view.notice.epoch, verb)
    if (turned.code !== 'granted') throw turnRefused(turned, verb)
    return effectOf(view, turned)
  }

  async restock(id: string, poolName: string, add: number): Promise<Round> {
    const round = await this.round(id)
    const { epoch } = round.view.notice
    const { campaign, restock } = await this.#restockable(round, poolName, add)
    const { request } = restock
    const amount = add * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request, amount }
    await this.#options.commitments.around(campaign, commitment, add, async () => {
      const turned = await this.#options.store.rounds.restock(id, epoch, restock)
      this.#options.rounds.take(id, turned.notice)
      if (turned.code !== 'granted') throw restockRefused(turned, round.view, restock)
    })
    if (add > 0) await behindChange(this.#options.rounds.reopened(id))
    return round
  }

  async dryRestock(id: string, poolName: string, add: number): Promise<RoundEffect> {
    const round = await this.round(id)
    const { campaign, turned } = await this.#restockable(round, poolName, add)
    return { ...effectOf(round.view, turned), budget: await this.#options.commitments.dry(campaign, add) }
  }

  /** Everything about a change of stock but its money, by a dry call; throws the refusal. */
  async #restockable(round: Round, poolName: string, add: number) {
    const { id, config, notice, vouchers } = round.view
    const pool = restockPool(round, poolName)
    const restock: Restock = {
      pool,
      add,
      most: mostPacks(vouchers.length),
      request: newId(this.#options.random, 'req'),
    }
    const turned = await this.#options.store.rounds.dryRestock(id, notice.epoch, restock)
    if (turned.code !== 'granted') throw restockRefused(turned, round.view, restock)
    return { restock, turned, campaign: await this.campaign(config.campaign_id) }
  }

  /** Gives what a fail-over quarantined back to the stock: nobody comes any more who holds some of it. */
  async release(id: string): Promise<Round> {
    const round = await this.round(id)
    const { notice, vouchers } = round.view
    const request = newId(this.#options.random, 'req')
    const most = mostPacks(vouchers.length)
    const released = await this.#options.store.fence.release(id, notice.epoch, { most, request })
    this.#options.rounds.take(id, released.notice)
    if (released.code !== 'granted') throw releaseRefused(released, most)
    await behindChange(this.#options.rounds.reopened(id))
    return round
  }

  async dryRelease(id: string): Promise<RoundEffect> {
    const { view } = await this.round(id)
    const most = mostPacks(view.vouchers.length)
    const released = await this.#options.store.fence.dryRelease(id, view.notice.epoch, most)
    if (released.code !== 'granted') throw releaseRefused(released, most)
    return effectOf(view, released)
  }
}

function refuseNumber(number: number): void {
  if (number > ROUND_NUMBER_MAX) throw new Refusal('invalid', 'this Redis has given out all its round numbers')
}

function effectOf({ id, config }: RoundView, { before, notice }: DryTurned): RoundEffect {
  const face = (notice: Notice): RoundFace => ({ id, config, notice, state: endOf(notice) })
  return { before: face(before), after: face(notice) }
}
