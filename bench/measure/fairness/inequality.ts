/**
 * Jain's and Gini's numbers over the win rates of cohorts: how equal groups of people came out, in one figure.
 *
 * Over individuals both are blind: whoever the K winners of N are, Jain's index is K/N and Gini's 1 - K/N. Over cohorts of
 * many people they say how far the rates lie apart, weighted by the people of each; chance alone keeps them near 1 and 0.
 * They are figures for readers; the battery decides.
 */

import type { Cell } from './tally.ts'

export interface Inequality {
  /** 1 when all cohorts win at one rate, 1/C when one of C equal cohorts wins everything. */
  readonly jain: number
  /** 0 when all cohorts win at one rate, towards 1 when one wins everything. */
  readonly gini: number
}

export function inequalityOf(cells: readonly Cell[]): Inequality {
  const sized = cells.filter(({ expected }) => expected > 0)
  const people = sized.reduce((sum, { expected }) => sum + expected, 0)
  const wins = sized.reduce((sum, cell) => sum + cell.wins, 0)
  if (wins === 0) return { jain: 1, gini: 0 }
  // A cohort's weight is its share of the people, its rate its wins against what it expects.
  const rates = sized.map(cell => ({
    weight: cell.expected / people,
    rate: (cell.wins * people) / (cell.expected * wins),
  }))
  const squares = rates.reduce((sum, { weight, rate }) => sum + weight * rate * rate, 0)
  let poorer = 0
  let gini = 1
  for (const { weight, rate } of rates.toSorted((a, b) => a.rate - b.rate)) {
    gini -= weight * (2 * poorer + weight * rate)
    poorer += weight * rate
  }
  return { jain: 1 / squares, gini: Math.max(0, gini) }
}
