/**
 * What the engine's Link takes for an ioredis client, on a simulated network: the same methods, events and moods.
 *
 * It connects to whatever server its address means at that moment, asks it once whether it is ready, sends commands in
 * order and gives replies back in order; a lost connection rejects everything that is without a reply and ends, for
 * good. Replies come as texts or, from methods that end in Buffer, as bytes. So the engine's own link, with its
 * resending, its watchdog and its WAIT, is what runs on it. Rejected: a second Link; recovery is what is to be proved.
 */
import type { Redis } from 'ioredis'
import { assert } from '../../../engine/base/assert.ts'
import { SCRIPTS } from '../../../engine/store/connection/scripts.ts'
import type { Raw } from './commands.ts'
import { type Command, Connection, type Network } from './network.ts'
import { COMMAND_NAMES, type Server } from './server.ts'

type Word = string | number | Buffer
interface Pending {
  readonly resolve: (reply: never) => void
  readonly reject: (cause: Error) => void
  readonly bytes: boolean
  readonly command: Command
}

export interface ClientOptions {
  readonly network: Network
  /** Whose client it is. */
  readonly from: string
  /** The server that the address means now. */
  readonly resolve: () => Server
  /** Runs in the engine's process, or not at all when that has ended. */
  readonly within: (run: () => void) => void
}

const CONNECT_MS = 1000
/** As the library does: an object is its fields and values. */
const flat = (word: Word | Readonly<Record<string, Word>>): readonly Word[] =>
  typeof word === 'object' && !Buffer.isBuffer(word) ? Object.entries(word).flat() : [word]
const latin1 = (word: Word): string => (Buffer.isBuffer(word) ? word.toString('latin1') : String(word))

function decoded(reply: Raw, bytes: boolean): unknown {
  if (typeof reply === 'string') return bytes ? Buffer.from(reply, 'latin1') : reply
  if (Array.isArray(reply)) return reply.map(part => decoded(part as Raw, bytes))
  return reply
}

/** HGETALL's flat list as an object. */
function paired(flat: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (let i = 0; i < flat.length; i += 2) object[String(flat[i])] = flat[i + 1]
  return object
}

const isOfRights = (name: string, [first]: readonly Word[]): boolean =>
  name === 'EVALSHA' || name === 'PUBLISH' || name === 'SPUBLISH' || (name === 'EVAL' && first === 'return 1')

export class SimulatedClient {
  status = 'wait'
  readonly stream = {
    bytesRead: 0,
    // One cork within another ends nothing, as with Node's own streams.
    cork: () => {
      this.#corks++
      this.#corked ??= []
    },
    uncork: () => {
      if (--this.#corks > 0) return
      if (this.#corked) this.#connection?.send(this.#corked)
      this.#corked = undefined
    },
  }
  readonly #options: ClientOptions
  readonly #pending: Pending[] = []
  #connection: Connection | undefined
  #corks = 0
  #corked: Command[] | undefined
  #onError: (cause: Error) => void = () => {}
  #onEnd: () => void = () => {}

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** The server that its connection leads to; undefined without one. */
  get server(): Server | undefined {
    return this.#connection?.server
  }

  on(event: 'error', heard: (cause: Error) => void): void {
    if (event === 'error') this.#onError = heard
  }

  once(event: 'end', heard: () => void): void {
    if (event === 'end') this.#onEnd = heard
  }

  emit(_event: 'error', cause: Error): void {
    this.#onError(cause)
  }

  /** Every server knows the scripts of this world already. */
  defineCommand(): void {}

  async connect(): Promise<void> {
    const { network, from, resolve, within } = this.#options
    const server = resolve()
    this.status = 'connecting'
    const { promise, resolve: reached, reject } = Promise.withResolvers<void>()
    const late = network.timeline.after(CONNECT_MS, () => reject(new Error('connect ETIMEDOUT')))
    network.timeline.after(network.delay(), () => network.pass(from, server.name, () => within(reached)))
    try {
      await promise
      late()
      if (server.state === 'down') throw new Error('connect ECONNREFUSED')
      if (this.status !== 'connecting') throw new Error('Connection is closed.')
      this.status = 'connect'
      this.#connection = new Connection(network, from, server, {
        replied: (command, reply) => within(() => this.#replied(command, reply)),
        ended: () => within(() => this.#ended()),
      })
      await this.ask('info', [], false)
      this.status = 'ready'
    } catch (cause) {
      this.#onError(cause as Error)
      this.#ended()
      throw cause
    }
  }

  disconnect(): void {
    this.#connection?.close()
    this.#options.network.timeline.after(0, () => this.#options.within(() => this.#ended()))
  }

  /** What every method comes to; whoever puts something before each command does it in sendCommand, as with ioredis. */
  ask(name: string, words: readonly Word[], bytes: boolean, keyCount = 0): Promise<unknown> {
    return this.sendCommand({ command: { name, words: words.map(latin1), keyCount }, bytes })
  }

  sendCommand({ command, bytes }: Pick<Pending, 'command' | 'bytes'>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.status !== 'ready' && this.status !== 'connect') return reject(new Error('Connection is closed.'))
      this.#pending.push({ resolve, reject, bytes, command })
      if (this.#corked) this.#corked.push(command)
      else this.#connection?.send([command])
    })
  }

  /** Rights are no part of this world: who looks whether scripts may run is told so here, and costs no time. */
  call(name: string, ...words: readonly Word[]): Promise<unknown> {
    if (isOfRights(name, words)) return Promise.resolve('OK')
    return this.ask(name.toLowerCase(), words, false)
  }

  callBuffer(name: string, ...words: readonly Word[]): Promise<unknown> {
    return this.ask(name.toLowerCase(), words, true)
  }

  /** Cuts its connection; see Connection.cut. */
  cut(sentArrives: boolean): void {
    this.#connection?.cut(sentArrives)
  }

  #replied(command: Command, reply: Raw | Error): void {
    const pending = this.#pending.shift()
    if (!pending) return
    assert(
      pending.command === command,
      `the simulated server answers ${command.name} in the place of ${pending.command.name}`,
    )
    this.stream.bytesRead++
    if (reply instanceof Error) {
      reply.name = 'ReplyError'
      return pending.reject(reply)
    }
    const value = decoded(reply, pending.bytes)
    pending.resolve((pending.command.name === 'hgetall' ? paired(value as unknown[]) : value) as never)
  }

  #ended(): void {
    if (this.status === 'end') return
    this.status = 'end'
    this.#connection?.close()
    for (const { reject } of this.#pending.splice(0)) reject(new Error('Connection is closed.'))
    this.#onEnd()
  }
}

type Methods = Record<string, (this: SimulatedClient, ...words: readonly Word[]) => Promise<unknown>>
const methods = SimulatedClient.prototype as unknown as Methods
for (const name of COMMAND_NAMES) {
  methods[name] = function (...words) {
    return this.ask(name, words, false)
  }
  methods[`${name}Buffer`] = function (...words) {
    return this.ask(name, words, true)
  }
}
methods.hset = function (...words) {
  return this.ask('hset', words.flatMap(flat), false)
}
for (const [script, { keys, args }] of Object.entries(SCRIPTS))
  for (const name of (args as readonly string[]).at(-1) === 'dry' ? [script, `${script}-dry`] : [script])
    methods[`${name}Buffer`] = function (...words) {
      // A script that takes any number of keys is told how many come.
      if (keys.at(-1)?.endsWith('*')) return this.ask(name, words.slice(1), true, Number(words[0]))
      return this.ask(name, words, true, keys.length)
    }

/** The client as the engine's Link wants it. */
export const asRedis = (client: SimulatedClient): Redis => client as unknown as Redis
