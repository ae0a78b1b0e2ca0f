/**
 * A timeline against the answers it was counted from: does one start of the run exist with which every claim falls into
 * its tenth of a second?
 *
 * The record has the moments and the timeline has the counts; what neither has is the instant that the timeline counts
 * from. Each tenth bounds it: its first event is not before the tenth begins, its last is before the next one. Counts that
 * are other than the record's are told as such; where no start fits all bounds, events were moved. The most in flight
 * is not in the record. Rejected: keeping the start in the record, which would be one more number to forge.
 */

import { GRANT, type History, MEANINGS } from '../audit/history.ts'
import { firstKnown } from '../measure/story.ts'
import { BIN_US, type TimelineRow } from '../measure/timeline.ts'

type Counted = 'sent' | 'granted' | 'refused'

/** Moments are sums of floating numbers: they are exact to far less than this. */
const ROUNDING_US = 1

/** By column: the moments of its events, ascending. */
function momentsOf(history: History, stock: number): Readonly<Record<Counted, Float64Array>> {
  const { sent, answered, outcome } = history.at
  const refused = answered
    .subarray(0, history.length)
    .filter((at, row) => at !== Number.POSITIVE_INFINITY && MEANINGS[outcome[row]!] !== GRANT)
  return {
    sent: sent.slice(0, history.length).sort(),
    granted: firstKnown(history, stock)
      .filter(at => at !== Number.POSITIVE_INFINITY)
      .sort(),
    refused: refused.sort(),
  }
}

const sumOf = (rows: readonly TimelineRow[], column: Counted): number => rows.reduce((sum, row) => sum + row[column], 0)

/** Sentences about what a timeline says and its record does not give. */
export function timelineDifferences(rows: readonly TimelineRow[], history: History, stock: number): string[] {
  const moments = momentsOf(history, stock)
  const columns = Object.keys(moments) as Counted[]
  const other = columns.filter(column => sumOf(rows, column) !== moments[column].length)
  if (other.length > 0)
    return other.map(
      name => `timeline: the summary says ${sumOf(rows, name)} ${name}, the record gives ${moments[name].length}`,
    )
  let remaining = stock
  let [earliest, latest] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  const seen = { sent: 0, granted: 0, refused: 0 }
  for (const [bin, row] of rows.entries()) {
    remaining -= row.granted
    if (row.remaining !== remaining || row.second !== bin / 10)
      return [`timeline: at ${bin / 10} s ${remaining} remained, the summary says ${row.remaining} at ${row.second} s`]
    for (const column of columns) {
      if (row[column] === 0) continue
      const first = moments[column][seen[column]]!
      seen[column] += row[column]
      // What came before the start is counted in the first tenth.
      if (bin > 0) latest = Math.min(latest, first - bin * BIN_US)
      earliest = Math.max(earliest, moments[column][seen[column] - 1]! - (bin + 1) * BIN_US)
    }
  }
  return earliest <= latest + ROUNDING_US
    ? []
    : ['timeline: the moments of the record do not fit its tenths of a second']
}
