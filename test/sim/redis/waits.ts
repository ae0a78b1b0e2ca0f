/**
 * WAIT on a simulated server: a connection that waits does nothing else, what it sends meanwhile stays behind, until
 * enough replicas have confirmed what it wrote, the time is over, or the server is made a replica or a primary.
 */
import { Refused } from './keyspace.ts'
import type { Command, Connection } from './network.ts'

export interface Asked {
  readonly connection: Connection
  readonly command: Command
}

export interface Wait extends Asked {
  /** The last write of its connection, as a place in the log. */
  readonly offset: number
  /** Of the server's lives as a primary or a replica, the one in which it began. */
  readonly reign: number
  done: boolean
}

interface WaitsOptions {
  /** How many replicas have confirmed a place in the log. */
  readonly copies: (offset: number) => number
  /** Takes what had stayed behind, in front of all else. */
  readonly goOn: (behind: readonly Asked[]) => void
  readonly later: (ms: number, run: () => void) => void
}

const UNBLOCKED = 'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)'

export class Waits {
  readonly #options: WaitsOptions
  readonly #behind = new Map<Connection, Asked[]>()
  #waits: Wait[] = []
  #reign = 0

  constructor(options: WaitsOptions) {
    this.#options = options
  }

  /** Keeps a command back whose connection waits. */
  keepsBack(asked: Asked): boolean {
    const behind = this.#behind.get(asked.connection)
    behind?.push(asked)
    return behind !== undefined
  }

  /** A connection waits from now on; it is answered after `begin`. */
  announce(asked: Asked, offset: number): Wait {
    this.#behind.set(asked.connection, [])
    return { ...asked, offset, reign: this.#reign, done: false }
  }

  begin(wait: Wait): void {
    if (wait.reign !== this.#reign) return this.#end(wait, new Refused(UNBLOCKED))
    this.#waits.push(wait)
    this.#options.later(Number(wait.command.words[1]), () => this.#end(wait, this.#options.copies(wait.offset)))
  }

  /** Ends those that have enough copies. */
  look(): void {
    if (this.#waits.length === 0) return
    for (const wait of this.#waits) {
      const copies = this.#options.copies(wait.offset)
      if (copies >= Number(wait.command.words[0])) this.#end(wait, copies)
    }
    this.#waits = this.#waits.filter(({ done }) => !done)
  }

  /** The server is something else now. */
  depose(): void {
    this.#reign++
    for (const wait of this.#waits.splice(0)) this.#end(wait, new Refused(UNBLOCKED))
  }

  /** The server ended; nobody is answered. */
  forget(): void {
    this.#waits = []
    this.#behind.clear()
  }

  #end(wait: Wait, reply: number | Refused): void {
    if (wait.done) return
    wait.done = true
    const behind = this.#behind.get(wait.connection) ?? []
    this.#behind.delete(wait.connection)
    wait.connection.reply(wait.command, reply)
    this.#options.goOn(behind)
  }
}
