/**
 * What a worker knows of its Redis Cluster: the table of cluster slots, asked of one server at a time over a connection of its
 * own. It is asked anew every five seconds, behind each MOVED and behind each loss of a line; never twice within 50 ms, and
 * never twice at once. A server that does not answer, that is no part of a whole cluster, or that does not know yet what the table
 * has, is followed by the next one.
 *
 * Rejected: asking all servers each time, which is N answers of some kilobytes for one.
 */
import type { Redis } from 'ioredis'
import { type Clock, every } from '../../base/clock.ts'
import type { ClusterAddress } from '../connection/address.ts'
import * as keys from '../connection/keys.ts'
import type { Dial } from '../connection/line.ts'
import type { Marks } from '../connection/marks.ts'
import { clusterSlotOf, configEpochsOf, type SlotRun, SlotTable, slotRunsOf, tagOf } from './slot-table.ts'

const ASK_MS = 1000
const APART_MS = 50
const PERIOD_MS = 5000
/** After so many failures in a row it is asked more slowly, up to once in so long. */
const PATIENT_FAILURES = 10
const PATIENT_MS = 500
/** Replies that are older than the table in some slot are believed when no other came for so long: the cluster was made anew. */
const OLDER_MS = 15_000

/** So far from one slot of a server's marks is the next: those that are moved together lie side by side. */
const STRIDE = 997

interface ClusterOptions {
  readonly address: ClusterAddress
  readonly dial: Dial
  readonly clock: Clock
}

interface Seen {
  readonly runs: readonly SlotRun[]
  readonly isWhole: boolean
}

const hostOf = (server: string): string => server.slice(0, server.lastIndexOf(':')).replace(/^\[|\]$/g, '')

export class Cluster {
  readonly #options: ClusterOptions
  readonly #listeners = new Set<() => void>()
  readonly #marks = new Map<string, string>()
  readonly #stopPeriod: () => void
  #remarks = 0
  #table = new SlotTable()
  #owners: ReadonlySet<string> = new Set()
  #unserved = 0
  #client: Redis | undefined
  #turn = 0
  #failures = 0
  #failure = 'none has answered yet'
  #askedAt = Number.NEGATIVE_INFINITY
  #isAsking = false
  #isWanted = false
  /** When a reply was last as new as the table in every slot. */
  #newestAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.refresh()
    this.#stopPeriod = every(
      options.clock,
      PERIOD_MS,
      () => this.refresh(),
      () => {},
    )
  }

  /** The address of the server that has a key, as far as is known. */
  ownerOf(key: string): string | undefined {
    return this.#table.ownerOf(clusterSlotOf(key))
  }

  /** The servers that have slots. */
  get owners(): ReadonlySet<string> {
    return this.#owners
  }

  /** How many slots no server is known for, once there is a table. */
  get unserved(): number {
    return this.#unserved
  }

  urlOf(server: string): string {
    return this.#options.address.urlOf(server)
  }

  /** The marks of one server: in a slot that it has now. */
  marksOf(server: string): Marks {
    return {
      replication: () => keys.serverReplicationMark(this.#markTag(server)),
      sync: () => keys.serverSyncMark(this.#markTag(server)),
      refused: () => this.#remark(server),
    }
  }

  /** What the server said, or what became of its connection, that was last asked for the table in vain. */
  get failure(): string {
    return this.#failure
  }

  /** Calls whenever a slot has another server than before; the returned function ends it. */
  onChanged(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  /** A server said that a slot is another one's. If it had the slot it is believed at once; the table is asked for anyway. */
  moved(slot: number, by: string, to: string): void {
    if (this.#table.move(slot, by, to)) this.#changed()
    this.refresh()
  }

  /** Asks for the table as soon as may be. */
  refresh(): void {
    if (this.#closed) return
    this.#isWanted = true
    if (this.#isAsking) return
    this.#isAsking = true
    const { clock } = this.#options
    const apart = this.#failures < PATIENT_FAILURES ? APART_MS : PATIENT_MS
    const waitMs = Math.max(0, this.#askedAt + apart - clock.monotonicMs())
    clock.after(waitMs, () => void this.#refresh())
  }

  close(): void {
    this.#closed = true
    this.#stopPeriod()
    this.#client?.disconnect()
  }

  async #refresh(): Promise<void> {
    this.#isWanted = false
    this.#askedAt = this.#options.clock.monotonicMs()
    const seen = this.#closed ? undefined : await this.#ask().catch(() => undefined)
    this.#isAsking = false
    const isNewest = seen !== undefined && this.#learn(seen.runs)
    if (!isNewest || !seen.isWhole) this.#next()
    this.#failures = isNewest ? 0 : this.#failures + 1
    if (!isNewest || this.#isWanted) this.refresh()
  }

  /** Whether a reply is as new as the table in every slot; where it is newer it is taken over. */
  #learn(runs: readonly SlotRun[]): boolean {
    const now = this.#options.clock.monotonicMs()
    let { isNews, isBehind } = this.#table.learn(runs)
    if (isBehind && now - this.#newestAt >= OLDER_MS) {
      this.#table = new SlotTable(runs)
      isNews = true
      isBehind = false
    }
    if (!isBehind) this.#newestAt = now
    if (isNews) this.#changed()
    return !isBehind
  }

  async #ask(): Promise<Seen> {
    const servers = [...new Set([...this.#options.address.seeds, ...this.#owners])]
    const server = servers[this.#turn % servers.length] as string
    const cancel = this.#options.clock.after(ASK_MS, () => this.#client?.disconnect())
    const failed = (cause: unknown) => {
      this.#failure = `${server}: ${(cause as Error).message}`
      throw cause
    }
    try {
      const client = this.#client ?? (await this.#connect(server))
      const asked = [client.cluster('SLOTS'), client.cluster('NODES'), client.cluster('INFO')]
      const [rows, nodes, info] = await Promise.all(asked).catch(failed)
      if ((rows as readonly unknown[]).length === 0) this.#failure = `${server}: it has no slots yet`
      return {
        runs: slotRunsOf(rows, hostOf(server), configEpochsOf(nodes as string)),
        isWhole: /^cluster_state:ok/m.test(info as string),
      }
    } finally {
      cancel()
    }
  }

  async #connect(server: string): Promise<Redis> {
    const client = this.#options.dial(this.urlOf(server))
    this.#client = client
    client.on('error', cause => {
      this.#failure = `${server}: ${cause.message}`
    })
    client.once('end', () => {
      if (client === this.#client) this.#client = undefined
    })
    await client.connect()
    return client
  }

  /** Another server is asked from now on. */
  #next(): void {
    this.#turn++
    const client = this.#client
    this.#client = undefined
    client?.disconnect()
  }

  #changed(): void {
    this.#owners = this.#table.owners()
    this.#unserved = this.#table.countUnserved()
    for (const changed of this.#listeners) changed()
  }

  /** The tag of a server's marks: the one it had, while the slot of that is its own; empty while it has none. */
  #markTag(server: string): string {
    const kept = this.#marks.get(server)
    if (kept !== undefined && this.#table.ownerOf(clusterSlotOf(kept)) === server) return kept
    const slots = this.#table.slotsOf(server)
    const slot = slots[(this.#remarks * STRIDE) % slots.length]
    const tag = slot === undefined ? '' : tagOf(slot)
    this.#marks.set(server, tag)
    return tag
  }

  /** The slot of a server's marks is being moved away: another one of its slots has them from now on. */
  #remark(server: string): void {
    this.#remarks++
    this.#marks.delete(server)
    this.refresh()
  }
}
