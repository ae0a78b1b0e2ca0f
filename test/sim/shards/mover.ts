/**
 * Moves cluster slots between the shards of a simulated cluster while rounds run, in the two ways that there are.
 *
 * Key by key, as `redis-cli --cluster reshard` does: the slot is marked at both primaries, each key goes over by a MIGRATE for which
 * the giving server stands still, and at the end the slot is the other shard's; between, it may stay open for long. Or at once, as
 * newer servers do: all keys go over while the giving server takes nothing. A key is gone where it was only when the other
 * server has synced it.
 *
 * What no engine can make good is left out: a server that ends in the middle of one MIGRATE, and a replica that is promoted before
 * it has synced what its primary took over or gave away (docs/operations.md says to wait for those). Marks of a slot outlive a promotion.
 */
import { clusterSlotOf } from '../../../engine/store/cluster/slot-table.ts'
import type { Cluster } from '../cluster.ts'
import type { Notices } from '../notices.ts'
import { type Command, Connection, type Network } from '../redis/network.ts'
import { MOVER } from '../redis/seat.ts'
import type { Server } from '../redis/server.ts'
import type { Bus } from './bus.ts'

const TRIES_MAX = 40_000
const AGAIN_MS = 25
/** Between two keys. */
const KEY_MS = 12

export interface MoverOptions {
  readonly bus: Bus
  readonly network: Network
  readonly notices: Notices
  readonly shards: readonly Cluster[]
  /** The round whose state a key is, if it is one. */
  readonly roundOf: (key: string) => string | undefined
}

export type Way = 'keyByKey' | 'atOnce'

export interface Move {
  readonly way: Way
  /** How long a slot stays open behind its last key, milliseconds. */
  readonly openMs: number
  /** Requests for the slot may have to wait from now on, or no longer. */
  readonly waits: (isWaiting: boolean) => void
}

export class Mover {
  readonly #options: MoverOptions
  /** Shards in the middle of a MIGRATE. */
  readonly #busy = new Set<number>()
  /** By shard: the last write of a move, which whoever is promoted has to have, and its place in the log. */
  readonly #marks = new Map<number, { readonly place: number; readonly write: unknown }>()
  moves = 0

  constructor(options: MoverOptions) {
    this.#options = options
  }

  /** Whether nothing of a shard may end or be promoted now. */
  isBusy(shard: number): boolean {
    return this.#busy.has(shard)
  }

  /** Whether a replica lacks what its primary took over or gave away, or would lack it behind a loss of power. */
  lacks(replica: Server): boolean {
    const mark = this.#marks.get(this.#options.bus.shardOf(replica))
    if (mark === undefined) return false
    const isSynced = replica.sync !== 'always' || replica.synced > mark.place
    return !isSynced || replica.log[mark.place]?.write !== mark.write
  }

  /** Moves a slot; resolves when it is done, or when it had to be given up before anything was moved. */
  async move(slot: number, to: number, move: Move): Promise<void> {
    const { bus } = this.#options
    const from = bus.shardOfSlot(slot)
    if (from === to || bus.migrations.has(slot)) return
    bus.migrations.set(slot, { slot, from, to, isOpen: move.way === 'keyByKey' })
    move.waits(true)
    if (move.way === 'atOnce') await this.#handOver(from, to, undefined, slot)
    else await this.#keyByKey(slot, from, to)
    move.waits(false)
    if (move.way === 'keyByKey') {
      await this.#passes(move.openMs)
      await this.#whenWell(from, to)
      this.#done(slot, from, to)
    }
    bus.migrations.delete(slot)
  }

  /** Until no key is left; what is made meanwhile is made at the other server. */
  async #keyByKey(slot: number, from: number, to: number): Promise<void> {
    const { network } = this.#options
    for (;;) {
      const [key] = this.#keysIn(from, slot)
      if (key === undefined) break
      await this.#handOver(from, to, [key])
      await this.#passes(network.chance.span(KEY_MS))
    }
  }

  #done(slot: number, from: number, to: number): void {
    const { bus } = this.#options
    this.moves++
    bus.moved(slot, to, [this.#primary(from), this.#primary(to)])
  }

  #primary(shard: number): Server {
    return (this.#options.shards[shard] as Cluster).primary
  }

  #keysIn(shard: number, slot: number): string[] {
    return [...this.#primary(shard).keys.names()].filter(key => clusterSlotOf(key) === slot)
  }

  #passes(ms: number): Promise<void> {
    return new Promise(resolve => this.#options.network.timeline.after(ms, resolve))
  }

  /** Resolves when both primaries are there, reach one another and are in no other move. */
  async #whenWell(from: number, to: number): Promise<void> {
    const { network, bus } = this.#options
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const [source, target] = [this.#primary(from), this.#primary(to)]
      const isFree = !this.#busy.has(from) && !this.#busy.has(to)
      const areUp = source.state === 'up' && target.state === 'up' && !source.primary && !target.primary
      const reach = network.reaches(source.name, target.name) && !bus.isDown(source) && !bus.isDown(target)
      if (isFree && areUp && reach) return
      await this.#passes(AGAIN_MS)
    }
    throw new Error(`shards ${from} and ${to} are never well at once`)
  }

  /** One MIGRATE: of some keys, or of all of a slot that goes over with them. */
  async #handOver(from: number, to: number, some: readonly string[] | undefined, slot = -1): Promise<void> {
    await this.#whenWell(from, to)
    const [source, target] = [this.#primary(from), this.#primary(to)]
    this.#busy.add(from).add(to)
    source.hold()
    await this.#whenIdle(source)
    const keys = some ?? this.#keysIn(from, slot)
    const restores = keys.map(key => command('restore-asking', key, source.keys.dumped(key)))
    const [there, back] = [this.#connect(target), this.#connect(source)]
    await there.ask(restores)
    this.#carry(keys, source, target)
    if (slot >= 0) this.#done(slot, from, to)
    const deleted = back.ask(
      keys.map(key => command('del', key)),
      (connection, commands) => source.goOn(connection, commands),
    )
    await deleted
    for (const [shard, { log }] of [[from, source] as const, [to, target] as const])
      this.#marks.set(shard, { place: log.length - 1, write: log.at(-1)?.write })
    this.#busy.delete(from)
    this.#busy.delete(to)
  }

  /** Resolves when what a held server had begun is synced. */
  async #whenIdle(server: Server): Promise<void> {
    while (server.isBusy) await this.#passes(0.1)
  }

  /** The states that went over stand in the log of the other server now. */
  #carry(keys: readonly string[], source: Server, target: Server): void {
    const { notices, roundOf } = this.#options
    for (const key of keys) {
      const round = roundOf(key)
      if (round === undefined) continue
      let place = target.log.length - 1
      while (place >= 0 && !isRestoreOf(target.log[place], key)) place--
      notices.carry(round, source, target, place)
    }
  }

  #connect(server: Server): Asker {
    return new Asker(this.#options.network, server)
  }
}

const command = (name: string, ...words: readonly string[]): Command => ({ name, words, keyCount: 0 })

const isRestoreOf = (done: Server['log'][number] | undefined, key: string): boolean =>
  done?.write[0] === 'restore' && done.write[1] === key

type Send = (connection: Connection, commands: readonly Command[]) => void

/** A connection of the mover: asks several commands at once and waits for all answers. */
class Asker {
  readonly #connection: Connection
  #left = 0
  #done: () => void = () => {}

  constructor(network: Network, server: Server) {
    this.#connection = new Connection(network, MOVER, server, {
      replied: () => {
        if (--this.#left === 0) this.#done()
      },
      ended: () => {},
    })
  }

  ask(commands: readonly Command[], send: Send = (connection, all) => connection.send(all)): Promise<void> {
    this.#left = commands.length
    const done = new Promise<void>(resolve => {
      this.#done = resolve
    })
    send(this.#connection, commands)
    if (commands.length === 0) this.#done()
    return done
  }
}
