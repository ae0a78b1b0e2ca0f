/**
 * What the server must give for the durability level that was promised, checked at start and every few seconds.
 * Each problem says what is wrong and what to type. Any problem stops the grants (outcome `fenced`), because a grant
 * that the server may forget is worse than none. Warnings are reported and do not stop.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import type { Finding } from '../../base/finding.ts'
import { allNodes } from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import { flawsOf } from './known-flaws.ts'
import { findScriptRights } from './rights.ts'
import { clockWarnings, serverAheadMs } from './server-time.ts'

export type Durability = 'memory' | 'everysec' | 'always' | 'replicated' | 'fenced'

export interface Promised {
  readonly level: Durability
  /** At the levels replicated and fenced; else 0. */
  readonly replicas: number
  /** Whether an operator vouches for what the server's provider lets nobody read. */
  readonly declared: boolean
}

export interface StoreHealth {
  readonly problems: readonly Finding[]
  /** Of a cluster: problems of single shards, which stop their rounds and no others. */
  readonly damages?: readonly Finding[]
  /** Of a cluster: how many shards have them. */
  readonly stoppedShards?: number
  readonly warnings: readonly Finding[]
  /** Whether the level rests on an operator's word in part: what it needs could not be read. */
  readonly declared: boolean
  /** `7.0.15` */
  readonly version: string
  readonly usedMemoryBytes: number
  /** Nodes that share this Redis; 0 where that may not be asked. */
  readonly nodes: number
  /** Commands that it processed since its start. */
  readonly commands: number
  /** How far its clock is ahead of this machine's at least, milliseconds. */
  readonly aheadMs: number
}

type Facts = Readonly<Record<string, string>>

/**
 * What sets a setting until the server's next start, as a line of a shell. Rejected: CONFIG REWRITE behind it, which writes the
 * users of an included file into redis.conf a second time, and the server does not start again (Duplicate user).
 */
export const set = (name: string, value: string): string =>
  `redis-cli CONFIG SET ${name} ${value} # and write it into redis.conf`

const PAUSES = 'no-appendfsync-on-rewrite'

const policyOf = (info: Facts, config: Facts): string | undefined => info.maxmemory_policy ?? config['maxmemory-policy']

/** What is wrong with a server that is to keep what a level promises, by its INFO and its settings. */
export function problemsOf(level: Durability, info: Facts, config: Facts): Finding[] {
  const problems: Finding[] = []
  const need = (holds: boolean, what: string, mend: string) => {
    if (!holds) problems.push({ what, mend })
  }
  const { role = 'master' } = info
  need(role === 'master', `the server is a ${role}`, 'point REDIS_URL at the primary')
  need(info.loading !== '1', 'the server is still loading its data', 'wait; it resumes by itself')
  const policy = policyOf(info, config)
  need(
    policy === undefined || policy === 'noeviction',
    `maxmemory-policy is ${policy}: holders could be evicted without an error`,
    set('maxmemory-policy', 'noeviction'),
  )
  if (level === 'memory') return problems
  need(
    info.aof_enabled !== '0',
    `persistence is off: grants would not survive at the level ${level}`,
    set('appendonly', 'yes'),
  )
  need(
    info.aof_last_write_status !== 'err',
    'the last write to the append only file failed',
    'free or repair the disk that holds the append only file',
  )
  if (level === 'everysec') return problems
  const { appendfsync = 'always', [PAUSES]: pauses = 'no' } = config
  need(appendfsync === 'always', `appendfsync is ${appendfsync}, the level is ${level}`, set('appendfsync', 'always'))
  need(pauses === 'no', `${PAUSES} is yes: fsync stops during rewrites`, set(PAUSES, 'no'))
  return problems
}

/** What helps a server that is full. */
export const MORE_MEMORY =
  'raise maxmemory (redis-cli CONFIG SET maxmemory BYTES) or add memory; redis-cli INFO memory has used_memory and maxmemory'

/** A server whose memory is used up refuses each write, and says so of itself; what replicas and logs take is not counted there. */
function memoryProblems(info: Facts): Finding[] {
  const [used, most] = [Number(info.used_memory ?? 0) - Number(info.mem_not_counted_for_evict ?? 0), info.maxmemory]
  const { maxmemory_policy: policy = 'noeviction' } = info
  if (Number(most ?? 0) === 0 || used <= Number(most) || policy !== 'noeviction') return []
  const what = `maxmemory is reached (${used} bytes of ${most}): every write is refused, and every claim with it`
  return [{ what, mend: MORE_MEMORY }]
}

/** What a level needs to know of the server and neither INFO nor CONFIG GET gives: a managed server may hide its settings. */
function unread(level: Durability, info: Facts, config: Facts): string[] {
  const lacking = (names: readonly string[], facts: Facts) => names.filter(name => facts[name] === undefined)
  const ofInfo = [
    ...lacking(['role', ...(level === 'memory' ? [] : ['aof_enabled'])], info),
    ...(policyOf(info, config) === undefined ? ['maxmemory_policy'] : []),
  ]
  const ofConfig = level === 'memory' || level === 'everysec' ? [] : lacking(['appendfsync', PAUSES], config)
  return [
    ...(ofInfo.length > 0 ? [`INFO does not give ${ofInfo.join(', ')}`] : []),
    ...(ofConfig.length > 0 ? [`CONFIG GET does not give ${ofConfig.join(', ')}`] : []),
  ]
}

/** What could not be read stops the grants, or is a warning where an operator declares what the provider promises. */
function unverified(
  { level, declared }: Promised,
  what: readonly string[],
): Partial<Record<'problems' | 'warnings', Finding[]>> {
  if (what.length === 0) return {}
  const lacks = what.join('; ')
  const [show, promises] = lacks.includes('CONFIG')
    ? ['allow +config|get to its user', 'its provider promises']
    : ['have its provider show it', 'it promises']
  if (declared) {
    const what = `the level ${level} is declared, not verified: ${lacks}`
    return { warnings: [{ what, mend: `${show}, and it is verified` }] }
  }
  const mend = `${show}, or, where ${promises} the level, set FAIRGRAB_DURABILITY_DECLARED=yes`
  return { problems: [{ what: `the level ${level} cannot be verified: ${lacks}`, mend }] }
}

/**
 * All that may be promoted must be counted: one more replica than promised could be promoted without the last grants.
 * A primary does not know the priorities of its replicas, so those that never are promoted count too.
 */
async function replicaProblems(link: Link, { level, replicas }: Promised, info: Facts): Promise<Finding[]> {
  if (replicas === 0 || (info.role ?? 'master') !== 'master') return []
  const connected = Number(info.connected_slaves ?? 0)
  if (connected > replicas) {
    const mend = `take the others away, or set FAIRGRAB_REPLICAS to ${connected}: on a cluster only when every shard has as many`
    return [{ what: `${connected} replicas are connected, only ${replicas} are waited for`, mend }]
  }
  const copies = await link.copies(replicas)
  if (copies >= replicas) return []
  const what = `${copies} of ${replicas} replicas confirm a write: it would not survive at the level ${level}`
  return [{ what, mend: 'start the missing replica, or look at its log; redis-cli INFO replication has their states' }]
}

/** What a level may lose that others keep: reported at each start, so that nobody learns it from a crash. */
const LOSES: Readonly<Partial<Record<Durability, string>>> = {
  memory: 'all acknowledged grants are lost when Redis ends',
  everysec: 'grants acknowledged in the last seconds are lost when Redis or its machine ends',
}

/** Of a primary of a cluster: how many of its replicas may take over by themselves; undefined where that may not be asked. */
export interface Shard {
  readonly promotable: number | undefined
}

/** Levels that wait for no replica, on a server whose replicas may be promoted: who promotes one undoes what was answered. */
function uncountedCopies({ level, replicas }: Promised, info: Facts, shard: Shard | undefined): Finding[] {
  const connected = Number(info.connected_slaves ?? 0)
  const copies = Math.min(connected, shard?.promotable ?? connected)
  if (replicas > 0 || copies === 0) return []
  const what = `the level ${level} waits for none of ${copies} connected replicas: when one is promoted, what was answered last may be lost, packs are granted twice and vouchers redeemed twice`
  const levels = `set FAIRGRAB_DURABILITY to replicated or fenced and FAIRGRAB_REPLICAS to ${connected}`
  const mend = shard
    ? `${levels}, or let none of them take over by itself: cluster-replica-no-failover yes on each replica, by CONFIG SET and in its redis.conf; the warning goes once CLUSTER NODES has them as nofailover`
    : `${levels}, or let nothing promote them (replica-priority 0; a primary does not know of it, so this warning stays)`
  return [{ what, mend }]
}

function warningsOf(level: Durability, info: Facts): Finding[] {
  const server = info.server_name === 'valkey' ? 'valkey' : 'redis'
  const warnings = flawsOf(server, info[`${server}_version`] ?? '0')
  const loses = LOSES[level]
  if (loses !== undefined)
    warnings.push({ what: `the level is ${level}: ${loses}`, mend: 'set FAIRGRAB_DURABILITY to always' })
  return warnings
}

export const facts = (text: string): Facts =>
  Object.fromEntries([...text.matchAll(/^([a-z_]+):(.*?)\r?$/gm)].map(match => [match[1], match[2]]))

/** Settings of a server, by patterns; none where they may not be read. */
export async function valuesOf(client: Redis, ...names: readonly string[]): Promise<Facts> {
  try {
    const flat = (await client.config('GET', ...names)) as string[]
    const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] as string]] : []))
    return Object.fromEntries(pairs)
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'ReplyError') return {}
    throw cause
  }
}

/** How many nodes listen; 0 where the engine's user may not ask that. */
async function countNodes(client: Redis): Promise<number> {
  try {
    return (await client.pubsub('CHANNELS', allNodes())).length
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'ReplyError') return 0
    throw cause
  }
}

/** Reads and judges the server. Throws Fault when it cannot be asked. */
export async function checkHealth(link: Link, promised: Promised, clock: Clock, shard?: Shard): Promise<StoreHealth> {
  const { level, replicas } = promised
  const aheadMs = await serverAheadMs(link, clock)
  const info = facts(await link.request(client => client.info()))
  const config = await link.request(client => valuesOf(client, '*append*', 'maxmemory-policy'))
  // A primary that was made a replica keeps its connections, and one that only asks would never learn of the new primary.
  if (info.role !== undefined && info.role !== 'master') link.renew(`the server has become a ${info.role}`)
  const rights = await findScriptRights(link)
  const full = memoryProblems(info)
  // Whether replicas confirm a write cannot be known where none is taken.
  const replicated = full.length > 0 ? [] : await replicaProblems(link, promised, info)
  const lacking = unread(level, info, config)
  const { problems = [], warnings = [] } = unverified(promised, lacking)
  // At fenced a missing replica stops no grant by itself: what is reserved goes on, and no more is reserved without it.
  const goesOn = level === 'fenced' && Number(info.connected_slaves ?? 0) <= replicas
  return {
    problems: [...problemsOf(level, info, config), ...full, ...problems, ...rights, ...(goesOn ? [] : replicated)],
    warnings: [
      ...warningsOf(level, info),
      ...warnings,
      ...uncountedCopies(promised, info, shard),
      ...(goesOn ? replicated : []),
      ...clockWarnings(aheadMs),
    ],
    declared: lacking.length > 0 && promised.declared,
    aheadMs,
    version: info.redis_version ?? 'unknown',
    usedMemoryBytes: Number(info.used_memory ?? 0),
    nodes: await link.request(countNodes),
    commands: Number(info.total_commands_processed ?? 0),
  }
}
