/**
 * What the servers of a simulated cluster know of it: which shard has a cluster slot, and which server is a shard's primary. Each
 * has a view of its own, hears of changes from the others some time later, and answers CLUSTER SLOTS, MOVED, ASK, TRYAGAIN and
 * CLUSTERDOWN from that.
 *
 * A change (a promotion, a slot that moved) has an epoch and is known where it was made; views are merged by epoch, shard by
 * shard and slot by slot. A server hears of the others when it is up and reaches one of them; a primary that reaches no
 * majority of primaries says CLUSTERDOWN after a while, and so does one that has just been started. Rejected: messages
 * of the real bus one by one; what is asked here is only who knows what when.
 */
import { clusterSlotOf } from '../../../engine/store/cluster/slot-table.ts'
import type { Raw } from '../redis/commands.ts'
import { Refused } from '../redis/keyspace.ts'
import type { Network } from '../redis/network.ts'
import type { Seat } from '../redis/seat.ts'
import type { Server } from '../redis/server.ts'
import { Ranges } from './ranges.ts'

/** So long a primary that reaches no majority goes on. */
export const NODE_TIMEOUT_MS = 200
const HEARS_MS = 8
const AGAIN_MS = 40

/** Who has something, and since which epoch. */
interface Known<T> {
  readonly who: T
  readonly epoch: number
}

interface View {
  readonly primaries: Known<Server>[]
  readonly slots: Map<number, Known<number>>
  /** Nothing is heard of the others before. */
  deafUntil: number
  /** Since when it reaches no majority; undefined while it does. */
  aloneSince: number | undefined
  /** The life in which it last heard of the others. */
  heardIn: number
  isDue: boolean
}

/** A slot whose keys are on their way. */
export interface Migration {
  /** One by one: clients are sent after them. */
  readonly isOpen: boolean
  readonly slot: number
  readonly from: number
  readonly to: number
}

export interface BusOptions {
  readonly network: Network
  /** By shard: its servers, the first of them its primary. */
  readonly shards: readonly (readonly Server[])[]
  /** Whether a script that finds some of its keys where a slot leaves is told TRYAGAIN there, as newer servers do. */
  readonly saysTryAgain: boolean
  /** A server lost the subscriptions of slots that are another shard's now. */
  readonly left: (server: Server) => void
  /** A server refused for want of a majority. */
  readonly down: (server: Server) => void
}

const newest = <T>(a: Known<T>, b: Known<T>): Known<T> => (b.epoch > a.epoch ? b : a)
const addressOf = ({ name }: Server): string => `${name}:6379`

export class Bus {
  readonly migrations = new Map<number, Migration>()
  /** By slot and epoch of its owner: the move that ended that. Who does not know of the end goes on sending clients after the keys. */
  readonly #ended = new Map<string, Migration>()
  readonly #options: BusOptions
  readonly #views = new Map<Server, View>()
  readonly #shardOf = new Map<Server, number>()
  readonly #ranges: Ranges
  readonly #truth: View
  #epoch = 1

  constructor(options: BusOptions) {
    this.#options = options
    const { shards } = options
    this.#ranges = new Ranges(shards.length)
    this.#truth = this.#fresh()
    for (const [shard, servers] of shards.entries())
      for (const server of servers) {
        this.#views.set(server, this.#fresh())
        this.#shardOf.set(server, shard)
      }
  }

  #fresh(): View {
    const primaries = this.#options.shards.map(([who]) => ({ who: who as Server, epoch: 1 }))
    const time = { deafUntil: 0, aloneSince: undefined, heardIn: 0, isDue: false }
    return { primaries, slots: new Map(), ...time }
  }

  /** The shard that has a key in truth. */
  shardOfKey(key: string): number {
    return this.shardOfSlot(clusterSlotOf(key))
  }

  shardOfSlot(slot: number): number {
    return this.#truth.slots.get(slot)?.who ?? this.#ranges.shardOf(slot)
  }

  shardOf(server: Server): number {
    return this.#shardOf.get(server) as number
  }

  serverAt(url: string): Server {
    const { hostname } = new URL(url)
    const server = [...this.#views.keys()].find(({ name }) => name === hostname)
    if (!server) throw new Error(`the simulated cluster has no server ${hostname}`)
    return server
  }

  /** A replica was promoted, and knows it. Which slots came and went stands in what it has of its primary, so it knows that, too. */
  promoted(shard: number, who: Server): void {
    const known = { who, epoch: ++this.#epoch }
    for (const [slot, of] of this.#truth.slots) this.#viewOf(who).slots.set(slot, of)
    for (const view of [this.#truth, this.#viewOf(who)]) view.primaries[shard] = known
    this.spread()
  }

  /** A slot is another shard's, and the primaries of both know it. Who takes one has a higher config epoch from then on. */
  moved(slot: number, to: number, knowing: readonly Server[]): void {
    const epoch = ++this.#epoch
    const who = this.#truth.primaries[to]?.who as Server
    this.#ended.set(ownershipIn(this.#truth, slot), this.migrations.get(slot) as Migration)
    for (const view of [this.#truth, ...knowing.map(server => this.#viewOf(server))]) {
      view.slots.set(slot, { who: to, epoch })
      if (view.primaries[to]?.who === who) view.primaries[to] = { who, epoch }
    }
    for (const server of knowing) this.#options.left(server)
    this.spread()
  }

  /** Everybody hears of what changed, or of others who are back, some time from now. */
  spread(): void {
    for (const server of this.#views.keys()) this.#hearSoon(server, HEARS_MS)
  }

  /** A server hears nothing of the others for a while. */
  deafen(server: Server, ms: number): void {
    this.#viewOf(server).deafUntil = this.#options.network.timeline.now + ms
  }

  healed(): void {
    for (const view of this.#views.values()) view.deafUntil = 0
    this.spread()
  }

  /** Whether every server knows everything. */
  get isWhole(): boolean {
    return [...this.#views.keys()].every(server => this.#knowsAll(server) && !this.isDown(server))
  }

  /** Whether a server believes that it has a key's slot. */
  serves(server: Server, key: string): boolean {
    const view = this.#viewOf(server)
    return this.#ownerIn(view, clusterSlotOf(key)) === server
  }

  readonly seat = (server: Server): Seat => ({
    cluster: words => this.#cluster(server, words),
    refuses: (keys, asks) => this.#refuses(server, keys, asks),
  })

  #viewOf(server: Server): View {
    return this.#views.get(server) as View
  }

  #ownerIn({ primaries, slots }: View, slot: number): Server {
    return (primaries[slots.get(slot)?.who ?? this.#ranges.shardOf(slot)] as Known<Server>).who
  }

  #knowsAll(server: Server): boolean {
    const [view, truth] = [this.#viewOf(server), this.#truth]
    if (truth.primaries.some(({ epoch }, shard) => view.primaries[shard]?.epoch !== epoch)) return false
    return [...truth.slots].every(([slot, { epoch }]) => view.slots.get(slot)?.epoch === epoch)
  }

  #hearSoon(server: Server, ms: number): void {
    const view = this.#viewOf(server)
    if (view.isDue) return
    view.isDue = true
    const { timeline, chance } = this.#options.network
    timeline.after(chance.span(ms), () => {
      view.isDue = false
      this.#hear(server)
    })
  }

  /** Takes over what those know that it reaches, and asks again while it does not know all or is alone. */
  #hear(server: Server): void {
    const view = this.#viewOf(server)
    const { timeline } = this.#options.network
    if (server.state === 'up' && timeline.now >= view.deafUntil) {
      const peers = this.#peersOf(server)
      for (const peer of peers) this.#learn(server, this.#viewOf(peer))
      if (peers.length > 0) view.heardIn = server.life
    }
    this.#feelAlone(server)
    if (!this.#knowsAll(server) || this.isDown(server) || view.aloneSince !== undefined)
      this.#hearSoon(server, AGAIN_MS)
  }

  #peersOf(server: Server): Server[] {
    const { network } = this.#options
    return [...this.#views.keys()].filter(
      peer => peer !== server && peer.state === 'up' && network.reaches(server.name, peer.name),
    )
  }

  #learn(server: Server, from: View): void {
    const [view, shard] = [this.#viewOf(server), this.shardOf(server)]
    for (const [i, known] of from.primaries.entries())
      view.primaries[i] = newest(view.primaries[i] as Known<Server>, known)
    let isLess = false
    for (const [slot, known] of from.slots) {
      const before = view.slots.get(slot)
      if (before && before.epoch >= known.epoch) continue
      view.slots.set(slot, known)
      isLess ||= known.who !== shard
    }
    const { who } = view.primaries[shard] as Known<Server>
    if (server.primary === undefined && who !== server) {
      server.follow(who)
      isLess = true
    } else if (server.primary !== who && who !== server && who === this.#truth.primaries[shard]?.who) server.follow(who)
    if (isLess) this.#options.left(server)
  }

  /** Whether most primaries are out of its reach, and since when. */
  #feelAlone(server: Server): void {
    const { network } = this.#options
    const view = this.#viewOf(server)
    const there = view.primaries.filter(
      ({ who }) => who === server || (who.state === 'up' && network.reaches(server.name, who.name)),
    )
    if (there.length * 2 > view.primaries.length) view.aloneSince = undefined
    else view.aloneSince ??= network.timeline.now
  }

  /** Whether a server says CLUSTERDOWN. */
  isDown(server: Server): boolean {
    const { aloneSince, heardIn } = this.#viewOf(server)
    if (heardIn !== server.life && server.life > 0) return true
    return aloneSince !== undefined && this.#options.network.timeline.now - aloneSince > NODE_TIMEOUT_MS
  }

  #cluster(server: Server, [asked = '']: readonly string[]): Raw | Error {
    const view = this.#viewOf(server)
    const name = (shard: number) => (view.primaries[shard] as Known<Server>).who.name
    switch (asked.toUpperCase()) {
      case 'INFO':
        if (this.isDown(server)) this.#options.down(server)
        return `cluster_state:${this.isDown(server) ? 'fail' : 'ok'}\r\n`
      case 'NODES':
        return view.primaries.map(({ epoch }, shard) => `${name(shard)} - - - 0 0 ${epoch} -\n`).join('')
      case 'SLOTS': {
        const moved = new Map([...view.slots].map(([slot, { who }]) => [slot, who]))
        return this.#ranges.runs(moved).map(([from, to, shard]) => [from, to, [name(shard), 6379, name(shard)]])
      }
      default:
        return new Refused(`ERR unknown subcommand '${asked}'`)
    }
  }

  #refuses(server: Server, keys: readonly string[], asks: boolean): Refused | undefined {
    const [key = ''] = keys
    const slot = clusterSlotOf(key)
    const view = this.#viewOf(server)
    if (this.isDown(server)) {
      this.#options.down(server)
      return new Refused('CLUSTERDOWN The cluster is down')
    }
    const owner = this.#ownerIn(view, slot)
    const found = this.#ended.get(ownershipIn(view, slot)) ?? this.migrations.get(slot)
    const migration = found?.isOpen ? found : undefined
    const there = keys.filter(each => server.keys.has(each)).length
    if (owner === server) {
      if (migration?.from !== this.shardOf(server) || there === keys.length) return undefined
      if (this.#options.saysTryAgain && there > 0) return tryAgain()
      return new Refused(`ASK ${slot} ${addressOf((view.primaries[migration.to] as Known<Server>).who)}`)
    }
    if (asks && server.primary === undefined && migration?.to === this.shardOf(server))
      return keys.length > 1 && there < keys.length ? tryAgain() : undefined
    return new Refused(`MOVED ${slot} ${addressOf(owner)}`)
  }
}

const ownershipIn = ({ slots }: View, slot: number): string => `${slot} ${slots.get(slot)?.epoch ?? 0}`

const tryAgain = () => new Refused('TRYAGAIN Multiple keys request during rehashing of slot')
