/**
 * What is done with vouchers: locked for an order, unlocked, redeemed, reversed, deactivated. Rules that rest on facts
 * that never change (owner, currency, minimum) are judged here; whatever can race (lock, limits, budgets, state) is
 * judged by one script in the campaign's slot. A rule that refuses names itself.
 *
 * A request is made again as often as need be: (caller, Idempotency-Key) finds its first answer, byte for byte. What operators
 * set (held merchants, tags) can change between two tries, so a request that it refuses is first looked up; and it can change
 * between judging and deciding, so the script gets how long that was judged on holds, and what comes later is judged anew.
 */
import { hash } from 'node:crypto'
import { signed } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { CODES, type Code } from '../../base/codes.ts'
import { newId, type Random } from '../../base/random.ts'
import { type Lease, within } from '../../store/connection/dated-read.ts'
import type { KeyedRequest, LockOwner, RedeemCall, Turned } from '../../store/data/voucher-store.ts'
import type { Store } from '../../store/store.ts'
import type { Campaign, Campaigns } from '../round/campaigns.ts'
import { discountOf } from '../round/round-config.ts'
import type { Controls } from './controls.ts'
import { campaignIn } from './kept-redemptions.ts'
import type { Merchants } from './merchants.ts'
import type { Voucher, VoucherState, Vouchers } from './vouchers.ts'

/** Who asks: a name that is harmless to store, the one merchant that the key is bound to, if it is, and the key's scope. */
export interface Actor {
  readonly id: string
  readonly merchant?: string
  readonly via?: string
}

/** A redemption that is asked for, under its key. */
interface AskedRedemption extends KeyedRequest {
  readonly bound: boolean
  readonly via: string | undefined
}

export interface RedemptionRequest {
  readonly code: string
  readonly order: { readonly id: string; readonly amount: number; readonly currency: string }
  readonly merchant_id: string
  readonly store_id?: string | undefined
  readonly user_id?: string | undefined
}

export interface ReversalRequest {
  readonly type: 'full' | 'partial'
  readonly amount?: number | undefined
  readonly reason: string
}

export interface KeyedAnswer {
  readonly replayed: boolean
  /** The same bytes whenever it is asked for. */
  readonly json: string
}

export interface Lock {
  /** The voucher's, as it was issued. */
  readonly code: string
  readonly id: string
  readonly order_id: string
  /** Of a key that is bound to a merchant. */
  readonly merchant_id?: string
  readonly ends_at: string
}

export interface RedemptionOptions {
  readonly store: Store
  readonly campaigns: Campaigns
  readonly vouchers: Vouchers
  readonly merchants: Merchants
  readonly controls: Controls
  readonly random: Random
  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  readonly serverTimeMs: () => number
}

/** The engine's idea of the day can be wrong once at midnight, what it judged on once after a standstill; and once more each. */
const TRIES = 3

/** A call before it is judged: the rest is of the moment of asking. */
type Unjudged = Omit<RedeemCall, 'day' | 'lease'>

/** How long a merchant was judged on holds, and the refusal if there is one. */
interface Judgement {
  readonly lease: Lease
  readonly refusal?: Refusal
}

export class Redemption {
  readonly #options: RedemptionOptions

  constructor(options: RedemptionOptions) {
    this.#options = options
  }

  async lock(
    actor: Actor,
    code: string,
    { order_id: order, ttl_s }: { order_id: string; ttl_s: number },
  ): Promise<Lock> {
    const { code: issued, campaignId, facts } = await this.#options.vouchers.of(code)
    const id = newId(this.#options.random, 'lck')
    const lock = { ...ownerOf(actor, order), ttlMs: ttl_s * 1000, id }
    const turned = await this.#options.store.vouchers.lock(campaignId, facts, lock)
    if (turned.code !== 'granted' || turned.answer === undefined) throw refused(turned, this.#options.serverTimeMs())
    const merchant = actor.merchant === undefined ? {} : { merchant_id: actor.merchant }
    return { code: issued, id: turned.answer, order_id: order, ...merchant, ends_at: rfc3339(turned.at as number) }
  }

  async unlock(actor: Actor, code: string, order: string): Promise<void> {
    const { campaignId, facts } = await this.#options.vouchers.of(code)
    const turned = await this.#options.store.vouchers.unlock(campaignId, facts, ownerOf(actor, order))
    if (turned.code !== 'granted' && turned.code !== 'replayed') throw refused(turned, this.#options.serverTimeMs())
  }

  /** Redeems once for each (caller, key). Throws Refusal with the rule that says no. */
  async redeem(actor: Actor, key: string, request: RedemptionRequest): Promise<KeyedAnswer> {
    if (actor.merchant !== undefined && actor.merchant !== request.merchant_id)
      throw new Refusal('forbidden', `this key acts for the merchant ${actor.merchant}`)
    const voucher = await this.#options.vouchers.of(request.code)
    const campaign = await this.#options.campaigns.get(voucher.campaignId)
    const keyed = { caller: actor.id, key, fingerprint: fingerprintOf(request) }
    if (!(await this.#options.store.vouchers.ownsKey(keyed))) throw refused({ code: 'idempotency_mismatch' })
    if (request.user_id !== undefined && !(await this.#options.vouchers.isOwner(voucher, request.user_id)))
      throw new Refusal('not_eligible', 'this voucher is another user’s')
    const rule = refusedBy(request, voucher, campaign)
    if (rule) throw rule
    const asked = { ...keyed, bound: actor.merchant !== undefined, via: actor.via }
    return this.#decide(campaign, voucher, this.#callOf(campaign, voucher, request, asked))
  }

  /** Whether a merchant may accept a voucher, by what operators have set; `tooOld` is what a script would not decide on. */
  #judge(voucher: Voucher, merchant: string, tooOld: Lease | undefined): Judgement | Promise<Judgement> {
    const waits = this.#options.controls.fresh(tooOld)
    const judged = () => this.#judgeNow(voucher, merchant, tooOld)
    return waits ? waits.then(judged) : judged()
  }

  #judgeNow(voucher: Voucher, merchant: string, tooOld: Lease | undefined): Judgement | Promise<Judgement> {
    const { lease } = this.#options.controls
    const held = this.#options.controls.heldMerchant(merchant)
    if (held) return { lease, refusal: notEligible(`the merchant ${merchant} is held since ${held.at}`) }
    const { merchant_tags: tags = [] } = voucher.template
    return tags.length === 0 ? { lease } : this.#judgeByTags(merchant, tags, tooOld)
  }

  async #judgeByTags(merchant: string, tags: readonly string[], tooOld: Lease | undefined): Promise<Judgement> {
    const { lease } = this.#options.controls
    if (tooOld) this.#options.merchants.forget(merchant)
    const { accepts, lease: known } = await this.#options.merchants.acceptance(merchant, tags)
    if (accepts) return { lease: within([lease, known]) }
    return { lease, refusal: notEligible(`this voucher is for merchants with the tag ${tags.join(' or ')}`) }
  }

  /** Reverses a redemption in full or in part, once for each (caller, key). */
  async reverse(actor: Actor, key: string, redemption: string, request: ReversalRequest): Promise<KeyedAnswer> {
    const campaign = await this.#campaignOf(redemption)
    const fingerprint = hashOf(['reverse', redemption, request.type, request.amount ?? 0, request.reason])
    const keyed = { caller: actor.id, key, fingerprint }
    if (!(await this.#options.store.vouchers.ownsKey(keyed))) throw refused({ code: 'idempotency_mismatch' })
    const id = newId(this.#options.random, 'rev')
    const { type, reason } = request
    const via = actor.via === undefined ? {} : { via: actor.via }
    const answer = JSON.stringify({ id, redemption_id: redemption, state: 'succeeded', type, reason, ...via })
    const turned = await this.#options.store.vouchers.reverse(campaign.id, {
      ...keyed,
      redemption,
      id,
      amount: request.amount ?? 0,
      unused: campaign.on_expiry,
      merchant: actor.merchant ?? '',
      note: reason,
      answer: `${answer.slice(0, -1)},"amount":`,
    })
    return answered(turned, { id, timeField: 'reversed_at', now: this.#options.serverTimeMs() })
  }

  /** Takes a voucher out of use; one that was redeemed is `already_redeemed`. */
  async deactivate(actor: Actor, code: string, note: string): Promise<void> {
    const { campaignId, facts } = await this.#options.vouchers.of(code)
    const { on_expiry: unused } = await this.#options.campaigns.get(campaignId)
    const call = { voucher: facts, unused, by: signed(actor), note }
    const turned = await this.#options.store.vouchers.deactivate(campaignId, call)
    if (turned.code !== 'granted' && turned.code !== 'replayed') throw refused(turned, this.#options.serverTimeMs())
  }

  /** Its state before and after that; throws the refusal that it would get. */
  async dryDeactivate(code: string): Promise<{ readonly before: VoucherState; readonly after: VoucherState }> {
    const { campaignId, facts } = await this.#options.vouchers.of(code)
    const { code: outcome, state } = await this.#options.store.vouchers.dryDeactivate(campaignId, facts)
    if (outcome !== 'granted' && outcome !== 'replayed') throw refused({ code: outcome }, this.#options.serverTimeMs())
    return { before: outcome === 'replayed' ? 'deactivated' : (state as VoucherState), after: 'deactivated' }
  }

  async #campaignOf(redemption: string): Promise<Campaign> {
    const id = campaignIn(redemption)
    const unknown = new Refusal('not_found', 'there is no such redemption')
    if (!id) throw unknown
    return this.#options.campaigns.get(id).catch((cause: unknown) => {
      throw cause instanceof Refusal ? unknown : cause
    })
  }

  #isKnown(campaignId: string, keyed: KeyedRequest): Promise<boolean> {
    return this.#options.store.vouchers.isKnown(campaignId, keyed)
  }

  #callOf(campaign: Campaign, voucher: Voucher, request: RedemptionRequest, { via, ...asked }: AskedRedemption) {
    const { order, merchant_id, store_id } = request
    const { template, facts, userId: user, pool } = voucher
    const discount = discountOf(template.discount, order.amount)
    const id = `rdm_${campaign.id.slice(4)}_${newId(this.#options.random, 'rdm').slice(4)}`
    const answer = JSON.stringify({
      id,
      state: 'succeeded',
      code: voucher.code,
      order_id: order.id,
      merchant_id,
      ...(store_id === undefined ? {} : { store_id }),
      ...(via === undefined ? {} : { via }),
      discount_amount: discount,
      payer_amount: order.amount - discount,
      merchant_receivable: order.amount,
      currency: order.currency,
    })
    const most = {
      perOrder: template.max_per_order ?? 0,
      perMerchantAndDay: template.max_per_merchant_per_day ?? 0,
      amountPerDay: campaign.budget?.max_amount_per_day ?? 0,
    }
    const money = { discount, gross: order.amount }
    return { ...asked, voucher: facts, most, id, ...money, merchant: merchant_id, user, order: order.id, pool, answer }
  }

  /** Judges and asks; again where the day had turned, or where what was judged on was too old when the script was there. */
  async #decide(campaign: Campaign, voucher: Voucher, unjudged: Unjudged): Promise<KeyedAnswer> {
    let [again, tooOld]: [boolean, Lease | undefined] = [false, undefined]
    for (let tries = 1; ; tries++) {
      const judgement = this.#judge(voucher, unjudged.merchant, tooOld)
      const { lease, refusal } = judgement instanceof Promise ? await judgement : judgement
      if (refusal && !(await this.#isKnown(campaign.id, unjudged))) throw again ? inDoubt() : refusal
      const controls = this.#options.controls.lease
      const day = await this.#options.campaigns.today(campaign.id)
      const turned = await this.#options.store.vouchers.redeem(campaign.id, { ...unjudged, day, lease, again })
      if (turned.code === 'unavailable') {
        again = turned.again ?? false
        tooOld = controls
        if (tries === TRIES) throw again ? inDoubt() : refused(turned)
      } else if (turned.code === 'wrong_day' && tries < TRIES)
        this.#options.campaigns.learn(campaign.id, turned.at as number)
      else return answered(turned, { id: unjudged.id, timeField: 'redeemed_at', now: this.#options.serverTimeMs() })
    }
  }
}

const ownerOf = (actor: Actor, order: string): LockOwner => ({
  by: signed(actor),
  merchant: actor.merchant ?? '',
  order,
})

const notEligible = (why: string): Refusal => new Refusal('merchant_not_eligible', why)

const inDoubt = (): Fault => new Fault('unknown', 'an earlier try of this redemption may have been executed; ask again')

const REFUSED: Partial<Record<Code, string>> = {
  idempotency_mismatch: 'this Idempotency-Key came before with another body; use a new key for a new request',
  not_found: 'there is no such redemption',
  unavailable: 'what operators have set was too old when Redis was reached, again and again; nothing was executed',
}

/** `now` is Redis's clock, as far as it is known here: somebody else's lock ends by it. */
function refused({ code, at }: Turned, now = 0): Refusal {
  if (code !== 'voucher_locked' || at === undefined) return new Refusal(code, REFUSED[code] ?? CODES[code].title)
  const retry_after_ms = Math.max(1, Math.ceil(at - now))
  const until = { locked_until: rfc3339(at), retry_after_ms }
  return new Refusal(code, `another order or merchant holds the lock until ${rfc3339(at)}`, until)
}

interface Asked {
  readonly id: string
  readonly timeField: string
  /** Redis's clock, as far as it is known here. */
  readonly now: number
}

/** What a request with the answer `id` came to. A link that resends finds its own answer: that is no repetition. */
function answered(turned: Turned, { id, timeField, now }: Asked): KeyedAnswer {
  const { code, at, answer } = turned
  if (at === undefined || answer === undefined) throw refused(turned, now)
  const own = answer.startsWith(`{"id":"${id}"`)
  return { replayed: code === 'replayed' && !own, json: timedJson(at, answer, timeField) }
}

/** In one call: half of what an object for it costs. */
const hashOf = (parts: readonly unknown[]): string => hash('sha256', JSON.stringify(parts)).slice(0, 32)

const fingerprintOf = ({ code, order, merchant_id, store_id, user_id }: RedemptionRequest): string =>
  hashOf([code, order.id, order.amount, order.currency, merchant_id, store_id ?? null, user_id ?? null])

/** The kept JSON with its time, in one fixed form. */
const timedJson = (at: number, answer: string, timeField = 'redeemed_at'): string =>
  `${answer.slice(0, -1)},"${timeField}":"${rfc3339(at)}"}`

function refusedBy({ order }: RedemptionRequest, { template }: Voucher, { currency }: Campaign) {
  if (order.currency !== currency)
    return new Refusal('wrong_currency', `order.currency is ${order.currency}, the campaign's is ${currency}`)
  const { minimum_amount: minimum } = template.discount
  if (order.amount < minimum)
    return new Refusal('below_minimum', `order.amount is ${order.amount}, the minimum is ${minimum}`)
  return undefined
}
