/**
 * What is wrong with a campaign's keys, as one moment of them shows it: its scripts are refused (`fenced`) while its state,
 * ledger or vouchers are missing or contradict each other, and a key beside them that is missing is found by what another one
 * counts. Read at checks of the server, in one transaction of one slot.
 *
 * Not seen: a part of a HASH that is lost (but of vouchers, requests and answers, which are counted), and keys that may be
 * absent rightly: `due`, `touched`, `usage`, `settlements`.
 */
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'

export interface CampaignDamage {
  readonly what: string
  /** Nothing of its vouchers can be redeemed; else what is damaged lies beside that. */
  readonly isFenced: boolean
}

const missing = (key: string, isFenced: boolean): CampaignDamage => ({ what: `${key} in Redis is missing`, isFenced })

const differs = (key: string, has: number, other: string, says: string): CampaignDamage => ({
  what: `${key} in Redis has ${has} entries, ${other} says ${says}`,
  isFenced: true,
})

export class CampaignChecks {
  readonly #link: Link

  constructor(link: Link) {
    this.#link = link
  }

  /** What is wrong with a campaign of which a round is served; undefined when nothing is. Throws Fault. */
  async damage(id: string): Promise<CampaignDamage | undefined> {
    const [state, ledger, vouchers] = [keys.campaignState(id), keys.campaignLedger(id), keys.campaignVouchers(id)]
    const [rules, read] = await Promise.all([
      this.#link.request(client => client.hget(keys.campaigns(), id)),
      this.#link.request(client =>
        client
          .multi()
          .hmget(state, 'last', 'entries', 'vouchers')
          .xlen(ledger)
          .hlen(vouchers)
          .xrange(ledger, '-', '+', 'COUNT', 2)
          .exists(keys.campaignBalances(id))
          .exists(keys.campaignBudget(id))
          .hlen(keys.campaignRedemptions(id))
          .hlen(keys.campaignRequests(id))
          .hlen(keys.campaignAnswers(id))
          .exec(),
      ),
    ])
    const unread = (read ?? []).find(([cause]) => cause)?.[0]
    if (unread) return { what: `its keys in Redis cannot be read: ${unread.message}`, isFenced: true }
    const replies = (read ?? []).map(([, reply]) => reply)
    const [last, entries, touched] = replies[0] as (string | null)[]
    if (!last || !entries || !touched) return missing(state, true)
    const [entriesHas, vouchersHas] = replies.slice(1, 3) as number[]
    if (entriesHas !== Number(entries)) return differs(ledger, entriesHas ?? 0, state, entries)
    if (vouchersHas !== Number(touched)) return differs(vouchers, vouchersHas ?? 0, state, touched)
    if (rules === null) return { what: `its row in ${keys.campaigns()} in Redis is missing`, isFenced: true }
    const { budget } = JSON.parse(rules) as { readonly budget?: unknown }
    return besides(id, replies[3] as Entries, replies.slice(4) as number[], budget !== undefined)
  }
}

type Entries = readonly (readonly [id: string, words: readonly string[]])[]

/** What lies beside what a redemption needs: each key by what another one says of it. */
function besides(
  id: string,
  entries: Entries,
  counts: readonly number[],
  hasBudget: boolean,
): CampaignDamage | undefined {
  const [balances = 0, budget = 0, redemptions = 0, requests = 0, answers = 0] = counts
  const isMoved = entries.some(([, words]) => (words[words.indexOf('legs') + 1] ?? '') !== '')
  if (isMoved && balances === 0) return missing(keys.campaignBalances(id), false)
  if (hasBudget && budget === 0) return missing(keys.campaignBudget(id), false)
  // Each request has one answer, and each answer is of a redemption or of a reversal of one.
  if (requests < Math.max(answers, redemptions)) return missing(keys.campaignRequests(id), false)
  if (answers < requests) return missing(keys.campaignAnswers(id), false)
  return answers > 0 && redemptions === 0 ? missing(keys.campaignRedemptions(id), false) : undefined
}
