/**
 * What a window does to bots: a simulated release, its stock allotted by arrival and by windows of several lengths.
 *
 * One account in a hundred is a bot that sends fifty requests in the first twenty milliseconds; people react log-normally
 * (median 0.9 s, deviation 0.6 of the logarithm: an assumption, not a measurement). Stock is one pack for a hundred
 * accounts. Between windows order is arrival, inside a window it is drawn, one entry a user, and what a window leaves goes to the next;
 * a window of length 0 is first come, first served.
 *
 * Beside each simulated share stands its closed form where one window takes all the stock: bots are then b of the
 * b + (1 - b) F(w) who are in time. A simulation alone could be wrong in the same way twice; the two check each other.
 */

import { Random } from '../../people/random.ts'
import { normalTwoSided } from './tails.ts'

export const DEMAND = { bots: 0.01, stock: 0.01, medianS: 0.9, sigma: 0.6, botsWithinS: 0.02, requests: 50 } as const
export const WINDOWS_S = [0, 0.1, 0.5, 1, 2, 3] as const

export interface WindowShare {
  readonly windowS: number
  /** The bots' share of the winners. */
  readonly share: number
  /** Their share of the winners over their share of the accounts. */
  readonly times: number
  /** A bot's odds of winning over a person's. */
  readonly odds: number
  /** `times` by the closed form. */
  readonly expected: number
  /** The standard deviation of `times` from one draw to the next. */
  readonly deviation: number
}

/** The share of people who have reacted within `seconds`. */
function reactedWithin(seconds: number): number {
  if (seconds <= 0) return 0
  const z = Math.log(seconds / DEMAND.medianS) / DEMAND.sigma
  const tail = normalTwoSided(z) / 2
  return z < 0 ? tail : 1 - tail
}

function closedForm(windowS: number): number {
  const inTime = DEMAND.bots + (1 - DEMAND.bots) * reactedWithin(windowS)
  const botsFirst = Math.min(1, DEMAND.bots / DEMAND.stock) / DEMAND.bots
  return windowS <= DEMAND.botsWithinS || inTime <= DEMAND.stock ? botsFirst : 1 / inTime
}

/** Who wins when the entrants of each window, in turn, are put in random order. */
function botsAmongWinners(arrivalS: Float64Array, bots: number, windowS: number, random: Random): number {
  const stock = Math.round(arrivalS.length * DEMAND.stock)
  const window = (place: number) => (windowS === 0 ? arrivalS[place]! : Math.floor(arrivalS[place]! / windowS))
  const lots = Float64Array.from(arrivalS, () => random.uniform())
  const order = Uint32Array.from(arrivalS, (_, place) => place)
  order.sort((a, b) => window(a) - window(b) || lots[a]! - lots[b]!)
  return order.subarray(0, stock).reduce((sum, place) => sum + (place < bots ? 1 : 0), 0)
}

export function simulateDemand(people: number, seed: number): WindowShare[] {
  const bots = Math.round(people * DEMAND.bots)
  return WINDOWS_S.map((windowS, place) => {
    const random = new Random(seed, place)
    const arrivalS = Float64Array.from({ length: people }, (_, person) =>
      person < bots ? random.between(0, DEMAND.botsWithinS) : random.logNormal(DEMAND.medianS, DEMAND.sigma),
    )
    const winners = Math.round(people * DEMAND.stock)
    const won = botsAmongWinners(arrivalS, bots, windowS, random)
    const share = won / winners
    const odds = (won * (people - bots - winners + won)) / ((bots - won) * (winners - won))
    const expected = closedForm(windowS)
    const chance = Math.min(1, expected * DEMAND.bots)
    const deviation = Math.sqrt((chance * (1 - chance)) / winners) / DEMAND.bots
    return { windowS, share, times: share / DEMAND.bots, odds, expected, deviation }
  })
}
