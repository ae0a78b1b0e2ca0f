/**
 * What came of a simulated world, in figures and in words: of one Redis and of a cluster alike, so that `npm run sim` adds up either.
 *
 * Rejected: figures that each world counts in its own way, of which two would come to mean different things.
 */
import { CODES } from '../../engine/base/codes.ts'
import type { Cluster } from './cluster.ts'
import { addForgiven, type Forgiven, nothingForgiven } from './leniency.ts'
import type { People } from './people.ts'
import type { RoundRecord } from './round-record.ts'

export interface Outcome {
  readonly seed: number
  readonly faults: number
  readonly days: number
  readonly claims: number
  readonly grants: number
  readonly failOvers: number
  /** Cluster slots that went to another shard. */
  readonly moves: number
  readonly powerLosses: number
  readonly kills: number
  readonly cuts: number
  /** Public states that were shown and held against what survives. */
  readonly reads: number
  /** On a cluster: claims of rounds whose shard was well, which have to be answered for certain. */
  readonly calmClaims: number
  /** People who hold a receipt of an entry, and grants of strict rounds whose order was judged. */
  readonly entries: number
  readonly inOrder: number
  /** What the judge forgave, counted by its name. */
  readonly forgiven: Forgiven
  /** In words; empty when nothing was broken. */
  readonly violations: readonly string[]
}

interface Counted {
  readonly clusters: readonly Cluster[]
  readonly records: readonly RoundRecord[]
  readonly people: readonly People[]
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

const grantsIn = ({ history: { at, length } }: RoundRecord): number =>
  at.outcome.slice(0, length).filter(outcome => outcome === CODES.granted.number).length

/** What is summed over the places of a world, its rounds and the people of them. */
export function countsOf({ clusters, records, people }: Counted) {
  const of = (name: keyof Cluster['counts']) => sum(clusters.map(({ counts }) => counts[name]))
  const forgiven = nothingForgiven()
  for (const record of records) addForgiven(forgiven, record.forgiven)
  return {
    ...{ failOvers: of('failOvers'), powerLosses: of('powerLosses'), kills: of('kills'), forgiven },
    claims: sum(people.map(({ claims }) => claims)),
    grants: sum(records.map(record => record.story?.grants ?? grantsIn(record))),
    entries: sum(records.map(({ story }) => story?.entries ?? 0)),
    inOrder: sum(records.map(({ arrivals }) => arrivals?.judged ?? 0)),
  }
}
