/**
 * The engine that a bench starts for itself: a real one, with an embedded Redis, its data in a temporary directory.
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
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ask } from '../../engine/client/fresh-request.ts'

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
}

export interface RunningEngine {
  readonly url: string
  readonly key: string
  /** The supervisor; undefined for an engine that somebody else runs. */
  readonly pid: number | undefined
  readonly directory: string | undefined
  stop(): Promise<void>
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('the system gave no port')
  return address.port
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the engine ended with code ${child.exitCode}`)
    if ((await ask({ url: `${url}/readyz` }).catch(() => undefined))?.ok) return
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

export async function startEngine(settings: EngineSettings): Promise<RunningEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'fairgrab-bench-'))
  const key = randomBytes(24).toString('base64url')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const logFile = join(directory, 'engine.log')
  const log = openSync(logFile, 'a')
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(FAIRGRAB_|REDIS_URL$|PORT$|HOST$|LOG_LEVEL$)/.test(name),
  )
  const environment = {
    ...Object.fromEntries(inherited),
    PORT: String(port),
    HOST: '127.0.0.1',
    FAIRGRAB_KEYS: `operator:${key}`,
    FAIRGRAB_DATA_DIR: join(directory, 'data'),
    FAIRGRAB_DURABILITY: settings.durability,
    ...(settings.workers === undefined ? {} : { FAIRGRAB_WORKERS: String(settings.workers) }),
    ...(settings.sockets === undefined ? {} : { FAIRGRAB_SOCKETS: String(settings.sockets) }),
    ...(settings.arrivals === undefined ? {} : { FAIRGRAB_ARRIVALS: settings.arrivals }),
  }
  const cli = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))
  // Its own process group: an interrupt of the terminal reaches the bench, which stops the engine when it is done.
  const child = spawn(process.execPath, [cli, 'up'], { env: environment, stdio: ['ignore', log, log], detached: true })
  closeSync(log)
  const stop = async () => {
    await stopChild(child)
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await untilReady(url, child)
  } catch (error) {
    const words = await readFile(logFile, 'utf8')
    await stop()
    throw new Error(`${(error as Error).message}; its last words:\n${words.slice(-2000)}`)
  }
  return { url, key, pid: child.pid, directory: join(directory, 'data'), stop }
}

export function foreignEngine(url: string, key: string): RunningEngine {
  return { url: url.replace(/\/$/, ''), key, pid: undefined, directory: undefined, stop: async () => undefined }
}
