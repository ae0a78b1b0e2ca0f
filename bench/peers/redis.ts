/**
 * The rivals' Redis: one redis-server a measurement, on a unix socket, and the question what it holds.
 *
 * Two levels, named as the engine names them. `memory`: no persistence at all. `always`: an append-only file,
 * written and fsynced before the answers of an event loop turn go out. Nothing else differs from Redis' defaults
 * but the eviction policy and the log's rewriting, so a rival runs on the same server with the same promise as the engine beside it.
 * Rejected: one Redis for the whole bench (its memory and its log would grow from contender to contender, and the
 * last one would pay for it), and reading the counters through redis-cli (a process a question).
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Room } from './room.ts'

export const DURABILITIES = {
  memory: ['--appendonly', 'no', '--save', ''],
  always: ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
} as const

/** A rewrite of the log forks in the middle of a run; leaving it out is in the rivals' favour. */
const NO_REWRITE = ['--auto-aof-rewrite-percentage', '0'] as const

export type Durability = keyof typeof DURABILITIES

export interface Setting {
  readonly durability: Durability
  readonly stock: number
}

/** The keys of claim.lua in its order; one hash tag, as in a cluster. */
export const KEYS = ['{rival}:holders', '{rival}:left'] as const
const [HOLDERS, LEFT] = KEYS
const SCRIPT = readFileSync(join(import.meta.dirname, 'claim.lua'), 'utf8')
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')

export interface RivalRedis {
  readonly socket: string
  readonly pid: number
  readonly stock: number
  /** Grants that Redis holds; throws when its two records of them disagree. */
  readonly granted: () => Promise<number>
  /** Claims that Redis executed since it started. */
  readonly executed: () => Promise<number>
}

export async function startRedis(room: Room, { durability, stock }: Setting): Promise<RivalRedis> {
  const folder = join(room.folder, 'redis')
  mkdirSync(folder)
  const socket = join(room.folder, 'redis.sock')
  const place = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '777', '--dir', folder]
  const rules = ['--daemonize', 'no', '--maxmemory-policy', 'noeviction', ...NO_REWRITE, ...DURABILITIES[durability]]
  const pid = await room.run({ program: 'redis-server', args: [...place, ...rules], ready: /ready to accept/i })
  const client = new Redis({ path: socket, retryStrategy: () => null })
  room.defer(() => client.disconnect())
  await client.script('LOAD', SCRIPT)
  await client.set(LEFT, stock)
  return { socket, pid, stock, granted: () => grantedIn(client, stock), executed: () => executedBy(client) }
}

/** Both records in one transaction: between two reads a claim could be executed. */
async function grantedIn(client: Redis, stock: number): Promise<number> {
  const replies = await client.multi().hlen(HOLDERS).get(LEFT).exec()
  const [holders, left] = (replies ?? []).map(([, reply]) => Number(reply))
  if (holders === undefined || left === undefined || holders !== stock - left) {
    throw new Error(`Redis holds ${holders} holders, but ${left} left of ${stock}`)
  }
  return holders
}

async function executedBy(client: Redis): Promise<number> {
  const found = /cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))
  return found ? Number(found[1]) : 0
}
