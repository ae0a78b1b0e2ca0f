/**
 * How the 16,384 cluster slots lie on the shards of a simulated cluster at first, in equal runs as every tool lays them out, and the
 * rows of CLUSTER SLOTS once some of them lie elsewhere.
 */
import { SLOTS } from '../../../engine/store/cluster/slot-table.ts'

export type Run = readonly [from: number, to: number, shard: number]

export class Ranges {
  readonly #shards: number

  constructor(shards: number) {
    this.#shards = shards
  }

  /** The shard that had a slot at first. */
  shardOf(slot: number): number {
    return Math.floor((slot * this.#shards) / SLOTS)
  }

  /** The first slot of a shard. */
  firstOf(shard: number): number {
    return Math.ceil((shard * SLOTS) / this.#shards)
  }

  /** Runs of slots of one shard, where `moved` says which slots lie elsewhere. */
  runs(moved: ReadonlyMap<number, number>): Run[] {
    const runs: Run[] = []
    const slots = [...moved.keys()].sort((a, b) => a - b)
    for (let shard = 0; shard < this.#shards; shard++) {
      let from = this.firstOf(shard)
      const end = this.firstOf(shard + 1)
      for (const slot of slots) {
        if (slot < from || slot >= end) continue
        if (slot > from) runs.push([from, slot - 1, shard])
        runs.push([slot, slot, moved.get(slot) as number])
        from = slot + 1
      }
      if (from < end) runs.push([from, end - 1, shard])
    }
    return runs
  }
}
