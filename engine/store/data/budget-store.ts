/**
 * What rounds commit of their campaigns' budgets. A round and its campaign lie in different slots, so what is committed and
 * what it is for cannot be written in one atom: each commitment is noted as unsettled first, and settled when it is known
 * whether the change was made. Whoever finds an unsettled one asks the round (scripts/round-void.lua): a change that was not
 * made is void from then on, however late its bytes arrive, so its money can be given back.
 */
import { assertCertain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import type { Scripts } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'

/** The request by which a round itself is made; every other one is a change of its stock. */
export const CREATE = 'create'

export interface Commitment {
  readonly campaignId: string
  readonly roundId: string
  readonly request: string
  /** Minor units that count once the change is made; negative where stock is taken back. */
  readonly amount: number
}

export interface Unsettled extends Commitment {
  /** When it was noted, milliseconds since 1970 by Redis's clock. */
  readonly at: number
}

/** What became of a change: made, void (it never will be), or lost with its round's state. */
export type Fate = 'made' | 'void' | 'lost'

const noteOf = ({ campaignId, roundId, request }: Commitment): string => `${campaignId} ${roundId} ${request}`
const fieldOf = ({ roundId, request }: Commitment): string => `${roundId} ${request}`

export class BudgetStore {
  readonly #link: Link
  readonly #scripts: Scripts

  constructor(link: Link, scripts: Scripts) {
    this.#link = link
    this.#scripts = scripts
  }

  /** Notes a commitment before anything of it is written; `at` is milliseconds since 1970. */
  async note(commitment: Commitment, at: number): Promise<void> {
    const note = `${at} ${commitment.amount}`
    await this.#link.request(client => client.hset(keys.unsettledBudgets(), noteOf(commitment), note))
  }

  /** Everything is written of it. */
  async forget(commitment: Commitment): Promise<void> {
    await this.#link.request(client => client.hdel(keys.unsettledBudgets(), noteOf(commitment)))
  }

  async unsettled(): Promise<Unsettled[]> {
    const notes = await this.#link.request(client => client.hgetall(keys.unsettledBudgets()))
    return Object.entries(notes).map(([name, note]) => {
      const [campaignId = '', roundId = '', request = ''] = name.split(' ')
      const [at, amount] = note.split(' ')
      return { campaignId, roundId, request, amount: Number(amount), at: Number(at) }
    })
  }

  /** Commits what the change could cost, once; false when that is more than `most` minor units. */
  async commit(commitment: Commitment, most: number): Promise<boolean> {
    const { campaignId, amount } = commitment
    const args = [fieldOf(commitment), Math.max(0, amount), most, '', '']
    const { reply, again } = await this.#link.send(this.#scripts.budget, [keys.campaignBudget(campaignId)], args)
    const code = claimCode(reply[0] as number)
    assertCertain({ again }, code, `the budget of campaign ${campaignId}`)
    return code === 'granted'
  }

  /** What would be committed if so much more were; undefined when that is more than `most` minor units. */
  async dryCommit(campaignId: string, amount: number, most: number): Promise<number | undefined> {
    const args = ['', amount, most, '', '1']
    const reply = await this.#link.script(this.#scripts['budget-dry'], [keys.campaignBudget(campaignId)], args)
    return claimCode(reply[0] as number) === 'granted' ? Number(reply[1]) : undefined
  }

  /** Counts what came of a change: its amount, or nothing. */
  async settle(commitment: Commitment, isMade: boolean): Promise<void> {
    const args = [fieldOf(commitment), isMade ? commitment.amount : 0, 0, '1', '']
    await this.#link.script(this.#scripts.budget, [keys.campaignBudget(commitment.campaignId)], args)
  }

  /** Asks the round whether the change was made; from then on one that was not never will be. */
  async fate({ roundId, request }: Commitment): Promise<Fate> {
    const names = [keys.roundState(roundId), keys.roundVoid(roundId)]
    const [outcome] = await this.#link.script(this.#scripts['round-void'], names, [request === CREATE ? '' : request])
    const code = claimCode(outcome as number)
    return code === 'replayed' ? 'made' : code === 'granted' ? 'void' : 'lost'
  }
}
