/**
 * A line: one connection to one server of Redis, made anew when it ends. It is up once the server has shown that it is a
 * primary and, where that is asked of it, that all it holds is synced. What is asked over it is the link's affair (link.ts).
 *
 * ioredis's own recovery is off. When a connection ends, a new client is made after a jittered delay (never in the same tick: an
 * immediate retry spins). Against a frozen server and a black hole there is a watchdog of our own: it counts looks at the
 * socket and not time, because the library's took a worker that was busy itself for half a second for a silent Redis,
 * threw away what was on its way, and asked for all of it again.
 */
import { Redis } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import { REDIS_SILENCE_MS } from '../../base/limits.ts'
import { jitter, type Random } from '../../base/random.ts'
import { redisOptions } from './address.ts'
import { runOf, untilSynced } from './first-sync.ts'
import type { Marks } from './marks.ts'
import { isElsewhere } from './replicas.ts'
import type { Script } from './scripts.ts'
import type { TlsFiles } from './tls-files.ts'

/** Makes a client of an address that is not connected yet, and without any recovery of its own. */
export type Dial = (url: string) => Redis

export interface LineOptions {
  readonly url: string
  readonly dial: Dial
  readonly scripts: Readonly<Record<string, Script>>
  readonly clock: Clock
  readonly random: Random
  /** Whether an answer may only rest on what is synced; see first-sync.ts. */
  readonly syncs: boolean
  readonly marks: Marks
  /** Receives each return. */
  readonly up: (line: Line) => void
  /** Receives each end of a connection, and each try that failed. */
  readonly lost: (line: Line, client: Redis, detail: string, wasReady: boolean) => void
}

/** Between two looks at deadlines and at what came, milliseconds. */
export const LOOK_MS = 50

export const takesAnyKeys = ({ keys }: Script): boolean => keys.at(-1)?.endsWith('*') ?? false

/** Makes the commands of scripts; it never connects. */
const maker = new Redis({ lazyConnect: true }) as Redis & Record<string, unknown>
/** Those that it made, by the text of their scripts. */
const commands = new Map<string, unknown>()

/**
 * A client that takes the commands of its scripts from those that were made before: they are the same for every connection, and
 * to hash each text again was most of the cost of one. A `multi` knows none of them.
 */
class Client extends Redis {
  override defineCommand(name: string, definition: Parameters<Redis['defineCommand']>[1]): void {
    const command = `${name}Buffer`
    if (!commands.has(definition.lua)) {
      maker.defineCommand(name, definition)
      commands.set(definition.lua, maker[command])
    }
    Object.assign(this, { [command]: commands.get(definition.lua) })
  }
}

/** How long a server that is given up may take to end the connection by itself: ioredis's own measure, milliseconds. */
const END_MS = 2000

export const dialRedis = (url: string, tls?: TlsFiles, endMs = END_MS): Redis =>
  new Client({
    disconnectTimeout: endMs,
    ...redisOptions(url, tls),
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    enableOfflineQueue: false,
    enableReadyCheck: true,
    connectTimeout: 1000,
    lazyConnect: true,
  })

export class Line {
  readonly #options: LineOptions
  readonly marks: Marks
  #client: Redis
  #ready = false
  #closed = false
  #attempt = 0
  /** Ends the wait behind an attempt that failed. */
  #cancelWait: (() => void) | undefined
  #run = ''
  /** What the connection had read at the last look, and for how many looks that has been all. */
  #read = 0
  #silentLooks = 0

  constructor(options: LineOptions) {
    this.#options = options
    this.marks = options.marks
    this.#client = this.#connect()
  }

  get ready(): boolean {
    return this.#ready
  }

  get url(): string {
    return this.#options.url
  }

  /** What it is connected by; another one behind each end. */
  get client(): Redis {
    return this.#client
  }

  /** The run of the server that it was connected to last: another one for each server and each start of it. */
  get run(): string {
    return this.#run
  }

  /** Gives the connection up, for a server that is no longer what it was. */
  renew(why: string): void {
    this.#client.emit('error', new Error(why))
    this.#client.disconnect()
  }

  /** Connects now where it waits to, as its server may have become a primary. */
  hurry(): void {
    if (!this.#cancelWait) return
    this.#cancelWait()
    this.#attempt = 0
    this.#again()
  }

  close(): void {
    this.#closed = true
    this.#ready = false
    this.#client.disconnect()
  }

  /** Gives a connection up that stays silent over as many looks as fit into the silence, while something is expected. */
  look(expected: number): void {
    const client = this.#client
    const read = client.stream?.bytesRead ?? 0
    const expects = this.#ready ? expected > 0 : ['connect', 'ready'].includes(client.status)
    if (!expects) this.#silentLooks = 0
    else if (read !== this.#read) this.#silentLooks = 0
    else if (++this.#silentLooks * LOOK_MS >= REDIS_SILENCE_MS) {
      this.#silentLooks = 0
      client.emit('error', new Error(`nothing came for ${REDIS_SILENCE_MS} ms`))
      client.disconnect()
    }
    this.#read = read
  }

  #connect(): Redis {
    const { url, scripts, dial } = this.#options
    const client = dial(url)
    for (const script of Object.values(scripts))
      client.defineCommand(script.name, {
        ...(takesAnyKeys(script) ? {} : { numberOfKeys: script.keys.length }),
        lua: script.source,
      })
    let detail = 'connection ended'
    client.on('error', (cause: Error) => {
      detail = cause.message
    })
    client.once('end', () => this.#lost(client, detail))
    client.connect().then(
      () => this.#verify(client),
      () => client.disconnect(),
    )
    return client
  }

  /** A link writes, so it must talk to a primary. */
  async #verify(client: Redis): Promise<void> {
    try {
      const [role, run] = await Promise.all([client.role() as unknown as [string], runOf(client)])
      if (role[0] !== 'master') throw new Error(`the server is a ${role[0]}, not a primary`)
      if (this.#options.syncs) await untilSynced(client, run, this.marks.sync())
      if (client === this.#client) this.#run = run
    } catch (cause) {
      if (isElsewhere(cause)) this.marks.refused()
      client.emit('error', cause as Error)
      client.disconnect()
      return
    }
    if (client !== this.#client || this.#closed) return
    this.#attempt = 0
    this.#ready = true
    this.#options.up(this)
  }

  #lost(client: Redis, detail: string): void {
    if (client !== this.#client) return
    const wasReady = this.#ready
    this.#ready = false
    if (this.#closed) return
    this.#options.lost(this, client, detail, wasReady)
    const delay = Math.min(500, 10 * 2 ** Math.min(this.#attempt++, 6))
    this.#cancelWait = this.#options.clock.after(jitter(this.#options.random, delay), () => this.#again())
  }

  #again(): void {
    this.#cancelWait = undefined
    if (!this.#closed) this.#client = this.#connect()
  }
}
