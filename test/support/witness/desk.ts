/**
 * An operator at the desk of a round of the witness: pauses it, goes on, orders stock and takes some back, one turn after
 * the other, at each node in turn. What is in doubt is left so: the next turns show what became of it.
 */
import type { Door } from './door.ts'
import { type RoundRecord, says, type Testimony, type TurnTold, type Verb } from './testimony.ts'

const REOPENINGS = 100
const TURNS: readonly (readonly [Verb, number])[] = [
  ['stock', 3],
  ['pause', 0],
  ['resume', 0],
  ['stock', 4],
  ['stock', -1],
]

export class Desk {
  readonly #testimony: Testimony
  readonly #round: RoundRecord
  #next = 0

  constructor(testimony: Testimony, round: RoundRecord) {
    this.#testimony = testimony
    this.#round = round
  }

  async turn(
    door: Door,
    [verb, add] = TURNS[this.#next++ % TURNS.length] as readonly [Verb, number],
  ): Promise<TurnTold> {
    const path = `/v1/rounds/${this.#round.id}/${verb}`
    const answer = await door.post(path, verb === 'stock' ? { add } : {})
    const { node, sent, at, outcome, text } = answer
    const total = outcome === 'done' ? (JSON.parse(text) as { stock: { total: number } }).stock.total : 0
    const told = { node, sent, at, roundId: this.#round.id, verb, add, outcome, total }
    this.#testimony.turns.push(told)
    return told
  }

  /** Turns until it is certain that the round is open: paused, whatever it was, and resumed. */
  async reopen(door: Door): Promise<void> {
    for (let i = 0; i < REOPENINGS; i++) {
      const paused = says((await this.turn(door, ['pause', 0])).outcome)
      const resumed = says((await this.turn(door, ['resume', 0])).outcome)
      if (paused !== 'perhaps' && paused !== 'not now' && resumed === 'yes') return
    }
    throw new Error(`${this.#round.id} cannot be opened by ${door.node}`)
  }
}
