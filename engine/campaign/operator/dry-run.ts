/**
 * What a lever would do, told before it is pulled: the round as it stands and as it would be, what the budget would be
 * committed to, or the refusal that would come. Nothing is written.
 *
 * The state machine is that of scripts/round-turn.lua, written a second time because a script that writes cannot be
 * asked what it would write; a test turns rounds through all states and holds the two to each other. What is told is
 * true for the moment of asking: claims go on, and another operator may be quicker.
 */
import { Refusal } from '../../base/assert.ts'
import { CODES } from '../../base/codes.ts'
import { type Notice, quarantinedOf, remainingOf, type StoredState } from '../../store/data/notice.ts'
import type { TurnVerb } from '../../store/data/round-store.ts'
import { type Commitments, exceeds } from '../money/commitments.ts'
import { budgetOf, type Campaign } from '../round/campaigns.ts'
import { packAmount } from '../round/round-config.ts'
import { endOf, type RoundView } from '../round/round-view.ts'
import { VOUCHER_TURNS, type VoucherState } from '../voucher/voucher-states.ts'
import type { Vouchers } from '../voucher/vouchers.ts'
import type { Lifecycle } from './lifecycle.ts'
import { mostPacks, type RoundRules, releaseRefused, restockPool } from './round-rules.ts'

const TURNS: Readonly<Record<TurnVerb, readonly StoredState[]>> = {
  open: ['scheduled'],
  pause: ['open'],
  resume: ['paused'],
  close: ['scheduled', 'open', 'paused'],
}
const TURNED: Readonly<Record<TurnVerb, StoredState>> = {
  open: 'open',
  pause: 'paused',
  resume: 'open',
  close: 'closed',
}

/** As much of a round as its public face is made of. */
export type RoundFace = Pick<RoundView, 'id' | 'config' | 'notice' | 'state'>

/** What is committed of a campaign's budget, minor units. */
export interface BudgetEffect {
  readonly currency: string
  readonly before: number
  readonly after: number
  readonly max_amount: number
}

const faceOf = ({ id, config }: RoundView, notice: Notice): RoundFace => ({
  id,
  config,
  notice,
  state: endOf(notice),
})

export class DryRun {
  readonly #lifecycle: Lifecycle
  readonly #commitments: Commitments
  readonly #vouchers: Vouchers

  constructor(lifecycle: Lifecycle, commitments: Commitments, vouchers: Vouchers) {
    this.#vouchers = vouchers
    this.#lifecycle = lifecycle
    this.#commitments = commitments
  }

  /** Throws the refusal that the turn would get. */
  async turn(id: string, verb: TurnVerb): Promise<{ readonly before: RoundFace; readonly after: RoundFace }> {
    const { view } = await this.#lifecycle.round(id)
    const { notice, state } = view
    if (!TURNS[verb].includes(notice.state))
      throw new Refusal('wrong_state', `the round is ${state}; it cannot ${verb}`, { state })
    const opensAt = verb === 'open' ? notice.at : notice.opensAt
    const closesAt = verb === 'close' ? notice.at : notice.closesAt
    return { before: faceOf(view, notice), after: faceOf(view, { ...notice, state: TURNED[verb], opensAt, closesAt }) }
  }

  /** Throws the refusal that adding or taking back would get. */
  async restock(id: string, poolName: string, add: number) {
    const round = await this.#lifecycle.round(id)
    const { view } = round
    const { config, notice } = view
    const place = restockPool(round, poolName, add)
    const budget = await this.#budget(await this.#lifecycle.campaign(config.campaign_id), add)
    const pools = notice.pools.map((each, i) => (i === place ? { ...each, total: each.total + add } : each))
    return { before: faceOf(view, notice), after: faceOf(view, { ...notice, pools }), budget }
  }

  /** Throws the refusal that releasing what is quarantined would get. */
  async release(id: string): Promise<{ readonly before: RoundFace; readonly after: RoundFace }> {
    const { view } = await this.#lifecycle.round(id)
    const { notice, vouchers } = view
    const most = mostPacks(vouchers.length)
    const held = quarantinedOf(notice)
    if (held === 0) throw releaseRefused(view, 'wrong_state', most)
    if (notice.sequence + remainingOf(notice) + held > most) throw releaseRefused(view, 'invalid', most)
    const pools = notice.pools.map(({ total, granted }) => ({ total, granted }))
    const aside = (notice.aside ?? []).map(range => ({ ...range, released: true }))
    return { before: faceOf(view, notice), after: faceOf(view, { ...notice, pools, aside }) }
  }

  /** What a new round would commit; throws the refusal that creating it would get. */
  async round(campaignId: string, rules: RoundRules): Promise<BudgetEffect> {
    const campaign = await this.#lifecycle.campaign(campaignId)
    this.#lifecycle.refuseRound(campaign, rules)
    return this.#budget(campaign, rules.stock)
  }

  /** The state of a voucher before and after taking it out of use; throws the refusal that this would get. */
  async deactivation(code: string): Promise<{ readonly before: VoucherState; readonly after: VoucherState }> {
    const { state } = await this.#vouchers.now(await this.#vouchers.of(code))
    if (state === 'redeemed') throw new Refusal('already_redeemed', CODES.already_redeemed.title)
    const after = state === 'deactivated' ? state : VOUCHER_TURNS[state].deactivate
    if (!after) throw new Refusal('expired', CODES.expired.title)
    return { before: state, after }
  }

  async #budget(campaign: Campaign, packs: number): Promise<BudgetEffect> {
    const before = await this.#commitments.committed(campaign.id)
    const amount = packs * packAmount(campaign.pack)
    const most = budgetOf(campaign)
    if (packs > 0 && before + amount > most) throw exceeds(campaign, packs, amount)
    return { currency: campaign.currency, before, after: before + amount, max_amount: most }
  }
}
