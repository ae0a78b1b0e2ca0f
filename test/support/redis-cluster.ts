/**
 * A real Redis Cluster on ports of this machine: primaries that share the cluster slots evenly, each with as many replicas as
 * are asked for. Its servers are children (redis.ts), so a test may kill, freeze and restart them; slots are moved as people
 * move them, key by key (SETSLOT and MIGRATE). The time after which a server counts as lost is short, and a lost shard stops no
 * other: what the engine's documentation says to set.
 *
 * Nothing is waited for by time: what every server says of the cluster is asked until it holds.
 */
import { Redis } from 'ioredis'
import { clusterSlotOf, SLOTS } from '../../engine/store/cluster/slot-table.ts'
import { type TlsFiles, tlsMaterial } from '../../engine/store/connection/tls-files.ts'
import { servedWith } from './certificates.ts'
import { freePort } from './node-process.ts'
import type { Partition } from './partition.ts'
import { type RedisOptions, type RedisProcess, startLocalRedis } from './redis.ts'

const NODE_TIMEOUT_MS = 1500
const LOOK_MS = 20
const PATIENCE_MS = 40_000

export interface ClusterServer {
  readonly redis: RedisProcess
  /** Its own; and those by which the others reach it. */
  readonly port: number
  readonly announcedPort: number
  readonly busPort: number
  readonly admin: Redis
  /** `127.0.0.1:7001`, as all others know it. */
  readonly address: string
  /** What a partition calls it. */
  readonly name: string
}

export interface ClusterOptions extends Pick<RedisOptions, 'appendfsync' | 'args'> {
  readonly primaries?: number
  /** Of each primary. */
  readonly replicas?: number
  readonly nodeTimeoutMs?: number
  /** A network between the servers that a test can cut. */
  readonly partition?: Partition
  /** With it all servers speak TLS alone, with each other too, and ask for a certificate. */
  readonly tls?: Required<TlsFiles>
}

const infoOf = async ({ admin }: ClusterServer): Promise<string> => (await admin.cluster('INFO')) as string

/** Resolves when it holds; what does not hold within a minute never will. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); ) {
    if (performance.now() > end) throw new Error(`it does not come to this: ${holds}`)
    await new Promise(resume => setTimeout(resume, LOOK_MS))
  }
}

/** So many free ports, no two alike. */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}

async function startServer(
  [port, busPort]: readonly [number, number],
  options: ClusterOptions,
): Promise<ClusterServer> {
  const { appendfsync = 'no', args = [], nodeTimeoutMs = NODE_TIMEOUT_MS, partition } = options
  const settings = [
    ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', String(nodeTimeoutMs)],
    ...['--cluster-require-full-coverage', 'no', '--cluster-allow-replica-migration', 'no'],
    ...['--repl-diskless-sync-delay', '0', '--cluster-config-file', 'nodes.conf'],
  ]
  const { name, announced, doors } = await doorsOf(partition, port, busPort)
  const { tls } = options
  const spoken = tls ? [...servedWith(port, tls), '--tls-cluster', 'yes', '--tls-replication', 'yes'] : []
  const redis = await startLocalRedis({ port, appendfsync, args: [...settings, ...doors, ...spoken, ...args] })
  const secured = tls ? { tls: tlsMaterial(tls) } : {}
  const admin = new Redis({ port, ...secured, retryStrategy: () => 50, maxRetriesPerRequest: null })
  admin.on('error', () => {})
  return { redis, port, ...announced, admin, address: `127.0.0.1:${announced.announcedPort}`, name }
}

/** How a server is reached by the others: directly, or through the doors of a network that can be cut. */
async function doorsOf(partition: Partition | undefined, port: number, busPort: number) {
  if (!partition) return { name: '', announced: { announcedPort: port, busPort }, doors: [] }
  const name = partition.name()
  const announced = { announcedPort: await partition.door(name, port), busPort: await partition.door(name, busPort) }
  const doors = [
    ...['--cluster-announce-ip', '127.0.0.1', '--cluster-announce-port', String(announced.announcedPort)],
    ...['--cluster-announce-bus-port', String(announced.busPort), '--bind-source-addr', name],
  ]
  return { name, announced, doors }
}

export class RedisCluster implements AsyncDisposable {
  readonly servers: readonly ClusterServer[]
  /** Those that had the slots at the start. */
  readonly primaries: readonly ClusterServer[]
  readonly #scheme: string

  private constructor(servers: readonly ClusterServer[], primaries: number, scheme: string) {
    this.#scheme = scheme
    this.servers = servers
    this.primaries = servers.slice(0, primaries)
  }

  static async open(options: ClusterOptions = {}): Promise<RedisCluster> {
    const { primaries = 3, replicas = 0 } = options
    const count = primaries * (1 + replicas)
    const ports = await freePorts(2 * count)
    const pairs = ports.slice(0, count).map((port, i) => [port, ports[count + i] as number] as const)
    const servers = await Promise.all(pairs.map(pair => startServer(pair, options)))
    const cluster = new RedisCluster(servers, primaries, options.tls ? 'rediss' : 'redis')
    await cluster.#join()
    return cluster
  }

  get url(): string {
    return `${this.#scheme}+cluster://${this.primaries.map(({ address }) => address).join(',')}`
  }

  /** The server that has a key now, as another one says. */
  async ownerOf(key: string, asked?: ClusterServer): Promise<ClusterServer> {
    return this.ownerOfSlot(clusterSlotOf(key), asked)
  }

  /** The same of a slot. A server that was away may know of no owner at first, and is asked until it does. */
  async ownerOfSlot(slot: number, asked = this.#anyServer()): Promise<ClusterServer> {
    let owner: ClusterServer | undefined
    await until(async () => {
      const rows = (await asked.admin.cluster('SLOTS')) as unknown as [number, number, [string, number]][]
      const row = rows.find(([from, to]) => slot >= from && slot <= to)
      owner = this.servers.find(({ announcedPort }) => announcedPort === row?.[2][1])
      return owner !== undefined
    })
    return owner as unknown as ClusterServer
  }

  /** The replicas of a primary, as it says itself. */
  async replicasOf(primary: ClusterServer): Promise<ClusterServer[]> {
    const [, , replicas] = (await primary.admin.role()) as [string, number, [string, string, string][]]
    return this.servers.filter(({ port }) => replicas.some(([, at]) => Number(at) === port))
  }

  /**
   * Moves a slot key by key, as `redis-cli --cluster reshard` does; `between` is called behind each key, and at the start when
   * nothing is moved yet.
   */
  async moveSlot(slot: number, to: ClusterServer, between: () => Promise<void> = async () => {}): Promise<void> {
    const from = await this.ownerOfSlot(slot, to)
    const [source, target] = await Promise.all([from, to].map(({ admin }) => admin.cluster('MYID') as Promise<string>))
    await to.admin.cluster('SETSLOT', slot, 'IMPORTING', source as string)
    await from.admin.cluster('SETSLOT', slot, 'MIGRATING', target as string)
    await between()
    for (;;) {
      const [key] = (await from.admin.cluster('GETKEYSINSLOT', slot, 1)) as string[]
      if (key === undefined) break
      await from.admin.migrate('127.0.0.1', to.port, key, 0, 10_000)
      await between()
    }
    for (const { admin } of [to, from]) await admin.cluster('SETSLOT', slot, 'NODE', target as string)
    for (const server of this.primaries)
      await until(async () => server.admin.status !== 'ready' || (await this.ownerOfSlot(slot, server)) === to)
  }

  /** Resolves when a server says that the cluster is whole, and that its replicas have everything. */
  async whole(asked: readonly ClusterServer[] = this.servers): Promise<void> {
    for (const server of asked) await until(async () => /cluster_state:ok/.test(await infoOf(server)))
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.servers.map(async ({ redis, admin }) => {
        admin.disconnect()
        await redis.stop()
      }),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #anyServer(): ClusterServer {
    return this.servers.find(({ admin }) => admin.status === 'ready') ?? (this.servers[0] as ClusterServer)
  }

  async #replicate(replica: ClusterServer, place: number): Promise<void> {
    const primary = this.primaries[place % this.primaries.length] as ClusterServer
    const id = (await primary.admin.cluster('MYID')) as string
    await until(async () => ((await replica.admin.cluster('NODES')) as string).includes(id))
    await until(() =>
      replica.admin.cluster('REPLICATE', id).then(
        () => true,
        () => false,
      ),
    )
    await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')))
  }

  async #join(): Promise<void> {
    const [first] = this.servers as [ClusterServer]
    const part = Math.ceil(SLOTS / this.primaries.length)
    for (const [i, { admin }] of this.servers.entries()) {
      await admin.cluster('SET-CONFIG-EPOCH', i + 1)
      if (i < this.primaries.length)
        await admin.call('CLUSTER', 'ADDSLOTSRANGE', i * part, Math.min(SLOTS, (i + 1) * part) - 1)
      if (i > 0) await admin.call('CLUSTER', 'MEET', '127.0.0.1', first.announcedPort, first.busPort)
    }
    const known = new RegExp(`cluster_known_nodes:${this.servers.length}\\r`)
    for (const server of this.servers) await until(async () => known.test(await infoOf(server)))
    await Promise.all(this.servers.slice(this.primaries.length).map((replica, i) => this.#replicate(replica, i)))
    await this.whole()
    // A replica that was sent nothing yet is in nobody's table of slots.
    for (const [i, { admin }] of this.primaries.entries()) {
      const names = Array.from({ length: SLOTS }, (_, n) => `first:${n}`)
      const key = names.find(name => Math.floor(clusterSlotOf(name) / part) === i) as string
      await admin.set(key, '')
      await admin.del(key)
    }
    const perShard = this.servers.length / this.primaries.length - 1
    for (const asked of this.servers)
      await until(async () => {
        const rows = (await asked.admin.cluster('SLOTS')) as unknown[][]
        return rows.length === this.primaries.length && rows.every(row => row.length === 3 + perShard)
      })
  }
}
