/**
 * Latency histograms: whole microseconds, three significant digits, from 1 µs to 5 minutes.
 *
 * They are HDR histograms, so they merge across processes without loss and can be written as .hgrm for the usual
 * plotters. Values are clamped to the range instead of refused: an answer after five minutes is five minutes too late.
 * perf_hooks.createHistogram was rejected because it cannot leave its process, averages because they hide the tail.
 */

import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'

export const LATENCY_US_MAX = 300_000_000

export class Latency {
  readonly #histogram: Histogram

  constructor(encoded?: string) {
    this.#histogram =
      encoded === undefined
        ? build({ lowestDiscernibleValue: 1, highestTrackableValue: LATENCY_US_MAX, numberOfSignificantValueDigits: 3 })
        : decodeFromCompressedBase64(encoded)
  }

  record(us: number, count = 1): void {
    const value = Math.min(Math.max(Math.round(us), 1), LATENCY_US_MAX)
    this.#histogram.recordValueWithCount(value, count)
  }

  add(other: Latency): void {
    this.#histogram.add(other.#histogram)
  }

  get count(): number {
    return this.#histogram.totalCount
  }

  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram)
  }

  /** The percentile distribution as HdrHistogram's tools read it, in milliseconds. */
  toHgrm(): string {
    return this.#histogram.outputPercentileDistribution(5, 1000)
  }

  at(percentile: number): number {
    return this.count === 0 ? 0 : this.#histogram.getValueAtPercentile(percentile)
  }

  summary(): LatencySummary {
    return {
      count: this.count,
      p50_us: this.at(50),
      p90_us: this.at(90),
      p99_us: this.at(99),
      p999_us: this.at(99.9),
      max_us: this.count === 0 ? 0 : this.#histogram.maxValue,
    }
  }
}

export interface LatencySummary {
  readonly count: number
  readonly p50_us: number
  readonly p90_us: number
  readonly p99_us: number
  readonly p999_us: number
  readonly max_us: number
}

/** One histogram of what several processes recorded. */
export function mergeLatencies(encoded: readonly string[]): Latency {
  const sum = new Latency()
  for (const one of encoded) sum.add(new Latency(one))
  return sum
}
