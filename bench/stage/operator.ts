/**
 * The bench as an operator of the engine: campaigns, rounds, grants and states over the public API, nothing else.
 *
 * What goes wrong here is not a measurement, so every answer that is not 2xx ends the run with the status and the body.
 * Each call has a connection of its own: a run makes a dozen of them, minutes and long computations apart, and one that was
 * kept would be closing just then.
 */

import { CODES, type Code } from '../../engine/base/codes.ts'
import { type Answered, type Asked, ask, askStreaming, isClosed } from '../../engine/client/fresh-request.ts'

/** What an entrant of a draw keeps. */
export interface Receipt {
  readonly tag: string
  readonly round_id: string
  readonly nonce: string
  readonly salt: string
}

export interface BatchResult {
  readonly outcome: string
  readonly vouchers?: readonly { readonly code: string }[]
}

export interface AskedAgain {
  readonly outcome: Code
  readonly sequence?: number
  readonly replayed?: boolean
}

/** One entry of a ledger; its words keep the order in which they were chained. */
export interface LedgerRow {
  readonly id: string
  readonly at: string
  readonly kind: string
  readonly ref?: string
  readonly voucher?: string
  readonly merchant?: string
  readonly count?: string
  readonly chain: string
  readonly legs: readonly { readonly account: string; readonly amount: number }[]
}

export interface RoundState {
  readonly id: string
  readonly campaign_id: string
  readonly state: string
  /** Of a strict round: claims that came behind the frontier. */
  readonly late?: number
  readonly stock: {
    readonly total: number
    readonly granted: number
    readonly remaining: number
    readonly epoch: string
    readonly version: number
  }
  readonly pools: readonly {
    readonly name: string
    readonly total: number
    readonly granted: number
    readonly remaining: number
  }[]
}

export interface NewRound {
  readonly name: string
  readonly stock: number
  /** null: the round opens when it is told to. */
  readonly opensAt: Date | null
  /** Milliseconds of a window; undefined for first come, first served. */
  readonly windowMs?: number | undefined
  /** First come, first served by the stamps of arrival. */
  readonly strict?: boolean | undefined
}

/** What GET /v1/rounds/{id}/draw says of a window. */
export interface DrawState {
  readonly window: number
  readonly state: string
  readonly files: readonly { readonly name: string; readonly bytes: number }[]
}

const DISCOUNT = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 } as const
const PACK_VOUCHERS = 5
const EXPORT_ATTEMPTS = 3

export class Operator {
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>

  constructor(url: string, key: string) {
    this.#url = url
    this.#headers = { authorization: `Bearer ${key}` }
  }

  /** A campaign of one pack of five 40-10 coupons, as in Hangzhou, and a round of it. */
  async createRound({ name, stock, opensAt, windowMs, strict = false }: NewRound): Promise<RoundState> {
    const campaign = await this.#call<{ id: string }>('POST', '/v1/campaigns', {
      name,
      sponsor: 'bench',
      currency: 'CNY',
      budget: { max_amount: stock * PACK_VOUCHERS * DISCOUNT.amount_off },
      pack: [{ template: '40-10', quantity: PACK_VOUCHERS, discount: DISCOUNT, valid_for_s: 604_800 }],
      limits: { per_user: 1 },
    })
    return this.#call('POST', `/v1/campaigns/${campaign.id}/rounds`, {
      stock,
      opens_at: opensAt?.toISOString() ?? null,
      allocation:
        windowMs === undefined
          ? { mode: 'fcfs', strict }
          : { mode: 'window', window_ms: windowMs, may_end_early: true },
    })
  }

  open(roundId: string): Promise<RoundState> {
    return this.#call('POST', `/v1/rounds/${roundId}/open`)
  }

  round(roundId: string): Promise<RoundState> {
    return this.#call('GET', `/v1/rounds/${roundId}`)
  }

  /** Closes a round; false when its state does not allow that now, as in the middle of a draw. */
  async closed(roundId: string): Promise<boolean> {
    const { ok, status, body } = await this.#ask(`/v1/rounds/${roundId}/close`, { method: 'POST' })
    if (!ok && status !== CODES.wrong_state.status) throw new Error(`close: ${status} ${String(body)}`)
    return ok
  }

  /** A window of the draw; without a number the newest whose list is final. */
  draw(roundId: string, window?: number): Promise<DrawState> {
    return this.#call('GET', `/v1/rounds/${roundId}/draw${window === undefined ? '' : `?window=${window}`}`)
  }

  /** A file of a window's proof, byte for byte. */
  async drawFile(roundId: string, window: number, name: string): Promise<Buffer> {
    const { ok, status, body } = await this.#ask(`/v1/rounds/${roundId}/draw/files/${name}?window=${window}`)
    if (!ok) throw new Error(`${name} of window ${window}: ${status} ${String(body)}`)
    return body
  }

  /** A person's receipt while his window is not drawn; undefined when he has none to show (any more). */
  async receipt(roundId: string, userId: string): Promise<Receipt | undefined> {
    const { body } = await this.#ask(`/v1/rounds/${roundId}/claims/${userId}`)
    return (JSON.parse(String(body)) as { receipt?: Receipt }).receipt
  }

  /** Claims of many users again, to hear how each ended. */
  async askAgain(roundId: string, userIds: readonly string[]): Promise<readonly AskedAgain[]> {
    const path = `/v1/rounds/${roundId}/claims/batch`
    return (await this.#claim<{ results: AskedAgain[] }>(path, userIds)).results
  }

  /** Claims for many users at once, with their vouchers; for preparing a scenario, not for measuring one. */
  async claimBatch(roundId: string, userIds: readonly string[]): Promise<readonly BatchResult[]> {
    const path = `/v1/rounds/${roundId}/claims/batch?vouchers=true`
    return (await this.#claim<{ results: BatchResult[] }>(path, userIds)).results
  }

  voucher(code: string): Promise<{ readonly state: string }> {
    return this.#call('GET', `/v1/vouchers/${code}`)
  }

  /** A campaign's balances, by account. */
  async balances(campaignId: string): Promise<Readonly<Record<string, number>>> {
    const path = `/v1/campaigns/${campaignId}/ledger`
    return (await this.#call<{ balances: Record<string, number> }>('GET', path)).balances
  }

  /** All entries of a campaign's ledger as the bytes of an NDJSON export, in their order. */
  ledgerEntries(campaignId: string): AsyncGenerator<Uint8Array> {
    return this.#export(`/v1/campaigns/${campaignId}/ledger/entries`)
  }

  /** All grants of a round as the bytes of an NDJSON export. */
  grants(roundId: string): AsyncGenerator<Uint8Array> {
    return this.#export(`/v1/rounds/${roundId}/claims`)
  }

  /** Reads an export to its end, and from the beginning again when its connection broke off in the middle. */
  async whole<T>(open: () => AsyncIterable<Uint8Array>, read: (chunks: AsyncIterable<Uint8Array>) => Promise<T>) {
    for (let left = EXPORT_ATTEMPTS - 1; ; left--) {
      try {
        return await read(open())
      } catch (error) {
        if (left === 0 || !isClosed(error)) throw error
      }
    }
  }

  async *#export(path: string): AsyncGenerator<Uint8Array> {
    const headers = { ...this.#headers, accept: 'application/x-ndjson' }
    const { ok, status, body } = await askStreaming({ url: this.#url + path, headers })
    if (!ok) throw new Error(`GET ${path}: ${status}`)
    yield* body
  }

  /** Claims are the same claims when they are asked again. */
  async #claim<T>(path: string, userIds: readonly string[]): Promise<T> {
    return this.#call('POST', path, { claims: userIds.map(user_id => ({ user_id })) }, true)
  }

  async #call<T>(method: string, path: string, sent?: unknown, repeatable = false): Promise<T> {
    const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(sent) }
    const asked = { method, ...(repeatable ? { repeatable } : {}), ...(sent === undefined ? {} : json) }
    const { ok, status, body } = await this.#ask(path, asked)
    if (!ok) throw new Error(`${method} ${path}: ${status} ${String(body)}`)
    return JSON.parse(String(body)) as T
  }

  #ask(path: string, { headers, ...asked }: Omit<Asked, 'url'> = {}): Promise<Answered> {
    return ask({ url: this.#url + path, headers: { ...this.#headers, ...headers }, ...asked })
  }
}
