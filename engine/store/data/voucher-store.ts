/**
 * Vouchers in Redis: one typed method a script. All of a campaign's vouchers lie in the campaign's slot, so limits,
 * budget, money and Idempotency-Keys hold over all its rounds in one atom. Only a voucher that was touched has a
 * record; owner, template and expiry follow from the round's log and come as arguments, which never change.
 *
 * The fingerprint of an Idempotency-Key is also kept in the caller's slot, because one key may be tried against vouchers
 * of different campaigns. It is written first, so a key can never stand for two bodies.
 */
import { Fault } from '../../base/assert.ts'
import { Batcher } from '../../base/batcher.ts'
import type { Clock } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import { type Lease, within } from '../connection/dated-read.ts'
import { assertCertain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { ScriptName, Scripts } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'

/** What never changes of a voucher, and where its record is. */
export interface VoucherFacts {
  readonly roundNumber: number
  readonly serial: number
  /** The template's place in the pack. */
  readonly template: number
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** The most it can cost its sponsor, minor units. */
  readonly worth: number
}

/** Who asks, and by which Idempotency-Key; the fingerprint is the body's. */
export interface KeyedRequest {
  readonly caller: string
  readonly key: string
  readonly fingerprint: string
}

export interface RedeemCall extends KeyedRequest {
  readonly voucher: VoucherFacts
  readonly day: { readonly date: string; readonly startsAt: number; readonly endsAt: number }
  /** How long what operators had set may be decided upon, as the caller read it; beyond it the answer is `unavailable`. */
  readonly lease: Lease
  /** An earlier try of the same may still be executed. */
  readonly again?: boolean
  /** 0 is no limit. */
  readonly most: { readonly perOrder: number; readonly perMerchantAndDay: number; readonly amountPerDay: number }
  readonly id: string
  readonly discount: number
  readonly merchant: string
  /** The caller's key is bound to the merchant. */
  readonly bound: boolean
  readonly user: string
  readonly order: string
  readonly gross: number
  readonly pool: string
  /** The redemption as JSON, without its time. */
  readonly answer: string
}

/** Whose lock: the order's, or, of a caller that is bound to a merchant, that merchant's order's. */
export interface LockOwner {
  readonly by: string
  /** Empty for a caller that is bound to none. */
  readonly merchant: string
  readonly order: string
}

export type Unused = 'available' | 'returned'

export interface ReverseCall extends KeyedRequest {
  readonly redemption: string
  readonly id: string
  /** 0 is all that is left. */
  readonly amount: number
  readonly unused: Unused
  /** Who alone may, or empty. */
  readonly merchant: string
  readonly note: string
  /** The reversal's JSON up to its amount. */
  readonly answer: string
}

export interface DeactivateCall {
  readonly voucher?: VoucherFacts
  readonly redemption?: string
  readonly unused: Unused
  readonly by: string
  readonly note: string
}

/** What stands now: the time and JSON of a redemption or reversal, or the end of the lock that is in the way. */
export interface Turned {
  readonly code: Code
  /** Milliseconds since 1970. */
  readonly at?: number
  readonly answer?: string
  /** It was asked on more than one connection. */
  readonly again?: boolean
}

export interface VoucherRead {
  readonly state: string
  /** `<ends> <lock id> <order>`, the id with `@<merchant>` where it has one; or empty. */
  readonly lock: string
  /** `<at> <JSON>`, or empty. */
  readonly answer: string
}

const WEEK_MS = 7 * 86_400_000
/** After this a week of keys is forgotten, seconds. */
export const KEYS_TTL_S = (2 * WEEK_MS) / 1000
/** The week of a moment, which keys of requests are kept by. */
export const weekOf = (ms: number): number => Math.floor(ms / WEEK_MS)
/** Redemptions a script call: 64 keep it under 2 ms. */
const BATCH = 64
const BATCHES_IN_FLIGHT = 4
const MINUTE_MS = 60_000
const text = (reply: Reply | undefined): string => (reply as Buffer).toString('utf8')

export const bucketOf = (roundNumber: number, template: number, expiresAt: number): string =>
  `${roundNumber}:${template}:${Math.floor(expiresAt / MINUTE_MS)}`

/** The first millisecond at which all of a bucket have expired. */
export const bucketEnds = (expiresAt: number): number => (Math.floor(expiresAt / MINUTE_MS) + 1) * MINUTE_MS

const words = ({ roundNumber, serial, template, expiresAt, worth }: VoucherFacts): string =>
  `${roundNumber}:${serial} ${bucketOf(roundNumber, template, expiresAt)} ${expiresAt} ${worth}`

export const bookKeys = (id: string) => [keys.campaignState(id), keys.campaignBalances(id), keys.campaignLedger(id)]
const voucherKeys = (id: string) => [
  ...bookKeys(id),
  keys.campaignVouchers(id),
  keys.campaignTouched(id),
  keys.campaignDue(id),
]
const requestKeys = (id: string) => [
  ...voucherKeys(id),
  keys.campaignRedemptions(id),
  keys.campaignRequests(id),
  keys.campaignAnswers(id),
  keys.campaignUsage(id),
]

const deactivateKeys = (id: string) => [...voucherKeys(id), keys.campaignRedemptions(id), keys.campaignBudget(id)]

/** The code of a script that books; a campaign whose keys are not all there stops everything. */
export function bookedCode(campaignId: string, reply: readonly Reply[]): Code {
  const code = claimCode(reply[0] as number)
  if (code === 'fenced')
    throw new Fault('fenced', `campaign ${campaignId}: its keys in Redis are not all there; restore a backup`)
  return code
}

/** When a queue of calls may leave, and the calendar that says which week it is, milliseconds since 1970. */
interface VoucherStoreOptions {
  readonly soon: Clock['soon']
  readonly calendarMs: () => number
}

export class VoucherStore {
  readonly #changes: Link
  readonly #reads: Link
  readonly #scripts: Scripts
  readonly #calendarMs: () => number
  readonly #keys: Batcher<KeyedRequest, boolean>
  readonly #redemptions: Batcher<RedeemCall, Turned>

  constructor(changes: Link, reads: Link, scripts: Scripts, { soon, calendarMs }: VoucherStoreOptions) {
    this.#calendarMs = calendarMs
    this.#changes = changes
    this.#reads = reads
    this.#scripts = scripts
    const bounds = { most: BATCH, inFlight: BATCHES_IN_FLIGHT, soon }
    this.#keys = new Batcher({ ...bounds, send: (caller, requests) => this.#ownKeys(caller, requests) })
    this.#redemptions = new Batcher({ ...bounds, send: (campaignId, calls) => this.#redeem(campaignId, calls) })
  }

  /** Vouchers of one campaign as they stand, and the campaign's clock (ms). */
  async read(campaignId: string, vouchers: readonly VoucherFacts[]): Promise<{ now: number; vouchers: VoucherRead[] }> {
    const reply = await this.#reads.script(
      this.#scripts['voucher-read'],
      [...bookKeys(campaignId), keys.campaignVouchers(campaignId), keys.campaignAnswers(campaignId)],
      [vouchers.map(words).join(',')],
    )
    bookedCode(campaignId, reply)
    const [states, locks, answers] = reply.slice(2) as Reply[][]
    const read = vouchers.map((_, i) => ({
      state: text(states?.[i]),
      lock: text(locks?.[i]),
      answer: text(answers?.[i]),
    }))
    return { now: Number(text(reply[1])), vouchers: read }
  }

  /** Keeps the fingerprint of the body that a key came with; false when the key stands for another body. */
  ownsKey(request: KeyedRequest): Promise<boolean> {
    return this.#keys.ask(request.caller, request)
  }

  /** Whether a request has an answer already. */
  async isKnown(campaignId: string, { caller, key }: KeyedRequest): Promise<boolean> {
    const field = `${caller} ${key}`
    return (await this.#changes.request(client => client.hexists(keys.campaignRequests(campaignId), field))) === 1
  }

  /** `at` is the end of the lock that stands, `answer` its id. */
  lock(campaignId: string, voucher: VoucherFacts, lock: LockOwner & { ttlMs: number; id: string }): Promise<Turned> {
    const args = [words(voucher), lock.by, lock.merchant, lock.order, lock.ttlMs, lock.id]
    return this.#turn('voucher-lock', campaignId, voucherKeys(campaignId), args)
  }

  unlock(campaignId: string, voucher: VoucherFacts, { by, merchant, order }: LockOwner): Promise<Turned> {
    return this.#turn('voucher-unlock', campaignId, voucherKeys(campaignId), [words(voucher), by, merchant, order])
  }

  /** `unavailable` is no refusal yet: what was judged on was too old, and whoever judged has to do it anew. */
  async redeem(campaignId: string, call: RedeemCall): Promise<Turned> {
    const { again: twice = false, ...turned } = await this.#redemptions.ask(campaignId, call)
    const again = twice || (call.again ?? false)
    if (turned.code === 'unavailable') return { ...turned, again }
    assertCertain({ again }, turned.code, `redemption ${call.id}`)
    return turned
  }

  reverse(campaignId: string, call: ReverseCall): Promise<Turned> {
    const { redemption, caller, key, fingerprint, id, amount, unused, merchant, note, answer } = call
    const names = [...requestKeys(campaignId), keys.campaignBudget(campaignId)]
    const args = [redemption, `${caller} ${key}`, fingerprint, id, amount, unused, merchant, note, answer]
    return this.#turn('reverse', campaignId, names, args)
  }

  /** succeeded, partial, reversed or deactivated; undefined for an unknown id. The record's words: scripts/lib/redemption.lua. */
  async redemptionState(campaignId: string, id: string): Promise<string | undefined> {
    const record = await this.#reads.request(client => client.hget(keys.campaignRedemptions(campaignId), id))
    return record?.split(' ')[6]
  }

  deactivate(campaignId: string, { voucher, redemption, unused, by, note }: DeactivateCall): Promise<Turned> {
    const args = [voucher ? words(voucher) : '', redemption ?? '', unused, by, note, '']
    return this.#turn('deactivate', campaignId, deactivateKeys(campaignId), args)
  }

  /** What taking a voucher out of use would be answered, and the state that it is in where it would be done. */
  async dryDeactivate(campaignId: string, voucher: VoucherFacts): Promise<{ code: Code; state: string }> {
    const args = [words(voucher), '', '', '', '', '1']
    const reply = await this.#reads.script(this.#scripts['deactivate-dry'], deactivateKeys(campaignId), args)
    const code = bookedCode(campaignId, reply)
    return { code, state: reply[1] ? text(reply[1]) : '' }
  }

  async #ownKeys(caller: string, requests: readonly KeyedRequest[]): Promise<boolean[]> {
    const week = weekOf(this.#calendarMs())
    const names = [keys.callerKeys(caller, week), keys.callerKeys(caller, week - 1)]
    const pairs = requests.flatMap(({ key, fingerprint }) => [key, fingerprint])
    const [, owns] = await this.#changes.script(this.#scripts['key-own'], names, [KEYS_TTL_S, ...pairs])
    return Array.from(text(owns), owned => owned === '1')
  }

  /**
   * The newest of the days that the calls believe in is asked about, and the shortest of their leases: when they are wrong, all
   * of them receive it.
   */
  async #redeem(campaignId: string, calls: readonly RedeemCall[]): Promise<Turned[]> {
    const { day } = calls.at(-1) as RedeemCall
    const { from, until } = within(calls.map(({ lease }) => lease))
    const args = [`${day.date} ${day.startsAt} ${day.endsAt} ${from} ${until}`, ...calls.flatMap(redeemWords)]
    const { reply, again } = await this.#changes.send(this.#scripts.redeem, requestKeys(campaignId), args)
    const code = bookedCode(campaignId, reply)
    if (code === 'wrong_day') return calls.map(() => ({ code, at: Number(text(reply[1])), again }))
    return (reply[1] as Reply[][]).map(each => ({ ...turnedOf(campaignId, each), again }))
  }

  async #turn(script: ScriptName, campaignId: string, names: string[], args: (string | number)[]): Promise<Turned> {
    const { reply, again } = await this.#changes.send(this.#scripts[script], names, args)
    const turned = turnedOf(campaignId, reply)
    assertCertain({ again }, turned.code, script)
    return turned
  }
}

function turnedOf(campaignId: string, reply: readonly Reply[]): Turned {
  const code = bookedCode(campaignId, reply)
  if (reply.length === 1) return { code }
  const at = Number(text(reply[1]))
  return reply[2] ? { code, at, answer: text(reply[2]) } : { code, at }
}

const redeemWords = (call: RedeemCall): (string | number)[] => [
  words(call.voucher),
  `${call.caller} ${call.key}`,
  call.fingerprint,
  `${call.most.perOrder} ${call.most.perMerchantAndDay} ${call.most.amountPerDay}`,
  call.id,
  call.discount,
  `${call.voucher.template} ${call.merchant} ${call.user}`,
  call.order,
  call.bound ? '1' : '',
  call.gross,
  call.pool,
  call.answer,
]
