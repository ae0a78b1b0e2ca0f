/**
 * The bench as its users start it: a program with arguments, what it prints, its exit code and its result folder.
 *
 * Each room has a folder of its own, which is also where the bench and what it starts keep their temporary files, so
 * that a test can see whether they left something behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { auditFolders } from '../../bench/audit-again.ts'
import { compareFolders } from '../../bench/compare.ts'
import type { Summary } from '../../bench/measure/result.ts'
import { exitOf } from '../../bench/terminal.ts'
import { runLine } from './kept-programs.ts'
import { type Ended, endOf } from './kept-terminal.ts'
import { untilHolds } from './polled.ts'

/** Commands that read folders and start nothing. */
const READING = { audit: auditFolders, compare: compareFolders } as const

const RUN = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))

/** A run starts an engine, generators and a Redis, on a machine that may be busy. */
export const BENCH_PATIENCE_MS = 240_000

export class BenchRoom implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'bench-test-'))

  constructor() {
    mkdirSync(this.path('tmp'))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Runs the bench; `watch` sees all that it says as it comes, and may do something to its process, which is a new one then. */
  async run(args: readonly string[], watch?: (text: string, bench: ChildProcess) => void): Promise<Ended> {
    const env = { ...process.env, TMPDIR: this.path('tmp') }
    if (watch === undefined) {
      const { code, out, err } = await runLine({ program: RUN, words: args, env })
      return { code, stdout: out, stderr: err }
    }
    const child = spawn(process.execPath, [RUN, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', chunk => {
        said[name] += String(chunk)
        watch(said.stdout + said.stderr, child)
      })
    }
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, ...said }
  }

  /** The embedded Redis of the bench that runs here, once it is there; whoever asked ends the connection. */
  async redis(): Promise<Redis> {
    let redis: Redis | undefined
    await untilHolds(async () => {
      const engine = (await readdir(this.path('tmp'))).find(name => name.startsWith('fairgrab-bench-'))
      const path = join(this.path('tmp'), engine ?? '', 'data/redis.sock')
      if (engine === undefined || !existsSync(path)) return false
      redis = new Redis({ path, lazyConnect: true, retryStrategy: () => null }).on('error', () => undefined)
      return redis.connect().then(
        () => true,
        () => false,
      )
    })
    return redis as unknown as Redis
  }

  /** Runs a command of the bench that only reads, in this process: what a program is, `run` shows once. */
  look([name, ...args]: readonly [keyof typeof READING, ...string[]]): Promise<Ended> {
    return endOf(terminal => exitOf(() => READING[name](args, terminal), terminal))
  }

  async summary(name: string): Promise<Summary> {
    return JSON.parse(await readFile(join(this.path(name), 'summary.json'), 'utf8')) as Summary
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.folder, { recursive: true, force: true })
  }
}
