/**
 * People who claim in rounds of all shards, in small batches over every node, while something happens to a shard, and what became
 * of it: every grant is kept, and at the end compared with what the rounds hold. Who got no certain answer asks again under
 * the same name; whoever was granted once is asked for once more at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, makeRound, type Round } from './api.ts'
import { effort } from './effort.ts'
import { KEYS, SOON_MS, startTestWorker } from './engine.ts'
import { type ClusterOptions, type ClusterServer, RedisCluster } from './redis-cluster.ts'

/** Answers that say nothing for certain; all others but grants are refusals. */
const OPEN_ANSWERS = new Set(['unknown', 'unavailable', 'fenced', 'overloaded'])
/** Of each round at each node, each with so many claims at a time. */
const LINES = 2
const BATCH = 16
/** Asked in one batch at the end. */
const TOGETHER = 2048
const AGAIN_MS = 20
/** Between an answer and the next batch of its line: what is proved does not grow with how many claim meanwhile. */
const REST_MS = effort(150, 0)
const SHOWN = 20

/** A round of which a server has the slot. */
export async function roundAt(
  cluster: RedisCluster,
  api: Api,
  server: ClusterServer,
  stock = 1_000_000,
  rules: object = {},
): Promise<Round> {
  for (;;) {
    const round = await makeRound(api, { stock, ...rules })
    if ((await cluster.ownerOf(keys.roundState(round.id))) === server) return round
  }
}

/** The levels that keep what they acknowledged when a cluster promotes a replica. */
export const LEVELS = ['replicated', 'fenced'] as const

/** A cluster whose shards have a replica each, and two workers on it at a level; all of it ends with the test. */
export async function clusterOfTwoNodes(
  level: (typeof LEVELS)[number],
  options: Pick<ClusterOptions, 'partition'> = {},
) {
  const redis = await RedisCluster.open({ replicas: 1, appendfsync: 'always', ...options })
  onTestFinished(() => redis.stop())
  const settings = { FAIRGRAB_DURABILITY: level, FAIRGRAB_REPLICAS: '1', LOG_LEVEL: 'fatal' }
  const urls: string[] = []
  for (let i = 0; i < 2; i++) {
    const journals = mkdtempSync(join(tmpdir(), 'fg-shards-'))
    onTestFinished(() => rmSync(journals, { recursive: true, force: true }))
    const worker = await startTestWorker(redis.url, { ...settings, FAIRGRAB_DATA_DIR: journals }, SOON_MS)
    onTestFinished(() => worker.stop())
    urls.push(worker.url)
  }
  const api = new Api(urls[0] as string, KEYS.operator)
  /** A round at each primary. */
  const rounds = async () => {
    const ids: string[] = []
    for (const server of redis.primaries) ids.push((await roundAt(redis, api, server, 50_000_000)).id)
    return ids
  }
  return { redis, urls, api, rounds }
}

interface Told {
  readonly outcome: string
  readonly sequence?: number
}

interface BatchAnswer {
  readonly results?: readonly Told[]
  readonly code?: string
}

const pause = (ms = AGAIN_MS) => new Promise(resume => setTimeout(resume, ms))

export class ShardLoad {
  readonly #nodes: readonly Api[]
  /** What was told to whom, by round. */
  readonly #held = new Map<string, Map<string, number>>()
  readonly #wrong: string[] = []
  readonly #lines: Promise<unknown>
  #isOver = false

  constructor(urls: readonly string[], rounds: readonly string[]) {
    this.#nodes = urls.map(url => new Api(url, KEYS.platform))
    for (const round of rounds) this.#held.set(round, new Map())
    const lines = this.#nodes.flatMap((node, i) =>
      Array.from({ length: LINES }, (_, j) => [node, `${i}-${j}`] as const),
    )
    this.#lines = Promise.all(rounds.flatMap(round => lines.map(([node, name]) => this.#line(node, round, name))))
    // A test that failed has no use for what its lines meet when its workers stop.
    this.#lines.catch(() => {
      this.#isOver = true
    })
  }

  /** Resolves when so many more were granted in a round; rejects with what went wrong instead, as refused people get nothing. */
  async granted(round: string, more: number): Promise<void> {
    const held = this.#held.get(round) as Map<string, number>
    for (const wanted = held.size + more; held.size < wanted; ) {
      if (this.#wrong.length > 0) throw new Error(this.#wrong.slice(0, SHOWN).join('\n'))
      await pause()
    }
  }

  /** Ends the load, and says what is wrong: who was refused, acknowledged grants that are lost, that two have, or that changed. */
  async end(): Promise<{ readonly acknowledged: number; readonly wrong: readonly string[] }> {
    this.#isOver = true
    await this.#lines
    let acknowledged = 0
    for (const [round, held] of this.#held) {
      acknowledged += held.size
      const people = [...held.keys()]
      for (let from = 0; from < people.length; from += TOGETHER)
        await this.#untilTold(this.#nodes[0] as Api, round, people.slice(from, from + TOGETHER))
      if (new Set(held.values()).size < held.size) this.#wrong.push(`${round}: a number is two people's`)
      const body = await this.#state(round)
      // Not the highest number: at fenced a fail-over sets some aside.
      if (body.stock.granted < held.size)
        this.#wrong.push(`${round} has granted ${body.stock.granted}, and ${held.size} were told so`)
    }
    // The first of each run of mistakes say enough.
    return { acknowledged, wrong: this.#wrong.slice(0, SHOWN) }
  }

  /** How a round stands; asked again where a shard is away for a moment, or a worker stood still. */
  async #state(round: string): Promise<Round> {
    for (;;) {
      const { status, body } = await (this.#nodes[0] as Api).get<Round>(`/v1/rounds/${round}`)
      if (status === 200) return body
      if (status !== 503) throw new Error(`${round}: ${status} ${JSON.stringify(body)}`)
      await pause()
    }
  }

  async #line(node: Api, round: string, name: string): Promise<void> {
    let users: readonly string[] = []
    for (let next = 0; !this.#isOver; ) {
      const fresh = Array.from({ length: BATCH - users.length }, () => `u${name}-${next++}`)
      users = await this.#ask(node, round, [...users, ...fresh])
      if (users.length > 0) await pause()
      else if (REST_MS > 0) await pause(REST_MS)
    }
  }

  async #untilTold(node: Api, round: string, people: readonly string[]): Promise<void> {
    for (let left = people; left.length > 0; ) {
      left = await this.#ask(node, round, left)
      if (left.length > 0) await pause()
    }
  }

  /** Asks for these people, and returns those who were told nothing for certain. */
  async #ask(node: Api, round: string, users: readonly string[]): Promise<readonly string[]> {
    const claims = users.map(user_id => ({ user_id }))
    const { body } = await node.post<BatchAnswer>(`/v1/rounds/${round}/claims/batch`, { claims })
    const told = (i: number): Told => body.results?.[i] ?? { outcome: body.code ?? 'none' }
    return users.filter((user, i) => !this.#take(round, user, told(i)))
  }

  /** Whether it is certain what became of a claim. */
  #take(round: string, user: string, { outcome, sequence = 0 }: Told): boolean {
    if (OPEN_ANSWERS.has(outcome)) return false
    if (outcome !== 'granted') return this.#wrong.push(`${round}: ${user} was refused: ${outcome}`) > 0
    const held = this.#held.get(round) as Map<string, number>
    const before = held.get(user) ?? sequence
    if (before !== sequence) this.#wrong.push(`${round}: ${user} had ${before}, has ${sequence}`)
    held.set(user, before)
    return true
  }
}
