/**
 * Real Sentinels that watch one primary: three processes with a quorum of two, as people run them. `moved` resolves when
 * all of them say that the name leads to another port; who is promoted, and when, is theirs to decide.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from './node-process.ts'
import { findServer, watch } from './redis.ts'

const NAME = 'mymaster'
/** Long enough that a machine which stands still for a moment is not a primary that died. */
const DOWN_AFTER_MS = 3000
const LOOK_MS = 20

interface Sentinel extends AsyncDisposable {
  readonly port: number
  readonly admin: Redis
}

async function startSentinel(primaryPort: number): Promise<Sentinel> {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'fg-sentinel-'))
  const file = join(dir, 'sentinel.conf')
  const lines = [
    ...[`port ${port}`, `dir ${dir}`, 'bind 127.0.0.1', `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`],
    ...[`sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`, `sentinel failover-timeout ${NAME} 3000`],
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const child = spawn(findServer(), [file, '--sentinel'], { stdio: 'ignore' })
  await once(child, 'spawn')
  const watcher = watch(child.pid as number, dir)
  child.once('exit', () => watcher.kill('SIGKILL'))
  const admin = new Redis({ port, retryStrategy: () => LOOK_MS, maxRetriesPerRequest: null })
  admin.on('error', () => {})
  await admin.ping()
  const stop = async () => {
    admin.disconnect()
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    rmSync(dir, { recursive: true, force: true })
  }
  return { port, admin, [Symbol.asyncDispose]: stop }
}

export class Sentinels implements AsyncDisposable {
  readonly #all: readonly Sentinel[]

  private constructor(all: readonly Sentinel[]) {
    this.#all = all
  }

  /** Resolves when all of them know each other and a replica, so that they can act. */
  static async open(primaryPort: number): Promise<Sentinels> {
    const all = await Promise.all([0, 1, 2].map(() => startSentinel(primaryPort)))
    const sentinels = new Sentinels(all)
    for (const { admin } of all)
      await sentinels.#until(async () => {
        const flat = (await admin.call('SENTINEL', 'MASTER', NAME)) as string[]
        const of = (field: string) => Number(flat[flat.indexOf(field) + 1])
        return of('num-other-sentinels') === all.length - 1 && of('num-slaves') > 0
      })
    return sentinels
  }

  get url(): string {
    return `redis+sentinel://${this.#all.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`
  }

  /** Resolves when all of them say that the name leads to a port: before that the fail-over may still be taken back. */
  async moved(port: number): Promise<void> {
    for (const { admin } of this.#all)
      await this.#until(async () => {
        const [, now] = (await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as string[]
        return Number(now) === port
      })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sentinel of this.#all) await sentinel[Symbol.asyncDispose]()
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    while (!(await holds())) await new Promise(resume => setTimeout(resume, LOOK_MS))
  }
}
