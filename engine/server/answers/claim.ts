/**
 * A claim over HTTP and over the stream alike: whose it is and from which pool, what a refusal says, and what an entry gets.
 * The vouchers of a grant are wire/claim-json.ts.
 *
 * A user token names its user; a body may repeat the name and nothing else. A token's cohort chooses the pool of that name
 * where the round has one.
 */
import { type Caller, may, reaches } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { CODES } from '../../base/codes.ts'
import type { ClaimRequest } from '../../campaign/round/asks.ts'
import { type Round, SingleAsk } from '../../campaign/round/round.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { Metrics } from '../../ops/metrics.ts'
import { retryAfter } from '../../wire/problem.ts'
import type { ClaimBody } from '../../wire/schemas.ts'

/** Nobody knows when an operator opens a round; so a crowd asks seldom. */
const OPENS_BY_HAND_MS = 5000

/** A claim to ask the round for, or why that may not be asked. */
export function askOf(
  round: Round,
  body: ClaimBody,
  caller: Caller,
  done: (ask: SingleAsk) => void,
): SingleAsk | Refusal {
  const userId = userOf(round, body, caller)
  if (userId instanceof Refusal) return userId
  const pool = poolOf(round, body.pool, caller)
  if (pool instanceof Refusal) return pool
  const ask = new SingleAsk(round, userId, pool, body, done)
  ask.via = caller.via
  return ask
}

/** The same for one of many claims. */
export function requestOf(round: Round, body: ClaimBody, caller: Caller): ClaimRequest | Refusal {
  const userId = userOf(round, body, caller)
  if (userId instanceof Refusal) return userId
  const pool = poolOf(round, body.pool, caller)
  const { slot, nonce, salt } = body
  return pool instanceof Refusal ? pool : { userId, slot, pool, nonce, salt }
}

/** Whose claim it is. */
function userOf(round: Round, body: ClaimBody, caller: Caller): string | Refusal {
  if (!reaches(caller, round.view.config.campaign_id)) return notThere(round)
  const userId = caller.user?.userId ?? body.user_id
  if (caller.user && body.user_id !== undefined && body.user_id !== userId)
    return new Refusal('forbidden', 'a user token claims for its own user only')
  if (!caller.user && !may(caller, 'claim-any'))
    return new Refusal('forbidden', `the role ${caller.role} may not claim`)
  return userId ?? new Refusal('invalid', 'user_id: a key must say for whom it claims')
}

/** What a key gets of a round of a campaign that it is not for. */
const notThere = ({ view }: Round) => new Refusal('not_found', `there is no round ${view.id}`)

/** The place of the pool that a claim may use. */
export function poolOf(round: Round, asked: string | undefined, caller: Caller): number | Refusal {
  const { pools, campaign_id: campaign } = round.view.config
  if (!reaches(caller, campaign)) return notThere(round)
  const cohort = caller.user?.cohort
  const own = cohort !== undefined && pools.includes(cohort) ? cohort : undefined
  if (caller.user && asked !== undefined && asked !== 'general' && asked !== own)
    return new Refusal('not_eligible', `this user's token is not for the pool ${asked}`)
  const place = pools.indexOf(asked ?? own ?? 'general')
  return place >= 0 ? place : new Refusal('invalid', `pool: this round has ${pools.join(', ')}`)
}

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
  metrics.answered(CODES[code].number, claims)
}
