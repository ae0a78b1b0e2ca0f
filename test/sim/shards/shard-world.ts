/**
 * A whole campaign on a simulated Redis Cluster, from one seed: some shards, a round in each of them a day, engine nodes, operators and
 * people, faults at the shards that are chosen for the day, and slots that move between all of them. World (world.ts) is the same
 * with one Redis, and says how a day goes and what a seed is.
 *
 * Each round is judged by itself, on the server that has its slot at the end. Beside what World judges nothing is said of a
 * round because of another shard's trouble (calm.ts), and no check ever calls a round damaged.
 */
import type { Code } from '../../../engine/base/codes.ts'
import { clusterSlotOf } from '../../../engine/store/cluster/slot-table.ts'
import * as keys from '../../../engine/store/connection/keys.ts'
import { Cluster } from '../cluster.ts'
import { EngineNode } from '../engine-node.ts'
import type { Family } from '../faults.ts'
import { Modes, type ModeWord } from '../modes.ts'
import { Notices } from '../notices.ts'
import { Operator } from '../operator.ts'
import { countsOf, type Outcome } from '../outcome.ts'
import { BURST, People } from '../people.ts'
import { Readers } from '../readers.ts'
import { Network } from '../redis/network.ts'
import type { Server } from '../redis/server.ts'
import { arrivedIn, type RoundRecord } from '../round-record.ts'
import { Chance, Timeline } from '../timeline.ts'
import { DAY_MS, KINDS, type Level, NAMES, type WorldPlant } from '../world.ts'
import { Bus } from './bus.ts'
import { Calm } from './calm.ts'
import { Mover } from './mover.ts'
import { drawFault } from './shard-faults.ts'

export interface ShardWorldOptions {
  readonly seed: number
  readonly level: Level
  readonly shards: number
  /** After so many faults no more come; all of them where it is left out. */
  readonly faults?: number | undefined
  readonly plant?: WorldPlant | undefined
  /** How its rounds give their packs away; first come alone where it is left out. */
  readonly modes?: ModeWord | undefined
}

/** One round of a day, with who comes to it. */
interface Play {
  readonly id: string
  readonly record: RoundRecord
  readonly people: People
  readonly operator: Operator
  readonly readers: Readers
}

const SETTLES_MS = 20_000
const LOOK_MS = 200
const CALM_MS = 1500
const EXAMPLES = 2
/** How many days end quietly, and for how long. */
const QUIET_SHARE = 0.4
const QUIET_MS = 8000
/** A slot stays open so long behind its last key, now and then. */
const OPEN_MS = 3500
/** Every node has asked for the table by then, though nothing told it that a slot has moved. */
const TABLE_MS = 6500

export class ShardWorld {
  readonly timeline = new Timeline()
  readonly chance: Chance
  readonly network: Network
  readonly shards: readonly Cluster[]
  readonly bus: Bus
  readonly mover: Mover
  readonly calm = new Calm(() => this.timeline.now)
  readonly nodes: EngineNode[] = []
  readonly family: Family
  readonly isFenced = false
  readonly hasTills = false
  cuts = 0
  readonly #options: ShardWorldOptions
  readonly #modes: Modes
  readonly #replicas: number
  readonly #notices = new Notices()
  readonly #plays: Play[] = []
  readonly #violations: string[] = []
  readonly #damages: string[] = []
  /** Shards that slots have left. */
  readonly #left = new Set<{ readonly slot: number; readonly shard: number; until: number }>()
  /** Shards that may have faults today, those with a fault that wants no other beside it, and all faults under way. */
  #chosen: readonly number[] = []
  readonly #locked = new Set<number>()
  #happening = 0
  #moving = 0
  #faults = 0
  #isNight = false
  #done = false

  constructor(options: ShardWorldOptions) {
    this.#options = options
    this.#modes = new Modes(options.seed, options.level, options.modes)
    const { timeline } = this
    const { family, sync, servers: sizes } = KINDS[options.level]
    const chance = new Chance(options.seed ^ 0x5a17)
    this.chance = chance
    this.family = family
    this.network = new Network(timeline, chance)
    const servers = chance.pick(sizes)
    this.#replicas = family === 'failOvers' ? servers - 1 : 0
    const seat = (server: Server) => this.bus.seat(server)
    this.shards = Array.from(
      { length: options.shards },
      (_, shard) =>
        new Cluster({
          ...{ timeline, chance, network: this.network, servers, sync, name: `shard${shard}-` },
          ...{ mayLack: family === 'failOvers', plant: options.plant ?? {} },
          scriptOf: source => NAMES.get(source) ?? 'unknown',
          noted: (...noted) => this.#notices.add(...noted),
          // Only asked while commands run, when the bus is there.
          seat: server => ({
            cluster: words => seat(server).cluster(words),
            refuses: (...asked) => seat(server).refuses(...asked),
          }),
          spares: server => this.mover.lacks(server),
        }),
    )
    this.bus = new Bus({
      ...{
        network: this.network,
        shards: this.shards.map(({ servers: all }) => all),
        saysTryAgain: chance.happens(0.5),
      },
      left: server => this.shards[this.bus.shardOf(server)]?.left(server),
      down: server => this.#refusedFor(this.bus.shardOf(server)),
    })
    const { network, bus, shards } = this
    const roundOf = (key: string) => this.#plays.find(({ id }) => keys.roundState(id) === key)?.id
    this.mover = new Mover({ bus, network, shards, notices: this.#notices, roundOf })
  }

  get records(): readonly RoundRecord[] {
    return this.#plays.map(({ record }) => record)
  }

  /** Whether the level bears an old primary that lives on beside the new one. */
  get isForgiving(): boolean {
    return this.family === 'failOvers'
  }

  /** Resolves when so many milliseconds have passed. */
  readonly passes = (ms: number): Promise<void> => new Promise(resolve => this.timeline.after(ms, resolve))

  readonly anyNode = (): EngineNode | undefined => {
    const alive = this.nodes.filter(({ clock }) => clock.alive)
    return alive.length > 0 ? this.chance.pick(alive) : undefined
  }

  readonly redisMs = (roundId: string): number => this.#primaryOf(roundId).timeMs

  /** Plays the world to its end. */
  async play(): Promise<Outcome> {
    const ends = () => {
      this.#done = true
    }
    const replant = this.#options.plant?.engine?.()
    const live = this.#live().finally(ends)
    await Promise.all([this.timeline.run(() => this.#done), live]).finally(replant)
    for (const { id, record, readers } of this.#plays)
      this.#violations.push(...record.judge(this.#primaryOf(id).keys), ...readers.problems)
    this.#violations.push(...this.calm.problems, ...this.#damages)
    const { seed } = this.#options
    return {
      ...{ seed, faults: this.#faults, days: this.timeline.now / DAY_MS, moves: this.mover.moves, cuts: this.cuts },
      ...countsOf({ clusters: this.shards, records: this.records, people: this.#plays.map(({ people }) => people) }),
      reads: this.#plays.reduce((sum, { readers }) => sum + readers.reads, 0),
      calmClaims: this.calm.judged,
      violations: this.#violations,
    }
  }

  /** Starts a node in the place of one that ended. */
  replace(node: EngineNode): void {
    const place = this.nodes.indexOf(node)
    if (place >= 0 && !this.#done) this.nodes[place] = this.#node(node.name)
  }

  /** A slot goes to another shard: a round's, or one that has a server's marks. Key by key it stays open for long, now and then. */
  moveSlot(openShare = 0.2): void {
    const { chance, bus, mover, shards } = this
    const { id } = chance.pick(this.#plays)
    const ofRound = clusterSlotOf(keys.roundState(id))
    const slot = chance.happens(0.8) ? ofRound : Math.ceil((chance.below(shards.length) * 16_384) / shards.length)
    const to = chance.below(shards.length)
    const way = chance.happens(0.5) ? 'keyByKey' : 'atOnce'
    const rounds = this.#plays.filter(play => clusterSlotOf(keys.roundState(play.id)) === slot)
    // A script that names a key which is not there waits for as long as the slot is open.
    const hasAll = rounds.every(
      ({ id: own, record }) => record.options.mode === 'first' && this.#primaryOf(own).keys.has(keys.roundHolders(own)),
    )
    const openMs = hasAll && chance.happens(openShare) ? chance.between(0, OPEN_MS) : chance.span(10)
    if (bus.migrations.has(slot) || this.#locked.has(to) || this.#locked.has(bus.shardOfSlot(slot))) return
    this.#moving++
    const waits = (isWaiting: boolean) => {
      for (const play of rounds) this.calm.round(play.id, isWaiting)
    }
    const left = { slot, shard: bus.shardOfSlot(slot), until: Number.POSITIVE_INFINITY }
    this.#left.add(left)
    void mover.move(slot, to, { way, openMs, waits }).finally(() => {
      this.#moving--
      left.until = this.timeline.now + TABLE_MS
    })
  }

  /** The server that has a round's state: while its slot moves key by key, the one where that is. */
  #primaryOf(roundId: string): Server {
    const key = keys.roundState(roundId)
    const at = [...this.#shardsOf(roundId)].map(shard => (this.shards[shard] as Cluster).primary)
    return at.find(server => server.keys.has(key)) ?? (at[0] as Server)
  }

  /** A server without a majority refused: for a moment that is a trouble of its shard. */
  #refusedFor(shard: number): void {
    this.calm.shard(shard, true)
    this.calm.shard(shard, false)
  }

  #node(name: string): EngineNode {
    const { timeline, network, bus, shards } = this
    const { level, plant = {} } = this.#options
    const url = `redis+cluster://${shards.map(({ servers }) => `${servers[0]?.name}:6379`).join(',')}`
    const shardOf = (server: Server) => shards[bus.shardOf(server)] as Cluster
    const node = new EngineNode({
      ...{ name, timeline, network, plant, durability: level, replicas: this.#replicas, hasTills: false },
      hasDraws: this.#modes.hasDrawn,
      ...(this.#modes.hasStrict ? { arrived: (...arrived) => arrivedIn(this.records, ...arrived) } : {}),
      resolve: address => bus.serverAt(address),
      subscribed: (subscription, server) => shardOf(server as Server).subscribed(subscription),
      journal: undefined,
      cluster: {
        url,
        serves: (server, channel) => bus.serves(server, channel),
        damaged: what => {
          if (this.#damages.length < EXAMPLES) this.#damages.push(`D ${name}: a check says: ${what}`)
        },
      },
    })
    this.calm.node(node)
    return node
  }

  async #live(): Promise<void> {
    const days = 1 + this.chance.below(2)
    const count = 1 + this.chance.below(3)
    for (let day = 0; day < days; day++) {
      for (let i = 0; i < count; i++) this.nodes[i] = this.#node(`node${i}`)
      await this.passes(50)
      await this.#day(day)
      this.#isNight = true
      for (const { people } of this.#plays) people.rest()
      for (const node of this.nodes) node.end()
      await this.passes(DAY_MS - (this.timeline.now % DAY_MS))
    }
  }

  /** A round whose slot is at a shard, and everybody who may come to it. */
  async #begin(day: number, shard: number, users: number): Promise<Play> {
    const { timeline, chance, shards, bus, calm } = this
    const number = day * shards.length + shard + 1
    let id = ''
    for (let tries = 0; id === '' || bus.shardOfKey(keys.roundState(id)) !== shard; tries++)
      id = `rnd_day${day}shard${shard}x${tries}`
    const operator = new Operator(this, number, id)
    const mode = this.#modes.next()
    const most = mode === 'strict' ? users * BURST : users
    const record = await operator.createRound(this.#options.seed + shard, most, mode)
    const answered = (node: EngineNode, sent: number, code: Code) =>
      calm.answered(node, id, this.#shardsOf(id), [sent, code])
    const people = new People({ timeline, chance, record, node: this.anyNode, answered })
    const calmSince = this.#calmSinceOf(id)
    record.wellSince = node => {
      const [own, shared] = [calm.wellSince(node, id, this.#shardsOf(id)), calmSince(node)]
      return own === undefined || shared === undefined ? undefined : Math.max(own, shared)
    }
    const readers = this.#readersOf(id, calmSince)
    readers.turnTo(id)
    const play = { id, record, people, operator, readers }
    this.#plays.push(play)
    return play
  }

  /** Where a round is first of all; then where it goes to while it moves, and where it was, as a node may still believe. */
  #shardsOf(roundId: string): ReadonlySet<number> {
    const slot = clusterSlotOf(keys.roundState(roundId))
    const migration = this.bus.migrations.get(slot)
    const shards = new Set([this.bus.shardOfSlot(slot), ...(migration ? [migration.to] : [])])
    for (const left of this.#left) {
      if (left.until < this.timeline.now) this.#left.delete(left)
      else if (left.slot === slot) shards.add(left.shard)
    }
    return shards
  }

  /** Since when nothing keeps a node from a round's primary; undefined while something does. */
  #calmSinceOf(roundId: string): (node: EngineNode) => number | undefined {
    const { timeline, bus, calm } = this
    const apart = new WeakMap<EngineNode, number>()
    return node => {
      const primary = this.#primaryOf(roundId)
      if (!node.reaches(primary) || !bus.isWhole) apart.set(node, timeline.now)
      // While its slot moves key by key, its state may lie in either of two shards.
      const since = [...this.#shardsOf(roundId)].map(shard => calm.calmSince(shard))
      const { clock } = node
      if (since.includes(undefined) || clock.isStill || primary.state !== 'up') return undefined
      return Math.max(...(since as number[]), this.network.resumesAt, clock.stillUntil, apart.get(node) ?? 0)
    }
  }

  #readersOf(roundId: string, calmSince: (node: EngineNode) => number | undefined): Readers {
    const { chance, timeline } = this
    return new Readers({
      ...{ notices: this.#notices, anyNode: this.anyNode, nodes: this.nodes, happens: share => chance.happens(share) },
      ...{ primary: () => this.#primaryOf(roundId), now: () => timeline.now, calmSince },
    })
  }

  #looks(plays: readonly Play[]): void {
    if (this.#isNight) return
    for (const { readers } of plays) readers.look()
    this.timeline.after(LOOK_MS, () => this.#looks(plays))
  }

  async #day(day: number): Promise<void> {
    const { chance, shards } = this
    const faults = 20 + chance.below(chance.pick([40, 40, 300]))
    const places = shards.map((_, shard) => shard)
    this.#chosen = places.filter(() => chance.happens(0.6))
    this.#isNight = false
    const plays = await Promise.all(places.map(shard => this.#begin(day, shard, 40 + Math.floor(faults / 3))))
    this.#looks(plays)
    for (const { operator } of plays) void operator.works()
    for (let i = 0; i < faults; i++) {
      for (const { people } of plays) if (chance.happens(0.33)) people.arrive(1, chance.span(100))
      for (const { people } of this.#plays) if (chance.happens(0.3)) people.remind()
      await this.passes(chance.span(25))
      await this.#fault()
    }
    await this.#ends(plays)
  }

  /** No fault begins any more, people come, and slots move as before, until all faults are over and for a time behind. */
  async #quiet(plays: readonly Play[], ms: number): Promise<void> {
    const until = this.timeline.now + ms
    while (this.timeline.now < until || this.#happening > 0) {
      for (const { people } of plays) people.remind()
      for (const { people } of plays) if (this.chance.happens(0.2)) people.arrive(1, 60)
      if (this.chance.happens(0.1)) this.moveSlot(0.6)
      await this.passes(this.chance.span(60))
    }
  }

  async #fault(): Promise<void> {
    if (this.#faults >= (this.#options.faults ?? Number.POSITIVE_INFINITY)) return
    const { chance, calm } = this
    const fault = drawFault(this, this.#options.plant?.often)
    const free = this.#chosen.filter(each => !this.#locked.has(each))
    if (free.length === 0 && !fault.isCalm) return this.passes(chance.span(60))
    const shard = free.length > 0 ? chance.pick(free) : 0
    this.#faults++
    this.#happening++
    if (fault.isAlone) this.#locked.add(shard)
    if (!fault.isCalm) calm.shard(shard, true)
    const happening = fault.happens(this, shard).finally(() => {
      this.#happening--
      if (fault.isAlone) this.#locked.delete(shard)
      if (!fault.isCalm) calm.shard(shard, false)
    })
    if (!fault.isAlone && chance.happens(0.5)) await happening
    else await this.passes(chance.span(30))
  }

  /** Who keeps people from a certain answer when everything is healed. */
  #unsettled(plays: readonly Play[]): string {
    const waiting = plays.filter(({ people }) => !people.isQuiet).map(({ id }) => id)
    const problems = this.nodes.flatMap(({ name, problems: all }) => all.map(what => `${name}: ${what}`))
    return `${SETTLES_MS} ms after everything healed somebody has no certain answer of ${waiting.join(', ')}; ${problems.join(', ')}`
  }

  /** Everything heals, and everybody is told for certain. */
  async #ends(plays: readonly Play[]): Promise<void> {
    await this.#quiet(plays, this.chance.happens(QUIET_SHARE) ? QUIET_MS : 500)
    for (const [i, node] of this.nodes.entries()) if (!node.clock.alive) this.nodes[i] = this.#node(node.name)
    for (const cluster of this.shards) cluster.heal()
    this.bus.healed()
    while (this.#moving > 0) await this.passes(LOOK_MS)
    await this.passes(CALM_MS)
    await Promise.all(plays.map(({ operator }) => operator.stops()))
    const until = this.timeline.now + SETTLES_MS
    const isWhole = () => this.bus.isWhole && this.shards.every(cluster => cluster.isWhole)
    while (!isWhole() && this.timeline.now < until) await this.passes(50)
    for (const { people } of plays) people.askAgain()
    while (plays.some(({ people }) => !people.isQuiet) && this.timeline.now < until) await this.passes(50)
    if (plays.some(({ people }) => !people.isQuiet)) this.#violations.push(this.#unsettled(plays))
  }
}
