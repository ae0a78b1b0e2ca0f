/**
 * What a row's level may lose by its faults, as a table: the rules that a lost tail breaks, and which level forgives them.
 *
 * A row names its level and the worst that it does to Redis. What is forgiven is counted and told; every other rule,
 * and every rule at a level that loses nothing, holds without exception. At `fenced` nothing is forgiven: the row's people ask
 * the node that told them until it is back, because docs/reliability.md says that nobody else knows their grants till then.
 */
import type { Violation } from './testimony.ts'

export type Level = 'memory' | 'everysec' | 'always' | 'replicated' | 'fenced'
export type Worst = 'nothing' | 'end of Redis' | 'fail-over'

/** What follows when the last acknowledged changes are gone: the change is not found, or made again for somebody else. */
const TAIL = [
  'a told grant is lost',
  'a sequence told to two',
  'a user told two sequences',
  'a code told to two',
  'a holder refused',
  'granted after a refusal',
  'refused without a cause',
  'a told code is not found',
  'a redemption is lost',
  'redeemed twice',
  'an answer changed',
  'a voucher refused without a cause',
  'the ledger does not have what was told',
  'fewer shown than granted',
  'the total shown is not what was ordered',
] as const
/** A server that starts again on a shorter log goes on under its old name: its versions are given twice. */
const SHORTER = [
  ...TAIL,
  'a version goes back',
  'one version with two contents',
  'shown for longer than a second after it was past',
  'a state that a turn proves wrong',
] as const

export const FORGIVEN: Readonly<Record<Level, Readonly<Record<Worst, readonly string[]>>>> = {
  memory: { nothing: [], 'end of Redis': SHORTER, 'fail-over': TAIL },
  everysec: { nothing: [], 'end of Redis': SHORTER, 'fail-over': TAIL },
  always: { nothing: [], 'end of Redis': [], 'fail-over': TAIL },
  replicated: { nothing: [], 'end of Redis': [], 'fail-over': [] },
  fenced: { nothing: [], 'end of Redis': [], 'fail-over': [] },
}

export interface Weighed {
  readonly broken: readonly Violation[]
  readonly forgiven: readonly Violation[]
}

export function weigh(violations: readonly Violation[], level: Level, worst: Worst): Weighed {
  const rules = FORGIVEN[level][worst]
  return {
    broken: violations.filter(({ rule }) => !rules.includes(rule)),
    forgiven: violations.filter(({ rule }) => rules.includes(rule)),
  }
}
