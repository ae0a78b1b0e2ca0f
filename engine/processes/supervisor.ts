/**
 * `fairgrab up`: one supervisor with its embedded Redis (when REDIS_URL is unset) and N workers that share the port by
 * SO_REUSEPORT. A worker that dies is replaced, after a growing delay while it keeps dying. SIGTERM drains the workers
 * first and stops Redis last, so that every claim under way gets its answer.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { realClock } from '../base/clock.ts'
import { STOP_MS } from '../base/limits.ts'
import { type Config, ConfigError, childEnvironment } from '../config.ts'
import { KeyFile } from '../main/key-file.ts'
import { checkStart } from '../main/start-check.ts'
import { type Log, openLog } from '../ops/log.ts'
import { verifyBinary } from '../server/http/binary.ts'
import { embeddedUrl } from '../store/server/embedded.ts'
import { checkFolders, ownFolder } from './folder-owner.ts'
import { KeptRedis } from './kept-redis.ts'
import { hostOf, portOf, urlOf } from './listening.ts'
import type { FromSupervisor, FromWorker } from './messages.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))
const STRIPPED_TYPES = new URL('stripped-types.mjs', import.meta.url).href
const COLLECT_MS = 1000
const RESTART_MS_MAX = 5000

export interface Node {
  readonly url: string
  readonly pids: () => readonly number[]
  /** Drains and stops everything; resolves when all has ended. */
  stop(): Promise<void>
  /** Rejects when the node cannot go on. */
  readonly failed: Promise<never>
}

interface Hand {
  process: ChildProcess
  ready: boolean
}

type Say = (level: 'info' | 'warn' | 'error', message: string) => void

/** To a worker that is gone already it is not an error: its end is seen by itself. Without a receiver Node would throw it. */
function tell(worker: ChildProcess, message: FromSupervisor): void {
  if (worker.connected) worker.send(message, () => {})
}

class Crew {
  readonly #hands: Hand[] = []
  #env: Readonly<Record<string, string>>
  #keysRefused = ''
  readonly #say: Say
  readonly #collecting = new Map<number, (json: object[]) => void>()
  #stopping = false
  #served = false
  #deaths = 0
  #collections = 0
  readonly ready: Promise<void>
  #isReady: () => void = () => {}
  #cannotStart: (cause: Error) => void = () => {}

  constructor(env: Readonly<Record<string, string>>, workers: number, say: Say) {
    this.#env = env
    this.#say = say
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve
      this.#cannotStart = reject
    })
    // The workers load while Redis starts, so one may fail before anybody waits for them.
    this.ready.catch(() => {})
    for (let i = 0; i < workers; i++) this.#hands.push(this.#hire(i))
  }

  get pids(): number[] {
    return this.#hands.flatMap(({ process: { pid } }) => (pid === undefined ? [] : [pid]))
  }

  /** Other keys from now on, for those who are there and for those who come. */
  setKeys(keys: string): void {
    this.#env = { ...this.#env, FAIRGRAB_KEYS: keys }
    for (const { process: hand } of this.#hands) tell(hand, { kind: 'keys', keys })
  }

  /** Why the file of keys is not in force, for those who are there and for those who come; empty where it is. */
  judgeKeys(refused: string): void {
    this.#keysRefused = refused
    for (const { process: hand } of this.#hands) tell(hand, { kind: 'key-file', refused })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#hands.map(({ process: hand }) => {
        if (hand.exitCode !== null || hand.signalCode !== null) return undefined
        const gone = new Promise(done => hand.once('exit', done))
        tell(hand, { kind: 'drain' })
        // One that stands still is killed, so that a stop always ends.
        const late = setTimeout(() => hand.kill('SIGKILL'), STOP_MS)
        return gone.finally(() => clearTimeout(late))
      }),
    )
  }

  #hire(place: number): Hand {
    const child = fork(WORKER, [String(place)], {
      env: childEnvironment(this.#env),
      execArgv: [...process.execArgv, '--import', STRIPPED_TYPES],
      serialization: 'advanced',
    })
    const hand: Hand = { process: child, ready: false }
    child.on('message', (message: FromWorker) => this.#received(hand, message))
    child.once('exit', (code, signal) => this.#left(place, hand, signal ?? code))
    return hand
  }

  #received(hand: Hand, message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        hand.ready = true
        if (this.#keysRefused !== '') tell(hand.process, { kind: 'key-file', refused: this.#keysRefused })
        this.#deaths = 0
        this.#served ||= this.#hands.every(({ ready }) => ready)
        if (this.#served) this.#isReady()
        return
      case 'failed':
        if (this.#served) this.#say('error', `a worker cannot start: ${message.reason}`)
        return this.#cannotStart(new (message.isSetting ? ConfigError : Error)(message.reason))
      case 'collected':
        return this.#collecting.get(message.id)?.(message.json)
      case 'ask':
        void this.#metrics().then(text => {
          tell(hand.process, { kind: 'answer', id: message.id, text })
        })
    }
  }

  #left(place: number, { ready }: Hand, why: string | number | null): void {
    if (this.#stopping) return
    const delay = ready ? 0 : Math.min(RESTART_MS_MAX, 100 * 2 ** this.#deaths++)
    this.#say('error', `a worker ended (${why}); it is replaced${delay > 0 ? ` in ${delay} ms` : ''}`)
    setTimeout(() => {
      if (!this.#stopping) this.#hands[place] = this.#hire(place)
    }, delay)
  }

  /** The metrics of all workers that answer in time, added up. */
  async #metrics(): Promise<string> {
    const id = ++this.#collections
    const able = this.#hands.filter(({ ready, process: { connected } }) => ready && connected)
    const parts: object[][] = []
    await new Promise<void>(done => {
      const timer = setTimeout(done, COLLECT_MS)
      this.#collecting.set(id, json => {
        parts.push(json)
        if (parts.length < able.length) return
        clearTimeout(timer)
        done()
      })
      for (const { process: hand } of able) tell(hand, { kind: 'collect', id })
    })
    this.#collecting.delete(id)
    // Asked for first at the first scrape: it would cost the start 30 ms.
    const { AggregatorRegistry } = await import('prom-client')
    return AggregatorRegistry.aggregate(parts).metrics()
  }
}

/** Keys that are in a file may change while the node runs: by themselves within two seconds, by SIGHUP at once. */
function followKeys({ keysFile: path, keys }: Config, log: Log, crew: Crew): () => void {
  if (path === '') return () => {}
  const changed = (keys: string) => crew.setKeys(keys)
  const judged = (refused: string) => crew.judgeKeys(refused)
  const file = new KeyFile({ path, keys, log, changed, judged })
  const unfollow = file.follow(realClock)
  const take = () => file.take()
  process.on('SIGHUP', take)
  return () => {
    unfollow()
    process.off('SIGHUP', take)
  }
}

export interface StartedNode {
  readonly url: string
  /** Set when none was configured: a random operator key, to be shown once. */
  readonly madeKey: string | undefined
  readonly redis: string
}

/**
 * Starts a node and resolves when it serves; undefined where it was stopped before, which may be long where its Redis is
 * away. Throws with words for the terminal.
 */
export async function up(
  config: Config,
  started: (facts: StartedNode) => void,
  stopped: Promise<void>,
): Promise<Node | undefined> {
  const log = openLog(config.logLevel, 'supervisor')
  checkStart(config)
  const host = await hostOf(config.host)
  checkFolders(config)
  const port = await portOf(host, config.port)
  const binary = verifyBinary()
  const madeKey = config.keys === '' ? randomBytes(24).toString('base64url') : undefined
  const isEmbedded = config.redisUrl === ''
  if (isEmbedded) await ownFolder(config.dataDir)
  const env = {
    PORT: String(port),
    HOST: host,
    // While the node makes its own key, everybody on this machine may read them.
    FAIRGRAB_METRICS: config.metrics,
    // Other variables are the workers' as they are; a file is read here alone, so that all workers have the same, also one that
    // comes when the file has changed, is wrong or is gone.
    ...config.read,
    ...(isEmbedded ? { REDIS_URL: embeddedUrl(config.dataDir) } : {}),
    ...(madeKey === undefined ? {} : { FAIRGRAB_KEYS: `operator:${madeKey}` }),
    // The server library reads it from the environment when it is loaded.
    UWS_HTTP_MAX_HEADERS_SIZE: String(config.headBytes),
  }
  // The workers load while Redis starts; they wait for it as they wait for any Redis that is away.
  const redis = isEmbedded ? new KeptRedis(config, log) : undefined
  const crew = new Crew(env, config.workers, (level, message) => log[level](message))
  const unfollow = followKeys(config, log, crew)
  const stop = async () => {
    unfollow()
    await crew.stop()
    await redis?.stop()
  }
  const served = Promise.all([redis?.started, crew.ready, binary]).then(() => true)
  try {
    if (!(await Promise.race([served, stopped.then(() => false)]))) {
      served.catch(() => {})
      await stop()
      return undefined
    }
  } catch (cause) {
    await stop()
    throw cause
  }
  const url = urlOf(host, port)
  started({ url, madeKey, redis: redis ? `embedded, in ${config.dataDir}` : 'REDIS_URL' })
  return {
    ...{ url, stop },
    pids: () => [...crew.pids, ...(redis?.pids ?? [])],
    failed: redis?.failed ?? new Promise<never>(() => {}),
  }
}
