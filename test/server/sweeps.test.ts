/**
 * What a sweep reads of rounds that are over: nothing before something of them is due. Behind a new connection, and when a campaign
 * is to be reported or settled, all of them are read; Redis counts the calls.
 */
import { Redis } from 'ioredis'
import { expect, onTestFinished, test, vi } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Sweep } from '../../engine/campaign/money/sweep.ts'
import { Campaigns } from '../../engine/campaign/round/campaigns.ts'
import { openStore } from '../../engine/store/store.ts'
import { Api, makeCampaign, makeRound, PACK } from '../support/api.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { startLocalRedis } from '../support/redis.ts'

const ROUNDS = 20
/** Less than rounds rest at most. */
const VALID_S = 120

/** How many scripts were called since the last look. */
async function scriptCalls(admin: Redis): Promise<number> {
  const stats = await admin.info('commandstats')
  await admin.config('RESETSTAT')
  return [...stats.matchAll(/^cmdstat_eval(?:sha|_ro|sha_ro)?:calls=(\d+)/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  )
}

/** A Redis in which a worker left rounds that are closed, and one that is open; each has one grant. */
async function oldRounds() {
  const redis = await startLocalRedis()
  const admin = new Redis(redis.url)
  onTestFinished(async () => {
    admin.disconnect()
    await redis.stop()
  })
  const worker = await startTestWorker(redis.url, { LOG_LEVEL: 'silent' })
  const api = new Api(worker.url, KEYS.operator)
  const campaignId = await makeCampaign(api, { pack: [{ ...PACK[0], valid_for_s: VALID_S }] })
  const opens_at = '2020-01-01T00:00:00.000Z'
  for (let i = 0; i < ROUNDS; i++) {
    const made = await api.post<{ id: string }>(`/v1/campaigns/${campaignId}/rounds`, { stock: 2, opens_at })
    await api.post(`/v1/rounds/${made.body.id}/claims`, { user_id: 'u' })
    expect((await api.post(`/v1/rounds/${made.body.id}/close`)).status).toBe(200)
  }
  const open = await makeRound(api, { stock: 5 })
  await api.post(`/v1/rounds/${open.id}/claims`, { user_id: 'u' })
  await worker.stop()
  const store = openStore({ url: redis.url, durability: 'memory', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  await untilHolds(async () => store.ready())
  const campaigns = new Campaigns({ store, clock: realClock, random: realRandom, serverTimeMs: () => Date.now() })
  const sweep = new Sweep(store, campaigns)
  const calls = async (turn: () => Promise<void>) => {
    await scriptCalls(admin)
    await turn()
    return scriptCalls(admin)
  }
  return {
    admin,
    ledger: store.ledger,
    sweep,
    calls,
    campaign: await campaigns.get(campaignId),
  }
}

test('rounds that are over are read once, and again only for a report or behind a new connection', async () => {
  const { admin, sweep, calls, campaign } = await oldRounds()
  const all = () => calls(() => sweep.all())
  expect(await all()).toBeGreaterThan(ROUNDS)
  const rest = await all()
  expect(rest).toBeGreaterThan(0)
  expect(rest).toBeLessThan(ROUNDS / 2)
  expect(await calls(() => sweep.campaign(campaign))).toBeGreaterThanOrEqual(ROUNDS)
  expect(await all()).toBe(rest)
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await untilHolds(async () => (await all()) > ROUNDS)
  expect(await all()).toBe(rest)
})

test('rounds that are over are read again as soon as vouchers of theirs expire', async () => {
  const { ledger, sweep, calls, campaign } = await oldRounds()
  const all = () => calls(() => sweep.all())
  await all()
  expect(await all()).toBeLessThan(ROUNDS / 2)
  // What a sweep takes for the campaign's clock; the scripts have Redis's own, and move nothing yet.
  const now = await ledger.now(campaign.id)
  vi.spyOn(ledger, 'now').mockResolvedValue(now + VALID_S * 1000 + 120_000)
  onTestFinished(() => void vi.restoreAllMocks())
  expect(await all()).toBeGreaterThan(ROUNDS)
  expect(await all()).toBeLessThan(ROUNDS / 2)
})
