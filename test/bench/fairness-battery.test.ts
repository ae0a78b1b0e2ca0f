/**
 * The battery under its own null hypothesis, and on tallies small enough to be checked in the head.
 *
 * A test is worth what its p-values are: over thousands of replays of uniformly drawn winners they have to be uniform,
 * which Kolmogorov's and Smirnov's test decides here for each row of the battery. The rows of two cohorts and of
 * neighbours are discrete, the latter a little too careful as well (pairs vary less than a Poisson when many win), so
 * their rejections are counted instead: never more than promised. That biases are found is the trial's test.
 */

import { expect, test } from 'vitest'
import { FAIL_BELOW, judge, markOf, mergeCells, WARN_BELOW } from '../../bench/measure/fairness/battery.ts'
import { inequalityOf } from '../../bench/measure/fairness/inequality.ts'
import {
  addTally,
  arrivalDeciles,
  Observer,
  type Population,
  standardRanks,
} from '../../bench/measure/fairness/tally.ts'
import { effort } from '../support/effort.ts'
import { below, random, seed } from '../support/seed.ts'

const REPLAYS = effort(2000, 20_000)
/** What a sound battery may cost in false alarms: each comparison here fails a healthy one less often than this. */
const CHANCE = 1e-7
const [ENTRANTS, STOCK, DRAWS] = [600, 24, 25]

function population(): Population {
  const next = random(1)
  const places = Array.from({ length: ENTRANTS }, (_, place) => place)
  return {
    size: ENTRANTS,
    cohorts: [
      { name: 'shard', of: Uint16Array.from(places, () => below(next, 6)), labels: ['0', '1', '2', '3', '4', '5'] },
      arrivalDeciles(ENTRANTS),
      { name: 'requests', of: Uint16Array.from(places, () => (next() < 0.2 ? 1 : 0)), labels: ['one', 'many'] },
    ],
    slopes: { latency: standardRanks(places.map(() => Math.floor(next() * 50))), arrival: standardRanks(places) },
  }
}

/** K of N by a shuffle that stops after K. */
function uniformWinners(next: () => number, deck: Uint32Array): Uint32Array {
  for (let place = 0; place < STOCK; place++) {
    const other = place + below(next, deck.length - place)
    ;[deck[place], deck[other]] = [deck[other]!, deck[place]!]
  }
  return deck.slice(0, STOCK)
}

/** The chance that uniform p-values lie as far from the diagonal (Kolmogorov's series with Stephens's correction). */
function uniformity(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const n = sorted.length
  const distance = Math.max(...sorted.map((p, place) => Math.max(p - place / n, (place + 1) / n - p)))
  const scaled = distance * (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n))
  let sum = 0
  for (let k = 1; k <= 100; k++) sum += (k % 2 === 1 ? 2 : -2) * Math.exp(-2 * k * k * scaled * scaled)
  return Math.min(1, sum)
}

test(`p-values are uniform over ${REPLAYS} replays of fair draws`, () => {
  const people = population()
  const next = random(2)
  const deck = Uint32Array.from({ length: ENTRANTS }, (_, place) => place)
  const values = new Map<string, number[]>()
  for (let replay = 0; replay < REPLAYS; replay++) {
    const observer = new Observer(people)
    for (let draw = 0; draw < DRAWS; draw++) observer.add(uniformWinners(next, deck))
    for (const { test: name, of, p } of judge(observer.tally)) {
      const row = `${name} ${of}`
      values.set(row, [...(values.get(row) ?? []), p])
    }
  }
  const { 'B5 requests': requests, 'B7 neighbours': pairs, ...rest } = Object.fromEntries(values)
  expect(Object.keys(rest)).toEqual(['B1 shard', 'B2 arrival decile', 'B3 latency', 'B4 arrival', 'B6 entrant'])
  for (const [row, p] of Object.entries(rest)) expect(uniformity(p), `${row}, seed ${seed}`).toBeGreaterThan(CHANCE)
  for (const level of [0.001, 0.01, 0.1, 0.5]) {
    const most = REPLAYS * level + 7 * Math.sqrt(REPLAYS * level) + 3
    for (const [row, ps = []] of Object.entries({ B5: requests, B7: pairs }))
      expect(ps.filter(p => p <= level).length, `${row} at ${level}, seed ${seed}`).toBeLessThan(most)
  }
}, 240_000)

test('the uniformity test itself can fail', () => {
  const next = random(3)
  const uniform = Array.from({ length: 10_000 }, () => next())
  expect(uniformity(uniform)).toBeGreaterThan(CHANCE)
  expect(uniformity(uniform.map(p => p ** 1.2))).toBeLessThan(CHANCE)
  expect(uniformity(uniform.map(p => 0.06 + p * 0.94))).toBeLessThan(CHANCE)
})

test('the marks stand at 1e-6/7 and 1e-3/7, and nothing to test is no pass', () => {
  expect([FAIL_BELOW, WARN_BELOW]).toEqual([1e-6 / 7, 1e-3 / 7])
  expect([1e-7, 1e-6, 1e-3, Number.NaN].map(markOf)).toEqual(['fail', 'warn', 'pass', 'none'])
})

const cell = (label: string, wins: number, expected: number, variance = expected) => ({
  label,
  wins,
  expected,
  variance,
})

test('cells are merged with their neighbours until each expects twenty winners and twenty losers', () => {
  const merged = mergeCells([cell('a', 5, 12), cell('b', 6, 12), cell('c', 30, 25), cell('d', 1, 3)])
  expect(merged.map(({ wins, expected }) => [wins, expected])).toEqual([
    [11, 24],
    [31, 28],
  ])
  // Nine of ten win: 90 winners are expected for 10 losers, so two cells make one.
  expect(mergeCells([cell('a', 90, 90, 9), cell('b', 90, 90, 9), cell('c', 90, 90, 9)])).toHaveLength(1)
  expect(mergeCells([cell('a', 5, 12)])).toEqual([])
})

test('a cohort test is Pearson with the correction for drawing without putting back', () => {
  const observer = new Observer({
    size: 200,
    cohorts: [
      { name: 'shard', of: Uint16Array.from({ length: 200 }, (_, place) => place % 2), labels: ['even', 'odd'] },
    ],
    slopes: {},
  })
  // 100 of 200 win, 60 of them even: (60 - 50)² / (50 * .5) for both cells.
  observer.add(Uint32Array.from({ length: 100 }, (_, place) => (place < 60 ? place * 2 : (place - 60) * 2 + 1)))
  expect(judge(observer.tally)[0]).toMatchObject({ test: 'B1', of: 'shard', statistic: 8, under: 'chi-square 1' })
})

test('a winner who cannot be, or wins twice in one draw, is refused', () => {
  expect(() => new Observer(population()).add(Uint32Array.of(1, 1))).toThrow('winner 1')
  expect(() => new Observer(population()).add(Uint32Array.of(ENTRANTS))).toThrow(`winner ${ENTRANTS}`)
})

test('tallies of two halves add up to the whole; runs with other entrants lose only the count by entrant', () => {
  const people = population()
  const deck = Uint32Array.from({ length: ENTRANTS }, (_, place) => place)
  const next = random(4)
  const [whole, one, two] = [new Observer(people), new Observer(people), new Observer(people)]
  for (let draw = 0; draw < 10; draw++) {
    const winners = uniformWinners(next, deck)
    whole.add(winners)
    ;(draw % 2 === 0 ? one : two).add(winners)
  }
  addTally(one.tally, two.tally)
  const rounded = (rows: ReturnType<typeof judge>) =>
    rows.map(row => ({ ...row, statistic: row.statistic.toFixed(8), p: row.p.toFixed(8) }))
  expect(rounded(judge(one.tally))).toEqual(rounded(judge(whole.tally)))
  const other = new Observer({ ...people, size: 500 })
  addTally(one.tally, other.tally)
  expect(judge(one.tally).find(({ test: name }) => name === 'B6')?.mark).toBe('none')
})

test('ranks share ties and have mean 0 and variance 1', () => {
  const ranks = standardRanks([5, 1, 1, 9])
  expect(ranks[1]).toBe(ranks[2])
  expect(ranks.reduce((sum, rank) => sum + rank, 0)).toBeCloseTo(0)
  expect(ranks.reduce((sum, rank) => sum + rank * rank, 0)).toBeCloseTo(4)
  expect([...standardRanks([3, 3])]).toEqual([0, 0])
})

test('Jain and Gini over cohorts: equal rates, and one cohort that takes everything', () => {
  expect(inequalityOf([cell('a', 10, 10), cell('b', 30, 30)])).toEqual({ jain: 1, gini: 0 })
  const all = inequalityOf([cell('a', 40, 10), cell('b', 0, 10), cell('c', 0, 10), cell('d', 0, 10)])
  expect(all.jain).toBeCloseTo(0.25)
  expect(all.gini).toBeCloseTo(0.75)
})
