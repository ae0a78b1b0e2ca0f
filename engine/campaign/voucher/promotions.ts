/**
 * Seats of a lottery that lapse. An operator says whose seat it was; its vouchers are taken out of use, the seat goes to the
 * first of the waitlist who may have it, and the public log says so: nobody chooses (draw/promotions.ts). The promoted
 * person gets a grant of their own with the next sequence, and the pool's total rises by the seat that was given twice.
 *
 * The steps are in an order that a repetition can go through again: vouchers out of use, money, then log and grant in
 * one script that refuses when somebody else was promoted meanwhile. A redeemed voucher keeps its seat.
 */
import { Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { holderOfTag } from '../../base/holder.ts'
import { parseCommit } from '../../draw/commitment.ts'
import { findTag, poolAt } from '../../draw/entry.ts'
import { type Promotion, Promotions as Seats, writePromotion } from '../../draw/promotions.ts'
import { parseResult } from '../../draw/result.ts'
import type { Store } from '../../store/store.ts'
import { budgetOf, type Campaigns } from '../round/campaigns.ts'
import type { Round } from '../round/round.ts'
import { packAmount } from '../round/round-config.ts'
import type { Rounds } from '../round/rounds.ts'
import type { Actor, Redemption } from './redemption.ts'
import type { Vouchers } from './vouchers.ts'

const FILE = 'promotions.log'

export interface PromotionsOptions {
  readonly store: Store
  readonly rounds: Rounds
  readonly campaigns: Campaigns
  readonly vouchers: Vouchers
  readonly redemption: Redemption
}

export class Promotions {
  readonly #options: PromotionsOptions

  constructor(options: PromotionsOptions) {
    this.#options = options
  }

  /** Lets the seat of a tag lapse; undefined when nobody who waits may have it. Throws `wrong_state`, `not_found` and others. */
  async lapse(actor: Actor, round: Round, tag: string): Promise<Promotion | undefined> {
    const { store } = this.#options
    const { id, config } = round.view
    const state = await store.draws.state(id)
    const files = await store.draws.files(id, 0)
    if (config.allocation.mode !== 'lottery' || state?.phase !== 'done' || !files['result.json'])
      throw new Refusal('wrong_state', 'seats lapse after the draw of a lottery', { state: round.view.state })
    const log = files[FILE] ?? Buffer.alloc(0)
    const lines = log.toString().split('\n').filter(Boolean)
    const earlier = lines.map(line => JSON.parse(line) as Promotion)
    const before = earlier.find(({ from }) => from === tag)
    if (before) return before
    const { n } = parseCommit(files['commit.json'] as Buffer).commit
    const list = await store.entries.records(id, 0, n)
    const poolOf = (of: string) => config.pools[poolAt(list, findTag(list, Buffer.from(of, 'hex')))]
    const seats = new Seats({ ...parseResult(files['result.json']), poolOf })
    for (const promotion of earlier) seats.apply(promotion)
    const pool = seats.seatOf(tag)
    if (pool === undefined) throw new Refusal('not_found', `${tag} has no seat in this round`)
    await this.#takeBack(actor, round, tag)
    const to = seats.nextFor(pool)
    if (to === undefined) return undefined
    await this.#commitBudget(round, tag)
    const promotion = { pool, from: tag, to, at: rfc3339(this.#options.rounds.serverTimeMs()) }
    const { code, notice } = await store.draws.lapse(id, round.view.notice.epoch, {
      before: log.length,
      line: writePromotion(promotion),
      holder: holderOfTag(Buffer.from(to, 'hex')),
      pool: config.pools.indexOf(pool),
    })
    this.#options.rounds.take(id, notice)
    return code === 'granted' ? promotion : this.lapse(actor, round, tag)
  }

  /** Takes the vouchers of a seat out of use. Throws `already_redeemed` before anything is done. */
  async #takeBack(actor: Actor, round: Round, tag: string): Promise<void> {
    const { store, vouchers, redemption } = this.#options
    const holding = await store.claims.holding(round.view.id, holderOfTag(Buffer.from(tag, 'hex')))
    if (!holding) throw new Refusal('not_found', `${tag} holds nothing in this round`)
    const states = await vouchers.states(round, holding.sequence, await round.times.at(holding.sequence))
    if (states.includes('redeemed')) throw new Refusal('already_redeemed', 'a voucher of this seat was redeemed')
    for (const [i, code] of round.codesOf([holding.sequence], 1).entries())
      if (states[i] !== 'expired') await redemption.deactivate(actor, code, `the seat of ${tag} lapsed`)
  }

  /** The promoted person's pack costs what the lapsed one did; asked again it counts once. */
  async #commitBudget({ view }: Round, tag: string): Promise<void> {
    const { store, campaigns } = this.#options
    const campaign = await campaigns.get(view.config.campaign_id)
    const amount = packAmount(campaign.pack)
    const most = budgetOf(campaign)
    const commitment = { campaignId: campaign.id, roundId: view.id, request: `lapse ${tag}`, amount }
    if (!(await store.budgets.commit(commitment, most)))
      throw new Refusal('budget_exceeded', `one more pack could cost ${amount}; the budget's max_amount is ${most}`)
  }
}
