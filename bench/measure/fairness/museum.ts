/**
 * A museum of lotteries that failed, each played again: the battery has to fail every one, and on the right test.
 *
 * The 2012 US visa lottery picked nine of ten winners from two of its thirty days (the State Department voided it). In
 * Wuhan in 2009 six of 124 winners of flats, drawn from 5,141, had consecutive numbers. Number-plate lotteries of
 * Chinese cities draw a seed of six digits, so that a season has a million possible results. The others are engines'
 * habits: a chance for every request, stock split over shards beforehand, and load shed request by request, where a bot
 * of fifty requests gets through 92 times of 100 and a person 5.
 *
 * Each exhibit has a size of its own, the smallest at which its fault is beyond doubt.
 */

import { Random } from '../../people/random.ts'
import { SHARDS } from './entrants.ts'
import { type Draw, type Lottery, race, smallest, type Unfair } from './lotteries.ts'

export interface Exhibit extends Unfair {
  readonly entrants: number
  readonly stock: number
  readonly draws: number
}

const randomOf = ({ seed }: Draw): Random => new Random(seed.readUInt32LE(0), seed.readUInt32LE(4))

/** Random keys; `better` entrants come before all others. */
function preferring(draw: Draw, better: (place: number, random: Random) => boolean): Float64Array {
  const random = randomOf(draw)
  return Float64Array.from(
    { length: draw.entrants.size },
    (_, place) => random.uniform() + (better(place, random) ? 0 : 1),
  )
}

/** A season of small draws, each from one of a million seeds; the winners are picked one by one. */
const sixDigits: Lottery = ({ entrants, stock, seed }) => {
  const random = new Random(seed.readUIntBE(0, 6) % 1_000_000)
  const chosen = new Set<number>()
  while (chosen.size < stock) chosen.add(Math.floor(random.uniform() * entrants.size))
  return Uint32Array.from(chosen)
}

/** Thirty days of equal crowds; a winner is of the first two with p .9. */
const visaLottery: Lottery = draw => {
  const early = (place: number): boolean => place < (draw.entrants.size * 2) / 30
  const weight = (0.9 / 0.1) * (28 / 2)
  return race(() => place => (early(place) ? weight : 1))(draw)
}

/** A block of six neighbours wins, the other seats are drawn. */
const wuhan: Lottery = draw => {
  const first = Math.floor(randomOf(draw).uniform() * (draw.entrants.size - 6))
  return smallest(
    preferring(draw, place => place >= first && place < first + 6),
    draw.stock,
  )
}

/** An equal part of the stock for every shard, however many people it has. */
const staticSplit: Lottery = draw => {
  const random = randomOf(draw)
  const people: number[][] = Array.from({ length: SHARDS }, () => [])
  for (const [place, shard] of draw.entrants.shard.entries()) people[shard]!.push(place)
  const winners = people.map(places => {
    const chosen = smallest(
      Float64Array.from(places, () => random.uniform()),
      Math.floor(draw.stock / SHARDS),
    )
    return [...chosen].map(place => places[place]!)
  })
  return Uint32Array.from(winners.flat())
}

/** Each request survives with p .05; whoever has one that did takes part. */
const perRequestShedding: Lottery = draw =>
  smallest(
    preferring(draw, (place, random) => random.uniform() < 1 - 0.95 ** draw.entrants.requests[place]!),
    draw.stock,
  )

const ticketPerRequest = race(
  ({ entrants }) =>
    place =>
      entrants.requests[place]!,
)

export const MUSEUM: readonly Exhibit[] = [
  { name: 'visa lottery 2012: days', foundBy: 'B2', lottery: visaLottery, entrants: 20_000, stock: 200, draws: 20 },
  { name: 'a ticket a request', foundBy: 'B5', lottery: ticketPerRequest, entrants: 20_000, stock: 200, draws: 20 },
  { name: 'six-digit seeds', foundBy: 'B6', lottery: sixDigits, entrants: 200_000, stock: 20, draws: 40_000 },
  { name: 'Wuhan 2009: runs', foundBy: 'B7', lottery: wuhan, entrants: 5141, stock: 124, draws: 30 },
  {
    name: 'stock split over 16 shards',
    foundBy: 'B1',
    lottery: staticSplit,
    entrants: 20_000,
    stock: 2000,
    draws: 400,
  },
  {
    name: 'requests shed one by one',
    foundBy: 'B5',
    lottery: perRequestShedding,
    entrants: 20_000,
    stock: 200,
    draws: 20,
  },
]
