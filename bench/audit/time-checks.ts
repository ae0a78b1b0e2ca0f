/**
 * I8, I12 and the half of I10 that needs a clock: what was answered before something was sent came first.
 *
 * All checks compare the moments that the evidence gathered a grant. Order: a grant that was answered before another
 * was even asked for has the lower sequence; a running maximum of `askedAt` along the sequence finds every breach.
 * The end: after `sold_out` was answered for a pool, no request sent later is granted from it, unless stock was
 * added in between; `closed` is final for all pools. The opening: once any grant is answered, nobody is told
 * `not_open` any more. The holder: whoever asks when his grant was certainly made gets his claim. "Certainly made"
 * is `madeBy`, so a holder whose first answer was lost counts too, as soon as a later sequence was answered to
 * anybody.
 *
 * Rejected: a sweep over events sorted by time; the order of the sequence is the sort.
 */
import { CODES } from '../../engine/base/codes.ts'
import { type Evidence, tellAnswer, tellGrant } from './evidence.ts'
import type { Check, Finding } from './finding.ts'
import { MEANINGS, REFUSAL } from './history.ts'
import { poolChanges } from './stock-checks.ts'

function lookAtOrder(evidence: Evidence, finding: Finding): void {
  const { inOrder, askedAt, ackedAt } = evidence
  let latest = -1
  for (const place of inOrder) {
    const row = place - 1
    if (row < 0 || askedAt[row] === Number.POSITIVE_INFINITY) continue
    finding.checked++
    if (latest >= 0 && ackedAt[row]! < askedAt[latest]!) {
      const before = latest
      finding.violate(() => `${tellGrant(evidence, row)} was answered before ${tellGrant(evidence, before)} was asked`)
    }
    if (latest < 0 || askedAt[row]! > askedAt[latest]!) latest = row
  }
}

interface EndAnswers {
  /** By pool and number of additions certainly made before: the row of the sold_out answered first, or -1. */
  readonly soldOut: readonly Int32Array[]
  /** By pool: when each addition was sent. */
  readonly additions: readonly (readonly number[])[]
  readonly closed: number
}

/** The first answers that said "it is over", by pool and by how much stock had certainly been added before. */
function findEnds(evidence: Evidence): EndAnswers {
  const { at, length } = evidence.run.history
  const additions = poolChanges(evidence.run).map(({ changes }) => changes.filter(change => change.add > 0))
  const soldOut = additions.map(list => new Int32Array(list.length + 1).fill(-1))
  let closed = -1
  for (let i = 0; i < length; i++) {
    if (at.outcome[i] === CODES.closed.number && (closed < 0 || at.answered[i]! < at.answered[closed]!)) closed = i
    const list = additions[at.pool[i]!]
    if (at.outcome[i] !== CODES.sold_out.number || list === undefined) continue
    const firsts = soldOut[at.pool[i]!]!
    let before = 0
    while (before < list.length && list[before]!.answered <= at.sent[i]!) before++
    if (firsts[before]! < 0 || at.answered[i]! < at.answered[firsts[before]!]!) firsts[before] = i
  }
  for (const firsts of soldOut) {
    for (let n = firsts.length - 2; n >= 0; n--) {
      const later = firsts[n + 1]!
      if (later >= 0 && (firsts[n]! < 0 || at.answered[later]! < at.answered[firsts[n]!]!)) firsts[n] = later
    }
  }
  return { soldOut, additions: additions.map(list => list.map(change => change.sent)), closed }
}

function lookAfterEnd(evidence: Evidence, finding: Finding): void {
  const { run, askedAt, madeBy } = evidence
  const { answered } = run.history.at
  const ends = findEnds(evidence)
  for (let row = 0; row < run.ledger.length; row++) {
    const pool = run.ledger.at.pool[row]!
    const additions = ends.additions[pool]
    if (additions === undefined || askedAt[row] === Number.POSITIVE_INFINITY) continue
    let possible = 0
    while (possible < additions.length && additions[possible]! < madeBy[row]!) possible++
    for (const end of [ends.soldOut[pool]![possible]!, ends.closed]) {
      if (end < 0) continue
      finding.checked++
      if (answered[end]! < askedAt[row]!)
        finding.violate(() => `${tellGrant(evidence, row)} after ${tellAnswer(evidence, end)}`)
    }
  }
}

function lookAtOpening(evidence: Evidence, finding: Finding): void {
  const { run, ackedAt } = evidence
  const { outcome, sent } = run.history.at
  let first = -1
  for (let row = 0; row < ackedAt.length; row++) if (first < 0 || ackedAt[row]! < ackedAt[first]!) first = row
  for (let i = 0; i < run.history.length; i++) {
    if (outcome[i] !== CODES.not_open.number) continue
    finding.checked++
    if (first >= 0 && sent[i]! > ackedAt[first]!) {
      finding.violate(() => `${tellAnswer(evidence, i)}, after ${tellGrant(evidence, first)}`)
    }
  }
}

function lookAtClock(evidence: Evidence, finding: Finding): void {
  const { inOrder } = evidence
  const { grantedAt } = evidence.run.ledger.at
  let before = -1
  for (const place of inOrder) {
    const row = place - 1
    if (row < 0) continue
    finding.checked++
    const earlier = before
    if (earlier >= 0 && grantedAt[row]! < grantedAt[earlier]!) {
      const back = `${grantedAt[earlier]! - grantedAt[row]!} ms before`
      finding.violate(() => `${tellGrant(evidence, row)} was granted ${back} ${tellGrant(evidence, earlier)}`)
    } else before = row
  }
}

/** The refusals that speak about the round's state or the user; shedding load says nothing about a claim. */
const OF_THE_CLAIM = new Set<number>(
  (['sold_out', 'limit_reached', 'paused', 'not_open', 'closed', 'not_eligible'] as const).map(
    code => CODES[code].number,
  ),
)

function lookAtHolders(evidence: Evidence, finding: Finding): void {
  const { run, askers, heldRow, madeBy } = evidence
  const { outcome, sent } = run.history.at
  for (let i = 0; i < run.history.length; i++) {
    const row = askers[i]! < 0 ? -1 : heldRow[askers[i]!]! - 1
    if (row < 0 || MEANINGS[outcome[i]!] !== REFUSAL || !OF_THE_CLAIM.has(outcome[i]!)) continue
    finding.checked++
    if (sent[i]! > madeBy[row]!)
      finding.violate(() => `${tellAnswer(evidence, i)}, but he held ${tellGrant(evidence, row)}`)
  }
}

const isArrivalOrder = ({ run }: Evidence): boolean => run.mode === 'fcfs'

export const TIME_CHECKS: readonly Check[] = [
  {
    id: 'I8-order',
    title: 'A grant that was answered before another was asked for has the lower sequence.',
    applies: isArrivalOrder,
    look: lookAtOrder,
  },
  {
    id: 'I8-end',
    title: 'No request was granted that was sent after sold_out (without new stock) or closed was answered.',
    applies: isArrivalOrder,
    look: lookAfterEnd,
  },
  {
    id: 'I8-open',
    title: 'not_open was never said to a request sent after a grant was answered.',
    // Between two windows of a draw a round is not open.
    applies: isArrivalOrder,
    look: lookAtOpening,
  },
  { id: 'I10-holder', title: 'A holder who asked again was never refused.', look: lookAtHolders },
  {
    id: 'I12-clock',
    title: 'granted_at never goes back along the sequence.',
    applies: isArrivalOrder,
    look: lookAtClock,
  },
]
