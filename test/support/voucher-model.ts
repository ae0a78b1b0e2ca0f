/**
 * Vouchers and their money as a reader would write them down: the reference that the scripts are compared with on
 * random sequences.
 *
 * It has two templates, a few merchants and a clock that a test moves; it keeps redemptions as a list and counts limits by
 * looking at all of them, where the scripts keep counters. Money is a map of accounts, moved wherever a rule says so.
 * Idempotency-Keys are tested elsewhere: every request here is a new one. Kept naive on purpose.
 */
export const WORTH = 1000
export const LOCK_MS = 150_000
export const MOST = { perOrder: 1, perMerchantAndDay: 1, amountPerDay: 2 * WORTH } as const

type State = 'active' | 'locked' | 'redeemed' | 'expired' | 'deactivated'

interface ModelVoucher {
  state: State
  touched: boolean
  order: string
  /** Of the lock: whom the key that made it is bound to, or empty. */
  merchant: string
  lockEnds: number
  redemption: ModelRedemption | undefined
}

export interface ModelRedemption {
  readonly id: string
  readonly serial: number
  readonly discount: number
  readonly merchant: string
  readonly user: string
  readonly order: string
  readonly day: string
  left: number
  state: 'succeeded' | 'partial' | 'reversed' | 'deactivated'
}

export class VoucherModel {
  now = 0
  readonly expiresAt: number
  readonly vouchers: ModelVoucher[]
  readonly redemptions: ModelRedemption[] = []
  readonly spent = new Map<string, number>()
  readonly accounts: Record<string, number>
  swept = false

  constructor(count: number, validMs: number) {
    this.expiresAt = validMs
    const fresh = {
      state: 'active',
      touched: false,
      order: '',
      merchant: '',
      lockEnds: 0,
      redemption: undefined,
    } as const
    this.vouchers = Array.from({ length: count }, () => ({ ...fresh }))
    this.accounts = { sponsor_funds: -1e6, available: 1e6 - count * WORTH, allocated: count * WORTH }
  }

  /** What counts for a rule now: a lock that ran out is none, a voucher past its validity is expired. */
  stateOf(serial: number): State {
    const { state, lockEnds } = this.#voucher(serial)
    const standing = state === 'locked' && this.now >= lockEnds ? 'active' : state
    return (standing === 'active' || standing === 'locked') && this.now >= this.expiresAt ? 'expired' : standing
  }

  lock(serial: number, order: string, merchant: string): string {
    const state = this.stateOf(serial)
    const refusal = this.#refusal(state)
    if (refusal) return refusal
    const voucher = this.#voucher(serial)
    const isOwn = voucher.order === order && voucher.merchant === merchant
    if (state === 'locked' && !isOwn) return 'voucher_locked'
    if (voucher.state === 'active') this.#move('allocated', 'reserved', WORTH)
    Object.assign(voucher, {
      state: 'locked',
      touched: true,
      order,
      merchant,
      lockEnds: Math.min(this.now + LOCK_MS, this.expiresAt),
    })
    return 'granted'
  }

  unlock(serial: number, order: string, merchant: string): string {
    if (this.stateOf(serial) !== 'locked') return 'replayed'
    const voucher = this.#voucher(serial)
    if (voucher.order !== order || voucher.merchant !== merchant) return 'voucher_locked'
    voucher.state = 'active'
    this.#move('reserved', 'allocated', WORTH)
    return 'granted'
  }

  /** `bound` says that the caller's key is bound to the merchant: it has no part in the locks of keys that are not. */
  redeem(serial: number, made: Omit<ModelRedemption, 'left' | 'state' | 'serial'>, bound: boolean): string {
    const state = this.stateOf(serial)
    const refusal = this.#refusal(state)
    if (refusal) return refusal
    const voucher = this.#voucher(serial)
    const owners = bound ? [made.merchant] : ['', made.merchant]
    const mayUse = voucher.order === made.order && owners.includes(voucher.merchant)
    if (state === 'locked' && !mayUse) return 'voucher_locked'
    const standing = this.redemptions.filter(({ id }) => this.vouchers.some(({ redemption }) => redemption?.id === id))
    const like = (field: 'order' | 'user') =>
      standing.filter(each => each.merchant === made.merchant && each[field] === made[field])
    if (like('order').length >= MOST.perOrder) return 'order_limit'
    if (like('user').filter(({ day }) => day === made.day).length >= MOST.perMerchantAndDay) return 'merchant_limit'
    const spent = this.spent.get(made.day) ?? 0
    if (spent + made.discount > MOST.amountPerDay) return 'budget_exceeded'
    this.spent.set(made.day, spent + made.discount)
    const from = voucher.state === 'locked' ? 'reserved' : 'allocated'
    this.#move(from, `payable:${made.merchant}`, made.discount)
    this.#move(from, 'available', WORTH - made.discount)
    const redemption: ModelRedemption = { ...made, serial, left: made.discount, state: 'succeeded' }
    this.redemptions.push(redemption)
    Object.assign(voucher, { state: 'redeemed', touched: true, redemption })
    return 'granted'
  }

  /** `part` 0 is all that is left. */
  reverse(made: ModelRedemption, part: number): string {
    if (made.state === 'reversed' || made.state === 'deactivated') return 'not_reversible'
    if (part > made.left) return 'over_redeemed'
    const amount = part === 0 ? made.left : part
    const voucher = this.#voucher(made.serial)
    const restores = part === 0 && made.state === 'succeeded' && this.now < this.expiresAt
    this.spent.set(made.day, (this.spent.get(made.day) ?? 0) - amount)
    made.left -= amount
    made.state = made.left === 0 ? 'reversed' : 'partial'
    if (restores) {
      this.#move(`payable:${made.merchant}`, 'allocated', amount)
      this.#move('available', 'allocated', WORTH - made.discount)
      Object.assign(voucher, { state: 'active', redemption: undefined })
    } else this.#move(`payable:${made.merchant}`, 'returned', amount)
    return 'granted'
  }

  deactivate(serial: number): string {
    const state = this.stateOf(serial)
    if (state === 'deactivated') return 'replayed'
    if (state === 'redeemed' || state === 'expired') return state === 'redeemed' ? 'already_redeemed' : 'expired'
    const voucher = this.#voucher(serial)
    this.#move(voucher.state === 'locked' ? 'reserved' : 'allocated', 'returned', WORTH)
    Object.assign(voucher, { state: 'deactivated', touched: true })
    return 'granted'
  }

  hold(made: ModelRedemption): string {
    if (made.state === 'reversed') return 'not_reversible'
    if (made.state === 'deactivated') return 'replayed'
    this.#move(`payable:${made.merchant}`, 'returned', made.left)
    made.left = 0
    made.state = 'deactivated'
    Object.assign(this.#voucher(made.serial), { state: 'deactivated' })
    return 'granted'
  }

  /** What time did by itself: locks end, touched vouchers expire one by one, untouched ones when their bucket ended. */
  sweep(bucketEnds: number): void {
    for (const voucher of this.vouchers) {
      if (voucher.touched && voucher.state === 'locked' && this.now >= voucher.lockEnds) {
        voucher.state = 'active'
        this.#move('reserved', 'allocated', WORTH)
      }
      if (voucher.touched && voucher.state === 'active' && this.now >= this.expiresAt) this.#expire(voucher)
    }
    if (this.now < bucketEnds || this.swept) return
    this.swept = true
    for (const voucher of this.vouchers) if (!voucher.touched) this.#expire(voucher)
  }

  #expire(voucher: ModelVoucher): void {
    voucher.state = 'expired'
    this.#move('allocated', 'returned', WORTH)
  }

  #refusal(state: State): string | undefined {
    return state === 'redeemed'
      ? 'already_redeemed'
      : state === 'expired' || state === 'deactivated'
        ? state
        : undefined
  }

  #voucher(serial: number): ModelVoucher {
    return this.vouchers[serial] as ModelVoucher
  }

  #move(from: string, to: string, amount: number): void {
    this.accounts[from] = (this.accounts[from] ?? 0) - amount
    this.accounts[to] = (this.accounts[to] ?? 0) + amount
  }
}
