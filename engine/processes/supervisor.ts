/**
 * `fairgrab up`: one supervisor with its embedded Redis (when REDIS_URL is unset) and N workers that share the port by
 * SO_REUSEPORT. A worker that dies is replaced, after a growing delay while it keeps dying. SIGTERM drains the workers
 * first and stops Redis last, so that every claim under way gets its answer.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Config, childEnvironment } from '../config.ts'
import { openLog } from '../ops/log.ts'
import { verifyBinary } from '../server/binary.ts'
import { type EmbeddedRedis, embeddedUrl, startEmbedded } from '../store/embedded.ts'
import type { FromSupervisor, FromWorker } from './messages.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))
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

/** Whether somebody listens there: sharing a port with a stranger would split the traffic in silence. */
function taken(host: string, port: number): Promise<boolean> {
  return new Promise(done => {
    const probe = connect({ host: host === '0.0.0.0' ? '127.0.0.1' : host, port })
    probe.once('connect', () => {
      probe.destroy()
      done(true)
    })
    probe.once('error', () => done(false))
  })
}

/** The same for a while: the workers of a node that was killed leave its port a moment later. */
async function staysTaken(host: string, port: number): Promise<boolean> {
  for (let tries = 0; await taken(host, port); tries++) {
    if (tries === 20) return true
    await new Promise(done => setTimeout(done, 100))
  }
  return false
}

function freePort(host: string): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer()
    server.once('error', fail)
    server.listen(0, host, () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })
}

type Say = (level: 'info' | 'warn' | 'error', message: string) => void

class Crew {
  readonly #hands: Hand[] = []
  readonly #env: Readonly<Record<string, string>>
  readonly #say: Say
  readonly #collecting = new Map<number, (json: object[]) => void>()
  #stopping = false
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
    for (let i = 0; i < workers; i++) this.#hands.push(this.#hire(i))
  }

  get pids(): number[] {
    return this.#hands.flatMap(({ process: { pid } }) => (pid === undefined ? [] : [pid]))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#hands.map(({ process: hand }) => {
        if (hand.exitCode !== null || hand.signalCode !== null) return undefined
        const gone = new Promise(done => hand.once('exit', done))
        if (hand.connected) hand.send({ kind: 'drain' } satisfies FromSupervisor)
        return gone
      }),
    )
  }

  #hire(place: number): Hand {
    const child = fork(WORKER, [String(place)], { env: childEnvironment(this.#env), serialization: 'advanced' })
    const hand: Hand = { process: child, ready: false }
    child.on('message', (message: FromWorker) => this.#heard(hand, message))
    child.once('exit', (code, signal) => this.#left(place, hand, signal ?? code))
    return hand
  }

  #heard(hand: Hand, message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        hand.ready = true
        this.#deaths = 0
        if (this.#hands.every(({ ready }) => ready)) this.#isReady()
        return
      case 'failed':
        return this.#cannotStart(new Error(message.reason))
      case 'collected':
        return this.#collecting.get(message.id)?.(message.json)
      case 'ask':
        void this.#metrics().then(text => {
          if (hand.process.connected)
            hand.process.send({ kind: 'answer', id: message.id, text } satisfies FromSupervisor)
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
      for (const { process: hand } of able) hand.send({ kind: 'collect', id } satisfies FromSupervisor)
    })
    this.#collecting.delete(id)
    // Asked for first at the first scrape: it would cost the start 30 ms.
    const { AggregatorRegistry } = await import('prom-client')
    return AggregatorRegistry.aggregate(parts).metrics()
  }
}

export interface Told {
  readonly url: string
  /** Set when none was configured: a random operator key, to be shown once. */
  readonly madeKey: string | undefined
  readonly redis: string
}

/** Starts a node and resolves when it serves. Throws with words for the terminal. */
export async function up(config: Config, told: (facts: Told) => void): Promise<Node> {
  const log = openLog(config.logLevel, 'supervisor')
  if (config.port !== 0 && (await staysTaken(config.host, config.port)))
    throw new Error(
      `port ${config.port} is taken; stop what listens there or set PORT to another one (0 takes a free one)`,
    )
  const port = config.port === 0 ? await freePort(config.host) : config.port
  const binary = verifyBinary()
  const madeKey = config.keys === '' ? randomBytes(24).toString('base64url') : undefined
  const env = {
    PORT: String(port),
    HOST: config.host,
    REDIS_URL: config.redisUrl === '' ? embeddedUrl(config.dataDir) : config.redisUrl,
    FAIRGRAB_KEYS: madeKey ? `operator:${madeKey}` : config.keys,
  }
  // The workers load while Redis starts; they wait for it as they wait for any Redis that is away.
  const starting = config.redisUrl === '' ? startEmbedded(config.dataDir, config.durability) : undefined
  const crew = new Crew(env, config.workers, (level, message) => log[level](message))
  const stop = async () => {
    await crew.stop()
    await starting?.then(
      redis => redis.stop(),
      () => {},
    )
  }
  let embedded: EmbeddedRedis | undefined
  try {
    embedded = await starting
    if (embedded?.cut)
      log.warn(
        `the log of the embedded Redis ended early (${embedded.cut}); fairgrab doctor --rounds says if it is sound`,
      )
    await Promise.all([crew.ready, binary])
  } catch (cause) {
    await stop()
    throw cause
  }
  const url = `http://${config.host === '0.0.0.0' ? '127.0.0.1' : config.host}:${port}`
  told({ url, madeKey, redis: embedded ? `embedded, in ${config.dataDir}` : 'REDIS_URL' })
  return node(url, crew, embedded, stop)
}

function node(url: string, crew: Crew, embedded: EmbeddedRedis | undefined, stop: () => Promise<void>): Node {
  let stopping = false
  const failed = new Promise<never>((_, reject) => {
    void embedded?.ended.then(() => {
      if (!stopping) reject(new Error('the embedded redis-server ended by itself; its last words stand above'))
    })
  })
  return {
    url,
    pids: () => [...crew.pids, ...(embedded ? [embedded.pid] : [])],
    stop: () => {
      stopping = true
      return stop()
    },
    failed,
  }
}
