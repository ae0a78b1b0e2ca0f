/**
 * The fairness of one whole run: who won how often, by every group that clients can see, and the battery where it applies.
 *
 * Rates are of people, not of requests, with Wilson's interval of 95 %. In a drawn round every group should win alike,
 * so the battery judges it, window by window, and its tally goes into the result: several runs can be pooled later. First come, first
 * served prefers early arrivals by design; it gets no battery, but unjust losses and overtaking.
 *
 * A whole run has few winners against a replay's millions, so it sees large effects of the pipeline and no small ones.
 */

import type { History } from '../../audit/history.ts'
import type { Ledger } from '../../audit/ledger.ts'
import { type ArrivalOrder, arrivalOrderOf } from './arrival-order.ts'
import { judge, type TestResult } from './battery.ts'
import { type Crowd, crowdBetween, crowdOf } from './crowd.ts'
import { byRequests } from './entrants.ts'
import {
  addTally,
  arrivalDeciles,
  type Cohorts,
  Observer,
  type Population,
  standardRanks,
  type Tally,
} from './tally.ts'

const Z95 = 1.959964

export interface Rate {
  readonly of: string
  readonly label: string
  readonly people: number
  readonly won: number
  readonly rate: number
  readonly low: number
  readonly high: number
}

export interface Odds {
  readonly of: string
  readonly ratio: number
  readonly low: number
  readonly high: number
}

export interface RunFairness {
  readonly claim: 'one whole run'
  readonly mode: 'fcfs' | 'drawn'
  readonly competitors: number
  readonly winners: number
  readonly rates: readonly Rate[]
  readonly odds: readonly Odds[]
  /** fcfs only. */
  readonly order?: ArrivalOrder
  /** Drawn rounds only. */
  readonly tests?: readonly TestResult[]
  readonly tally?: Tally
}

export interface RunRecord {
  readonly history: History
  readonly ledger: Ledger
  readonly people: number
  /** The people with the highest indexes are bots. */
  readonly bots: number
  /** By window of a drawn round: how many entered; undefined for fcfs. */
  readonly windows: readonly number[] | undefined
}

export function rateOf(of: string, label: string, people: number, won: number): Rate {
  const rate = people === 0 ? 0 : won / people
  const square = Z95 * Z95
  const middle = (won + square / 2) / (people + square)
  const reach = (Z95 * Math.sqrt(people * rate * (1 - rate) + square / 4)) / (people + square)
  return { of, label, people, won, rate, low: Math.max(0, middle - reach), high: Math.min(1, middle + reach) }
}

/** The odds of winning of the second row over the first, half a person added to each cell (Haldane). */
export function oddsOf(of: string, first: Rate, second: Rate): Odds {
  const cells = [second.won, first.people - first.won, second.people - second.won, first.won].map(count => count + 0.5)
  const [a, b, c, d] = cells as [number, number, number, number]
  const ratio = (a * b) / (c * d)
  const reach = Math.exp(Z95 * Math.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
  return { of, ratio, low: ratio / reach, high: ratio * reach }
}

function latencyClasses(latencyUs: Float64Array): Cohorts {
  const ranks = standardRanks(latencyUs)
  const quarter = Math.sqrt(3) / 2
  const of = Uint16Array.from(ranks, rank => Math.min(3, Math.max(0, Math.floor(rank / quarter + 2))))
  return { name: 'latency class', of, labels: ['fastest quarter', 'second', 'third', 'slowest quarter'] }
}

/**
 * What the battery looks at, and the latency classes that only rates are shown of. An entry is answered before the draw, so
 * its latency is known before the outcome. First come, first served has no such class: there the answer is the outcome,
 * and a refusal needs no disk, so whoever lost would seem fast.
 */
function populationOf(crowd: Crowd, firstBot: number, connections: number, drawn: boolean): Population {
  const labels = Array.from({ length: connections }, (_, number) => `connection ${number}`)
  const account = Uint16Array.from(crowd.user, user => (user >= firstBot ? 1 : 0))
  return {
    size: crowd.user.length,
    cohorts: [
      { name: 'account', of: account, labels: ['person', 'bot'] },
      byRequests(crowd.requests),
      arrivalDeciles(crowd.user.length),
      ...(drawn ? [latencyClasses(crowd.latencyUs)] : []),
      { name: 'connection', of: crowd.connection, labels },
    ],
    slopes: { latency: standardRanks(crowd.latencyUs), arrival: standardRanks(crowd.arrivedUs) },
  }
}

function ratesOf({ cohorts }: Population, { won }: Crowd): Rate[] {
  return cohorts.flatMap(({ name, of, labels }) => {
    const people = labels.map(() => 0)
    const wins = labels.map(() => 0)
    for (const [place, cohort] of of.entries()) {
      people[cohort]!++
      wins[cohort]! += won[place]!
    }
    return labels
      .map((label, cohort) => rateOf(name, label, people[cohort]!, wins[cohort]!))
      .filter(rate => rate.people > 0)
  })
}

/** One observer a window: inside a window the draw is uniform, between windows it is not meant to be. */
function tallyOf(crowd: Crowd, windows: readonly number[], firstBot: number, connections: number): Tally {
  let start = 0
  const tallies = windows.map((entrants, window) => {
    const end = window === windows.length - 1 ? crowd.user.length : Math.min(crowd.user.length, start + entrants)
    const part = crowdBetween(crowd, start, end)
    start = end
    const observer = new Observer(populationOf(part, firstBot, connections, true))
    if (part.user.length > 0) observer.add(Uint32Array.from(part.won.keys()).filter(place => part.won[place] === 1))
    const { cells, ...tally } = observer.tally
    const used = Object.entries(cells).map(
      ([name, group]) => [name, group.filter(({ expected }) => expected > 0)] as const,
    )
    return { ...tally, cells: Object.fromEntries(used), wins: undefined }
  })
  const [sum, ...rest] = tallies
  if (sum === undefined) throw new Error('a drawn round without a window')
  for (const tally of rest) addTally(sum, tally)
  return sum
}

export function runFairness({ history, ledger, people, bots, windows }: RunRecord): RunFairness {
  const drawn = windows !== undefined
  const holders = ledger.at.user.subarray(0, ledger.length)
  const crowd = crowdOf(history, holders, { people, drawn })
  const connections = crowd.connection.reduce((most, number) => Math.max(most, number + 1), 0)
  const rates = ratesOf(populationOf(crowd, people - bots, connections, drawn), crowd)
  const pair = (of: string, first: string, second: string): Odds[] => {
    const [one, other] = [first, second].map(label => rates.find(rate => rate.of === of && rate.label === label))
    return one === undefined || other === undefined ? [] : [oddsOf(`${second} against ${first}`, one, other)]
  }
  const result: RunFairness = {
    claim: 'one whole run',
    mode: drawn ? 'drawn' : 'fcfs',
    competitors: crowd.user.length,
    winners: ledger.length,
    rates,
    odds: [...pair('requests', 'one', 'many'), ...pair('account', 'person', 'bot')],
  }
  if (windows === undefined) return { ...result, order: arrivalOrderOf(crowd, ledger, people) }
  const tally = tallyOf(crowd, windows, people - bots, connections)
  return { ...result, tests: judge(tally), tally }
}
