/**
 * What became of one voucher, step by step: granted, locked, redeemed, reversed, taken out of use, expired; each with its
 * moment and who asked for it. It is read from the campaign's ledger, from the voucher's granting on.
 *
 * The ledger is not sorted by voucher, so this reads all of it behind that moment: a million entries take some seconds. It
 * is for a person who looks one case up. Rejected: an index by voucher, which each redemption would pay for.
 */
import { signerIn } from '../../auth/callers.ts'
import { rfc3339 } from '../../base/clock.ts'
import { type LedgerEntry, legOf } from '../../store/data/ledger-store.ts'
import type { Store } from '../../store/store.ts'
import { isStrict } from '../round/round-config.ts'
import type { Voucher, Vouchers } from './vouchers.ts'

export interface HistoryEvent {
  /** RFC 3339. */
  readonly at: string
  readonly event: string
  /** The caller's id: a role and a hash. */
  readonly by?: string
  /** The scope of the caller's key. */
  readonly via?: string
  readonly merchant_id?: string
  readonly note?: string
  readonly ref?: string
  /** Of `reversed`: what was taken back of the discount, minor units. */
  readonly amount?: number
}

/** The ledger's kinds in the words of the API. */
const EVENTS: Readonly<Record<string, string>> = {
  lock: 'locked',
  unlock: 'unlocked',
  redeem: 'redeemed',
  reverse: 'reversed',
  deactivate: 'deactivated',
  hold: 'deactivated',
}

/** Those whose scope stands in what was answered; of the others it stands behind the caller's id. */
const ANSWERED = ['redeem', 'reverse']

export class Histories {
  readonly #store: Store
  readonly #vouchers: Vouchers

  constructor(store: Store, vouchers: Vouchers) {
    this.#store = store
    this.#vouchers = vouchers
  }

  /** The events of a voucher, oldest first. */
  async of(voucher: Voucher): Promise<readonly HistoryEvent[]> {
    const { campaignId, template, facts } = voucher
    const grantedAt = facts.expiresAt - template.valid_for_s * 1000
    const field = `${facts.roundNumber}:${facts.serial}`
    const entries: LedgerEntry[] = []
    for await (const entry of this.#store.ledger.entries(campaignId, String(grantedAt)))
      if (entry.voucher === field && entry.kind in EVENTS) entries.push(entry)
    const answers = entries.map(({ kind, ref = '' }) => (ANSWERED.includes(kind) ? ref : ''))
    const vias = await this.#store.ledger.viasOf(campaignId, answers)
    const via = await this.#claimedBy(voucher)
    const events: HistoryEvent[] = [{ at: rfc3339(grantedAt), event: 'granted', ...(via ? { via } : {}) }]
    for (const [i, entry] of entries.entries()) events.push(shown(entry, vias[i]))
    const { state } = await this.#vouchers.now(voucher)
    if (state === 'expired') events.push({ at: rfc3339(facts.expiresAt), event: 'expired' })
    return events
  }

  /** The scope of the key that claimed it, where the round has it. */
  #claimedBy({ round: { view }, facts, userId }: Voucher): Promise<string | undefined> {
    const sequence = Math.floor(facts.serial / view.vouchers.length) + 1
    return this.#store.claims.viaOf(view.id, sequence, userId, isStrict(view.config))
  }
}

function shown(entry: LedgerEntry, answered: string | undefined): HistoryEvent {
  const { at, kind, by = '', merchant, note, ref } = entry
  const { id, via = answered } = signerIn(by)
  return {
    at: rfc3339(Number(at)),
    event: EVENTS[kind] as string,
    ...(id ? { by: id } : {}),
    ...(via ? { via } : {}),
    ...(merchant ? { merchant_id: merchant } : {}),
    ...(note ? { note } : {}),
    ...(ref ? { ref } : {}),
    ...(kind === 'reverse' ? { amount: -legOf(entry, name => name === `payable:${merchant}`) } : {}),
  }
}
