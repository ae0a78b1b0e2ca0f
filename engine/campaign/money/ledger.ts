/**
 * The ledger as it is read, and fraud holds. Grants are booked by the sweep; between two sweeps the balances shown
 * already count those made since, from the rounds' sequences, so `allocated` is never behind and the sum stays zero.
 */
import { daysInOrder } from '../../base/business-day.ts'
import { rfc3339 } from '../../base/clock.ts'
import type { LedgerEntry } from '../../store/data/ledger-store.ts'
import { grantedOf } from '../../store/data/notice.ts'
import { lostRound } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import type { Campaign } from '../round/campaigns.ts'
import { packAmount, type RoundConfig } from '../round/round-config.ts'
import { sourceOf } from './sweep.ts'

export interface Balances {
  readonly campaign_id: string
  readonly currency: string
  /** Account to minor units; they sum to zero. */
  readonly balances: Readonly<Record<string, number>>
}

/** Who holds and why. */
export interface HoldOf {
  readonly by: string
  readonly note: string
  /** The id of the last entry of the ledger that it reaches; all of them where it is left out. */
  readonly upTo?: string | undefined
}

const ACCOUNTS = ['sponsor_funds', 'available', 'allocated', 'reserved', 'returned']

export class Ledger {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async balances(campaign: Campaign): Promise<Balances> {
    const rounds = await this.#store.rounds.index(campaign.id)
    const reads = await Promise.all(rounds.map(({ id }) => this.#store.rounds.read(id)))
    const numbers = rounds.map(({ number }) => number)
    const { balances: kept, booked } = await this.#store.ledger.standing(campaign.id, numbers)
    let unbooked = 0
    for (const [i, read] of reads.entries()) {
      if (!read) throw lostRound(rounds[i]?.id as string)
      const { pack } = JSON.parse(read.config) as RoundConfig
      unbooked += Math.max(0, grantedOf(read.notice) - (booked[i] as number)) * packAmount(pack)
    }
    const balances: Record<string, number> = Object.fromEntries(ACCOUNTS.map(account => [account, 0]))
    for (const account of Object.keys(kept).sort()) balances[account] = Number(kept[account])
    const source = sourceOf(campaign)
    balances[source] = (balances[source] as number) - unbooked
    balances.allocated = (balances.allocated as number) + unbooked
    return { campaign_id: campaign.id, currency: campaign.currency, balances }
  }

  /** Entries behind a cursor, oldest first. */
  async *entries(campaign: Campaign, cursor: string | null): AsyncGenerator<ReturnType<typeof shown>> {
    for await (const entry of this.#store.ledger.entries(campaign.id, cursor === null ? '-' : `(${cursor}`))
      yield shown(entry)
  }

  /** The id of the last entry. */
  end(campaign: Campaign): Promise<string> {
    return this.#store.ledger.lastId(campaign.id)
  }

  /**
   * Deactivates what a merchant redeemed on days that are not settled; resolves with how many redemptions. A hold that may be a
   * repetition gives the entry up to which it was meant: what came later is not held by it, and what it held before counts.
   */
  async hold(campaign: Campaign, merchant: string, { by, note, upTo }: HoldOf): Promise<number> {
    let held = 0
    for await (const redemption of this.#unsettled(campaign, merchant, upTo)) {
      const call = { redemption, unused: campaign.on_expiry, by, note }
      const { code } = await this.#store.vouchers.deactivate(campaign.id, call)
      if (code === 'granted' || (code === 'replayed' && upTo !== undefined)) held++
    }
    return held
  }

  /** How many redemptions a hold would deactivate now. */
  async holdable(campaign: Campaign, merchant: string): Promise<number> {
    let count = 0
    for await (const redemption of this.#unsettled(campaign, merchant)) {
      const state = await this.#store.vouchers.redemptionState(campaign.id, redemption)
      if (state === 'succeeded' || state === 'partial') count++
    }
    return count
  }

  /** The ids of a merchant's redemptions on days that are not settled, whatever became of them. */
  async *#unsettled(campaign: Campaign, merchant: string, upTo?: string): AsyncGenerator<string> {
    const settled = new Map<string, boolean>()
    const dayOf = daysInOrder(campaign.timezone)
    for await (const entry of this.#store.ledger.entries(campaign.id, '-', upTo)) {
      if (entry.kind !== 'redeem' || entry.merchant !== merchant) continue
      const { date } = dayOf(Number(entry.at))
      if (!settled.has(date)) settled.set(date, (await this.#store.ledger.settled(campaign.id, date)) !== undefined)
      if (!settled.get(date)) yield entry.ref as string
    }
  }
}

/** An entry as the API shows it: its words in the order in which they were chained, and its legs apart. */
function shown({ id, at, legs, ...words }: LedgerEntry) {
  const parts = legs ? legs.split(' ') : []
  const moves = parts.flatMap((account, i) => (i % 2 === 0 ? [{ account, amount: Number(parts[i + 1]) }] : []))
  return { id, at: rfc3339(Number(at)), ...words, legs: moves }
}
