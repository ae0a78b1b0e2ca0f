/**
 * Vouchers in Redis: only those that were touched have a record. Redemption is decided by scripts/redeem.lua; the
 * fingerprint of an Idempotency-Key is kept apart, because one key may be tried against vouchers of different rounds,
 * which live in different cluster slots. It is written first, so a key can never stand for two bodies.
 */
import { randomBytes } from 'node:crypto'
import type { Code } from '../base/codes.ts'
import { claimCode } from './claim-store.ts'
import * as keys from './keys.ts'
import type { Link, Reply } from './link.ts'
import type { Script, ScriptName } from './scripts.ts'

export interface RedeemCall {
  readonly serial: number
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  readonly caller: string
  readonly key: string
  readonly fingerprint: string
  readonly id: string
  /** The redemption as JSON, without its time. */
  readonly answer: string
}

export interface Redeemed {
  readonly code: Code
  /** Milliseconds since 1970 and the JSON of the redemption that stands; absent when none was made. */
  readonly at?: number
  readonly answer?: string
}

const FINGERPRINT_TTL_S = 7 * 86_400
const text = (reply: Reply | undefined): string => (reply as Buffer).toString('utf8')

export class VoucherStore {
  readonly #link: Link
  readonly #scripts: Readonly<Record<ScriptName, Script>>

  constructor(link: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#link = link
    this.#scripts = scripts
  }

  /**
   * The secret all nodes derive voucher codes from: made once, kept with the state that depends on it. A node that
   * starts before its Redis waits here for as long as it takes.
   */
  async secret(): Promise<Buffer> {
    const fresh = randomBytes(32).toString('hex')
    const kept = await this.#link.request(async client => {
      await client.setnx(keys.voucherSecret(), fresh)
      return client.get(keys.voucherSecret())
    }, Number.POSITIVE_INFINITY)
    return Buffer.from(kept as string, 'hex')
  }

  /** The record of a voucher that was touched: `redeemed <redemption id>`. */
  record(roundId: string, serial: number): Promise<string | null> {
    return this.#link.request(client => client.hget(keys.roundVouchers(roundId), String(serial)))
  }

  /** The records of several vouchers, in their order. */
  records(roundId: string, serials: readonly number[]): Promise<(string | null)[]> {
    return this.#link.request(client => client.hmget(keys.roundVouchers(roundId), ...serials.map(String)))
  }

  /** A redemption's time and JSON. */
  async redemption(roundId: string, id: string): Promise<{ at: number; answer: string } | undefined> {
    const row = await this.#link.request(client => client.hget(keys.roundRedemptions(roundId), id))
    const [, at, answer] = row?.match(/^\S+ (\d+) (.*)$/s) ?? []
    return at && answer ? { at: Number(at), answer } : undefined
  }

  /** Keeps the fingerprint of the body that a key came with; false when the key stands for another body. */
  async ownsKey(caller: string, key: string, fingerprint: string): Promise<boolean> {
    const kept = await this.#link.request(client =>
      client.set(keys.idempotency(caller, key), fingerprint, 'EX', FINGERPRINT_TTL_S, 'NX', 'GET'),
    )
    return kept === null || kept === fingerprint
  }

  async redeem(roundId: string, call: RedeemCall): Promise<Redeemed> {
    const reply = await this.#link.script(
      this.#scripts.redeem,
      [keys.roundVouchers(roundId), keys.roundRedemptions(roundId)],
      [call.serial, call.expiresAt, `${call.caller} ${call.key}`, call.fingerprint, call.id, call.answer],
    )
    const code = claimCode(reply[0] as number)
    return reply[2] ? { code, at: Number(text(reply[1])), answer: text(reply[2]) } : { code }
  }
}
