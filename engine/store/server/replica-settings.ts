/**
 * What `fairgrab doctor` finds on replicas: whatever their primary has for the level, each of them needs before it is
 * promoted, since from then on its settings are those that count. The checks of a running engine see them only behind a
 * fail-over, and stop the grants until they are corrected.
 *
 * Addresses are those that the primary has for them, which may lead nowhere from this machine: that is reported, and is no error.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import type { Finding, Findings } from '../../base/finding.ts'
import type { Link } from '../connection/link.ts'
import { type Durability, facts, problemsOf, valuesOf } from './health.ts'

/** For one replica to connect and answer, milliseconds. */
const ANSWER_MS = 2000

export interface ReplicaOptions {
  readonly level: Durability
  readonly clock: Clock
  /** A client of `host:port` with the name, password and TLS of the primary, not connected yet. */
  readonly dial: (server: string) => Redis
  /** How redis-cli reaches it. */
  readonly cliOf: (server: string) => string
  /** How redis-cli mends the slots of the cluster that it is of. */
  readonly fixOf: (server: string) => string
}

/** `host:port` of each replica that a primary has connected. */
export const replicasIn = (info: string): readonly string[] =>
  [...info.matchAll(/^slave\d+:ip=([^,]+),port=(\d+)/gm)].map(([, ip = '', port]) =>
    ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`,
  )

/** How Redis says that a server does not know the engine's user, or not what it may do. */
export const NOT_ALLOWED = /NOPERM|WRONGPASS|NOAUTH/

export const LET_IN =
  "give the engine's user of Redis its password and its rights on this server, too (deploy/redis-users.conf)"

/** A replica that gave no answer: it does not let the engine in, or it is not reached from this machine. */
function unasked(server: string, why: string, cli: string): Findings {
  if (NOT_ALLOWED.test(why)) {
    const what = `replica ${server} refuses the engine's user: ${why}; once it is promoted, nothing is granted there`
    return { problems: [{ what, mend: LET_IN }], warnings: [] }
  }
  const what = `replica ${server} cannot be asked from here, so nobody knows what it would keep once it is promoted: ${why}`
  const mend = `run the doctor where it is reached, or compare by hand: ${cli} CONFIG GET '*append*'`
  return { problems: [], warnings: [{ what, mend }] }
}

async function judge(server: string, { level, clock, dial, cliOf }: ReplicaOptions): Promise<Findings> {
  const client = dial(server)
  let why = `it is silent for ${ANSWER_MS} ms`
  client.on('error', ({ message }: Error) => {
    why = message
  })
  const cancel = clock.after(ANSWER_MS, () => client.disconnect())
  try {
    await client.connect()
    const [info, config] = await Promise.all([client.info(), valuesOf(client, '*append*', 'maxmemory-policy')])
    const promoted = { ...facts(info), role: 'master', loading: '0' }
    const warnings = problemsOf(level, promoted, config).map(
      ({ what, mend }): Finding => ({
        what: `replica ${server}: ${what}; once it is promoted, grants stop until that is corrected`,
        mend: mend.replaceAll(/\bredis-cli(?= [A-Z])/g, () => cliOf(server)),
      }),
    )
    return { problems: [], warnings }
  } catch (cause) {
    return unasked(
      server,
      cause instanceof Error && NOT_ALLOWED.test(cause.message) ? cause.message : why,
      cliOf(server),
    )
  } finally {
    cancel()
    client.disconnect()
  }
}

/** What is wrong with the replicas of the one server behind a link. Throws Fault when it cannot be asked. */
export async function diagnoseReplicas(link: Link, options: ReplicaOptions): Promise<Findings> {
  const servers = replicasIn(await link.request(client => client.info('replication')))
  const judged = await Promise.all(servers.map(server => judge(server, options)))
  return {
    problems: judged.flatMap(({ problems }) => problems),
    warnings: judged.flatMap(({ warnings }) => warnings),
  }
}
