/**
 * What an operator sets while the engine runs: rates of callers, and merchants that may not redeem for now. Every worker of every
 * node reads the same few fields four times a second, so a change holds everywhere within READ_MS and the time of a read; it is
 * answered SETTLES_MS after it was made, and whoever has the answer knows that it holds.
 *
 * A rate that is not set here is that of the node's configuration; 0 is no limit. A held merchant redeems nothing of
 * any campaign until he is released; what he redeemed before stays, and can be taken back by a hold of a campaign (ledger.ts).
 * While Redis is away the last known fields hold on. Rejected: a restart with another setting, which costs the minute that counts.
 */
import { Refusal } from '../base/assert.ts'
import { type Clock, rfc3339 } from '../base/clock.ts'
import type { ControlStore } from '../store/control-store.ts'

export const RATE_NAMES = ['user', 'address', 'key'] as const
export type RateName = (typeof RATE_NAMES)[number]

/** Requests a second of one user, address or API key; 0 is no limit. */
export type Rates = Readonly<Record<RateName, number>>

/** What is to be set; null takes back what was set. */
export type RateChange = Readonly<Partial<Record<RateName, number | null>>>

export interface HeldMerchant {
  readonly merchant_id: string
  readonly reason: string
  /** The caller's id: a role and a hash. */
  readonly by: string
  /** RFC 3339. */
  readonly at: string
}

/** Between two reads of a worker. */
export const READ_MS = 250
/** Two reads and what they take. */
const SETTLES_MS = 600

const rateField = (name: RateName) => `rate ${name}`
const HELD = 'held '

export interface ControlsOptions {
  readonly store: ControlStore
  readonly clock: Clock
  /** The rates of this node's configuration. */
  readonly configured: Rates
  /** Told the rates that hold from now on. */
  readonly changed: (rates: Rates) => void
}

export class Controls {
  readonly #options: ControlsOptions
  #fields: Readonly<Record<string, string>> = {}
  #told = ''
  #held: ReadonlyMap<string, HeldMerchant> = new Map()

  constructor(options: ControlsOptions) {
    this.#options = options
  }

  /** Reads what is set; called every READ_MS. Throws Fault. */
  async read(): Promise<void> {
    const fields = await this.#options.store.read()
    const told = JSON.stringify(Object.entries(fields).sort())
    if (told === this.#told) return
    this.#told = told
    this.#fields = fields
    this.#held = new Map(this.#heldIn(fields))
    this.#options.changed(this.rates)
  }

  /** The rates that hold on this node. */
  get rates(): Rates {
    return this.#ratesWith(this.#fields)
  }

  get configured(): Rates {
    return this.#options.configured
  }

  /** The rates that would hold after a change. */
  ratesAfter(change: RateChange): Rates {
    const fields = { ...this.#fields }
    for (const [name, rate] of asked(change)) {
      if (rate === null) delete fields[rateField(name)]
      else fields[rateField(name)] = String(rate)
    }
    return this.#ratesWith(fields)
  }

  /** Sets rates on every node; resolves when they hold there. */
  async setRates(change: RateChange): Promise<Rates> {
    const changes = asked(change)
    const set = changes.flatMap(([name, rate]) => (rate === null ? [] : [[rateField(name), String(rate)]]))
    const cleared = changes.flatMap(([name, rate]) => (rate === null ? [rateField(name)] : []))
    if (set.length > 0) await this.#options.store.set(Object.fromEntries(set))
    if (cleared.length > 0) await this.#options.store.clear(cleared)
    await this.#settle()
    return this.rates
  }

  /** Why a merchant is held, or undefined. */
  heldMerchant(id: string): HeldMerchant | undefined {
    return this.#held.get(id)
  }

  get heldMerchants(): readonly HeldMerchant[] {
    return [...this.#held.values()]
  }

  /** Holds a merchant on every node; resolves when no node lets him redeem. A second hold replaces the reason. */
  async hold(
    merchant: string,
    { reason, by }: { readonly reason: string; readonly by: string },
  ): Promise<HeldMerchant> {
    const held = { merchant_id: merchant, reason, by, at: rfc3339(this.#options.clock.wallMs()) }
    await this.#options.store.set({ [HELD + merchant]: JSON.stringify(held) })
    await this.#settle()
    return held
  }

  /** Releases a merchant, also one that is not held; resolves when every node lets him redeem. */
  async release(merchant: string): Promise<void> {
    await this.#options.store.clear([HELD + merchant])
    await this.#settle()
  }

  #ratesWith(fields: Readonly<Record<string, string>>): Rates {
    const { configured } = this.#options
    const rates = RATE_NAMES.map(name => [name, Number(fields[rateField(name)] ?? configured[name])])
    return Object.fromEntries(rates) as Rates
  }

  #heldIn(fields: Readonly<Record<string, string>>): (readonly [string, HeldMerchant])[] {
    return Object.entries(fields).flatMap(([field, json]) =>
      field.startsWith(HELD) ? [[field.slice(HELD.length), JSON.parse(json) as HeldMerchant] as const] : [],
    )
  }

  async #settle(): Promise<void> {
    await new Promise<void>(resolve => this.#options.clock.after(SETTLES_MS, resolve))
    await this.read()
  }
}

function asked(change: RateChange): (readonly [RateName, number | null])[] {
  const changes = RATE_NAMES.flatMap(name => (change[name] === undefined ? [] : [[name, change[name]] as const]))
  if (changes.length === 0) throw new Refusal('invalid', `give at least one of ${RATE_NAMES.join(', ')}`)
  return changes
}
