/**
 * The Redis servers of a simulated world and who stands for them: which one the name in REDIS_URL means, who follows
 * whom, and how another one is promoted.
 *
 * A fail-over is what an operator or a watcher outside would do: the replica stops following, the others follow it, the
 * name moves. What became of the old primary is told apart: ended, frozen, cut off from everybody, or alive and still
 * the primary of engines whose name has not moved yet. It comes back some time later as a replica, and for a moment
 * before that as a primary that knows nothing. Which replica is promoted depends on the level: any that is counted, only
 * one that has everything, or (`loses`) whichever is there.
 */

import type { Published } from './redis/call.ts'
import type { Network } from './redis/network.ts'
import { Server } from './redis/server.ts'
import type { ServerOptions, ServerPlant, Sync } from './redis/server-options.ts'
import type { Chance, Timeline } from './timeline.ts'

export interface ClusterOptions {
  readonly timeline: Timeline
  readonly chance: Chance
  readonly network: Network
  readonly servers: number
  readonly sync: Sync
  readonly scriptOf: (source: string) => string
  readonly plant: ServerPlant
  /** Whether a replica may be promoted that lacks writes of a primary which answered for them alone. */
  readonly mayLack: boolean
  readonly noted: ServerOptions['noted']
  /** What its servers' names begin with; `redis` where nothing else is said. */
  readonly name?: string
  /** Of a shard of a cluster. */
  readonly seat?: ServerOptions['seat']
  /** Which replicas may not be promoted now, whatever they have; none where nothing else is said. */
  readonly spares?: (server: Server) => boolean
}

/** Who listens to what servers publish. */
export interface Subscriber {
  heard(server: Server, channel: string, text: string): void
  /** Of a cluster: a server gave slots away. */
  left?(server: Server): void
  close(): void
}

export interface Counts {
  failOvers: number
  powerLosses: number
  kills: number
}

export class Cluster {
  readonly servers: readonly Server[]
  readonly counts: Counts = { failOvers: 0, powerLosses: 0, kills: 0 }
  readonly #options: ClusterOptions
  readonly #subscriptions = new Set<Subscriber>()
  /** The server that the name means. */
  primary: Server

  constructor(options: ClusterOptions) {
    this.#options = options
    const { timeline, chance, network, sync, scriptOf, plant, noted, seat, name = 'redis' } = options
    const published = (server: Server, { channel, text }: Published) => {
      for (const subscription of this.#subscriptions) subscription.heard(server, channel, text)
    }
    this.servers = Array.from(
      { length: options.servers },
      (_, i) =>
        new Server({ name: `${name}${i}`, timeline, chance, network, sync, scriptOf, published, noted, plant, seat }),
    )
    this.primary = this.servers[0] as Server
    for (const server of this.servers.slice(1)) server.follow(this.primary)
  }

  readonly subscribed = (subscription: Subscriber): (() => void) => {
    this.#subscriptions.add(subscription)
    return () => {
      subscription.close()
      this.#subscriptions.delete(subscription)
    }
  }

  /** A server gave slots away. */
  left(server: Server): void {
    for (const subscription of this.#subscriptions) subscription.left?.(server)
  }

  get others(): readonly Server[] {
    return this.servers.filter(server => server !== this.primary)
  }

  /** Ends a server and starts it again after a while. */
  restart(server: Server, power: boolean, afterMs: number): void {
    this.counts[power ? 'powerLosses' : 'kills']++
    server.end(power)
    this.#options.timeline.after(afterMs, () => server.start())
  }

  /** A replica that may become the primary now, or undefined. */
  candidate(): Server | undefined {
    const { mayLack, chance, spares = () => false } = this.#options
    const isIn = (server: Server) => server.state === 'up' && server.primary === this.primary && !spares(server)
    const may = this.others.filter(server => isIn(server) && (mayLack || this.#hasAll(server)))
    return may.length > 0 ? chance.pick(may) : undefined
  }

  /** Makes a server the primary and moves the name; the old primary is left as it is. */
  promote(server: Server): void {
    this.counts.failOvers++
    this.primary = server
    server.follow(undefined)
    const { timeline, chance } = this.#options
    for (const other of this.servers) {
      if (other === server || other.primary === undefined) continue
      timeline.after(chance.span(20), () => this.#attach(other))
    }
  }

  /** Lets everything live again and follow the primary; nothing is cut or slow any more. */
  heal(): void {
    this.#options.network.unblockAll()
    for (const server of this.servers) {
      server.thaw()
      server.start()
      server.syncMs = 0.3
      server.lagMs = 0.3
      server.aheadMs = 0
      server.sync = this.#options.sync
    }
    for (const server of this.servers) this.#attach(server)
  }

  /** Whether every replica is attached and has what the primary has. */
  get isWhole(): boolean {
    return this.others.every(server => server.isAttached && server.offset === this.primary.offset)
  }

  /** Whether every replica is attached. */
  get isAttached(): boolean {
    return this.others.every(server => server.isAttached)
  }

  #attach(server: Server): void {
    if (server !== this.primary && server.primary !== this.primary) server.follow(this.primary)
  }

  #hasAll(server: Server): boolean {
    return server.synced >= this.primary.offset && server.log.at(-1)?.write === this.primary.log.at(-1)?.write
  }
}
