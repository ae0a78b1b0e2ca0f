/**
 * The bench as an operator of the engine: campaigns, rounds, grants and states over the public API, nothing else.
 *
 * What goes wrong here is not a measurement, so every answer that is not 2xx ends the run with the status and the body.
 * fetch is good enough: a run makes a dozen of these calls.
 */

import { CODES, type Code } from '../engine/base/codes.ts'
import type { Receipt } from './audit/draw.ts'

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

export class Operator {
  readonly #url: string
  readonly #key: string

  constructor(url: string, key: string) {
    this.#url = url
    this.#key = key
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
    const headers = { authorization: `Bearer ${this.#key}` }
    const response = await fetch(`${this.#url}/v1/rounds/${roundId}/close`, { method: 'POST', headers })
    const text = await response.text()
    if (!response.ok && response.status !== CODES.wrong_state.status)
      throw new Error(`close: ${response.status} ${text}`)
    return response.ok
  }

  /** A window of the draw; without a number the newest whose list is final. */
  draw(roundId: string, window?: number): Promise<DrawState> {
    return this.#call('GET', `/v1/rounds/${roundId}/draw${window === undefined ? '' : `?window=${window}`}`)
  }

  /** A file of a window's proof, byte for byte. */
  async drawFile(roundId: string, window: number, name: string): Promise<Buffer> {
    const response = await fetch(`${this.#url}/v1/rounds/${roundId}/draw/files/${name}?window=${window}`)
    if (!response.ok) throw new Error(`${name} of window ${window}: ${response.status} ${await response.text()}`)
    return Buffer.from(await response.arrayBuffer())
  }

  /** A person's receipt while his window is not drawn; undefined when he has none to show (any more). */
  async receipt(roundId: string, userId: string): Promise<Receipt | undefined> {
    const headers = { authorization: `Bearer ${this.#key}` }
    const response = await fetch(`${this.#url}/v1/rounds/${roundId}/claims/${userId}`, { headers })
    return ((await response.json()) as { receipt?: Receipt }).receipt
  }

  /** Claims of many users again, to hear how each ended. */
  async askAgain(roundId: string, userIds: readonly string[]): Promise<readonly AskedAgain[]> {
    const claims = userIds.map(user_id => ({ user_id }))
    return (await this.#call<{ results: AskedAgain[] }>('POST', `/v1/rounds/${roundId}/claims/batch`, { claims }))
      .results
  }

  /** Claims for many users at once, with their vouchers; for preparing a scenario, not for measuring one. */
  async claimBatch(roundId: string, userIds: readonly string[]): Promise<readonly BatchResult[]> {
    const claims = userIds.map(user_id => ({ user_id }))
    const path = `/v1/rounds/${roundId}/claims/batch?vouchers=true`
    const { results } = await this.#call<{ results: BatchResult[] }>('POST', path, { claims })
    return results
  }

  voucher(code: string): Promise<{ readonly state: string }> {
    return this.#call('GET', `/v1/vouchers/${code}`)
  }

  /** A campaign's balances, by account. */
  async balances(campaignId: string): Promise<Readonly<Record<string, number>>> {
    const path = `/v1/campaigns/${campaignId}/ledger`
    return (await this.#call<{ balances: Record<string, number> }>('GET', path)).balances
  }

  /** All entries of a campaign's ledger, in their order. */
  async *ledgerEntries(campaignId: string): AsyncGenerator<LedgerRow> {
    const response = await fetch(`${this.#url}/v1/campaigns/${campaignId}/ledger/entries`, {
      headers: { authorization: `Bearer ${this.#key}`, accept: 'application/x-ndjson' },
    })
    if (!response.ok || response.body === null)
      throw new Error(`the ledger: ${response.status} ${await response.text()}`)
    let rest = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line) as LedgerRow
    }
  }

  /** All grants of a round as the bytes of an NDJSON export. */
  async *grants(roundId: string): AsyncGenerator<Uint8Array> {
    const response = await fetch(`${this.#url}/v1/rounds/${roundId}/claims`, {
      headers: { authorization: `Bearer ${this.#key}`, accept: 'application/x-ndjson' },
    })
    if (!response.ok || response.body === null)
      throw new Error(`the grants: ${response.status} ${await response.text()}`)
    yield* response.body as AsyncIterable<Uint8Array>
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.#key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text) as T
  }
}
