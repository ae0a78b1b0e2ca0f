/**
 * A link: one connection to Redis that survives drops without doubling a write.
 *
 * ioredis's own recovery is off (FIFO resend after a lost reply applies a write twice; its time-outs leave ghosts).
 * Instead a request stays here until it has an answer. When the connection ends, a new client is made after a
 * jittered delay (never in the same tick: an immediate retry spins), its role is checked, and every request that was
 * without an answer is sent again, identical and in order, before anything new. That is safe because everything that
 * is sent through a link is idempotent by its natural key; it is this file's one demand on its callers.
 *
 * A request that was never written and passes its deadline is `unavailable` (certainly not executed); one that was
 * written is `unknown` (ask again). Against a frozen server and a black hole there is a watchdog of our
 * own: it counts looks at the socket and not time, because the library's took a worker that was busy itself for half a
 * second for a silent Redis, threw away what was on its way, and asked for all of it again.
 */
import { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { ANSWER_DEADLINE_MS, REDIS_SILENCE_MS } from '../../base/limits.ts'
import { jitter, type Random } from '../../base/random.ts'
import { redisOptions, shownUrl } from './address.ts'
import { runOf, untilSynced } from './first-sync.ts'
import { onAllReplicas, Short } from './replicas.ts'
import type { Script } from './scripts.ts'

export type Reply = null | number | Buffer | Reply[]
export type ScriptArg = string | number | Buffer
type Send = (client: Redis) => Promise<unknown>

interface Request {
  readonly send: Send
  readonly resolve: (reply: unknown) => void
  readonly reject: (cause: unknown) => void
  readonly deadline: number
  readonly replicas: number
  /** Its caller wants to know how it was sent. */
  readonly reports: boolean
  /** See Sent. */
  again: boolean
  /** The connection that it was last written to. */
  writtenTo: Redis | undefined
}

/** The reply of a script, and how it was sent. */
export interface Sent {
  readonly reply: Reply[]
  /**
   * It was sent on more than one connection. What an earlier one still holds may be executed later, after its answer
   * and in another state of the world: so a refusal is not certain any more, while what was done stays done.
   */
  readonly again: boolean
}

/** Makes a client of an address that is not connected yet, and without any recovery of its own. */
export type Dial = (url: string) => Redis

interface RequestOptions {
  readonly deadlineMs?: number
  readonly replicas?: number | undefined
  readonly reports?: boolean
}

export interface LinkOptions {
  readonly url: string
  /** `dialRedis` where nothing else is said. */
  readonly dial?: Dial
  readonly scripts: Readonly<Record<string, Script>>
  readonly clock: Clock
  readonly random: Random
  /** Whether an answer may only rest on what is synced; see first-sync.ts. */
  readonly syncs?: boolean
  /** How many must have a request before it is answered; 0 or left out: only the server itself. */
  readonly replicas?: number
  /** Receives each loss and return, for the log and the metrics. */
  readonly changed?: (event: 'up' | 'down', detail: string) => void
}

/** Server errors that say "not now": another moment or another server may answer. */
const NOT_NOW = new Set(['LOADING', 'READONLY', 'UNBLOCKED', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'BUSY'])

/** Between two looks at deadlines and at what came, milliseconds. */
const LOOK_MS = 50

const takesAnyKeys = ({ keys }: Script): boolean => keys.at(-1)?.endsWith('*') ?? false

const isReplyError = (cause: unknown): cause is Error => cause instanceof Error && cause.name === 'ReplyError'

const dialRedis: Dial = url =>
  new Redis({
    ...redisOptions(url),
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    enableOfflineQueue: false,
    enableReadyCheck: true,
    connectTimeout: 1000,
    lazyConnect: true,
  })

/**
 * Calls a script by its text, which other commands of the same request follow: one that the server forgot would be healed
 * behind them, and what they say of it (a WAIT, a key that is read) would be too early.
 */
export const callWithText = (
  client: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[] = [],
): Promise<Reply[]> => client.callBuffer('EVAL', script.source, keys.length, ...keys, ...args) as Promise<Reply[]>

export class Link {
  readonly #options: LinkOptions
  readonly #requests = new Set<Request>()
  #client: Redis | undefined
  #ready = false
  #closed = false
  #attempt = 0
  #run = ''
  #lastLoss = 'not connected yet'
  /** What the connection had read at the last look, and for how many looks that has been all. */
  #read = 0
  #silentLooks = 0
  #cancelSweep: () => void = () => {}

  constructor(options: LinkOptions) {
    this.#options = options
    this.#connect()
    this.#sweep()
  }

  get ready(): boolean {
    return this.#ready
  }

  /** The run of the server that it was connected to last: another one for each server and each start of it. */
  get run(): string {
    return this.#run
  }

  /** Requests without an answer. */
  get waiting(): number {
    return this.#requests.size
  }

  /** Runs a script; the reply's strings are Buffers. */
  async script(script: Script, keys: readonly string[], args: readonly ScriptArg[]): Promise<Reply[]> {
    return (await this.send(script, keys, args)).reply
  }

  /** The same, with how it was sent: for scripts that refuse. */
  send(script: Script, keys: readonly string[], args: readonly ScriptArg[]): Promise<Sent> {
    const replicas = script.readsOnly ? 0 : this.#options.replicas
    const reports = true
    if (replicas)
      return this.#request(client => callWithText(client, script, keys, args), { replicas, reports }) as Promise<never>
    const command = `${script.name}Buffer`
    const count = takesAnyKeys(script) ? [keys.length] : []
    return this.#request(
      client => {
        const call = (client as unknown as Record<string, (...parts: unknown[]) => Promise<unknown>>)[command]
        return (call as (...parts: unknown[]) => Promise<unknown>).call(client, ...count, ...keys, ...args)
      },
      { reports },
    ) as Promise<never>
  }

  /** Sends something idempotent, again on each new connection until it has an answer or its deadline passes. */
  request<T>(send: (client: Redis) => Promise<T>, deadlineMs = ANSWER_DEADLINE_MS): Promise<T> {
    return this.#request(send, { deadlineMs, replicas: this.#options.replicas })
  }

  #request<T>(
    send: (client: Redis) => Promise<T>,
    { deadlineMs = ANSWER_DEADLINE_MS, replicas = 0, reports = false }: RequestOptions,
  ): Promise<T> {
    return new Promise((settle, reject) => {
      const deadline = this.#options.clock.monotonicMs() + deadlineMs
      const resolve = settle as Request['resolve']
      const sent = { replicas, reports, again: false, writtenTo: undefined }
      const request: Request = { send, resolve, reject, deadline, ...sent }
      this.#requests.add(request)
      if (this.#closed) this.#settle(request, new Fault('unavailable', 'the link to Redis is closed'))
      else if (this.#ready) this.#write(this.#client as Redis, request)
    })
  }

  /** Gives the connection up, for a server that is no longer what it was; requests go on over the next one. */
  renew(why: string): void {
    this.#client?.emit('error', new Error(why))
    this.#client?.disconnect()
  }

  /** Closes the connection; what is without an answer is rejected. */
  async close(): Promise<void> {
    this.#closed = true
    this.#ready = false
    this.#cancelSweep()
    for (const request of this.#requests) this.#settle(request, this.#expired(request))
    this.#client?.disconnect()
  }

  #connect(): void {
    const { url, scripts, dial = dialRedis } = this.#options
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
    this.#client = client
    client.connect().then(
      () => this.#verify(client),
      () => client.disconnect(),
    )
  }

  /** A link writes, so it must talk to a primary. */
  async #verify(client: Redis): Promise<void> {
    try {
      const [role, run] = await Promise.all([client.role() as unknown as [string], runOf(client)])
      if (role[0] !== 'master') throw new Error(`the server is a ${role[0]}, not a primary`)
      if (this.#options.syncs) await untilSynced(client, run)
      if (client === this.#client) this.#run = run
    } catch (cause) {
      client.emit('error', cause as Error)
      client.disconnect()
      return
    }
    if (client !== this.#client || this.#closed) return
    this.#attempt = 0
    this.#ready = true
    for (const request of this.#requests) this.#write(client, request)
    this.#options.changed?.('up', shownUrl(this.#options.url))
  }

  #lost(client: Redis, detail: string): void {
    if (client !== this.#client) return
    const wasReady = this.#ready
    this.#ready = false
    this.#lastLoss = detail
    if (this.#closed) return
    if (wasReady) this.#options.changed?.('down', detail)
    const delay = Math.min(500, 10 * 2 ** Math.min(this.#attempt++, 6))
    this.#options.clock.after(jitter(this.#options.random, delay), () => {
      if (!this.#closed) this.#connect()
    })
  }

  #write(client: Redis, request: Request): void {
    const again = request.writtenTo !== undefined
    const { replicas } = request
    if (again && request.writtenTo !== client) request.again = true
    request.writtenTo = client
    const answered = replicas > 0 ? onAllReplicas(client, replicas, () => request.send(client)) : request.send(client)
    answered.then(
      reply => this.#answer(request, reply),
      cause => this.#failed(client, request, { cause, again }),
    )
  }

  #answer(request: Request, reply: unknown): void {
    if (!this.#requests.delete(request)) return
    request.resolve(request.reports ? { reply, again: request.again } : reply)
  }

  /**
   * A server's error is an answer; a lost connection is not: the request stays for the next connection. A refusal says
   * that nothing was executed only when it is the first try's; an earlier one may have been executed without an answer.
   */
  #failed(client: Redis, request: Request, { cause, again }: { cause: unknown; again: boolean }): void {
    if (cause instanceof Short && client === this.#client && this.#ready && this.#requests.has(request)) {
      this.#write(client, request)
      return
    }
    if (cause instanceof Fault) return this.#settle(request, cause)
    if (!isReplyError(cause)) return
    const word = cause.message.split(' ', 1)[0] as string
    if (NOT_NOW.has(word)) {
      client.disconnect()
      return
    }
    this.#settle(request, new Fault(again ? 'unknown' : 'unavailable', `Redis refused: ${cause.message}`, cause))
  }

  #settle(request: Request, fault: Fault): void {
    if (this.#requests.delete(request)) request.reject(fault)
  }

  #expired(request: Request): Fault {
    return request.writtenTo
      ? new Fault('unknown', 'Redis did not answer in time; it may have been executed, or may be yet')
      : new Fault('unavailable', `Redis cannot be reached (${this.#lastLoss}); nothing was executed`)
  }

  #sweep(): void {
    const now = this.#options.clock.monotonicMs()
    for (const request of this.#requests) if (request.deadline <= now) this.#settle(request, this.#expired(request))
    this.#watch()
    this.#cancelSweep = this.#options.clock.after(LOOK_MS, () => this.#sweep())
  }

  /** Gives a connection up that stays silent over as many looks as fit into the silence, while something is expected. */
  #watch(): void {
    const client = this.#client
    const read = client?.stream?.bytesRead ?? 0
    const expects = this.#ready ? this.#requests.size > 0 : ['connect', 'ready'].includes(client?.status ?? '')
    if (!expects) this.#silentLooks = 0
    else if (read !== this.#read) this.#silentLooks = 0
    else if (++this.#silentLooks * LOOK_MS >= REDIS_SILENCE_MS) {
      this.#silentLooks = 0
      client?.emit('error', new Error(`nothing came for ${REDIS_SILENCE_MS} ms`))
      client?.disconnect()
    }
    this.#read = read
  }
}
