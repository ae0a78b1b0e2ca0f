/**
 * A simulated redis-server: one thread that takes what has arrived, executes it, syncs its log, and only then answers
 * and feeds its replicas, in the order of Redis's own event loop.
 *
 * What it holds is its log applied; three marks along the log say what survives: `written` a kill, `synced` a power
 * loss, and what a replica applied its promotion. Replication is one ordered stream with a lag; a replica confirms what
 * it has applied and synced. A replica that has writes which its primary lacks loses them when it attaches, as in a full
 * resync. A frozen server keeps its connections and executes what came meanwhile when it thaws. Replication ids change
 * with each start and promotion. Rejected: sub-second steps of full resyncs; a replica has the old or the new data.
 */
import { Call, type Done, type Published } from './call.ts'
import { COMMANDS, execute, type Raw, READ_ONLY } from './commands.ts'
import { configOf, infoOf, type ServerFacts } from './facts.ts'
import { Keyspace, Refused } from './keyspace.ts'
import type { Command, Connection } from './network.ts'
import { Seated } from './seat.ts'
import type { ServerOptions, Sync } from './server-options.ts'
import { type Asked, type Wait, Waits } from './waits.ts'

/** What a turn leaves to be told at its end: a reply, or a connection that waits from then on. */
type Told = Wait | (Asked & { readonly reply: Raw | Error })

const NO_WAIT = 'ERR WAIT cannot be used with replica instances.'
const EPOCH_MS = Date.UTC(2026, 10, 1)
const SYNC_EACH_MS = 1000
/** Between two tries of a replica to reach its primary. */
const ATTACH_MS = 60

export class Server {
  readonly name: string
  readonly keys = new Keyspace()
  readonly log: Done[] = []
  state: 'up' | 'frozen' | 'down' = 'up'
  /** Its lives, counted: connections and timers of an earlier one mean nothing. */
  life = 0
  replid: string
  /** The history that it was promoted from, in this life. */
  before = ''
  primary: Server | undefined
  /** How much its wall clock is ahead, milliseconds. */
  aheadMs = 0
  syncMs = 0.3
  lagMs = 0.3
  readonly replicas = new Map<Server, number>()
  readonly connections = new Set<Connection>()
  /** How it syncs its log; what an operator sets holds from then on. */
  sync: Sync
  readonly #options: ServerOptions
  readonly #seated: Seated | undefined
  #written = 0
  #synced = 0
  #inbox: Asked[] = []
  #unsaid: Published[] = []
  #busy = false
  #isHeld = false
  #attached = false
  /** Which of its connections to a primary this is: what travels on an earlier one is lost. */
  #attachment = 0
  #syncing = false
  #held: (() => void)[] = []
  readonly #lastWrite = new WeakMap<Connection, number>()
  readonly #waits = new Waits({
    copies: offset => this.#copies(offset),
    goOn: behind => {
      this.#inbox.unshift(...behind)
      this.#later(0, () => this.#work())
    },
    later: (ms, run) => this.#later(ms, run),
  })

  constructor(options: ServerOptions) {
    this.#options = options
    this.name = options.name
    this.sync = options.sync
    this.#seated = options.seat && new Seated(options.seat(this))
    this.replid = this.#newId()
  }

  get timeMs(): number {
    return Math.floor(EPOCH_MS + this.#options.timeline.now + this.aheadMs)
  }

  get timeUs(): number {
    return Math.floor((EPOCH_MS + this.#options.timeline.now + this.aheadMs) * 1000)
  }

  get isAttached(): boolean {
    return this.#attached
  }
  /** Whether a sync is under way. */
  get isBusy(): boolean {
    return this.#busy
  }
  /** Writes that it has, as a place in its log. */
  get offset(): number {
    return this.log.length
  }

  receive(connection: Connection, commands: readonly Command[]): void {
    this.connections.add(connection)
    for (const command of commands) this.#inbox.push({ connection, command })
    this.#work()
  }

  freeze(): void {
    if (this.state === 'up') this.state = 'frozen'
  }

  thaw(): void {
    if (this.state !== 'frozen') return
    this.state = 'up'
    for (const run of this.#held.splice(0)) run()
    this.#work()
  }

  /** Takes nothing more until `goOn`: its one thread waits for another server. */
  hold(): void {
    this.#isHeld = true
  }

  /** Goes on, first of all with these commands. */
  goOn(connection: Connection, commands: readonly Command[]): void {
    this.#isHeld = false
    this.#inbox.unshift(...commands.map(command => ({ connection, command })))
    this.#work()
  }

  /** Ends by kill -9, or by loss of power: then only what was synced is there at the next start. */
  end(power: boolean): void {
    if (this.state === 'down') return
    const survives = this.#busy && !power && this.#options.chance.happens(0.5) ? this.offset : this.#written
    this.state = 'down'
    this.life++
    this.#busy = this.#syncing = this.#isHeld = false
    this.#inbox = []
    this.#unsaid = []
    this.#held = []
    this.#waits.forget()
    this.#detach()
    for (const replica of [...this.replicas.keys()]) replica.#detach()
    for (const connection of this.connections) connection.fail()
    this.connections.clear()
    this.#rollBack(power ? this.#synced : survives)
    // What was written and never synced is read by the next life, and still gone after a loss of power.
    this.#written = this.offset
  }

  start(): void {
    if (this.state !== 'down') return
    this.state = 'up'
    this.replid = this.#newId()
    this.before = ''
    if (this.primary) this.#attachLater()
  }

  /** Becomes a replica of another server, or with undefined a primary. */
  follow(primary: Server | undefined): void {
    if (this.primary === primary) return
    this.#detach()
    this.primary = primary
    this.#waits.depose()
    if (!primary) {
      this.before = this.replid
      this.replid = this.#newId()
      return
    }
    for (const replica of [...this.replicas.keys()]) replica.#detach()
    this.replicas.clear()
    this.#attachLater()
  }

  /** Writes that a loss of power leaves, as a place in its log. */
  get synced(): number {
    return this.#synced
  }

  info(): string {
    return infoOf(this.#facts)
  }

  get #facts(): ServerFacts {
    const [run, isOfCluster] = [`${this.name}-${this.life}`, this.#seated !== undefined]
    const { sync, replid, replicas, primary } = this
    return { sync, replid, replicas: replicas.size, isReplica: primary !== undefined, run, isOfCluster }
  }

  #newId = () => this.#options.chance.bytes(20).toString('hex')

  /** Takes everything that has arrived, as one turn of Redis's event loop. */
  #work(): void {
    if (this.#busy || this.#isHeld || this.state !== 'up' || this.#inbox.length === 0) return
    const turn = this.#inbox
    this.#inbox = []
    const replies: Told[] = []
    const before = this.offset
    for (const asked of turn) this.#take(asked, replies)
    const ends = () => this.#turnEnds(replies)
    const [{ plant }, { sync }] = [this.#options, this]
    if (plant.answersEarly) ends()
    if (this.offset === before || sync !== 'always') {
      if (sync === 'everysec') this.#writeBehind()
      return plant.answersEarly ? undefined : ends()
    }
    this.#busy = true
    this.#later(this.syncMs * (0.5 + this.#options.chance.float()), () => {
      this.#busy = false
      this.#written = this.#synced = this.offset
      if (!plant.answersEarly) ends()
      this.#work()
    })
  }

  /** A slow sync holds up what is written behind it. */
  #writeBehind(): void {
    if (this.syncMs < SYNC_EACH_MS / 4) this.#written = this.offset
    if (this.#synced < this.offset) this.#syncSoon()
  }

  #take(asked: Asked, replies: Told[]): void {
    const { connection, command } = asked
    if (this.#waits.keepsBack(asked)) return
    if (command.name === 'wait' && this.primary) replies.push({ ...asked, reply: new Refused(NO_WAIT) })
    else if (command.name === 'wait' && this.#options.plant.waitsForNobody)
      replies.push({ ...asked, reply: Number(command.words[0]) })
    else if (command.name === 'wait') replies.push(this.#waits.announce(asked, this.#lastWrite.get(connection) ?? 0))
    else replies.push({ ...asked, reply: this.#answer(connection, command) })
  }

  #turnEnds(replies: readonly Told[]): void {
    for (const told of this.#unsaid.splice(0)) this.#options.published(this, told)
    for (const told of replies) {
      if ('reply' in told) told.connection.reply(told.command, told.reply)
      else this.#waits.begin(told)
    }
    for (const replica of this.replicas.keys()) this.#feed(replica)
    this.#waits.look()
  }

  #answer(connection: Connection, command: Command): Raw | Error {
    const { name, words, keyCount } = command
    if (name === 'eval') {
      const [source = '', count = '0', ...rest] = words
      return this.#answer(connection, { name: this.#options.scriptOf(source), words: rest, keyCount: Number(count) })
    }
    const placed = this.#seated?.answers(connection, command)
    if (placed !== undefined) return placed
    if (name === 'info') return this.info()
    if (name === 'role') return [this.primary ? 'slave' : 'master', this.offset, []]
    if (name === 'config') return configOf(this.#facts)
    if (this.primary && !READ_ONLY.has(name))
      return new Refused("READONLY You can't write against a read only replica.")
    const call = new Call(this.keys, this.timeMs, this.replid, this.before, this.timeUs)
    try {
      return (this.#options.plant.execute ?? execute)(call, name, words, keyCount)
    } catch (cause) {
      if (cause instanceof Refused) return cause
      throw cause
    } finally {
      // What a script wrote before it failed stays written.
      for (const done of call.writes) this.log.push(done)
      if (call.writes.length > 0) this.#lastWrite.set(connection, this.offset)
      for (const told of call.published) this.#publish(told)
    }
  }

  #publish(told: Published): void {
    this.#unsaid.push(told)
    const done = this.log.pop() as Done
    this.log.push({ ...done, told: [...(done.told ?? []), told] })
    this.#options.noted(this, told, this.log.length - 1)
  }

  #copies(offset: number): number {
    let copies = 0
    for (const confirmed of this.replicas.values()) if (confirmed >= offset) copies++
    return copies
  }

  /** Sends what a replica lacks. */
  #feed(replica: Server): void {
    const { timeline, network } = this.#options
    const upTo = this.offset
    if ((this.replicas.get(replica) ?? 0) >= upTo) return
    const [life, attachment] = [this.life, replica.#attachment]
    timeline.after(replica.lagMs * (0.5 + this.#options.chance.float()), () =>
      network.pass(this.name, replica.name, () => {
        if (this.life === life && replica.#attachment === attachment) replica.#applyUpTo(this, upTo)
      }),
    )
  }

  /** Applies its primary's writes up to a place, syncs, and confirms. */
  #applyUpTo(primary: Server, upTo: number): void {
    if (this.state === 'frozen') return this.#later(0, () => this.#applyUpTo(primary, upTo))
    if (this.state !== 'up' || this.primary !== primary || !this.#attached) return
    const said: Published[] = []
    for (let at = this.offset; at < Math.min(upTo, primary.offset); at++) {
      const { write, told } = primary.log[at] as Done
      this.log.push({ write, undo: this.keys.apply(write), told })
      if (told) said.push(...told)
    }
    if (this.sync === 'everysec') this.#writeBehind()
    const sync = this.sync === 'always' ? this.syncMs : 0
    const [offset, life, attachment] = [this.offset, primary.life, this.#attachment]
    this.#later(sync + this.#options.network.delay(), () => {
      if (this.sync === 'always') this.#synced = this.#written = Math.max(this.#synced, Math.min(offset, this.offset))
      for (const told of said) this.#options.published(this, told)
      this.#options.network.pass(this.name, primary.name, () => {
        if (primary.life !== life || this.#attachment !== attachment || !primary.replicas.has(this)) return
        primary.replicas.set(this, Math.max(offset, primary.replicas.get(this) ?? 0))
        primary.#waits.look()
      })
    })
  }

  #attachLater = () => this.#later(ATTACH_MS * this.#options.chance.float(), () => this.#attach())

  /** Takes over what its primary has, losing what only it has itself; tries again while the primary is not there. */
  #attach(): void {
    const { primary } = this
    if (!primary || this.#attached) return
    const there = primary.state === 'up' && !primary.primary && this.#options.network.reaches(this.name, primary.name)
    if (!there || this.state !== 'up') return this.#attachLater()
    this.#rollBack(this.#shared(primary))
    this.#attached = true
    this.#attachment++
    this.replid = primary.replid
    primary.replicas.set(this, 0)
    this.#applyUpTo(primary, primary.offset)
  }

  #detach(): void {
    if (!this.#attached || !this.primary) return
    this.#attached = false
    if (this.#options.network.reaches(this.name, this.primary.name)) this.primary.replicas.delete(this)
    if (this.state !== 'down') this.#attachLater()
  }

  /** How many writes two logs have in common. */
  #shared(other: Server): number {
    let common = Math.min(this.offset, other.offset)
    while (common > 0 && this.log[common - 1]?.write !== other.log[common - 1]?.write) common--
    return common
  }

  #rollBack(to: number): void {
    while (this.log.length > to) (this.log.pop() as Done).undo()
    this.#written = Math.min(this.#written, to)
    this.#synced = Math.min(this.#synced, to)
  }

  /** Syncs within a second of a write, as `everysec` does. */
  #syncSoon(): void {
    if (this.#syncing) return
    this.#syncing = true
    this.#later(SYNC_EACH_MS, () => {
      const upTo = this.offset
      this.#later(this.syncMs, () => {
        this.#syncing = false
        this.#synced = Math.min(upTo, this.offset)
        this.#written = this.offset
        if (this.#synced < this.offset) this.#syncSoon()
      })
    })
  }

  /** Runs in this life of the server only, and not while it is frozen. */
  #later(ms: number, run: () => void): void {
    const { life } = this
    this.#options.timeline.after(ms, () => {
      if (this.life !== life) return
      if (this.state === 'frozen') this.#held.push(run)
      else run()
    })
  }
}

/** Every name that a server answers, for the client's methods. */
export const COMMAND_NAMES = [...Object.keys(COMMANDS), 'info', 'role', 'config', 'wait', 'eval', 'cluster']
