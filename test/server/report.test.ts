/**
 * Every figure of a campaign's report, derived twice more: from what tills and operators were told, kept by the test as
 * it went along, and from the entries of the ledger as the API lists them.
 *
 * Histories are random: two rounds with pools, four merchants with and without tags, a week of days, with redemptions,
 * partial, full and late reversals, vouchers taken out of use, merchants held, and validities that end on the way. The
 * campaign's clock is moved to noon of each day. Both derivations are slow and plain; neither uses the engine's counting.
 */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'

const DAY_MS = 86_400_000
const DAYS = 7
const TAGS: Readonly<Record<string, readonly string[]>> = { m0: ['food'], m1: ['food', 'books'], m2: ['books'], m3: [] }
const MERCHANTS = Object.keys(TAGS)

let redis: RedisServer
let client: Redis
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'no' })
  client = rawRedis(redis.url)
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
  for (const [id, tags] of Object.entries(TAGS))
    await api.call('PUT', `/v1/merchants/${id}`, { body: { name: id, tags } })
})
afterAll(async () => {
  client.disconnect()
  await worker.stop()
  await redis.stop()
})

/** A voucher and what became of it, as the test was told. */
interface Known {
  readonly code: string
  readonly pool: string
  readonly place: string
  readonly expiresAt: number
  state: 'active' | 'used' | 'expired' | 'deactivated'
  redemption?: {
    readonly id: string
    readonly merchant: string
    readonly day: number
    left: number
    order: number
    discount: number
  }
}

/** One thing that happened. */
interface Event {
  readonly what: 'redeem' | 'reverse' | 'hold' | 'expire' | 'deactivate'
  readonly day: number
  readonly voucher: Known
  readonly merchant?: string
  readonly subsidy: number
  readonly gross: number
  readonly used: number
}

class History {
  readonly events: Event[] = []
  readonly vouchers: Known[] = []
  readonly #next: () => number
  readonly #noon = Math.ceil((Date.now() + 8 * 3_600_000) / DAY_MS) * DAY_MS + 4 * 3_600_000
  readonly #campaign: string
  #key = 0
  day = 0

  constructor(next: () => number, campaign: string) {
    this.#next = next
    this.#campaign = campaign
  }

  /** The date of a day in Shanghai, whose noon is four o'clock UTC. */
  dateOf(day: number): string {
    return new Date(this.#noon + day * DAY_MS).toISOString().slice(0, 10)
  }

  async claim({ id }: Round, pools: readonly string[], count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const pool = pools[i % pools.length] as string
      const { status, body } = await api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id: `u${i}`, pool })
      expect(status).toBe(201)
      for (const { code, expires_at } of body.vouchers) {
        const place = `${id} ${body.claim.sequence}`
        this.vouchers.push({ code, pool, place, expiresAt: Date.parse(expires_at), state: 'active' })
      }
    }
  }

  /** Goes on to noon of a day; what has ended by then expires there, with the first look at the campaign. */
  async begin(day: number): Promise<void> {
    this.day = day
    const noon = this.#noon + day * DAY_MS
    await client.hset(keys.campaignState(this.#campaign), 'ahead', noon - Date.now())
    await api.get(`/v1/campaigns/${this.#campaign}/report`)
    for (const voucher of this.vouchers) {
      if (voucher.state !== 'active' || voucher.expiresAt > noon) continue
      voucher.state = 'expired'
      this.#note('expire', voucher)
    }
  }

  /** Does one thing at random, as far as there is a voucher for it. */
  async step(): Promise<void> {
    const kind = below(this.#next, 20)
    const of = (state: Known['state']) => this.vouchers.filter(voucher => voucher.state === state)
    const pick = <T>(list: readonly T[]): T | undefined => list[below(this.#next, Math.max(1, list.length))]
    if (kind < 11) return this.#redeem(pick(of('active')), pick(MERCHANTS) as string)
    if (kind < 18)
      return this.#reverse(pick(of('used').filter(({ redemption }) => (redemption?.left ?? 0) > 0)), kind < 15)
    return this.#deactivate(pick(of('active')))
  }

  /** Holds all that a merchant redeemed; nothing is settled here. */
  async hold(merchant: string): Promise<void> {
    const hit = this.vouchers.filter(({ state, redemption }) => state === 'used' && redemption?.merchant === merchant)
    const { body } = await api.post(`/v1/campaigns/${this.#campaign}/holds`, { merchant_id: merchant, reason: 'fraud' })
    const held = hit.filter(({ redemption }) => (redemption?.left ?? 0) > 0)
    expect(body.redemptions).toBe(held.length)
    for (const voucher of held) {
      voucher.state = 'deactivated'
      const [subsidy, gross] = [-(voucher.redemption?.left ?? 0), -this.#standing(voucher)]
      this.#note('hold', voucher, { merchant, subsidy, gross, used: -1 })
    }
  }

  async #redeem(voucher: Known | undefined, merchant: string): Promise<void> {
    if (!voucher) return
    const gross = 4000 + below(this.#next, 5000)
    const order = { id: `o${++this.#key}`, amount: gross, currency: 'CNY' }
    const asked = { code: voucher.code, order, merchant_id: merchant }
    const { status, body } = await api.post('/v1/redemptions', asked, this.#fresh())
    expect([status, body.code]).toEqual([201, voucher.code])
    const discount = body.discount_amount as number
    voucher.state = 'used'
    voucher.redemption = { id: body.id as string, merchant, day: this.day, left: discount, order: gross, discount }
    this.#note('redeem', voucher, { merchant, subsidy: discount, gross, used: 1 })
  }

  async #reverse(voucher: Known | undefined, isPartial: boolean): Promise<void> {
    const made = voucher?.redemption
    if (!voucher || !made || (isPartial && made.left < 2)) return
    const amount = isPartial ? 1 + below(this.#next, made.left - 1) : made.left
    const asked = isPartial ? { type: 'partial', amount } : { type: 'full' }
    const reply = await api.post(`/v1/redemptions/${made.id}/reversals`, { ...asked, reason: 'refund' }, this.#fresh())
    expect([reply.status, reply.body.amount]).toEqual([201, amount])
    const { body } = await api.get(`/v1/vouchers/${voucher.code}`)
    const before = this.#standing(voucher)
    made.left -= amount
    if (body.state === 'active') voucher.state = 'active'
    this.#note('reverse', voucher, {
      merchant: made.merchant,
      subsidy: -amount,
      gross: this.#standing(voucher) - before,
      used: body.state === 'active' ? -1 : 0,
    })
  }

  async #deactivate(voucher: Known | undefined): Promise<void> {
    if (!voucher) return
    const { status } = await api.post(`/v1/vouchers/${voucher.code}/deactivate`, { reason: 'lost' })
    expect(status).toBe(200)
    voucher.state = 'deactivated'
    this.#note('deactivate', voucher)
  }

  /** What counts of a redemption's order: all of it, or the part that what is left of the discount is of the discount. */
  #standing({ redemption }: Known): number {
    return redemption ? Math.round((redemption.order * redemption.left) / redemption.discount) : 0
  }

  #note(what: Event['what'], voucher: Known, more: Partial<Event> = {}): void {
    this.events.push({ what, voucher, day: this.day, subsidy: 0, gross: 0, used: 0, ...more })
  }

  #fresh() {
    return { 'idempotency-key': `${this.#campaign}-${++this.#key}` }
  }
}

const sum = (amounts: readonly number[]) => amounts.reduce((all, each) => all + each, 0)
const share = (part: number, whole: number) => (whole === 0 ? 0 : Math.round((part / whole) * 1e4) / 1e4)
const counted = (events: readonly Event[], what: Event['what']) => events.filter(event => event.what === what).length
const sumsOf = (events: readonly Event[]) => ({
  redeemed: counted(events, 'redeem'),
  reversed: counted(events, 'reverse'),
  subsidy: sum(events.map(({ subsidy }) => subsidy)),
  gross: sum(events.map(({ gross }) => gross)),
})

/** The report as it follows from what was told. */
function expectedOf(history: History): Fields {
  const { events, vouchers } = history
  const issued = vouchers.length
  const used = vouchers.filter(({ state }) => state === 'used').length
  const [expired, active] = ['expired', 'active'].map(word => vouchers.filter(({ state }) => state === word).length)
  const deactivated = vouchers.filter(({ state }) => state === 'deactivated').length
  const days = [...new Set(events.filter(({ what }) => what !== 'deactivate').map(({ day }) => day))].sort(
    (a, b) => a - b,
  )
  const pools = [...new Set(vouchers.map(({ pool }) => pool))].sort()
  const tags = [...new Set(events.flatMap(({ merchant }) => (merchant ? (TAGS[merchant] ?? []) : [])))].sort()
  const all = sumsOf(events)
  return {
    packs: new Set(vouchers.map(({ place }) => place)).size,
    vouchers: { issued, redeemed: used, expired, deactivated, active },
    redemption_rate: share(used, issued),
    ...all,
    gross_per_subsidy: share(all.gross, all.subsidy),
    by_day: days.map(day => ({
      business_date: history.dateOf(day),
      ...sumsOf(events.filter(event => event.day === day)),
      expired: counted(
        events.filter(event => event.day === day),
        'expire',
      ),
      redemption_rate: share(sum(events.filter(event => event.day <= day).map(event => event.used)), issued),
    })),
    by_pool: pools.map(pool => ({
      pool,
      packs: new Set(vouchers.filter(voucher => voucher.pool === pool).map(({ place }) => place)).size,
      ...sumsOf(events.filter(({ voucher }) => voucher.pool === pool)),
    })),
    by_merchant_tag: tags.map(tag => ({
      tag,
      ...sumsOf(events.filter(({ merchant }) => merchant && TAGS[merchant]?.includes(tag))),
    })),
  }
}

interface Entry extends Fields {
  readonly kind: string
  readonly at: string
  readonly legs: readonly { readonly account: string; readonly amount: number }[]
}

/** Redemptions, their money and what is used, by days, as the entries of the ledger have it. */
async function ledgerOf(campaign: string): Promise<readonly Fields[]> {
  const days = new Map<string, { subsidy: number; used: number }>()
  for (let cursor = ''; ; ) {
    const page = await api.get<{ data: Entry[]; has_more: boolean; next_cursor: string }>(
      `/v1/campaigns/${campaign}/ledger/entries?limit=100${cursor}`,
    )
    for (const { kind, at, legs, count } of page.body.data) {
      if (kind !== 'redeem' && kind !== 'reverse' && kind !== 'hold') continue
      const date = new Date(Date.parse(at) + 8 * 3_600_000).toISOString().slice(0, 10)
      const day = days.get(date) ?? { subsidy: 0, used: 0 }
      days.set(date, day)
      for (const { account, amount } of legs) if (account.startsWith('payable:')) day.subsidy += amount
      day.used += kind === 'redeem' ? 1 : kind === 'hold' || count === '1' ? -1 : 0
    }
    if (!page.body.has_more) break
    cursor = `&cursor=${page.body.next_cursor}`
  }
  return [...days].map(([date, day]) => ({ date, ...day }))
}

/** What a report says over and above what is compared. */
const FRAME = ['campaign_id', 'name', 'currency', 'timezone', 'at', 'not_causal']
const rowsOf = (report: Fields, name: string) => report[name] as Fields[]
const byName = (name: string) => (a: Fields, b: Fields) => (String(a[name]) < String(b[name]) ? -1 : 1)

async function expectReport(history: History, campaign: string): Promise<void> {
  const { body: report } = await api.get(`/v1/campaigns/${campaign}/report`)
  const told = Object.fromEntries(Object.entries(report).filter(([name]) => !FRAME.includes(name)))
  expect({ ...told, by_pool: rowsOf(told, 'by_pool').sort(byName('pool')) }).toEqual(expectedOf(history))
  let used = 0
  const issued = history.vouchers.length
  const rates = new Map(rowsOf(report, 'by_day').map(row => [row.business_date, row]))
  for (const day of await ledgerOf(campaign)) {
    used += day.used as number
    expect(rates.get(day.date)).toMatchObject({ subsidy: day.subsidy, redemption_rate: share(used, issued) })
  }
  expect(rowsOf(report, 'by_day').at(-1)?.redemption_rate).toBe(report.redemption_rate)
}

test.each([1, 2, 3])(
  'every figure of a report follows from what was told, and from the ledger: history %d',
  async run => {
    const next = random(run)
    const pools = [{ name: 'students', stock: 6 }]
    const pack = [
      { ...PACK[0], quantity: 1, valid_for_s: 4 * 86_400 },
      { ...PACK[0], template: 'b', quantity: 1, valid_for_s: 604_800 * 2 },
    ]
    const first = await makeRound(api, { stock: 14, pools }, { pack, timezone: 'Asia/Shanghai' })
    const campaign = first.campaign_id
    const history = new History(next, campaign)
    await history.claim(first, ['general', 'students'], 12)
    for (let day = 0; day < DAYS; day++) {
      await history.begin(day)
      if (day === 2) {
        const rules = { stock: 8, opens_at: '2020-01-01T00:00:00Z' }
        const { body } = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, rules)
        await history.claim(body, ['general'], 8)
      }
      for (let i = 0; i < 8; i++) await history.step()
      if (day === 3 + run) await history.hold(`m${run}`)
      await expectReport(history, campaign)
    }
    const partial = history.events.filter(({ what, used }) => what === 'reverse' && used === 0)
    expect(partial.length).toBeGreaterThan(0)
  },
  120_000,
)

test('what was reversed counts with neither its discount nor its order, redeemed again with those of the new order', async () => {
  const { id, campaign_id: campaign } = await makeRound(api, { stock: 2 })
  const { vouchers } = (await api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id: 'ada' })).body
  let key = 0
  const post = (path: string, body: Fields) => api.post(path, body, { 'idempotency-key': `${id}-${++key}` })
  const redeem = async (amount: number) => {
    const order = { id: `o${key}`, amount, currency: 'CNY' }
    const { body } = await post('/v1/redemptions', { code: vouchers[0]?.code, order, merchant_id: 'm0' })
    return body.id as string
  }
  const report = async () => {
    const { body } = await api.get(`/v1/campaigns/${campaign}/report`)
    return [body.subsidy, body.gross, body.gross_per_subsidy]
  }
  await post(`/v1/redemptions/${await redeem(5000)}/reversals`, { type: 'full', reason: 'refund' })
  expect(await report()).toEqual([0, 0, 0])
  const again = await redeem(4500)
  expect(await report()).toEqual([1000, 4500, 4.5])
  await post(`/v1/redemptions/${again}/reversals`, { type: 'partial', amount: 333, reason: 'refund' })
  expect(await report()).toEqual([667, 3002, 4.5007])
  const study = await api.get<{ data: Fields[] }>(`/v1/campaigns/${campaign}/study`)
  expect(study.body.data).toMatchObject([{ redeemed: 2, reversed: 2, subsidy: 667, gross: 3002 }])
  await api.post(`/v1/campaigns/${campaign}/holds`, { merchant_id: 'm0', reason: 'fraud' })
  expect(await report()).toEqual([0, 0, 0])
})

test('a day that no money of the campaign can lie in is refused by its name, not settled and not a fault', async () => {
  const { campaign_id: id } = await makeRound(api, {}, { timezone: 'Asia/Shanghai' })
  const settle = (business_date: string) => api.post(`/v1/campaigns/${id}/settlements`, { business_date })
  for (const date of ['0000-01-01', '1900-01-01', '1970-01-01', '2001-02-03']) {
    const body = expectProblem(await settle(date), 'invalid')
    expect(body.detail).toMatch(new RegExp(`^business_date: ${date} lies before the campaign was made, \\d{4}-`))
  }
  for (const date of ['2999-12-31', '9999-12-31']) {
    const body = expectProblem(await settle(date), 'day_open')
    expect(body.detail).toMatch(new RegExp(`^the business day ${date} lies ahead: it is \\d{4}-\\d\\d-\\d\\d there$`))
  }
})
