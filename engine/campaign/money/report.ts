/**
 * What became of a campaign: how many vouchers were issued, used and left, what they cost, over time, by pool and by
 * merchants' tags. It is counted from the ledger and nothing else, so the report and the money cannot differ. Rows for
 * a study have a pseudonym in place of the user: a keyed hash that is the same over a campaign's rounds and tells
 * nothing without the engine's secret.
 */
import { createHmac, hkdfSync } from 'node:crypto'
import { daysInOrder } from '../../base/business-day.ts'
import { rfc3339 } from '../../base/clock.ts'
import { partsOf } from '../../base/holder.ts'
import type { LedgerEntry } from '../../store/data/ledger-store.ts'
import { grantedOf } from '../../store/data/notice.ts'
import { lostRound } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import type { Campaign } from '../round/campaigns.ts'
import type { RoundConfig } from '../round/round-config.ts'
import type { Merchants } from '../voucher/merchants.ts'
import { OrderValues } from './order-values.ts'
import type { Sweep } from './sweep.ts'

export const NOT_CAUSAL =
  'Gross order value per unit of subsidy is what the orders that used a voucher came to. It is not the causal effect ' +
  'of the subsidy: some of these orders would have been made without it. Compare with people who got no voucher.'

/** Counts and minor units of some part of a campaign. */
interface Sums {
  redeemed: number
  reversed: number
  subsidy: number
  gross: number
}

export interface DayRow extends Sums {
  readonly business_date: string
  expired: number
  /** What is used up to this day's end, of all vouchers issued. */
  redemption_rate: number
}

/** A day while it is counted: `used` is by how much more vouchers are used at its end than at its beginning. */
type OpenDay = Omit<DayRow, 'redemption_rate'> & { used: number }

/**
 * By how much an entry changes how many vouchers are used: one that was redeemed stays so until a reversal makes it active
 * again or a hold takes it out of use. A partial or late reversal moves money and leaves it used.
 */
function usedBy({ kind, count }: LedgerEntry): number {
  if (kind === 'redeem') return 1
  return kind === 'hold' || (kind === 'reverse' && count === '1') ? -1 : 0
}

const newSums = (): Sums => ({ redeemed: 0, reversed: 0, subsidy: 0, gross: 0 })
const share = (part: number, whole: number): number => (whole === 0 ? 0 : Math.round((part / whole) * 1e4) / 1e4)

class Count {
  readonly all = newSums()
  readonly days = new Map<string, OpenDay>()
  readonly pools = new Map<string, Sums>()
  readonly merchants = new Map<string, Sums>()
  used = 0
  expired = 0
  deactivated = 0
  held = 0
  readonly #dayOf: (ms: number) => { readonly date: string }
  readonly #values = new OrderValues()

  constructor(timezone: string) {
    this.#dayOf = daysInOrder(timezone)
  }

  add(entry: LedgerEntry): void {
    const { kind } = entry
    if (kind === 'expire') {
      const count = Number(entry.count ?? 0)
      this.expired += count
      this.#day(entry).expired += count
    } else if (kind === 'deactivate') this.deactivated++
    else if (kind === 'redeem' || kind === 'reverse' || kind === 'hold') this.#use(entry)
  }

  #use(entry: LedgerEntry): void {
    const { kind, merchant = '' } = entry
    if (kind === 'hold') this.held++
    const [day, used] = [this.#day(entry), usedBy(entry)]
    this.used += used
    day.used += used
    const { pool, subsidy, gross } = this.#values.take(entry)
    const sums = [this.all, day, sumsOf(this.pools, pool), sumsOf(this.merchants, merchant)]
    for (const sum of sums) {
      if (kind === 'redeem') sum.redeemed++
      if (kind === 'reverse') sum.reversed++
      sum.gross += gross
      sum.subsidy += subsidy
    }
  }

  #day(entry: LedgerEntry): OpenDay {
    const { date } = this.#dayOf(Number(entry.at))
    const row = this.days.get(date) ?? { business_date: date, ...newSums(), expired: 0, used: 0 }
    this.days.set(date, row)
    return row
  }
}

function sumsOf(map: Map<string, Sums>, key: string): Sums {
  const sums = map.get(key) ?? newSums()
  map.set(key, sums)
  return sums
}

export class Reports {
  readonly #options: { store: Store; sweep: Sweep; merchants: Merchants; secret: Buffer }

  constructor(options: { store: Store; sweep: Sweep; merchants: Merchants; secret: Buffer }) {
    this.#options = options
  }

  /** The report as of now; what is due by time is moved first. */
  async report(campaign: Campaign) {
    await this.#options.sweep.campaign(campaign)
    const count = new Count(campaign.timezone)
    for await (const entry of this.#options.store.ledger.entries(campaign.id)) count.add(entry)
    const { packs, vouchers: issued, byPool } = await this.#issued(campaign)
    const { all, used: redeemed, expired, deactivated, held } = count
    let used = 0
    const days = [...count.days.values()].map(({ used: more, ...day }): DayRow => {
      used += more
      return { ...day, redemption_rate: share(used, issued) }
    })
    return {
      campaign_id: campaign.id,
      name: campaign.name,
      currency: campaign.currency,
      timezone: campaign.timezone,
      at: rfc3339(await this.#options.store.ledger.now(campaign.id)),
      packs,
      vouchers: {
        issued,
        redeemed,
        expired,
        deactivated: deactivated + held,
        active: issued - redeemed - expired - deactivated - held,
      },
      redemption_rate: share(redeemed, issued),
      ...all,
      gross_per_subsidy: share(all.gross, all.subsidy),
      not_causal: NOT_CAUSAL,
      by_day: days,
      by_pool: byPool.map(row => ({ ...row, ...(count.pools.get(row.pool) ?? newSums()) })),
      by_merchant_tag: await this.#byTag(count.merchants),
    }
  }

  /** One row a grant behind a (round, sequence), for a study: who it was is a pseudonym. */
  async *study(campaign: Campaign, after: { readonly roundId: string; readonly sequence: number } | undefined) {
    const uses = new Map<string, Sums>()
    const packs = new Map<number, number>()
    const rounds = await this.#options.store.rounds.index(campaign.id)
    const configs: RoundConfig[] = []
    for (const round of rounds) {
      const config = JSON.parse((await this.#stateOf(round.id)).config) as RoundConfig
      configs.push(config)
      packs.set(
        config.number,
        config.pack.reduce((sum, { quantity }) => sum + quantity, 0),
      )
    }
    const values = new OrderValues()
    for await (const entry of this.#options.store.ledger.entries(campaign.id)) addUse(uses, packs, values, entry)
    const key = Buffer.from(hkdfSync('sha256', this.#options.secret, campaign.id, 'fairgrab/study/v1', 32))
    const start = Math.max(
      0,
      configs.findIndex(({ id }) => id === after?.roundId),
    )
    for (const config of configs.slice(start)) {
      const first = config.id === after?.roundId ? after.sequence + 1 : 1
      for await (const batch of this.#options.store.claims.batches(config.id, first)) {
        for (const [i, holder] of batch.holders.entries()) {
          const sequence = batch.firstSequence + i
          if (sequence < first) continue
          const person = createHmac('sha256', key).update(partsOf(holder).userId).digest('hex').slice(0, 20)
          const use = uses.get(`${config.number}:${sequence}`) ?? newSums()
          const pool = config.pools[batch.poolOf(i)] as string
          yield { person, round_id: config.id, pool, sequence, granted_at: rfc3339(batch.at), ...use }
        }
      }
    }
  }

  /** A round of the index; one that Redis has lost is in no figure, so nothing is counted without it. */
  async #stateOf(id: string) {
    const read = await this.#options.store.rounds.read(id)
    if (!read) throw lostRound(id)
    return read
  }

  async #issued(campaign: Campaign) {
    const pools = new Map<string, number>()
    let packs = 0
    let vouchers = 0
    for (const { id } of await this.#options.store.rounds.index(campaign.id)) {
      const read = await this.#stateOf(id)
      const config = JSON.parse(read.config) as RoundConfig
      packs += grantedOf(read.notice)
      vouchers += grantedOf(read.notice) * config.pack.reduce((sum, { quantity }) => sum + quantity, 0)
      for (const [place, { granted }] of read.notice.pools.entries()) {
        const pool = config.pools[place] as string
        pools.set(pool, (pools.get(pool) ?? 0) + granted)
      }
    }
    return { packs, vouchers, byPool: [...pools].map(([pool, granted]) => ({ pool, packs: granted })) }
  }

  /** A merchant with several tags counts for each of them; one without any counts for none. */
  async #byTag(merchants: ReadonlyMap<string, Sums>) {
    const tags = new Map<string, Sums>()
    const ids = [...merchants.keys()]
    const known = await this.#options.merchants.tagsOf(ids)
    for (const id of ids) {
      const own = merchants.get(id) as Sums
      for (const tag of known.get(id) ?? []) {
        const sums = sumsOf(tags, tag)
        for (const field of Object.keys(own) as (keyof Sums)[]) sums[field] += own[field]
      }
    }
    return [...tags].sort().map(([tag, sums]) => ({ tag, ...sums }))
  }
}

/** Counts a use for its grant: a voucher's serial has the sequence. */
function addUse(
  uses: Map<string, Sums>,
  packs: ReadonlyMap<number, number>,
  values: OrderValues,
  entry: LedgerEntry,
): void {
  if (entry.kind !== 'redeem' && entry.kind !== 'reverse' && entry.kind !== 'hold') return
  const [number, serial] = (entry.voucher ?? '').split(':').map(Number)
  const sequence = Math.floor((serial as number) / (packs.get(number as number) ?? 1)) + 1
  const sums = sumsOf(uses, `${number}:${sequence}`)
  if (entry.kind === 'redeem') sums.redeemed++
  if (entry.kind === 'reverse') sums.reversed++
  const { subsidy, gross } = values.take(entry)
  sums.gross += gross
  sums.subsidy += subsidy
}

export type Report = Awaited<ReturnType<Reports['report']>>
