/**
 * How the rounds of a simulated world give their packs away: first come, strict, by draws of short windows, by one draw. Which a
 * round has is drawn from a stream of chance of its own, so that worlds of first come alone are the ones that they always were.
 *
 * The level fenced has rounds of first come only, as the engine has. Rejected: all modes in each world; a seed that showed a bug
 * once would show another history.
 */
import type { Allocation } from '../../engine/campaign/round/round-config.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import { Chance } from './timeline.ts'

export type Mode = 'first' | 'strict' | 'window' | 'lottery'

/** What `--mode` may be, and the modes that a world's rounds then have. */
export const MODE_WORDS = {
  first: ['first'],
  strict: ['strict'],
  drawn: ['window', 'lottery'],
  all: ['first', 'strict', 'window', 'lottery'],
} as const satisfies Readonly<Record<string, readonly Mode[]>>

export type ModeWord = keyof typeof MODE_WORDS

export const isDrawnMode = (mode: Mode): boolean => mode === 'window' || mode === 'lottery'

export class Modes {
  readonly #chance: Chance
  readonly #modes: readonly Mode[]

  /** `word` is left out by worlds of first come alone. */
  constructor(seed: number, level: Durability, word: ModeWord = 'first') {
    this.#chance = new Chance(seed ^ 0x3a0d)
    this.#modes = MODE_WORDS[level === 'fenced' ? 'first' : word]
  }

  get hasStrict(): boolean {
    return this.#modes.includes('strict')
  }

  get hasDrawn(): boolean {
    return this.#modes.some(isDrawnMode)
  }

  /** The mode of the next round. */
  next(): Mode {
    return this.#modes.length === 1 ? (this.#modes[0] as Mode) : this.#chance.pick(this.#modes)
  }
}

/** What an operator orders; `now` is the clock of Redis, `closesAt` the round's end, 0 for none. */
export function allocationOf(mode: Mode, chance: Chance, closesAt: number): Allocation {
  if (mode === 'first') return { mode: 'fcfs' }
  if (mode === 'strict') return { mode: 'fcfs', strict: true }
  const choices = {
    beacon: { kind: 'commit' },
    quota_order: chance.pick(['general-first', 'pool-first'] as const),
    waitlist: chance.below(5),
    may_end_early: true,
  } as const
  if (mode === 'window') return { mode, window_ms: chance.pick([500, 1000, 3000]), ...choices }
  return { mode, draws_at: new Date(closesAt + chance.below(500)).toISOString(), ...choices }
}
