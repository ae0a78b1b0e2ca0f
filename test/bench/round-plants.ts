/**
 * Planted faults of the round as a whole: its stock, its order in time, and the frames its viewers saw (I1, I6, I8,
 * I10, I12).
 *
 * Oversell and undersell come in their subtle forms: one sequence twice with both clients told so, one pool that
 * sold its neighbour's, a last one that was never sold with all counters in agreement, a refusal that came while
 * another person could still be granted. Faults of time are only planted where real time proves them: a later asker
 * overtook somebody who already had his answer.
 *
 * Rejected: swapping two grants that overlapped in time. Either order is true then, and an audit that objected would
 * be wrong.
 */
import { CODES } from '../../engine/base/codes.ts'
import { ASSISTED, GENERAL, type Plant, type Planting, pick, STAFF } from './planting.ts'
import { below } from './synthetic.ts'

/** When a pool was first said to be sold out after its last addition. */
function firstSoldOut({ run }: Planting, pool: number): number {
  const { at, length } = run.history
  const since = run.changes.reduce((last, change) => (change.pool === pool ? change.answered : last), 0)
  let first = Number.POSITIVE_INFINITY
  for (let i = 0; i < length; i++) {
    if (at.outcome[i] !== CODES.sold_out.number || at.pool[i] !== pool || at.sent[i]! < since) continue
    first = Math.min(first, at.answered[i]!)
  }
  return first
}

/** A refusal that ended when a later grant of the pool, one of its ranks from..to, was only about to be asked for. */
function refuseBefore(planting: Planting, pool: number, [from, to]: readonly [number, number]): void {
  const { evidence, dice } = planting
  const rows = evidence.poolRows[pool]!
  const row = rows[Math.floor(from + below(dice, to - from))]!
  const sent = evidence.notBefore[row]! - 101
  planting.refusal('sold_out', { user: planting.absentee(), slot: 1, pool, sent })
}

export const STOCK_PLANTS: readonly Plant[] = [
  {
    fault: 'one sequence given to two',
    caughtBy: 'I1-once',
    grow: p => p.renumber(p.acknowledged(GENERAL), p.run.ledger.at.sequence[p.acknowledged(STAFF)]!),
  },
  {
    fault: 'one sequence above the stock',
    caughtBy: 'I1-once',
    grow(p) {
      const sequence = p.run.round.stock.total + 1
      const claim = { user: p.absentee(), slot: 1, pool: GENERAL, sequence }
      const { granted } = CODES
      const times = { sent: p.end, answered: p.end + 100 }
      p.run.history.push({ ...claim, ...times, outcome: granted.number, vouchers: 0, connection: 0 })
      p.run.ledger.push({ ...claim, grantedAt: p.end })
      for (const state of [p.run.round.stock, p.run.round.pools[GENERAL]!]) {
        state.granted++
        state.remaining--
      }
    },
  },
  {
    fault: 'a sequence that nobody got',
    caughtBy: 'I1-gaps',
    grow: p => p.shift(1 + below(p.dice, p.run.ledger.length), 1),
  },
  {
    fault: 'the state hides a grant',
    caughtBy: 'I1-state',
    grow({ run: { round } }) {
      round.stock.granted--
      round.stock.remaining++
    },
  },
  {
    fault: 'a pool that sold one of its neighbour’s',
    caughtBy: 'I1-state',
    grow({ run: { round } }) {
      round.pools[GENERAL]!.total--
      round.pools[GENERAL]!.remaining--
      round.pools[STAFF]!.total++
      round.pools[STAFF]!.remaining++
    },
  },
  {
    fault: 'stock that nobody ordered, not sold yet',
    caughtBy: 'I1-ordered',
    grow({ run: { round } }) {
      for (const state of [round.stock, round.pools[STAFF]!]) {
        state.total += 100
        state.remaining += 100
      }
    },
  },
  {
    fault: 'stock that nobody ordered, granted and booked as if it were the round’s',
    caughtBy: 'I1-ordered',
    grow(p) {
      const { round, ledger, history } = p.run
      const claim = { user: p.absentee(), slot: 1, pool: GENERAL, sequence: ledger.length + 1 }
      const times = { sent: p.end, answered: p.end + 100 }
      history.push({ ...claim, ...times, outcome: CODES.granted.number, vouchers: 0, connection: 0 })
      ledger.push({ ...claim, grantedAt: p.end })
      for (const state of [round.stock, round.pools[GENERAL]!]) {
        state.total++
        state.granted++
      }
    },
  },
  {
    fault: 'sold_out in the middle of the sale',
    caughtBy: 'I1-sold-out',
    grow: p => refuseBefore(p, GENERAL, [1, p.run.round.pools[GENERAL]!.total]),
  },
  {
    fault: 'sold_out just after stock was added',
    caughtBy: 'I1-sold-out',
    grow(p) {
      const change = p.run.changes.find(({ pool }) => pool === ASSISTED)!
      const rows = p.evidence.poolRows[ASSISTED]!
      const from = rows.findIndex(row => p.evidence.notBefore[row]! > change.answered + 200)
      refuseBefore(p, ASSISTED, [from, rows.length])
    },
  },
  {
    fault: 'sold_out, and stock was left at the end',
    caughtBy: 'I1-sold-out',
    grow: p => p.refusal('sold_out', { user: p.absentee(), slot: 1, pool: STAFF, sent: p.end }),
  },
  {
    fault: 'the last one of a pool was never sold',
    caughtBy: 'I1-sold-out',
    grow(p) {
      const row = p.evidence.poolRows[GENERAL]!.at(-1)!
      p.answersOf(row, i => p.isGrant(i) && p.refuse(i, 'sold_out'))
      const sequence = p.run.ledger.at.sequence[row]!
      p.removeGrant(row)
      p.shift(sequence + 1, -1)
    },
  },
]

export const TIME_PLANTS: readonly Plant[] = [
  {
    fault: 'a later asker overtook one who had his answer',
    caughtBy: 'I8-order',
    grow(p) {
      const { askedAt, ackedAt, run } = p.evidence
      const early = p.grant(row => ackedAt[row]! < askedAt[run.ledger.length - 1]!)
      const late = p.grant(row => askedAt[row]! > ackedAt[early]! && askedAt[row] !== Number.POSITIVE_INFINITY)
      const [first, second] = [run.ledger.at.sequence[early]!, run.ledger.at.sequence[late]!]
      p.renumber(early, second)
      p.renumber(late, first)
      p.swap(early, late, ['grantedAt'])
    },
  },
  ...[GENERAL, ASSISTED].map(pool => ({
    fault: `granted from pool ${pool} to a request sent after sold_out`,
    caughtBy: 'I8-end',
    grow(p: Planting) {
      const { sent, answered } = p.run.history.at
      const after = firstSoldOut(p, pool) + 1 + below(p.dice, 1000)
      p.answersOf(p.evidence.poolRows[pool]!.at(-1)!, i => {
        sent[i] = Math.max(sent[i]!, after)
        answered[i] = Math.max(answered[i]!, sent[i]! + 100)
      })
    },
  })),
  {
    fault: 'granted after closed was answered',
    caughtBy: 'I8-end',
    grow(p) {
      const late = p.evidence.askedAt[p.acknowledged()]!
      p.refusal('closed', { user: p.absentee(), slot: 1, pool: GENERAL, sent: late - 101 })
    },
  },
  {
    fault: 'not_open after the opening',
    caughtBy: 'I8-open',
    grow: p =>
      p.refusal('not_open', {
        user: p.absentee(),
        slot: 1,
        pool: STAFF,
        sent: p.evidence.ackedAt[p.acknowledged()]! + 1,
      }),
  },
  ...(['sold_out', 'closed'] as const).map(code => ({
    fault: `${code} to a holder who asks again`,
    caughtBy: 'I10-holder',
    grow(p: Planting) {
      const row = p.acknowledged(GENERAL)
      const { user, slot } = p.run.ledger.at
      p.refusal(code, { user: user[row]!, slot: slot[row]!, pool: GENERAL, sent: p.end })
    },
  })),
  {
    fault: 'sold_out to a holder whose answer was lost',
    caughtBy: 'I10-holder',
    grow(p) {
      const row = p.unacknowledged()
      const { user, slot, pool } = p.run.ledger.at
      p.refusal('sold_out', { user: user[row]!, slot: slot[row]!, pool: pool[row]!, sent: p.end })
    },
  },
  {
    fault: 'a clock that went back',
    caughtBy: 'I12-clock',
    grow({ dice, run: { ledger } }) {
      const row = 1 + below(dice, ledger.length - 1)
      ledger.at.grantedAt[row] = ledger.at.grantedAt[row - 1]! - 1
    },
  },
]

export const FRAME_PLANTS: readonly Plant[] = [
  {
    fault: 'a version that went back',
    caughtBy: 'I6-version',
    grow(p) {
      const { epoch, version } = p.run.frames.at
      const { i, before } = p.frame((i, before) => epoch[i] === epoch[before] && version[before]! > 1)
      version[i] = version[before]! - 1
    },
  },
  {
    fault: 'an epoch that came back',
    caughtBy: 'I6-version',
    grow(p) {
      const { epoch } = p.run.frames.at
      const { i } = p.frame((i, before) => epoch[i] === epoch[before] && epoch[i] !== epoch[0])
      epoch[i] = epoch[0]!
    },
  },
  {
    fault: 'remaining rose without new stock',
    caughtBy: 'I6-stock',
    grow(p) {
      const { at } = p.run.frames
      const { i, before } = p.frame((i, before) => at.epoch[i] === at.epoch[before] && at.granted[before]! > 0)
      at.granted[i] = at.granted[before]! - 1
      at.remaining[i] = at.total[i]! - at.granted[i]!
    },
  },
  {
    fault: 'a frame that does not add up',
    caughtBy: 'I6-stock',
    grow: p => p.run.frames.at.remaining[below(p.dice, p.run.frames.length)]!++,
  },
  {
    fault: 'a frame of a total that nobody ordered',
    caughtBy: 'I6-stock',
    grow(p) {
      const { at } = p.run.frames
      const i = p.run.frames.length - 1
      for (let other = 0; other <= i; other++) {
        if (at.version[other] !== at.version[i] || at.epoch[other] !== at.epoch[i]) continue
        at.total[other]! += 100
        at.remaining[other]! += 100
      }
    },
  },
  {
    fault: 'two viewers saw one version differently',
    caughtBy: 'I6-name',
    grow(p) {
      const { at } = p.run.frames
      const twin = (i: number): number => at.version.indexOf(at.version[i]!)
      const i = pick(
        p.dice,
        p.run.frames.length,
        i => twin(i) < i && at.epoch[twin(i)] === at.epoch[i] && at.remaining[i]! > 0,
      )
      at.granted[i]!++
      at.remaining[i]!--
    },
  },
]
