/**
 * Merchants: their names, tags and stores, as the operator keeps them. A template with merchant tags is accepted by
 * merchants that have one of them; others need not be known here. Workers keep what they read for a second, so a
 * change of tags holds everywhere a second after it was answered; stores are kept for people and are no rule.
 */
import { Refusal } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { LedgerStore } from '../store/ledger-store.ts'

export interface MerchantRules {
  readonly name: string
  readonly tags: readonly string[]
  readonly stores: readonly string[]
}

export interface Merchant extends MerchantRules {
  readonly id: string
}

const KEPT = 10_000
const KEPT_MS = 1000

export class Merchants {
  readonly #store: LedgerStore
  readonly #clock: Clock
  readonly #kept = new Map<string, { readonly merchant: Merchant | undefined; readonly readAt: number }>()

  constructor(store: LedgerStore, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  async put(id: string, rules: MerchantRules): Promise<Merchant> {
    const merchant = { id, ...rules }
    await this.#store.putMerchant(id, JSON.stringify(merchant))
    this.#kept.delete(id)
    await new Promise<void>(resolve => this.#clock.after(KEPT_MS, resolve))
    return merchant
  }

  /** Throws `not_found`. */
  async get(id: string): Promise<Merchant> {
    const json = await this.#store.merchant(id)
    if (!json) throw new Refusal('not_found', `there is no merchant ${id}`)
    return JSON.parse(json) as Merchant
  }

  /** Whether a merchant may accept what is for these tags. */
  async mayAccept(id: string, tags: readonly string[] | undefined): Promise<boolean> {
    if (!tags || tags.length === 0) return true
    const merchant = await this.#known(id)
    return merchant?.tags.some(tag => tags.includes(tag)) ?? false
  }

  /** The tags of several merchants, by id. */
  async tagsOf(ids: readonly string[]): Promise<Map<string, readonly string[]>> {
    const rows = await this.#store.merchants(ids)
    return new Map(ids.map((id, i) => [id, rows[i] ? (JSON.parse(rows[i]) as Merchant).tags : []]))
  }

  async #known(id: string): Promise<Merchant | undefined> {
    const now = this.#clock.monotonicMs()
    const kept = this.#kept.get(id)
    if (kept && now - kept.readAt < KEPT_MS) return kept.merchant
    const json = await this.#store.merchant(id)
    const merchant = json ? (JSON.parse(json) as Merchant) : undefined
    if (this.#kept.size >= KEPT) this.#kept.clear()
    this.#kept.set(id, { merchant, readAt: now })
    return merchant
  }
}
