/**
 * A link: what is asked of Redis for one purpose, each request until it has an answer, over drops and without doubling a write.
 *
 * ioredis's own recovery is off (FIFO resend after a lost reply applies a write twice; its time-outs leave ghosts).
 * Instead a request stays here until it has an answer. When its line (line.ts) is up anew, every request that was without an
 * answer is sent again, identical and in order, before anything new. That is safe because everything that is sent
 * through a link is idempotent by its natural key; it is this file's one demand on its callers. One Redis is reached over one
 * line; on a cluster there is one a server, and each request goes where its key is (shards.ts).
 *
 * A request that was never written and passes its deadline is `unavailable` (certainly not executed); one that was
 * written is `unknown` (ask again).
 */
import type { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { ANSWER_DEADLINE_MS } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { Shards } from '../cluster/shards.ts'
import { shownUrl, userOf } from './address.ts'
import { type Dial, dialRedis, Line, LOOK_MS, takesAnyKeys } from './line.ts'
import { type Marks, ONE_SERVER } from './marks.ts'
import { countCopies, isElsewhere, onAllReplicas, Short, Uncounted } from './replicas.ts'
import { asking, type Request } from './request.ts'
import type { Script } from './scripts.ts'

export type Reply = null | number | Buffer | Reply[]
export type ScriptArg = string | number | Buffer

/** The reply of a script, and how it was sent. */
export interface Sent {
  readonly reply: Reply[]
  /**
   * It was sent on more than one connection. What an earlier one still holds may be executed later, after its answer
   * and in another state of the world: so a refusal is not certain any more, while what was done stays done.
   */
  readonly again: boolean
  /**
   * An earlier copy of it was executed, and too few replicas confirmed that. In the same epoch a later copy says what that one
   * did; by another epoch it is refused, and that refusal says nothing of the first.
   */
  readonly executed: boolean
}

interface RequestOptions {
  readonly deadlineMs?: number
  readonly replicas?: number | undefined
  readonly reports?: boolean
  readonly key?: string | undefined
}

export interface LinkOptions {
  readonly url: string
  /** Where Redis is a cluster: what is known of it; `url` is shown then, and asked nothing. */
  readonly cluster?: Cluster | undefined
  /** `dialRedis` where nothing else is said. */
  readonly dial?: Dial
  readonly scripts: Readonly<Record<string, Script>>
  readonly clock: Clock
  readonly random: Random
  /** Whether an answer may only rest on what is synced; see first-sync.ts. */
  readonly syncs?: boolean
  /** How many must have a request before it is answered; 0 or left out: only the server itself. */
  readonly replicas?: number
  /** Those of one Redis where nothing else is said. */
  readonly marks?: Marks
  /** Receives each loss and return, for the log and the metrics. */
  readonly changed?: (event: 'up' | 'down', detail: string, line: Line) => void
}

/** Server errors that say "not now": another moment or another server may answer. */
const NOT_NOW = new Set(['LOADING', 'READONLY', 'UNBLOCKED', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'BUSY'])

/** How Redis ends an error of a command within a script (Valkey 9.1 leaves its hash out): what the script wrote before stays written. */
const WITHIN_SCRIPT = / script: (\w+, )?on @\w+:\d+/

/** So many marks of one server are tried before it is no answer: slots that are moved go some at a time. */
const MARKS_MAX = 5

const isReplyError = (cause: unknown): cause is Error => cause instanceof Error && cause.name === 'ReplyError'

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
  /** To the one Redis that there is. */
  readonly #line: Line | undefined
  /** To the servers of a cluster. */
  readonly #shards: Shards | undefined
  #closed = false
  #lastLoss = 'not connected yet'
  #cancelSweep: () => void = () => {}

  constructor(options: LinkOptions) {
    this.#options = options
    const { cluster, url, clock, random } = options
    if (cluster)
      this.#shards = new Shards({
        ...{ cluster, clock, random, requests: this.#requests },
        open: server => this.#open(cluster.urlOf(server), cluster.marksOf(server)),
        write: (line, request, asks) => this.#write(line, request, asks),
      })
    else this.#line = this.#open(url, this.marks)
    this.#sweep()
  }

  /** Whether its line is up; on a cluster, whether any is. */
  get ready(): boolean {
    return this.#line ? this.#line.ready : (this.#shards?.ready ?? false)
  }

  get lines(): Iterable<Line> {
    return this.#line ? [this.#line] : (this.#shards?.lines ?? [])
  }

  /** Those of the one server that it leads to. */
  get marks(): Marks {
    return this.#options.marks ?? ONE_SERVER
  }

  /** Whom it logs in as. */
  get user(): string {
    return userOf(this.#options.url)
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
    const key = keys[0]
    if (replicas)
      return this.#request(client => callWithText(client, script, keys, args), {
        replicas,
        reports,
        key,
      }) as Promise<never>
    const command = `${script.name}Buffer`
    const count = takesAnyKeys(script) ? [keys.length] : []
    return this.#request(
      client => {
        const call = (client as unknown as Record<string, (...parts: unknown[]) => Promise<unknown>>)[command]
        return (call as (...parts: unknown[]) => Promise<unknown>).call(client, ...count, ...keys, ...args)
      },
      { reports, key },
    ) as Promise<never>
  }

  /** Sends something idempotent, again on each new connection until it has an answer or its deadline passes. */
  request<T>(send: (client: Redis) => Promise<T>, deadlineMs = ANSWER_DEADLINE_MS): Promise<T> {
    return this.#request(send, { deadlineMs, replicas: this.#options.replicas })
  }

  #request<T>(
    send: (client: Redis) => Promise<T>,
    { deadlineMs = ANSWER_DEADLINE_MS, replicas = 0, reports = false, key }: RequestOptions,
  ): Promise<T> {
    return new Promise((settle, reject) => {
      const deadline = this.#options.clock.monotonicMs() + deadlineMs
      const resolve = settle as Request['resolve']
      const sent = { replicas, reports, key, again: false, executed: false, writtenTo: undefined }
      const request: Request = { send, resolve, reject, deadline, ...sent }
      this.#requests.add(request)
      if (this.#closed) this.#settle(request, new Fault('unavailable', 'the link to Redis is closed'))
      else if (!this.#line) this.#shards?.send(request)
      else if (this.#line.ready) this.#write(this.#line, request)
    })
  }

  /** How many replicas of the one server that it leads to confirm, within 300 ms, all that its connection was sent so far. */
  async copies(replicas: number): Promise<number> {
    for (let tries = 1; ; tries++)
      try {
        return await this.request(client => countCopies(client, replicas, this.marks.replication()))
      } catch (cause) {
        // The slot of the mark has gone, which says nothing of the server: others of its slots have other marks.
        this.marks.refused()
        if (tries === MARKS_MAX || !isElsewhere((cause as Error).cause)) throw cause
      }
  }

  /** Gives the connection up, for a server that is no longer what it was; requests go on over the next one. */
  renew(why: string): void {
    for (const line of this.lines) line.renew(why)
  }

  /** Closes the connections; what is without an answer is rejected. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelSweep()
    for (const request of this.#requests) this.#settle(request, this.#expired(request))
    this.#line?.close()
    this.#shards?.close()
  }

  #open(url: string, marks: Marks): Line {
    const { scripts, clock, random, syncs = false, dial = dialRedis } = this.#options
    return new Line({
      ...{ url, marks, scripts, clock, random, syncs, dial },
      up: line => {
        if (this.#shards) this.#shards.up()
        else for (const request of this.#requests) this.#write(line, request)
        this.#options.changed?.('up', shownUrl(url), line)
      },
      lost: (line, client, detail, wasReady) => {
        this.#lastLoss = detail
        this.#shards?.lost(client)
        if (wasReady) this.#options.changed?.('down', `${shownUrl(line.url)}: ${detail}`, line)
      },
    })
  }

  #write(line: Line, request: Request, asks = false): void {
    const { client } = line
    const again = request.writtenTo !== undefined
    const { replicas } = request
    if (again && request.writtenTo !== client) request.again = true
    request.writtenTo = client
    const asked = asks ? asking(client) : client
    const answered =
      replicas > 0
        ? onAllReplicas(client, { replicas, mark: line.marks.replication() }, () => request.send(asked))
        : request.send(asked)
    answered.then(
      reply => this.#answer(request, reply),
      cause => this.#failed(line, client, request, { cause, again }),
    )
  }

  #answer(request: Request, reply: unknown): void {
    if (!this.#requests.delete(request)) return
    const { again, executed } = request
    request.resolve(request.reports ? { reply, again, executed } : reply)
  }

  /**
   * A server's error is an answer; a lost connection is not: the request stays for the next connection. A refusal says
   * that nothing was executed only when it is the first try's; an earlier one may have been executed without an answer.
   */
  #failed(
    line: Line,
    client: Redis,
    request: Request,
    { cause, again }: { readonly cause: unknown; readonly again: boolean },
  ): void {
    const isOpen = this.#requests.has(request)
    if (cause instanceof Short || cause instanceof Uncounted) request.executed = true
    if (!isOpen && this.#shards) return
    if (cause instanceof Short && client === line.client && line.ready && isOpen) {
      if (this.#shards) this.#shards.send(request)
      else this.#write(line, request)
      return
    }
    if (cause instanceof Fault) return this.#settle(request, cause)
    if (cause instanceof Uncounted) {
      line.marks.refused()
      if (this.#shards) this.#shards.park(request)
      else client.disconnect()
      return
    }
    if (!isReplyError(cause)) return
    if (this.#shards?.redirected(line, request, cause, !again)) return
    const word = cause.message.split(' ', 1)[0] as string
    if (NOT_NOW.has(word) || (this.#shards && word === 'EXECABORT')) {
      if (this.#shards) this.#shards.refused(request, !again)
      else client.disconnect()
      return
    }
    const code = again || WITHIN_SCRIPT.test(cause.message) ? 'unknown' : 'unavailable'
    this.#settle(request, new Fault(code, `Redis refused: ${cause.message}`, cause))
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
    if (this.#line) this.#line.look(this.#requests.size)
    else this.#shards?.look()
    this.#cancelSweep = this.#options.clock.after(LOOK_MS, () => this.#sweep())
  }
}
