/**
 * Vouchers by their codes. A code is proved in memory before Redis is asked anything: a forged one costs a MAC and is
 * `not_found`, the same as one that was never issued, whichever round it names. Owner, pool and expiry come from the
 * round's log (grant-pages.ts), which never changes; only the state is asked for.
 */
import { splitCode, VoucherCodes } from '../../auth/voucher-codes.ts'
import { Refusal } from '../../base/assert.ts'
import { partsOf } from '../../base/holder.ts'
import type { Random } from '../../base/random.ts'
import type { VoucherFacts } from '../../store/data/voucher-store.ts'
import type { Store } from '../../store/store.ts'
import type { Round } from '../round/round.ts'
import { type Template, worthOf } from '../round/round-config.ts'
import type { RoundView } from '../round/round-view.ts'
import type { Rounds } from '../round/rounds.ts'
import { type Grant, GrantPages } from './grant-pages.ts'

/** What turns one into another: scripts/lib/voucher.lua, which is the only one to decide by it, and docs/redemption.md. */
export type VoucherState = 'active' | 'locked' | 'redeemed' | 'expired' | 'deactivated'

/** A voucher that was issued. */
export interface Voucher {
  readonly code: string
  readonly round: Round
  readonly campaignId: string
  readonly template: Template
  readonly userId: string
  readonly pool: string
  readonly facts: VoucherFacts
}

export interface VoucherLock {
  readonly id: string
  readonly order_id: string
  /** Whose lock it is besides: of a key that is bound to a merchant. */
  readonly merchant_id: string | undefined
  readonly ends_at: number
}

export interface VoucherNow {
  readonly state: VoucherState
  readonly lock: VoucherLock | undefined
  readonly redemption: { readonly at: number; readonly answer: string } | undefined
}

/** Rounds are numbered from 1. */
const NO_ROUND = 0

export class Vouchers {
  readonly #store: Store
  readonly #rounds: Rounds
  readonly #pages: GrantPages
  readonly #decoy: VoucherCodes

  constructor(store: Store, rounds: Rounds, random: Random) {
    this.#store = store
    this.#rounds = rounds
    this.#pages = new GrantPages(store.claims)
    this.#decoy = new VoucherCodes({ secret: random.bytes(32), roundId: 'decoy', roundNumber: 0, packVouchers: 1 })
  }

  /** The voucher of a code; throws `not_found` for one that was not issued, whatever the reason. */
  async of(code: string): Promise<Voucher> {
    const parts = splitCode(code)
    const known = parts && this.#rounds.peekNumber(parts.roundNumber)
    // A code that names no known round is looked for in Redis; so that a wrong one of a known round takes as long to
    // be refused, it waits for the same read.
    const round = known ?? (await this.#rounds.ofNumber(parts?.roundNumber ?? NO_ROUND))
    const opened = parts && (round?.view.codes ?? this.#decoy).open(parts)
    if (known && !opened) await this.#rounds.ofNumber(NO_ROUND)
    const found = round && opened && this.#grantOf(round, opened.sequence)
    const grant = found instanceof Promise ? await found : found
    if (!grant || !round || !opened) throw new Refusal('not_found', 'there is no such voucher')
    const { config, vouchers } = round.view
    const template = vouchers[opened.place] as Template
    return {
      code: parts.text,
      round,
      campaignId: config.campaign_id,
      template,
      userId: partsOf(grant.holder).userId,
      pool: config.pools[grant.pool] as string,
      facts: factsOf(round, opened.serial, template, grant.at),
    }
  }

  /** The grant of a sequence; undefined when it certainly was never granted. Of an epoch that ended meanwhile nothing counts. */
  #grantOf({ view }: Pick<Round, 'view'>, sequence: number): Grant | Promise<Grant | undefined> {
    const { epoch } = view.notice
    const found = this.#pages.of(view.id, epoch, sequence)
    return found && !(found instanceof Promise) ? found : this.#confirmed(view, sequence, epoch, found)
  }

  async #confirmed(
    view: RoundView,
    sequence: number,
    epoch: string,
    found: ReturnType<GrantPages['of']>,
  ): Promise<Grant | undefined> {
    const grant = await found
    if (!grant) {
      this.#rounds.damaged.assertSound(view.id)
      await this.#store.absences.confirm(view.id, sequence)
    }
    if (view.notice.epoch === epoch) return grant
    return this.#grantOf({ view }, sequence)
  }

  /** Whether a voucher is a user's: in a drawn round its holder is a tag. */
  isOwner({ round, userId: holder }: Voucher, userId: string): Promise<boolean> {
    return round.decider.isHolder(userId, holder)
  }

  /** How a voucher stands now. */
  async now({ campaignId, facts }: Voucher): Promise<VoucherNow> {
    const { vouchers } = await this.#store.vouchers.read(campaignId, [facts])
    const read = vouchers[0]
    const [, ends, id, merchant_id, order] = read?.lock.match(/^(\d+) ([^\s@]+)(?:@(\S+))? (.*)$/s) ?? []
    const [, at, answer] = read?.answer.match(/^(\d+) (.*)$/s) ?? []
    return {
      state: read?.state as VoucherState,
      lock: ends && id && order ? { id, order_id: order, merchant_id, ends_at: Number(ends) } : undefined,
      redemption: at && answer ? { at: Number(at), answer } : undefined,
    }
  }

  /** The states of a grant's vouchers, by their place in the pack. */
  async states(round: Round, sequence: number, at: number): Promise<string[]> {
    const { config, vouchers } = round.view
    const first = (sequence - 1) * vouchers.length
    const facts = vouchers.map((template, place) => factsOf(round, first + place, template, at))
    const read = await this.#store.vouchers.read(config.campaign_id, facts)
    return read.vouchers.map(({ state }) => state)
  }
}

function factsOf(round: Round, serial: number, template: Template, grantedAt: number): VoucherFacts {
  const { config } = round.view
  return {
    roundNumber: config.number,
    serial,
    template: config.pack.indexOf(template),
    expiresAt: grantedAt + template.valid_for_s * 1000,
    worth: worthOf(template),
  }
}
