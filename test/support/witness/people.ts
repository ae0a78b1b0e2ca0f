/**
 * People of the witness's own round at one node, one after the other: each claims until they have a lasting answer, and what
 * they are granted goes to the till (till.ts). They stay at their node, as a phone does behind a balancer that keeps it there;
 * everybody is asked at every node only when all is healed.
 */
import { CODES, type Code } from '../../../engine/base/codes.ts'
import type { Door, Heard } from './door.ts'
import { type RoundRecord, says } from './testimony.ts'

const LASTING = ['sold_out', 'closed']

interface Granted {
  readonly claim?: { readonly sequence: number }
  readonly vouchers?: readonly { readonly code: string }[]
  readonly replayed?: boolean
}

/** A claim's answer as it counts: `replayed` where it says so. */
export function grantOf({ outcome, text }: Heard) {
  if (outcome !== 'done') return { outcome, sequence: 0, codes: [] }
  const { claim, vouchers = [], replayed } = JSON.parse(text) as Granted
  const codes = vouchers.map(({ code }) => code)
  return { outcome: replayed ? 'replayed' : 'granted', sequence: claim?.sequence ?? 0, codes }
}

const numberOf = (outcome: string): number => CODES[outcome as Code]?.number ?? 255

export class People {
  readonly #round: RoundRecord
  readonly #heard: (codes: readonly string[]) => void
  readonly #waiting = new Map<Door, number[]>()
  /** Where each person asks. */
  readonly at: Door[] = []
  granted = 0

  constructor(round: RoundRecord, heard: (codes: readonly string[]) => void) {
    this.#round = round
    this.#heard = heard
  }

  /** Somebody at this node asks: who has no lasting answer yet, else somebody new while `more` may come. */
  async step(door: Door, connection: number, more: boolean): Promise<void> {
    const waiting = this.#waiting.get(door) ?? []
    this.#waiting.set(door, waiting)
    const user = more && waiting.length < 3 ? this.at.push(door) - 1 : waiting.shift()
    if (user === undefined) return
    if (!(await this.ask(door, user, connection))) waiting.push(user)
  }

  /** Asks for one person; whether the answer lasts. */
  async ask(door: Door, user: number, connection: number): Promise<boolean> {
    const { id, userIdOf, history, codes } = this.#round
    const answer = await door.post(`/v1/rounds/${id}/claims`, { user_id: userIdOf(user) })
    const told = grantOf(answer)
    const outcome = numberOf(told.outcome)
    const times = {
      sent: answer.sent * 1000,
      answered: outcome === 255 ? Number.POSITIVE_INFINITY : answer.at * 1000,
    }
    history.push({ ...times, user, outcome, sequence: told.sequence, vouchers: 0, connection, slot: 1, pool: 0 })
    if (says(told.outcome) !== 'yes') return LASTING.includes(told.outcome)
    if (!codes.has(user)) {
      codes.set(user, { codes: told.codes, at: answer.at })
      this.granted++
      this.#heard(told.codes)
    }
    return true
  }

  /** Whoever still has no lasting answer. */
  get unsettled(): readonly number[] {
    return [...this.#waiting.values()].flat()
  }
}
