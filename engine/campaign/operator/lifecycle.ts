/**
 * What operators do: campaigns and rounds are made here, and rounds are opened, paused, resumed, closed and restocked.
 * A change that lets grants resume (open, resume, adding stock) takes effect LEASE_MS after it was made and is answered
 * then, so that no worker's local refusal outlives it (engine/campaign/round/resume-holds.ts); the others take effect and are answered at once.
 *
 * Each has its dry run beside it: what would be, or the refusal that would come, and nothing is written. There is no second
 * state machine for that, the same scripts answer before their first write. Refusals have one order, dry and real: the
 * request, the round's state, the budget. Since money is committed before a round is changed, whoever adds stock
 * makes the dry call first. A change under a seed (requests.ts) finds what was made under it before, whatever would refuse it
 * now; what was given up, so that its money could go back, has spent its id, and the change goes on under the next one. What a dry run says is true for the moment of asking: claims go on, and another operator may
 * be quicker.
 */
import { Fault, Refusal } from '../../base/assert.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import { newId, type Random, type Seed } from '../../base/random.ts'
import { CREATE } from '../../store/data/budget-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import { type DryTurned, lostRound, type Restock, type Turned, type TurnVerb } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import type { Draws } from '../drawing/draws.ts'
import { behindChange } from '../money/behind-change.ts'
import type { BudgetEffect, Commitments } from '../money/commitments.ts'
import type { Campaign, CampaignRules, Campaigns, MadeCampaign } from '../round/campaigns.ts'
import type { Round } from '../round/round.ts'
import { isDrawn, isFencible, packAmount, type RoundConfig } from '../round/round-config.ts'
import { endOf, type RoundView } from '../round/round-view.ts'
import type { Rounds } from '../round/rounds.ts'
import { idsOf } from './requests.ts'
import {
  closesOf,
  momentOf,
  mostPacks,
  type RoundRules,
  refusePacks,
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

/** A round that was changed, now or by an earlier request with the same Idempotency-Key. */
export interface ChangedRound {
  readonly round: Round
  readonly isReplayed: boolean
}

/** What is added to a pool, or taken back; only where its total is `ifTotal`, if that is given. */
export interface StockChange {
  readonly pool: string
  readonly add: number
  readonly ifTotal?: number | undefined
}

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

  createCampaign(rules: CampaignRules, seed?: Seed): Promise<MadeCampaign> {
    return this.#options.campaigns.create(rules, seed)
  }

  /** Throws `not_found`. */
  campaign(id: string): Promise<Campaign> {
    return this.#options.campaigns.get(id)
  }

  campaigns(): Promise<Campaign[]> {
    return this.#options.campaigns.all()
  }

  /** Makes a round; under a seed the one that was made under it before is found, and what was left undone of it is done. */
  async createRound(campaignId: string, rules: RoundRules, seed?: Seed): Promise<ChangedRound> {
    const campaign = await this.campaign(campaignId)
    const { id, isMade } = await this.#place(seed)
    if (isMade) {
      await behindChange(this.#options.commitments.finish({ roundId: id, request: CREATE }))
      return { round: await behindChange(this.#begun(id)), isReplayed: true }
    }
    const closesAt = await this.#refuseRound(campaign, rules)
    const amount = rules.stock * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request: CREATE, amount }
    const what = { commitment, packs: rules.stock, isShared: seed !== undefined }
    const make = () => this.#make(campaign, { id, rules, closesAt })
    const made = await this.#options.commitments.around(campaign, what, make)
    return { round: await behindChange(this.#begun(id)), isReplayed: seed !== undefined && isReplay(made) }
  }

  /** The id of a new round, or of the one that was made under a seed. */
  async #place(seed: Seed | undefined): Promise<{ id: string; isMade: boolean }> {
    const { random, store } = this.#options
    if (!seed) return { id: newId(random, 'rnd'), isMade: false }
    for (const id of idsOf(seed, 'rnd', CREATE)) {
      const standing = await store.rounds.standing(id)
      if (standing === 'none' && (await store.rounds.isKnown(id))) throw lostRound(id)
      if (standing !== 'void') return { id, isMade: standing === 'made' }
    }
    throw spent()
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
    refusePacks(rules, campaign)
    refuseNumber((await this.#options.store.rounds.lastNumber()) + 1)
    return closesAt
  }

  /** Writes a round's state. */
  async #make(campaign: Campaign, round: { id: string; rules: RoundRules; closesAt: number }): Promise<Turned> {
    const { id, rules, closesAt } = round
    const number = await this.#options.store.rounds.nextNumber()
    refuseNumber(number)
    const setAside = rules.pools.reduce((sum, pool) => sum + pool.stock, 0)
    const config: RoundConfig = {
      id,
      campaign_id: campaign.id,
      ...(rules.name === undefined ? {} : { name: rules.name }),
      number,
      currency: campaign.currency,
      allocation: rules.allocation,
      pools: ['general', ...rules.pools.map(pool => pool.name)],
      per_user: campaign.limits.per_user,
      pack: campaign.pack,
      created_at: rfc3339(this.#options.clock.wallMs()),
    }
    if (isDrawn(config)) await this.#options.draws.announce(id)
    return this.#options.store.rounds.createRound({
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

  /** A round that was made; one that is drawn at a time that is known is opened to entries. */
  async #begun(id: string): Promise<Round> {
    const round = await this.round(id)
    if (round.view.notice.opensAt > 0) await this.#beginDraw(round)
    return round
  }

  /** Opens a drawn round to entries, unless it was. */
  async #beginDraw(round: Round): Promise<void> {
    const { store, draws } = this.#options
    if (!isDrawn(round.view.config) || (await store.draws.state(round.view.id))?.phase !== 'new') return
    await draws.begin(round)
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

  async turn(id: string, verb: TurnVerb, seed?: Seed): Promise<ChangedRound> {
    const round = await this.round(id)
    const { rounds } = this.#options.store
    const { epoch } = round.view.notice
    const request = this.#requestOf(seed, verb)
    const turned = await onceOnly(seed, {
      looks: () => rounds.dryTurn(id, epoch, verb, request),
      turns: () => rounds.turn(id, epoch, verb, request),
    })
    this.#options.rounds.take(id, turned.notice)
    if (!isDone(turned)) throw turnRefused(turned, verb)
    if (verb === 'open') await behindChange(this.#beginDraw(round))
    if (RESUMES.includes(verb)) await behindChange(this.#options.rounds.reopened(id))
    return { round, isReplayed: seed !== undefined && isReplay(turned) }
  }

  /** The id of a request; under a seed always the same one. */
  #requestOf(seed: Seed | undefined, words: string): string {
    const [derived] = seed ? idsOf(seed, 'req', words) : []
    return derived ?? newId(this.#options.random, 'req')
  }

  async dryTurn(id: string, verb: TurnVerb): Promise<RoundEffect> {
    const { view } = await this.round(id)
    const turned = await this.#options.store.rounds.dryTurn(id, view.notice.epoch, verb)
    if (turned.code !== 'granted') throw turnRefused(turned, verb)
    return effectOf(view, turned)
  }

  async restock(id: string, change: StockChange, seed?: Seed): Promise<ChangedRound> {
    const round = await this.round(id)
    const { commitments, rounds } = this.#options
    const { campaign, restock, turned } = await this.#restockable(round, change, seed)
    const { request, add } = restock
    const isFound = turned.code === 'replayed'
    if (isFound) {
      rounds.take(id, turned.notice)
      await behindChange(commitments.finish({ roundId: id, request }))
    }
    const made = isFound ? turned : await this.#restocked(campaign, round, restock, seed !== undefined)
    if (add > 0) await behindChange(rounds.reopened(id))
    return { round, isReplayed: seed !== undefined && isReplay(made) }
  }

  #restocked(campaign: Campaign, round: Round, restock: Restock, isShared: boolean): Promise<Turned> {
    const { commitments, rounds, store } = this.#options
    const { id, notice } = round.view
    const { request, add } = restock
    const amount = add * packAmount(campaign.pack)
    const commitment = { campaignId: campaign.id, roundId: id, request, amount }
    return commitments.around(campaign, { commitment, packs: add, isShared }, async () => {
      const turned = await store.rounds.restock(id, notice.epoch, restock)
      rounds.take(id, turned.notice)
      if (!isDone(turned)) throw restockRefused(turned, round.view, restock)
      return turned
    })
  }

  async dryRestock(id: string, change: StockChange): Promise<RoundEffect> {
    const round = await this.round(id)
    const { campaign, turned } = await this.#restockable(round, change)
    return { ...effectOf(round.view, turned), budget: await this.#options.commitments.dry(campaign, change.add) }
  }

  /** Everything about a change of stock but its money, by a dry call; throws the refusal. Under a seed it may be `replayed`. */
  async #restockable(round: Round, { pool: name, add, ifTotal }: StockChange, seed?: Seed) {
    const { id, config, notice, vouchers } = round.view
    const pool = restockPool(round, name)
    const most = mostPacks(vouchers.length)
    const requests = seed ? idsOf(seed, 'req', 'stock') : [newId(this.#options.random, 'req')]
    for (const request of requests) {
      const restock: Restock = { pool, add, most, ifTotal, request }
      const turned = await this.#options.store.rounds.dryRestock(id, notice.epoch, restock)
      // Its money went back, so it never will be made under this id.
      if (turned.code === 'unavailable') continue
      if (!isDone(turned)) throw restockRefused(turned, round.view, restock)
      return { restock, turned, campaign: await this.campaign(config.campaign_id) }
    }
    throw spent()
  }

  /** Gives what a fail-over quarantined back to the stock: nobody comes any more who holds some of it. */
  async release(id: string, seed?: Seed): Promise<ChangedRound> {
    const round = await this.round(id)
    const { fence } = this.#options.store
    const { notice, vouchers } = round.view
    const request = this.#requestOf(seed, 'release')
    const most = mostPacks(vouchers.length)
    const released = await onceOnly(seed, {
      looks: () => fence.dryRelease(id, notice.epoch, { most, request }),
      turns: () => fence.release(id, notice.epoch, { most, request }),
    })
    this.#options.rounds.take(id, released.notice)
    if (!isDone(released)) throw releaseRefused(released, most)
    await behindChange(this.#options.rounds.reopened(id))
    return { round, isReplayed: seed !== undefined && isReplay(released) }
  }

  async dryRelease(id: string): Promise<RoundEffect> {
    const { view } = await this.round(id)
    const most = mostPacks(view.vouchers.length)
    const released = await this.#options.store.fence.dryRelease(id, view.notice.epoch, { most })
    if (released.code !== 'granted') throw releaseRefused(released, most)
    return effectOf(view, released)
  }
}

/** The change was made, now or before. */
const isDone = ({ code }: Turned): boolean => code === 'granted' || code === 'replayed'

/** It was made before, and not by an earlier copy of the same sending. */
const isReplay = ({ code, again = false }: Turned): boolean => code === 'replayed' && !again

/** Under a seed it is first looked whether the change was made, since what was made before is never a refusal. */
async function onceOnly(
  seed: Seed | undefined,
  { looks, turns }: { readonly looks: () => Promise<Turned>; readonly turns: () => Promise<Turned> },
): Promise<Turned> {
  const found = seed ? await looks() : undefined
  return found?.code === 'replayed' ? found : turns()
}

const spent = (): Fault =>
  new Fault('unavailable', 'this Idempotency-Key was given up too often; nothing was made under it, so take a new one')

function refuseNumber(number: number): void {
  if (number > ROUND_NUMBER_MAX) throw new Refusal('invalid', 'this Redis has given out all its round numbers')
}

function effectOf({ id, config }: RoundView, { before, notice }: DryTurned): RoundEffect {
  const face = (notice: Notice): RoundFace => ({ id, config, notice, state: endOf(notice) })
  return { before: face(before), after: face(notice) }
}
