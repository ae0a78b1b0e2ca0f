/**
 * What a simulated server says of itself: INFO and CONFIG GET, as far as the checks of the engine read them.
 *
 * A setting that nobody asks for is not there, as on a server that does not let it be read.
 */
import type { Raw } from './commands.ts'
import type { Sync } from './server-options.ts'

export interface ServerFacts {
  readonly isReplica: boolean
  readonly sync: Sync
  readonly replicas: number
  readonly replid: string
  readonly run: string
  readonly isOfCluster: boolean
}

/** INFO. */
export function infoOf({ isReplica, sync, replicas, replid, run }: ServerFacts): string {
  const lines = [
    ...['redis_version:7.0.15', `role:${isReplica ? 'slave' : 'master'}`, 'loading:0', `connected_slaves:${replicas}`],
    ...[`aof_enabled:${sync === 'none' ? 0 : 1}`, 'aof_last_write_status:ok'],
    ...['maxmemory_policy:noeviction', 'used_memory:1', `master_replid:${replid}`, `run_id:${run}`],
  ]
  return `${lines.join('\r\n')}\r\n`
}

const OF_CLUSTER = [
  ...['cluster-require-full-coverage', 'no', 'cluster-allow-replica-migration', 'no'],
  ...['cluster-node-timeout', '1500'],
]

/** CONFIG GET of all that is ever asked for. */
export function configOf({ sync, isOfCluster }: ServerFacts): Raw {
  const appendfsync = sync === 'none' ? 'no' : sync
  const all = ['appendfsync', appendfsync, 'no-appendfsync-on-rewrite', 'no', 'maxmemory-policy', 'noeviction']
  return isOfCluster ? [...all, ...OF_CLUSTER] : all
}
