/**
 * The store: the only door to Redis. It owns four connections a worker (claims; vouchers and ledger; reads and rounds;
 * stock events), one for the server's health where replicas are waited for, one for what the level fenced must have on
 * all of them, on a cluster each of them once a shard, and offers one typed method a script. Above this folder nobody knows what a key or a command is.
 */
import type { Clock } from '../base/clock.ts'
import type { Findings } from '../base/finding.ts'
import { LEASE_MS } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import { Cluster } from './cluster/cluster.ts'
import { ShardEvents, type ShardEventsOptions } from './cluster/shard-events.ts'
import { clusterAddress, redisCli, redisCliFix, serverUrl } from './connection/address.ts'
import { type EventListener, listenToStock } from './connection/events.ts'
import { type Dial, dialRedis, type Line } from './connection/line.ts'
import { Link } from './connection/link.ts'
import { loadScripts, type Scripts } from './connection/scripts.ts'
import type { TlsFiles } from './connection/tls-files.ts'
import { AbsenceStore } from './data/absence-store.ts'
import { AgreementStore } from './data/agreement-store.ts'
import { AllotStore } from './data/allot-store.ts'
import { AuditStore } from './data/audit-store.ts'
import { BudgetStore } from './data/budget-store.ts'
import { CampaignChecks } from './data/campaign-checks.ts'
import { ClaimStore } from './data/claim-store.ts'
import { ControlStore } from './data/control-store.ts'
import { DrawStore } from './data/draw-store.ts'
import { EntryStore } from './data/entry-store.ts'
import { FenceStore } from './data/fence-store.ts'
import { HistoryStore } from './data/history-store.ts'
import { LedgerStore } from './data/ledger-store.ts'
import { RoundStore } from './data/round-store.ts'
import { VoucherStore } from './data/voucher-store.ts'
import { ClusterHealth } from './server/cluster-health.ts'
import { diagnose } from './server/diagnosis.ts'
import { checkHealth, type Durability, type Promised, type StoreHealth } from './server/health.ts'
import type { ReplicaOptions } from './server/replica-settings.ts'

export interface StoreOptions {
  readonly url: string
  readonly durability: Durability
  /** Whether the level is declared where the server does not let its settings be read; no where it is left out. */
  readonly declared?: boolean
  /** At replicated: how many replicas must have a grant before it is acknowledged. At fenced: and how far it may grant. */
  readonly replicas?: number
  readonly clock: Clock
  /** Milliseconds since 1970 by the calendar that all nodes share; the clock's where nothing else is said. */
  readonly calendarMs?: () => number
  readonly random: Random
  /** The name of the node that this is a worker of. */
  readonly node?: string
  /** LEASE_MS where nothing else is said; only a store without workers may do with less. */
  readonly leaseMs?: number
  readonly linkChanged?: (link: string, event: 'up' | 'down', detail: string) => void
  /** For a rediss:// address; the system's authorities and no certificate of ours where it is left out. */
  readonly tls?: TlsFiles
  /** How Redis is reached; the real network where nothing else is said. */
  readonly network?: Network
  /** Loaded from scripts/ where they are not given. */
  readonly scripts?: ReturnType<typeof loadScripts>
}

/** The way to Redis: what the simulation puts itself into. */
export interface Network {
  readonly dial?: Dial
  readonly listen: typeof listenToStock
  /** On a cluster: makes a client for the events of one server. */
  readonly subscribe?: Dial
}

export interface Store {
  readonly claims: ClaimStore
  readonly absences: AbsenceStore
  readonly agreement: AgreementStore
  readonly allotments: AllotStore
  readonly entries: EntryStore
  readonly draws: DrawStore
  readonly rounds: RoundStore
  /** The same for checks of the server, which are answered also when replicas are missing. */
  readonly roundChecks: RoundStore
  /** For checks of the server, too. */
  readonly campaignChecks: CampaignChecks
  readonly budgets: BudgetStore
  readonly histories: HistoryStore
  readonly vouchers: VoucherStore
  readonly ledger: LedgerStore
  readonly fence: FenceStore
  readonly audit: AuditStore
  readonly controls: ControlStore
  /** Whether the connections are up now. */
  readonly ready: () => boolean
  readonly listen: (listener: EventListener) => () => void
  /** Events of this round are wanted: on a cluster they come from its shard only, and only when that was asked. */
  readonly follow: (roundId: string) => void
  /** They are wanted no longer. */
  readonly unfollow: (roundId: string) => void
  /** On a cluster: whether the shard of a round had a problem at the last check; undefined on one Redis. */
  readonly isStopped: ((roundId: string) => boolean) | undefined
  /** Calls whenever a connection is up anew: Redis may be another server then, or the same one with less than it had. */
  readonly onRenewed: (renewed: () => void) => void
  readonly health: () => Promise<StoreHealth>
  /** What `fairgrab doctor` asks beyond that. */
  readonly diagnosis: () => Promise<Findings>
  readonly close: () => Promise<void>
}

/** Where Redis is a cluster: what is known of it, its checks, and the events of it once somebody listens. */
interface Sharded {
  readonly cluster: Cluster
  readonly health: ClusterHealth
  events: ShardEvents | undefined
}

const promisedOf = ({ durability: level, replicas = 0, declared = false }: StoreOptions): Promised => ({
  level,
  replicas,
  declared,
})

const dialOf = ({ network, tls }: StoreOptions): Dial => network?.dial ?? (url => dialRedis(url, tls))

/** How the doctor reaches servers that have the name, password and TLS of the one that is configured. */
function replicasOf(options: StoreOptions): ReplicaOptions {
  const { url, tls, durability: level, clock } = options
  const dial = dialOf(options)
  const cliOf = (server: string) => redisCli(serverUrl(url, server), tls)
  const fixOf = (server: string) => redisCliFix(url, server, tls)
  return { level, clock, dial: server => dial(serverUrl(url, server)), cliOf, fixOf }
}

function shardedOf(options: StoreOptions): Sharded | undefined {
  const { url, clock, random } = options
  const address = clusterAddress(url)
  if (!address) return undefined
  const dial = dialOf(options)
  // Whoever does not tell the table is left at once: the next one is asked only when that connection is over.
  const ask: Dial = options.network?.dial ?? (server => dialRedis(server, options.tls, 0))
  const cluster = new Cluster({ address, dial: ask, clock })
  const open = (server: string) =>
    new Link({ url: cluster.urlOf(server), marks: cluster.marksOf(server), dial, scripts: {}, clock, random })
  const health = new ClusterHealth({
    cluster,
    promised: promisedOf(options),
    clock,
    open,
    replicas: replicasOf(options),
  })
  return { cluster, health, events: undefined }
}

/** Makes the links of a store, and ends them. */
function linksOf(options: StoreOptions, sharded: Sharded | undefined, scripts: Scripts) {
  const { url, clock, random, durability } = options
  const dial = dialOf(options)
  const syncs = durability !== 'memory' && durability !== 'everysec'
  const links: Link[] = []
  const renewals: (() => void)[] = []
  const renew = () => {
    for (const renewed of renewals) renewed()
  }
  sharded?.cluster.onChanged(renew)
  const link = (name: string, replicas = options.replicas ?? 0) => {
    const made: Link = new Link({
      ...{ url, cluster: sharded?.cluster, scripts, clock, random, syncs, replicas },
      dial,
      changed: (event, detail, line) => {
        if (event === 'up') leaveOthers(line, links)
        options.linkChanged?.(name, event, detail)
        if (event === 'up') renew()
      },
    })
    links.push(made)
    return made
  }
  const close = async () => {
    sharded?.cluster.close()
    await Promise.all([sharded?.health.close(), ...links.map(each => each.close())])
  }
  return { link, onRenewed: (renewed: () => void) => void renewals.push(renewed), close }
}

/** Whether the events of other nodes come: a worker that may not subscribe grants rightly, and shows old stock. */
class Subscribed {
  #why: string | undefined

  readonly refused = (why?: string): void => {
    this.#why = why
  }

  judged(found: StoreHealth): StoreHealth {
    if (this.#why === undefined) return found
    const what = `what other nodes grant is not shown here: ${this.#why}`
    const mend = /NOPERM/.test(this.#why)
      ? 'allow the subscriptions that deploy/redis-users.conf allows, of a cluster +ssubscribe, too'
      : 'it is tried again by itself; where it stays so, look at what else is named here'
    return { ...found, warnings: [...found.warnings, { what, mend }] }
  }
}

export function openStore(options: StoreOptions): Store {
  const { url, clock, random, network = { listen: listenToStock }, node = 'unnamed' } = options
  const sharded = shardedOf(options)
  const scripts = options.scripts ?? loadScripts(sharded !== undefined)
  const replicas = options.replicas ?? 0
  const fenced = options.durability === 'fenced'
  const { link, onRenewed, close } = linksOf(options, sharded, scripts)
  const claims = link('claims', fenced ? 0 : replicas)
  const changes = link('vouchers')
  const reads = link('reads')
  // At the level replicated the server is asked when replicas are missing, too, so that cannot wait for them.
  const server = replicas > 0 ? link('health', 0) : reads
  const copied = fenced ? link('fence') : reads
  const leaseMs = options.leaseMs ?? LEASE_MS
  const events = new Subscribed()
  const soon: Clock['soon'] = run => clock.soon(run)
  const calendarMs = options.calendarMs ?? (() => clock.wallMs())
  return {
    // What is only read waits for no replica where a missing one does not stop the grants.
    claims: new ClaimStore(claims, fenced ? server : reads, scripts),
    absences: new AbsenceStore(reads, scripts, { fenced, soon }),
    agreement: new AgreementStore(server, reads, random),
    allotments: new AllotStore(claims, reads, scripts),
    entries: new EntryStore(claims, reads, scripts),
    draws: new DrawStore(reads, scripts, random),
    rounds: new RoundStore(reads, scripts, leaseMs),
    roundChecks: new RoundStore(server, scripts, leaseMs, options.durability),
    campaignChecks: new CampaignChecks(server),
    budgets: new BudgetStore(reads, scripts),
    histories: new HistoryStore(server, scripts),
    fence: new FenceStore({ claims, copied }, scripts, new RoundStore(claims, scripts, leaseMs)),
    vouchers: new VoucherStore(changes, reads, scripts, { soon, calendarMs }),
    ledger: new LedgerStore(changes, reads, scripts),
    audit: new AuditStore(changes, reads, scripts),
    controls: new ControlStore({ changes, reads, scripts, random, calendarMs }),
    ready: () => claims.ready && changes.ready && reads.ready,
    listen: listener => {
      const listening = { node, listener, random, tls: options.tls, refused: events.refused }
      if (!sharded) return network.listen(url, listening)
      return listenToShards(sharded, { ...listening, clock, subscribe: network.subscribe })
    },
    follow: roundId => sharded?.events?.follow(roundId),
    unfollow: roundId => sharded?.events?.unfollow(roundId),
    isStopped: sharded && (roundId => sharded.health.isStopped(roundId)),
    onRenewed,
    health: async () =>
      events.judged(await (sharded ? sharded.health.check() : checkHealth(server, promisedOf(options), clock))),
    diagnosis: () => (sharded ? sharded.health.diagnose() : diagnose(server, replicasOf(options))),
    close,
  }
}

function listenToShards(sharded: Sharded, options: Omit<ShardEventsOptions, 'cluster'>): () => void {
  const events = new ShardEvents({ ...options, cluster: sharded.cluster })
  sharded.events = events
  return () => events.stop()
}

/** The newest connection has what the address means now: those to another server, which may be deposed, are given up. */
function leaveOthers(newest: Line, links: readonly Link[]): void {
  for (const link of links)
    for (const line of link.lines)
      if (line.ready && line.url === newest.url && line.run !== newest.run)
        line.renew('the address of Redis leads to another server now')
}
