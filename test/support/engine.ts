/**
 * The engine for a test, always the real one: as a worker inside the test's own process, or as a node.
 *
 * `startTestWorker` puts one worker together by main.ts on a free port: quick (about 50 ms) and enough for whatever
 * HTTP and the stream answer. Several of them on one Redis are several workers, since they share nothing else.
 * `startNode` runs `fairgrab up` in a process of its own, with its supervisor and, without REDIS_URL, its embedded
 * redis-server: for signals, for shared ports, for anything that two event loops could get wrong.
 *
 * Each node has a watcher, a shell that waits for the end of its input: when the test process dies, by whatever
 * signal, the node is told to end, so that no run leaves servers behind. The keys are the same in every test.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AggregatorRegistry } from 'prom-client'
import { readConfig } from '../../engine/config.ts'
import { startWorker } from '../../engine/main.ts'
import { openLog } from '../../engine/ops/log.ts'
import { bareEnv } from './bare-env.ts'
import { replicasAt } from './redis.ts'

export const KEYS = {
  operator: 'operator-key-1',
  platform: 'platform-key-1',
  merchant: 'merchant-key-1',
  viewer: 'viewer-key-1',
} as const

export const JWT_SECRET = 'a secret of the tests, 32 bytes or more'

const SETTINGS = {
  HOST: '127.0.0.1',
  PORT: '0',
  FAIRGRAB_KEYS: Object.entries(KEYS)
    .map(([role, key]) => `${role}:${key}`)
    .join(','),
  FAIRGRAB_JWT_SECRET: JWT_SECRET,
  LOG_LEVEL: 'error',
} as const

export interface TestWorker {
  readonly url: string
  stop(): Promise<void>
}

/** Between two checks of the server, milliseconds; without it they are five seconds apart. */
export const SOON_MS = 500

/** The level of the tests' engines: none, or where TEST_REPLICAS gave the server replicas the one that waits for them. */
export function levelAt(redisUrl: string): Readonly<Record<'FAIRGRAB_DURABILITY', string>> {
  const replicas = replicasAt(redisUrl)
  if (replicas === 0) return { FAIRGRAB_DURABILITY: 'memory' }
  return { FAIRGRAB_DURABILITY: 'replicated', ...{ FAIRGRAB_REPLICAS: String(replicas) } }
}

/**
 * A worker in this process. The settings are variables of the environment and win over the ones of all tests. Unless they
 * say so nothing is promised to survive, so that no slow disk makes a first answer a repeated one. A test that waits for
 * checks of the server may have them more often (SOON_MS): what is seen by a check is the same.
 */
export async function startTestWorker(
  redisUrl: string,
  settings: Readonly<Record<string, string>> = {},
  checkMs?: number,
): Promise<TestWorker> {
  const level = settings.FAIRGRAB_DURABILITY === undefined ? levelAt(redisUrl) : {}
  const config = readConfig({ ...SETTINGS, ...level, REDIS_URL: redisUrl, ...settings })
  const worker = await startWorker({
    config,
    log: openLog(config.logLevel, 'test'),
    checkMs,
    metricsText: async own => AggregatorRegistry.aggregate([await own()]).metrics(),
  })
  return { url: `http://127.0.0.1:${worker.port}`, stop: () => worker.drain(0) }
}

export interface TestNode extends Printed {
  /** The supervisor's. */
  readonly pid: number
  /** Where an embedded redis-server keeps its data and its socket. */
  readonly dataDir: string
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
  /** What it printed. */
  words(): string
  signal(name: NodeJS.Signals): void
  /** SIGTERM, then the end and the folder. */
  stop(): Promise<void>
}

/** Tells a process to end as soon as this one is gone. */
export function watch(pid: number): ChildProcess {
  const watcher = spawn('sh', ['-c', 'cat >/dev/null; kill -TERM "$0" 2>/dev/null', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.unref()
  return watcher
}

interface Printed {
  readonly url: string
  /** Where none was configured: the operator key that it made. */
  readonly madeKey: string
}

interface Output {
  readonly served: Promise<Printed>
  words(): string
}

/** What the node prints; its serving rejects with its words when it ends first. */
function outputOf(child: ChildProcess, makesKey: boolean): Output {
  const { promise, resolve, reject } = Promise.withResolvers<Printed>()
  let words = ''
  const read = (chunk: Buffer): void => {
    words += chunk.toString()
    const url = /serves (http:\S+)/.exec(words)?.[1]
    const madeKey = /operator key, shown once: (\S+)\n/.exec(words)?.[1]
    if (url !== undefined && (madeKey !== undefined || !makesKey)) resolve({ url, madeKey: madeKey ?? '' })
  }
  child.stdout?.on('data', read)
  child.stderr?.on('data', read)
  child.once('exit', code => reject(new Error(`the node ended with ${code} before it served:\n${words}`)))
  return { served: promise, words: () => words }
}

const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))

/** A node as people start it, with its own environment and nothing of this one's but PATH; `cli` is the program `fairgrab`, `program` what runs it. */
export async function startNode(
  settings: Readonly<Record<string, string>> = {},
  cli = CLI,
  program = process.execPath,
): Promise<TestNode> {
  const dataDir = mkdtempSync(join(tmpdir(), 'fg-node-'))
  const env = bareEnv({ ...SETTINGS, FAIRGRAB_WORKERS: '1', FAIRGRAB_DATA_DIR: dataDir, ...settings })
  const child = spawn(program, [cli, 'up'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string)
  await once(child, 'spawn')
  const pid = child.pid as number
  const watcher = watch(pid)
  child.once('exit', () => watcher.kill('SIGKILL'))
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    const { served, words } = outputOf(child, env.FAIRGRAB_KEYS === '')
    return { ...(await served), pid, dataDir, ended, words, signal: name => child.kill(name), stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}
