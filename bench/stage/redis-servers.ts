/**
 * The Redis that a bench starts beside its engine: one server over TCP, or the primaries of a Redis Cluster, which share the
 * cluster slots in equal ranges. Their settings are those of the engine's own embedded server at the same level, so that what
 * differs in cost is the cluster, and those that the engine asks of a cluster.
 *
 * A cluster of one or two serves like a larger one, but promotes nobody: it has no majority without the server that is lost.
 * That is enough for figures. Replicas are left out: they would share the machine that is measured.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { askRedis } from './redis-question.ts'

const SLOTS = 16_384
const NODE_TIMEOUT_MS = 1500
const READY_WITHIN_MS = 60_000
const STOPPED_WITHIN_MS = 10_000
const LOOK_MS = 20
const WORDS_KEPT = 2000
const PROGRAMS = ['redis-server', 'valkey-server']

export interface RedisServer {
  readonly port: number
  readonly pid: number
}

export interface RedisServers {
  /** As the engine's `REDIS_URL` has it. */
  readonly url: string
  readonly servers: readonly RedisServer[]
  /** Of a cluster: the place in `servers` of the one that has a key without braces. */
  shardOf(key: string): Promise<number>
  stop(): Promise<void>
}

export interface RedisWish {
  /** Primaries; undefined for one server that is no cluster. */
  readonly cluster: number | undefined
  readonly durability: string
  /** Where the servers keep their data. */
  readonly directory: string
}

const LEVEL = (durability: string): string[] => [
  ...['--daemonize', 'no', '--save', '', '--appendonly', durability === 'memory' ? 'no' : 'yes'],
  ...['--appendfsync', durability === 'always' ? 'always' : 'everysec', '--no-appendfsync-on-rewrite', 'no'],
  ...['--auto-aof-rewrite-min-size', '1gb', '--maxmemory-policy', 'noeviction', '--latency-tracking', 'no'],
]

const clusterSettings = (busPort: number): string[] => [
  ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-config-file', 'nodes.conf'],
  ...['--cluster-node-timeout', String(NODE_TIMEOUT_MS), '--cluster-require-full-coverage', 'no'],
  ...['--cluster-allow-replica-migration', 'no'],
]

interface Started extends RedisServer {
  readonly busPort: number
  readonly child: ChildProcess
}

/** Resolves when it accepts connections; undefined when there is no such program. Throws with its last words when it ends. */
async function launched(program: string, args: readonly string[]): Promise<ChildProcess | undefined> {
  // Its own process group: an interrupt of the terminal reaches the bench, which stops the engine first.
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const isThere = await new Promise<boolean>(resolve => {
    child.once('spawn', () => resolve(true))
    child.once('error', () => resolve(false))
  })
  if (!isThere) return undefined
  let words = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', chunk => {
      words = (words + String(chunk)).slice(-WORDS_KEPT)
      if (/ready to accept/i.test(words)) resolve()
    })
    child.once('exit', code => reject(new Error(`${program} ended with ${code}; its last words:\n${words}`)))
  })
  return child
}

async function startServer({ cluster, durability, directory }: RedisWish, place: number): Promise<Started> {
  const folder = join(directory, `redis-${place + 1}`)
  await mkdir(folder, { recursive: true })
  const [port, busPort] = [await freePort(), await freePort()]
  const at = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder]
  const args = [...at, ...LEVEL(durability), ...(cluster === undefined ? [] : clusterSettings(busPort))]
  for (const program of PROGRAMS) {
    const child = await launched(program, args)
    if (child !== undefined) return { port, busPort, child, pid: child.pid as number }
  }
  throw new Error(`none of ${PROGRAMS.join(', ')} is on this machine`)
}

async function stopServer({ child }: Started): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  child.kill('SIGTERM')
  await exited
  clearTimeout(killer)
}

const isWhole = (info: string, servers: number): boolean =>
  ['cluster_state:ok', `cluster_slots_ok:${SLOTS}`, `cluster_known_nodes:${servers}`].every(line =>
    info.includes(`${line}\r\n`),
  )

/** Gives each server its range of slots and lets them meet; resolves when every one of them calls the cluster whole. */
async function joined(servers: readonly Started[], range: number): Promise<void> {
  const [first] = servers as [Started]
  for (const [place, server] of servers.entries()) {
    const last = Math.min(SLOTS, (place + 1) * range) - 1
    await askRedis(server, `CLUSTER SET-CONFIG-EPOCH ${place + 1}`)
    await askRedis(server, `CLUSTER ADDSLOTSRANGE ${place * range} ${last}`)
    if (place > 0) await askRedis(server, `CLUSTER MEET 127.0.0.1 ${first.port} ${first.busPort}`)
  }
  const deadline = Date.now() + READY_WITHIN_MS
  for (const server of servers) {
    while (!isWhole(await askRedis(server, 'CLUSTER INFO'), servers.length)) {
      if (Date.now() > deadline)
        throw new Error(
          `the cluster was not whole within ${READY_WITHIN_MS / 1000} s: ${await askRedis(server, 'CLUSTER NODES')}`,
        )
      await delay(LOOK_MS)
    }
  }
}

export async function startRedis(wish: RedisWish): Promise<RedisServers> {
  const { cluster } = wish
  const servers: Started[] = []
  const stop = async () => {
    await Promise.all(servers.map(stopServer))
  }
  const range = Math.ceil(SLOTS / (cluster ?? 1))
  try {
    for (let place = 0; place < (cluster ?? 1); place++) servers.push(await startServer(wish, place))
    if (cluster !== undefined) await joined(servers, range)
  } catch (cause) {
    await stop()
    throw cause
  }
  const [first] = servers as [Started]
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return {
    url: cluster === undefined ? `redis://${addresses}` : `redis+cluster://${addresses}`,
    servers: servers.map(({ port, pid }) => ({ port, pid })),
    shardOf: async key => Math.floor(Number(await askRedis(first, `CLUSTER KEYSLOT ${key}`)) / range),
    stop,
  }
}
