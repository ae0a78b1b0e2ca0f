/**
 * What a claim is answered besides its vouchers, over HTTP and over the stream alike: what a refusal says, and what an entry
 * gets. The vouchers of a grant are wire/claim-answer.ts.
 */
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { CODES } from '../../base/codes.ts'
import type { SingleAsk } from '../../campaign/round/asks.ts'
import type { Round } from '../../campaign/round/round.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { AnsweredRound } from '../../wire/claim-answer.ts'
import { retryAfter } from '../../wire/problem.ts'

/** Nobody knows when an operator opens a round; so a crowd asks seldom. */
const OPENS_BY_HAND_MS = 5000

/** As much of a round as the answer to a grant is made of. */
export const roundOfAnswer = ({ view }: Round): AnsweredRound => ({
  id: view.id,
  pools: view.config.pools,
  vouchers: view.vouchers,
})

/** The answer to an entry: the same whenever it is asked for. */
export const enteredAnswer = (receipt: Receipt) => ({ outcome: 'entered', receipt })

/** What a refusal says besides its code; `now` is Redis's clock, which a refusal by this worker itself did not ask. */
export function refusalFields(round: Round, { code, pool }: SingleAsk, now: number): Readonly<Record<string, unknown>> {
  const { notice } = round.view
  const retry = code === 'fenced' ? round.view.retryAfterS(pool) : undefined
  if (retry !== undefined) return { outcome: code, ...retryAfter(retry * 1000) }
  if (code !== 'not_open') return { outcome: code }
  const at = Math.round(Math.max(notice.at, now))
  return {
    outcome: code,
    opens_at: notice.opensAt > 0 ? rfc3339(notice.opensAt) : null,
    server_time: rfc3339(at),
    ...retryAfter(notice.opensAt > 0 ? Math.max(1, notice.opensAt - at) : OPENS_BY_HAND_MS),
  }
}

/** Claims of a round that cannot be read are answered, too. */
export function countUnread(metrics: Metrics, claims: number, cause: unknown): void {
  const code = cause instanceof Fault || cause instanceof Refusal ? cause.code : 'internal'
  metrics.refused(CODES[code].number, claims)
}
