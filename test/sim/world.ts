/**
 * A whole campaign under faults from one seed: servers, engine nodes, operators and people, some days of it, in virtual
 * time; at the end everything heals, everybody asks again, and each round is judged.
 *
 * A day is a round: created, opened by an operator or by the clock, asked for in waves while faults come one after the
 * other or two at a time, paused and restocked meanwhile, closed or left; at night the engines are off. All that is drawn
 * is drawn from the seed, and the parts of a world see no other clock, so a seed is a history: the same one each time.
 * `faults` ends the faults after so many; so the shortest history that shows a violation is found by playing again.
 */
import { CODES } from '../../engine/base/codes.ts'
import type { Durability } from '../../engine/store/health.ts'
import { Cluster } from './cluster.ts'
import { EngineNode, type NodePlant, SCRIPTS } from './engine-node.ts'
import { drawFault, type Family } from './faults.ts'
import { JournalStore } from './journal-store.ts'
import { Operator } from './operator.ts'
import { People } from './people.ts'
import { Network } from './redis/network.ts'
import type { Server, ServerPlant, Sync } from './redis/server.ts'
import type { RoundRecord } from './round-record.ts'
import { Chance, Timeline } from './timeline.ts'

export type Level = Durability

export interface WorldOptions {
  readonly seed: number
  readonly level: Level
  /** After so many faults no more come; all of them where it is left out. */
  readonly faults?: number | undefined
  readonly plant?: WorldPlant | undefined
}

/** Bugs that may be planted in a world, to see whether it notices. */
export interface WorldPlant extends ServerPlant, NodePlant {
  /** Promotes replicas that lack writes which their primary alone answered for. */
  readonly losesTail?: boolean
}

export interface Outcome {
  readonly seed: number
  readonly faults: number
  readonly days: number
  readonly claims: number
  readonly grants: number
  readonly failOvers: number
  readonly powerLosses: number
  readonly kills: number
  readonly cuts: number
  /** Answers that contradict others, each noted in its round. */
  readonly conflicts: number
  /** In words; empty when nothing was broken. */
  readonly violations: readonly string[]
}

const DAY_MS = 86_400_000
const SETTLES_MS = 15_000
const NAME = new Map(Object.values(SCRIPTS).map(({ source, name }) => [source, name]))

interface Kind {
  readonly family: Family
  readonly sync: Sync
  readonly servers: readonly number[]
}

/** What each level stands on; where replicas count, all of them are waited for. */
const KINDS: Readonly<Record<Level, Kind>> = {
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
  cuts = 0
  readonly #options: WorldOptions
  readonly #kind: Kind
  readonly #replicas: number
  readonly #behind = new Map<string, Server>()
  readonly #journals = new Map<string, JournalStore>()
  readonly #violations: string[] = []
  #faults = 0
  #done = false

  constructor(options: WorldOptions) {
    this.#options = options
    this.#kind = KINDS[options.level]
    const { timeline } = this
    const chance = new Chance(options.seed)
    this.chance = chance
    this.network = new Network(timeline, chance)
    const servers = chance.pick(this.#kind.servers)
    this.#replicas = this.#kind.family === 'failOvers' ? servers - 1 : 0
    this.cluster = new Cluster({
      ...{ timeline, chance, network: this.network, servers, sync: this.#kind.sync },
      mayLack: this.#kind.family === 'failOvers' || options.plant?.losesTail === true,
      scriptOf: source => NAME.get(source) ?? 'unknown',
      plant: options.plant ?? {},
    })
  }

  /** Plays the world to its end. */
  async play(): Promise<Outcome> {
    const live = this.#live().then(
      () => {
        this.#done = true
      },
      (cause: unknown) => {
        this.#done = true
        throw cause
      },
    )
    await this.timeline.run(() => this.#done)
    await live
    const { redis } = { redis: this.cluster.primary.keys }
    for (const record of this.records) this.#violations.push(...record.judge(redis))
    const { failOvers, powerLosses, kills } = this.cluster.counts
    const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
    return {
      ...{ seed: this.#options.seed, faults: this.#faults, days: this.timeline.now / DAY_MS },
      ...{ failOvers, powerLosses, kills, cuts: this.cuts, violations: this.#violations },
      conflicts: sum(this.records.map(({ conflicts }) => conflicts)),
      claims: sum(this.people.map(({ claims }) => claims)),
      grants: sum(
        this.records.map(
          ({ history }) =>
            history.at.outcome.slice(0, history.length).filter(outcome => outcome === CODES.granted.number).length,
        ),
      ),
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
  passes(ms: number): Promise<void> {
    return new Promise(resolve => this.timeline.after(ms, resolve))
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
      for (const people of this.people) people.rest()
      for (const node of this.nodes) node.end()
      await this.passes(DAY_MS - (this.timeline.now % DAY_MS))
    }
  }

  async #day(day: number): Promise<void> {
    const { timeline, chance } = this
    const operator = new Operator(this, day)
    const faults = 20 + chance.below(80)
    const record = await operator.createRound(this.#options.seed, 10 + faults * 3)
    const people = new People({ timeline, chance, record, node: this.anyNode })
    this.records.push(record)
    this.people.push(people)
    void operator.works()
    const wave = Math.ceil(people.left / faults)
    for (let i = 0; i < faults; i++) {
      people.arrive(wave, chance.span(100))
      for (const earlier of this.people) if (chance.happens(0.3)) earlier.remind()
      await this.passes(chance.span(25))
      await this.#fault()
    }
    await this.#ends(operator, people, record)
  }

  async #fault(): Promise<void> {
    const { family } = this.#kind
    if (this.#faults >= (this.#options.faults ?? Number.POSITIVE_INFINITY)) return
    this.#faults++
    const happening = drawFault(this, family).happens(this)
    if (this.chance.happens(0.75)) await happening
    else await this.passes(this.chance.span(30))
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
    await operator.stops()
    const until = this.timeline.now + SETTLES_MS
    while (!this.cluster.isWhole && this.timeline.now < until) await this.passes(50)
    people.askAgain()
    while (!people.isQuiet && this.timeline.now < until) {
      await this.passes(50)
      if (record.journalsLost && this.timeline.now > until - SETTLES_MS / 2) await operator.releases()
    }
    if (!people.isQuiet) this.#violations.push(this.#unsettled())
  }
}
