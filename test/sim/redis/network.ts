/**
 * The network of a simulated world: connections with delays, in order, that can be cut and blocked.
 *
 * A message leaves, travels for a while and arrives; what was sent before arrives before. A blocked pair holds what is
 * under way, as TCP does, and delivers it when the block ends: also to a server that froze, or from an engine that has
 * long given the connection up, which is how old bytes come to be executed late. A cut ends a connection for both;
 * what was under way is lost, or arrives all the same and only its answer is lost. A server that ended and came
 * back knows none of its old connections.
 */
import type { Chance, Timeline } from '../timeline.ts'
import type { Raw } from './commands.ts'
import type { Server } from './server.ts'

export interface Command {
  /** A command, or a script's name. */
  readonly name: string
  readonly words: readonly string[]
  /** Of a script: how many of the words are keys. */
  readonly keyCount: number
}

/** The client's end of a connection. */
export interface ClientEnd {
  replied(command: Command, reply: Raw | Error): void
  /** The server, or the network, ended it. */
  ended(): void
}

/** TCP's own patience grows while nothing passes, so what it holds comes late. */
const RETRANSMITTED_MS = 150

const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)

export class Network {
  readonly timeline: Timeline
  readonly chance: Chance
  /** Milliseconds that a message takes, mostly. */
  latencyMs = 0.2
  /** Until when something that a block held is sent again. */
  resumesAt = 0
  readonly #blocked = new Map<string, (() => void)[]>()

  constructor(timeline: Timeline, chance: Chance) {
    this.timeline = timeline
    this.chance = chance
  }

  delay(): number {
    return this.latencyMs * (0.5 + this.chance.float())
  }

  reaches(a: string, b: string): boolean {
    return !this.#blocked.has(pairOf(a, b))
  }

  /** Nothing passes between two names any more. */
  block(a: string, b: string): void {
    const pair = pairOf(a, b)
    if (!this.#blocked.has(pair)) this.#blocked.set(pair, [])
  }

  /** Lets pass again, and what was held arrives. */
  unblock(a: string, b: string): void {
    const held = this.#blocked.get(pairOf(a, b))
    this.#blocked.delete(pairOf(a, b))
    for (const arrives of held ?? []) arrives()
  }

  unblockAll(): void {
    const held = [...this.#blocked.values()].flat()
    this.#blocked.clear()
    for (const arrives of held) arrives()
  }

  /** Calls `arrives` at once, or when the pair is no longer blocked. */
  pass(a: string, b: string, arrives: () => void): void {
    const held = this.#blocked.get(pairOf(a, b))
    if (held) held.push(arrives)
    else arrives()
  }
}

export class Connection {
  readonly server: Server
  readonly from: string
  /** Of the server's lives, the one that accepted it. */
  readonly life: number
  /** Whether the client still has it. */
  open = true
  /** Whether the server still has it. */
  accepted = true
  readonly #network: Network
  readonly #end: ClientEnd
  #resumesAt = 0
  #lastThere = 0
  #lastBack = 0

  constructor(network: Network, from: string, server: Server, end: ClientEnd) {
    this.#network = network
    this.from = from
    this.server = server
    this.life = server.life
    this.#end = end
  }

  /** Sends commands in one write; a server that is gone answers by ending the connection. */
  send(commands: readonly Command[]): void {
    const { timeline } = this.#network
    this.#lastThere = Math.max(this.#lastThere, timeline.now + this.#network.delay())
    timeline.at(this.#lastThere, () =>
      this.#arrive(() => {
        if (!this.accepted) return
        if (this.server.state === 'down' || this.server.life !== this.life) this.fail()
        else this.server.receive(this, commands)
      }),
    )
  }

  /** What a block has held is sent again some time after its end, and what follows waits behind it. */
  #arrive(run: () => void): void {
    const { timeline, chance } = this.#network
    if (timeline.now < this.#resumesAt) return void timeline.at(this.#resumesAt, () => this.#arrive(run))
    if (this.#network.reaches(this.from, this.server.name)) return run()
    this.#network.pass(this.from, this.server.name, () => {
      if (this.#resumesAt <= timeline.now) this.#resumesAt = timeline.now + chance.span(RETRANSMITTED_MS)
      this.#network.resumesAt = Math.max(this.#network.resumesAt, this.#resumesAt)
      this.#arrive(run)
    })
  }

  /** Sends a reply back, in order. */
  reply(command: Command, reply: Raw | Error): void {
    this.#back(() => {
      if (this.open) this.#end.replied(command, reply)
    })
  }

  /** Ends it from the server's side; the client hears of it when that has travelled. */
  fail(): void {
    this.accepted = false
    this.#back(() => this.cut())
  }

  /** The client gives it up; what it sent still arrives. */
  close(): void {
    this.open = false
    this.server.connections.delete(this)
  }

  /** Ends it for both now. What is under way to the server arrives only when `sentArrives`. */
  cut(sentArrives = false): void {
    if (!sentArrives) this.accepted = false
    if (!this.open) return
    this.open = false
    this.#end.ended()
  }

  #back(arrives: () => void): void {
    const { timeline } = this.#network
    this.#lastBack = Math.max(this.#lastBack, timeline.now + this.#network.delay())
    timeline.at(this.#lastBack, () => this.#network.pass(this.server.name, this.from, arrives))
  }
}
