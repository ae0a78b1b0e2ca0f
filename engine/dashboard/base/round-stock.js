/**
 * What is known of one round, and the one rule that keeps it right: a lower version of the same epoch is dropped,
 * whether it came by the stream or by a list that was slow. Frames are absolute, so taking one is replacing.
 *
 * The rate is measured from the frames themselves: grants over the last two seconds, zero when none came. Rejected: an
 * average over the whole round, which says nothing about now; and asking the engine for a rate, which it does not have.
 *
 * One rate a second is kept for the card's chart and for the forecast, which is what is left over the mean rate of the
 * last ten seconds. A second without the stream is a gap, and what was granted meanwhile is shown when it is back.
 */
const WINDOW_MS = 2000
const HISTORY = 120
const FORECAST_SECONDS = 10
/** A forecast of more than a day is none. */
const FORECAST_MS_MAX = 86_400_000
const GAP_SHOWN_MS = 15_000

export class RoundStock {
  #samples = []

  constructor(id) {
    this.id = id
    this.campaignId = undefined
    this.opensAt = undefined
    this.closesAt = undefined
    this.allocation = { mode: 'fcfs' }
    /** Of a drawn round: where its newest draw stands (draw-facts.js). */
    this.facts = undefined
    this.stock = undefined
    /** When the last news came, monotonic milliseconds. */
    this.newsAt = 0
    /** Grants a second, one number a second, oldest first; undefined where nothing came. */
    this.rates = []
    /** What was missed and is known again: { grants, ms, until }. */
    this.caughtUp = undefined
    this.#lost = undefined
  }

  #lost

  /** Takes a round as the API lists it; `now` in monotonic milliseconds. True when it is news. */
  takeRound(round, now) {
    this.campaignId = round.campaign_id
    this.allocation = round.allocation
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
    this.newsAt = now
    this.#samples.push({ at: now, granted })
    this.#forget(now)
    return true
  }

  get isDrawn() {
    return this.allocation.mode !== 'fcfs'
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

  /** Keeps this second's rate for the chart. */
  sample(now, isCurrent) {
    this.rates.push(isCurrent ? this.rate(now) : undefined)
    if (this.rates.length > HISTORY) this.rates.shift()
  }

  /** Milliseconds until nothing is left at the pace of the last seconds; undefined when there is no such pace. */
  forecast() {
    const measured = this.rates.slice(-FORECAST_SECONDS).filter(rate => rate !== undefined)
    const pace = measured.reduce((sum, rate) => sum + rate, 0) / measured.length
    if (this.stock.state !== 'open' || !(pace > 0)) return undefined
    const ms = (this.stock.remaining * 1000) / pace
    return ms < FORECAST_MS_MAX ? ms : undefined
  }

  /** The stream is lost: from here on nothing is known. */
  lose(now) {
    if (this.stock) this.#lost ??= { at: now, granted: this.stock.granted }
  }

  /** The stream is there again and the stock was read. */
  recover(now) {
    if (!this.#lost) return
    const { at, granted } = this.#lost
    this.caughtUp = { grants: this.stock.granted - granted, ms: now - at, until: now + GAP_SHOWN_MS }
    this.#lost = undefined
    this.#samples = [{ at: now, granted: this.stock.granted }]
  }
}
