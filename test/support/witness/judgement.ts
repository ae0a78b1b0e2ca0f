/**
 * All rules over one testimony, and what the row's level forgives. The rules' names are what a violation is called by.
 * Nobody is asked anything here, so a history that a test has planted is judged like one that was heard.
 */
import { CLAIM_RULES, judgeClaims } from './claim-rules.ts'
import { type Level, type Weighed, type Worst, weigh } from './levels.ts'
import { People } from './people-told.ts'
import { judgeStates, STATE_RULES } from './state-rules.ts'
import type { RoundRecord, Testimony, Violation } from './testimony.ts'
import { judgeVouchers, VOUCHER_RULES } from './voucher-rules.ts'

export const RULES: readonly string[] = [CLAIM_RULES, VOUCHER_RULES, STATE_RULES].flatMap(rules => Object.keys(rules))

export function judge(testimony: Testimony): readonly Violation[] {
  const people = new Map<string, People>()
  const peopleOf = (round: RoundRecord): People => {
    const known = people.get(round.id) ?? new People(round)
    people.set(round.id, known)
    return known
  }
  return [...judgeClaims(testimony, peopleOf), ...judgeVouchers(testimony), ...judgeStates(testimony, peopleOf)]
}

export const judgeAt = (testimony: Testimony, level: Level, worst: Worst): Weighed =>
  weigh(judge(testimony), level, worst)
