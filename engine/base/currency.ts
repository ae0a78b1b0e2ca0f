/**
 * Minor units of currencies, as ISO 4217 counts them (list one, amended to 2026): how many digits stand behind the point.
 * All that are not in the table have two. The API speaks in minor units only; this is for what a person reads. The dashboard
 * has the same table in currency.js, and a test compares them. Rejected: Intl, whose data round some currencies to what
 * is used in shops (IQD, COP).
 */
const DIGITS: Readonly<Record<string, number>> = {
  ...{ BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0 },
  ...{ UGX: 0, UYI: 0, VND: 0, VUV: 0, XAF: 0, XOF: 0, XPF: 0 },
  ...{ BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3 },
  ...{ CLF: 4, UYW: 4 },
}

/** Digits behind the point. */
export const currencyDigits = (currency: string): number => DIGITS[currency] ?? 2

/** Minor units as a person reads them, `1,234.50`; the currency itself is not in it. */
export function moneyText(minor: number, currency: string): string {
  const digits = currencyDigits(currency)
  return (minor / 10 ** digits).toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}
