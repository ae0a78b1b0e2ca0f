/**
 * Every change that an operator may ask for, made anew each time it is wanted: what has to stand before it, what is asked, what its
 * requests to Redis are known by, and whether it was made once, by the API, the logs and the budgets.
 *
 * Seats of a lottery lapse in a round that is drawn beforehand. The beacon is one that was recorded, and what a fail-over quarantines
 * is written into a round's state: neither can be waited for, and the change is the same.
 */
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { type Api, type Fields, type Granted, makeCampaign, makeRound, PACK, type Round } from './api.ts'
import { ROUND_1000 } from './draw-bundle.ts'

const WORTH = 1000
const ONE_VOUCHER = { pack: [{ ...PACK[0], quantity: 1 }] }
const BUDGET = { budget: { max_amount: 100 * WORTH }, ...ONE_VOUCHER }
/** Seats of the lottery; as many people wait for them. */
const SEATS = 200
const DRAWN = { timeout: 60_000, interval: 20 }

/** A change: what is asked, what its requests to Redis are known by, and whether it was made once. */
export interface Change {
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly marks: readonly string[]
  readonly check: () => Promise<void>
}

/** A lottery whose seats lapse one after the other. */
interface Lottery {
  readonly id: string
  readonly campaign: string
  /** Tags that have a seat, and will. */
  readonly seats: string[]
}

let count = 0
export const fresh = (what: string): string => `${what}-${++count}`

export class OperatorChanges {
  readonly #api: Api
  readonly #client: Redis
  #lottery: Promise<Lottery> | undefined
  /** Rates are everybody's, so one change of them follows another. */
  #rates: Promise<void> = Promise.resolve()

  constructor(api: Api, client: Redis) {
    this.#api = api
    this.#client = client
  }

  readonly kinds: Readonly<Record<string, () => Promise<Change>>> = {
    campaign: () => this.#newCampaign(),
    round: () => this.#newRound(),
    'more stock': () => this.#restock(7),
    'less stock': () => this.#restock(-7),
    open: () => this.#turn('open', 'open'),
    pause: () => this.#turn('pause', 'paused'),
    resume: () => this.#turn('resume', 'open'),
    close: () => this.#turn('close', 'closed'),
    'release of packs': () => this.#releasePacks(),
    beacon: () => this.beacon(),
    lapse: () => this.#lapse(),
    merchant: () => this.#putMerchant(),
    merchants: () => this.#putMerchants(),
    hold: () => this.#holdMerchant(),
    'end of a hold': () => this.#releaseMerchant(),
    'take back': () => this.#takeBack(),
    deactivate: () => this.#deactivate(),
    settle: () => this.#settle(),
    rates: () => this.#setRates(),
  }

  /** What is wrong with the lottery at the end: each seat that lapsed has one line, one voucher out of use and one pack paid for. */
  async lotteryEnds(): Promise<readonly string[]> {
    const { id, campaign, seats } = await this.#openLottery()
    const lines = await this.#promoted(id)
    const lapsed = SEATS - seats.length
    const found = {
      lines: lines.length,
      seats: new Set(lines.map(({ from }) => from)).size,
      vouchers: await this.#booked(campaign, 'deactivate'),
      packs: (await this.#settledBudget(campaign, 2 * SEATS)) / WORTH - SEATS,
    }
    return Object.entries(found).flatMap(([what, made]) =>
      made === lapsed ? [] : [`${lapsed} seats lapsed, ${made} ${what}`],
    )
  }

  /** What is committed of a campaign's budget once all of it is settled, though nobody is under way any more. */
  async #settledBudget(campaign: string, packs = 100): Promise<number> {
    for (const [name, note] of Object.entries(await this.#client.hgetall(keys.unsettledBudgets())))
      if (name.startsWith(`${campaign} `))
        await this.#client.hset(keys.unsettledBudgets(), name, note.replace(/^\d+/, '0'))
    const refused = await this.#api.post(`/v1/campaigns/${campaign}/rounds?dry_run=true`, { stock: packs + 1 })
    expect(refused.body.code).toBe('budget_exceeded')
    return Number(await this.#client.hget(keys.campaignBudget(campaign), 'sum'))
  }

  /** How many entries of a kind a round's log has. */
  async #logged(roundId: string, kind: RegExp): Promise<number> {
    const entries = await this.#client.xrange(keys.roundLog(roundId), '-', '+')
    return entries.filter(([, fields]) => kind.test(fields[fields.indexOf('kind') + 1] ?? '')).length
  }

  /** How many entries of a kind a campaign's ledger has. */
  async #booked(campaign: string, kind: string): Promise<number> {
    const entries = await this.#client.xrange(keys.campaignLedger(campaign), '-', '+')
    return entries.filter(([, fields]) => fields[fields.indexOf('kind') + 1] === kind).length
  }

  async #newCampaign(): Promise<Change> {
    const name = fresh('campaign')
    const check = async () => {
      const { body } = await this.#api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
      const made = body.data.filter(row => row.name === name)
      expect(made).toHaveLength(1)
      expect(await this.#booked(String(made[0]?.id), 'fund')).toBe(1)
    }
    return { method: 'POST', path: '/v1/campaigns', body: { name, currency: 'CNY', ...BUDGET }, marks: ['cmp_'], check }
  }

  async #newRound(): Promise<Change> {
    const campaign = await makeCampaign(this.#api, BUDGET)
    const path = `/v1/campaigns/${campaign}/rounds`
    const check = async () => {
      const { body } = await this.#api.get<{ data: Round[] }>(path)
      expect(body.data.map(({ stock }) => stock.total)).toEqual([10])
      expect(await this.#settledBudget(campaign)).toBe(10 * WORTH)
    }
    return { method: 'POST', path, body: { stock: 10 }, marks: [campaign, 'rnd_'], check }
  }

  async #restock(add: number): Promise<Change> {
    const { id, campaign_id } = await makeRound(this.#api, { stock: 20 }, BUDGET)
    const check = async () => {
      expect((await this.#api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(20 + add)
      expect(await this.#logged(id, /^restock/)).toBe(1)
      expect(await this.#settledBudget(campaign_id)).toBe((20 + add) * WORTH)
    }
    return { method: 'POST', path: `/v1/rounds/${id}/stock`, body: { add }, marks: [id, campaign_id], check }
  }

  async #turn(verb: 'open' | 'pause' | 'resume' | 'close', state: string): Promise<Change> {
    const { id } = await makeRound(this.#api, verb === 'open' ? { opens_at: null } : {}, BUDGET)
    if (verb === 'resume') await this.#api.post(`/v1/rounds/${id}/pause`)
    const check = async () => {
      expect((await this.#api.get<Round>(`/v1/rounds/${id}`)).body.state).toBe(state)
      expect(await this.#logged(id, new RegExp(`^${verb}$`))).toBe(1)
    }
    return { method: 'POST', path: `/v1/rounds/${id}/${verb}`, marks: [id], check }
  }

  /** A round whose first packs a fail-over set aside. */
  async #releasePacks(): Promise<Change> {
    const { id } = await makeRound(this.#api, { stock: 20 }, BUDGET)
    await this.#client.hset(keys.roundState(id), { sequence: 5, ranges: '1-5', q0: 5 })
    const check = async () => {
      const { body } = await this.#api.get<Round & { set_aside: Fields[] }>(`/v1/rounds/${id}`)
      expect(body).toMatchObject({
        stock: { granted: 0, remaining: 20 },
        set_aside: [{ from: 1, to: 5, released: true }],
      })
      expect(await this.#logged(id, /^release$/)).toBe(1)
    }
    return { method: 'POST', path: `/v1/rounds/${id}/release`, marks: [id], check }
  }

  /** A committed list that waits for its beacon, of a round that was closed, or of one that goes on with its next window. */
  async beacon(windowMs?: number): Promise<Change> {
    const allocation = { mode: 'window', window_ms: windowMs ?? 60_000, beacon: { kind: 'drand' } }
    const { id } = await makeRound(this.#api, { stock: 2, allocation }, BUDGET)
    const file = keys.roundBundle(id, 0)
    const rules = JSON.parse(String(await this.#client.hget(file, 'rules.json')))
    // Nobody has the beacon of a round that is to come.
    rules.beacon.round = ROUND_1000.round
    await this.#client.hset(file, 'rules.json', JSON.stringify(rules))
    expect((await this.#api.post(`/v1/rounds/${id}/claims`, { user_id: 'only' })).status).toBe(202)
    if (windowMs === undefined) await this.#api.post(`/v1/rounds/${id}/close`)
    await expect.poll(() => this.#client.hget(keys.roundDraw(id), 'phase'), DRAWN).toBe('committed')
    const check = async () => {
      const claim = () => this.#api.get<Granted>(`/v1/rounds/${id}/claims/only`)
      await expect.poll(async () => (await claim()).body.outcome, DRAWN).toBe('granted')
      expect(JSON.parse(String(await this.#client.hget(file, 'beacon.json')))).toEqual(ROUND_1000)
      expect((await this.#api.get<Round>(`/v1/rounds/${id}`)).body.stock.granted).toBe(1)
    }
    const { round, signature } = ROUND_1000
    return { method: 'POST', path: `/v1/rounds/${id}/draw/beacon`, body: { round, signature }, marks: [id], check }
  }

  async #lapse(): Promise<Change> {
    const { id, campaign, seats } = await this.#openLottery()
    const tag = seats.pop() as string
    const check = async () => {
      expect((await this.#promoted(id)).filter(({ from }) => from === tag)).toHaveLength(1)
    }
    const path = `/v1/rounds/${id}/draw/lapses`
    return { method: 'POST', path, body: { tag }, marks: [tag, id, campaign], check }
  }

  async #promoted(id: string): Promise<readonly { from: string }[]> {
    const log = (await this.#client.hget(keys.roundBundle(id, 0), 'promotions.log')) ?? ''
    return log
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line))
  }

  #openLottery(): Promise<Lottery> {
    this.#lottery ??= this.#drawLottery()
    return this.#lottery
  }

  async #drawLottery(): Promise<Lottery> {
    const draws_at = new Date(Date.now() + 3000).toISOString()
    const allocation = { mode: 'lottery', draws_at, waitlist: SEATS }
    const budget = { budget: { max_amount: 2 * SEATS * WORTH }, ...ONE_VOUCHER }
    const { id, campaign_id: campaign } = await makeRound(this.#api, { stock: SEATS, allocation }, budget)
    const claims = Array.from({ length: 2 * SEATS }, (_, i) => ({ user_id: `entrant-${i}` }))
    expect((await this.#api.post(`/v1/rounds/${id}/claims/batch`, { claims })).status).toBe(200)
    await expect.poll(() => this.#client.hget(keys.roundDraw(id), 'phase'), DRAWN).toBe('done')
    const { winners } = JSON.parse(String(await this.#client.hget(keys.roundBundle(id, 0), 'result.json')))
    return { id, campaign, seats: winners.map((line: string) => line.slice(0, 32)) }
  }

  async #putMerchant(): Promise<Change> {
    const id = fresh('m')
    const path = `/v1/merchants/${id}`
    const check = async () => expect((await this.#api.get(path)).body).toMatchObject({ name: 'Shop' })
    return { method: 'PUT', path, body: { name: 'Shop' }, marks: [id, keys.merchants()], check }
  }

  async #putMerchants(): Promise<Change> {
    const name = fresh('lines')
    const lines = Array.from({ length: 600 }, (_, i) => JSON.stringify({ id: `${name}.${i}`, name }))
    const check = async () => {
      const { body } = await this.#api.get<{ data: Fields[] }>(`/v1/merchants?limit=1000&cursor=${name}`)
      expect(body.data.filter(row => row.name === name)).toHaveLength(600)
    }
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = Buffer.from(lines.join('\n'))
    return { method: 'PUT', path: '/v1/merchants', body, headers, marks: [name, keys.merchants()], check }
  }

  async #holdsOf(merchant: string): Promise<number> {
    const { body } = await this.#api.get<{ data: Fields[] }>('/v1/holds')
    return body.data.filter(row => row.merchant_id === merchant).length
  }

  async #holdMerchant(): Promise<Change> {
    const id = fresh('held')
    const check = async () => expect(await this.#holdsOf(id)).toBe(1)
    const marks = [id, `{${keys.controls()}}`]
    return { method: 'POST', path: `/v1/merchants/${id}/hold`, body: { reason: 'r' }, marks, check }
  }

  async #releaseMerchant(): Promise<Change> {
    const id = fresh('free')
    expect((await this.#api.post(`/v1/merchants/${id}/hold`, { reason: 'r' })).status).toBe(200)
    const check = async () => expect(await this.#holdsOf(id)).toBe(0)
    return { method: 'POST', path: `/v1/merchants/${id}/release`, marks: [id, `{${keys.controls()}}`], check }
  }

  /** A round with one voucher that was granted. */
  async #granted() {
    const round = await makeRound(this.#api, { stock: 5 }, BUDGET)
    const { body } = await this.#api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u' })
    return { campaign: round.campaign_id, code: body.vouchers[0]?.code as string }
  }

  async #takeBack(): Promise<Change> {
    const { campaign, code } = await this.#granted()
    const order = { id: 'o', amount: 5000, currency: 'CNY' }
    const asked = { code, order, merchant_id: 'm' }
    expect((await this.#api.post('/v1/redemptions', asked, { 'idempotency-key': fresh('r') })).status).toBe(201)
    const check = async () => {
      expect((await this.#api.get(`/v1/vouchers/${code}`)).body.state).toBe('deactivated')
      expect(await this.#booked(campaign, 'hold')).toBe(1)
    }
    const body = { merchant_id: 'm', reason: 'r' }
    return { method: 'POST', path: `/v1/campaigns/${campaign}/holds`, body, marks: [campaign], check }
  }

  async #deactivate(): Promise<Change> {
    const { campaign, code } = await this.#granted()
    const check = async () => expect(await this.#booked(campaign, 'deactivate')).toBe(1)
    return { method: 'POST', path: `/v1/vouchers/${code}/deactivate`, body: { reason: 'r' }, marks: [campaign], check }
  }

  async #settle(): Promise<Change> {
    const campaign = await makeCampaign(this.#api, { ...BUDGET, timezone: 'UTC' })
    const business_date = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
    const check = async () => expect(await this.#booked(campaign, 'settle')).toBe(1)
    const path = `/v1/campaigns/${campaign}/settlements`
    return { method: 'POST', path, body: { business_date }, marks: [campaign], check }
  }

  async #setRates(): Promise<Change> {
    const { promise: mine, resolve: done } = Promise.withResolvers<void>()
    const before = this.#rates
    this.#rates = mine
    await before
    const user = 1000 + ++count
    const check = async () => {
      expect((await this.#api.get('/v1/rates')).body).toMatchObject({ rates: { user } })
      done()
    }
    return { method: 'POST', path: '/v1/rates', body: { user }, marks: [`{${keys.controls()}}`], check }
  }
}
