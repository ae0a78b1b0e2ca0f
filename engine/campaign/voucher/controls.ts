/**
 * What an operator sets while the engine runs: rates of callers, and merchants that may not redeem for now. Every worker of every
 * node reads the same few fields four times a second. A change is answered SETTLES_MS after it was made, and whoever has the
 * answer knows that it holds: nothing is judged on what was read KEPT_MS ago, and no script decides on what was read LEASE_MS
 * ago, by Redis's clock. So a worker that stood still, or whose bytes did, reads anew before it goes on.
 *
 * A rate that is not set here is that of the node's configuration; 0 is no limit. A held merchant redeems nothing of
 * any campaign until released; what was redeemed before stays, and can be taken back by a hold of a campaign (ledger.ts).
 * While Redis is away nothing is redeemed, and the last known rates hold on, but not over a standstill of the worker. Rejected:
 * a restart with another setting, which costs the minute that counts; a key that redeem.lua reads, since it would be in
 * another slot than the campaign; a lease by the worker's own clock alone, since bytes stand still, too.
 */
import { Fault, Refusal } from '../../base/assert.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import type { Dated, Lease } from '../../store/connection/dated-read.ts'
import type { ControlStore } from '../../store/data/control-store.ts'

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

export interface HoldRequest {
  readonly reason: string
  readonly by: string
  /** The name of a request that holds them once, however often it is asked. */
  readonly request?: string | undefined
}

/** Between two reads of a worker. */
export const READ_MS = 250
/** What was read is judged on for so long, by the worker's monotonic clock, */
export const KEPT_MS = 400
/** and decided on for so long, by Redis's; what is between the two is the way to Redis. */
const LEASE_MS = 500
/** From a change to its answer: the lease, and a margin of a tenth of a second for clocks that do not run alike. */
export const SETTLES_MS = 600
/** Between two signs of life of a worker, and how long they may stay out before it stood still. */
export const BEAT_MS = 100
const STANDSTILL_MS = 500
/** How long rates are let in by that were read, and from their change to its answer: a busy worker is not one that stood still. */
const RATES_LEASE_MS = 1000
const RATES_SETTLE_MS = 1100
/** Reads in a row that come too late to be judged on. */
const READS_MAX = 3

/** How long what was read at a moment of Redis's clock may be decided on. */
export const leaseOf = (at: number): Lease => ({ from: at, until: at + LEASE_MS })

const rateField = (name: RateName) => `rate ${name}`
const HELD = 'held '

const NOTHING = { began: Number.NEGATIVE_INFINITY, done: Promise.resolve() }

export interface ControlsOptions {
  readonly store: ControlStore
  readonly clock: Clock
  /** The rates of this node's configuration. */
  readonly configured: Rates
  /** Receives the rates that hold from now on. */
  readonly changed: (rates: Rates) => void
}

export class Controls {
  readonly #options: ControlsOptions
  #fields: Readonly<Record<string, string>> = {}
  #applied = ''
  #held: ReadonlyMap<string, HeldMerchant> = new Map()
  #lease = leaseOf(0)
  /** When the read that is known began, monotonic; and the last one that was begun. */
  #readAt = Number.NEGATIVE_INFINITY
  #underWay = NOTHING
  #beatAt: number
  #catchingUp = false
  #holdsUntil: number

  constructor(options: ControlsOptions) {
    this.#options = options
    this.#beatAt = options.clock.monotonicMs()
    this.#holdsUntil = this.#beatAt
  }

  /** Reads what is set; called every READ_MS. Throws Fault. */
  read(): Promise<void> {
    const { clock, store } = this.#options
    const began = clock.monotonicMs()
    const done = store.read().then(
      read => this.#take(began, read),
      cause => {
        // Whoever comes later asks for themselves.
        if (this.#underWay.done === done) this.#underWay = NOTHING
        throw cause
      },
    )
    this.#underWay = { began, done }
    return done
  }

  /**
   * Resolves when what is known may be judged on, and is not what a script found too old; at once where that is so. Throws
   * Fault `unavailable`.
   */
  fresh(tooOld?: Lease): Promise<void> | undefined {
    return this.#mayJudge(tooOld) ? undefined : this.#freshened(tooOld)
  }

  #mayJudge(tooOld: Lease | undefined): boolean {
    return this.#isYoung(this.#readAt) && this.#lease !== tooOld
  }

  async #freshened(tooOld: Lease | undefined): Promise<void> {
    for (let reads = 0; !this.#mayJudge(tooOld); reads++) {
      if (reads === READS_MAX) throw new Fault('unavailable', 'what operators have set comes too late to be judged on')
      const { began, done } = this.#underWay
      const joins = began > this.#readAt && this.#isYoung(began)
      await (joins ? done : this.read()).catch((cause: unknown) => {
        throw new Fault('unavailable', 'what operators have set cannot be read now; nothing was executed', cause)
      })
    }
  }

  /** How long what is known may be decided on. */
  get lease(): Lease {
    return this.#lease
  }

  /**
   * A sign of life, every BEAT_MS: while Redis does not answer the last known rates hold on, but not over a standstill of the
   * worker itself, which has to read first what was set meanwhile.
   */
  beat(): void {
    const now = this.#options.clock.monotonicMs()
    const stoodStill = now - this.#beatAt > STANDSTILL_MS
    this.#beatAt = now
    if (this.#catchingUp) return
    if (!stoodStill) {
      this.#holdsUntil = Math.max(this.#holdsUntil, now + STANDSTILL_MS)
      return
    }
    this.#catchingUp = true
    const caughtUp = () => {
      this.#catchingUp = false
    }
    this.read().then(caughtUp, caughtUp)
  }

  /** Whether this worker stood still, at a moment of its monotonic clock, and the rates that it knows may be older than an answer. */
  isLate(now: number): boolean {
    return now > this.#holdsUntil
  }

  #isYoung(began: number): boolean {
    return this.#options.clock.monotonicMs() - began < KEPT_MS
  }

  #take(began: number, { value: fields, at }: Dated<Readonly<Record<string, string>>>): void {
    if (began < this.#readAt) return
    this.#readAt = began
    this.#lease = leaseOf(at)
    this.#holdsUntil = Math.max(this.#holdsUntil, began + RATES_LEASE_MS)
    const next = JSON.stringify(Object.entries(fields).sort())
    if (next === this.#applied) return
    this.#applied = next
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

  /** Sets rates on every node; resolves when they hold there, with whether the same request did it before. */
  async setRates(change: RateChange, request?: string): Promise<boolean> {
    const changes = asked(change)
    const set = changes.flatMap(([name, rate]) => (rate === null ? [] : [[rateField(name), String(rate)]]))
    const cleared = changes.flatMap(([name, rate]) => (rate === null ? [rateField(name)] : []))
    const isReplayed = await this.#options.store.set({ set: Object.fromEntries(set), cleared, request })
    await this.#settle(RATES_SETTLE_MS)
    return isReplayed
  }

  /** Why a merchant is held, or undefined. */
  heldMerchant(id: string): HeldMerchant | undefined {
    return this.#held.get(id)
  }

  get heldMerchants(): readonly HeldMerchant[] {
    return [...this.#held.values()]
  }

  /**
   * Holds a merchant on every node; resolves when no node lets them redeem, with whether the same request did it before. A second
   * hold replaces the reason.
   */
  async hold(merchant: string, { reason, by, request }: HoldRequest): Promise<boolean> {
    const held = { merchant_id: merchant, reason, by, at: rfc3339(this.#options.clock.wallMs()) }
    const isReplayed = await this.#options.store.set({ set: { [HELD + merchant]: JSON.stringify(held) }, request })
    await this.#settle()
    return isReplayed
  }

  /** Releases a merchant, also one that is not held; resolves when every node lets them redeem, as `hold` does. */
  async release(merchant: string, request?: string): Promise<boolean> {
    const isReplayed = await this.#options.store.set({ cleared: [HELD + merchant], request })
    await this.#settle()
    return isReplayed
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

  async #settle(ms = SETTLES_MS): Promise<void> {
    await new Promise<void>(resolve => this.#options.clock.after(ms, resolve))
    await this.read()
  }
}

function asked(change: RateChange): (readonly [RateName, number | null])[] {
  const changes = RATE_NAMES.flatMap(name => (change[name] === undefined ? [] : [[name, change[name]] as const]))
  if (changes.length === 0) throw new Refusal('invalid', `give at least one of ${RATE_NAMES.join(', ')}`)
  return changes
}
