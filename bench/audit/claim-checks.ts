/**
 * I2, I3 and the half of I10 that needs no clock: the ledger and the clients tell one story about who holds what.
 *
 * Both directions count. Forward: every grant that a client was told is in the ledger with the same user, slot, pool
 * and sequence. Backward: every grant in the ledger was told to its user, or belongs to a request of that very user
 * and pool whose fate he does not know. A holder who never asked is a phantom; a holder who only got definite
 * refusals was lied to, since "no" must mean that nothing was executed.
 *
 * The first check is about the record itself: a row that cannot be true (answered before sent, granted without a
 * sequence) makes every other check worthless, and an empty record proves nothing, so both void the run.
 */
import { CODES, codeOf } from '../../engine/base/codes.ts'
import { type Evidence, REFUSED_BIT, type Run, tellAnswer, tellGrant } from './evidence.ts'
import type { Check, Finding } from './finding.ts'
import { GRANT, MEANINGS, NO_ANSWER, REFUSAL } from './history.ts'

function isSound({ history, users, round }: Run, i: number): boolean {
  const { at } = history
  const outcome = at.outcome[i]!
  const silent = at.answered[i] === Number.POSITIVE_INFINITY
  const granted = MEANINGS[outcome] === GRANT
  const known = at.user[i]! < users.count && at.slot[i]! > 0 && at.pool[i]! < round.pools.length
  const told = MEANINGS[outcome] !== 0 && granted === at.sequence[i]! > 0 && silent === (outcome === NO_ANSWER)
  const shown = at.vouchers[i] === 0 || MEANINGS[outcome] !== REFUSAL
  return known && told && shown && Number.isFinite(at.sent[i]) && at.answered[i]! >= at.sent[i]!
}

function lookAtRecord(evidence: Evidence, finding: Finding): void {
  const rows = evidence.run.history.length
  finding.checked = rows
  if (rows === 0) finding.violate(() => 'the clients recorded nothing at all')
  for (let i = 0; i < rows; i++) if (!isSound(evidence.run, i)) finding.violate(() => tellAnswer(evidence, i))
}

function lookAtSlots(evidence: Evidence, finding: Finding): void {
  const { run, holders, heldRow } = evidence
  finding.checked = run.ledger.length
  for (let row = 0; row < run.ledger.length; row++) {
    const slot = run.ledger.at.slot[row]!
    if (slot < 1 || slot > run.perUser) {
      finding.violate(() => `${tellGrant(evidence, row)}: a user has the slots 1..${run.perUser}`)
    } else if (holders[row]! >= 0 && heldRow[holders[row]!] !== row + 1) {
      finding.violate(
        () => `${tellGrant(evidence, row)} also holds ${tellGrant(evidence, heldRow[holders[row]!]! - 1)}`,
      )
    }
  }
}

function lookAtLimits(evidence: Evidence, finding: Finding): void {
  const { run } = evidence
  const { outcome, slot } = run.history.at
  for (let i = 0; i < run.history.length; i++) {
    if (outcome[i] !== CODES.limit_reached.number) continue
    finding.checked++
    if (slot[i]! <= run.perUser) finding.violate(() => tellAnswer(evidence, i))
  }
}

function lookAtAcknowledged(evidence: Evidence, finding: Finding): void {
  const { run, askers, heldRow, rowOf } = evidence
  const { outcome, sequence, pool } = run.history.at
  const { at } = run.ledger
  for (let i = 0; i < run.history.length; i++) {
    if (MEANINGS[outcome[i]!] !== GRANT) continue
    finding.checked++
    const row = askers[i]! < 0 ? -1 : heldRow[askers[i]!]! - 1
    if (row >= 0 && at.sequence[row] === sequence[i] && at.pool[row] === pool[i]) continue
    const place = (rowOf[sequence[i]!] ?? 0) - 1
    finding.violate(() => {
      const his = row < 0 ? 'the ledger has no grant of his' : `the ledger has ${tellGrant(evidence, row)}`
      const other = place < 0 ? 'nobody holds that sequence' : `it holds ${tellGrant(evidence, place)}`
      return `${tellAnswer(evidence, i)}; ${place === row ? his : `${his}, and ${other}`}`
    })
  }
}

/** Every grant that its user did not ask for in earnest; `refused` says whether he was told no. */
function lookForUnasked(evidence: Evidence, finding: Finding, refused: boolean): void {
  const { run, holders, asked } = evidence
  for (let row = 0; row < run.ledger.length; row++) {
    const said = holders[row]! < 0 ? 0 : asked[holders[row]!]!
    const pools = said & (REFUSED_BIT - 1)
    finding.checked++
    if (refused) {
      if (pools === 0 && said !== 0) finding.violate(() => tellGrant(evidence, row))
    } else if (said === 0) {
      finding.violate(() => `${tellGrant(evidence, row)} never asked`)
    } else if (pools !== 0 && (pools & (1 << run.ledger.at.pool[row]!)) === 0) {
      finding.violate(() => `${tellGrant(evidence, row)} never asked for this pool`)
    }
  }
}

function lookAtOutcomes(evidence: Evidence, finding: Finding): void {
  const { history, expected } = evidence.run
  const allowed = new Uint8Array(256)
  allowed[CODES.granted.number] = allowed[CODES.replayed.number] = allowed[NO_ANSWER] = 1
  for (const code of expected) allowed[CODES[code].number] = 1
  finding.checked = history.length
  for (let i = 0; i < history.length; i++) {
    const outcome = history.at.outcome[i]!
    if (allowed[outcome] === 0) finding.violate(() => `${codeOf(outcome) ?? outcome}: ${tellAnswer(evidence, i)}`)
  }
}

export const CLAIM_CHECKS: readonly Check[] = [
  { id: 'H-record', title: 'The record has answers, and each row of it can be true.', look: lookAtRecord },
  {
    id: 'I2-slots',
    title: 'No user holds more than his limit: one grant a slot, and no slot beyond it.',
    look: lookAtSlots,
  },
  { id: 'I2-limit', title: 'limit_reached was only said of a slot beyond the limit.', look: lookAtLimits },
  {
    id: 'I3-acked',
    title: 'Every acknowledged grant is in the ledger: same user, slot, pool and sequence.',
    look: lookAtAcknowledged,
  },
  {
    id: 'I3-phantom',
    title: 'Every grant of the ledger was asked for by its user and told to him, or he lacks an answer.',
    look: (evidence, finding) => lookForUnasked(evidence, finding, false),
  },
  {
    id: 'I10-refused',
    title: 'Nobody holds a grant whose every answer was a definite refusal.',
    look: (evidence, finding) => lookForUnasked(evidence, finding, true),
  },
  { id: 'I10-outcomes', title: 'Only outcomes that this scenario can produce were answered.', look: lookAtOutcomes },
]
