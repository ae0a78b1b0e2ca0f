/**
 * How much a test does: the smoke form that every run has time for, the long form of a night, or one in between.
 *
 * A test that repeats something (kills, cuts, cases) takes its counts from here, so that the long form is the same
 * code with larger numbers and cannot rot apart. TEST_EFFORT=long asks for it; `middle` is the geometric mean of both,
 * to two digits (people are counted in whole numbers), for a machine that is shared. Any other value is a typing error and stops the run, because a night that silently
 * ran the smoke form would prove nothing.
 */

const { TEST_EFFORT: wanted = 'smoke' } = process.env
if (wanted !== 'smoke' && wanted !== 'middle' && wanted !== 'long')
  throw new Error(`TEST_EFFORT is ${wanted}, not smoke, middle or long`)

/** How long one fault test may take, milliseconds; in the longer forms `npm run fault` ends a row by its own bound. */
export const PATIENCE_MS = wanted === 'smoke' ? 180_000 : 3_600_000

export function effort(smoke: number, long: number): number {
  if (wanted === 'middle') return Math.round(Number(Math.sqrt(smoke * long).toPrecision(2)))
  return wanted === 'long' ? long : smoke
}
