/**
 * A notice: a round's moving state as every round script writes it (scripts/lib/round.lua), once a change, as words:
 *
 *   epoch version state sequence now opens closes t0 g0 t1 g1 …
 *
 * It is absolute, so a lost or late one does no harm: of two notices of one epoch the higher version is the newer.
 * Words instead of JSON because Lua's cjson rounds and this is parsed thousands of times a second.
 */
import { assert } from '../base/assert.ts'

export type StoredState = 'scheduled' | 'open' | 'paused' | 'closed' | 'drawing' | 'drawn'
const STATES: readonly (StoredState | undefined)[] = [
  undefined,
  'scheduled',
  'open',
  'paused',
  'closed',
  'drawing',
  'drawn',
]

export interface PoolCount {
  readonly total: number
  readonly granted: number
}

export interface Notice {
  /** 16 hex digits. */
  readonly epoch: string
  readonly version: number
  /** The state at `at`; moves by itself at opensAt and closesAt. */
  readonly state: StoredState
  /** The last sequence granted: the number of grants. */
  readonly sequence: number
  /** Milliseconds since 1970, Redis's clock, when this was true. */
  readonly at: number
  /** Milliseconds since 1970; 0 means that an operator turns it. */
  readonly opensAt: number
  readonly closesAt: number
  /** By place; 0 is `general`. */
  readonly pools: readonly PoolCount[]
}

const HEAD_WORDS = 7

export function parseNotice(text: string): Notice {
  const words = text.split(' ')
  const state = STATES[Number(words[2])]
  assert(state && words.length >= HEAD_WORDS + 2, `not a notice: "${text}"`)
  const pools: PoolCount[] = []
  for (let i = HEAD_WORDS; i + 1 < words.length; i += 2)
    pools.push({ total: Number(words[i]), granted: Number(words[i + 1]) })
  return {
    epoch: words[0] as string,
    version: Number(words[1]),
    state,
    sequence: Number(words[3]),
    at: Number(words[4]),
    opensAt: Number(words[5]),
    closesAt: Number(words[6]),
    pools,
  }
}

export const totalOf = (notice: Notice): number => notice.pools.reduce((sum, pool) => sum + pool.total, 0)
