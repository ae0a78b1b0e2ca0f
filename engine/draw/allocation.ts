/**
 * Who wins: the seed, and the walk up the scores that hands out seats. The engine's draw and the verifier are this.
 *
 *   seed = SHA-256("fairgrab/seed/v1" || rules hash || root || u64be(n) || beacon)
 *
 * Walking up the scores, "general-first" gives an entrant a seat of `general` while there is one, then one of their own
 * pool; "pool-first" asks their own pool first. Who finds none stands on the waitlist while that has places. The walk ends
 * when no entrant who is still to come could change anything. A cutoff is the score of the last seat given, so
 * everyone can compute their own result: score ≤ cutoff of general, or ≤ cutoff of their pool, is a seat.
 * No modulo, no floating point, nothing that depends on the order of the list. Rejected: drawing indexes from a
 * generator (Fisher and Yates), where a person's result depends on everybody's place in the list.
 */
import { HASH_BYTES, sha256, u64be } from './digest.ts'
import { poolAt } from './entry.ts'
import type { ScoreOrder } from './score-order.ts'

const SEED_DOMAIN = Buffer.from('fairgrab/seed/v1')
/** The place of the pool `general` in every list of pools. */
const GENERAL = 0
/** How often the walk asks whether it may end, in entries. */
const ASK_EVERY = 1024

export type QuotaOrder = 'general-first' | 'pool-first'

/** What the seed is made of: two hashes of 32 bytes, the number of entries, the beacon's bytes. */
export interface SeedParts {
  readonly rulesHash: Uint8Array
  readonly root: Uint8Array
  readonly n: number
  readonly beacon: Uint8Array
}

/** The seed of a draw: 32 bytes. */
export function seedOf({ rulesHash, root, n, beacon }: SeedParts): Buffer {
  if (rulesHash.length !== HASH_BYTES || root.length !== HASH_BYTES) throw new RangeError('a hash has 32 bytes')
  return sha256(SEED_DOMAIN, rulesHash, root, u64be(n), beacon)
}

/** The part of the rules that decides a draw; `pools[0]` is general. */
export interface Quotas {
  readonly pools: readonly { readonly name: string; readonly total: number }[]
  readonly quota_order: QuotaOrder
  readonly waitlist: number
}

/** A draw's result as indexes of entries, each list by rising score. */
export interface Allocation {
  readonly winners: Uint32Array
  /** Place of the pool whose seat each winner has. */
  readonly seats: Uint8Array
  readonly waitlist: Uint32Array
  /** What is left of each pool, by its place. */
  readonly left: readonly number[]
}

interface Hall {
  readonly order: QuotaOrder
  /** Seats left, by pool. */
  readonly left: number[]
  /** Entrants still to come, by pool. */
  readonly coming: number[]
}

/** The pool that gives an entrant a seat, or -1. */
function seatFor({ order, left }: Hall, own: number): number {
  const first = order === 'general-first' ? GENERAL : own
  const second = order === 'general-first' ? own : GENERAL
  if ((left[first] as number) > 0) return first
  return (left[second] as number) > 0 ? second : -1
}

/** Whether somebody who is still to come could have a seat. */
function seatsMatter({ left, coming }: Hall): boolean {
  const anybody = coming.some(count => count > 0)
  return left.some((seats, pool) => seats > 0 && (pool === GENERAL ? anybody : (coming[pool] as number) > 0))
}

/** Each entrant's pool in a row of its own, since the walk jumps about in it, and how many entrants a pool has. */
function poolsOf(entries: Uint8Array, n: number, pools: number) {
  const own = new Uint8Array(n)
  const counts = new Array<number>(256).fill(0)
  for (let i = 0; i < n; i++) {
    const pool = poolAt(entries, i)
    own[i] = pool
    counts[pool]!++
  }
  const stranger = counts.findIndex((count, pool) => count > 0 && pool >= pools)
  if (stranger >= 0) throw new RangeError(`an entry names pool ${stranger}, and the rules have ${pools} pools`)
  return { own, counts: counts.slice(0, pools) }
}

/**
 * Hands out the seats. `order` is the order of `entries` under the seed.
 * Throws RangeError when an entry names a pool that the rules do not have.
 */
export function allocate(order: ScoreOrder, entries: Uint8Array, { pools, quota_order, waitlist }: Quotas): Allocation {
  const { own, counts } = poolsOf(entries, order.count, pools.length)
  const hall: Hall = { order: quota_order, left: pools.map(({ total }) => total), coming: counts }
  const stock = hall.left.reduce((sum, total) => sum + total, 0)
  const winners = new Uint32Array(Math.min(stock, order.count))
  const seats = new Uint8Array(winners.length)
  const waiting = new Uint32Array(Math.min(waitlist, order.count))
  let won = 0
  let waits = 0
  let walked = 0
  if (winners.length + waiting.length > 0)
    order.walk(index => {
      const pool = own[index] as number
      hall.coming[pool]!--
      const seat = seatFor(hall, pool)
      if (seat >= 0) {
        hall.left[seat]!--
        winners[won] = index
        seats[won++] = seat
      } else if (waits < waiting.length) waiting[waits++] = index
      return ++walked % ASK_EVERY !== 0 || waits < waiting.length || seatsMatter(hall)
    })
  return {
    winners: winners.subarray(0, won),
    seats: seats.subarray(0, won),
    waitlist: waiting.subarray(0, waits),
    left: hall.left,
  }
}

/** The cutoff of a list that did not fill: every score is at or below it. */
export const OPEN_CUTOFF = 'f'.repeat(32)
/** Where the cutoffs say how far the waitlist goes; no pool may have this name. */
export const WAITLIST = 'waitlist'

/** By pool name the score up to which its seats went; null for a pool without seats. */
export type Cutoffs = Readonly<Record<string, string | null>>

/**
 * The cutoffs of an allocation, in hexadecimal: the last score that took a seat of a pool, 32 times "f" where seats
 * are left, null where there were none; the same of the waitlist under "waitlist" when the rules have one.
 */
export function cutoffsOf(order: ScoreOrder, quotas: Quotas, allocation: Allocation): Cutoffs {
  const { winners, seats, waitlist, left } = allocation
  const last = new Array<number>(quotas.pools.length).fill(-1)
  for (let i = 0; i < seats.length; i++) last[seats[i] as number] = winners[i] as number
  const rows = quotas.pools.map(({ name, total }, pool): readonly [string, string | null] => {
    if (total === 0) return [name, null]
    return [name, left[pool] === 0 ? order.scoreAt(last[pool] as number) : OPEN_CUTOFF]
  })
  if (quotas.waitlist > 0) {
    const end = waitlist.at(-1)
    const full = end !== undefined && waitlist.length === quotas.waitlist
    rows.push([WAITLIST, full ? order.scoreAt(end) : OPEN_CUTOFF])
  }
  return Object.fromEntries(rows)
}

/** What a score means to somebody of a pool: a seat of the pool named, a place on the waitlist, or nothing. */
export function standingOf(score: string, pool: string, { cutoffs, quotaOrder }: Standing): string | undefined {
  const general = 'general'
  const order = quotaOrder === 'general-first' ? [general, pool, WAITLIST] : [pool, general, WAITLIST]
  return order.find(name => {
    const cutoff = cutoffs[name]
    return typeof cutoff === 'string' && score <= cutoff
  })
}

interface Standing {
  readonly cutoffs: Cutoffs
  readonly quotaOrder: QuotaOrder
}
