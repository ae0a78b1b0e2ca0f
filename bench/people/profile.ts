/**
 * The releases that the bench replays, as one table: how many people and packs, how they arrive, how long it took.
 *
 * `scale` divides people, stock and rates alike: the times stay, so a scaled release has the same shape. The numbers
 * of people and packs are public; the arrival is an assumption, calibrated so that the release sells out at
 * `soldOutS`. `botShare` is the share of all requests that bots send; the number of bot accounts follows from it
 * (they are people of the release who let a program tap for them, not people on top of it).
 *
 * A file a profile was rejected: the five differ in six numbers, and side by side the numbers can be compared.
 */

export interface Profile {
  readonly name: string
  readonly people: number
  readonly stock: number
  /** The share that waits for the countdown; the rest comes exponentially with mean `tailS`. */
  readonly openShare: number
  readonly tailS: number
  readonly botShare: number
  /** Where bots enter a draw: requests that each of them sends as soon as it opens, in place of a rhythm. */
  readonly entryTaps?: number
  /** When the real release had sold out, seconds after it opened. */
  readonly soldOutS: number
  /** Requests a second in the busiest second, as the assumption predicts it at scale 1. */
  readonly peakPerS: number
}

const profile = (name: string, row: Omit<Profile, 'name'>): Profile => ({ name, ...row })

export const PROFILES = {
  hangzhou: profile('hangzhou', {
    people: 1_880_000,
    stock: 1_500_000,
    openShare: 0.35,
    tailS: 90,
    botShare: 0.43,
    soldOutS: 105,
    peakPerS: 541_000,
  }),
  'city-2m': profile('city-2m', {
    people: 3_000_000,
    stock: 2_000_000,
    openShare: 0.35,
    tailS: 90,
    botShare: 0.56,
    soldOutS: 60,
    peakPerS: 1_000_000,
  }),
  scarce: profile('scarce', {
    people: 1_914_000,
    stock: 50_000,
    openShare: 0.5,
    tailS: 60,
    botShare: 0.35,
    soldOutS: 0.1,
    peakPerS: 813_000,
  }),
  wuhan: profile('wuhan', {
    people: 900_000,
    stock: 750_000,
    openShare: 0.15,
    tailS: 300,
    botShare: 0.27,
    soldOutS: 490,
    peakPerS: 116_000,
  }),
  'metro-10m': profile('metro-10m', {
    people: 10_000_000,
    stock: 2_000_000,
    openShare: 0.45,
    tailS: 60,
    botShare: 0.54,
    soldOutS: 0.5,
    peakPerS: 5_600_000,
  }),
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof PROFILES

/** The first tap of those who wait for the countdown: T0 + LogNormal(median, sigma) + Normal(0, skew). */
export const OPENING = { medianS: 0.8, sigma: 0.9, skewS: 0.15 } as const

/** A loser taps again with `p` after about `gapS`, at most `max` times. */
export const RETRY = { p: 0.55, gapS: 1.2, spread: 0.25, max: 6 } as const

/** Who taps twice does so before his first answer can be there. */
export const DOUBLE_TAP = { p: 0.12, withinS: 0.001 } as const

/** Half of the bots tap at a fixed rate whatever they are told, 30 % once a second, 20 % imitate people. */
export const BOTS = { leadS: 1, seconds: 15, rateMin: 5, rateMax: 10, naive: 0.5, spread: 0.3 } as const

/** Bots that enter a draw send this many requests each, all within a fifth of a second of the opening. */
export const DRAW_BOTS = { taps: 50, withinS: 0.2 } as const

/** Taps that one person makes beyond the first if he never wins: p + p^2 + … + p^max. */
export function retriesExpected(): number {
  let sum = 0
  for (let attempt = 1; attempt <= RETRY.max; attempt++) sum += RETRY.p ** attempt
  return sum
}

export interface Sizes {
  readonly people: number
  readonly stock: number
  /** Bot accounts; they are the people with the highest indexes. */
  readonly bots: number
}

/** What a profile is at a scale: at least one person and one pack. */
export function sizesOf(row: Profile, scale: number): Sizes {
  const people = Math.max(1, Math.round(row.people * scale))
  const stock = Math.max(1, Math.round(row.stock * scale))
  const fixedTaps = row.entryTaps ?? BOTS.seconds * (BOTS.naive * ((BOTS.rateMin + BOTS.rateMax) / 2) + BOTS.spread)
  // Whoever has entered a draw does not ask again.
  const retries = row.entryTaps === undefined ? Math.max(0, people - stock) * retriesExpected() : 0
  const human = people * (1 + DOUBLE_TAP.p) + retries
  const wanted = (row.botShare / (1 - row.botShare)) * human
  // A bot account is a person less: what it would have sent as one moves to the other side of the share.
  const bots = Math.min(people, Math.round(wanted / (fixedTaps + row.botShare)))
  return { people, stock, bots }
}
