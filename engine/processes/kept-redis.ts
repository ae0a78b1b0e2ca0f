/**
 * The embedded Redis of a node, kept running: one that ends by itself is started again on the same log, after a growing
 * delay while it keeps ending. The workers meanwhile answer as they do for any Redis that is away, and go on when it is
 * synced. One that cannot start again ends the node, with the server's own words.
 */
import { realClock } from '../base/clock.ts'
import type { Config } from '../config.ts'
import type { Log } from '../ops/log.ts'
import { type EmbeddedRedis, startEmbedded } from '../store/server/embedded.ts'

const DELAY_MS = 100
const DELAY_MS_MAX = 5000
/** One that ran for so long did not end because of its start. */
const SETTLED_MS = 10_000

export class KeptRedis {
  readonly #config: Config
  readonly #log: Log
  #server: EmbeddedRedis | undefined
  #stopping = false
  #deaths = 0
  /** Resolves when it serves for the first time; rejects when it cannot. */
  readonly started: Promise<void>
  /** Rejects when it cannot be started again. */
  readonly failed: Promise<never>
  #fail: (cause: unknown) => void = () => {}
  #starting: Promise<void>

  constructor(config: Config, log: Log) {
    this.#config = config
    this.#log = log
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.failed.catch(() => {})
    this.started = this.#start()
    this.#starting = this.started
  }

  get pids(): readonly number[] {
    return this.#server ? [this.#server.pid] : []
  }

  /** Resolves when it has ended; also where it never started. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#starting.catch(() => {})
    await this.#server?.stop()
  }

  async #start(): Promise<void> {
    const { dataDir, durability } = this.#config
    const server = await startEmbedded(dataDir, durability, realClock)
    this.#server = server
    if (server.cut)
      this.#log.warn(
        `the log of the embedded Redis ended early (${server.cut}); fairgrab doctor --rounds says if it is sound`,
      )
    const from = realClock.monotonicMs()
    void server.ended.then(() => this.#ended(realClock.monotonicMs() - from))
  }

  #ended(afterMs: number): void {
    this.#server = undefined
    if (this.#stopping) return
    if (afterMs >= SETTLED_MS) this.#deaths = 0
    const delay = this.#deaths === 0 ? 0 : Math.min(DELAY_MS_MAX, DELAY_MS * 2 ** this.#deaths)
    this.#deaths++
    this.#log.error(`the embedded redis-server ended by itself; it is started again on the same log in ${delay} ms`)
    this.#starting = new Promise<void>(resume => void realClock.after(delay, resume)).then(() =>
      this.#stopping ? undefined : this.#start(),
    )
    this.#starting.catch(cause => this.#fail(cause))
  }
}
