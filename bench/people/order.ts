/**
 * Orders and how people use a pack, as WORKLOADS of real releases say: amounts bunch just above the threshold.
 *
 * For a coupon "40-10", 30 % of the orders lie between the threshold and 15 % above it, the others at the threshold
 * times one plus a log-normal share (mean 124 yuan, median 70, 99th percentile 844). Eight of a hundred people use no
 * voucher of their pack, the others each with p .763. Merchants follow Zipf's law, so a few of them get most orders.
 */

import type { Random } from './random.ts'

export const ORDER = { bunched: 0.3, bunchWidth: 0.15, mu: 0.376, sigma: 1.2, thresholdMinor: 4000 } as const
export const PACK_USE = { none: 0.08, each: 0.763 } as const

/** An order's amount in minor units, never below the threshold. */
export function orderAmount(random: Random): number {
  const { bunched, bunchWidth, mu, sigma, thresholdMinor } = ORDER
  const excess = random.uniform() < bunched ? random.between(0, bunchWidth) : random.logNormal(Math.exp(mu), sigma)
  return Math.round(thresholdMinor * (1 + excess))
}

/** How many vouchers of a pack its owner redeems. */
export function vouchersUsed(random: Random, pack: number): number {
  return random.uniform() < PACK_USE.none ? 0 : random.binomial(pack, PACK_USE.each)
}

/** A merchant's number in 1..merchants, Zipf with exponent 1 by inversion of the harmonic sum's integral. */
export function merchantOf(random: Random, merchants: number): number {
  return Math.min(merchants, Math.floor(Math.exp(random.uniform() * Math.log(merchants + 1))))
}
