/**
 * Money where a person reads or types it has the digits of its currency: yen have none, Kuwaiti dinars three.
 *
 * The dashboard runs in browsers and imports nothing of the engine, so its table is a copy; it is held to the engine's
 * own here, currency by currency, and both to the digits that ISO 4217 gives.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { currencyDigits, moneyText } from '../../engine/base/currency.ts'

const PAGES = join(import.meta.dirname, '../../engine/dashboard')

interface Currency {
  readonly currencyDigits: (currency: string) => number
  readonly minorUnits: (text: string, currency: string) => number
}

interface Rules {
  readonly release: (
    values: Readonly<Record<string, string>>,
    now: number,
  ) => { readonly faults: readonly unknown[]; readonly campaign: { readonly pack: readonly unknown[] } }
}

const page = (await import(join(PAGES, 'base/currency.js'))) as Currency
const { release } = (await import(join(PAGES, 'desk/release-rules.js'))) as Rules

const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
const CODES = LETTERS.flatMap(a => LETTERS.flatMap(b => LETTERS.map(c => a + b + c)))

test('the page counts the digits of every currency as the engine does', () => {
  expect(CODES.filter(code => page.currencyDigits(code) !== currencyDigits(code))).toEqual([])
  expect([0, 2, 3, 4].map(digits => CODES.filter(code => currencyDigits(code) === digits).length)).toEqual([
    17,
    CODES.length - 26,
    7,
    2,
  ])
})

test.each([
  ['JPY', 1000, '1,000'],
  ['CNY', 1250, '12.50'],
  ['KWD', 1250, '1.250'],
  ['CLF', 12_345, '1.2345'],
])('%s: %i minor units are read as %s', (currency, minor, text) => {
  expect(moneyText(minor, currency)).toBe(text)
})

test.each([
  ['JPY', '1000', 1000],
  ['JPY', '1000.5', Number.NaN],
  ['CNY', '9.5', 950],
  ['CNY', '9.505', Number.NaN],
  ['KWD', '1.25', 1250],
  ['KWD', '1,250', 1250],
  ['CLF', '1', 10_000],
])('%s: "%s" typed is %i minor units', (currency, text, minor) => {
  expect(page.minorUnits(text, currency)).toBe(minor)
})

test('the form makes what was typed, in every currency', () => {
  const values = {
    ...{ name: 'x', quantity: '1', days: '7', stock: '10', per_user: '1', pool: '', pool_stock: '', budget: '' },
    ...{ opens: '', closes: '', draws: '', window: '', waitlist: '', mode: 'fcfs' },
  }
  const made = (currency: string, off: string, minimum: string) => {
    const { faults, campaign } = release({ ...values, currency, off, minimum }, 0)
    expect(faults).toEqual([])
    return campaign.pack[0]
  }
  expect(made('JPY', '1000', '4000')).toMatchObject({
    template: '4000-1000',
    discount: { amount_off: 1000, minimum_amount: 4000 },
  })
  expect(made('KWD', '1.25', '4')).toMatchObject({
    template: '4-1.25',
    discount: { amount_off: 1250, minimum_amount: 4000 },
  })
  expect(made('CNY', '10', '40')).toMatchObject({
    template: '40-10',
    discount: { amount_off: 1000, minimum_amount: 4000 },
  })
})
