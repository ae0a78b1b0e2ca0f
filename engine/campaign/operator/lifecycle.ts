/**
 * What operators do: campaigns and rounds are made here, and rounds are opened, paused, resumed, closed and restocked.
 * A change that lets grants resume (open, resume, adding stock) takes effect LEASE_MS after it was made and is answered
 * then, so that no worker's local refusal outlives it (holds.ts); the others take effect and are answered at once.
 */
import { Refusal } from '../../base/assert.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import { VOUCHERS_PER_ROUND_MAX } from '../../base/limits.ts'
import { newId, type Random } from '../../base/random.ts'
import { CREATE } from '../../store/data/budget-store.ts'
import type { TurnVerb } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import type { Draws } from '../drawing/draws.ts'
import { behindChange } from '../money/behind-change.ts'
import type { Commitments } from '../money/commitments.ts'
import type { Campaign, CampaignRules, Campaigns } from '../round/campaigns.ts'
import type { Round } from '../round/round.ts'
import { isDrawn, isFencible, packAmount, type RoundConfig, vouchersOf } from '../round/round-config.ts'
import type { Rounds } from '../round/rounds.ts'
import {
  closesOf,
  momentOf,
  mostPacks,
  type RoundRules,
  releaseRefused,
  restockPool,
  restockRefused,
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

interface NewRoundRules {
  readonly id: string
  readonly rules: RoundRules
  readonly closesAt: number
}

export class Lifecycle {
  readonly #store: Store
  readonly #rounds: Rounds
  readonly #campaigns: Campaigns
  readonly #draws: Draws
  readonly #clock: Clock
  readonly #random: Random
  readonly #commitments: Commitments
  readonly #fenced: boolean

  constructor({ store, rounds, campaigns, draws, clock, random, commitments, fenced = false }: LifecycleOptions) {
    this.#fenced = fenced
    this.#commitments = commitments
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

  async createRound(campaignId: string, rules: RoundRules): Promise<Round> {
    const campaign = await this.campaign(campaignId)
    const closesAt = this.refuseRound(campaign, rules)
    const id = newId(this.#random, 'rnd')
    const amount = rules.stock * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request: CREATE, amount }
    const make = () => this.#make(campaign, { id, rules, closesAt })
    await this.#commitments.around(campaign, commitment, rules.stock, make)
    return behindChange(this.#begun(id))
  }

  /** When a new round closes, milliseconds since 1970; throws the refusal that it gets before any money is asked for. */
  refuseRound(campaign: Campaign, rules: RoundRules): number {
    if (this.#fenced && !isFencible(rules))
      throw new Refusal(
        'invalid',
        'allocation: FAIRGRAB_DURABILITY fenced covers {"mode":"fcfs"} only; draws and strict order go under replicated',
      )
    const closesAt = closesOf(rules, this.#rounds.serverTimeMs())
    const vouchers = vouchersOf(campaign.pack).length
    if (rules.stock * vouchers > VOUCHERS_PER_ROUND_MAX)
      throw new Refusal('invalid', `stock: ${rules.stock} packs of ${vouchers} pass ${VOUCHERS_PER_ROUND_MAX} vouchers`)
    return closesAt
  }

  /** Writes a round's state. */
  async #make(campaign: Campaign, { id, rules, closesAt }: NewRoundRules): Promise<void> {
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
    if (config.allocation.mode !== 'fcfs') await this.#draws.announce(id)
    await this.#store.rounds.createRound({
      id,
      campaignId: campaign.id,
      number,
      epoch: this.#random.bytes(8).toString('hex'),
      opensAt: momentOf(rules.opens_at),
      closesAt,
      config: JSON.stringify(config),
      totals: [rules.stock - setAside, ...rules.pools.map(pool => pool.stock)],
      fenced: this.#fenced,
    })
  }

  /** A round that was just made; one that is drawn at a time that is known is opened to entries. */
  async #begun(id: string): Promise<Round> {
    const round = await this.round(id)
    if (isDrawn(round.view.config) && round.view.notice.opensAt > 0) await this.#draws.begin(round)
    return round
  }

  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  serverTimeMs(): number {
    return this.#rounds.serverTimeMs()
  }

  /** A round as it stands now; throws `not_found`. */
  async round(id: string): Promise<Round> {
    const round = /^rnd_[0-9a-z]{1,32}$/.test(id) ? await this.#rounds.refresh(id) : undefined
    if (!round) throw new Refusal('not_found', `there is no round ${id}`)
    return round
  }

  /** All rounds, or a campaign's, in the order in which they were made. */
  async roundIds(campaignId?: string): Promise<string[]> {
    if (campaignId) await this.campaign(campaignId)
    return this.#store.rounds.roundIds(campaignId)
  }

  async turn(id: string, verb: TurnVerb): Promise<Round> {
    const round = await this.round(id)
    const { epoch } = round.view.notice
    const turned = await this.#store.rounds.turn(id, epoch, verb, newId(this.#random, 'req'))
    this.#rounds.take(id, turned.notice)
    if (turned.code === 'wrong_state')
      throw new Refusal('wrong_state', `the round is ${round.view.state}; it cannot ${verb}`, {
        state: round.view.state,
      })
    if (verb === 'open' && isDrawn(round.view.config)) await behindChange(this.#draws.begin(round))
    if (RESUMES.includes(verb)) await behindChange(this.#rounds.reopened(id))
    return round
  }

  async restock(id: string, poolName: string, add: number): Promise<Round> {
    const round = await this.round(id)
    const { config, notice, vouchers } = round.view
    const pool = restockPool(round, poolName, add)
    const campaign = await this.campaign(config.campaign_id)
    const request = newId(this.#random, 'req')
    const amount = add * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request, amount }
    await this.#commitments.around(campaign, commitment, add, async () => {
      const most = mostPacks(vouchers.length)
      const turned = await this.#store.rounds.restock(id, notice.epoch, { pool, add, most, request })
      this.#rounds.take(id, turned.notice)
      if (turned.code !== 'granted') throw restockRefused(round, poolName, add, turned.code)
    })
    if (add > 0) await behindChange(this.#rounds.reopened(id))
    return round
  }

  /** Gives what a fail-over quarantined back to the stock: nobody comes any more who holds some of it. */
  async release(id: string): Promise<Round> {
    const round = await this.round(id)
    const { notice, vouchers } = round.view
    const request = newId(this.#random, 'req')
    const most = mostPacks(vouchers.length)
    const released = await this.#store.fence.release(id, notice.epoch, { most, request })
    this.#rounds.take(id, released.notice)
    if (released.code !== 'granted') throw releaseRefused(round.view, released.code, most)
    await behindChange(this.#rounds.reopened(id))
    return round
  }
}
