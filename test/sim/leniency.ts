/**
 * What the judge of a simulated world forgives, each with what the round itself says of it and the bound that
 * docs/reliability.md promises; how often each was needed is counted, and `npm run sim` prints the list.
 *
 * Nothing is forgiven that tells a sequence to two people, and nothing at all where the round does not say so: a world
 * without lost journals, silent engines, jumped clocks and noted conflicts is judged in full.
 */

/** By name: what is counted, in words. */
export const LENIENCIES = {
  not_open: '`not_open` within 250 ms of a first grant, where a clock of Redis jumped',
  moments: 'moments out of order, given back by the clock of another server that jumped',
  aside: 'holders refused, or told another moment, while a silent engine was away',
  conflicts: 'answers that the round notes as conflicts',
  journals: 'checks over answers of an engine whose journal was lost',
  codes: 'codes absent whose journal was lost, or that are noted conflicts',
} as const

export type Leniency = keyof typeof LENIENCIES
export type Forgiven = Record<Leniency, number>

export const LENIENCY_NAMES = Object.keys(LENIENCIES) as readonly Leniency[]

export const nothingForgiven = (): Forgiven => ({
  not_open: 0,
  moments: 0,
  aside: 0,
  conflicts: 0,
  journals: 0,
  codes: 0,
})

export function addForgiven(all: Forgiven, some: Forgiven): void {
  for (const name of LENIENCY_NAMES) all[name] += some[name]
}

/** For how long after somebody was granted `not_open` may be said, microseconds: a lease. */
export const NOT_OPEN_US = 250_000

/** What the loss of an engine's journals may break: what it told, and the order and the ends that rest on it. */
const LOST_WITH_JOURNALS = /^I(3|8|9|10)-|^I1-(gaps|sold-out)/
/**
 * Who holds a sequence that is set aside is known to nobody but an engine that was silent for too long: who holds it may be
 * refused until it is back, and where only one comes back that was asked again, the moment of the grant is that of asking again.
 */
const TRUE_WHILE_ASIDE = /^I9-vouchers|^I10-holder/
/** A grant that is given back has the moment of the server that made it, whose clock may have been ahead of the next one's. */
const CLOCKS_DIFFER = /^I12-clock/

/** Which leniency covers a check that does not hold, by what the round says of itself. */
export function leniencyOf(
  check: string,
  round: { readonly journalsLost: boolean; readonly aside: boolean; readonly clockJumped: boolean },
): Leniency | undefined {
  if (round.aside && TRUE_WHILE_ASIDE.test(check)) return 'aside'
  if (round.clockJumped && CLOCKS_DIFFER.test(check)) return 'moments'
  return round.journalsLost && LOST_WITH_JOURNALS.test(check) ? 'journals' : undefined
}
