/**
 * What `fairgrab doctor` finds on replicas: whatever their primary has for the level, each of them needs before it is
 * promoted, since from then on its settings are those that count. The checks of a running engine see them only behind a
 * fail-over, and stop the grants until they are corrected.
 *
 * Addresses are those that the primary has for them, which may lead nowhere from this machine: that is reported, and is no error.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import type { Finding } from '../../base/finding.ts'
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
}

/** `host:port` of each replica that a primary has connected. */
export const replicasIn = (info: string): readonly string[] =>
  [...info.matchAll(/^slave\d+:ip=([^,]+),port=(\d+)/gm)].map(([, ip = '', port]) =>
    ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`,
  )

async function judge(server: string, { level, clock, dial, cliOf }: ReplicaOptions): Promise<readonly Finding[]> {
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
    return problemsOf(level, promoted, config).map(({ what, mend }) => ({
      what: `replica ${server}: ${what}; once it is promoted, grants stop until that is corrected`,
      mend: mend.replaceAll(/\bredis-cli(?= [A-Z])/g, () => cliOf(server)),
    }))
  } catch {
    const what = `replica ${server} cannot be asked from here, so nobody knows what it would keep once it is promoted: ${why}`
    const mend = `run the doctor where it is reached, or compare by hand: ${cliOf(server)} CONFIG GET '*append*'`
    return [{ what, mend }]
  } finally {
    cancel()
    client.disconnect()
  }
}

/** What is wrong with the replicas of the one server behind a link. Throws Fault when it cannot be asked. */
export async function diagnoseReplicas(link: Link, options: ReplicaOptions): Promise<readonly Finding[]> {
  const servers = replicasIn(await link.request(client => client.info('replication')))
  return (await Promise.all(servers.map(server => judge(server, options)))).flat()
}
