/**
 * A round as a reader would write it down: the reference that the scripts are compared with on random sequences.
 *
 * It knows pools, slots (a holder key is a name here), turns and restocks, and decides a batch claim by claim, where
 * the script decides it as a whole with exceptions. It knows no time: windows are tested by scripts/claim.lua's own
 * tests. Kept naive on purpose, because two clever programs can share one mistake.
 */
import type { TurnVerb } from '../../engine/store/round-store.ts'
import type { Answer } from './script-room.ts'

type State = 'scheduled' | 'open' | 'paused' | 'closed'

const TURNS: Readonly<Record<TurnVerb, Partial<Record<State, State>>>> = {
  open: { scheduled: 'open' },
  pause: { open: 'paused' },
  resume: { paused: 'open' },
  close: { scheduled: 'closed', open: 'closed', paused: 'closed' },
}
const SHUT: Partial<Record<State, string>> = { scheduled: 'not_open', paused: 'paused', closed: 'closed' }

interface Grant {
  readonly holder: string
  readonly pool: number
}

export class RoundModel {
  state: State = 'scheduled'
  version = 1
  readonly totals: number[]
  /** By sequence: the i-th is sequence i + 1. */
  readonly grants: Grant[] = []
  readonly requests = new Set<string>()

  constructor(totals: readonly number[]) {
    this.totals = [...totals]
  }

  granted(pool: number): number {
    return this.grants.filter(grant => grant.pool === pool).length
  }

  get pools(): { total: number; granted: number }[] {
    return this.totals.map((total, pool) => ({ total, granted: this.granted(pool) }))
  }

  claim(holders: readonly string[], pools: readonly number[]): Answer[] {
    const before = this.grants.length
    const answers = holders.map((holder, i) => this.#claimOne(holder, pools[i] as number))
    if (this.grants.length > before) this.version++
    return answers
  }

  #claimOne(holder: string, pool: number): Answer {
    const place = this.grants.findIndex(grant => grant.holder === holder)
    if (place >= 0) return { outcome: 'replayed', sequence: place + 1, pool: (this.grants[place] as Grant).pool }
    const shut = SHUT[this.state]
    if (shut) return { outcome: shut, sequence: 0, pool }
    if (this.granted(pool) >= (this.totals[pool] as number)) return { outcome: 'sold_out', sequence: 0, pool }
    this.grants.push({ holder, pool })
    return { outcome: 'granted', sequence: this.grants.length, pool }
  }

  turn(verb: TurnVerb, request: string): string {
    if (this.requests.has(request)) return 'granted'
    const next = TURNS[verb][this.state]
    if (!next) return 'wrong_state'
    this.state = next
    return this.#changed(request)
  }

  restock(pool: number, add: number, most: number, request: string): string {
    if (this.requests.has(request)) return 'granted'
    if (this.state === 'closed' && add > 0) return 'wrong_state'
    if ((this.totals[pool] as number) + add < this.granted(pool)) return 'below_granted'
    if (this.totals.reduce((sum, total) => sum + total, 0) + add > most) return 'invalid'
    this.totals[pool] = (this.totals[pool] as number) + add
    return this.#changed(request)
  }

  #changed(request: string): string {
    this.requests.add(request)
    this.version++
    return 'granted'
  }
}
