/**
 * Stock events on a cluster: what events.ts is on one Redis. Notices are sharded (SPUBLISH), so that each costs the servers of its
 * own shard and no others; who listens has to be subscribed at the server that has the round's slot. The rounds that a
 * worker has read are followed there, over a connection a server, and wherever their slots go.
 *
 * A server that gives a slot away ends the subscriptions of it and says so; a table that changed and a connection that is up
 * again lead to the same look. Whatever may have been missed meanwhile is a gap of that round: it is read again.
 * Rejected: PSUBSCRIBE over the whole cluster's bus, where a notice costs 3 µs of every other server.
 */
import { Redis } from 'ioredis'
import { type Clock, every } from '../../base/clock.ts'
import { redisOptions } from '../connection/address.ts'
import { type Listening, receive, refusedBy, retryOf } from '../connection/events.ts'
import { channelRound, roundChannel, shardedNodeChannel } from '../connection/keys.ts'
import type { Dial } from '../connection/line.ts'
import type { Cluster } from './cluster.ts'

/** A subscription that was refused is tried again within this time. */
const AGAIN_MS = 500
/** Slots move one after the other; one look is enough for those that move together. */
const SOON_MS = 20

export interface ShardEventsOptions extends Listening {
  readonly cluster: Cluster
  readonly clock: Clock
  /** Makes a client that subscribes and connects by itself, again and again; ioredis's own where nothing else is said. */
  readonly subscribe?: Dial | undefined
}

export class ShardEvents {
  readonly #options: ShardEventsOptions
  readonly #clients = new Map<string, Redis>()
  /** By channel: the server where it is subscribed, or is about to be. */
  readonly #channels = new Map<string, string | undefined>()
  readonly #nodeChannel: string
  readonly #stops: (() => void)[]
  #isDue = false

  constructor(options: ShardEventsOptions) {
    this.#options = options
    const { cluster, clock, node } = options
    this.#nodeChannel = shardedNodeChannel(node)
    this.#channels.set(this.#nodeChannel, undefined)
    this.#stops = [
      cluster.onChanged(() => this.#soon()),
      every(
        clock,
        AGAIN_MS,
        () => this.#look(),
        () => {},
      ),
    ]
    this.#look()
  }

  /** From now on the events of a round are received, and its gaps. */
  follow(roundId: string): void {
    const channel = roundChannel(roundId)
    if (this.#channels.has(channel)) return
    this.#channels.set(channel, undefined)
    this.#soon()
  }

  unfollow(roundId: string): void {
    const channel = roundChannel(roundId)
    const at = this.#channels.get(channel)
    if (at !== undefined) this.#leave(at, channel)
    this.#channels.delete(channel)
  }

  stop(): void {
    for (const stop of this.#stops) stop()
    for (const client of this.#clients.values()) client.disconnect()
    this.#clients.clear()
    this.#channels.clear()
  }

  #soon(): void {
    if (this.#isDue) return
    this.#isDue = true
    this.#options.clock.after(SOON_MS, () => {
      this.#isDue = false
      this.#look()
    })
  }

  /** Subscribes to each channel where its slot is now, and leaves where it was. */
  #look(): void {
    const { cluster } = this.#options
    for (const server of cluster.owners) this.#clientOf(server)
    for (const [channel, at] of this.#channels) {
      const server = cluster.ownerOf(channel)
      const client = server === undefined ? undefined : this.#clientOf(server)
      if (server === undefined || server === at || client?.status !== 'ready') continue
      if (at !== undefined) this.#leave(at, channel)
      this.#channels.set(channel, server)
      client.ssubscribe(channel).then(
        () => {
          this.#options.refused?.()
          this.#gap(channel)
        },
        (cause: Error) => {
          refusedBy(cause, this.#options)
          this.#lost(server, channel)
        },
      )
    }
    for (const [server, client] of this.#clients)
      if (!cluster.owners.has(server)) {
        this.#clients.delete(server)
        client.disconnect()
      }
  }

  #leave(server: string, channel: string): void {
    const client = this.#clients.get(server)
    if (client?.status === 'ready') client.sunsubscribe(channel).catch(() => {})
  }

  #gap(channel: string): void {
    if (channel !== this.#nodeChannel) this.#options.listener.gap(channelRound(channel))
  }

  /** A subscription at a server is over, or was refused; of all channels where none is named. */
  #lost(server: string, only?: string): void {
    for (const [channel, at] of this.#channels)
      if (at === server && (only === undefined || only === channel)) this.#channels.set(channel, undefined)
  }

  #clientOf(server: string): Redis {
    const known = this.#clients.get(server)
    if (known) return known
    const { cluster, random, listener, tls, subscribe } = this.#options
    const url = cluster.urlOf(server)
    const client = subscribe
      ? subscribe(url)
      : new Redis({
          ...redisOptions(url, tls),
          maxRetriesPerRequest: null,
          autoResubscribe: false,
          retryStrategy: retryOf(random),
        })
    client.on('error', () => {})
    client.on('close', () => this.#lost(server))
    client.on('ready', () => this.#soon())
    // A slot was given away, and with it subscriptions of which it is not said which they were.
    client.on('moved', () => {
      this.#lost(server)
      cluster.refresh()
      this.#soon()
    })
    client.on('smessage', (channel: string, message: string) => receive(listener, channelRound(channel), message))
    this.#clients.set(server, client)
    return client
  }
}
