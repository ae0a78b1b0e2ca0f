/**
 * The lotteries that the battery is tried on: honest ones, which must pass, and unfair ones, which must not.
 *
 * Every lottery is one function from entrants, stock and a seed to winners. The honest one is the allocator under
 * test. An unfair one with weights holds a race: each entrant runs to -ln(u) / weight and the first K win (Efraimidis
 * and Spirakis 2006), so "5 % more" is exactly the chance of the next seat. The u come from the same AES scores.
 *
 * The injected biases are those that a real engine could have; `strength` scales those that are small, because a
 * short run has fewer winners and can see as much less: what it can see grows with the root of their number.
 */

import { createHash } from 'node:crypto'
import { drawAgain, scoresOf, TAG_BYTES } from '../../audit/draw.ts'
import type { Entrants } from './entrants.ts'

/** The allocator under replay: packed records of 17 bytes, the stock of the one pool and a seed, to places in the list. */
export type Allocate = (entries: Uint8Array, stock: number, seed: Uint8Array) => Uint32Array

export interface Draw {
  readonly entrants: Entrants
  readonly stock: number
  /** 32 bytes, fresh for every draw. */
  readonly seed: Buffer
  readonly strength: number
}

export type Lottery = (draw: Draw) => Uint32Array

export const secondImplementation: Allocate = (entries, stock, seed) => {
  const pools = [{ name: 'general', total: stock }]
  return drawAgain(entries, { stock, pools, quota_order: 'general-first', waitlist: 0 }, seed).winners
}

/** A sample says about where the bound lies, so that only what is below it needs sorting. */
function nthSmallest(keys: Float64Array, wanted: number): number {
  const sample = keys.filter((_, place) => place % 32 === 0).sort()
  const guess = sample[Math.min(sample.length - 1, Math.ceil((wanted / 32) * 1.2) + 16)]!
  const below = keys.filter(key => key <= guess).sort()
  return below.length >= wanted ? below[wanted - 1]! : keys.toSorted()[wanted - 1]!
}

/** The places of the `wanted` smallest keys; of equal keys the first ones. */
export function smallest(keys: Float64Array, wanted: number): Uint32Array {
  if (wanted >= keys.length) return Uint32Array.from(keys, (_, place) => place)
  const last = nthSmallest(keys, wanted)
  const chosen = new Uint32Array(wanted)
  let taken = 0
  for (const [place, key] of keys.entries()) if (key < last) chosen[taken++] = place
  for (let place = 0; taken < wanted; place++) if (keys[place] === last) chosen[taken++] = place
  return chosen
}

/** The first 32 bits of each entrant's score. */
function headsOf({ entrants, seed }: Draw): Float64Array {
  const scores = scoresOf(entrants.entries, seed)
  return Float64Array.from({ length: entrants.size }, (_, place) => scores.readUInt32BE(place * TAG_BYTES))
}

/** A race in which entrant i has `weightOf(i)` times the usual chance of the next seat. */
export const race =
  (weightOf: (draw: Draw) => (place: number) => number): Lottery =>
  draw => {
    const weight = weightOf(draw)
    const keys = headsOf(draw).map((head, place) => -Math.log((head + 0.5) / 2 ** 32) / weight(place))
    return smallest(keys, draw.stock)
  }

/** Seeds that only take `count` values. */
export const fewSeeds =
  (count: number): Lottery =>
  draw => {
    const seed = createHash('sha256')
      .update(`seed ${draw.seed.readUIntBE(0, 6) % count}`)
      .digest()
    return smallest(headsOf({ ...draw, seed }), draw.stock)
  }

/** Scores of so few bits that many tie, and ties go by arrival. */
const coarseScores: Lottery = draw => {
  const bits = 9 - Math.round(Math.log2(draw.strength))
  return smallest(
    headsOf(draw).map(head => Math.floor(head / 2 ** (32 - bits))),
    draw.stock,
  )
}

export interface Unfair {
  readonly name: string
  /** The test that is there to find it. */
  readonly foundBy: string
  readonly lottery: Lottery
}

export const BIASES: readonly Unfair[] = [
  {
    name: 'one shard of 16 has 5 % more',
    foundBy: 'B1',
    lottery: race(
      ({ entrants, strength }) =>
        place =>
          entrants.shard[place] === 3 ? 1 + 0.05 * strength : 1,
    ),
  },
  {
    name: '0.5 % more for each deviation of speed',
    foundBy: 'B3',
    lottery: race(
      ({ entrants, strength }) =>
        place =>
          1 - 0.005 * strength * entrants.latency[place]!,
    ),
  },
  {
    name: 'those of many requests have 2 % more',
    foundBy: 'B5',
    lottery: race(
      ({ entrants, strength }) =>
        place =>
          entrants.requests[place]! > 1 ? 1 + 0.02 * strength : 1,
    ),
  },
  { name: 'scores of 9 bits, ties by arrival', foundBy: 'B4', lottery: coarseScores },
  { name: '100 possible seeds', foundBy: 'B6', lottery: fewSeeds(100) },
]
