/**
 * How much a test does: the smoke form that every run has time for, or the long form of a night.
 *
 * A test that repeats something (kills, cuts, cases) takes its counts from here, so that the long form is the same
 * code with larger numbers and cannot rot apart. TEST_EFFORT=long asks for it; any other value is a typing error and
 * stops the run, because a night that silently ran the smoke form would prove nothing.
 */

const { TEST_EFFORT: wanted = 'smoke' } = process.env
if (wanted !== 'smoke' && wanted !== 'long') throw new Error(`TEST_EFFORT is ${wanted}, not smoke or long`)

export function effort(smoke: number, long: number): number {
  return wanted === 'long' ? long : smoke
}
