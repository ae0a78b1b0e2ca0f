/**
 * A campaign that lost one of its keys: its rounds grant no code that nobody can redeem, and whoever watches is told the
 * campaign, the key and what to do; other campaigns go on, and it resumes when the key is back.
 */
import type { Redis } from 'ioredis'
import { beforeEach, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { rawRedis, startOwnRedis } from '../support/redis.ts'

const WAITS = { timeout: 20_000, interval: 100 }

let api: Api
let admin: Redis
let url: string
beforeEach(async () => {
  const redis = await startOwnRedis({ appendfsync: 'no' })
  const worker = await startTestWorker(redis.url, {}, SOON_MS)
  url = redis.url
  admin = rawRedis(redis.url)
  api = new Api(worker.url, KEYS.operator)
  return async () => {
    admin.disconnect()
    await worker.stop()
    await redis.stop()
  }
})

const claim = (id: string, user_id: string) => api.post(`/v1/rounds/${id}/claims`, { user_id })
const told = async () => JSON.stringify((await api.get<Fields>('/readyz?verbose')).body.problems)
const damaged = async () => /^fairgrab_rounds_damaged (\d+)$/m.exec((await api.get<string>('/metrics')).body)?.[1]

const doctor = async () => ({
  told: (await fairgrab('doctor', { REDIS_URL: url, FAIRGRAB_DURABILITY: 'memory' })).out,
})

/** A round of which a voucher was redeemed. */
async function redeemed(): Promise<Round & Fields> {
  const round = await makeRound(api, {}, { budget: { max_amount: 1_000_000 } })
  const { vouchers } = (await claim(round.id, 'ada')).body as unknown as Granted
  const order = { id: 'o-1', amount: 4000, currency: 'CNY' }
  const body = { code: vouchers[0]?.code, order, merchant_id: 'shop' }
  const made = await api.as(KEYS.platform).post('/v1/redemptions', body, { 'idempotency-key': `k-${round.id}` })
  expect(made.status, JSON.stringify(made.body)).toBe(201)
  return round as Round & Fields
}

const NEEDED = { state: keys.campaignState, vouchers: keys.campaignVouchers, ledger: keys.campaignLedger }

test.each(Object.keys(NEEDED) as (keyof typeof NEEDED)[])(
  'a campaign whose %s is gone is named, its claims are fenced, and the others go on',
  async part => {
    const [lost, sound] = [await redeemed(), await redeemed()]
    const key = NEEDED[part](lost.campaign_id)
    await admin.rename(key, `${key}:kept`)
    await expect.poll(told, WAITS).toContain(`campaign ${lost.campaign_id}: ${key} in Redis`)
    expect(await told()).toMatch(/restore that key from a backup/)
    expect(await damaged()).toBe('1')
    expect((await api.get('/readyz')).status).toBe(200)
    expectProblem(await claim(lost.id, 'bob'), 'fenced')
    expect((await claim(sound.id, 'bob')).status).toBe(201)
    await admin.rename(`${key}:kept`, key)
    await expect.poll(told, WAITS).toBe('[]')
    expect((await claim(lost.id, 'bob')).status).toBe(201)
    expect(await damaged()).toBe('0')
  },
)

const BESIDES = {
  balances: keys.campaignBalances,
  budget: keys.campaignBudget,
  requests: keys.campaignRequests,
  answers: keys.campaignAnswers,
  redemptions: keys.campaignRedemptions,
}

test('what lies beside the vouchers of a campaign is told by its key, the doctor too, and claims go on', async () => {
  const { id, campaign_id } = await redeemed()
  for (const [part, keyOf] of Object.entries(BESIDES)) {
    const key = keyOf(campaign_id)
    await expect.poll(() => admin.exists(key), WAITS).toBe(1)
    await admin.rename(key, `${key}:kept`)
    await expect
      .poll(told, WAITS)
      .toContain(`campaign ${campaign_id}: ${key} in Redis is missing; claims and redemptions go on`)
    expect((await claim(id, `at-${part}`)).status).toBe(201)
    if (part === 'budget') expect((await doctor()).told).toContain(key)
    await admin.del(key)
    await admin.rename(`${key}:kept`, key)
  }
  await expect.poll(told, WAITS).toBe('[]')
})

test('a campaign whose rules are gone is told, and its claims are fenced', async () => {
  const { id, campaign_id } = await redeemed()
  await admin.hdel(keys.campaigns(), campaign_id)
  await expect
    .poll(told, WAITS)
    .toContain(`campaign ${campaign_id}: its row in ${keys.campaigns()} in Redis is missing`)
  expectProblem(await claim(id, 'bob'), 'fenced')
})
