/**
 * What this node does now, read from its own /metrics and /readyz once a second: rates by outcome, quantiles of the
 * decision, viewers, workers, health.
 *
 * Rates are differences between two readings over the time between them; a counter that fell (a worker was replaced)
 * counts as standing still for that second. Quantiles are taken as Prometheus takes them, linearly inside a bucket, of
 * the batches of the last five seconds. Rejected: numbers of the page's own from the engine. What is on the wall and
 * what the alerts fire on must be one thing.
 */
const QUANTILE_READINGS = 5

/** Prometheus's text as a map of `name` or `name{labels}` to number. */
export function parseMetrics(text) {
  const values = new Map()
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ')
    if (at > 0 && line[0] !== '#') values.set(line.slice(0, at), Number(line.slice(at + 1)))
  }
  return values
}

/** The values of a metric by its only label. */
export function byLabel(values, name) {
  const found = new Map()
  for (const [key, value] of values) {
    const label = key.startsWith(`${name}{`) && /="([^"]*)"/.exec(key)
    if (label) found.set(label[1], value)
  }
  return found
}

/** The quantile of a histogram's growth, in its unit, or undefined when nothing was observed. */
export function quantile(share, before, after) {
  const buckets = [...after].map(([edge, count]) => [
    edge === '+Inf' ? Infinity : Number(edge),
    count - (before.get(edge) ?? 0),
  ])
  buckets.sort(([a], [b]) => a - b)
  const total = buckets.at(-1)?.[1] ?? 0
  if (total <= 0) return undefined
  const rank = share * total
  let [lowEdge, lowCount] = [0, 0]
  for (const [edge, count] of buckets) {
    if (count >= rank) {
      if (edge === Infinity) return lowEdge
      return count === lowCount ? edge : lowEdge + ((edge - lowEdge) * (rank - lowCount)) / (count - lowCount)
    }
    lowEdge = edge
    lowCount = count
  }
  return lowEdge
}

const BUCKETS = 'fairgrab_batch_seconds_bucket'

export class NodePulse {
  #readings = []

  /** Takes one reading; `at` in monotonic milliseconds. Gives what is known now, undefined at the first. */
  take(text, at) {
    const values = parseMetrics(text)
    const last = this.#readings.at(-1)
    const oldest = this.#readings[0]
    this.#readings.push({ at, outcomes: byLabel(values, 'fairgrab_claims_total'), buckets: byLabel(values, BUCKETS) })
    if (this.#readings.length > QUANTILE_READINGS) this.#readings.shift()
    if (!last) return undefined
    const { outcomes, buckets } = this.#readings.at(-1)
    const seconds = (at - last.at) / 1000
    const rates = new Map()
    for (const [outcome, count] of outcomes)
      rates.set(outcome, Math.max(0, count - (last.outcomes.get(outcome) ?? 0)) / seconds)
    return {
      rates,
      p50: quantile(0.5, oldest.buckets, buckets),
      p99: quantile(0.99, oldest.buckets, buckets),
      viewers: byLabel(values, 'fairgrab_round_viewers'),
      sockets: values.get('fairgrab_stream_sockets') ?? 0,
      workers: values.get('fairgrab_workers') ?? 0,
      ready: values.get('fairgrab_ready') ?? 0,
      unanswered: values.get('fairgrab_claims_unanswered') ?? 0,
      oversold: values.get('fairgrab_oversold') ?? 0,
      memoryBytes: values.get('fairgrab_redis_memory_bytes') ?? 0,
    }
  }

  /** After a gap differences would span it: begin anew. */
  forget() {
    this.#readings = []
  }
}
