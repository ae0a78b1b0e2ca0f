/**
 * The answer to a claim that holds: as an object for MessagePack and the stream, and as JSON text built by hand for
 * HTTP, where it is the most frequent answer by far (JSON.stringify of five vouchers costs 2 µs, this 0.5 µs). A test
 * holds the two together. The vouchers' texts that do not depend on the grant are made once a round.
 */
import { rfc3339 } from '../base/clock.ts'
import type { Code } from '../base/codes.ts'

/** What an answer needs of its round. */
export interface RoundWords {
  readonly id: string
  readonly pools: readonly string[]
  /** One entry a voucher of the pack, by place. */
  readonly vouchers: readonly { readonly template: string; readonly valid_for_s: number }[]
}

/** A grant, as it is answered. */
export interface GrantWords {
  readonly userId: string
  readonly slot: number
  readonly pool: number
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly codes: readonly string[]
}

/** A claim's id is a name for (round, sequence): the same in every answer, without being stored. */
export const claimId = (roundId: string, sequence: number): string => `clm_${roundId.slice(4)}_${sequence}`

export interface VoucherWords {
  readonly code: string
  readonly template: string
  readonly state: string
  readonly expires_at: string
}

export interface ClaimWords {
  readonly outcome: 'granted'
  readonly replayed?: true
  readonly claim: {
    readonly id: string
    readonly round_id: string
    readonly user_id: string
    readonly pool: string
    readonly slot: number
    readonly sequence: number
    readonly granted_at: string
  }
  readonly vouchers: readonly VoucherWords[]
}

/** `states` by place where a voucher was touched; without it all are active, as at the moment of granting. */
export function claimAnswer(round: RoundWords, grant: GrantWords, replayed: boolean, states?: readonly string[]): ClaimWords {
  return {
    outcome: 'granted',
    ...(replayed ? { replayed } : {}),
    claim: {
      id: claimId(round.id, grant.sequence),
      round_id: round.id,
      user_id: grant.userId,
      pool: round.pools[grant.pool] as string,
      slot: grant.slot,
      sequence: grant.sequence,
      granted_at: rfc3339(grant.at),
    },
    vouchers: round.vouchers.map((voucher, place) => ({
      code: grant.codes[place] as string,
      template: voucher.template,
      state: states?.[place] ?? 'active',
      expires_at: new Date(grant.at + voucher.valid_for_s * 1000).toISOString(),
    })),
  }
}

/** Writes the JSON of `claimAnswer` of one round. */
export class ClaimJson {
  readonly #round: RoundWords
  readonly #heads: readonly string[]
  #at = Number.NaN
  #grantedAt = ''
  #tails: readonly string[] = []

  constructor(round: RoundWords) {
    this.#round = round
    this.#heads = round.vouchers.map((_, place) => (place === 0 ? '{"code":"' : ',{"code":"'))
  }

  text(grant: GrantWords, replayed: boolean): string {
    if (grant.at !== this.#at) this.#turn(grant.at)
    const { id, pools } = this.#round
    let vouchers = ''
    for (let place = 0; place < this.#heads.length; place++)
      vouchers += (this.#heads[place] as string) + (grant.codes[place] as string) + (this.#tails[place] as string)
    return `{"outcome":"granted",${replayed ? '"replayed":true,' : ''}"claim":{"id":"clm_${id.slice(4)}_${grant.sequence}","round_id":"${id}","user_id":"${grant.userId}","pool":"${pools[grant.pool]}","slot":${grant.slot},"sequence":${grant.sequence},"granted_at":"${this.#grantedAt}"},"vouchers":[${vouchers}]}`
  }

  /** A batch shares one moment, so its times are made into text once. */
  #turn(at: number): void {
    this.#at = at
    this.#grantedAt = rfc3339(at)
    this.#tails = this.#round.vouchers.map(({ template, valid_for_s }) => {
      const expires = new Date(at + valid_for_s * 1000).toISOString()
      return `","template":${JSON.stringify(template)},"state":"active","expires_at":"${expires}"}`
    })
  }
}

/** A claim's answer where many are asked together. */
export interface ShortAnswer {
  readonly outcome: Code
  readonly sequence?: number
}
