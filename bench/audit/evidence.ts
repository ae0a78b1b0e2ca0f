/**
 * What the records prove together, gathered once so that each check is one short loop.
 *
 * The idea: the engine numbers its grants in the order in which it made them, so a place in the ledger is a place in
 * time. For each grant g the clients bound its moment: not before its first request was sent (`askedAt`), not after
 * its first answer came (`ackedAt`). Running along the sequence carries these bounds to the neighbours: g was made
 * after everything of a lower sequence was (`notBefore`, a prefix maximum) and before everything of a higher one was
 * (`madeBy`, a suffix minimum). Every question of real time is then one comparison, and the audit is O(n) without
 * sorting.
 *
 * A claimant is a (user, slot) and is numbered user * perUser + slot - 1; all tables by claimant are flat arrays. In
 * the drawn modes the sequence is the order of the draw, so a bound says nothing about a neighbour.
 *
 * Rejected: comparing all pairs of answers (O(n²)), and a Map by user id (ten times the memory, ten times the time).
 */
import { type Code, codeOf } from '../../engine/base/codes.ts'
import type { Frames } from './frames.ts'
import { GRANT, type History, MEANINGS, REFUSAL } from './history.ts'
import { type Ledger, NO_POOL, type RoundState, STRANGER } from './ledger.ts'
import type { Users } from './users.ts'

/** Stock that was added to (or taken back from) a pool while the round ran, as its caller saw it. One at a time. */
export interface StockChange {
  readonly pool: number
  readonly add: number
  readonly sent: number
  readonly answered: number
}

/** Everything that is known about one run of one round. Pool numbers are places in `round.pools`. */
export interface Run {
  readonly history: History
  readonly users: Users
  readonly ledger: Ledger
  readonly round: RoundState
  readonly perUser: number
  readonly mode: 'fcfs' | 'drawn'
  /** The outcomes that this scenario can produce; `granted` and `replayed` need no mention, nor does silence. */
  readonly expected: ReadonlySet<Code>
  /** By pool: the stock that was ordered when the round was made. It comes from who ordered it, never from the engine. */
  readonly ordered: readonly number[]
  readonly changes: readonly StockChange[]
  readonly frames: Frames
  /** Runs of sequences that a fail-over set aside, both ends included, as the engine reported them. */
  readonly setAside: readonly { readonly from: number; readonly to: number }[]
}

/** Bit of `asked` that says: this claimant was told a definite no. The bits below are pools asked for in earnest. */
export const REFUSED_BIT = 1 << 16
const CLAIMANTS_MAX = 2 ** 28
/** How far a sequence may stand above the number of grants and still have a place; the rest is reported as a gap. */
const PLACES_SPARE = 65_536

export interface Evidence {
  readonly run: Run
  /** The earliest moment of the record: examples count from it. */
  readonly start: number
  /** By row of the history, by row of the ledger: the claimant, or -1 for a slot or user out of range. */
  readonly askers: Int32Array
  readonly holders: Int32Array
  /** By sequence: the ledger's row + 1, or 0. */
  readonly rowOf: Uint32Array
  /** The same without what lies in a run that was set aside: there sequences say nothing about order. */
  readonly inOrder: Uint32Array
  /** By claimant: the ledger's row + 1, or 0; and what he asked for (see REFUSED_BIT). */
  readonly heldRow: Uint32Array
  readonly asked: Uint32Array
  /** By row of the ledger: the bounds in time. A grant nobody asked for or answered has Infinity. */
  readonly askedAt: Float64Array
  readonly ackedAt: Float64Array
  readonly notBefore: Float64Array
  readonly madeBy: Float64Array
  /** By pool: the ledger's rows in the order of granting. */
  readonly poolRows: readonly Uint32Array[]
}

interface Claimants {
  readonly count: number
  readonly perUser: number
}

function numberClaimants(columns: { user: Uint32Array; slot: Uint8Array }, rows: number, of: Claimants): Int32Array {
  const { count, perUser } = of
  const numbers = new Int32Array(rows)
  for (let i = 0; i < rows; i++) {
    const user = columns.user[i]!
    const slot = columns.slot[i]!
    numbers[i] = user < count && slot >= 1 && slot <= perUser ? user * perUser + slot - 1 : -1
  }
  return numbers
}

/** Places the ledger's rows by sequence; a sequence that comes twice keeps its first row. */
function placeRows(run: Run): Uint32Array {
  const { ledger, round } = run
  let aside = 0
  for (const { from, to } of run.setAside) aside += to - from + 1
  const rowOf = new Uint32Array(Math.min(round.stock.total + aside, ledger.length + aside + PLACES_SPARE) + 1)
  for (let row = 0; row < ledger.length; row++) {
    const sequence = ledger.at.sequence[row]!
    if (sequence > 0 && sequence < rowOf.length && rowOf[sequence] === 0) rowOf[sequence] = row + 1
  }
  return rowOf
}

function orderedRows(run: Run, rowOf: Uint32Array): Uint32Array {
  const ordered = run.setAside.length > 0 ? rowOf.slice() : rowOf
  for (const { from, to } of run.setAside) ordered.fill(0, from, to + 1)
  return ordered
}

type Bounds = Pick<Evidence, 'rowOf' | 'inOrder' | 'askedAt' | 'ackedAt' | 'notBefore' | 'madeBy'>

/** Carries each grant's bounds to its neighbours along the sequence. */
function carryBounds({ rowOf, inOrder, askedAt, ackedAt, notBefore, madeBy }: Bounds): void {
  for (const [sequence, place] of rowOf.entries()) {
    if (inOrder[sequence] === place) continue
    notBefore[place - 1] = askedAt[place - 1]!
    madeBy[place - 1] = ackedAt[place - 1]!
  }
  let latest = Number.NEGATIVE_INFINITY
  for (let sequence = 1; sequence < inOrder.length; sequence++) {
    const row = inOrder[sequence]! - 1
    if (row < 0) continue
    if (askedAt[row]! > latest && askedAt[row] !== Number.POSITIVE_INFINITY) latest = askedAt[row]!
    notBefore[row] = latest
  }
  let earliest = Number.POSITIVE_INFINITY
  for (let sequence = inOrder.length - 1; sequence > 0; sequence--) {
    const row = inOrder[sequence]! - 1
    if (row < 0) continue
    if (ackedAt[row]! < earliest) earliest = ackedAt[row]!
    madeBy[row] = earliest
  }
}

function splitByPool(run: Run, rowOf: Uint32Array): readonly Uint32Array[] {
  const { pool } = run.ledger.at
  const counts = new Uint32Array(NO_POOL + 1)
  for (const row of rowOf) if (row > 0) counts[pool[row - 1]!]!++
  const lists = run.round.pools.map((_, number) => new Uint32Array(counts[number]!))
  counts.fill(0)
  for (const row of rowOf)
    if (row > 0) lists[pool[row - 1]!]?.fill(row - 1, counts[pool[row - 1]!]!, ++counts[pool[row - 1]!]!)
  return lists
}

/** One pass over the history: who asked for what, and the bounds of the grants that came of it. */
function readHistory(evidence: Evidence): number {
  const { askers, heldRow, asked, askedAt, ackedAt } = evidence
  const { sent, answered, outcome, pool } = evidence.run.history.at
  let start = Number.POSITIVE_INFINITY
  for (let i = 0; i < askers.length; i++) {
    if (sent[i]! < start) start = sent[i]!
    const claimant = askers[i]!
    const meaning = MEANINGS[outcome[i]!]!
    if (claimant < 0 || meaning === 0) continue
    asked[claimant]! |= meaning === REFUSAL ? REFUSED_BIT : 1 << (pool[i]! & 15)
    const row = heldRow[claimant]! - 1
    if (row < 0 || meaning === REFUSAL) continue
    if (sent[i]! < askedAt[row]!) askedAt[row] = sent[i]!
    if (meaning === GRANT && answered[i]! < ackedAt[row]!) ackedAt[row] = answered[i]!
  }
  return start
}

export function gatherEvidence(run: Run): Evidence {
  const { history, ledger, users, perUser } = run
  const claimants = users.count * perUser
  if (claimants > CLAIMANTS_MAX) throw new Error(`${claimants} claimants are more than the audit holds in memory`)
  const of = { count: users.count, perUser }
  const holders = numberClaimants(ledger.at, ledger.length, of)
  const heldRow = new Uint32Array(claimants)
  for (let row = ledger.length - 1; row >= 0; row--) if (holders[row]! >= 0) heldRow[holders[row]!] = row + 1
  const rowOf = placeRows(run)
  const unbounded = (): Float64Array => new Float64Array(ledger.length).fill(Number.POSITIVE_INFINITY)
  const evidence = {
    run,
    start: 0,
    askers: numberClaimants(history.at, history.length, of),
    holders,
    rowOf,
    inOrder: orderedRows(run, rowOf),
    heldRow,
    asked: new Uint32Array(claimants),
    askedAt: unbounded(),
    ackedAt: unbounded(),
    notBefore: new Float64Array(ledger.length).fill(Number.NEGATIVE_INFINITY),
    madeBy: unbounded(),
    poolRows: splitByPool(run, rowOf),
  }
  evidence.start = readHistory(evidence)
  if (run.mode === 'fcfs') carryBounds(evidence)
  else evidence.madeBy.set(evidence.ackedAt)
  return evidence
}

/** A moment of the record, counted from its start. */
export const tellTime = (micros: number, start: number): string =>
  micros === Number.POSITIVE_INFINITY ? 'never' : `at ${((micros - start) / 1000).toFixed(3)} ms`

/** A row of the history as a sentence for an example. */
export function tellAnswer({ run, start }: Evidence, i: number): string {
  const { at } = run.history
  const user = at.user[i]!
  const who = user < run.users.count ? run.users.userId(user) : `number ${user}`
  const code = codeOf(at.outcome[i]!) ?? `outcome ${at.outcome[i]}`
  const told = at.outcome[i] === 255 ? 'no answer' : at.sequence[i]! > 0 ? `${code} sequence ${at.sequence[i]}` : code
  const pool = run.round.pools[at.pool[i]!]?.name ?? `number ${at.pool[i]}`
  const times = `sent ${tellTime(at.sent[i]!, start)}, answered ${tellTime(at.answered[i]!, start)}`
  return `user ${who} slot ${at.slot[i]} pool ${pool}: ${told}, ${times}`
}

/** A row of the ledger as a phrase for an example. */
export function tellGrant({ run, start, askedAt, ackedAt }: Evidence, row: number): string {
  const { at, strangers } = run.ledger
  const user = at.user[row]!
  const who = user === STRANGER ? (strangers.get(row) ?? 'unknown to the run') : run.users.userId(user)
  const pool = run.round.pools[at.pool[row]!]?.name ?? 'unknown to the round'
  const times = `asked ${tellTime(askedAt[row]!, start)}, answered ${tellTime(ackedAt[row]!, start)}`
  return `sequence ${at.sequence[row]} of user ${who} slot ${at.slot[row]} pool ${pool} (${times})`
}
