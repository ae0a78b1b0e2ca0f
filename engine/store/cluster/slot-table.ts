/**
 * Which server of a Redis Cluster has which cluster slot: what servers said at different moments (CLUSTER SLOTS), corrected by
 * each MOVED. It may be old, and a server that is asked for a slot that it does not have says so, so an old table costs a round
 * trip and never an answer. Servers are named by their address, `host:port`.
 *
 * Of two servers that are named for one slot the one of the higher config epoch has it, as the servers themselves decide (Redis
 * Cluster Specification, "Hash slots configuration propagation"): so a server that does not know of the last promotion yet takes no slot back.
 *
 * Rejected: the table of ioredis's Cluster, which comes with its way of sending again (link.ts says what is wrong with it).
 */
import slotOf from 'cluster-key-slot'

export const SLOTS = 16_384

/** A line of CLUSTER NODES: `id address flags primary ping pong config-epoch link slots…`. */
const CONFIG_EPOCH_WORD = 6

/** First and last slot of a run, the address of the primary that has it, and that one's config epoch and id. */
export type SlotRun = readonly [from: number, to: number, address: string, epoch: number, id: string]

interface Owner {
  readonly address: string
  /** The config epoch since which it has the slot, at least. */
  readonly epoch: number
  /** Empty where only its address is known. */
  readonly id: string
}

/** What a reply changed: whether a slot has another server now, and whether the reply was older than the table anywhere. */
export interface Learned {
  readonly isNews: boolean
  readonly isBehind: boolean
}

const NOTHING_NEW: Learned = { isNews: false, isBehind: false }

/** The cluster slot of a key: of what stands between its braces, where it has some. */
export const clusterSlotOf = (key: string): number => slotOf(key)

const isSlot = (slot: number): boolean => Number.isInteger(slot) && slot >= 0 && slot < SLOTS

/** An address as one word; a host that has colons stands in brackets. */
export const addressOf = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/** Whether an address leads anywhere: of a server that others lost the address of, Redis says port 0. */
export const isReachable = (address: string): boolean => /.:[1-9]\d*$/.test(address)

/** Server id to config epoch, of what CLUSTER NODES replied. */
export const configEpochsOf = (nodes: string): ReadonlyMap<string, number> =>
  new Map(
    nodes
      .split('\n')
      .map(line => line.split(' '))
      .filter(words => words.length > CONFIG_EPOCH_WORD)
      .map(words => [words[0] as string, Number(words[CONFIG_EPOCH_WORD])]),
  )

/**
 * What CLUSTER SLOTS replied; a server that does not know its own host is the one that was asked. Slots of a server without an
 * address are left out: nobody can be asked for them.
 */
export function slotRunsOf(reply: unknown, askedHost: string, epochs: ReadonlyMap<string, number>): SlotRun[] {
  return (reply as readonly [number, number, readonly [string | null, number, string]][])
    .map(
      ([from, to, [host, port, id]]): SlotRun => [
        from,
        to,
        addressOf(host === null || host === '' || host === '?' ? askedHost : host, port),
        epochs.get(id) ?? 0,
        id,
      ],
    )
    .filter(([, , address]) => isReachable(address))
}

export class SlotTable {
  readonly #owners: (Owner | undefined)[] = new Array(SLOTS).fill(undefined)
  /** The runs that it is made of, as one text; undefined once it is made of more. */
  #text: string | undefined

  constructor(runs: readonly SlotRun[] = []) {
    for (const [from, to, address, epoch, id] of runs) this.#owners.fill({ address, epoch, id }, from, to + 1)
    this.#text = runs.join()
  }

  /** The address of the server that has a slot, as far as is known. */
  ownerOf(slot: number): string | undefined {
    return this.#owners[slot]?.address
  }

  /** The addresses of all servers that have slots. */
  owners(): ReadonlySet<string> {
    const owners = new Set<string>()
    let last: Owner | undefined
    // Slots of one server lie side by side, mostly.
    for (const owner of this.#owners) {
      if (owner !== last && owner !== undefined) owners.add(owner.address)
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
    for (let slot = 0; slot < SLOTS; slot++) if (this.#owners[slot]?.address === address) slots.push(slot)
    return slots
  }

  /**
   * A server said that another one has a slot now. Whether that is news; a slot that there is not is none, and who is not known
   * to have the slot cannot give it away. The config epoch of the new owner is known from the next reply that has it.
   */
  move(slot: number, by: string, to: string): boolean {
    const { address, epoch = 0 } = this.#owners[slot] ?? {}
    if (!isSlot(slot) || address === to || (address !== undefined && address !== by)) return false
    this.#owners[slot] = { address: to, epoch, id: '' }
    this.#text = undefined
    return true
  }

  /**
   * Takes over what a reply knows better, slot by slot: another server of a higher config epoch, the same one at another address, or any
   * other server where the reply knows that the owner was replaced. Most replies are the last one, word by word.
   */
  learn(runs: readonly SlotRun[]): Learned {
    const text = runs.join()
    if (text === this.#text) return NOTHING_NEW
    const replaced = this.#replacedIn(runs)
    let isNews = false
    let isBehind = this.#hasOthersThan(runs)
    for (const [from, to, address, epoch, id] of runs) {
      const seen: Owner = { address, epoch, id }
      let [last, isTaken]: [Owner | undefined, boolean] = [seen, true]
      for (let slot = from; slot <= to; slot++) {
        const own = this.#owners[slot]
        // Slots of one owner lie side by side, mostly, and are judged once.
        if (own !== last) {
          last = own
          isTaken = own === undefined || isNewer(seen, own) || replaced.has(own.id)
          isNews ||= isTaken && own?.address !== address
          isBehind ||= !isTaken && own?.address !== address
        }
        if (isTaken) this.#owners[slot] = seen
      }
    }
    this.#text = isBehind ? undefined : text
    return { isNews, isBehind }
  }

  /** Whether it has an owner of a slot that no run has. */
  #hasOthersThan(runs: readonly SlotRun[]): boolean {
    const covered = new Uint8Array(SLOTS)
    for (const [from, to] of runs) covered.fill(1, from, to + 1)
    return covered.includes(0) && this.#owners.some((owner, slot) => owner !== undefined && covered[slot] === 0)
  }

  /**
   * Ids of owners that have no slot any more in a reply, and of whose slots it has some at a server of a higher config epoch: a replica was
   * promoted in their place. Slots that they gave away before are at servers of lower epochs than their last one.
   */
  #replacedIn(runs: readonly SlotRun[]): ReadonlySet<string> {
    const named = new Set(runs.map(([, , , , id]) => id))
    const replaced = new Set<string>()
    for (const [from, to, , epoch] of runs) {
      let last: Owner | undefined
      for (let slot = from; slot <= to; slot++) {
        const own = this.#owners[slot]
        if (own === last || own === undefined) continue
        last = own
        if (own.id !== '' && !named.has(own.id) && epoch > own.epoch) replaced.add(own.id)
      }
    }
    return replaced
  }
}

const isNewer = (seen: Owner, own: Owner): boolean =>
  seen.epoch > own.epoch || (seen.epoch === own.epoch && seen.id === own.id)

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
