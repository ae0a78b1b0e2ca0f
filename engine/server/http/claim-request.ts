/**
 * Whose claim it is, and from which pool. A user token names its user; a body may repeat the name and nothing else.
 * A token's cohort chooses the pool of that name where the round has one.
 */
import { type Caller, may } from '../../auth/callers.ts'
import type { Code } from '../../base/codes.ts'
import type { ClaimRequest } from '../../campaign/round/asks.ts'
import type { Round } from '../../campaign/round/round.ts'

export interface NamedClaim {
  readonly user_id?: string | undefined
  readonly pool?: string | undefined
  readonly slot: number
  readonly nonce?: string | undefined
  readonly salt?: string | undefined
}

export interface RefusedClaim {
  readonly code: Code
  readonly detail: string
}

export function claimRequest(round: Round, body: NamedClaim, caller: Caller): ClaimRequest | RefusedClaim {
  const userId = caller.user?.userId ?? body.user_id
  if (caller.user && body.user_id !== undefined && body.user_id !== userId)
    return { code: 'forbidden', detail: 'a user token claims for its own user only' }
  if (!caller.user && !may(caller, 'claim-any'))
    return { code: 'forbidden', detail: `the role ${caller.role} may not claim` }
  if (userId === undefined) return { code: 'invalid', detail: 'user_id: a key must say for whom it claims' }
  const pool = poolOf(round, body.pool, caller)
  const { slot, nonce, salt } = body
  return typeof pool === 'number' ? { userId, slot, pool, nonce, salt } : pool
}

/** The place of the pool that a claim may use. */
export function poolOf(round: Round, asked: string | undefined, caller: Caller): number | RefusedClaim {
  const { pools } = round.view.config
  const cohort = caller.user?.cohort
  const own = cohort !== undefined && pools.includes(cohort) ? cohort : undefined
  if (caller.user && asked !== undefined && asked !== 'general' && asked !== own)
    return { code: 'not_eligible', detail: `this user's token is not for the pool ${asked}` }
  const place = pools.indexOf(asked ?? own ?? 'general')
  return place >= 0 ? place : { code: 'invalid', detail: `pool: this round has ${pools.join(', ')}` }
}
