/**
 * Campaigns whose keys in Redis are missing or contradict each other, of the rounds that this worker serves. Their rounds would
 * go on granting codes that nobody can redeem, so the checks of a node look at them, too, every five seconds. Where a redemption
 * is refused, so are the claims of the campaign's rounds, from memory; what lies beside that is reported and stops nothing.
 *
 * Rejected: campaigns looked at by the claims themselves, which lie in another slot.
 */
import type { Finding } from '../../base/finding.ts'
import type { CampaignChecks, CampaignDamage } from '../../store/data/campaign-checks.ts'

const SIDE_BY_SIDE = 16

/** How a campaign that is damaged is reported. */
export const campaignFinding = (id: string, { what, isFenced }: CampaignDamage): Finding => ({
  what: `campaign ${id}: ${what}; ${
    isFenced ? 'its vouchers and the claims of its rounds are fenced' : 'claims and redemptions go on without it'
  }`,
  mend: 'pause its rounds, and restore that key from a backup',
})

export class DamagedCampaigns {
  readonly #checks: Pick<CampaignChecks, 'damage'>
  #found: ReadonlyMap<string, CampaignDamage> = new Map()
  #fenced: ReadonlySet<string> = new Set()

  constructor(checks: Pick<CampaignChecks, 'damage'>) {
    this.#checks = checks
  }

  has(id: string): boolean {
    return this.#found.has(id)
  }

  /** Whether nothing of it could be redeemed, as of the last look; a look into memory, for the claim path. */
  isFenced(id: string): boolean {
    return this.#fenced.has(id)
  }

  /** Looks at the campaigns of the rounds that are served. Throws Fault. */
  async look(served: Iterable<string>): Promise<readonly Finding[]> {
    const ids = [...new Set(served)]
    const found = new Map<string, CampaignDamage>()
    for (let from = 0; from < ids.length; from += SIDE_BY_SIDE)
      await Promise.all(
        ids.slice(from, from + SIDE_BY_SIDE).map(async id => {
          const damage = await this.#checks.damage(id)
          if (damage) found.set(id, damage)
        }),
      )
    this.#found = found
    this.#fenced = new Set([...found].flatMap(([id, { isFenced }]) => (isFenced ? [id] : [])))
    return [...found].map(([id, damage]) => campaignFinding(id, damage))
  }
}
