/**
 * Money as a person reads and types it: minor units by ISO 4217, the table of engine/base/currency.ts (a test compares them).
 * Yen have none, a Kuwaiti dinar has a thousand fils.
 */
const DIGITS = {
  ...{ BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0 },
  ...{ UGX: 0, UYI: 0, VND: 0, VUV: 0, XAF: 0, XOF: 0, XPF: 0 },
  ...{ BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3 },
  ...{ CLF: 4, UYW: 4 },
}

/** Digits behind the point. */
export const currencyDigits = currency => DIGITS[currency] ?? 2

/** An amount of the API without its currency, in the reader's numbers. */
export function amountText(minor, currency) {
  const digits = currencyDigits(currency)
  const whole = minor % 10 ** digits === 0
  return (minor / 10 ** digits).toLocaleString(undefined, {
    minimumFractionDigits: whole ? 0 : digits,
    maximumFractionDigits: digits,
  })
}

/** The same with its currency. */
export const money = (minor, currency) => `${amountText(minor, currency)} ${currency}`

/** Minor units of a text such as `10` or `10.50`; NaN for anything else, more digits than the currency has too. */
export function minorUnits(text, currency) {
  const digits = currencyDigits(currency)
  const [, whole, part = ''] = /^\s*(\d{1,13})(?:[.,](\d+))?\s*$/.exec(text) ?? []
  if (whole === undefined || part.length > digits) return Number.NaN
  return Number(whole) * 10 ** digits + Number(part.padEnd(digits, '0'))
}
