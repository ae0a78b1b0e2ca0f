/**
 * Money: what a pack can cost and what a voucher takes off, in whole minor units.
 *
 * The property compares with exact arithmetic in BigInt: the sponsor never pays a unit more than was stated, and at
 * most one unit less than the exact share.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AMOUNT_MAX } from '../../engine/base/limits.ts'
import {
  type Discount,
  discountOf,
  packAmount,
  type Template,
  vouchersOf,
} from '../../engine/campaign/round/round-config.ts'
import { newCampaign } from '../../engine/wire/schemas.ts'
import { seed } from '../support/seed.ts'

const off = (amount: number): Discount => ({ type: 'amount_off', amount_off: amount, minimum_amount: 0 })
const percent = (share: number, most = AMOUNT_MAX): Discount => ({
  type: 'percent_off',
  percent_off: share,
  minimum_amount: 0,
  maximum_discount_amount: most,
})
const template = (name: string, quantity: number, discount: Discount): Template => ({
  template: name,
  quantity,
  discount,
  valid_for_s: 60,
})
const amounts = fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 0, max: AMOUNT_MAX }))

test('a discount, row by row', () => {
  const rows: readonly [Discount, number, number][] = [
    [off(1000), 4000, 1000],
    [off(1000), 1000, 1000],
    [off(1000), 999, 999],
    [off(1000), 0, 0],
    [percent(10), 4000, 400],
    [percent(10), 4009, 400],
    [percent(33.33), 10_000, 3333],
    [percent(33.33), 9999, 3332],
    [percent(0.01), 9999, 0],
    [percent(0.01), 10_000, 1],
    [percent(100), 12_345, 12_345],
    [percent(50, 300), 601, 300],
    [percent(50, 300), 599, 299],
    [percent(29), 100, 29],
    [percent(57), 100, 57],
    [percent(1.15), 10_000, 115],
    [percent(100), AMOUNT_MAX, AMOUNT_MAX],
    [percent(99.99), AMOUNT_MAX, Number((BigInt(AMOUNT_MAX) * 9999n) / 10_000n)],
  ]
  for (const [discount, order, expected] of rows)
    expect(discountOf(discount, order), `${JSON.stringify(discount)} of ${order}`).toBe(expected)
})

test('a share is exact and rounded down, never above the most, never above the order', () => {
  const shares = fc.integer({ min: 1, max: 10_000 })
  fc.assert(
    fc.property(shares, amounts, amounts, (hundredths, order, most) => {
      const discount = discountOf(percent(hundredths / 100, most), order)
      const exact = (BigInt(order) * BigInt(hundredths)) / 10_000n
      expect(BigInt(discount)).toBe(exact < BigInt(most) ? exact : BigInt(most))
      expect(discount).toBeLessThanOrEqual(order)
    }),
    { seed, numRuns: 2000 },
  )
})

test('a share that hundredths cannot say is refused at the door, so what is stated is what is paid', () => {
  const campaign = (discount: object) =>
    newCampaign.safeParse({ name: 'x', currency: 'CNY', pack: [{ template: 't', discount, valid_for_s: 60 }] })
  const percentOff = (share: number) => campaign({ ...percent(share) })
  for (const share of [0.01, 0.07, 1.15, 4.35, 8.2, 33.33, 57, 99.99, 100])
    expect(percentOff(share).success, String(share)).toBe(true)
  for (const share of [0.001, 0.005, 33.339, 99.999, 0, -1, 100.01])
    expect(percentOff(share).success, String(share)).toBe(false)
})

test('a pack costs at most the sum of its vouchers, each at its most', () => {
  const pack = [template('a', 5, off(1000)), template('b', 2, percent(50, 300)), template('c', 1, off(1))]
  expect(packAmount(pack)).toBe(5 * 1000 + 2 * 300 + 1)
  expect(packAmount([])).toBe(0)
  expect(packAmount([template('a', 2, off(AMOUNT_MAX / 2))])).toBe(AMOUNT_MAX)
  expect(vouchersOf(pack).map(voucher => voucher.template)).toEqual(['a', 'a', 'a', 'a', 'a', 'b', 'b', 'c'])
})

test('no voucher takes more than the pack was counted with', () => {
  const discounts = fc.oneof(
    amounts.map(off),
    fc.tuple(fc.integer({ min: 1, max: 10_000 }), amounts).map(([share, most]) => percent(share / 100, most)),
  )
  fc.assert(
    fc.property(discounts, amounts, (discount, order) => {
      expect(discountOf(discount, order)).toBeLessThanOrEqual(packAmount([template('a', 1, discount)]))
    }),
    { seed },
  )
})
