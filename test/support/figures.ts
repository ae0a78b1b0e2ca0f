/**
 * What a fault test counted, for the summary of `npm run fault`: a line of JSON in the file that the run names.
 *
 * A test tells its figures after its last expectation, so a figure in the summary is one of a row that held. Without
 * FAULT_FIGURES, as in `npm test`, nothing is written. Rejected: reading them out of what vitest prints, whose
 * frames around a test's words change from release to release.
 */

import { appendFileSync } from 'node:fs'

export type Figures = Readonly<Record<string, number>>

/** Adds a row's counts; the run sums what one row tells more than once, and keeps the largest of what is called slowest. */
export function tell(figures: Figures): void {
  const { FAULT_FIGURES: file } = process.env
  if (file) appendFileSync(file, `${JSON.stringify(figures)}\n`)
}
