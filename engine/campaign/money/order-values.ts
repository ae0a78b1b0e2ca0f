/**
 * What the orders came to that vouchers were redeemed for, as far as their discounts stand: a redemption of which a part was
 * reversed counts with the same part of its order, one that was reversed or taken back in full with nothing. So a campaign's
 * order value and its subsidy are of the same redemptions, and their ratio means something.
 *
 * A reversal's and a hold's entry names the voucher and neither order nor pool, so those of the redemption that stands are kept.
 * What counts is a whole number of minor units at each moment (halves go up), and an entry is the step from one to the next.
 */
import { type LedgerEntry, legOf } from '../../store/data/ledger-store.ts'

interface Redeemed {
  readonly pool: string
  readonly order: number
  readonly discount: number
  /** Of the discount. */
  left: number
}

/** What an entry changes, minor units. */
export interface Moved {
  /** Who redeemed was granted from it; empty where no redemption of the voucher was seen. */
  readonly pool: string
  readonly subsidy: number
  readonly gross: number
}

function standing({ order, discount, left }: Redeemed): number {
  if (left === discount) return order
  // Amounts have up to 53 bits, so their product has more than a number holds.
  return Number((2n * BigInt(order) * BigInt(left) + BigInt(discount)) / (2n * BigInt(discount)))
}

export class OrderValues {
  readonly #redeemed = new Map<string, Redeemed>()

  /** Takes the entries of redemptions, reversals and holds, in the ledger's order. */
  take(entry: LedgerEntry): Moved {
    const { kind, voucher = '', pool = '' } = entry
    const subsidy = legOf(entry, account => account.startsWith('payable:'))
    if (kind === 'redeem') {
      const order = Number(entry.gross ?? 0)
      this.#redeemed.set(voucher, { pool, order, discount: subsidy, left: subsidy })
      return { pool, subsidy, gross: order }
    }
    const made = this.#redeemed.get(voucher)
    if (!made) return { pool: '', subsidy, gross: 0 }
    const before = standing(made)
    made.left += subsidy
    // One that gave no discount has no parts: it is taken back whole.
    return { pool: made.pool, subsidy, gross: (made.discount === 0 ? 0 : standing(made)) - before }
  }
}
