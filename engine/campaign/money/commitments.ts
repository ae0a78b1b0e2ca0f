/**
 * What a change of a round commits of its campaign's budget: first the money, then the change, and nothing leaked between.
 *
 * The two lie in different slots. So a commitment is noted before anything is written, and is unsettled until it is known
 * whether the change was made: the node that asked settles it, and where that fails (Redis is away, the node died or
 * stood still) any other one does, UNSETTLED_MS later. It asks the round; a change that was not made is void from then on,
 * so the money that goes back is never needed after all (scripts/round-void.lua). A round that was made, and whose answer got lost,
 * is put into the index, so that its operator finds it.
 *
 * A change that came with an Idempotency-Key may be under way twice, on two nodes, under one commitment. Then not even a refusal
 * of one says what the other came to, so whoever is refused asks the round, too.
 *
 * Rejected: a lease by a clock (two slots may have two servers' clocks, and nodes thaw), and the round first without a
 * stock (it would be listed and claimed before it is funded).
 */
import { Refusal } from '../../base/assert.ts'
import { AMOUNT_MAX } from '../../base/limits.ts'
import { type Commitment, CREATE } from '../../store/data/budget-store.ts'
import type { Store } from '../../store/store.ts'
import { budgetOf, type Campaign } from '../round/campaigns.ts'
import { isDrawn, packAmount, type RoundConfig } from '../round/round-config.ts'
import { behindChange } from './behind-change.ts'

/** How long the node that asked has to settle by itself, milliseconds: four requests of the longest wait, and some. */
export const UNSETTLED_MS = 10_000

export interface CommitmentsOptions {
  readonly store: Pick<Store, 'budgets' | 'rounds' | 'draws'>
  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  readonly serverTimeMs: () => number
  /** Receives a fault that leaves something to be settled later. */
  readonly failed: (fault: unknown) => void
}

/** A change that commits money. */
export interface CommittedChange {
  readonly commitment: Commitment
  readonly packs: number
  /** Others may be under way with the same change: it came with an Idempotency-Key. */
  readonly isShared: boolean
}

/** What is committed of a campaign's budget before and after a change, minor units. */
export interface BudgetEffect {
  readonly currency: string
  readonly before: number
  readonly after: number
  readonly max_amount: number
}

export const budgetExceeded = (packs: number, amount: number, most: number): Refusal =>
  new Refusal(
    'budget_exceeded',
    `${packs} packs could cost ${amount}, beside what is committed already; the most is ${most}, ` +
      (most === AMOUNT_MAX ? 'which the ledger counts to' : "the budget's max_amount"),
  )

export class Commitments {
  readonly #options: CommitmentsOptions

  constructor(options: CommitmentsOptions) {
    this.#options = options
  }

  /** Makes a change whose packs are committed before; a Refusal of the change is certain. Throws `budget_exceeded`. */
  async around<T>(campaign: Campaign, what: CommittedChange, change: () => Promise<T>): Promise<T> {
    const { commitment, packs, isShared } = what
    const { store, serverTimeMs } = this.#options
    await store.budgets.note(commitment, serverTimeMs())
    const commit = async (most: number) => (await store.budgets.commit(commitment, most)) || undefined
    const committed = async () => {
      if (!(await this.#within(campaign, commit))) throw budgetExceeded(packs, commitment.amount, budgetOf(campaign))
      return change()
    }
    const made = await committed().catch(async (cause: unknown) => {
      const isCertain = cause instanceof Refusal && !isShared
      await this.#later(isCertain ? this.#settle(commitment, false) : this.#find(commitment))
      throw cause
    })
    await behindChange(this.#settle(commitment, true))
    return made
  }

  /** What the budget would be committed to with so many packs more. Throws `budget_exceeded` as `around` does. */
  async dry(campaign: Campaign, packs: number): Promise<BudgetEffect> {
    const amount = packs * packAmount(campaign.pack)
    const { budgets } = this.#options.store
    const after = await this.#within(campaign, most => budgets.dryCommit(campaign.id, amount, most))
    if (after === undefined) throw budgetExceeded(packs, amount, budgetOf(campaign))
    return { currency: campaign.currency, before: after - amount, after, max_amount: budgetOf(campaign) }
  }

  /** Settles what whoever made a change did not come to, for a request that finds it made. Throws Fault. */
  async finish({ roundId, request }: Pick<Commitment, 'roundId' | 'request'>): Promise<void> {
    for (const commitment of await this.#options.store.budgets.unsettled())
      if (commitment.roundId === roundId && commitment.request === request) await this.#find(commitment)
  }

  /** Settles what others left unsettled. Throws Fault. */
  async settleAll(campaignId?: string): Promise<void> {
    const { store, serverTimeMs } = this.#options
    const before = serverTimeMs() - UNSETTLED_MS
    for (const commitment of await store.budgets.unsettled())
      if (commitment.at <= before && commitment.campaignId === (campaignId ?? commitment.campaignId))
        await this.#find(commitment)
  }

  /** Before a budget refuses, it has back what belongs to nobody; `ask` gives undefined for what passes the most. */
  async #within<T>(campaign: Campaign, ask: (most: number) => Promise<T | undefined>): Promise<T | undefined> {
    const most = budgetOf(campaign)
    const first = await ask(most)
    if (first !== undefined) return first
    await this.settleAll(campaign.id)
    return ask(most)
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
  const config = JSON.parse(read.config) as RoundConfig
  if (isDrawn(config)) await store.draws.announce(id)
  await store.rounds.enlist({ id, number: config.number, campaignId: config.campaign_id })
}
