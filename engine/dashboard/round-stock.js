/**
 * What is known of one round, and the one rule that keeps it right: a lower version of the same epoch is dropped,
 * whether it came by the stream or by a list that was slow. Frames are absolute, so taking one is replacing.
 *
 * The rate is measured from the frames themselves: grants over the last two seconds, zero when none came. Rejected: an
 * average over the whole round, which says nothing about now; and asking the engine for a rate, which it does not have.
 */

const WINDOW_MS = 2000

export class RoundStock {
  #samples = []

  constructor(id) {
    this.id = id
    this.campaignId = undefined
    this.opensAt = undefined
    this.closesAt = undefined
    this.stock = undefined
  }

  /** Takes a round as the API lists it; `now` in monotonic milliseconds. True when it is news. */
  takeRound(round, now) {
    this.campaignId = round.campaign_id
    this.opensAt = round.opens_at ? Date.parse(round.opens_at) : undefined
    this.closesAt = round.closes_at ? Date.parse(round.closes_at) : undefined
    return this.takeStock({ ...round.stock, state: round.state, pools: round.pools }, now)
  }

  /** Takes absolute stock. True when it is news. */
  takeStock(next, now) {
    const last = this.stock
    const sameEpoch = last?.epoch === next.epoch
    if (sameEpoch && next.version < last.version) return false
    if (!sameEpoch) this.#samples = []
    // A frame leaves the pools out where there is only `general`.
    const { state, total, granted, remaining, epoch, version } = next
    const pools = next.pools ?? [{ name: 'general', total, granted, remaining }]
    this.stock = { state, total, granted, remaining, epoch, version, pools }
    this.#samples.push({ at: now, granted })
    this.#forget(now)
    return true
  }

  /** Grants a second over the last two seconds. */
  rate(now) {
    this.#forget(now)
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (!first || last.granted <= first.granted) return 0
    // The samples of a young burst span less than the window; a quarter of a second keeps its first frames sane.
    const span = Math.min(WINDOW_MS, Math.max(250, now - first.at))
    return ((last.granted - first.granted) * 1000) / span
  }

  /** Keeps the newest sample that is older than the window: what was granted when the window began. */
  #forget(now) {
    while (this.#samples.length > 1 && this.#samples[1].at <= now - WINDOW_MS) this.#samples.shift()
  }
}
