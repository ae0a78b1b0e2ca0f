/**
 * What may be answered to a request that went out on two connections. The bytes on the first may be executed after the
 * answer that came on the second: what was done stays done then, but a refusal may be overtaken, by a round that has
 * resumed meanwhile, a lock that has ended, a limit that was lifted. So it is answered as `unknown`, and asked again it is
 * decided. Every store that refuses asks here.
 */
import { Fault } from '../../base/assert.ts'
import { CODES, type Code } from '../../base/codes.ts'
import type { Sent } from './link.ts'

type Again = Partial<Pick<Sent, 'again'>>

/** Outcomes that hold whatever is executed after them. */
const LASTING: ReadonlySet<number> = new Set(
  (['granted', 'replayed', 'entered', 'closed', 'expired', 'idempotency_mismatch'] as const).map(
    code => CODES[code].number,
  ),
)

/** The outcome number that may be answered. */
export const certain = ({ again }: Again, outcome: number): number =>
  again && !LASTING.has(outcome) ? CODES.unknown.number : outcome

/** Throws Fault `unknown` for a refusal that an earlier copy of the same request may still contradict. */
export function assertCertain({ again }: Again, code: Code, what: string): void {
  if (again && !LASTING.has(CODES[code].number))
    throw new Fault('unknown', `${what}: an earlier try of this may still be executed; look and ask again`)
}
