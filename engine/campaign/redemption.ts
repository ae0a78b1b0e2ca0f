/**
 * Vouchers and their redemption. A code is proved in memory before Redis is asked anything: a forged one costs a MAC
 * and is `not_found`, the same as one that was never issued. The owner and the validity come from the round's log, the
 * state from the voucher's record, and the change is one script (scripts/redeem.lua).
 */
import { createHash } from 'node:crypto'
import { splitCode, VoucherCodes } from '../auth/voucher-codes.ts'
import { Refusal } from '../base/assert.ts'
import { type Clock, rfc3339 } from '../base/clock.ts'
import type { Code } from '../base/codes.ts'
import { partsOf } from '../base/holder.ts'
import { newId, type Random } from '../base/random.ts'
import type { Store } from '../store/store.ts'
import type { Claims } from './claims.ts'
import { discountOf, type Template } from './round-config.ts'
import type { Rounds } from './rounds.ts'

/** A voucher that was issued. */
export interface Voucher {
  readonly code: string
  readonly round: Claims
  readonly serial: number
  readonly template: Template
  readonly userId: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export type VoucherState = 'active' | 'redeemed' | 'expired'

export interface RedemptionRequest {
  readonly code: string
  readonly order: { readonly id: string; readonly amount: number; readonly currency: string }
  readonly merchant_id: string
  readonly store_id?: string | undefined
}

export interface RedemptionAnswer {
  readonly replayed: boolean
  /** The redemption as JSON: the same bytes whenever it is asked for. */
  readonly json: string
}

export interface RedemptionOptions {
  readonly store: Store
  readonly rounds: Rounds
  readonly clock: Clock
  readonly random: Random
}

export class Redemption {
  readonly #store: Store
  readonly #rounds: Rounds
  readonly #random: Random
  readonly #decoy: VoucherCodes

  constructor({ store, rounds, random }: RedemptionOptions) {
    this.#store = store
    this.#rounds = rounds
    this.#random = random
    this.#decoy = new VoucherCodes({ secret: random.bytes(32), roundId: 'decoy', roundNumber: 0, packVouchers: 1 })
  }

  /** The voucher of a code; throws `not_found` for one that was not issued, whatever the reason. */
  async voucher(code: string): Promise<Voucher> {
    const voucher = await this.#find(code)
    if (!voucher) throw new Refusal('not_found', 'there is no such voucher')
    return voucher
  }

  /** What a voucher's record and the calendar make of it. */
  async state(voucher: Voucher): Promise<{ state: VoucherState; redemption: unknown }> {
    const [state] = await this.states(voucher.round, [voucher.serial], [voucher.expiresAt])
    const record = await this.#store.vouchers.record(voucher.round.view.id, voucher.serial)
    const id = record?.split(' ')[1]
    const kept = id ? await this.#store.vouchers.redemption(voucher.round.view.id, id) : undefined
    return { state: state as VoucherState, redemption: kept ? JSON.parse(redemptionJson(kept.at, kept.answer)) : null }
  }

  /** The states of vouchers of one round, by serial and expiry. */
  async states(round: Claims, serials: readonly number[], expiries: readonly number[]): Promise<VoucherState[]> {
    const records = await this.#store.vouchers.records(round.view.id, serials)
    const now = this.#rounds.serverTimeMs()
    return records.map((record, i) => {
      if (record?.startsWith('redeemed ')) return 'redeemed'
      return now >= (expiries[i] as number) ? 'expired' : 'active'
    })
  }

  /** Redeems once for each (caller, key). Throws Refusal with the rule that says no. */
  async redeem(caller: string, key: string, request: RedemptionRequest): Promise<RedemptionAnswer> {
    const voucher = await this.voucher(request.code)
    const { round, serial, template, expiresAt } = voucher
    const fingerprint = fingerprintOf(request)
    if (!(await this.#store.vouchers.ownsKey(caller, key, fingerprint))) throw refused('idempotency_mismatch')
    const rule = refusedBy(request, template, round.view.config.currency)
    if (rule) throw new Refusal(rule.code, rule.detail)
    const discount = discountOf(template.discount, request.order.amount)
    const id = newId(this.#random, 'rdm')
    const answer = JSON.stringify({
      id,
      state: 'succeeded',
      code: voucher.code,
      order_id: request.order.id,
      merchant_id: request.merchant_id,
      ...(request.store_id === undefined ? {} : { store_id: request.store_id }),
      discount_amount: discount,
      payer_amount: request.order.amount - discount,
      merchant_receivable: request.order.amount,
      currency: request.order.currency,
    })
    const call = { serial, expiresAt, caller, key, fingerprint, id, answer }
    const redeemed = await this.#store.vouchers.redeem(round.view.id, call)
    if (redeemed.at === undefined || redeemed.answer === undefined) throw refused(redeemed.code)
    return { replayed: redeemed.code === 'replayed', json: redemptionJson(redeemed.at, redeemed.answer) }
  }

  async #find(code: string): Promise<Voucher | undefined> {
    const parts = splitCode(code)
    if (!parts) return undefined
    const round = await this.#rounds.ofNumber(parts.roundNumber)
    const opened = (round?.view.codes ?? this.#decoy).open(parts)
    if (!round || !opened) return undefined
    const batch = await this.#store.claims.batchOf(round.view.id, opened.sequence)
    const holder = batch?.holders[opened.sequence - batch.firstSequence]
    const template = round.view.vouchers[opened.place]
    if (!batch || !holder || !template) return undefined
    const [own] = round.view.codes.mint([opened.sequence], 1).slice(opened.place)
    const expiresAt = batch.at + template.valid_for_s * 1000
    return { code: own as string, round, serial: opened.serial, template, userId: partsOf(holder).userId, expiresAt }
  }
}

const REFUSED: Partial<Record<Code, string>> = {
  already_redeemed: 'this voucher was redeemed before',
  expired: 'this voucher is past its validity',
  idempotency_mismatch: 'this Idempotency-Key came before with another body; use a new key for a new redemption',
}

const refused = (code: Code) => new Refusal(code, REFUSED[code] ?? 'this redemption is refused')

const fingerprintOf = (request: RedemptionRequest): string =>
  createHash('sha256')
    .update(
      JSON.stringify([
        request.code,
        request.order.id,
        request.order.amount,
        request.order.currency,
        request.merchant_id,
        request.store_id ?? null,
      ]),
    )
    .digest('hex')
    .slice(0, 32)

/** The kept JSON with its time, in one fixed form. */
const redemptionJson = (at: number, answer: string): string => `${answer.slice(0, -1)},"redeemed_at":"${rfc3339(at)}"}`

function refusedBy(
  { order }: RedemptionRequest,
  { discount }: Template,
  currency: string,
): { code: Code; detail: string } | undefined {
  if (order.currency !== currency)
    return { code: 'wrong_currency', detail: `order.currency is ${order.currency}, the campaign's is ${currency}` }
  if (order.amount < discount.minimum_amount)
    return {
      code: 'below_minimum',
      detail: `order.amount is ${order.amount}, the minimum is ${discount.minimum_amount}`,
    }
  return undefined
}
