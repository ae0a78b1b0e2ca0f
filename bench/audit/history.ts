/**
 * The clients' record: one row for each request that a load generator sent, answered or not.
 *
 * A row says who asked (user, slot, pool), what he was told (outcome, sequence, a hash of the vouchers) and between
 * which two moments the engine decided it (sent, answered). Times are microseconds of the machine's monotonic clock
 * (`process.hrtime`), which all processes of one machine share; the wall clock may jump and is not used. A request
 * without an answer is a row too, with outcome NO_ANSWER and answered = Infinity: it may have been executed. The
 * pool is the one that the claim named, or the one that its answer names. Claims of one batch request share sent,
 * answered and connection, which is how the audit knows that a repeat inside a batch is the same answer. For an entry of
 * a drawn round `vouchers` is the first four bytes of its receipt's tag.
 *
 * What an outcome lets a client conclude is read from the outcome table, never listed again here.
 */
import { CODES, codeOf } from '../../engine/base/codes.ts'
import { Columns, fingerprint, type Row } from './columns.ts'

/** No answer came: the connection broke or the run ended. */
export const NO_ANSWER = 255

/** An entry of a drawn round was taken: whether it becomes a grant is not known yet. */
export const ENTERED = CODES.entered.number

/** What an outcome says about the claim. */
export const GRANT = 1
export const REFUSAL = 2
export const PERHAPS = 3

const MEANING = {
  yes: () => GRANT,
  no: () => REFUSAL,
  maybe: () => PERHAPS,
}

/** By outcome number: GRANT, REFUSAL, PERHAPS, or 0 for a number that is not in the table. */
export const MEANINGS = Uint8Array.from({ length: 256 }, (_, number) => {
  const code = codeOf(number)
  if (number === NO_ANSWER || number === ENTERED) return PERHAPS
  return code === undefined ? 0 : MEANING[CODES[code].executed]()
})

const SHAPE = {
  sent: 'f64',
  answered: 'f64',
  user: 'u32',
  sequence: 'u32',
  vouchers: 'u32',
  connection: 'u16',
  slot: 'u8',
  pool: 'u8',
  outcome: 'u8',
} as const

export type Answer = Row<typeof SHAPE>

export class History extends Columns<typeof SHAPE> {
  constructor(capacity?: number) {
    super(SHAPE, capacity)
  }

  push(answer: Answer): void {
    const place = this.next()
    const { at } = this
    at.sent[place] = answer.sent
    at.answered[place] = answer.answered
    at.user[place] = answer.user
    at.sequence[place] = answer.sequence
    at.vouchers[place] = answer.vouchers
    at.connection[place] = answer.connection
    at.slot[place] = answer.slot
    at.pool[place] = answer.pool
    at.outcome[place] = answer.outcome
  }
}

/** The 32 bits that stand for an answer's vouchers and moment of granting; never 0, which means "not seen". */
export function voucherHash(codes: readonly string[], grantedAt: string): number {
  let hash = fingerprint(grantedAt)
  for (const code of codes) hash = fingerprint(code, hash ^ 0x2c)
  return hash || 1
}
