/**
 * A round's claims as rows and by person: what each came to hold, when they heard of it, and since when they may hold it.
 *
 * A person may hold something from the moment at which they first sent a claim that was not refused for certain. So the
 * number of people who may hold at a moment is a bound that rests on no word of the engine about its stock.
 */
import { nameOf, type RoundRecord, says } from './testimony.ts'

export interface Row {
  readonly user: number
  readonly outcome: string
  readonly sent: number
  readonly at: number
  readonly sequence: number
  readonly node: string
}

type Wanted = readonly boolean[]
export const NUMBERS = Array.from({ length: 256 }, (_, number) => number)
export const wanting = (wants: (outcome: string) => boolean): Wanted => NUMBERS.map(number => wants(nameOf(number)))
export const GRANTS = wanting(outcome => says(outcome) === 'yes')
const MAY_HOLD = wanting(outcome => ['yes', 'perhaps'].includes(says(outcome)))
export const REFUSALS = wanting(outcome => says(outcome) === 'no')

/** The rows whose outcome is wanted, answered up to a moment; a crowd has millions of others, which become no objects. */
export function* rowsOf(
  { history, nodeOf }: RoundRecord,
  wanted: Wanted,
  until = Number.POSITIVE_INFINITY,
): Generator<Row> {
  const { at, length } = history
  for (let i = 0; i < length; i++) {
    if (!wanted[at.outcome[i] as number] || (at.answered[i] as number) > until * 1000) continue
    yield {
      user: at.user[i] as number,
      outcome: nameOf(at.outcome[i] as number),
      sent: (at.sent[i] as number) / 1000,
      at: (at.answered[i] as number) / 1000,
      sequence: at.sequence[i] as number,
      node: nodeOf(at.connection[i] as number),
    }
  }
}

/** What each person came to, by number. */
export class People {
  readonly sequence: Uint32Array
  /** When they first heard that they hold. */
  readonly heldAt: Float64Array
  /** From when on they may hold. */
  readonly mayHold: Float64Array
  /** 1 for who asked at all. */
  readonly asked: Uint8Array
  readonly #mayHoldInOrder: Float64Array

  constructor(round: RoundRecord) {
    let people = 0
    const { at, length } = round.history
    for (let i = 0; i < length; i++) people = Math.max(people, (at.user[i] as number) + 1)
    this.sequence = new Uint32Array(people)
    this.asked = new Uint8Array(people)
    for (let i = 0; i < length; i++) this.asked[at.user[i] as number] = 1
    this.heldAt = new Float64Array(people).fill(Number.POSITIVE_INFINITY)
    this.mayHold = new Float64Array(people).fill(Number.POSITIVE_INFINITY)
    for (const { user, outcome, sent, at: heard, sequence } of rowsOf(round, MAY_HOLD)) {
      this.mayHold[user] = Math.min(this.mayHold[user] as number, sent)
      if (says(outcome) !== 'yes' || heard >= (this.heldAt[user] as number)) continue
      this.heldAt[user] = heard
      this.sequence[user] = sequence
    }
    this.#mayHoldInOrder = this.mayHold.toSorted()
  }

  /** The moment from which so many may hold something; never, when there are not as many. */
  enoughAt(count: number): number {
    return count === 0 ? 0 : (this.#mayHoldInOrder[count - 1] ?? Number.POSITIVE_INFINITY)
  }

  /** How many may hold something at a moment. */
  mayHoldAt(moment: number): number {
    let [low, high] = [0, this.#mayHoldInOrder.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#mayHoldInOrder[middle] as number) < moment) low = middle + 1
      else high = middle
    }
    return low
  }
}
