/**
 * The engine that a bench starts for itself: a real one, its data in a temporary directory, with an embedded Redis or, where
 * that was asked for, with servers or a Redis Cluster that the bench starts beside it.
 *
 * It listens on a random port of the loopback, is ready when /readyz says so, and is stopped by SIGTERM (SIGKILL after
 * half a minute) whatever happened to the run; the directory goes with it. Its own words go to a file, whose end is
 * shown when the start fails. With `--url` there is no such process and nothing is stopped.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDone, Transport } from '../../engine/client/transport.ts'
import { freePort } from './free-port.ts'
import type { Options } from './options.ts'
import type { RedisPlace } from './redis-question.ts'
import { type RedisServers, startRedis } from './redis-servers.ts'

/** An engine that cannot start ends by itself; these bounds are for a machine that others use, too. */
const READY_WITHIN_MS = 60_000
const STOPPED_WITHIN_MS = 30_000

export interface EngineSettings {
  readonly durability: string
  readonly workers: number | undefined
  /** Stream sockets that one worker accepts. */
  readonly sockets?: number
  /** Where the workers record the arrival of each decided claim. */
  readonly arrivals?: string
  /** Its own Redis over a unix socket (default), or a server beside it over TCP. */
  readonly redis?: 'embedded' | 'tcp'
  /** Primaries of a Redis Cluster beside it; undefined for one Redis. */
  readonly cluster?: number | undefined
}

/** Of the same flags for every engine that a run starts. */
export const engineOf = ({ durability, redis, cluster }: Options) => ({ durability, redis, cluster })

export interface RunningEngine {
  readonly url: string
  readonly key: string
  /** The supervisor; undefined for an engine that somebody else runs. */
  readonly pid: number | undefined
  /** Where its Redis can be asked; empty for an engine that somebody else runs. */
  readonly redisPlaces: readonly RedisPlace[]
  /** What the bench started beside it; undefined where its Redis is its own child or somebody's. */
  readonly beside: RedisServers | undefined
  stop(): Promise<void>
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  const transport = new Transport({ url })
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the engine ended with code ${child.exitCode}`)
    if (isDone(await transport.attempt({ path: '/readyz' }, READY_WITHIN_MS))) return
    await delay(20)
  }
  throw new Error(`the engine was not ready within ${READY_WITHIN_MS / 1000} s`)
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  child.kill('SIGTERM')
  await exited
  clearTimeout(killer)
}

function environmentOf(settings: EngineSettings, own: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(FAIRGRAB_|REDIS_URL$|PORT$|HOST$|LOG_LEVEL$)/.test(name),
  )
  return {
    ...Object.fromEntries(inherited),
    HOST: '127.0.0.1',
    FAIRGRAB_DURABILITY: settings.durability,
    ...(settings.workers === undefined ? {} : { FAIRGRAB_WORKERS: String(settings.workers) }),
    ...(settings.sockets === undefined ? {} : { FAIRGRAB_SOCKETS: String(settings.sockets) }),
    ...(settings.arrivals === undefined ? {} : { FAIRGRAB_ARRIVALS: settings.arrivals }),
    ...own,
  }
}

async function startBeside(settings: EngineSettings, directory: string): Promise<RedisServers | undefined> {
  const { cluster, redis = 'embedded', durability } = settings
  if (cluster === undefined && redis === 'embedded') return undefined
  return startRedis({ cluster, durability, directory })
}

/** Tells processes to end when the bench was killed and could not: what it waits for is the end of its input. */
function watch(pids: readonly (number | undefined)[]): ChildProcess {
  const script = 'cat >/dev/null; kill "$@" 2>/dev/null'
  const watcher = spawn('sh', ['-c', script, 'sh', ...pids.map(String)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.unref()
  return watcher
}

/** Starts the engine's process in `directory`; `beside` is stopped behind it. */
async function launch(settings: EngineSettings, directory: string, beside: RedisServers | undefined) {
  const key = randomBytes(24).toString('base64url')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const data = join(directory, 'data')
  const logFile = join(directory, 'engine.log')
  const log = openSync(logFile, 'a')
  const env = environmentOf(settings, {
    PORT: String(port),
    FAIRGRAB_KEYS: `operator:${key}`,
    FAIRGRAB_DATA_DIR: data,
    ...(beside === undefined ? {} : { REDIS_URL: beside.url }),
  })
  const cli = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))
  // Its own process group: an interrupt of the terminal reaches the bench, which stops the engine when it is done.
  const child = spawn(process.execPath, [cli, 'up'], { env, stdio: ['ignore', log, log], detached: true })
  closeSync(log)
  const watcher = watch([child.pid, ...(beside?.servers ?? []).map(({ pid }) => pid)])
  const stop = async () => {
    await stopChild(child)
    watcher.kill('SIGKILL')
  }
  try {
    await untilReady(url, child)
  } catch (error) {
    const words = await readFile(logFile, 'utf8')
    await stop()
    throw new Error(`${(error as Error).message}; its last words:\n${words.slice(-2000)}`)
  }
  return { url, key, pid: child.pid, stop, redisPlaces: beside?.servers ?? [{ path: join(data, 'redis.sock') }] }
}

export async function startEngine(settings: EngineSettings): Promise<RunningEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'fairgrab-bench-'))
  let beside: RedisServers | undefined
  const clear = async () => {
    await beside?.stop()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    beside = await startBeside(settings, directory)
    const engine = await launch(settings, directory, beside)
    const stop = async () => {
      await engine.stop()
      await clear()
    }
    return { ...engine, beside, stop }
  } catch (cause) {
    await clear()
    throw cause
  }
}

export function foreignEngine(url: string, key: string): RunningEngine {
  const none = { pid: undefined, redisPlaces: [], beside: undefined, stop: async () => undefined }
  return { url: url.replace(/\/$/, ''), key, ...none }
}
