/**
 * Calm: for how long nothing was disturbed before a moment, at one node. What a round shows is judged by its age only in calm.
 *
 * The row says when it breaks something and when that is over; a node says by `readyz` when it is ready. Times in which
 * the machine had no core for somebody count for nothing (stalls.ts), up to some seconds: a history that is lost is shown for ever.
 */
import type { StateSeen, Testimony } from './testimony.ts'

export const OLDER_MS_MAX = 1000
const TAKEN_MS_MAX = 4000

interface Span {
  readonly from: number
  /** The latest end of this disturbance and of those that began before it. */
  readonly to: number
}

export class Calm {
  readonly #testimony: Testimony
  readonly #spans = new Map<string, readonly Span[]>()

  constructor(testimony: Testimony) {
    this.#testimony = testimony
  }

  /** How long before `later` something was known, less what the machine took, milliseconds. */
  aged(known: number, later: number): number {
    const ms = later - known
    return ms <= OLDER_MS_MAX ? ms : ms - Math.min(TAKEN_MS_MAX, this.#testimony.lost(known, later))
  }

  /** Milliseconds since the last disturbance of a node. */
  since(node: string, moment: number): number {
    const spans = this.#spans.get(node) ?? this.#spansOf(node)
    let [low, high] = [0, spans.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((spans[middle] as Span).from < moment) low = middle + 1
      else high = middle
    }
    const last = spans[low - 1]
    return last ? this.aged(Math.min(last.to, moment), moment) : Number.POSITIVE_INFINITY
  }

  holds({ node, sent }: Pick<StateSeen, 'node' | 'sent'>): boolean {
    return this.since(node, sent) > OLDER_MS_MAX
  }

  #spansOf(node: string): readonly Span[] {
    const looks = this.#testimony.ready.filter(look => look.node === node)
    // It may have become ready at the very end of the time until it was seen to be.
    const away = looks.flatMap(({ ready, sent }, place) =>
      ready ? [] : [{ from: sent, to: looks[place + 1]?.at ?? Number.POSITIVE_INFINITY }],
    )
    let latest = 0
    const spans = [...this.#testimony.disturbed, ...away]
      .sort((a, b) => a.from - b.from)
      .map(({ from, to }) => {
        latest = Math.max(latest, to)
        return { from, to: latest }
      })
    this.#spans.set(node, spans)
    return spans
  }
}
