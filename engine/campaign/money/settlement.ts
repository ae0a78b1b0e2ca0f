/**
 * Settlement: what each merchant is owed for a business day. The day's rows are the ledger's entries between its first
 * and last millisecond, and those never change once the day is over: a reversal or a hold that comes later is a row of
 * the day it comes on. So the file of a day is made again from the ledger whenever it is asked for, and is the same to
 * the byte; what is kept of it (rows, control total, SHA-256) proves that.
 *
 * Money moves from `payable` to `settled` in parts of 200 merchants, each of which counts once: a settlement that was
 * interrupted is finished by asking again.
 *
 * Merchants' ids may begin like a formula of a spreadsheet, so cells of CSV are guarded (base/shown-text.ts); NDJSON has the
 * ids as they are. Days that were settled before that keep the bytes that their hash is of.
 */
import { createHash } from 'node:crypto'
import { assert, Refusal } from '../../base/assert.ts'
import { type BusinessDay, DAY_MS, dayNamed, dayOf } from '../../base/business-day.ts'
import { rfc3339 } from '../../base/clock.ts'
import { csvCell } from '../../base/shown-text.ts'
import { legOf } from '../../store/data/ledger-store.ts'
import type { Store } from '../../store/store.ts'
import type { Campaign } from '../round/campaigns.ts'
import type { Sweep } from './sweep.ts'

const MERCHANTS_A_PART = 200
const LINES_A_CHUNK = 512
const KINDS = ['redeem', 'reverse', 'hold']
const COLUMNS = ['business_date', 'at', 'kind', 'id', 'merchant_id', 'amount', 'currency'] as const

type SettlementRow = Readonly<Record<(typeof COLUMNS)[number], string | number>>

export interface Settlement {
  readonly campaign_id: string
  readonly business_date: string
  readonly timezone: string
  readonly currency: string
  readonly rows: number
  /** The sum of all rows' amounts, minor units. */
  readonly control_total: number
  /** Of the CSV file's bytes, and of the NDJSON file's. */
  readonly sha256: string
  readonly sha256_ndjson: string
  readonly merchants: readonly { readonly merchant_id: string; readonly rows: number; readonly amount: number }[]
}

export type SettlementFormat = 'csv' | 'ndjson'

export class Settlements {
  readonly #store: Store
  readonly #sweep: Sweep

  constructor(store: Store, sweep: Sweep) {
    this.#store = store
    this.#sweep = sweep
  }

  /** Settles a business day that is over, or finds that it was settled: the same answer. */
  async settle(campaign: Campaign, date: string, by: string): Promise<Settlement> {
    const day = dayIn(campaign, date)
    const today = dayOf(campaign.timezone, await this.#store.ledger.now(campaign.id))
    if (date > today.date)
      throw new Refusal('day_open', `the business day ${date} lies ahead: it is ${today.date} there`)
    if (date === today.date) throw new Refusal('day_open', `the business day ${date} ends at ${rfc3339(day.endsAt)}`)
    const before = await this.#store.ledger.settled(campaign.id, date)
    if (before === undefined) refuseEarlier(campaign, day)
    await this.#sweep.campaign(campaign)
    const cells = cellsOf(before)
    const settlement = await this.#summary(campaign, day, cells)
    const { rows, control_total, sha256, sha256_ndjson, merchants } = settlement
    const form = cells === 'guarded' ? { cells } : {}
    const totals = JSON.stringify({ rows, control_total, sha256, sha256_ndjson, ...form })
    const parts = Math.max(1, Math.ceil(merchants.length / MERCHANTS_A_PART))
    for (let part = 1; part <= parts; part++) {
      const of = merchants.slice((part - 1) * MERCHANTS_A_PART, part * MERCHANTS_A_PART)
      const amounts = of.map(({ merchant_id, amount }) => [merchant_id, amount] as const)
      const call = { date, endsAt: day.endsAt, part, amounts, totals: part === parts ? totals : '', by }
      await this.#store.ledger.settle(campaign.id, call)
    }
    const kept = await this.#store.ledger.settled(campaign.id, date)
    assert(kept === totals, `settlement ${campaign.id} ${date}: the ledger says ${totals}, settled was ${kept}`)
    return settlement
  }

  /** A day that was settled, made again from the ledger; throws `not_found` for one that was not. */
  async settled(campaign: Campaign, date: string): Promise<Settlement> {
    const { day, cells } = await this.#settledDay(campaign, date)
    return this.#summary(campaign, day, cells)
  }

  /** The file of a day that was settled, in chunks of lines. */
  async file(campaign: Campaign, date: string, format: SettlementFormat): Promise<AsyncGenerator<string>> {
    const { day, cells } = await this.#settledDay(campaign, date)
    return linesOf(this.#rows(campaign, day), format, cells)
  }

  async #settledDay(campaign: Campaign, date: string): Promise<{ day: BusinessDay; cells: CellForm }> {
    const day = dayIn(campaign, date)
    const kept = await this.#store.ledger.settled(campaign.id, date)
    if (kept === undefined) throw new Refusal('not_found', `the business day ${date} was not settled`)
    return { day, cells: cellsOf(kept) }
  }

  async *#rows(campaign: Campaign, { date, startsAt, endsAt }: BusinessDay): AsyncGenerator<SettlementRow> {
    for await (const entry of this.#store.ledger.entries(campaign.id, String(startsAt), String(endsAt - 1))) {
      if (!KINDS.includes(entry.kind)) continue
      yield {
        business_date: date,
        at: rfc3339(Number(entry.at)),
        kind: entry.kind,
        id: entry.ref as string,
        merchant_id: entry.merchant as string,
        amount: legOf(entry, account => account.startsWith('payable:')),
        currency: campaign.currency,
      }
    }
  }

  async #summary(campaign: Campaign, day: BusinessDay, cells: CellForm): Promise<Settlement> {
    const csv = createHash('sha256').update(headOf('csv'))
    const ndjson = createHash('sha256')
    const byMerchant = new Map<string, { rows: number; amount: number }>()
    let rows = 0
    let total = 0
    for await (const row of this.#rows(campaign, day)) {
      csv.update(lineOf(row, 'csv', cells))
      ndjson.update(lineOf(row, 'ndjson', cells))
      const sum = byMerchant.get(row.merchant_id as string) ?? { rows: 0, amount: 0 }
      sum.rows++
      sum.amount += row.amount as number
      byMerchant.set(row.merchant_id as string, sum)
      rows++
      total += row.amount as number
    }
    const merchants = [...byMerchant].map(([merchant_id, sum]) => ({ merchant_id, ...sum }))
    return {
      campaign_id: campaign.id,
      business_date: day.date,
      timezone: campaign.timezone,
      currency: campaign.currency,
      rows,
      control_total: total,
      sha256: csv.digest('hex'),
      sha256_ndjson: ndjson.digest('hex'),
      merchants: merchants.sort((a, b) => (a.merchant_id < b.merchant_id ? -1 : 1)),
    }
  }
}

function dayIn({ timezone }: Campaign, date: string): BusinessDay {
  const day = dayNamed(timezone, date)
  if (!day) throw new Refusal('invalid', 'business_date: must be a date, YYYY-MM-DD')
  return day
}

/**
 * Before a campaign was made it has no money, and a log has no times before 1970. The day before is let through: the campaign's
 * time is of a worker's clock, the ledger's of Redis's, and midnight may lie between the two.
 */
function refuseEarlier({ created_at: made }: Campaign, { date, startsAt, endsAt }: BusinessDay): void {
  if (startsAt < 0 || endsAt + DAY_MS <= Date.parse(made))
    throw new Refusal('invalid', `business_date: ${date} lies before the campaign was made, ${made}; give a later day`)
}

const headOf = (format: SettlementFormat): string => (format === 'csv' ? `${COLUMNS.join(',')}\r\n` : '')

/** How a day's cells are written; a day that was settled keeps the form that its hash is of, and the first form has no name. */
type CellForm = 'plain' | 'guarded'
const cellsOf = (kept: string | undefined): CellForm =>
  kept !== undefined && !kept.includes('"cells":"guarded"') ? 'plain' : 'guarded'

const lineOf = (row: SettlementRow, format: SettlementFormat, cells: CellForm): string => {
  if (format === 'ndjson') return `${JSON.stringify(row)}\n`
  return `${COLUMNS.map(column => (cells === 'plain' ? row[column] : csvCell(row[column]))).join(',')}\r\n`
}

async function* linesOf(
  rows: AsyncIterable<SettlementRow>,
  format: SettlementFormat,
  cells: CellForm,
): AsyncGenerator<string> {
  let chunk = headOf(format)
  let held = 0
  for await (const row of rows) {
    chunk += lineOf(row, format, cells)
    if (++held < LINES_A_CHUNK) continue
    yield chunk
    chunk = ''
    held = 0
  }
  if (chunk !== '') yield chunk
}
