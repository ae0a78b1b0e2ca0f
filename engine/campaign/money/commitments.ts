/**
 * What a change of a round commits of its campaign's budget: first the money, then the change, and nothing leaked between.
 *
 * The two lie in different slots. So a commitment is noted before anything is written, and is unsettled until it is known
 * whether the change was made: the node that asked settles it, and where that fails (Redis is away, the node died or
 * stood still) any other one does, UNSETTLED_MS later. It asks the round; a change that was not made is void from then on,
 * so the money that goes back is never needed after all (scripts/round-void.lua). A round that was made, and nobody could be told of,
 * is put into the index, so that its operator finds it.
 *
 * Rejected: a lease by a clock (two slots may have two servers' clocks, and nodes thaw), and the round first without a
 * stock (it would be listed and claimed before it is funded).
 */
import { Refusal } from '../../base/assert.ts'
import { type Commitment, CREATE } from '../../store/data/budget-store.ts'
import type { Store } from '../../store/store.ts'
import { budgetOf, type Campaign } from '../round/campaigns.ts'
import type { RoundConfig } from '../round/round-config.ts'
import { behindChange } from './behind-change.ts'

/** How long the node that asked has to settle by itself, milliseconds: four requests of the longest wait, and some. */
export const UNSETTLED_MS = 10_000

export interface CommitmentsOptions {
  readonly store: Pick<Store, 'budgets' | 'rounds' | 'draws'>
  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  readonly serverTimeMs: () => number
  /** Told of a fault that leaves something to be settled later. */
  readonly failed: (fault: unknown) => void
}

export const exceeds = (campaign: Campaign, packs: number, amount: number): Refusal =>
  new Refusal(
    'budget_exceeded',
    `${packs} packs could cost ${amount}; the budget's max_amount is ${budgetOf(campaign)}`,
  )

export class Commitments {
  readonly #options: CommitmentsOptions

  constructor(options: CommitmentsOptions) {
    this.#options = options
  }

  /** Makes a change whose packs are committed before; a Refusal of the change is certain. Throws `budget_exceeded`. */
  async around<T>(campaign: Campaign, commitment: Commitment, packs: number, change: () => Promise<T>): Promise<T> {
    const { store, serverTimeMs } = this.#options
    await store.budgets.note(commitment, serverTimeMs())
    const committed = async () => {
      if (!(await this.#commit(campaign, commitment))) throw exceeds(campaign, packs, commitment.amount)
      return change()
    }
    const made = await committed().catch(async (cause: unknown) => {
      const isCertain = cause instanceof Refusal
      await this.#later(isCertain ? this.#settle(commitment, false) : this.#find(commitment))
      throw cause
    })
    await behindChange(this.#settle(commitment, true))
    return made
  }

  /** Settles what others left unsettled. Throws Fault. */
  async settleAll(campaignId?: string): Promise<void> {
    const { store, serverTimeMs } = this.#options
    const before = serverTimeMs() - UNSETTLED_MS
    for (const commitment of await store.budgets.unsettled())
      if (commitment.at <= before && commitment.campaignId === (campaignId ?? commitment.campaignId))
        await this.#find(commitment)
  }

  /** What is committed, when everything is settled that can be. */
  async committed(campaignId: string): Promise<number> {
    await this.settleAll(campaignId)
    return this.#options.store.budgets.committed(campaignId)
  }

  /** Before a budget refuses, it has back what belongs to nobody. */
  async #commit(campaign: Campaign, commitment: Commitment): Promise<boolean> {
    const { budgets } = this.#options.store
    const most = budgetOf(campaign)
    if (await budgets.commit(commitment, most)) return true
    await this.settleAll(campaign.id)
    return budgets.commit(commitment, most)
  }

  async #find(commitment: Commitment): Promise<void> {
    const { budgets, rounds } = this.#options.store
    // A round that the index knows was made: its state is lost, and whoever restores it finds its money committed.
    if (commitment.request === CREATE && (await rounds.isKnown(commitment.roundId)))
      return this.#settle(commitment, true)
    const fate = await budgets.fate(commitment)
    if (fate !== 'lost') await this.#settle(commitment, fate === 'made')
  }

  async #settle(commitment: Commitment, isMade: boolean): Promise<void> {
    const { store } = this.#options
    await store.budgets.settle(commitment, isMade)
    if (isMade && commitment.request === CREATE) await enlist(store, commitment.roundId)
    await store.budgets.forget(commitment)
  }

  /** What fails here is found again by whoever settles next. */
  async #later(settled: Promise<void>): Promise<void> {
    await settled.catch(this.#options.failed)
  }
}

/** Puts a round that was made where everybody finds it: the index, and the list of those that are to be drawn. */
async function enlist(store: CommitmentsOptions['store'], id: string): Promise<void> {
  const read = await store.rounds.read(id)
  if (!read) return
  const { number, campaign_id, allocation } = JSON.parse(read.config) as RoundConfig
  if (allocation.mode !== 'fcfs') await store.draws.announce(id)
  await store.rounds.enlist({ id, number, campaignId: campaign_id })
}
