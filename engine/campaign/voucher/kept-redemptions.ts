/**
 * Redemptions as they stand now: what was answered when each was made, with what its reversals and holds left of it.
 *
 * One is found by its id, which names its campaign. Those of an order are found by looking at all redemptions of all campaigns,
 * a page at a time: a million take some seconds, so this is for a person who looks one case up. Rejected: an index by order, which
 * each redemption would pay for, at the till.
 */
import { Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import type { KeptRedemption, LedgerStore } from '../../store/data/ledger-store.ts'
import type { Campaigns } from '../round/campaigns.ts'

/** As the API shows it; the rest is what was answered when it was made. */
export interface ShownRedemption {
  readonly id: string
  /** succeeded, partial, reversed or deactivated. */
  readonly state: string
  readonly merchant_id: string
  readonly order_id: string
  /** Minor units of the discount that were taken back. */
  readonly reversed_amount: number
  readonly redeemed_at: string
}

/** The campaign that the id of a redemption names; undefined for what is no id of one. */
export const campaignIn = (redemption: string): string | undefined => {
  const [, id] = redemption.match(/^rdm_([0-9a-z]{16})_[0-9a-z]{16}$/) ?? []
  return id && `cmp_${id}`
}

export class KeptRedemptions {
  readonly #ledger: LedgerStore
  readonly #campaigns: Campaigns

  constructor(ledger: LedgerStore, campaigns: Campaigns) {
    this.#ledger = ledger
    this.#campaigns = campaigns
  }

  /** The redemption of an id, of one merchant only where that is given. Throws `not_found`. */
  async of(id: string, merchant?: string): Promise<ShownRedemption> {
    const campaignId = campaignIn(id)
    const kept = campaignId && (await this.#ledger.redemption(campaignId, id))
    const found = kept && shown(kept)
    if (!found || (merchant !== undefined && found.merchant_id !== merchant))
      throw new Refusal('not_found', 'there is no such redemption')
    return found
  }

  /** The redemptions of a merchant's order, oldest first. */
  async ofOrder(order: string, merchant: string): Promise<readonly ShownRedemption[]> {
    const found = new Map<string, ShownRedemption>()
    for (const { id: campaignId } of await this.#campaigns.all())
      for await (const record of this.#ledger.redemptions(campaignId)) {
        if (record.order !== order || record.merchant !== merchant || found.has(record.id)) continue
        const kept = await this.#ledger.redemption(campaignId, record.id)
        if (kept) found.set(record.id, shown(kept))
      }
    return [...found.values()].sort((a, b) => (a.redeemed_at + a.id < b.redeemed_at + b.id ? -1 : 1))
  }
}

const shown = ({ at, answer, state, reversed }: KeptRedemption): ShownRedemption => ({
  ...(JSON.parse(answer) as ShownRedemption),
  state,
  reversed_amount: reversed,
  redeemed_at: rfc3339(at),
})
