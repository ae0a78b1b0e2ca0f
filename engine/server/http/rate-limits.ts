/**
 * Rates: token buckets by user, by address and by key, local to a worker. A bucket holds one second's worth, so a
 * burst of that size passes. The answer to a limited caller carries `RateLimit` and `RateLimit-Policy` (the IETF draft)
 * and `Retry-After`. Buckets are bounded: the oldest is forgotten, which only ever gives somebody a full one.
 *
 * Voucher codes that do not exist have a bucket of their own, by caller, keys included: a till mistypes now and then, a
 * guesser does nothing else. Only a wrong code takes from it, so a busy platform is never limited by what it redeems.
 */

import { networkOf } from '../../auth/addresses.ts'
import type { Caller } from '../../auth/callers.ts'
import type { Clock } from '../../base/clock.ts'
import { RATE_BUCKETS_MAX } from '../../base/limits.ts'
import type { Rates } from '../../campaign/voucher/controls.ts'
import type { Headers } from '../uws/exchange.ts'

interface Bucket {
  left: number
  at: number
}

export interface RateVerdict {
  readonly allowed: boolean
  /** Refused because this worker stood still and the rate may be another one by now. */
  readonly late?: true
  readonly headers: Headers
}

const guesses = ({ id }: Caller): string => `code:${id}`

const FREE: RateVerdict = { allowed: true, headers: [] }
const LATE: RateVerdict = { allowed: false, late: true, headers: [] }

export class RateLimits {
  #rates: Rates
  readonly #clock: Clock
  readonly #wrongCodes: number
  readonly #isLate: (now: number) => boolean
  readonly #buckets = new Map<string, Bucket>()

  /**
   * `wrongCodes` is how many codes that do not exist a caller may ask for in a second; 0 is no limit. `isLate` says whether rates
   * may be older than an operator's answer at a monotonic moment (controls.ts): who has none may have one by then.
   */
  constructor(rates: Rates, clock: Clock, wrongCodes = 0, isLate: (now: number) => boolean = () => false) {
    this.#rates = rates
    this.#clock = clock
    this.#wrongCodes = wrongCodes
    this.#isLate = isLate
  }

  /** Other rates from now on. What is in a bucket above its new size is forgotten at its next request. */
  apply(rates: Rates): void {
    this.#rates = rates
  }

  /** Counts one request of a caller; `address` is asked for only where it matters. */
  take(caller: Caller, address: () => string): RateVerdict {
    const now = this.#now()
    if (this.#isLate(now)) return LATE
    const { user, address: network, key } = this.#rates
    if (caller.role === 'user') return this.#take(caller.id, user, now)
    if (caller.role !== 'anonymous') return this.#take(caller.id, key, now)
    return network === 0 ? FREE : this.#take(`address:${networkOf(address())}`, network, now)
  }

  /** Whether a caller may ask for a code: not while they have asked for too many that do not exist. */
  mayGuess(caller: Caller): boolean {
    return this.#wrongCodes === 0 || this.#filled(guesses(caller), this.#wrongCodes, this.#now()).left >= 1
  }

  /** Counts a code that does not exist. */
  guessed(caller: Caller): void {
    if (this.#wrongCodes > 0) this.#filled(guesses(caller), this.#wrongCodes, this.#now()).left--
  }

  #take(name: string, rate: number, now: number): RateVerdict {
    if (rate === 0) return FREE
    const bucket = this.#filled(name, rate, now)
    const allowed = bucket.left >= 1
    if (allowed) bucket.left--
    return { allowed, headers: headersOf(rate, bucket.left, allowed) }
  }

  /** A bucket with what time has given back. */
  #filled(name: string, rate: number, now: number): Bucket {
    const bucket = this.#buckets.get(name) ?? this.#fresh(name, rate, now)
    bucket.left = Math.min(rate, bucket.left + ((now - bucket.at) * rate) / 1000)
    bucket.at = now
    return bucket
  }

  #now(): number {
    return this.#clock.monotonicMs()
  }

  #fresh(name: string, rate: number, now: number): Bucket {
    if (this.#buckets.size >= RATE_BUCKETS_MAX) this.#buckets.delete(this.#buckets.keys().next().value as string)
    const bucket = { left: rate, at: now }
    this.#buckets.set(name, bucket)
    return bucket
  }
}

function headersOf(rate: number, left: number, allowed: boolean): Headers {
  const standard: Headers = [
    ['RateLimit-Policy', `"default";q=${rate};w=1`],
    ['RateLimit', `"default";r=${Math.floor(left)};t=1`],
  ]
  return allowed ? standard : [...standard, ['Retry-After', '1']]
}
