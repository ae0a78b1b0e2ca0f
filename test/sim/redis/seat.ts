/**
 * What makes a simulated server one of a cluster: it is asked for slots, and refuses keys that are not served there now. A
 * server without a seat is the one Redis that there is.
 */
import type { Raw } from './commands.ts'
import type { Refused } from './keyspace.ts'
import type { Command, Connection } from './network.ts'

export interface Seat {
  /** CLUSTER SLOTS, CLUSTER NODES and CLUSTER INFO, as this server knows them. */
  readonly cluster: (words: readonly string[]) => Raw | Error
  /** Why keys are not served here now; `asks` behind ASKING. */
  readonly refuses: (keys: readonly string[], asks: boolean) => Refused | undefined
}

/** Who moves keys between servers: what that sends is taken whatever slot it is for. */
export const MOVER = 'mover'

/** Commands that have no key: any server answers them. */
const KEYLESS = new Set(['info', 'role', 'config', 'wait', 'time', 'pubsub', 'flushall'])

const keysOf = ({ words, keyCount }: Command): readonly string[] =>
  keyCount > 0 ? words.slice(0, keyCount) : words.slice(0, 1)

/** One server's place in a cluster, with what its connections asked for. */
export class Seated {
  readonly #seat: Seat
  readonly #asking = new WeakSet<Connection>()

  constructor(seat: Seat) {
    this.#seat = seat
  }

  /** What is answered before anything is executed; undefined where it may be executed. */
  answers(connection: Connection, command: Command): Raw | Error | undefined {
    const { name, words } = command
    if (name === 'cluster') return this.#seat.cluster(words)
    const asks = this.#asking.delete(connection)
    if (name === 'asking') {
      this.#asking.add(connection)
      return 'OK'
    }
    if (KEYLESS.has(name) || connection.from === MOVER) return undefined
    return this.#seat.refuses(keysOf(command), asks)
  }
}
