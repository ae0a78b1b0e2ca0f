/**
 * The checks of a whole cluster: each primary that has slots is judged as one Redis is (health.ts), over a connection of its
 * own, side by side, and beside that what only a cluster has. What is wrong with one shard is named with its address and stops
 * the grants of its rounds and of no others; only when every shard has a problem is it a problem of the whole.
 */
import type { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { type Finding, type Findings, helpAgainst } from '../../base/finding.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { clusterSlotOf } from '../cluster/slot-table.ts'
import { allShardedNodes, roundState, shardedNodeChannel } from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import { diagnose } from './diagnosis.ts'
import { checkHealth, facts, MORE_MEMORY, type Promised, type StoreHealth, set, valuesOf } from './health.ts'
import * as own from './own-slots.ts'
import { LET_IN, NOT_ALLOWED, type ReplicaOptions } from './replica-settings.ts'
import { findTableRights } from './rights.ts'

/** Primaries below this number have no majority when one is lost, so no replica is promoted. */
const PRIMARIES_MIN = 3
/** A primary that is lost is replaced only after this, so its rounds stand still for longer. */
const NODE_TIMEOUT_MS_MAX = 5000
/** How long the first look may wait for the table of slots: a silent server is given up after a second, and the next one is asked. */
const TABLE_MS = 5000

interface Judged extends Findings {
  readonly server: string
  /** Undefined where it cannot be asked. */
  readonly health?: StoreHealth
  readonly slots?: own.OwnSlots | undefined
}

/** What became of a server that could not be judged. */
function unjudged(cause: Fault): Finding {
  if (/\bOOM\b/.test(cause.message)) return { what: `it refuses writes: ${cause.message}`, mend: MORE_MEMORY }
  const away = 'start it, or let the cluster promote a replica of it; redis-cli CLUSTER NODES shows who is away'
  const mend = NOT_ALLOWED.test(cause.message) ? LET_IN : (helpAgainst(cause.message) ?? away)
  return { what: `it does not answer: ${cause.message}`, mend }
}

async function clusterFacts(client: Redis) {
  const [info, config] = await Promise.all([
    client.cluster('INFO') as Promise<string>,
    valuesOf(client, 'cluster-require-full-coverage', 'cluster-allow-replica-migration', 'cluster-node-timeout'),
  ])
  return { info: facts(info), config }
}

/** What the settings of one server do to the cluster's promises. */
async function judgeSettings(link: Link, { level, replicas }: Promised) {
  const { info, config } = await link.request(clusterFacts)
  const problems: Finding[] = []
  const warnings: Finding[] = []
  if (info.cluster_state !== 'ok')
    problems.push({
      what: 'it is no part of a whole cluster (cluster_state is fail)',
      mend: 'start the primaries that are away; redis-cli CLUSTER INFO shows what is missing',
    })
  if (config['cluster-require-full-coverage'] === 'yes')
    warnings.push({
      what: 'cluster-require-full-coverage is yes: a shard that is away stops every round',
      mend: set('cluster-require-full-coverage', 'no'),
    })
  if (replicas > 0 && config['cluster-allow-replica-migration'] === 'yes')
    problems.push({
      what: `cluster-allow-replica-migration is yes: a replica of another shard that nobody counts could be promoted, the level is ${level}`,
      mend: set('cluster-allow-replica-migration', 'no'),
    })
  if (Number(config['cluster-node-timeout'] ?? 0) > NODE_TIMEOUT_MS_MAX)
    warnings.push({
      what: `cluster-node-timeout is ${config['cluster-node-timeout']} ms: so long and longer the rounds of a lost primary stand still`,
      mend: set('cluster-node-timeout', String(NODE_TIMEOUT_MS_MAX)),
    })
  return { problems, warnings }
}

/** What a server says of its own slots, as far as the engine's user may ask it. */
async function slotsOf(server: string, link: Link): Promise<own.OwnSlots | undefined> {
  const nodes = await link.request(client =>
    (client.cluster('NODES') as Promise<string>).catch((cause: Error) => {
      if (cause.name === 'ReplyError' && NOT_ALLOWED.test(cause.message)) return undefined
      throw cause
    }),
  )
  return nodes === undefined ? undefined : own.ownSlotsOf(server, nodes)
}

const middle = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0)

/** What all shards have, once; what some have, with their names. */
function shared(
  judged: readonly Judged[],
  of: (each: Judged) => readonly Finding[],
  named: (server: string, finding: Finding) => Finding,
): Finding[] {
  const rows = judged.flatMap(each => of(each).map(finding => ({ server: each.server, finding })))
  const isEverywhere = ({ what }: Finding) => rows.filter(row => row.finding.what === what).length === judged.length
  const found = rows.map(({ server, finding }) => (isEverywhere(finding) ? finding : named(server, finding)))
  return found.filter(({ what }, i) => found.findIndex(other => other.what === what) === i)
}

export interface ClusterHealthOptions {
  readonly cluster: Cluster
  readonly promised: Promised
  readonly clock: Clock
  /** Makes a link to one server. */
  readonly open: (server: string) => Link
  readonly replicas: ReplicaOptions
}

export class ClusterHealth {
  readonly #options: ClusterHealthOptions
  readonly #links = new Map<string, Link>()
  readonly #stopped = new Set<string>()
  /** What the last look at all servers saw, and what of it the one before had seen, too. */
  #look = own.NOTHING_SEEN
  #seenTwice = own.NOTHING_SEEN

  constructor(options: ClusterHealthOptions) {
    this.#options = options
  }

  /** Whether the shard of a round had a problem at the last check, or no server is known for it. */
  isStopped(roundId: string): boolean {
    const { cluster } = this.#options
    const { ownerless } = this.#seenTwice
    if (this.#stopped.size === 0 && cluster.unserved === 0 && ownerless.size === 0) return false
    const key = roundState(roundId)
    if (ownerless.size > 0 && ownerless.has(String(clusterSlotOf(key)))) return true
    const server = cluster.ownerOf(key)
    return server === undefined || this.#stopped.has(server)
  }

  /** Reads and judges all shards. Throws Fault when none is known. */
  async check(): Promise<StoreHealth> {
    const servers = await this.#servers()
    for (const server of this.#stopped) if (!servers.includes(server)) this.#stopped.delete(server)
    const counting = this.#countNodes().catch(() => 0)
    const judged = this.#asked(await Promise.all(servers.map(server => this.#judgeAtOnce(server))))
    const sound = judged.filter(({ problems }) => problems.length === 0)
    const seen = this.#see(judged)
    const found = [...shared(judged, ({ problems }) => problems, this.#named), ...this.#unserved(), ...seen.problems]
    const healths = judged.flatMap(({ health }) => (health ? [health] : []))
    return {
      problems: sound.length === 0 ? found : [],
      damages: sound.length === 0 ? [] : found,
      stoppedShards: judged.length - sound.length,
      warnings: [
        ...shared(judged, ({ warnings }) => warnings, this.#named),
        ...seen.warnings,
        ...this.#fewShards(servers.length),
      ],
      declared: healths.some(({ declared }) => declared),
      version: healths[0]?.version ?? 'unknown',
      usedMemoryBytes: sum(healths.map(({ usedMemoryBytes }) => usedMemoryBytes)),
      commands: sum(healths.map(({ commands }) => commands)),
      aheadMs: middle(healths.map(({ aheadMs }) => aheadMs)),
      nodes: await counting,
    }
  }

  /** Rights, settings and clocks of all shards: what all of them have once, the rest with the shard's name. Throws Fault. */
  async diagnose(): Promise<Findings> {
    const servers = await this.#servers()
    const judged = await Promise.all(servers.map(async server => ({ server, ...(await this.#diagnose(server)) })))
    const seen = this.#see(judged)
    return {
      problems: [...shared(judged, ({ problems }) => problems, this.#named), ...seen.problems],
      warnings: [...shared(judged, ({ warnings }) => warnings, this.#named), ...seen.warnings],
    }
  }

  /** A look at the slots of all servers: what the last one saw, too. */
  #see(judged: readonly Judged[]): Findings {
    const { cluster, replicas } = this.#options
    const views = judged.flatMap(({ slots }) => (slots ? [slots] : []))
    const look = own.lookAt(views, cluster.unserved === 0 && views.length === judged.length)
    this.#seenTwice = own.stillSo(this.#look, look)
    this.#look = look
    return {
      problems: own.ownerlessFound(this.#seenTwice, views[0]?.server ?? '', replicas),
      warnings: own.movesFound(this.#seenTwice, replicas),
    }
  }

  /** One that cannot be asked is named by its check. */
  async #diagnose(server: string): Promise<Omit<Judged, 'server'>> {
    const link = this.#linkTo(server)
    try {
      return { ...(await diagnose(link, this.#options.replicas)), slots: await slotsOf(server, link) }
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause
      return { problems: [], warnings: [] }
    }
  }

  /** A line to type about a server that does not answer leads to one that does. */
  #asked(judged: readonly Judged[]): readonly Judged[] {
    const living = judged.find(({ health }) => health)?.server
    if (living === undefined) return judged
    const asks = ({ what, mend }: Finding): Finding => ({
      what,
      mend: mend.replace('redis-cli CLUSTER NODES', () => `${this.#options.replicas.cliOf(living)} CLUSTER NODES`),
    })
    return judged.map(each => (each.health ? each : { ...each, problems: each.problems.map(asks) }))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map(link => link.close()))
  }

  /** The primaries that have slots, as soon as they are known. Throws Fault `unavailable`. */
  async #servers(): Promise<readonly string[]> {
    const { cluster, clock } = this.#options
    if (cluster.owners.size === 0)
      await new Promise<void>(done => {
        const stop = cluster.onChanged(() => done())
        clock.after(TABLE_MS, () => done(void stop()))
      })
    if (cluster.owners.size === 0)
      throw new Fault('unavailable', `no server of the cluster says which slots there are (${cluster.failure})`)
    return [...cluster.owners].toSorted()
  }

  /** A finding of one shard, with lines to type that lead to it. */
  readonly #named = (server: string, { what, mend }: Finding): Finding => ({
    what: `shard ${server}: ${what}`,
    mend: mend.replaceAll(/\bredis-cli(?= [A-Z])/g, () => this.#options.replicas.cliOf(server)),
  })

  /** A link to one server. */
  #linkTo(server: string): Link {
    const known = this.#links.get(server)
    if (known) return known
    const link = this.#options.open(server)
    this.#links.set(server, link)
    return link
  }

  /** What is wrong with one shard stops its rounds without waiting for those that do not answer. */
  async #judgeAtOnce(server: string): Promise<Judged> {
    const judged = await this.#judge(server)
    if (judged.problems.length > 0) this.#stopped.add(server)
    else this.#stopped.delete(server)
    return judged
  }

  async #judge(server: string): Promise<Judged> {
    const { promised, clock, cluster } = this.#options
    const link = this.#linkTo(server)
    try {
      const slots = await slotsOf(server, link)
      const health = await checkHealth(link, promised, clock, { promotable: slots?.promotable })
      const settings = await judgeSettings(link, promised)
      return {
        ...{ server, health, slots },
        problems: [...health.problems, ...settings.problems],
        warnings: [...health.warnings, ...settings.warnings, ...(await findTableRights(link))],
      }
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause
      return { server, problems: [unjudged(cause)], warnings: [] }
    } finally {
      this.#leaveOthers(cluster.owners)
    }
  }

  /** Servers that have no slots any more are asked no more. */
  #leaveOthers(owners: ReadonlySet<string>): void {
    for (const [server, link] of this.#links)
      if (!owners.has(server)) {
        this.#links.delete(server)
        void link.close()
      }
  }

  /** A server that came back without its memory has lost its slots, and the others know no address for them. */
  #unserved(): Finding[] {
    const { unserved } = this.#options.cluster
    if (unserved === 0) return []
    const what = `no server is known for ${unserved} cluster slots: their rounds stand still`
    const mend =
      'start the server that had them with its own nodes.conf and log, or promote its replica (CLUSTER FAILOVER FORCE); CLUSTER NODES shows it as noaddr'
    return [{ what, mend }]
  }

  #fewShards(primaries: number): Finding[] {
    if (primaries >= PRIMARIES_MIN) return []
    const what = `the cluster has ${primaries} primaries: without a majority of others none that is lost is replaced`
    return [{ what, mend: `add primaries, ${PRIMARIES_MIN} at least` }]
  }

  async #countNodes(): Promise<number> {
    const server = this.#options.cluster.ownerOf(shardedNodeChannel(''))
    if (server === undefined) return 0
    return this.#linkTo(server).request(async client => {
      const channels = (await client.call('PUBSUB', 'SHARDCHANNELS', allShardedNodes())) as string[]
      return channels.length
    })
  }
}
