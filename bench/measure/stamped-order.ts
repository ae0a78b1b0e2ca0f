/**
 * How far first come, first served was kept, by the engine's own stamps: what its workers recorded of every decided claim
 * (FAIRGRAB_ARRIVALS, 16 bytes each), put together over all workers.
 *
 * Overtaking of a grant is how much later than its own stamp somebody arrived who was served before it; an inversion is a
 * grant whose predecessor by sequence has a later stamp. Rightful winners are the first K to arrive, where K were granted
 * in a pool, an unjust loss is one of them who was sold out. A claim that was asked again counts once for each decision, so
 * the counts are of claims, not of people. fairness/arrival-order.ts says the same as clients see it.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CODES } from '../../engine/base/codes.ts'
import { Latency } from './latency.ts'

const RECORD_BYTES = 16

export interface Stamped {
  /** Microseconds since 1970. */
  readonly stamp: number
  /** 0: none. */
  readonly sequence: number
  readonly outcome: number
  readonly pool: number
}

export interface StampedOrder {
  readonly granted: number
  readonly inversions: number
  readonly unjust: number
  /** Microseconds, over all grants. */
  readonly overtaking: Latency
}

/** Every file of a folder that workers wrote; one round. */
export function readStamped(folder: string): Stamped[] {
  return readdirSync(folder).flatMap(name => {
    const bytes = readFileSync(join(folder, name))
    return Array.from({ length: Math.floor(bytes.length / RECORD_BYTES) }, (_, i) => {
      const at = i * RECORD_BYTES
      return {
        stamp: bytes.readDoubleBE(at),
        sequence: bytes.readUInt32BE(at + 8),
        outcome: bytes[at + 12] as number,
        pool: bytes[at + 13] as number,
      }
    })
  })
}

function unjustIn(claims: readonly Stamped[]): number {
  const rivals = claims.filter(({ outcome }) => outcome === CODES.granted.number || outcome === CODES.sold_out.number)
  const granted = rivals.filter(({ outcome }) => outcome === CODES.granted.number).length
  // Of one stamp, who was granted counts as the first: a tie harms nobody's turn.
  const byArrival = rivals.toSorted((a, b) => a.stamp - b.stamp || a.outcome - b.outcome)
  return byArrival.slice(0, granted).filter(({ outcome }) => outcome !== CODES.granted.number).length
}

export function stampedOrderOf(claims: readonly Stamped[]): StampedOrder {
  const grants = claims.filter(({ outcome }) => outcome === CODES.granted.number)
  const overtaking = new Latency()
  let inversions = 0
  let latest = 0
  let last = 0
  for (const { stamp } of grants.toSorted((a, b) => a.sequence - b.sequence)) {
    overtaking.record(Math.max(0, latest - stamp))
    if (stamp < last) inversions++
    last = stamp
    latest = Math.max(latest, stamp)
  }
  const pools = Map.groupBy(claims, ({ pool }) => pool)
  const unjust = [...pools.values()].reduce((sum, pool) => sum + unjustIn(pool), 0)
  return { granted: grants.length, inversions, unjust, overtaking }
}
