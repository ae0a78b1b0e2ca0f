/**
 * The answer to a claim that holds: as an object for MessagePack and the stream, and as JSON text built by hand for
 * HTTP, where it is the most frequent answer by far (JSON.stringify of five vouchers costs 2 µs, this 0.5 µs). A test
 * holds the two together. The vouchers' texts that do not depend on the grant are made once a round.
 */
import { rfc3339 } from '../base/clock.ts'

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
export function claimAnswer(
  round: RoundWords,
  grant: GrantWords,
  replayed: boolean,
  states?: readonly string[],
): ClaimWords {
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

/** A grant whose codes lie as ASCII, one behind the other, in bytes that a batch shares. */
export interface GrantBytes extends Omit<GrantWords, 'codes'> {
  readonly codeBytes: Buffer
  readonly codeAt: number
}

const CODE_BYTES = 20
const HEAD_BYTES_MAX = 512
let scratch = Buffer.allocUnsafe(16 * 1024)

/** Writes the JSON of `claimAnswer` of one round as bytes: a head of its own, then the vouchers with codes put in. */
export class ClaimJson {
  readonly #round: RoundWords
  #at = Number.NaN
  #grantedAt = ''
  #vouchers = Buffer.alloc(0)
  /** Where the codes go in `#vouchers`. */
  readonly #places: number[] = []

  constructor(round: RoundWords) {
    this.#round = round
  }

  /** The bytes are a view of a buffer that the next call reuses: send them at once. */
  bytes(grant: GrantBytes, replayed: boolean): Uint8Array {
    if (grant.at !== this.#at) this.#turn(grant.at)
    const { id, pools } = this.#round
    const size = HEAD_BYTES_MAX + this.#vouchers.length
    if (scratch.length < size) scratch = Buffer.allocUnsafe(2 * size)
    const into = scratch
    const head = `{"outcome":"granted",${replayed ? '"replayed":true,' : ''}"claim":{"id":"${claimId(id, grant.sequence)}","round_id":"${id}","user_id":"${grant.userId}","pool":"${pools[grant.pool]}","slot":${grant.slot},"sequence":${grant.sequence},"granted_at":"${this.#grantedAt}"},"vouchers":[`
    const from = into.write(head, 0, 'latin1')
    into.set(this.#vouchers, from)
    const { codeBytes } = grant
    let code = grant.codeAt
    for (const place of this.#places) {
      const to = from + place
      for (let i = 0; i < CODE_BYTES; i++) into[to + i] = codeBytes[code + i] as number
      code += CODE_BYTES
    }
    return into.subarray(0, from + this.#vouchers.length)
  }

  /** A batch shares one moment, so the vouchers but for their codes are made once for all its grants. */
  #turn(at: number): void {
    this.#at = at
    this.#grantedAt = rfc3339(at)
    this.#places.length = 0
    let text = ''
    for (const { template, valid_for_s } of this.#round.vouchers) {
      const expires = new Date(at + valid_for_s * 1000).toISOString()
      text += `${text === '' ? '' : ','}{"code":"`
      this.#places.push(Buffer.byteLength(text))
      text += `${'-'.repeat(CODE_BYTES)}","template":${JSON.stringify(template)},"state":"active","expires_at":"${expires}"}`
    }
    this.#vouchers = Buffer.from(`${text}]}`)
  }
}
