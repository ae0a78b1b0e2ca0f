/**
 * The tools with which a fault is planted in a sound run: find a random place where it fits, and change the records
 * there.
 *
 * A fault is planted as its cause would leave it: an engine that numbers two grants alike also tells both clients
 * so, and its counters follow. So most tools change ledger, history and state together, and the audit has to find
 * the one contradiction that is left. A place that fits is searched from a random start around the whole record; no
 * place at all is an error of the plant, never a silent pass.
 */

import { type Evidence, gatherEvidence } from '../../bench/audit/evidence.ts'
import { type Answer, GRANT, MEANINGS } from '../../bench/audit/history.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { below, type Dice, type SyntheticRun } from './synthetic.ts'

/** A kind of fault, and the check that must see it. */
export interface Plant {
  readonly fault: string
  readonly caughtBy: string
  readonly grow: (planting: Planting) => void
}

/** The pools of the synthetic run: the first sells out, the second too but is refilled, the third never does. */
export const GENERAL = 0
export const ASSISTED = 1
export const STAFF = 2

/** The first number from a random start, going around, that passes. */
export function pick(dice: Dice, count: number, fits: (i: number) => boolean): number {
  const start = below(dice, count)
  for (let step = 0; step < count; step++) if (fits((start + step) % count)) return (start + step) % count
  throw new Error('There is no place for this fault')
}

export class Planting {
  readonly run: SyntheticRun
  readonly dice: Dice
  readonly evidence: Evidence
  /** After everything that was recorded. */
  readonly end: number

  constructor(run: SyntheticRun, dice: Dice) {
    this.run = run
    this.dice = dice
    this.evidence = gatherEvidence(run)
    this.end = run.history.at.sent.subarray(0, run.history.length).reduce((a, b) => Math.max(a, b), 0) + 10_000
  }

  answer(fits: (i: number) => boolean): number {
    return pick(this.dice, this.run.history.length, fits)
  }

  grant(fits: (row: number) => boolean = () => true): number {
    return pick(this.dice, this.run.ledger.length, fits)
  }

  /** A random grant that was told to its user; of one pool, if it is named. */
  acknowledged(pool?: number): number {
    const { ackedAt } = this.evidence
    const fits = (row: number): boolean => pool === undefined || this.run.ledger.at.pool[row] === pool
    return this.grant(row => ackedAt[row] !== Number.POSITIVE_INFINITY && fits(row))
  }

  /** A random grant that was not told to its user, in the first half of the sequence. */
  unacknowledged(): number {
    const half = this.run.ledger.length / 2
    return this.grant(row => row < half && this.evidence.ackedAt[row] === Number.POSITIVE_INFINITY)
  }

  /** A user who sent nothing at all. */
  absentee(): number {
    const { asked, run } = this.evidence
    return pick(this.dice, run.users.count, user => {
      for (let slot = 0; slot < run.perUser; slot++) if (asked[user * run.perUser + slot] !== 0) return false
      return true
    })
  }

  frame(fits: (i: number, before: number) => boolean): { i: number; before: number } {
    const { at, length } = this.run.frames
    const before = (i: number): number => at.viewer.lastIndexOf(at.viewer[i]!, i - 1)
    const i = pick(this.dice, length, i => i > 0 && before(i) >= 0 && fits(i, before(i)))
    return { i, before: before(i) }
  }

  /** Calls `change` with each recorded answer to the holder of a grant. */
  answersOf(row: number, change: (i: number) => void): void {
    const claimant = this.evidence.holders[row]
    for (let i = 0; i < this.run.history.length; i++) if (this.evidence.askers[i] === claimant) change(i)
  }

  /** Tells the holder of a grant, in all his answers, another sequence than the ledger's so far; the ledger follows. */
  renumber(row: number, sequence: number): void {
    this.run.ledger.at.sequence[row] = sequence
    this.answersOf(row, i => {
      if (this.isGrant(i)) this.run.history.at.sequence[i] = sequence
    })
  }

  /** Moves all sequences from `from` on by `step`, in the ledger and in every answer. */
  shift(from: number, step: number): void {
    for (const columns of [this.run.ledger, this.run.history]) {
      const { sequence } = columns.at
      for (let i = 0; i < columns.length; i++) if (sequence[i]! >= from) sequence[i]! += step
    }
  }

  isGrant(i: number): boolean {
    return MEANINGS[this.run.history.at.outcome[i]!] === GRANT
  }

  /** Turns an answer into a refusal; where there was none, one came after all. */
  refuse(i: number, code: Code): void {
    const { at } = this.run.history
    at.outcome[i] = CODES[code].number
    at.sequence[i] = 0
    at.vouchers[i] = 0
    if (at.answered[i] === Number.POSITIVE_INFINITY) at.answered[i] = at.sent[i]! + 100
  }

  /** Records one more refusal, 100 µs long. */
  refusal(code: Code, at: Pick<Answer, 'user' | 'slot' | 'pool' | 'sent'>): void {
    const outcome = CODES[code].number
    this.run.history.push({ ...at, answered: at.sent + 100, outcome, sequence: 0, vouchers: 0, connection: 1 })
  }

  /** Writes another holder into a row of the ledger. */
  giveTo(row: number, { user, slot }: Pick<Answer, 'user' | 'slot'>): void {
    this.run.ledger.at.user[row] = user
    this.run.ledger.at.slot[row] = slot
  }

  removeGrant(row: number): void {
    const { ledger, round } = this.run
    const pool = round.pools[ledger.at.pool[row]!]!
    for (const state of [round.stock, pool]) {
      state.granted--
      state.remaining++
    }
    for (const column of Object.values(ledger.at)) column.copyWithin(row, row + 1, ledger.length)
    ledger.length--
  }

  /** Swaps the values of two rows of the ledger in the named columns. */
  swap(a: number, b: number, names: readonly (keyof SyntheticRun['ledger']['at'])[]): void {
    for (const name of names) {
      const column = this.run.ledger.at[name]
      const value = column[a]!
      column[a] = column[b]!
      column[b] = value
    }
  }
}
