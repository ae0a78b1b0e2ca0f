/**
 * A real Redis for a test: never a stand-in, never one that a test of another file may break.
 *
 * `startRedis` gives the server that the machine has: the one at REDIS_URL, else a container, else a child process
 * on a unix socket in a folder of its own. A test that asks for settings of the server never gets the shared one.
 * `startLocalRedis` is always a child, for tests that kill, freeze or restart it; its data and its address stay.
 *
 * Each child has a watcher, a shell that waits for the end of its input: when the test process dies, by whatever
 * signal, that pipe closes, and the shell kills the server and removes its folder. Exit handlers were rejected,
 * they do not run after SIGKILL; so was polling with PING, because the log says when the server is ready.
 * TEST_REDIS=container, url or local decides instead of the order above, and fails loudly when it cannot.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Cluster as IoCluster, Redis } from 'ioredis'
import { clusterAddress } from '../../engine/store/connection/address.ts'

const READY = /ready to accept/i
const IMAGE = 'redis:7.4'
const START_MS = 60_000

export interface RedisOptions {
  /** Default `always`, as the engine's; for a server without any log pass `args: ['--appendonly', 'no']`. */
  readonly appendfsync?: 'always' | 'everysec' | 'no'
  /** Further arguments of redis-server; they win over the ones given here. */
  readonly args?: readonly string[]
  /** Where the data live; without it a new folder, removed at the end. */
  readonly dir?: string
  /** Further variables of its environment. */
  readonly env?: Readonly<Record<string, string>>
  /** A TCP port on 127.0.0.1 instead of the unix socket. */
  readonly port?: number
}

export interface RedisServer extends AsyncDisposable {
  readonly url: string
  readonly socketPath?: string
  stop(): Promise<void>
}

export interface RedisProcess extends RedisServer {
  readonly pid: number
  readonly dir: string
  /** Sends the signal; waits for the end, unless the signal only freezes or thaws. Default SIGKILL. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Resolves with its exit code when it ends by itself; null after a signal. */
  ended(): Promise<number | null>
  /** Starts it again with the same data and address, after killing what may still run. */
  restart(): Promise<void>
}

type RedisChoice = 'url' | 'container' | 'local'

let containers: Promise<boolean> | undefined

async function askForContainers(): Promise<boolean> {
  const { getContainerRuntimeClient } = await import('testcontainers')
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  )
}

/** Decides by TEST_REDIS, else by what is there; the answer holds for the whole run. */
export async function chooseRedis(): Promise<RedisChoice> {
  const wanted = process.env.TEST_REDIS
  if (wanted === 'url' || wanted === 'container' || wanted === 'local') return wanted
  if (wanted !== undefined) throw new Error(`TEST_REDIS is ${wanted}, not url, container or local`)
  if (process.env.REDIS_URL !== undefined) return 'url'
  containers ??= askForContainers()
  return (await containers) ? 'container' : 'local'
}

function settingsOf({ appendfsync = 'always', args = [] }: RedisOptions): readonly string[] {
  const fixed = ['--save', '', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction', '--daemonize', 'no']
  return [...fixed, '--appendfsync', appendfsync, ...args]
}

function shared(): RedisServer {
  const url = process.env.REDIS_URL
  if (url === undefined) throw new Error('TEST_REDIS=url needs REDIS_URL')
  const stop = async (): Promise<void> => undefined
  return { url, stop, [Symbol.asyncDispose]: stop }
}

async function startContainer(options: RedisOptions): Promise<RedisServer> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const container = await new GenericContainer(IMAGE)
    .withCommand(['redis-server', ...settingsOf(options)])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forLogMessage(READY))
    .start()
  const stop = async (): Promise<void> => {
    await container.stop()
  }
  const url = `redis://${container.getHost()}:${container.getMappedPort(6379)}`
  return { url, stop, [Symbol.asyncDispose]: stop }
}

/** How many primaries TEST_CLUSTER asks for; 0 where tests run on one Redis. */
export const testCluster = (): number => Number(process.env.TEST_CLUSTER ?? 0)
/** How many replicas TEST_REPLICAS asks for. */
const testReplicas = (): number => Number(process.env.TEST_REPLICAS ?? 0)
/** By address, the servers that have them. */
const replicated = new Map<string, number>()
/** How many replicas TEST_REPLICAS gave to the server at an address; 0 for any other. */
export const replicasAt = (url: string): number => replicated.get(url) ?? 0

/**
 * The Redis of this machine: shared, in a container or a child, in that order. Kill only what is a child. Where TEST_CLUSTER or
 * TEST_REPLICAS says so, a cluster of so many primaries of this machine's, or a server with so many replicas, for all tests
 * that want no more than an address.
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const isPlain = options.port === undefined && options.dir === undefined
  if (testCluster() > 0 && isPlain) {
    const { RedisCluster } = await import('./redis-cluster.ts')
    return RedisCluster.open({ primaries: testCluster(), ...options })
  }
  if (testReplicas() > 0 && isPlain) {
    const { startReplicated } = await import('./replicated-redis.ts')
    const redis = await startReplicated(testReplicas(), options)
    replicated.set(redis.url, testReplicas())
    return redis
  }
  const choice = await chooseRedis()
  if (choice === 'container') return startContainer(options)
  if (choice === 'url' && Object.keys(options).length === 0) return shared()
  return startLocalRedis(options)
}

let found: string | undefined

/** The name of the server on PATH, which is looked for once: each look is a process. */
export function findServer(): string {
  found ??= ['redis-server', 'valkey-server'].find(
    name => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  )
  if (found) return found
  throw new Error('this test needs redis-server or valkey-server on PATH: node deploy/set-up.mjs --test')
}

/** Kills the server, and removes its folder when it is ours, as soon as this process is gone. */
export function watch(pid: number, ownDir: string): ChildProcess {
  const script = 'cat >/dev/null; kill -9 "$0" 2>/dev/null; [ -z "$1" ] || rm -rf "$1"'
  const watcher = spawn('sh', ['-c', script, String(pid), ownDir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.unref()
  if (watcher.stdin && 'unref' in watcher.stdin && typeof watcher.stdin.unref === 'function') watcher.stdin.unref()
  return watcher
}

/** Resolves at the log line that says so; rejects with the log when the server ends or says nothing for too long. */
async function untilReady(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const log: string[] = []
  const fail = (why: string): void => reject(new Error(`redis-server ${why}\n${log.join('\n')}`))
  if (!child.stdout) throw new Error('redis-server was started without a log')
  createInterface({ input: child.stdout }).on('line', line => {
    if (log.length < 50) log.push(line)
    if (READY.test(line)) resolve()
  })
  child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`))
  const timer = setTimeout(fail, START_MS, `was not ready within ${START_MS} ms`)
  await promise.finally(() => clearTimeout(timer))
}

class LocalRedis implements RedisProcess {
  readonly url: string
  readonly dir: string
  readonly socketPath?: string
  readonly #program = findServer()
  readonly #args: readonly string[]
  readonly #ownDir: string
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined

  constructor(options: RedisOptions) {
    this.dir = options.dir ?? mkdtempSync(join(tmpdir(), 'fg-redis-'))
    this.#ownDir = options.dir === undefined ? this.dir : ''
    this.#env = options.env ?? {}
    const place = ['--dir', this.dir, '--bind', '127.0.0.1', '--port', String(options.port ?? 0)]
    if (options.port === undefined) {
      this.socketPath = join(this.dir, 'redis.sock')
      place.push('--unixsocket', this.socketPath)
      this.url = `unix://${this.socketPath}`
    } else {
      this.url = `redis://127.0.0.1:${options.port}`
    }
    this.#args = [...place, '--logfile', '', ...settingsOf(options)]
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('redis-server does not run')
    return this.#child.pid
  }

  async start(): Promise<void> {
    const env = { ...process.env, ...this.#env }
    const child = spawn(this.#program, this.#args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child, 'spawn')
    this.#child = child
    const watcher = watch(this.pid, this.#ownDir)
    child.once('exit', () => watcher.kill('SIGKILL'))
    await untilReady(child)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!child) return
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') {
      child.kill(signal)
      return
    }
    const exited = once(child, 'exit')
    child.kill(signal)
    if (child.exitCode === null && child.signalCode === null) await exited
    this.#child = undefined
  }

  async ended(): Promise<number | null> {
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child?.exitCode ?? null
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.start()
  }

  async stop(): Promise<void> {
    await this.kill('SIGCONT')
    await this.kill(this.#ownDir === '' ? 'SIGTERM' : 'SIGKILL')
    if (this.#ownDir !== '') await rm(this.#ownDir, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/** A Redis of the test's own, which it asks as it likes and does not kill: a child, or what TEST_CLUSTER or TEST_REPLICAS says. */
export function startOwnRedis(options: Omit<RedisOptions, 'port' | 'dir' | 'env'> = {}): Promise<RedisServer> {
  return testCluster() + testReplicas() > 0 ? startRedis(options) : startLocalRedis(options)
}

/** A client of the tests' own. Of a cluster it sends each command to whoever has its key. */
export function rawRedis(url: string): Redis {
  const cluster = clusterAddress(url)
  if (!cluster) return new Redis(url.replace('unix://', ''))
  return new IoCluster(cluster.seeds.map(cluster.urlOf)) as unknown as Redis
}

/** Every primary behind a client of the tests: the one server, or all of a cluster. */
export async function primariesOf(client: Redis): Promise<readonly Redis[]> {
  // A cluster's are known when it has answered.
  await client.ping()
  const either: unknown = client
  return either instanceof IoCluster ? either.nodes('master') : [client]
}

/** A redis-server (or valkey-server) child that the test may kill, freeze and restart. Never a container. */
export async function startLocalRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const redis = new LocalRedis(options)
  try {
    await redis.start()
  } catch (cause) {
    await redis.stop()
    throw cause
  }
  return redis
}
