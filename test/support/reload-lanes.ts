/**
 * Load that goes on while what is in front of an engine is reloaded: claims one by one and in batches, claims on a stream, and exports,
 * each a lane of its own that asks, checks the answer and asks on.
 *
 * A lane asks as docs/api.md says. A connection that ends where an answer was due has its request asked again: one that nobody
 * took is granted then as if asked for the first time, while one that was executed is answered as repeated, so its answer was lost. A
 * stream that ends is opened again. Rejected: the client of the engine, which asks again by itself and counts nothing.
 */
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request } from 'node:https'
import { CLAIMS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import type { Fields } from './api.ts'
import { servername } from './certificates.ts'
import { KEYS } from './engine.ts'
import { GENERATION } from './proxies.ts'
import { openStream, type StreamClient } from './stream-client.ts'

export const EXPORTED = 2 * CLAIMS_PER_REQUEST_MAX
const USERS_A_FRAME = 256

export interface Rounds {
  /** Claims go here. */
  readonly open: string
  /** Has EXPORTED grants and gets no more. */
  readonly full: string
}

/** What became of what was asked. */
export interface Tally {
  users: number
  answers: number
  /** Requests that met the end of their connection, and were asked again. */
  untaken: number
  /** Those of them that somebody had taken: the claim was granted, and its answer lost. */
  unanswered: number
  /** Streams that ended. */
  interrupted: number
  readonly lost: string[]
}

/** What is answered to what is certainly not executed. */
const SHED = 'overloaded'

interface Answer {
  readonly text: string
  readonly generation: unknown
}

/** The whole of an answer; rejects when it is cut. */
async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** Of an export: what is wrong with it. */
export function findCuts(text: string): readonly string[] {
  const sequences = [...text.matchAll(/"sequence":(\d+)/g)].map(([, sequence]) => Number(sequence))
  if (!text.endsWith('}\n')) return [`an export ends with ${text.slice(-80)}`]
  if (sequences.length !== EXPORTED) return [`an export has ${sequences.length} grants`]
  return sequences.every((sequence, i) => sequence === i + 1) ? [] : ['an export has another order']
}

const HEADERS = { authorization: `Bearer ${KEYS.platform}`, 'content-type': 'application/json' }

const isEnded = (cause: unknown): boolean => /^(ECONNRESET|EPIPE)$/.test((cause as NodeJS.ErrnoException).code ?? '')

/** One connection that is kept between requests. */
class Connection {
  readonly #url: string
  readonly #agent: Agent | PlainAgent
  readonly #tally: Tally

  constructor(url: string, tally: Tally) {
    this.#url = url
    this.#tally = tally
    this.#agent = new (url.startsWith('https:') ? Agent : PlainAgent)({ keepAlive: true, maxSockets: 1 })
  }

  /** Sends a request, again when nobody took it or a worker that stood still shed it; resolves with the beginning of its answer. */
  async begin(method: string, path: string, headers: Fields, body?: string): Promise<IncomingMessage> {
    const ask = this.#url.startsWith('https:') ? request : plainRequest
    const named = { agent: this.#agent, servername }
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | undefined>()
      const asked = ask(this.#url + path, { ...named, method, headers: { ...HEADERS, ...headers } })
      asked.once('response', resolve)
      asked.once('error', cause => (isEnded(cause) ? resolve(undefined) : reject(cause)))
      asked.end(body)
      const answer = await promise
      if (answer && answer.statusCode !== 503) return answer
      const refusal = answer && (await textOf(answer))
      if (refusal?.includes(SHED) === false) throw new Error(refusal)
      if (!answer) this.#tally.untaken++
    }
  }

  async ask(method: string, path: string, headers: Fields = {}, body?: string): Promise<Answer> {
    const answer = await this.begin(method, path, headers, body)
    return { generation: answer.headers[GENERATION], text: await textOf(answer) }
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** The next user ids of all lanes, so that nobody was granted before. */
let named = 0
const freshUsers = (count: number): string[] => Array.from({ length: count }, () => `person-${++named}`)

/** Asks on and on; what is not as it should be goes into the tally. */
export abstract class Lane {
  readonly tally: Tally = { users: 0, answers: 0, untaken: 0, unanswered: 0, interrupted: 0, lost: [] }
  /** The configuration that served it last. */
  generation: unknown
  protected readonly url: string
  protected readonly rounds: Rounds
  #isOver = false
  #waiting: (() => void)[] = []
  #running: Promise<void> | undefined

  constructor(url: string, rounds: Rounds) {
    this.url = url
    this.rounds = rounds
  }

  /** Asks once and takes what the answer was. */
  protected abstract step(): Promise<void>
  protected abstract close(): void

  start(): void {
    this.#running = this.#run()
    this.#running.catch(() => {})
  }

  /** Resolves behind so many answers more; rejects when it cannot ask any more. */
  async more(count: number): Promise<void> {
    for (let i = 0; i < count; i++)
      await Promise.race([this.#running, new Promise<void>(resolve => this.#waiting.push(resolve))])
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
    this.close()
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      await this.step()
      this.tally.answers++
      for (const resume of this.#waiting.splice(0)) resume()
    }
  }
}

/** An answer to several claims, in their order. */
interface Outcomes {
  readonly outcomes: readonly string[]
  /** The places of those that were granted before. */
  readonly replayed: readonly number[]
}

/** Claims for so many people as one, and again for those who were certainly not executed; tells what else they were answered. */
async function grantAll(
  count: number,
  tally: Tally,
  claim: (users: readonly string[]) => Promise<Outcomes>,
): Promise<void> {
  let users = freshUsers(count)
  tally.users += count
  while (users.length > 0) {
    const { interrupted, untaken } = tally
    const { outcomes, replayed } = await claim(users)
    const strange = outcomes.filter(outcome => outcome !== 'granted' && outcome !== SHED)
    if (outcomes.length !== users.length) strange.push(`${outcomes.length} answers to ${users.length} claims`)
    if (tally.untaken > untaken) tally.unanswered += replayed.length
    else if (tally.interrupted === interrupted)
      strange.push(...replayed.map(place => `${users[place]} was granted before`))
    tally.lost.push(...strange)
    users = users.filter((_, place) => outcomes[place] === SHED)
  }
}

class HttpLane extends Lane {
  protected readonly connection: Connection

  constructor(url: string, rounds: Rounds) {
    super(url, rounds)
    this.connection = new Connection(url, this.tally)
  }

  protected step(): Promise<void> {
    return grantAll(1, this.tally, async ([user_id]) => {
      const { code, outcome, replayed } = await this.claim('', { user_id })
      return { outcomes: [String(outcome ?? code)], replayed: replayed ? [0] : [] }
    })
  }

  protected async claim(path: string, body: Fields): Promise<Fields> {
    const asked = JSON.stringify(body)
    const answer = await this.connection.ask('POST', `/v1/rounds/${this.rounds.open}/claims${path}`, {}, asked)
    this.generation = answer.generation
    return JSON.parse(answer.text)
  }

  protected close(): void {
    this.connection.close()
  }
}

class BatchLane extends HttpLane {
  protected override step(): Promise<void> {
    return grantAll(CLAIMS_PER_REQUEST_MAX, this.tally, async users => {
      const { results, code } = await this.claim('/batch', { claims: users.map(user_id => ({ user_id })) })
      const rows = (results ?? users.map(() => ({ outcome: code }))) as readonly Fields[]
      return {
        outcomes: rows.map(({ outcome }) => String(outcome)),
        replayed: rows.flatMap(({ replayed }, place) => (replayed ? [place] : [])),
      }
    })
  }
}

class ExportLane extends HttpLane {
  protected override async step(): Promise<void> {
    const answer = await this.connection.ask('GET', `/v1/rounds/${this.rounds.full}/claims`, NDJSON)
    this.tally.lost.push(...findCuts(answer.text))
    this.generation = answer.generation
  }
}

const NDJSON = { accept: 'application/x-ndjson' }

class StreamLane extends Lane {
  #socket: StreamClient | undefined
  #frames = 0

  protected step(): Promise<void> {
    return grantAll(USERS_A_FRAME, this.tally, async user_ids => {
      const frame = { op: 'claims', id: ++this.#frames, round_id: this.rounds.open, user_ids }
      const { outcomes = [], replayed = [] } = (await this.#insist(frame)) as Partial<Outcomes>
      return { outcomes, replayed }
    })
  }

  /** The answer to a frame, over the next socket when one ended. */
  async #insist(frame: Fields): Promise<Fields> {
    for (;;) {
      this.#socket ??= await this.#open()
      const answer = await this.#socket?.askUntilTaken(frame).catch(() => undefined)
      if (answer) return answer
      if (this.#socket) this.tally.interrupted++
      this.#socket = undefined
    }
  }

  #open(): Promise<StreamClient | undefined> {
    return openStream(this.url, { credential: KEYS.platform }).catch((cause: unknown) => {
      if (!isEnded(cause)) throw cause
      this.tally.untaken++
      return undefined
    })
  }

  protected close(): void {
    this.#socket?.socket.terminate()
  }
}

export const LANES = { HTTP: HttpLane, stream: StreamLane, batch: BatchLane, NDJSON: ExportLane } as const

/** An export of which only the beginning is read; what is returned reads the rest and resolves with what is wrong with it. */
export async function beginExport(url: string, { full }: Rounds): Promise<() => Promise<readonly string[]>> {
  const connection = new Connection(url, { users: 0, answers: 0, untaken: 0, unanswered: 0, interrupted: 0, lost: [] })
  const answer = await connection.begin('GET', `/v1/rounds/${full}/claims`, NDJSON)
  return async () => {
    const cuts = findCuts(await textOf(answer))
    connection.close()
    return cuts
  }
}
