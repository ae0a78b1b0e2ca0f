/**
 * Who reads a round's public state in a simulated world, and what may be shown to them.
 *
 * A viewer watches each node: what he has before his eyes is the state that the node would tell a new one. Readers go from node to
 * node, half of the time by GET, and keep of what they read what the API tells clients to keep: any other epoch, and of the
 * same epoch no lower version. Three rules hold for all of them.
 *   1. What is shown was told by the history that survives. After a fault there is BOUND_MS for that, from when nothing
 *      keeps the node from the primary any more.
 *   2. At one node the versions of an epoch never go back, whatever epochs were shown between.
 *   3. `sold_out` is not shown while packs are quarantined: they may come back.
 * Rejected: comparing with the newest state, since being late is no lie.
 */
import { type Notice, quarantinedOf } from '../../engine/store/data/notice.ts'
import { codeOfFailure, type EngineNode } from './engine-node.ts'
import { type Notices, shownAs } from './notices.ts'
import type { Server } from './redis/server.ts'

/** How long after a fail-over a lost state may be shown, milliseconds; docs/reliability.md promises it. */
const BOUND_MS = 1000
const READERS = 2
const EXAMPLES = 2

export interface ReadersOptions {
  readonly notices: Notices
  readonly happens: (share: number) => boolean
  readonly anyNode: () => EngineNode | undefined
  readonly nodes: readonly EngineNode[]
  readonly primary: () => Server
  readonly now: () => number
  /** Since when nothing has gone wrong and this node can reach the primary; undefined while something does. */
  readonly calmSince: (node: EngineNode) => number | undefined
}

export class Readers {
  readonly #options: ReadersOptions
  /** By node, and there by round and epoch: the highest version that was shown. */
  readonly #seen = new WeakMap<EngineNode, Map<string, number>>()
  #kept: { notice: Notice; readAt: number; node: string }[] = []
  #roundId = ''
  /** States that were shown and judged. */
  reads = 0
  readonly problems: string[] = []

  constructor(options: ReadersOptions) {
    this.#options = options
  }

  /** Another round is read from now on. */
  turnTo(roundId: string): void {
    this.#roundId = roundId
    this.#kept = []
  }

  /** Everybody looks once. */
  look(): void {
    for (const node of this.#options.nodes) if (node.clock.alive && !node.clock.isStill) this.#watch(node)
    for (let reader = 0; reader < READERS; reader++) void this.#read(reader)
  }

  /** What a viewer of a node has before his eyes. */
  #watch(node: EngineNode): void {
    const view = node.rounds.peek(this.#roundId)?.view
    if (!view) return
    const { notice, state } = view
    this.#inOrder(node, notice)
    if (state === 'sold_out' && quarantinedOf(notice) > 0)
      this.#tell('sold_out while packs are quarantined', node.name, state, notice)
    const since = this.#options.calmSince(node)
    if (since !== undefined && this.#options.now() - since > BOUND_MS) this.#judge(node.name, state, notice)
  }

  async #read(reader: number): Promise<void> {
    const node = this.#options.anyNode()
    if (!node) return
    const roundId = this.#roundId
    if (this.#options.happens(0.2)) {
      const failed = await node.read(roundId).then(() => undefined, codeOfFailure)
      if (failed !== undefined || !node.clock.alive) return
    }
    const view = node.rounds.peek(roundId)?.view
    if (!view || roundId !== this.#roundId) return
    const { notice } = view
    const last = this.#kept[reader]
    if (!last || notice.epoch !== last.notice.epoch || notice.version >= last.notice.version)
      this.#kept[reader] = { notice, readAt: this.#options.now(), node: node.name }
    const since = this.#options.calmSince(node)
    const kept = this.#kept[reader]
    if (kept && since !== undefined && this.#options.now() - since > BOUND_MS)
      this.#judge(`a reader, from ${kept.node}`, kept.notice.state, kept.notice)
  }

  #judge(where: string, state: string, notice: Notice): void {
    this.reads++
    if (!this.#options.notices.has(this.#options.primary(), this.#roundId, notice))
      this.#tell(`a state that no surviving history has, ${BOUND_MS} ms after the last fault`, where, state, notice)
  }

  #inOrder(node: EngineNode, notice: Notice): void {
    const seen = this.#seen.get(node) ?? new Map<string, number>()
    this.#seen.set(node, seen)
    const epoch = `${this.#roundId} ${notice.epoch}`
    const highest = seen.get(epoch) ?? 0
    if (notice.version < highest) this.#tell(`a state behind version ${highest}`, node.name, notice.state, notice)
    else seen.set(epoch, notice.version)
  }

  #tell(what: string, where: string, state: string, notice: Notice): void {
    const problem = `R ${this.#roundId} shown at ${where}: ${what}: ${shownAs(state, notice)}`
    if (this.problems.length < EXAMPLES) this.problems.push(problem)
  }
}
