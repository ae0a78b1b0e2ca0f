/**
 * Which server of a Redis Cluster has which cluster slot. A table is what one server said at one moment (CLUSTER SLOTS), corrected by
 * each MOVED: it may be old, and a server that is asked for a slot that it does not have says so, so an old table costs a round
 * trip and never an answer. Servers are named by their address, `host:port`.
 *
 * Rejected: the table of ioredis's Cluster, which comes with its way of sending again (link.ts says what is wrong with it).
 */
import slotOf from 'cluster-key-slot'

export const SLOTS = 16_384

/** First and last slot of a run, and the address of the primary that has it. */
export type SlotRun = readonly [from: number, to: number, address: string]

/** The cluster slot of a key: of what stands between its braces, where it has some. */
export const clusterSlotOf = (key: string): number => slotOf(key)

const isSlot = (slot: number): boolean => Number.isInteger(slot) && slot >= 0 && slot < SLOTS

/** An address as one word; a host that has colons stands in brackets. */
export const addressOf = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/** Whether an address leads anywhere: of a server that others lost the address of, Redis says port 0. */
export const isReachable = (address: string): boolean => /.:[1-9]\d*$/.test(address)

/**
 * What CLUSTER SLOTS replied; a server that does not know its own host is the one that was asked. Slots of a server without an
 * address are left out: nobody can be asked for them.
 */
export function slotRunsOf(reply: unknown, askedHost: string): SlotRun[] {
  return (reply as readonly [number, number, readonly [string | null, number]][])
    .map(
      ([from, to, [host, port]]): SlotRun => [
        from,
        to,
        addressOf(host === null || host === '' || host === '?' ? askedHost : host, port),
      ],
    )
    .filter(([, , address]) => isReachable(address))
}

export class SlotTable {
  readonly #owners: (string | undefined)[] = new Array(SLOTS).fill(undefined)
  /** The runs that it is made of, as one text; undefined once a slot has moved. */
  #text: string | undefined

  constructor(runs: readonly SlotRun[] = []) {
    for (const [from, to, address] of runs) this.#owners.fill(address, from, to + 1)
    this.#text = runs.join()
  }

  /** The address of the server that has a slot, as far as is known. */
  ownerOf(slot: number): string | undefined {
    return this.#owners[slot]
  }

  /** The addresses of all servers that have slots. */
  owners(): ReadonlySet<string> {
    const owners = new Set<string>()
    let last: string | undefined
    // Slots of one server lie side by side, mostly.
    for (const owner of this.#owners) {
      if (owner !== last && owner !== undefined) owners.add(owner)
      last = owner
    }
    return owners
  }

  /** How many slots no server is known for. */
  countUnserved(): number {
    return this.#owners.reduce((count, owner) => (owner === undefined ? count + 1 : count), 0)
  }

  /** The slots of a server, ascending. */
  slotsOf(address: string): number[] {
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) if (this.#owners[slot] === address) slots.push(slot)
    return slots
  }

  /** A server said who has a slot now. Whether that is news; a slot that there is not is none. */
  move(slot: number, address: string): boolean {
    if (!isSlot(slot) || this.#owners[slot] === address) return false
    this.#owners[slot] = address
    this.#text = undefined
    return true
  }

  /** Whether it says what these runs say. Most replies are those of the last one, word by word. */
  isOf(runs: readonly SlotRun[]): boolean {
    if (runs.join() === this.#text) return true
    const other = new SlotTable(runs)
    return this.#owners.every((owner, slot) => owner === other.#owners[slot])
  }
}

const tags: string[] = []
let tried = 0

/** The shortest text whose slot is this one: what stands between the braces of a key that has to lie there. */
export function tagOf(slot: number): string {
  let tag = tags[slot]
  while (tag === undefined) {
    const text = (tried++).toString(36)
    tags[slotOf(text)] ??= text
    tag = tags[slot]
  }
  return tag
}
