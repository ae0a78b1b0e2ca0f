/**
 * What many draws over known entrants add up to: wins by cohort, two slopes, neighbours, wins by entrant.
 *
 * A tally is plain numbers that add, so threads and whole runs can each make their own. A cell holds the wins of a
 * cohort, what it expects (K n / N a draw) and its variance but for the cohort's own share (the expectation times
 * 1 - K / N); draws of different sizes add too. A slope is the sum over winners of a feature that was turned into ranks of
 * mean 0 and variance 1, and the variance W (1 - p) that the sum has when nobody is preferred. Neighbours are pairs
 * of winners that stand side by side in the order of arrival.
 *
 * Rejected: keeping the winners of each draw. A thousand draws are millions of numbers, and every test wants a sum.
 */

export interface Cohorts {
  readonly name: string
  /** By entrant: the number of his cohort. */
  readonly of: Uint16Array
  readonly labels: readonly string[]
}

/** Who took part, in the order of arrival; what each of the tests looks at is known before the seed. */
export interface Population {
  readonly size: number
  readonly cohorts: readonly Cohorts[]
  /** By name: a feature of each entrant as ranks of mean 0 and variance 1. */
  readonly slopes: Readonly<Record<string, Float64Array>>
}

export interface Cell {
  readonly label: string
  wins: number
  expected: number
  variance: number
}

export interface Tally {
  draws: number
  winners: number
  /** Winners times 1 - p, added over the draws. */
  variance: number
  readonly cells: Record<string, Cell[]>
  readonly slopes: Record<string, number>
  readonly pairs: { seen: number; expected: number }
  /** By entrant over the draws of one population; undefined for whole runs, whose entrants differ. */
  wins: Uint32Array | undefined
}

/** Ranks from the smallest to the largest value, ties shared, scaled to mean 0 and variance 1; all 0 when all tie. */
export function standardRanks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from(values, (_, place) => place).sort((a, b) => values[a]! - values[b]!)
  const ranks = new Float64Array(order.length)
  let squares = 0
  for (let first = 0; first < order.length; ) {
    let end = first + 1
    while (end < order.length && values[order[end]!] === values[order[first]!]) end++
    const rank = (first + end - order.length) / 2
    for (let place = first; place < end; place++) ranks[order[place]!] = rank
    squares += rank * rank * (end - first)
    first = end
  }
  const deviation = Math.sqrt(squares / order.length)
  return deviation === 0 ? ranks : ranks.map(rank => rank / deviation)
}

/** Cohorts of equal size along the order of arrival. */
export function arrivalDeciles(size: number): Cohorts {
  const of = Uint16Array.from({ length: size }, (_, place) => Math.floor((place * 10) / size))
  return { name: 'arrival decile', of, labels: Array.from({ length: 10 }, (_, decile) => `decile ${decile + 1}`) }
}

/** Counts the winners of draws over one population. */
export class Observer {
  readonly tally: Tally
  readonly #population: Population
  readonly #sizes: readonly (readonly number[])[]
  readonly #marks: Uint8Array

  constructor(population: Population) {
    const { cohorts, slopes, size } = population
    this.#population = population
    this.#marks = new Uint8Array(size + 1)
    this.#sizes = cohorts.map(({ of, labels }) => {
      const sizes = labels.map(() => 0)
      for (const cohort of of) sizes[cohort]!++
      return sizes
    })
    const cellsOf = ({ name, labels }: Cohorts) =>
      [name, labels.map(label => ({ label, wins: 0, expected: 0, variance: 0 }))] as const
    this.tally = {
      draws: 0,
      winners: 0,
      variance: 0,
      cells: Object.fromEntries(cohorts.map(cellsOf)),
      slopes: Object.fromEntries(Object.keys(slopes).map(name => [name, 0])),
      pairs: { seen: 0, expected: 0 },
      wins: new Uint32Array(size),
    }
  }

  /** `winners` are places in the population, each at most once, in any order. */
  add(winners: Uint32Array): void {
    const { tally } = this
    const { size, slopes } = this.#population
    const p = winners.length / size
    tally.draws++
    tally.winners += winners.length
    tally.variance += winners.length * (1 - p)
    for (const winner of winners) {
      if (!(winner < size) || this.#marks[winner] === 1) throw new Error(`winner ${winner} of ${size} cannot be`)
      this.#marks[winner] = 1
      if (tally.wins) tally.wins[winner]!++
    }
    for (const [name, ranks] of Object.entries(slopes)) {
      let sum = 0
      for (const winner of winners) sum += ranks[winner]!
      tally.slopes[name]! += sum
    }
    for (const winner of winners) tally.pairs.seen += this.#marks[winner + 1]!
    tally.pairs.expected += (winners.length * (winners.length - 1)) / size
    for (const winner of winners) this.#marks[winner] = 0
    this.#count(winners, p)
  }

  #count(winners: Uint32Array, p: number): void {
    for (const [place, { name, of }] of this.#population.cohorts.entries()) {
      const cells = this.tally.cells[name]!
      for (const winner of winners) cells[of[winner]!]!.wins++
      for (const [cohort, cell] of cells.entries()) {
        const expected = p * this.#sizes[place]![cohort]!
        cell.expected += expected
        cell.variance += expected * (1 - p)
      }
    }
  }
}

/** Adds `other` to `sum`: the same cohorts, cell by cell; a label that only one of them has is kept. */
export function addTally(sum: Tally, other: Tally): void {
  sum.draws += other.draws
  sum.winners += other.winners
  sum.variance += other.variance
  sum.pairs.seen += other.pairs.seen
  sum.pairs.expected += other.pairs.expected
  for (const [name, value] of Object.entries(other.slopes)) sum.slopes[name] = (sum.slopes[name] ?? 0) + value
  for (const [name, cells] of Object.entries(other.cells)) {
    const known = sum.cells[name] ?? []
    sum.cells[name] = known
    const byLabel = new Map(known.map(cell => [cell.label, cell]))
    for (const { label, wins, expected, variance } of cells) {
      const cell = byLabel.get(label) ?? { label, wins: 0, expected: 0, variance: 0 }
      if (!byLabel.has(label)) known.push(cell)
      cell.wins += wins
      cell.expected += expected
      cell.variance += variance
    }
  }
  if (sum.wins?.length !== other.wins?.length) sum.wins = undefined
  if (sum.wins && other.wins) for (const [entrant, wins] of other.wins.entries()) sum.wins[entrant]! += wins
}
