/**
 * The engine's clock as it is known here: the time that it said, and how long ago that was by a clock that only goes on.
 *
 * A time that was asked for is taken to be that of the middle between question and answer, and one that came quicker is the
 * better one until a minute has passed, or until another one says that both cannot be right: this machine slept, the engine's
 * clock was set, or another node answers now. Rejected: this machine's own clock. Phones are minutes wrong, and a release opens by the engine's.
 */
const FRESH_MS = 60_000

export class EngineClock {
  #ms = Date.now()
  #at = performance.now()
  /** How long the question and its answer were under way; the time is wrong by at most half of it. */
  #way = Number.POSITIVE_INFINITY

  /** Takes a time that the engine said; `askedAt` by `performance.now()`, undefined where nobody had asked. */
  take(serverTime: string, askedAt?: number): void {
    const at = performance.now()
    const way = askedAt === undefined ? FRESH_MS : at - askedAt
    const ms = Date.parse(serverTime) + (askedAt === undefined ? 0 : way / 2)
    const isBelieved = at - this.#at < FRESH_MS && Math.abs(ms - this.now()) <= way + this.#way
    if (Number.isNaN(ms) || (way > this.#way && isBelieved)) return
    this.#ms = ms
    this.#at = at
    this.#way = way
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#ms + performance.now() - this.#at
  }
}
