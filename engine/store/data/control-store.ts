/**
 * What operators set while the engine runs and every node follows: rates and merchants that are held; and merchants. Two small
 * HASHes; the first is read as a whole by each worker a few times a second and changed a field at a time, so a node that was
 * away knows all of it with its first read. Rejected: messages to the nodes, since a message can be lost and a limit must not be.
 *
 * A change that comes with an Idempotency-Key is made once: the name of its request lies in the slot of what it changes, and one
 * script looks at it and makes the change. Here is also the random value under which such requests are named.
 */
import type { Redis } from 'ioredis'
import type { Random } from '../../base/random.ts'
import { type Dated, datedRead } from '../connection/dated-read.ts'
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import type { Scripts } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'
import { KEYS_TTL_S, weekOf } from './voucher-store.ts'

/** Fields that are set and cleared; under a request's name only once. */
export interface FieldChange {
  readonly set?: Readonly<Record<string, string>>
  readonly cleared?: readonly string[]
  readonly request?: string | undefined
}

export interface ControlStoreOptions {
  readonly changes: Link
  readonly reads: Link
  readonly scripts: Scripts
  readonly random: Random
  /** Milliseconds since 1970 by the calendar that all nodes share. */
  readonly calendarMs: () => number
}

export class ControlStore {
  readonly #options: ControlStoreOptions

  constructor(options: ControlStoreOptions) {
    this.#options = options
  }

  /** Every field that is set, by its name, and since when by Redis's clock that is known. */
  read(): Promise<Dated<Readonly<Record<string, string>>>> {
    return datedRead(this.#options.reads, client => client.hgetall(keys.controls()))
  }

  /** Changes what is set; resolves with whether the same request did before. */
  set(change: FieldChange): Promise<boolean> {
    return this.#set(keys.controls(), change)
  }

  /** Keeps merchants, by id their JSON; resolves with whether the same request did before. */
  putMerchants(set: Readonly<Record<string, string>>, request?: string): Promise<boolean> {
    return this.#set(keys.merchants(), { set, request })
  }

  /** Read whenever it is needed: behind a connection may be another Redis, which keeps another one. */
  async requestSecret(): Promise<Buffer> {
    const { changes, reads, random } = this.#options
    const kept = await reads.request(client => client.get(keys.requestSecret()))
    if (kept !== null) return Buffer.from(kept, 'hex')
    const fresh = random.bytes(32).toString('hex')
    const both = (client: Redis) =>
      Promise.all([client.setnx(keys.requestSecret(), fresh), client.get(keys.requestSecret())])
    const [, first] = await changes.request(both)
    return Buffer.from(first as string, 'hex')
  }

  /** What is kept under a name in a slot, of this week or the last. */
  async kept(slot: string, name: string): Promise<string | undefined> {
    for (const key of this.#weeks(slot)) {
      const value = await this.#options.changes.request(client => client.hget(key, name))
      if (value !== null) return value
    }
    return undefined
  }

  /** Keeps a value under a name in a slot, unless one is kept; resolves with the one that is. */
  async keepFirst(slot: string, name: string, value: string): Promise<string> {
    const before = await this.kept(slot, name)
    if (before !== undefined) return before
    const [key] = this.#weeks(slot)
    const replies = await this.#options.changes.request(client =>
      client.multi().hsetnx(key, name, value).expire(key, KEYS_TTL_S).hget(key, name).exec(),
    )
    return replies?.[2]?.[1] as string
  }

  async #set(key: string, { set = {}, cleared = [], request }: FieldChange): Promise<boolean> {
    const { changes, scripts } = this.#options
    const fields = Object.entries(set).flat()
    if (request !== undefined) {
      const args = [KEYS_TTL_S, request, cleared.length, ...cleared, ...fields]
      const { reply, again } = await changes.send(scripts['set-once'], [key, ...this.#weeks(key)], args)
      return claimCode(reply[0] as number) === 'replayed' && !again
    }
    if (fields.length > 0) await changes.request(client => client.hset(key, ...fields))
    if (cleared.length > 0) await changes.request(client => client.hdel(key, ...cleared))
    return false
  }

  #weeks(slot: string): [string, string] {
    const week = weekOf(this.#options.calendarMs())
    return [keys.callerKeys(slot, week), keys.callerKeys(slot, week - 1)]
  }
}
