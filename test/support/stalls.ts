/**
 * What the machine took from a test: the time that a bound on the engine's time must not count.
 *
 * A promise such as "an answer within 2.5 s" is about the engine and not about a neighbour who has both cores. So a watch
 * notes, every few milliseconds, how late its own timer came (this process did not run: frozen, starved, or busy
 * itself) and for how long some process of the machine was ready to run and had no core (Linux's pressure counter, where
 * the kernel has it, since the engine is another process). What is taken off a time is never more than that time.
 *
 * On an idle machine nothing is taken off and the bound is the promise. Rejected: wide bounds for everybody, which hide
 * a deadline that doubled; asking the scheduler about each process, for which most kernels keep no figures.
 */
import { readFileSync } from 'node:fs'

const LOOK_MS = 20
/** A timer that is no later than this came in time. */
const PUNCTUAL_MS = 5
const PRESSURE = '/proc/pressure/cpu'

/** Milliseconds since the start of the machine in which somebody waited for a core; 0 where nobody counts them. */
function waitedMs(): number {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync(PRESSURE, 'utf8'))?.[1] ?? 0) / 1000
  } catch {
    return 0
  }
}

interface Look {
  readonly at: number
  /** All that was lost up to this look, milliseconds. */
  readonly lost: number
}

export class Stalls implements Disposable {
  readonly #looks: Look[] = []
  readonly #timer: NodeJS.Timeout
  #waited = waitedMs()

  constructor() {
    this.#looks.push({ at: performance.now(), lost: 0 })
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** Milliseconds lost between two moments of performance.now(), `to` not later than now; at most the time between them. */
  between(from: number, to = performance.now()): number {
    if (to >= (this.#looks.at(-1) as Look).at) this.#look()
    const next = this.#firstFrom(from)
    const before = this.#looks[next]?.at === from ? this.#looks[next] : (this.#looks[next - 1] ?? this.#looks[0])
    const after = this.#looks[this.#firstFrom(to)] ?? this.#looks.at(-1)
    const lost = (after as Look).lost - (before as Look).lost
    return Math.min(Math.max(0, to - from), lost)
  }

  /** How long something took since `from`, without what the machine took, milliseconds. */
  since(from: number): number {
    const now = performance.now()
    return now - from - this.between(from, now)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** The place of the first look that is not before a moment; hours have half a million of them. */
  #firstFrom(moment: number): number {
    let [low, high] = [0, this.#looks.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#looks[middle] as Look).at < moment) low = middle + 1
      else high = middle
    }
    return low
  }

  #look(): void {
    const { at, lost } = this.#looks.at(-1) as Look
    const [now, waited] = [performance.now(), waitedMs()]
    const late = now - at - LOOK_MS
    this.#looks.push({ at: now, lost: lost + Math.max(late > PUNCTUAL_MS ? late : 0, waited - this.#waited) })
    this.#waited = waited
  }
}
