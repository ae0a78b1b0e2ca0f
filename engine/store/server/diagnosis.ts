/**
 * What `fairgrab doctor` asks of the server beyond its health: whether the engine's user may do what the engine does,
 * whether it may do what nobody should, and how far the two clocks are apart.
 *
 * What the engine needs is tried (rights.ts). What must not be allowed cannot be tried, so for that Redis is asked (ACL DRYRUN),
 * and where it will not say, the user is already a limited one. Rejected: parsing ACL rules, a language with its own
 * order and exceptions.
 */
import { Fault } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { Finding, Findings } from '../../base/finding.ts'
import { replicationMark } from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import { diagnoseReplicas, type ReplicaOptions } from './replica-settings.ts'
import { findOtherRights } from './rights.ts'
import { serverAheadMs } from './server-time.ts'

/**
 * What nobody needs who only grants, and what would end a release or take the machine: the user of
 * deploy/redis-users.conf may do none of it, which a test tries for each.
 */
export const DANGEROUS: readonly (readonly string[])[] = [
  ['FLUSHALL'],
  ['KEYS', '*'],
  ['CONFIG', 'SET', 'appendonly', 'no'],
  ['DEBUG', 'SLEEP', '0'],
  ['SHUTDOWN'],
  ['FLUSHDB'],
  ['SWAPDB', '0', '1'],
  ['SCAN', '0'],
  ['CONFIG', 'REWRITE'],
  ['CONFIG', 'RESETSTAT'],
  ['RESTORE', replicationMark(), '0', ''],
  ['DUMP', replicationMark()],
  ['MIGRATE', 'host', '1', 'key', '0', '1'],
  ['MODULE', 'LOAD', '/x.so'],
  ['FUNCTION', 'LOAD', 'x'],
  ['FUNCTION', 'FLUSH'],
  ['SCRIPT', 'FLUSH'],
  ['SCRIPT', 'KILL'],
  ['REPLICAOF', 'NO', 'ONE'],
  ['FAILOVER'],
  ['CLUSTER', 'RESET'],
  ['SAVE'],
  ['BGSAVE'],
  ['BGREWRITEAOF'],
  ['MONITOR'],
  ['CLIENT', 'KILL', 'ID', '0'],
  ['CLIENT', 'PAUSE', '1'],
  ['CLIENT', 'LIST'],
  ['ACL', 'SETUSER', 'x'],
  ['ACL', 'LIST'],
  ['ACL', 'LOAD'],
  ['SYNC'],
  ['PSYNC', '?', '-1'],
  ['DEL', replicationMark()],
  ['UNLINK', replicationMark()],
  ['RENAME', replicationMark(), replicationMark()],
  ['EXPIRE', 'other', '1'],
  ['GET', 'other'],
  ['PUBLISH', 'other', ''],
]

/** So many of them a finding names. */
const NAMED_MAX = 5

/** Clocks further apart than this mislead people about openings and ends, milliseconds. */
const CLOCK_MS_MAX = 2000

/** A managed server may have taken a command away, which says no more than that its user may not send it. */
const isDenied = (cause: unknown): boolean =>
  cause instanceof Fault && /NOPERM|unknown (?:command|subcommand)/i.test(cause.message)

/** The reply, or undefined when the user may not, or the server has no such command. */
const allowed = <T>(asked: Promise<T>): Promise<T | undefined> =>
  asked.catch(cause => {
    if (!isDenied(cause)) throw cause
    return undefined
  })

/** Whether the default user needs a password; undefined where that may not be asked. */
async function asksPassword(link: Link): Promise<boolean | undefined> {
  const user = await allowed(link.request(client => client.call('ACL', 'GETUSER', 'default') as Promise<unknown>))
  if (user === undefined) return undefined
  const fields = Array.isArray(user) ? user : Object.entries(user ?? {}).flat()
  const flags: unknown = fields[fields.indexOf('flags') + 1]
  return !(Array.isArray(flags) && flags.includes('nopass'))
}

/** Settings that open the server to more than the engine; not reported where they may not be read. */
const PROTECTED = 'protected-mode'
const OPEN: Readonly<Record<string, readonly [isOpen: (value: string) => boolean, what: string, mend: string]>> = {
  // No line to type: turned on by itself, it refuses every other machine while the default user has no password.
  [PROTECTED]: [
    value => value === 'no',
    'protected-mode is no: where the default user has no password, every network is answered',
    'write `user default off` into redis.conf (deploy/redis-users.conf) or give that user a password, or keep the server in a private network',
  ],
  'enable-debug-command': [
    value => value === 'yes',
    'enable-debug-command is yes',
    'enable-debug-command no in redis.conf, and restart',
  ],
  'enable-module-command': [
    value => value === 'yes',
    'enable-module-command is yes: who may send commands may load code',
    'enable-module-command no in redis.conf, and restart',
  ],
}

async function openSettings(link: Link): Promise<Finding[]> {
  const isClosed = await asksPassword(link)
  const names = Object.keys(OPEN).filter(name => !(isClosed && name === PROTECTED))
  const flat = await allowed(link.request(client => client.call('CONFIG', 'GET', ...names) as Promise<string[]>))
  return (flat ?? []).flatMap((name, i) => {
    const [isOpen, what, mend] = (i % 2 === 0 ? OPEN[name] : undefined) ?? []
    return what !== undefined && mend !== undefined && isOpen?.(flat?.[i + 1] ?? '') ? [{ what, mend }] : []
  })
}

async function dangerousRights(link: Link): Promise<Finding[]> {
  const user = await allowed(link.request(client => client.call('ACL', 'WHOAMI') as Promise<string>))
  const mend = 'give the engine a user of its own: deploy/redis-users.conf'
  if (user === 'default') {
    const [what, password] = ['the engine is the default user, who may do everything', await asksPassword(link)]
    return [{ what: password === false ? `${what} and has no password` : what, mend }]
  }
  if (user === undefined) return []
  const may: string[] = []
  for (const command of DANGEROUS) {
    const says = await allowed(
      link.request(client => client.call('ACL', 'DRYRUN', user, ...command) as Promise<string>),
    )
    if (says === 'OK') may.push(command.slice(0, 2).join(' '))
  }
  const more = may.length > NAMED_MAX ? ` and ${may.length - NAMED_MAX} more` : ''
  return may.length > 0 ? [{ what: `the user ${user} may ${may.slice(0, NAMED_MAX).join(', ')}${more}`, mend }] : []
}

async function clockDrift(link: Link, clock: Clock): Promise<Finding[]> {
  const ahead = (await allowed(serverAheadMs(link, clock))) ?? 0
  if (Math.abs(ahead) <= CLOCK_MS_MAX) return []
  const what = `Redis's clock is ${Math.abs(ahead)} ms ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`
  return [{ what, mend: 'run a time service (chrony) on both; Redis decides when a round opens' }]
}

/** Rights and clock of the one server behind a link, and the settings of its replicas. Throws Fault when it cannot be asked. */
export async function diagnose(link: Link, options: ReplicaOptions): Promise<Findings> {
  const replicas = await allowed(diagnoseReplicas(link, options))
  return {
    problems: [
      ...(await findOtherRights(link)),
      ...(await clockDrift(link, options.clock)),
      ...(replicas?.problems ?? []),
    ],
    warnings: [...(await dangerousRights(link)), ...(await openSettings(link)), ...(replicas?.warnings ?? [])],
  }
}
