/**
 * The engine's store over a real Redis, for tests of the scripts: what each script answered is kept, and the raw keys
 * can be read behind its back.
 *
 * The room's link is the engine's own Link with one addition, it notes the outcome numbers of every reply. A test of
 * a script ends by comparing them with the outcomes that the script's text names, so an outcome that nothing reaches
 * is found. Rejected: mocks of Redis, because the clock, HMGET's nils and cmsgpack are half of what a script is.
 */
import { readFileSync } from 'node:fs'
import { CODES, codeOf } from '../../engine/base/codes.ts'
import { HOLDER_BYTES_MAX, writeArrayHead, writeHolder } from '../../engine/base/holder.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import { Cluster } from '../../engine/store/cluster/cluster.ts'
import { ShardEvents } from '../../engine/store/cluster/shard-events.ts'
import { clusterAddress } from '../../engine/store/connection/address.ts'
import { type EventListener, listenToStock } from '../../engine/store/connection/events.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { dialRedis } from '../../engine/store/connection/line.ts'
import { Link, type LinkOptions, type Reply, type ScriptArg, type Sent } from '../../engine/store/connection/link.ts'
import { loadScripts, type Script, type ScriptName } from '../../engine/store/connection/scripts.ts'
import { AllotStore, DECIDED_BYTES } from '../../engine/store/data/allot-store.ts'
import { BudgetStore } from '../../engine/store/data/budget-store.ts'
import { ClaimStore, type Decision, EXCEPTION_BYTES } from '../../engine/store/data/claim-store.ts'
import { DrawStore } from '../../engine/store/data/draw-store.ts'
import { ENTRY_CLAIM_BYTES, EntryStore } from '../../engine/store/data/entry-store.ts'
import { FenceStore } from '../../engine/store/data/fence-store.ts'
import { HistoryStore } from '../../engine/store/data/history-store.ts'
import { LedgerStore } from '../../engine/store/data/ledger-store.ts'
import type { Notice } from '../../engine/store/data/notice.ts'
import { RoundStore } from '../../engine/store/data/round-store.ts'
import { VoucherStore } from '../../engine/store/data/voucher-store.ts'
import { patientClock } from './patient-clock.ts'
import { startRedis } from './redis.ts'

const EPOCH = '00000000000000aa'

/** One claim's answer, spread out of a decision. */
export interface Answer {
  readonly outcome: string
  readonly sequence: number
  readonly pool: number
}

class NotingLink extends Link {
  readonly #cluster: Cluster | undefined
  readonly seen = new Map<string, Set<string>>()
  /** Says of every script that it had to be sent on a second connection, as after a loss. */
  twice = false

  constructor(options: LinkOptions) {
    super(options)
    this.#cluster = options.cluster
  }

  override async close(): Promise<void> {
    await super.close()
    this.#cluster?.close()
  }

  override async send(script: Script, names: readonly string[], args: readonly ScriptArg[]): Promise<Sent> {
    const sent = await super.send(script, names, args)
    const { reply } = sent
    const numbers = [reply[0] as number]
    if (script.name === 'claim' && reply.length > 1) {
      const exceptions = reply[4] as Buffer
      if (exceptions.length / EXCEPTION_BYTES < (args[2] as Buffer).readUInt16BE(1)) numbers.push(reply[3] as number)
      for (let at = 2; at < exceptions.length; at += EXCEPTION_BYTES) numbers.push(exceptions[at] as number)
    }
    if (script.name === 'allot' && reply.length > 1) {
      const decided = reply[4] as Buffer
      for (let at = 2; at < decided.length; at += DECIDED_BYTES) numbers.push(decided[at] as number)
    }
    if (script.name === 'enter' && reply.length > 5) {
      const exceptions = reply[5] as Buffer
      if (exceptions.length / EXCEPTION_BYTES < (args[3] as Buffer).length / ENTRY_CLAIM_BYTES)
        numbers.push(reply[4] as number)
      for (let at = 2; at < exceptions.length; at += EXCEPTION_BYTES) numbers.push(exceptions[at] as number)
    }
    if (script.name === 'redeem' && Array.isArray(reply[1]))
      numbers.push(...((reply[1] ?? []) as Reply[]).map(each => (each as Reply[])[0] as number))
    const seen = this.seen.get(script.name) ?? new Set()
    for (const number of numbers) seen.add(codeOf(number) ?? `no outcome: ${number}`)
    this.seen.set(script.name, seen)
    return this.twice ? { ...sent, again: true } : sent
  }
}

export interface NewRound {
  readonly totals?: readonly number[]
  readonly opensAt?: number
  readonly closesAt?: number
  /** Left scheduled when false. */
  readonly open?: boolean
  readonly fenced?: boolean
}

/** Packs holder keys as a batch. */
export function packUsers(holders: readonly string[]): Buffer {
  const bytes = Buffer.alloc(3 + holders.length * HOLDER_BYTES_MAX)
  let at = writeArrayHead(bytes, 0, holders.length)
  for (const holder of holders) at = writeHolder(bytes, at, holder)
  return bytes.subarray(0, at)
}

/** A decision as one answer a claim. */
export const answersOf = ({ outcomes, sequences, pools }: Decision): Answer[] =>
  Array.from(outcomes, (outcome, i) => ({
    outcome: codeOf(outcome) as string,
    sequence: sequences[i] as number,
    pool: pools[i] as number,
  }))

export class ScriptRoom {
  readonly #cluster: Cluster | undefined
  readonly url: string
  readonly link: NotingLink
  readonly scripts: ReturnType<typeof loadScripts>
  readonly claims: ClaimStore
  readonly allotments: AllotStore
  readonly entries: EntryStore
  readonly draws: DrawStore
  readonly rounds: RoundStore
  readonly budgets: BudgetStore
  readonly histories: HistoryStore
  readonly fence: FenceStore
  readonly vouchers: VoucherStore
  readonly ledger: LedgerStore

  constructor(url: string, leaseMs: number, more: Partial<LinkOptions> = {}) {
    this.url = url
    const address = clusterAddress(url)
    const cluster = address && new Cluster({ address, dial: dialRedis, clock: patientClock })
    this.#cluster = cluster
    this.scripts = loadScripts(cluster !== undefined)
    this.link = new NotingLink({
      ...{ url, cluster, scripts: this.scripts, clock: patientClock, random: realRandom },
      ...more,
    })
    this.claims = new ClaimStore(this.link, this.link, this.scripts)
    this.allotments = new AllotStore(this.link, this.link, this.scripts)
    this.entries = new EntryStore(this.link, this.link, this.scripts)
    this.draws = new DrawStore(this.link, this.scripts, realRandom)
    this.rounds = new RoundStore(this.link, this.scripts, leaseMs)
    this.budgets = new BudgetStore(this.link, this.scripts)
    this.histories = new HistoryStore(this.link, this.scripts)
    this.fence = new FenceStore({ claims: this.link, copied: this.link }, this.scripts, this.rounds)
    this.vouchers = new VoucherStore(this.link, this.link, this.scripts, {
      soon: run => patientClock.soon(run),
      calendarMs: () => patientClock.wallMs(),
    })
    this.ledger = new LedgerStore(this.link, this.link, this.scripts)
  }

  /** The codes that a script's text names, and those that it answered with so far. */
  outcomes(name: ScriptName): { readonly named: readonly string[]; readonly seen: readonly string[] } {
    const text = readFileSync(new URL(`../../scripts/${name}.lua`, import.meta.url), 'utf8')
    const reply = text.match(/@reply([\s\S]*?)-- @/)?.[1] ?? ''
    const inCode = [...text.matchAll(/\bCODE\.(\w+)/g)].map(match => match[1] as string)
    const inReply = [...reply.matchAll(/\w+/g)].map(match => match[0]).filter(word => word in CODES)
    const named = [...inCode, ...inReply]
    return { named: [...new Set(named)].sort(), seen: [...(this.link.seen.get(name) ?? [])].sort() }
  }

  readonly epoch = EPOCH

  async newRound({
    totals = [10],
    opensAt = 0,
    closesAt = 0,
    open = true,
    fenced = false,
  }: NewRound = {}): Promise<string> {
    const id = newId(realRandom, 'rnd')
    const number = await this.rounds.nextNumber()
    await this.rounds.createRound({
      id,
      campaignId: 'cmp_test',
      number,
      epoch: EPOCH,
      opensAt,
      closesAt,
      config: '{}',
      totals,
      fenced,
    })
    await this.rounds.enlist({ id, number, campaignId: 'cmp_test' })
    if (open && opensAt === 0) {
      const { notice } = await this.rounds.turn(id, EPOCH, 'open', `open_${id}`)
      if (notice.hold !== undefined) await this.rounds.endHold(id, EPOCH, notice.hold)
    }
    return id
  }

  /** A drawn round whose first window is open for `ms`. */
  async newDrawnRound(totals: readonly number[] = [10], ms = 3_600_000): Promise<string> {
    const id = await this.newRound({ totals })
    const rules = Buffer.from('{"window":0}')
    const closes = (await this.now()) + ms
    await this.draws.open(id, { window: 0, rules, closes, latest: closes, isNew: true })
    return id
  }

  /** A campaign with a ledger; its funds are what a budget would be. */
  async newCampaign(funds = 1_000_000): Promise<string> {
    const id = newId(realRandom, 'cmp')
    await this.ledger.create(id, funds)
    return id
  }

  /** Moves a campaign's clock ahead of Redis's, as a rehearsal does. */
  async moveClock(campaignId: string, aheadMs: number): Promise<void> {
    await this.link.request(client => client.hset(keys.campaignState(campaignId), 'ahead', aheadMs))
  }

  /** Claims for holders, in the pool of each or in one for all. */
  async claim(
    id: string,
    holders: readonly string[],
    pools: number | readonly number[] = 0,
    epoch = EPOCH,
  ): Promise<Answer[]> {
    const sent = typeof pools === 'number' ? [pools] : pools
    return answersOf(await this.claims.claim(id, epoch, packUsers(holders), Buffer.from(sent)))
  }

  async notice(id: string): Promise<Notice> {
    const read = await this.rounds.read(id)
    if (!read) throw new Error(`round ${id} has no state`)
    return read.notice
  }

  /** Listens to stock events as a worker of a node; on a cluster to those of the rounds that are named. */
  listen(node: string, listener: EventListener, ...roundIds: readonly string[]): () => void {
    const [cluster, clock, random] = [this.#cluster, patientClock, realRandom]
    if (!cluster) return listenToStock(this.url, { node, listener, random })
    const events = new ShardEvents({ cluster, node, listener, clock, random })
    for (const id of roundIds) events.follow(id)
    return () => events.stop()
  }

  /** Publishes what is no script's on a round's channel. */
  async publish(roundId: string, words: string): Promise<void> {
    const channel = keys.roundChannel(roundId)
    await this.link.request(client =>
      this.#cluster ? client.spublish(channel, words) : client.publish(channel, words),
    )
  }

  /** What the server that has a key says of its replication. */
  async replicationOf(key: string): Promise<string> {
    const [info] = await this.link.request(client => Promise.all([client.info('replication'), client.exists(key)]))
    return info
  }

  /** Redis's clock, milliseconds since 1970. */
  async now(): Promise<number> {
    const [seconds, micros] = await this.link.request(client => client.time())
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
  }

  state(id: string): Promise<Record<string, string>> {
    return this.link.request(client => client.hgetall(keys.roundState(id)))
  }

  setState(id: string, field: string, value: string | number): Promise<number> {
    return this.link.request(client => client.hset(keys.roundState(id), field, value))
  }

  /** Holder key to (sequence, pool), and the raw length of each value. */
  async holders(
    id: string,
  ): Promise<Record<string, { readonly sequence: number; readonly pool: number; readonly bytes: number }>> {
    const raw = await this.link.request(client => client.hgetallBuffer(keys.roundHolders(id)))
    const rows = Object.entries(raw).map(([holder, value]) => {
      return [holder, { sequence: value.readUInt32BE(0), pool: value[4] as number, bytes: value.length }] as const
    })
    return Object.fromEntries(rows)
  }

  /** The log's entries: id, and fields by name (Latin-1). */
  async log(id: string): Promise<{ readonly id: string; readonly fields: Readonly<Record<string, string>> }[]> {
    const raw = await this.link.request(client => client.xrangeBuffer(keys.roundLog(id), '-', '+'))
    return raw.map(([entry, flat]) => {
      const words = (flat as Buffer[]).map(word => word.toString('latin1'))
      const fields = Object.fromEntries(
        words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] as string]] : [])),
      )
      return { id: (entry as Buffer).toString('latin1'), fields }
    })
  }
}

/** A room over a Redis of its own, which waits for no disk; `close` ends both. */
export async function openScriptRoom(leaseMs = 0): Promise<ScriptRoom & AsyncDisposable> {
  const redis = await startRedis({ appendfsync: 'no' })
  const room = new ScriptRoom(redis.url, leaseMs)
  const dispose = async () => {
    await room.link.close()
    await redis.stop()
  }
  return Object.assign(room, { [Symbol.asyncDispose]: dispose })
}
