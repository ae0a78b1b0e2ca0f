/**
 * Replayed draws: one lottery over invented entrants, again and again with fresh seeds, added up for the battery.
 *
 * A replay judges an allocator alone, with as many winners as one has patience for; what a pipeline of workers and
 * sockets does to people is judged by whole runs, and the two claims are never mixed. A replay is named by where its
 * lottery stands, so that it can be sent to a thread; the seed of draw r is a hash of the run's seed, the name and r,
 * and does not depend on how many threads share the draws.
 */

import { createHash } from 'node:crypto'
import { allocate } from './allocator.ts'
import { type Entrants, inventEntrants } from './entrants.ts'
import { BIASES, type Lottery, secondImplementation, type Unfair } from './lotteries.ts'
import { MUSEUM } from './museum.ts'
import { addTally, Observer, type Tally } from './tally.ts'

export interface Replay {
  readonly name: string
  readonly entrants: number
  readonly stock: number
  readonly draws: number
  readonly seed: number
  /** How much of the small biases is injected; 1 is the published size. */
  readonly strength: number
}

export const HONEST: Unfair = {
  name: 'the allocator',
  foundBy: 'nothing',
  lottery: ({ entrants, stock, seed }) => allocate(entrants.entries, stock, seed),
}

export function lotteryOf(name: string): Lottery {
  const found = [HONEST, ...BIASES, ...MUSEUM].find(one => one.name === name)
  if (found === undefined) throw new Error(`no lottery is called ${name}`)
  return found.lottery
}

export interface Share {
  readonly index: number
  readonly of: number
}

/** B0: draws that a second implementation drew again, and those where it came to other winners. */
export interface Repeated {
  compared: number
  different: number
}

export interface Replayed {
  readonly tally: Tally
  readonly again: Repeated
}

const REPEAT_EVERY = 50

function drawnAlike(entrants: Entrants, stock: number, seed: Uint8Array, winners: Uint32Array): boolean {
  const again = secondImplementation(entrants.entries, stock, seed)
  const sorted = winners.toSorted()
  return again.length === winners.length && again.sort().every((place, index) => place === sorted[index])
}

/** Every `of`-th draw from `index`; `played` hears after each. */
export function playReplay(replay: Replay, { index, of }: Share, played: () => void = () => undefined): Replayed {
  const { name, stock, draws, seed, strength } = replay
  const lottery = lotteryOf(name)
  const entrants = inventEntrants(replay.entrants, seed)
  const observer = new Observer(entrants)
  const again: Repeated = { compared: 0, different: 0 }
  const compares = name === HONEST.name
  for (let draw = index; draw < draws; draw += of) {
    const fresh = createHash('sha256').update(`replay ${seed} ${name} ${draw}`).digest()
    const winners = lottery({ entrants, stock, seed: fresh, strength })
    if (winners.length !== Math.min(stock, entrants.size)) {
      throw new Error(`draw ${draw} of ${name} has ${winners.length} winners for ${stock} seats`)
    }
    observer.add(winners)
    if (compares && draw % REPEAT_EVERY === index) {
      again.compared++
      if (!drawnAlike(entrants, stock, fresh, winners)) again.different++
    }
    played()
  }
  return { tally: observer.tally, again }
}

export function sumReplays(parts: readonly Replayed[]): Replayed {
  const [first, ...rest] = parts
  if (first === undefined) throw new Error('there is nothing to add up')
  for (const { tally, again } of rest) {
    addTally(first.tally, tally)
    first.again.compared += again.compared
    first.again.different += again.different
  }
  return first
}
