/**
 * Merchants: their names, tags and stores, as the operator keeps them. A template with merchant tags is accepted by
 * merchants that have one of them; others need not be known here. Workers keep what they read for a moment and scripts decide
 * on it while its lease lasts (controls.ts), so a change of tags holds everywhere when it is answered; stores are kept for
 * people and are no rule.
 */
import { Refusal } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { Lease } from '../../store/connection/dated-read.ts'
import type { ControlStore } from '../../store/data/control-store.ts'
import type { LedgerStore } from '../../store/data/ledger-store.ts'
import { KEPT_MS, leaseOf, SETTLES_MS } from './controls.ts'

export interface MerchantRules {
  readonly name: string
  readonly tags: readonly string[]
  readonly stores: readonly string[]
}

export interface Merchant extends MerchantRules {
  readonly id: string
}

const KEPT = 10_000
/** Merchants that one call keeps: under 2 ms of Redis's time. */
const A_CALL = 500

interface Kept {
  readonly merchant: Merchant | undefined
  readonly lease: Lease
  /** When it was asked for, monotonic. */
  readonly readAt: number
}

/** Whether a merchant may accept a voucher, and how long that may be decided on. */
export interface Acceptance {
  readonly accepts: boolean
  readonly lease: Lease
}

export interface MerchantsOptions {
  readonly ledger: LedgerStore
  readonly controls: ControlStore
  readonly clock: Clock
}

export class Merchants {
  readonly #options: MerchantsOptions
  readonly #kept = new Map<string, Kept>()

  constructor(options: MerchantsOptions) {
    this.#options = options
  }

  /** Keeps merchants; resolves when it holds everywhere, with whether the same request did it before. */
  async put(merchants: readonly Merchant[], request?: string): Promise<boolean> {
    const { controls, clock } = this.#options
    const parts = Array.from({ length: Math.ceil(merchants.length / A_CALL) }, (_, part) => {
      const rows = merchants.slice(part * A_CALL, (part + 1) * A_CALL).map(each => [each.id, JSON.stringify(each)])
      return controls.putMerchants(Object.fromEntries(rows), request && [request, part].join(' '))
    })
    const isReplayed = (await Promise.all(parts)).every(Boolean)
    for (const { id } of merchants) this.#kept.delete(id)
    await new Promise<void>(resolve => clock.after(SETTLES_MS, resolve))
    return isReplayed
  }

  /** Throws `not_found`. */
  async get(id: string): Promise<Merchant> {
    const { value: json } = await this.#options.ledger.merchant(id)
    if (!json) throw new Refusal('not_found', `there is no merchant ${id}`)
    return JSON.parse(json) as Merchant
  }

  /** The merchants whose ids come behind one, in the order of their ids; all of them behind an empty one. */
  async behind(id: string): Promise<Merchant[]> {
    const kept: Merchant[] = []
    for (const [name, json] of await this.#options.ledger.allMerchants())
      if (name > id) kept.push(JSON.parse(json) as Merchant)
    return kept.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Whether a merchant may accept what is for these tags. */
  async acceptance(id: string, tags: readonly string[]): Promise<Acceptance> {
    const { merchant, lease } = await this.#known(id)
    return { accepts: merchant?.tags.some(tag => tags.includes(tag)) ?? false, lease }
  }

  /** Lets go of what is kept of a merchant, since a script found it too old. */
  forget(id: string): void {
    this.#kept.delete(id)
  }

  /** The tags of several merchants, by id. */
  async tagsOf(ids: readonly string[]): Promise<Map<string, readonly string[]>> {
    const rows = await this.#options.ledger.merchants(ids)
    return new Map(ids.map((id, i) => [id, rows[i] ? (JSON.parse(rows[i]) as Merchant).tags : []]))
  }

  async #known(id: string): Promise<Kept> {
    const now = this.#options.clock.monotonicMs()
    const known = this.#kept.get(id)
    if (known && now - known.readAt < KEPT_MS) return known
    const { value: json, at } = await this.#options.ledger.merchant(id)
    const merchant = json ? (JSON.parse(json) as Merchant) : undefined
    const read = { merchant, lease: leaseOf(at), readAt: now }
    if (this.#kept.size >= KEPT) this.#kept.clear()
    this.#kept.set(id, read)
    return read
  }
}
