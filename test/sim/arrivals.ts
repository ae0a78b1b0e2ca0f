/**
 * The order of a simulated strict round: nobody is served before somebody whose claim the engine stamped earlier.
 *
 * The engine tells each stamp as it decides; the answers tell which sequence it got. Who was told of an earlier stamp and has
 * a later sequence was passed over, and that has two excuses. Their node may have kept the others waiting: a node that had
 * trouble and has not been heard of since is not waited for, and what it brings comes after everybody (`late`). So a claim is
 * judged when its node is well and was served since it is. Or their turn came while nobody was granted anything, and they were
 * decided again behind a change that opened the round: so what was asked before the first grant behind a change is not held
 * against it. Rejected: the count of `late` that the round keeps, since a bug that makes everybody late would excuse itself.
 */
import { CODES, type Code } from '../../engine/base/codes.ts'
import type { SingleAsk } from '../../engine/campaign/round/round.ts'

interface Served {
  readonly sequence: number
  /** Microseconds since 1970, by the engine. */
  readonly stamp: number
  /** By the world's time. */
  readonly sent: number
  readonly at: number
  /** Its node was well, and known to be there. */
  readonly isSure: boolean
}

/** Since when a node is well, and when it was first served since. */
interface Known {
  readonly since: number
  readonly servedAt: number
}

const EXAMPLES = 2

export class Arrivals<Node extends object> {
  readonly #stamps = new Map<number, number>()
  readonly #known = new WeakMap<Node, Known>()
  readonly #served: Served[] = []

  /** The engine decided a claim that it had stamped. */
  decided(stamp: number, outcome: number, sequence: number): void {
    if (outcome === CODES.granted.number) this.#stamps.set(sequence, stamp)
  }

  /** Somebody was answered; `since` is when their node became well, undefined while it is not. */
  answered(
    node: Node,
    [sent, at]: readonly [number, number],
    [code, ask]: readonly [Code, SingleAsk | undefined],
    since: number | undefined,
  ): void {
    const stamp = code === 'granted' && ask ? this.#stamps.get(ask.sequence) : undefined
    if (stamp === undefined || !ask) return
    const last = this.#known.get(node)
    const known = last?.since === since ? last : undefined
    const isSure = known !== undefined && known.servedAt < sent
    if (since !== undefined && known === undefined && sent > since) this.#known.set(node, { since, servedAt: at })
    this.#served.push({ sequence: ask.sequence, stamp, sent, at, isSure })
  }

  /** Grants whose order was judged. */
  get judged(): number {
    return this.#served.filter(({ isSure }) => isSure).length
  }

  /** Who was passed over; `changes` are the sequences behind which the round's log has changes of its state or stock. */
  problems(changes: readonly number[]): readonly string[] {
    const inOrder = this.#served.toSorted((a, b) => a.sequence - b.sequence)
    const problems: string[] = []
    let [last, opened, next] = [{ sequence: 0, stamp: 0 }, Number.NEGATIVE_INFINITY, 0]
    const borders = changes.toSorted((a, b) => a - b)
    for (const served of inOrder) {
      let isBehindChange = served === inOrder[0]
      for (; next < borders.length && (borders[next] as number) < served.sequence; next++) isBehindChange = true
      if (isBehindChange) opened = served.at
      const isJudged = served.isSure && served.sent > opened
      if (isJudged && served.stamp < last.stamp)
        problems.push(
          `O sequence ${served.sequence} was stamped ${last.stamp - served.stamp} µs before sequence ${last.sequence}`,
        )
      if (served.stamp > last.stamp) last = served
    }
    return problems.slice(0, EXAMPLES)
  }
}
