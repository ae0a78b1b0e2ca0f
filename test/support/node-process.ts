/**
 * A node whose parts a test may kill: `fairgrab up` in processes of its own, on a port and a folder that stay.
 *
 * engine.ts has the node for tests that only want one served; this one is launched again after a death, on the same
 * address and the same data, so that clients find it, and what it prints is kept, because what it tells the person at
 * the terminal is part of what is tested. It is up when it says that it serves; nobody polls.
 *
 * Each node has a watcher, a shell that waits for the end of its input: when the test process dies, by whatever
 * signal, it kills the supervisor, the embedded redis-server and the folder. Killing a worker inside the test's own
 * process was rejected: a test cannot kill a part of itself.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { bareEnv } from './bare-env.ts'
import { effort } from './effort.ts'
import { KEYS } from './engine.ts'

/** Files run at the same time in processes that vitest numbers: each has ports of its own, so none takes another's. */
const PORTS = 2300
const FIRST_PORT = 21_000 + PORTS * (Number(process.env.VITEST_POOL_ID ?? 1) % 5)
/** In the long form the embedded server has hundreds of megabytes to read first. */
const SAYS_WITHIN_MS = effort(90_000, 180_000)
const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))

/** A port below those that the system gives to outgoing connections, so that it is still free after a restart. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS)
    const probe = createServer()
    const free = await new Promise<boolean>(done => {
      probe.once('error', () => done(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)))
    })
    if (free) return port
  }
}

function watch(pid: number, dir: string): ChildProcess {
  const script =
    'cat >/dev/null; kill -9 "$0" 2>/dev/null; redis-cli -s "$1/redis.sock" shutdown nosave 2>/dev/null; rm -rf "$1"'
  const watcher = spawn('sh', ['-c', script, String(pid), dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watcher.unref()
  return watcher
}

/** Kills a process; one that has ended already is as dead as it is to be. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause
  }
}

export class NodeProcess implements AsyncDisposable {
  readonly url: string
  readonly dataDir = mkdtempSync(join(tmpdir(), 'fg-node-'))
  readonly #env: Readonly<Record<string, string>>
  readonly #listeners = new Set<() => void>()
  #child: ChildProcess | undefined
  #watcher: ChildProcess | undefined
  #redisPid: number | undefined
  #words = ''

  /** The settings win over those that are given here. */
  constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.url = `http://127.0.0.1:${port}`
    this.#env = {
      PORT: String(port),
      HOST: '127.0.0.1',
      FAIRGRAB_KEYS: `operator:${KEYS.operator}`,
      FAIRGRAB_DATA_DIR: this.dataDir,
      FAIRGRAB_WORKERS: '1',
      ...settings,
    }
  }

  /** What it printed since it was launched, or since that was forgotten. */
  get words(): string {
    return this.#words
  }

  forgetWords(): void {
    this.#words = ''
  }

  /** The supervisor's; 0 while nothing runs. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** The embedded redis-server, also when an earlier launch started it. */
  get redisPid(): number | undefined {
    return this.#redisPid
  }

  /** Starts the processes; `serves` tells when they are up. */
  launch(): void {
    const env = bareEnv(this.#env)
    const child = spawn(process.execPath, [CLI, 'up'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#words = ''
    this.#child = child
    if (child.pid !== undefined) this.#watcher = watch(child.pid, this.dataDir)
    for (const output of [child.stdout, child.stderr])
      output.on('data', (data: Buffer) => {
        this.#words += data.toString('utf8')
        for (const look of this.#listeners) look()
      })
  }

  async serves(): Promise<void> {
    await this.says(/fairgrab serves/)
    this.#redisPid = this.#pids('redis')[0] ?? this.#redisPid
  }

  /** Resolves when it has printed this; rejects with what it did print when it ends or too much time passes. */
  async says(text: RegExp): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const child = this.#child
    const fail = (why: string) =>
      reject(new Error(`the node ${why} and did not say ${text}:\n${this.#words.slice(-3000)}`))
    const look = () => text.test(this.#words) && resolve()
    const ended = () => fail('ended')
    const timer = setTimeout(fail, SAYS_WITHIN_MS, `had ${SAYS_WITHIN_MS} ms`)
    this.#listeners.add(look)
    child?.once('close', ended)
    look()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#listeners.delete(look)
      child?.off('close', ended)
    })
  }

  /** Kills one worker; the supervisor is to replace it. */
  killWorker(): void {
    process.kill(this.#worker(), 'SIGKILL')
  }

  /** Makes one worker stand still; what is returned lets it go on. */
  freezeWorker(): () => void {
    const pid = this.#worker()
    process.kill(pid, 'SIGSTOP')
    return () => process.kill(pid, 'SIGCONT')
  }

  /** Kills the supervisor; resolves when it has ended, its orphans with it or not. */
  async killSupervisor(): Promise<void> {
    const child = this.#child
    if (!child) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    this.#unwatch()
  }

  /** Kills every process of the node at once, the embedded redis-server too. */
  async killAll(): Promise<void> {
    for (const pid of this.#pids('worker')) end(pid)
    if (this.#redisPid !== undefined) end(this.#redisPid)
    this.#redisPid = undefined
    await this.killSupervisor()
  }

  /** Ends it as an operator would, by SIGTERM; resolves with the exit code, null when it had ended or was killed. */
  async terminate(): Promise<number | null> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return null
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const [code] = (await exited) as [number | null]
    this.#redisPid = undefined
    this.#unwatch()
    return code
  }

  /** Ends it and removes its folder; resolves with the exit code. */
  async stop(): Promise<number | null> {
    const code = await this.terminate()
    if (this.#redisPid !== undefined) process.kill(this.#redisPid, 'SIGKILL')
    this.#redisPid = undefined
    this.#unwatch()
    await rm(this.dataDir, { recursive: true, force: true })
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #unwatch(): void {
    this.#watcher?.kill('SIGKILL')
    this.#watcher = undefined
    this.#child = undefined
  }

  #worker(): number {
    const pid = this.#pids('worker')[0]
    if (pid === undefined) throw new Error('the node has no worker')
    return pid
  }

  #pids(kind: 'worker' | 'redis'): readonly number[] {
    const pid = this.#child?.pid
    return pid === undefined ? [] : treeOf(pid).flatMap(use => (use.name.startsWith(kind) ? [use.pid] : []))
  }
}

/** A node that is launched and may not serve yet. */
export async function launchNode(settings: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
  const node = new NodeProcess(await freePort(), settings)
  node.launch()
  return node
}

/** A node that serves. */
export async function startNodeProcess(settings: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
  const node = await launchNode(settings)
  try {
    await node.serves()
  } catch (cause) {
    await node.stop()
    throw cause
  }
  return node
}
