/**
 * What one shard's trouble may not do: who asks for a round of a shard that is well is answered for certain, whatever becomes of the
 * other shards, and while slots move.
 *
 * A shard is in trouble while a fault concerns it, and for a while behind it: a check of the server that found something stands
 * until the next one, five seconds later, and a check takes as long as a shard that is away does not answer. A node is in
 * trouble of its own when it starts, stands still or loses connections. A round whose slot moves key by key waits while its keys
 * are on their way, so it is in trouble then and for a moment behind. Rejected: a bound for every answer in every trouble, which
 * nobody promises.
 */
import type { Code } from '../../../engine/base/codes.ts'
import type { EngineNode } from '../engine-node.ts'

/** Answers that say nothing certain of a claim. */
const FAULTS: ReadonlySet<Code> = new Set(['fenced', 'unknown', 'unavailable', 'overloaded', 'internal'])
/** For so long behind a fault of its own a shard may be stopped: a check that waits, five seconds, and another one. */
const SHARD_MS = 9500
/** The same behind a trouble of a node: a check that it stood still in may blame a shard for it. */
const NODE_MS = SHARD_MS
/** Until a claim has come through behind a move. */
const MOVE_MS = 300
const EXAMPLES = 2

/** Something that may be in trouble, with how many troubles it has now and when the last one ended. */
interface Trouble {
  now: number
  endedAt: number
}

export class Calm {
  readonly #now: () => number
  readonly #shards = new Map<number, Trouble>()
  readonly #rounds = new Map<string, Trouble>()
  readonly #nodes = new WeakMap<EngineNode, number>()
  /** Claims that were held against this. */
  judged = 0
  readonly problems: string[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  /** A shard has a trouble more, or one less. */
  shard(shard: number, isMore: boolean): void {
    this.#turn(this.#shards, shard, isMore)
  }

  /** A round's slot is on its way, or has arrived. */
  round(roundId: string, isMore: boolean): void {
    this.#turn(this.#rounds, roundId, isMore)
  }

  /** A node has just had a trouble of its own, or has it until a moment. */
  node(node: EngineNode, until = this.#now()): void {
    this.#nodes.set(node, Math.max(until, this.#nodes.get(node) ?? 0))
  }

  /** Since when a shard is well; undefined while it is not. */
  calmSince(shard: number): number | undefined {
    const trouble = this.#shards.get(shard)
    if (!trouble) return 0
    return trouble.now > 0 ? undefined : trouble.endedAt
  }

  /** Since when nothing troubles a node, a round and its shards; undefined while something does. */
  wellSince(node: EngineNode, roundId: string, shards: ReadonlySet<number>): number | undefined {
    const troubles = [...[...shards].map(shard => this.#shards.get(shard)), this.#rounds.get(roundId)]
    if (troubles.some(trouble => (trouble?.now ?? 0) > 0)) return undefined
    return Math.max(this.#nodes.get(node) ?? 0, ...troubles.map(trouble => trouble?.endedAt ?? 0))
  }

  /** A claim of a round was answered. */
  answered(
    node: EngineNode,
    roundId: string,
    shards: ReadonlySet<number>,
    [sent, code]: readonly [number, Code],
  ): void {
    const isWell =
      [...shards].every(shard => this.#isOver(this.#shards.get(shard), sent, SHARD_MS)) &&
      this.#isOver(this.#rounds.get(roundId), sent, MOVE_MS) &&
      sent - (this.#nodes.get(node) ?? 0) > NODE_MS
    // A round that has just moved begins another epoch where its new server was promoted once: what was under way is in doubt then.
    if (!isWell || (code === 'unknown' && shards.size > 1)) return
    this.judged++
    if (!FAULTS.has(code) || this.problems.length >= EXAMPLES) return
    const why = node.problems.join(', ') || 'nothing'
    this.problems.push(
      `C ${roundId} at ${node.name}: a claim of a round whose shard was well is ${code}; it was asked ${Math.round(this.#now() - sent)} ms before; the node says ${why}`,
    )
  }

  #isOver(trouble: Trouble | undefined, sent: number, ms: number): boolean {
    return trouble === undefined || (trouble.now === 0 && sent - trouble.endedAt > ms)
  }

  #turn<K>(troubles: Map<K, Trouble>, key: K, isMore: boolean): void {
    const trouble = troubles.get(key) ?? { now: 0, endedAt: 0 }
    troubles.set(key, trouble)
    trouble.now += isMore ? 1 : -1
    trouble.endedAt = this.#now()
  }
}
