/**
 * People who claim in rounds of all shards while something happens to one of them, and what became of it: every answer is kept,
 * and at the end compared with what the rounds hold. Who got no certain answer asks again under the same name.
 */
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, type Granted, makeRound, type Round } from './api.ts'
import { KEYS } from './engine.ts'
import type { ClusterServer, RedisCluster } from './redis-cluster.ts'

/** Answers that say nothing for certain; all others but grants are refusals. */
const OPEN_ANSWERS = new Set(['unknown', 'unavailable', 'fenced', 'overloaded'])
const LINES = 4
/** Asked side by side at the end. */
const TOGETHER = 64

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

interface Answered {
  readonly round: string
  readonly user: string
  readonly outcome: string
  readonly sequence: number | undefined
}

export class ShardLoad {
  readonly #api: Api
  readonly #rounds: readonly string[]
  readonly answers: Answered[] = []
  #isOver = false
  #lines: Promise<unknown> = Promise.resolve()

  constructor(url: string, rounds: readonly string[]) {
    this.#api = new Api(url, KEYS.platform)
    this.#rounds = rounds
    this.#lines = Promise.all(rounds.flatMap(round => Array.from({ length: LINES }, (_, i) => this.#line(round, i))))
  }

  /** Resolves when so many more were granted in a round. */
  async granted(round: string, more: number): Promise<void> {
    const count = () => this.answers.filter(each => each.round === round && each.outcome === 'granted').length
    const wanted = count() + more
    while (count() < wanted) await new Promise(resume => setTimeout(resume, 10))
  }

  /** The outcomes of a round's answers, each once. */
  outcomes(round: string, from = 0): ReadonlySet<string> {
    return new Set(this.answers.slice(from).flatMap(each => (each.round === round ? [each.outcome] : [])))
  }

  /** Ends the load, and says what is wrong: acknowledged grants that are lost, that two have, or that changed. */
  async end(): Promise<{ readonly acknowledged: number; readonly wrong: readonly string[] }> {
    this.#isOver = true
    await this.#lines
    const wrong: string[] = []
    const told = new Map<string, number>()
    const byNumber = new Map<string, string>()
    for (const { round, user, outcome, sequence } of this.answers) {
      if (outcome !== 'granted') {
        if (!OPEN_ANSWERS.has(outcome)) wrong.push(`${user} was refused: ${outcome}`)
        continue
      }
      const [person, number] = [`${round} ${user}`, `${round} ${sequence}`]
      if (told.has(person) && told.get(person) !== sequence) wrong.push(`${person} has two numbers`)
      told.set(person, sequence as number)
      if ((byNumber.get(number) ?? user) !== user) wrong.push(`${number} is ${byNumber.get(number)}'s and ${user}'s`)
      byNumber.set(number, user)
    }
    const people = [...told]
    for (let from = 0; from < people.length; from += TOGETHER)
      await Promise.all(
        people.slice(from, from + TOGETHER).map(async ([person, sequence]) => {
          const [round = '', user = ''] = person.split(' ')
          const { body } = await this.#claim(round, user)
          if (body.claim?.sequence !== sequence) wrong.push(`${person} had ${sequence}, has ${body.claim?.sequence}`)
        }),
      )
    for (const round of this.#rounds) {
      const { body } = await this.#api.get<Round>(`/v1/rounds/${round}`)
      const highest = Math.max(0, ...[...told].filter(([person]) => person.startsWith(round)).map(([, each]) => each))
      if (body.stock.granted < highest)
        wrong.push(`${round} has granted ${body.stock.granted}, and ${highest} was told`)
    }
    return { acknowledged: told.size, wrong }
  }

  async #line(round: string, line: number): Promise<void> {
    for (let i = 0; !this.#isOver; ) {
      const user = `u${line}-${i}`
      const { body } = await this.#claim(round, user)
      const outcome = body.outcome ?? body.code ?? 'none'
      this.answers.push({ round, user, outcome, sequence: body.claim?.sequence })
      if (OPEN_ANSWERS.has(outcome)) await new Promise(resume => setTimeout(resume, 20))
      else i++
    }
  }

  #claim(round: string, user_id: string) {
    return this.#api.post<Partial<Granted> & { readonly code?: string }>(`/v1/rounds/${round}/claims`, { user_id })
  }
}
