/**
 * Campaigns and their rules, which never change once made: each worker reads one once and keeps the last few thousand,
 * so a redemption costs no read. A campaign's clock is Redis's; what this worker believes of it is corrected by the
 * scripts' answers, and only chooses the business day that a script then checks.
 */
import { Refusal } from '../../base/assert.ts'
import { type BusinessDay, dayOf } from '../../base/business-day.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import { AMOUNT_MAX } from '../../base/limits.ts'
import { derivedId, newId, type Random, type Seed } from '../../base/random.ts'
import type { Unused } from '../../store/data/voucher-store.ts'
import type { Store } from '../../store/store.ts'
import type { Template } from './round-config.ts'

export interface CampaignRules {
  readonly name: string
  readonly sponsor?: string | undefined
  readonly currency: string
  /** IANA; business days are its days. */
  readonly timezone: string
  /** Where money goes that nobody will use. */
  readonly on_expiry: Unused
  readonly budget?: { readonly max_amount: number; readonly max_amount_per_day?: number | undefined } | undefined
  readonly pack: readonly Template[]
  readonly limits: { readonly per_user: number }
}

export interface Campaign extends CampaignRules {
  readonly id: string
  readonly created_at: string
}

/** A campaign that was made now, or by an earlier request with the same Idempotency-Key. */
export interface MadeCampaign {
  readonly campaign: Campaign
  readonly isReplayed: boolean
}

const KEPT = 4096

interface Kept {
  readonly campaign: Campaign
  day: BusinessDay
}

export interface CampaignsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  readonly serverTimeMs: () => number
}

export class Campaigns {
  readonly #options: CampaignsOptions
  readonly #kept = new Map<string, Kept>()
  /**
   * How far a campaign's clock was before this worker's monotonic one when a script last said it. It outlives a connection: what is
   * renewed while a script answers would forget the answer, again and again where connections are cut.
   */
  readonly #aheadMs = new Map<string, number>()

  constructor(options: CampaignsOptions) {
    this.#options = options
    // Behind a new connection another server may have other campaigns.
    options.store.onRenewed(() => this.#kept.clear())
  }

  /** Makes a campaign; under a seed the one that was made under it before is found. */
  async create(rules: CampaignRules, seed?: Seed): Promise<MadeCampaign> {
    const { store, random, clock } = this.#options
    const id = seed ? derivedId(seed, 'cmp', '') : newId(random, 'cmp')
    const before = seed ? await store.rounds.campaign(id) : null
    if (before !== null) return { campaign: JSON.parse(before) as Campaign, isReplayed: true }
    const json = JSON.stringify({ id, ...rules, created_at: rfc3339(clock.wallMs()) })
    await store.ledger.create(id, rules.budget?.max_amount ?? 0)
    // Of several that make it at once the first to write its row made it, though others may have written the same.
    const isFirst = await store.rounds.createCampaign(id, json)
    const kept = isFirst ? json : ((await store.rounds.campaign(id)) ?? json)
    return { campaign: JSON.parse(kept) as Campaign, isReplayed: seed !== undefined && !isFirst }
  }

  /** Throws `not_found`. */
  async get(id: string): Promise<Campaign> {
    return (this.#kept.get(id) ?? (await this.#read(id))).campaign
  }

  /** All campaigns, oldest first. */
  async all(): Promise<Campaign[]> {
    const all = Object.values(await this.#options.store.rounds.campaigns()).map(json => JSON.parse(json) as Campaign)
    return all.sort((a, b) => (a.created_at + a.id < b.created_at + b.id ? -1 : 1))
  }

  /** The campaign's business day, as this worker believes. */
  async today(id: string): Promise<BusinessDay> {
    const kept = this.#kept.get(id) ?? (await this.#read(id))
    const now = this.#now(id)
    if (now < kept.day.startsAt || now >= kept.day.endsAt) kept.day = dayOf(kept.campaign.timezone, now)
    return kept.day
  }

  /** A script answered the campaign's clock. */
  learn(id: string, now: number): void {
    if (this.#aheadMs.size >= KEPT) this.#aheadMs.delete(this.#aheadMs.keys().next().value as string)
    this.#aheadMs.set(id, now - this.#options.clock.monotonicMs())
  }

  /** The campaign's clock, as this worker believes. */
  #now(id: string): number {
    const { clock, serverTimeMs } = this.#options
    const aheadMs = this.#aheadMs.get(id)
    return aheadMs === undefined ? serverTimeMs() : clock.monotonicMs() + aheadMs
  }

  async #read(id: string): Promise<Kept> {
    const json = await this.#options.store.rounds.campaign(id)
    if (!json) throw new Refusal('not_found', `there is no campaign ${id}`)
    const campaign = JSON.parse(json) as Campaign
    const kept = { campaign, day: dayOf(campaign.timezone, this.#now(id)) }
    if (this.#kept.size >= KEPT) this.#kept.delete(this.#kept.keys().next().value as string)
    this.#kept.set(id, kept)
    return kept
  }
}

/** What a campaign's rounds may commit in all, minor units: without a budget, what the ledger can count exactly. */
export const budgetOf = ({ budget }: Pick<CampaignRules, 'budget'>): number => budget?.max_amount ?? AMOUNT_MAX
