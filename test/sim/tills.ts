/**
 * The tills of a simulated campaign: they do what the plan says over the public API, and do not give up.
 *
 * A request that meets a dead or stopping engine is asked again with the same key once the node serves, as a till that
 * saved its request would; so every event ends with an answer that is certain, and what was told is kept for the audit.
 * Refusals that the rules make (limits, a voucher that was deactivated) are answers like any other and are counted.
 */
import type { Told } from '../../bench/audit/redemption-audit.ts'
import type { Api, Fields, Reply } from '../support/api.ts'
import type { Event } from './campaign-plan.ts'

const TILLS = 32
/** A kill costs a request a few tries, while sockets of the dead node are found out. */
const TRIES_MAX = 200
/** Answers that say: nothing certain happened, ask again. */
const AGAIN = [500, 503, 504]

export interface TillsOptions {
  readonly api: Api
  readonly codeOf: (person: number, place: number) => string
  /** Resolves when the node serves (again). */
  readonly serves: () => Promise<void>
  /** Told of each answer; may kill the node. */
  readonly answered: () => void
}

export class Tills {
  readonly #options: TillsOptions
  readonly redemptions: Told[] = []
  readonly reversals: Told[] = []
  readonly codes = new Map<string, number>()
  readonly #redemptionOf = new Map<string, string>()
  asked = 0

  constructor(options: TillsOptions) {
    this.#options = options
  }

  /** Plays the lists of one day, many at a time. */
  async play(lists: readonly (readonly Event[])[]): Promise<void> {
    let next = 0
    const till = async () => {
      for (let list = lists[next++]; list; list = lists[next++]) for (const event of list) await this.#act(event)
    }
    await Promise.all(Array.from({ length: TILLS }, till))
  }

  async #act(event: Event): Promise<void> {
    const { act, order, merchant } = event
    const asked = this.#requestOf(event)
    if (!asked) return
    const { status, body } = await this.#ask(asked)
    const outcome = `${act} ${status < 300 ? 'done' : body.code}`
    this.codes.set(outcome, (this.codes.get(outcome) ?? 0) + 1)
    this.#options.answered()
    if (status >= 300) return
    if (act === 'redeem') {
      this.#redemptionOf.set(order, body.id as string)
      this.redemptions.push({ id: body.id as string, amount: body.discount_amount as number, merchant })
    }
    if (act === 'reverse') this.reversals.push({ id: body.id as string, amount: body.amount as number, merchant })
  }

  #requestOf({ act, person, place, order, amount, merchant, part }: Event) {
    const code = this.#options.codeOf(person, place)
    const voucher = `/v1/vouchers/${code}`
    if (act === 'lock') return { path: `${voucher}/lock`, body: { order_id: order, ttl_s: 60 } }
    if (act === 'unlock') return { path: `${voucher}/unlock`, body: { order_id: order } }
    if (act === 'deactivate') return { path: `${voucher}/deactivate`, body: { reason: 'reported lost' } }
    if (act === 'redeem') {
      const body = { code, order: { id: order, amount, currency: 'CNY' }, merchant_id: merchant }
      return { path: '/v1/redemptions', body, key: order }
    }
    const redemption = this.#redemptionOf.get(order)
    if (redemption === undefined) return undefined
    const body =
      part === undefined ? { type: 'full', reason: 'refund' } : { type: 'partial', amount: part, reason: 'refund' }
    return { path: `/v1/redemptions/${redemption}/reversals`, body, key: `back-${order}` }
  }

  async #ask({ path, body, key }: { path: string; body: Fields; key?: string }): Promise<Reply> {
    const headers = key === undefined ? {} : { 'idempotency-key': key }
    let last: Reply | undefined
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      this.asked++
      const reply = await this.#options.api.post(path, body, headers).catch(() => undefined)
      if (reply && !AGAIN.includes(reply.status)) return reply
      last = reply
      await this.#options.serves()
    }
    throw new Error(`${path} had no certain answer in ${TRIES_MAX} tries: ${JSON.stringify(last?.body)}`)
  }
}
