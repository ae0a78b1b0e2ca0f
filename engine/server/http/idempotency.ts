/**
 * The header Idempotency-Key, as every route reads it: what a key may be, whose it is, and how an answer says that it is a
 * repetition. What a key stands for is of the routes' rules: redemptions (campaign/voucher/redemption.ts) and operators' changes
 * (campaign/operator/requests.ts).
 */
import type { Caller } from '../../auth/callers.ts'
import { Refusal } from '../../base/assert.ts'
import { KEY_BYTES_MAX } from '../../base/limits.ts'
import type { Exchange, Headers } from '../uws/exchange.ts'

/** The header of an answer to a repetition. */
export const REPLAYED: Headers = [['Idempotent-Replayed', 'true']]

/** The key of a request; empty where it has none. Throws `invalid`. */
export function idempotencyKey({ idempotencyKey: key }: Exchange): string {
  if (key !== '' && (!/^[\x21-\x7e]+$/.test(key) || key.length > KEY_BYTES_MAX))
    throw new Refusal('invalid', `Idempotency-Key: 1..${KEY_BYTES_MAX} visible characters without spaces`)
  return key
}

/** Whose keys they are: a role's and scope's, whichever of its credentials is used. */
export const keysOwner = ({ role, merchant, via }: Caller): string => `${role} ${merchant ?? via ?? ''}`
