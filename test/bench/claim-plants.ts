/**
 * Planted faults of claims and answers: who holds what, and what he was told when he asked again (I2, I3, I9, I10).
 *
 * Each row leaves the records as its cause would: a grant lost by the ledger, given to another, doubled by a retry,
 * or answered with other vouchers the second time. Where the cause would change the counters too, it does.
 *
 * Rejected: faults in the record alone (a random byte of the history). They are the business of H-record, which has
 * its own row here; everything else is a sound record of an engine that is wrong.
 */

import { MEANINGS, PERHAPS, voucherHash } from '../../bench/audit/history.ts'
import { STRANGER } from '../../bench/audit/ledger.ts'
import { CODES } from '../../engine/base/codes.ts'
import { ASSISTED, GENERAL, type Plant, type Planting, pick, STAFF } from './planting.ts'
import { below } from './synthetic.ts'

/** A repeated answer that showed its vouchers, and the granting answer that showed them too. */
function shownTwice({ run, evidence, dice }: Planting): { readonly granting: number; readonly repeat: number } {
  const { outcome, vouchers } = run.history.at
  const granted = new Map<number, number>()
  for (let i = 0; i < run.history.length; i++) {
    if (outcome[i] === CODES.granted.number && vouchers[i] !== 0) granted.set(evidence.askers[i]!, i)
  }
  const repeat = pick(dice, run.history.length, i => {
    return outcome[i] === CODES.replayed.number && vouchers[i] !== 0 && granted.has(evidence.askers[i]!)
  })
  return { granting: granted.get(evidence.askers[repeat]!)!, repeat }
}

export const CLAIM_PLANTS: readonly Plant[] = [
  {
    fault: 'two holders swapped in the ledger',
    caughtBy: 'I3-acked',
    grow(p) {
      const a = p.acknowledged(GENERAL)
      const { user } = p.run.ledger.at
      const b = p.grant(row => p.run.ledger.at.pool[row] === GENERAL && user[row] !== user[a])
      p.swap(a, b, ['user', 'slot'])
    },
  },
  {
    fault: 'an acknowledged grant is held by another who asked',
    caughtBy: 'I3-acked',
    grow(p) {
      const { at } = p.run.history
      const row = p.acknowledged(GENERAL)
      const heir = p.answer(i => {
        const asker = p.evidence.askers[i]!
        return (
          MEANINGS[at.outcome[i]!] === PERHAPS &&
          at.pool[i] === GENERAL &&
          asker >= 0 &&
          p.evidence.heldRow[asker] === 0
        )
      })
      p.giveTo(row, { user: at.user[heir]!, slot: at.slot[heir]! })
    },
  },
  { fault: 'an acknowledged grant is lost', caughtBy: 'I3-acked', grow: p => p.removeGrant(p.acknowledged()) },
  {
    fault: 'two grants in each other’s pool',
    caughtBy: 'I3-acked',
    grow: p => p.swap(p.acknowledged(GENERAL), p.acknowledged(ASSISTED), ['pool']),
  },
  {
    fault: 'an unconfirmed grant in a pool that its user did not ask for',
    caughtBy: 'I3-phantom',
    grow(p) {
      const row = p.unacknowledged()
      p.run.ledger.at.pool[row] = p.run.ledger.at.pool[row] === STAFF ? GENERAL : STAFF
    },
  },
  {
    fault: 'a holder who never asked',
    caughtBy: 'I3-phantom',
    grow: p => p.giveTo(p.unacknowledged(), { user: p.absentee(), slot: 1 }),
  },
  {
    fault: 'a holder whom the run did not invent',
    caughtBy: 'I3-phantom',
    grow: p => p.giveTo(p.unacknowledged(), { user: STRANGER, slot: 1 }),
  },
  {
    fault: 'a holder who was only ever told no',
    caughtBy: 'I10-refused',
    grow: p => p.answersOf(p.acknowledged(), i => p.refuse(i, 'overloaded')),
  },
  {
    fault: 'a slot beyond the limit per user',
    caughtBy: 'I2-slots',
    grow(p) {
      const row = p.acknowledged()
      p.answersOf(row, i => (p.run.history.at.slot[i] = p.run.perUser + 1))
      p.run.ledger.at.slot[row] = p.run.perUser + 1
    },
  },
  {
    fault: 'one slot granted twice, the second unconfirmed',
    caughtBy: 'I2-slots',
    grow(p) {
      const row = p.unacknowledged()
      const first = p.acknowledged(p.run.ledger.at.pool[row]!)
      p.giveTo(row, { user: p.run.ledger.at.user[first]!, slot: p.run.ledger.at.slot[first]! })
    },
  },
  {
    fault: 'limit_reached within the limit',
    caughtBy: 'I2-limit',
    grow: p => p.refusal('limit_reached', { user: p.absentee(), slot: p.run.perUser, pool: GENERAL, sent: p.end }),
  },
  {
    fault: 'an outcome of another scenario',
    caughtBy: 'I10-outcomes',
    grow: p => p.refusal('not_eligible', { user: p.absentee(), slot: 1, pool: GENERAL, sent: p.end }),
  },
  {
    fault: 'an answer from before its question',
    caughtBy: 'H-record',
    grow(p) {
      const { sent, answered } = p.run.history.at
      const i = p.answer(i => answered[i] !== Number.POSITIVE_INFINITY)
      answered[i] = sent[i]! - 1
    },
  },
]

export const ANSWER_PLANTS: readonly Plant[] = [
  {
    fault: 'asked again, another sequence',
    caughtBy: 'I9-sequence',
    grow(p) {
      const { sequence } = p.run.history.at
      const { repeat } = shownTwice(p)
      sequence[repeat] = (sequence[repeat]! % p.run.ledger.length) + 1
    },
  },
  {
    fault: 'asked again, vouchers that differ in one bit',
    caughtBy: 'I9-vouchers',
    grow: p => (p.run.history.at.vouchers[shownTwice(p).repeat]! ^= 1 << below(p.dice, 32)),
  },
  {
    fault: 'the granting answer showed another code',
    caughtBy: 'I9-vouchers',
    grow(p) {
      const codes = ['0000-0000-0000-0000', String(below(p.dice, 1e6))]
      p.run.history.at.vouchers[shownTwice(p).granting] = voucherHash(codes, '2026-12-01T10:00:00.000Z')
    },
  },
  {
    fault: 'one pack of vouchers handed to a whole batch',
    caughtBy: 'I9-distinct',
    grow(p) {
      const first = below(p.dice, p.run.ledger.length - 64)
      const { vouchers } = p.run.history.at
      for (let row = first; row < first + 64; row++) {
        p.answersOf(row, i => {
          if (p.isGrant(i)) vouchers[i] = 77
        })
      }
    },
  },
  {
    fault: 'granted twice as new',
    caughtBy: 'I9-once',
    grow: p => (p.run.history.at.outcome[shownTwice(p).repeat] = CODES.granted.number),
  },
]
