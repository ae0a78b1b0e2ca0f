/**
 * A whole campaign under faults from one seed: servers, engine nodes, operators and people, some days of it, in virtual
 * time; at the end everything heals, everybody asks again, and each round is judged.
 *
 * A day is a round: created, opened by an operator or by the clock, asked for in waves while faults come one after the
 * other or two at a time, paused and restocked meanwhile, closed or left; at night the engines are off. All that is drawn
 * is drawn from the seed, and the parts of a world see no other clock, so a seed is a history: the same one each time.
 * `faults` ends the faults after so many; so the shortest history that shows a violation is found by playing again.
 */
import type { Durability } from '../../engine/store/server/health.ts'
import { Cluster } from './cluster.ts'
import { EngineNode, type NodePlant, SCRIPTS, SHARDED } from './engine-node.ts'
import { drawFault, type Family } from './faults.ts'
import { JournalStore } from './journal-store.ts'
import { ledgerProblems } from './ledger-story.ts'
import { Modes, type ModeWord } from './modes.ts'
import { Notices } from './notices.ts'
import { CAMPAIGN, Operator } from './operator.ts'
import { countsOf, type Outcome } from './outcome.ts'
import { People } from './people.ts'
import { Readers } from './readers.ts'
import type { Keyspace } from './redis/keyspace.ts'
import { Network } from './redis/network.ts'
import type { Server } from './redis/server.ts'
import type { ServerPlant, Sync } from './redis/server-options.ts'
import { arrivedIn, type RoundRecord } from './round-record.ts'
import { Shops } from './shops.ts'
import { Chance, Timeline } from './timeline.ts'

export type Level = Durability

export interface WorldOptions {
  readonly seed: number
  readonly level: Level
  /** After so many faults no more come; all of them where it is left out. */
  readonly faults?: number | undefined
  readonly plant?: WorldPlant | undefined
  /** How its rounds give their packs away; first come alone where it is left out. */
  readonly modes?: ModeWord | undefined
}

/** Bugs that may be planted in a world, to see whether it notices. */
export interface WorldPlant extends ServerPlant, NodePlant {
  /** Promotes replicas that lack writes which their primary alone answered for. */
  readonly losesTail?: boolean
  /** Changes classes of the engine while a world plays; the returned function changes them back. */
  readonly engine?: () => () => void
  /** Names of the faults that it takes to show it: they come more often. */
  readonly often?: readonly string[]
}

export const DAY_MS = 86_400_000
const SETTLES_MS = 15_000
const LOOK_MS = 200
/** A calm, now and then: longer than a lost state may be shown. */
const CALM_MS = 1500
const CALM_SHARE = 0.01
const SHOPS_SHARE = 0.25
/** Texts of scripts, for one Redis and for a cluster, to their names. */
export const NAMES = new Map(
  [...Object.values(SCRIPTS), ...Object.values(SHARDED)].map(({ source, name }) => [source, name]),
)

export interface Kind {
  readonly family: Family
  readonly sync: Sync
  readonly servers: readonly number[]
}

/** What each level stands on; where replicas count, all of them are waited for. */
export const KINDS: Readonly<Record<Level, Kind>> = {
  memory: { family: 'memory', sync: 'none', servers: [1] },
  everysec: { family: 'memory', sync: 'everysec', servers: [1, 2] },
  always: { family: 'restarts', sync: 'always', servers: [1, 2, 3] },
  replicated: { family: 'failOvers', sync: 'always', servers: [2, 3, 3] },
  fenced: { family: 'failOvers', sync: 'always', servers: [2, 3, 3] },
}

export const LEVELS = Object.keys(KINDS) as readonly Level[]

export class World {
  readonly timeline = new Timeline()
  readonly chance: Chance
  readonly network: Network
  readonly cluster: Cluster
  readonly nodes: EngineNode[] = []
  readonly records: RoundRecord[] = []
  readonly people: People[] = []
  /** Who redeems what people were told; in some worlds. */
  readonly shops: Shops | undefined
  cuts = 0
  readonly #options: WorldOptions
  readonly #modes: Modes
  readonly #kind: Kind
  readonly #replicas: number
  readonly #behind = new Map<string, Server>()
  readonly #journals = new Map<string, JournalStore>()
  readonly #violations: string[] = []
  #faults = 0
  /** Faults that go on now, and when the last one ended. */
  #happening = 0
  #calmSince = 0
  /** When a node was last seen without a connection to the primary; it may take until its next check of the server. */
  readonly #apart = new WeakMap<EngineNode, number>()
  readonly #readers: Readers
  #isNight = false
  #done = false

  constructor(options: WorldOptions) {
    this.#options = options
    this.#modes = new Modes(options.seed, options.level, options.modes)
    this.#kind = KINDS[options.level]
    const { timeline } = this
    const [chance, notices] = [new Chance(options.seed), new Notices()]
    this.chance = chance
    this.network = new Network(timeline, chance)
    const servers = chance.pick(this.#kind.servers)
    this.#replicas = this.#kind.family === 'failOvers' ? servers - 1 : 0
    this.cluster = new Cluster({
      ...{ timeline, chance, network: this.network, servers, sync: this.#kind.sync },
      mayLack: this.#kind.family === 'failOvers' || options.plant?.losesTail === true,
      scriptOf: source => NAMES.get(source) ?? 'unknown',
      plant: options.plant ?? {},
      noted: (...noted) => notices.add(...noted),
    })
    this.shops = chance.happens(SHOPS_SHARE) ? new Shops(this) : undefined
    this.#readers = new Readers({
      ...{ notices, anyNode: this.anyNode, nodes: this.nodes, happens: share => chance.happens(share) },
      ...{ primary: () => this.cluster.primary, now: () => timeline.now, calmSince: node => this.#calmFor(node) },
    })
  }

  /** Plays the world to its end. */
  async play(): Promise<Outcome> {
    const ends = () => {
      this.#done = true
    }
    const replant = this.#options.plant?.engine?.()
    const live = this.#live().finally(ends)
    await Promise.all([this.timeline.run(() => this.#done), live]).finally(replant)
    const redis = this.cluster.primary.keys
    for (const record of this.records) this.#violations.push(...record.judge(redis))
    this.#violations.push(...this.#readers.problems, ...this.#shopProblems(redis))
    const counts = countsOf({ clusters: [this.cluster], records: this.records, people: this.people })
    counts.forgiven.codes += this.shops?.forgiven ?? 0
    return {
      ...{ seed: this.#options.seed, faults: this.#faults, days: this.timeline.now / DAY_MS },
      ...{ ...counts, moves: 0, calmClaims: 0, cuts: this.cuts, violations: this.#violations },
      reads: this.#readers.reads,
    }
  }

  /** Whether the level bears an old primary that lives on beside the new one. */
  get isForgiving(): boolean {
    return this.#kind.family === 'failOvers'
  }

  get isFenced(): boolean {
    return this.#options.level === 'fenced'
  }

  /** Resolves when so many milliseconds have passed. */
  readonly passes = (ms: number): Promise<void> => new Promise(resolve => this.timeline.after(ms, resolve))

  readonly redisMs = (): number => this.cluster.primary.timeMs

  get hasTills(): boolean {
    return this.shops !== undefined
  }

  /** A node that lives, by chance; undefined when none does. */
  readonly anyNode = (): EngineNode | undefined => {
    const alive = this.nodes.filter(({ clock }) => clock.alive)
    return alive.length > 0 ? this.chance.pick(alive) : undefined
  }

  /** For some nodes the name goes on meaning this server, until the returned function is called. */
  leaveBehind(server: Server): () => void {
    const names = this.nodes.filter(() => this.chance.happens(0.5)).map(({ name }) => name)
    for (const name of names) this.#behind.set(name, server)
    return () => {
      for (const name of names) this.#behind.delete(name)
    }
  }

  /** A node's journals are lost, and with them its name; nothing else is promised for what it told. */
  loseJournal(node: EngineNode): void {
    this.#journals.delete(node.name)
    for (const record of this.records) record.journalsLost = true
  }

  #journalOf(name: string): JournalStore {
    const disk = this.#journals.get(name) ?? new JournalStore(this.timeline, this.chance)
    this.#journals.set(name, disk)
    return disk
  }

  /** Starts a node in the place of one that ended. */
  replace(node: EngineNode): void {
    const place = this.nodes.indexOf(node)
    if (place >= 0 && !this.#done) this.nodes[place] = this.#node(node.name)
  }

  #node(name: string): EngineNode {
    const { timeline, network, cluster } = this
    const { level, plant = {} } = this.#options
    return new EngineNode({
      ...{ name, timeline, network, durability: level, replicas: this.#replicas, subscribed: cluster.subscribed },
      ...{ hasTills: this.shops !== undefined, hasDraws: this.#modes.hasDrawn },
      ...(this.#modes.hasStrict ? { arrived: (...arrived) => arrivedIn(this.records, ...arrived) } : {}),
      resolve: () => this.#behind.get(name) ?? cluster.primary,
      plant,
      journal: level === 'fenced' ? this.#journalOf(name) : undefined,
    })
  }

  async #live(): Promise<void> {
    const days = 1 + this.chance.below(3)
    const count = 1 + this.chance.below(3)
    for (let day = 0; day < days; day++) {
      for (let i = 0; i < count; i++) this.nodes[i] = this.#node(`node${i}`)
      await this.passes(50)
      await this.#day(day)
      this.#isNight = true
      for (const people of this.people) people.rest()
      for (const node of this.nodes) node.end()
      await this.passes(DAY_MS - (this.timeline.now % DAY_MS))
    }
  }

  /** Everybody looks at the round of the day until it is over. */
  #looks(day: number): void {
    if (this.records.length !== day + 1 || this.#isNight) return
    this.#readers.look()
    this.timeline.after(LOOK_MS, () => this.#looks(day))
  }

  /** Since when nothing has kept a node from the primary, or undefined. */
  #calmFor(node: EngineNode): number | undefined {
    const { name, clock } = node
    const { primary, isAttached } = this.cluster
    if (!node.reaches(primary)) this.#apart.set(node, this.timeline.now)
    const isUpset = this.#happening > 0 || clock.isStill || primary.state !== 'up' || !isAttached
    if (isUpset || (this.#behind.get(name) ?? primary) !== primary) this.#calmSince = this.timeline.now
    // Nobody looks at a node that stands still, so what kept it from the primary is asked of its clock.
    const apart = this.#apart.get(node) ?? 0
    return isUpset ? undefined : Math.max(this.#calmSince, this.network.resumesAt, clock.stillUntil, apart)
  }

  #shopProblems(redis: Keyspace): readonly string[] {
    if (!this.shops) return []
    const isExcused = (roundId: string, sequence: number) =>
      this.records.find(({ options }) => options.id === roundId)?.isExcused(redis, sequence) ?? false
    return [...this.shops.judge(isExcused), ...ledgerProblems(redis, CAMPAIGN, this.shops.told)]
  }

  async #day(day: number): Promise<void> {
    const { timeline, chance } = this
    const operator = new Operator(this, day + 1, `rnd_day${day}`)
    const faults = 20 + chance.below(80)
    const record = await operator.createRound(this.#options.seed, 10 + faults * 3, this.#modes.next())
    record.wellSince = node => this.#calmFor(node)
    const { id } = record.options
    const told = this.shops && ((sequence: number, codes: readonly string[]) => this.shops?.hear(id, sequence, codes))
    const people = new People({ timeline, chance, record, node: this.anyNode, told })
    this.shops?.opens()
    this.records.push(record)
    this.people.push(people)
    this.#readers.turnTo(id)
    this.#isNight = false
    this.#looks(day)
    void operator.works()
    const wave = Math.ceil(people.left / faults)
    for (let i = 0; i < faults; i++) {
      people.arrive(wave, chance.span(100))
      for (const earlier of this.people) if (chance.happens(0.3)) earlier.remind()
      await this.passes(chance.span(25))
      await this.#fault()
      if (chance.happens(CALM_SHARE)) await this.#calm()
    }
    await this.#ends(operator, people, record)
  }

  async #fault(): Promise<void> {
    const { family } = this.#kind
    if (this.#faults >= (this.#options.faults ?? Number.POSITIVE_INFINITY)) return
    this.#faults++
    this.#happening++
    const happening = drawFault(this, family, this.#options.plant?.often)
      .happens(this)
      .finally(() => {
        this.#happening--
        this.#calmSince = this.timeline.now
      })
    if (this.chance.happens(0.75)) await happening
    else await this.passes(this.chance.span(30))
  }

  /** Nothing goes wrong for longer than a lost state may be shown. */
  async #calm(): Promise<void> {
    while (this.#happening > 0) await this.passes(LOOK_MS)
    await this.passes(CALM_MS)
  }

  /** Who keeps people from a certain answer when everything is healed. */
  #unsettled(): string {
    const problems = this.nodes.flatMap(({ name, problems }) => problems.map(what => `${name}: ${what}`))
    return `${SETTLES_MS} ms after everything healed somebody still has no certain answer; ${problems.join(', ')}`
  }

  /** Everything heals, and everybody is told for certain. */
  async #ends(operator: Operator, people: People, record: RoundRecord): Promise<void> {
    await this.passes(500)
    this.#behind.clear()
    for (const [i, node] of this.nodes.entries()) if (!node.clock.alive) this.nodes[i] = this.#node(node.name)
    this.cluster.heal()
    await this.passes(CALM_MS)
    await operator.stops()
    const until = this.timeline.now + SETTLES_MS
    while (!this.cluster.isWhole && this.timeline.now < until) await this.passes(50)
    record.healedAt = (this.timeline.now + CALM_MS) * 1000
    people.askAgain()
    while (!people.isQuiet && this.timeline.now < until) {
      await this.passes(50)
      if (record.journalsLost && this.timeline.now > until - SETTLES_MS / 2) await operator.releases()
    }
    if (!people.isQuiet) this.#violations.push(this.#unsettled())
    await this.shops?.closes()
  }
}
