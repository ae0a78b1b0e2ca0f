/**
 * `npm run dev`: one node with one worker and its embedded Redis, started again at each change below engine/ or scripts/.
 *
 * At a change the node is killed, not drained, and the next one takes over the Redis that it left: address, key and data
 * stay. A node that cannot start (a typing error) ends with its own words, and the next change starts another one.
 * Sources that did not change are neither stripped of their types (engine/processes/stripped-types.mjs) nor compiled again.
 *
 * Rejected: `node --watch`. It follows what the supervisor imports and neither the worker's files nor Lua, it watches no
 * folder on Linux, and it waits for the drain and for the end of Redis.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const CLI = join(ROOT, 'engine', 'cli.ts')
const WATCHED = ['engine', 'scripts']
const SOURCE = /\.(ts|js|lua|html|css)$/
/** An editor that saves several files, and a checkout, are one change. */
const SETTLED_MS = 30

/** The settings of a person win. On the loopback only, unless they say where: the key is in this terminal. */
function environment(): NodeJS.ProcessEnv {
  const { FAIRGRAB_KEYS, HOST, FAIRGRAB_WORKERS = '1' } = process.env
  const key = `operator:${randomBytes(12).toString('base64url')}`
  if (!FAIRGRAB_KEYS) console.log(`dev: the operator key until this ends: ${key.split(':')[1]}`)
  return {
    ...process.env,
    ...{ FAIRGRAB_KEYS: FAIRGRAB_KEYS || key, HOST: HOST || '127.0.0.1', FAIRGRAB_WORKERS },
  }
}

class DevNode {
  readonly #env = environment()
  #child: ChildProcess | undefined
  /** Changes follow each other: one is killed and the next one started before the one after that. */
  #turn: Promise<void> = Promise.resolve()

  /** Starts a node in place of the one that runs; resolves when the old one is gone and the new one begins. */
  replace(why: string): void {
    this.#turn = this.#turn.then(async () => {
      const from = performance.now()
      await this.#end('SIGKILL')
      this.#start(why, from)
    })
  }

  /** Ends it as Ctrl-C ends `npm start`: claims under way are answered and Redis stops last. */
  stop(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#end('SIGTERM'))
    return this.#turn
  }

  #start(why: string, from: number): void {
    const child = spawn(process.execPath, [CLI, 'up'], {
      cwd: ROOT,
      env: this.#env,
      // A group of its own, so that its workers are killed with it and free the port.
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    child.stdout.on('data', (data: Buffer) => {
      process.stdout.write(data)
      if (/fairgrab serves/.test(data.toString()))
        console.log(`dev: ${why}: serves after ${((performance.now() - from) / 1000).toFixed(2)} s`)
    })
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return
      this.#child = undefined
      console.log(`dev: the node ended with ${code ?? signal}; the next change starts another one`)
    })
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined) return
    this.#child = undefined
    const gone = once(child, 'exit')
    if (signal === 'SIGKILL') process.kill(-child.pid, signal)
    else child.kill(signal)
    await gone
  }
}

const node = new DevNode()
let settled: NodeJS.Timeout | undefined
for (const folder of WATCHED) {
  watch(join(ROOT, folder), { recursive: true }, (_, name) => {
    if (name === null || !SOURCE.test(name)) return
    clearTimeout(settled)
    settled = setTimeout(() => node.replace(`${folder}/${name} changed`), SETTLED_MS)
  })
}
const stop = async () => {
  await node.stop()
  process.exit(0)
}
// npm passes a Ctrl-C on that the terminal has sent already: the second one must not end this before its node has ended.
process.on('SIGINT', stop).on('SIGTERM', stop)
node.replace('started')
