/**
 * The bench as an operator of the engine: campaigns, rounds, grants and states over the public API, nothing else.
 *
 * What goes wrong here is not a measurement, so every answer that is not 2xx ends the run with the status and the body.
 * A run makes a dozen calls, minutes and long computations apart, so a kept connection is often closing just then: each may
 * be asked again (client/three-attempts.ts), a change under a key of its own.
 */

import { randomUUID } from 'node:crypto'
import { causesText } from '../../engine/base/causes.ts'
import type { Code } from '../../engine/base/codes.ts'
import { askThrice, isBrokenOff, reasonOf } from '../../engine/client/three-attempts.ts'
import { type Answer, isDone, Transport } from '../../engine/client/transport.ts'

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
  readonly #transport: Transport

  constructor(url: string, key: string) {
    this.#transport = new Transport({ url, key })
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
    const answer = await this.#ask('POST', `/v1/rounds/${roundId}/close`)
    return answer.code !== 'wrong_state' && isDone(done('close', answer))
  }

  /** A window of the draw; without a number the newest whose list is final. */
  draw(roundId: string, window?: number): Promise<DrawState> {
    return this.#call('GET', `/v1/rounds/${roundId}/draw${window === undefined ? '' : `?window=${window}`}`)
  }

  /** A file of a window's proof, byte for byte. */
  async drawFile(roundId: string, window: number, name: string): Promise<Buffer> {
    const answer = await this.#ask('GET', `/v1/rounds/${roundId}/draw/files/${name}?window=${window}`)
    return Buffer.from(done(`${name} of window ${window}`, answer).bytes)
  }

  /** A person's receipt while his window is not drawn; undefined when he has none to show (any more). */
  async receipt(roundId: string, userId: string): Promise<Receipt | undefined> {
    const { body } = await this.#ask('GET', `/v1/rounds/${roundId}/claims/${userId}`)
    return (body as { receipt?: Receipt }).receipt
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
        if (left === 0 || !isBrokenOff(error)) throw error
      }
    }
  }

  async *#export(path: string): AsyncGenerator<Uint8Array> {
    const { ok, status, body } = await this.#transport.open({ path, headers: { accept: 'application/x-ndjson' } })
    if (!ok || !body) throw new Error(`GET ${path}: ${status}`)
    yield* body
  }

  #claim<T>(path: string, userIds: readonly string[]): Promise<T> {
    return this.#call('POST', path, { claims: userIds.map(user_id => ({ user_id })) })
  }

  async #call<T>(method: 'GET' | 'POST', path: string, sent?: unknown): Promise<T> {
    return done(`${method} ${path}`, await this.#ask(method, path, sent)).body as T
  }

  /** A claim needs no key. */
  #ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
    const key = method === 'GET' || path.includes('/claims') ? {} : { key: `bench-${randomUUID()}` }
    return askThrice(this.#transport, { method, path, body, ...key })
  }
}

/** An answer that says that it was done; throws with what it says instead. */
function done(what: string, answer: Answer): Answer {
  if (isDone(answer)) return answer
  const { status, bytes } = answer
  throw new Error(
    `${what}: ${status === 0 ? causesText(reasonOf(answer)) : `${status} ${new TextDecoder().decode(bytes)}`}`,
  )
}
