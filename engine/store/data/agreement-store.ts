/**
 * What the nodes of one Redis agreed on: a setting's name to what the first start had, one small HASH. What is read needs
 * no replica and writes nothing, so a full or read-only server still lets a node start that agrees; what is written goes
 * where the secrets go, behind all replicas that the level counts.
 */
import type { Redis } from 'ioredis'
import type { Random } from '../../base/random.ts'
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'

export type Agreed = Readonly<Record<string, string>>

export interface Standing {
  readonly agreed: boolean
  /** The index of rounds by their ids. */
  readonly rounds: boolean
  /** The index by their numbers, which codes are found by. */
  readonly numbers: boolean
}

export class AgreementStore {
  readonly #asks: Link
  readonly #changes: Link
  readonly #random: Random

  constructor(asks: Link, changes: Link, random: Random) {
    this.#asks = asks
    this.#changes = changes
    this.#random = random
  }

  /** What was agreed; empty before the first start, and after a loss. Throws Fault when Redis cannot be asked. */
  read(deadlineMs?: number): Promise<Agreed> {
    return this.#asks.request(client => client.hgetall(keys.agreed()), deadlineMs)
  }

  /** Whether what the nodes agreed on is there, and each index of rounds; on a cluster they may lie on different servers. Throws Fault. */
  async standing(): Promise<Standing> {
    const [agreed, rounds, numbers] = await Promise.all(
      [keys.agreed(), keys.rounds(), keys.roundsByNumber()].map(key =>
        this.#asks.request(client => client.exists(key)),
      ),
    )
    return { agreed: agreed === 1, rounds: rounds === 1, numbers: numbers === 1 }
  }

  /** Writes what is not there yet, in one step: of two first starts one has all of its values. Gives what holds then. */
  async found(own: Agreed): Promise<Agreed> {
    const replies = await this.#changes.request(client => {
      const step = client.multi()
      for (const [name, value] of Object.entries(own)) step.hsetnx(keys.agreed(), name, value)
      return step.hgetall(keys.agreed()).exec()
    })
    const [, agreed] = replies?.at(-1) ?? []
    return agreed as Agreed
  }

  async set(name: string, value: string): Promise<void> {
    await this.#changes.request(client => client.hset(keys.agreed(), name, value))
  }

  /**
   * A secret that all nodes derive from, voucher codes or tags, receipts and beacons: made once, kept with the state that
   * depends on it. A node that starts before its Redis waits here for as long as it takes.
   */
  async secret(of: 'voucher' | 'draw'): Promise<Buffer> {
    const key = of === 'voucher' ? keys.voucherSecret() : keys.drawSecret()
    const fresh = this.#random.bytes(32).toString('hex')
    const both = (client: Redis) => Promise.all([client.setnx(key, fresh), client.get(key)])
    const [, kept] = await this.#changes.request(both, Number.POSITIVE_INFINITY)
    return Buffer.from(kept as string, 'hex')
  }

  /** The secrets that Redis keeps because no setting has them; none is made. */
  async secrets(
    deadlineMs?: number,
  ): Promise<{ readonly voucher: Buffer | undefined; readonly draw: Buffer | undefined }> {
    const kept = await Promise.all(
      [keys.voucherSecret(), keys.drawSecret()].map(key => this.#asks.request(client => client.get(key), deadlineMs)),
    )
    const [voucher, draw] = kept.map(text => (text === null ? undefined : Buffer.from(text, 'hex')))
    return { voucher, draw }
  }
}
