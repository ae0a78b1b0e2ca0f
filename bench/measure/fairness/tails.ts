/**
 * The tails of three distributions, exact to about ten digits where they matter: at probabilities of 1e-12.
 *
 * All of them are one function, the regularised incomplete gamma function: a chi-square tail is Q(k/2, x/2), a normal
 * one Q(1/2, z²/2), a Poisson one P or Q at (count, mean). Below the mean the power series converges, above it the
 * continued fraction (Numerical Recipes 6.2, modified Lentz), and each gives its own side directly: 1 - P would lose
 * every digit of a small Q. With half a million degrees of freedom x^a e^-x / Γ(a+1) is a difference of numbers of
 * millions, so it is computed from the deviance (Loader 2000, "Fast and accurate computation of binomial
 * probabilities"), which is small where the result is not.
 *
 * Rejected: a normal approximation for many degrees of freedom. Its tail is wrong by a factor at 1e-7, where we decide.
 */

export interface Tails {
  readonly lower: number
  readonly upper: number
}

const EPSILON = 1e-16
const TINY = 1e-300
const SERIES_BELOW = 0.1

/** x - a - a ln(x / a), without cancellation where x is near a. */
function deviance(a: number, x: number): number {
  const u = (x - a) / a
  if (Math.abs(u) > SERIES_BELOW) return x - a - a * Math.log(x / a)
  let power = u * u
  let sum = power / 2
  for (let n = 3; Math.abs(power) > EPSILON * sum && power !== 0; n++) {
    power *= -u
    sum += power / n
  }
  return a * sum
}

/** What Stirling's formula leaves of ln Γ(a + 1). */
function stirlingRest(a: number): number {
  if (a >= 16) {
    const square = 1 / (a * a)
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - square / 1188) * square) * square) * square) / a
  }
  // Γ(a + 1) = Γ(a + 17) / ((a + 1) … (a + 16)), and Stirling is exact enough at a + 16.
  const far = a + 16
  let logGamma = far * Math.log(far) - far + Math.log(2 * Math.PI * far) / 2 + stirlingRest(far)
  for (let factor = a + 1; factor < far + 0.5; factor++) logGamma -= Math.log(factor)
  return logGamma - (a * Math.log(a) - a + Math.log(2 * Math.PI * a) / 2)
}

/** x^a e^-x / Γ(a + 1). */
function gammaTerm(a: number, x: number): number {
  return Math.exp(-deviance(a, x) - stirlingRest(a)) / Math.sqrt(2 * Math.PI * a)
}

function lowerSeries(a: number, x: number): number {
  let term = 1
  let sum = 1
  for (let n = 1; term > EPSILON * sum; n++) {
    term *= x / (a + n)
    sum += term
  }
  return gammaTerm(a, x) * sum
}

function upperFraction(a: number, x: number): number {
  let b = x + 1 - a
  let c = 1 / TINY
  let d = 1 / b
  let fraction = d
  for (let n = 1, change = 0; Math.abs(change - 1) > 4 * EPSILON && n < 1e7; n++) {
    const numerator = -n * (n - a)
    b += 2
    d = 1 / (numerator * d + b || TINY)
    c = b + numerator / c || TINY
    change = d * c
    fraction *= change
  }
  return gammaTerm(a, x) * a * fraction
}

/** P(a, x) and Q(a, x) for a > 0, x >= 0. */
export function gammaTails(a: number, x: number): Tails {
  if (!(a > 0 && x >= 0)) throw new RangeError(`no gamma tail at a = ${a}, x = ${x}`)
  if (x === 0) return { lower: 0, upper: 1 }
  if (x < a + 1) {
    const lower = lowerSeries(a, x)
    return { lower, upper: 1 - lower }
  }
  const upper = upperFraction(a, x)
  return { lower: 1 - upper, upper }
}

const twoSided = ({ lower, upper }: Tails): number => Math.min(1, 2 * Math.min(lower, upper))

/** The chance of a chi-square of `degrees` at `x` or above. */
export const chiSquareAbove = (x: number, degrees: number): number => gammaTails(degrees / 2, x / 2).upper

/** The chance of a chi-square as far out on either side. */
export const chiSquareTwoSided = (x: number, degrees: number): number => twoSided(gammaTails(degrees / 2, x / 2))

/** The chance of a standard normal at |z| or beyond, both sides. */
export const normalTwoSided = (z: number): number => gammaTails(0.5, (z * z) / 2).upper

/** P(X <= count) and P(X >= count) of a Poisson; both hold the count itself, so they add up to more than 1. */
export function poissonTails(count: number, mean: number): Tails {
  return {
    lower: gammaTails(count + 1, mean).upper,
    upper: count === 0 ? 1 : gammaTails(count, mean).lower,
  }
}

export const poissonTwoSided = (count: number, mean: number): number => twoSided(poissonTails(count, mean))
