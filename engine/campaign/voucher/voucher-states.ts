/**
 * A voucher's states and what turns one into another: the table that scripts/lib/voucher.lua decides by and that
 * docs/redemption.md shows; a test compares the three. `lock` on a locked voucher is the same order's, again; a lock
 * also ends by itself. `reverse` is a full reversal inside the validity; every other reversal leaves the state alone.
 */
export type VoucherState = 'active' | 'locked' | 'redeemed' | 'expired' | 'deactivated'
export type VoucherVerb = 'lock' | 'unlock' | 'redeem' | 'reverse' | 'expire' | 'deactivate'

export const VOUCHER_TURNS: Readonly<Record<VoucherState, Partial<Record<VoucherVerb, VoucherState>>>> = {
  active: { lock: 'locked', redeem: 'redeemed', expire: 'expired', deactivate: 'deactivated' },
  locked: { lock: 'locked', unlock: 'active', redeem: 'redeemed', expire: 'expired', deactivate: 'deactivated' },
  redeemed: { reverse: 'active', deactivate: 'deactivated' },
  expired: {},
  deactivated: {},
}
