/**
 * What operators set while the engine runs and every node follows: rates and merchants that are held. One small HASH,
 * read as a whole by each worker a few times a second and changed a field at a time, so a node that was away knows all of it
 * with its first read. Rejected: messages to the nodes, since a message can be lost and a limit must not be.
 */
import { type Dated, datedRead } from '../connection/dated-read.ts'
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'

export class ControlStore {
  readonly #changes: Link
  readonly #reads: Link

  constructor(changes: Link, reads: Link) {
    this.#changes = changes
    this.#reads = reads
  }

  /** Every field that is set, by its name, and since when by Redis's clock that is known. */
  read(): Promise<Dated<Readonly<Record<string, string>>>> {
    return datedRead(this.#reads, client => client.hgetall(keys.controls()))
  }

  async set(fields: Readonly<Record<string, string>>): Promise<void> {
    await this.#changes.request(client => client.hset(keys.controls(), fields))
  }

  async clear(fields: readonly string[]): Promise<void> {
    await this.#changes.request(client => client.hdel(keys.controls(), ...fields))
  }
}
