/**
 * What happened in each tenth of a second: claims sent, granted, refused, and the most in flight.
 *
 * Every generator keeps its own and the sums are the run's; since all of them count from one monotonic instant, the
 * bins line up. The most in flight of a bin is summed too: it is exact within the bin's tenth of a second. What remains
 * of the stock is not measured here but follows from the grants, so that it cannot disagree with them.
 */

export const BIN_US = 100_000

export interface TimelineColumns {
  readonly sent: number[]
  readonly granted: number[]
  readonly refused: number[]
  readonly inFlight: number[]
}

const COLUMNS = ['sent', 'granted', 'refused', 'inFlight'] as const

export class Timeline {
  readonly columns: TimelineColumns

  constructor(columns: TimelineColumns = { sent: [], granted: [], refused: [], inFlight: [] }) {
    this.columns = columns
  }

  count(column: 'sent' | 'granted' | 'refused', atUs: number, count: number): void {
    const bin = Math.max(0, Math.floor(atUs / BIN_US))
    const values = this.columns[column]
    values[bin] = (values[bin] ?? 0) + count
  }

  inFlight(atUs: number, count: number): void {
    const bin = Math.max(0, Math.floor(atUs / BIN_US))
    if (count > (this.columns.inFlight[bin] ?? 0)) this.columns.inFlight[bin] = count
  }

  get bins(): number {
    return Math.max(...COLUMNS.map(column => this.columns[column].length))
  }

  get inFlightMax(): number {
    return this.columns.inFlight.reduce((most, count) => Math.max(most, count ?? 0), 0)
  }

  /** Rows for timeline.csv and the charts. */
  rows(stock: number): TimelineRow[] {
    let remaining = stock
    return Array.from({ length: this.bins }, (_, bin) => {
      const granted = this.columns.granted[bin] ?? 0
      remaining -= granted
      return {
        second: bin / 10,
        sent: this.columns.sent[bin] ?? 0,
        granted,
        refused: this.columns.refused[bin] ?? 0,
        in_flight: this.columns.inFlight[bin] ?? 0,
        remaining,
      }
    })
  }
}

export interface TimelineRow {
  readonly second: number
  readonly sent: number
  readonly granted: number
  readonly refused: number
  readonly in_flight: number
  readonly remaining: number
}

export function mergeTimelines(parts: readonly TimelineColumns[]): Timeline {
  const sum = new Timeline()
  for (const column of COLUMNS) {
    for (const part of parts) {
      for (const [bin, count] of part[column].entries())
        sum.columns[column][bin] = (sum.columns[column][bin] ?? 0) + (count ?? 0)
    }
  }
  return sum
}
