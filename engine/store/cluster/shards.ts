/**
 * The lines of one link on a cluster, one a server that has slots, and where its requests are: written, held until the line
 * of their server is up, or parked for some milliseconds because a server said "not now".
 *
 * What a server refuses because of where or when it was asked concerns that request alone. MOVED, ASK, TRYAGAIN and their like
 * answer a command that was not executed, so a request that was refused like that leaves no doubt; one whose line was lost does.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import { jitter, type Random } from '../../base/random.ts'
import type { Line } from '../connection/line.ts'
import { keyOf, type Request } from '../connection/request.ts'
import type { Cluster } from './cluster.ts'
import { addressOf, isReachable } from './slot-table.ts'

/** Behind "not now" a request waits about so long. */
const PARK_MS = 40
/** A line to a server that has no slots any more, or none yet, is kept so long behind its last request. */
const IDLE_MS = 10_000
/** So often in a row a request follows MOVED at once: two servers that each name the other are asked more slowly. */
const HOPS_MAX = 3

export interface ShardsOptions {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly random: Random
  readonly requests: ReadonlySet<Request>
  readonly open: (server: string) => Line
  readonly write: (line: Line, request: Request, asks: boolean) => void
}

/** A server's refusal in three words: `MOVED 3999 127.0.0.1:6381`. In a MULTI it stands behind the one of EXEC. */
function wordsOf(cause: Error & { readonly previousErrors?: readonly (Error | undefined)[] }): readonly string[] {
  const first = cause.previousErrors?.find(each => each !== undefined && /^(MOVED|ASK|TRYAGAIN) /.test(each.message))
  return (first ?? cause).message.split(' ', 3)
}

export class Shards {
  readonly #options: ShardsOptions
  readonly #lines = new Map<string, Line>()
  readonly #servers = new Map<Line, string>()
  readonly #held = new Set<Request>()
  readonly #parked = new Set<Request>()
  /** By server without slots and without requests: since when. */
  readonly #idle = new Map<string, number>()
  readonly #hops = new WeakMap<Request, number>()
  #owners: ReadonlySet<string> = new Set()
  readonly #stopListening: () => void

  constructor(options: ShardsOptions) {
    this.#options = options
    this.#stopListening = options.cluster.onChanged(() => this.#changed())
    this.#changed()
  }

  /** Whether any line is up. */
  get ready(): boolean {
    return [...this.#lines.values()].some(({ ready }) => ready)
  }

  get lines(): Iterable<Line> {
    return this.#lines.values()
  }

  close(): void {
    this.#stopListening()
    for (const line of this.#lines.values()) line.close()
  }

  /** Writes a request on the line of its server, now or when that is up. */
  send(request: Request): void {
    const line = this.#lineOf(request)
    if (line?.ready) {
      this.#held.delete(request)
      this.#options.write(line, request, false)
    } else this.#held.add(request)
  }

  up(): void {
    this.#sendHeld()
  }

  /** What was written on a connection that ended goes to whoever has its slot now, or when there is one. */
  lost(client: Redis): void {
    for (const request of this.#options.requests)
      if (request.writtenTo === client && this.#isWritten(request)) this.send(request)
    this.#options.cluster.refresh()
  }

  /** It was executed, and what has to follow was not possible there: it is asked again in a moment. */
  park(request: Request): void {
    const { clock, random, cluster } = this.#options
    cluster.refresh()
    this.#parked.add(request)
    clock.after(PARK_MS / 2 + jitter(random, PARK_MS / 2), () => {
      this.#parked.delete(request)
      if (this.#options.requests.has(request)) this.send(request)
    })
  }

  /**
   * Goes on with a request that a server did not execute because of where or when it was asked; false for any other refusal.
   * `isFirst`: no earlier copy of it may be executed.
   */
  redirected(line: Line, request: Request, cause: Error, isFirst: boolean): boolean {
    const [word, slot = '', where = ''] = wordsOf(cause)
    if (word !== 'MOVED' && word !== 'ASK') return false
    if (isFirst && request.reports) request.writtenTo = undefined
    const server = this.#serverOf(line, where)
    if (!isReachable(server)) {
      this.park(request)
      return true
    }
    if (word === 'ASK') {
      const other = this.#open(server)
      if (other.ready) this.#options.write(other, request, true)
      else this.park(request)
      return true
    }
    const hops = (this.#hops.get(request) ?? 0) + 1
    this.#hops.set(request, hops)
    this.#options.cluster.moved(Number(slot), this.#servers.get(line) ?? '', server)
    if (hops % HOPS_MAX === 0) this.park(request)
    else this.send(request)
    return true
  }

  /** A server cannot now; others can. */
  refused(request: Request, isFirst: boolean): void {
    if (isFirst && request.reports) request.writtenTo = undefined
    this.park(request)
  }

  /** Looks at silent lines, and closes those that are not needed any more. */
  look(): void {
    const written = new Map<Redis, number>()
    for (const request of this.#options.requests)
      if (request.writtenTo && this.#isWritten(request))
        written.set(request.writtenTo, (written.get(request.writtenTo) ?? 0) + 1)
    for (const [server, line] of this.#lines) {
      const expected = written.get(line.client) ?? 0
      line.look(expected)
      if (expected > 0 || this.#options.cluster.owners.has(server)) this.#idle.delete(server)
      else this.#dropIdle(server, line)
    }
    for (const request of this.#held) if (!this.#options.requests.has(request)) this.#held.delete(request)
  }

  #isWritten(request: Request): boolean {
    return !this.#held.has(request) && !this.#parked.has(request)
  }

  /** The address that a server named; only its port, where it does not know under which host it is reached. */
  #serverOf(line: Line, where: string): string {
    const at = where.lastIndexOf(':')
    const host = where.slice(0, at).replace(/^\[|\]$/g, '')
    const own = this.#servers.get(line) ?? ''
    return addressOf(host === '' ? own.slice(0, own.lastIndexOf(':')) : host, Number(where.slice(at + 1)))
  }

  #lineOf(request: Request): Line | undefined {
    request.key ??= keyOf(request.send)
    if (request.key === '') return [...this.#lines.values()].find(({ ready }) => ready)
    const server = this.#options.cluster.ownerOf(request.key)
    return server === undefined ? undefined : this.#open(server)
  }

  #open(server: string): Line {
    const known = this.#lines.get(server)
    if (known) return known
    const line = this.#options.open(server)
    this.#lines.set(server, line)
    this.#servers.set(line, server)
    return line
  }

  #dropIdle(server: string, line: Line): void {
    const now = this.#options.clock.monotonicMs()
    const since = this.#idle.get(server) ?? now
    this.#idle.set(server, since)
    if (now - since < IDLE_MS) return
    this.#idle.delete(server)
    this.#lines.delete(server)
    this.#servers.delete(line)
    line.close()
  }

  #changed(): void {
    const { owners } = this.#options.cluster
    for (const server of owners) {
      const line = this.#open(server)
      if (!this.#owners.has(server)) line.hurry()
    }
    this.#owners = owners
    this.#sendHeld()
  }

  #sendHeld(): void {
    for (const request of [...this.#held]) {
      this.#held.delete(request)
      if (this.#options.requests.has(request)) this.send(request)
    }
  }
}
