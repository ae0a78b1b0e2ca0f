/**
 * Nodes whose clocks are wrong, beside one that is right, on one Redis: hours and years behind, hours ahead, and seconds
 * apart. All of them judge tokens, idempotency and the times of changes by the clock of Redis, and say so.
 *
 * Each wrong one is a process of its own with its calendar shifted by test/support/shifted-clock.c; nothing in it is replaced. What
 * the true time is, the test's own process tells. Rejected: a clock as an argument, which shows no forgotten Date.now().
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, startTestWorker, type TestNode, type TestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { noShiftedClock, ShiftedClocks } from '../support/shifted-clock.ts'
import { userToken } from '../support/user-token.ts'

const HOUR_S = 3600
const YEAR_S = 365 * 24 * HOUR_S
const WRONG = [
  { shift: -5 * HOUR_S, says: /clock is 5 hours behind Redis's: tokens, business days/ },
  { shift: -20 * YEAR_S, says: /clock is 7300 days behind Redis's: tokens, business days/ },
  { shift: 5 * HOUR_S, says: /clock is 5 hours ahead of Redis's: tokens, business days/ },
  { shift: -20, says: /clock is 20 s behind Redis's$/ },
]

interface WrongNode {
  readonly shift: number
  readonly says: RegExp
  readonly url: string
}

let redis: RedisProcess
let right: TestWorker
let round: Round
let wrong: readonly WrongNode[]
const nodes: TestNode[] = []
beforeAll(async () => {
  if (noShiftedClock) return
  using clocks = new ShiftedClocks()
  redis = await startLocalRedis()
  const settings = { REDIS_URL: redis.url, FAIRGRAB_DURABILITY: 'memory' }
  const starting = WRONG.map(({ shift }) => startNode({ ...settings, ...clocks.ahead(shift) }))
  right = await startTestWorker(redis.url, { FAIRGRAB_DURABILITY: 'memory' })
  const started = await Promise.all(starting)
  nodes.push(...started)
  wrong = started.map(({ url }, i) => ({ url, ...(WRONG[i] as (typeof WRONG)[number]) }))
  round = await makeRound(new Api(right.url, KEYS.operator), { stock: 100 })
})
afterAll(async () => {
  await Promise.all([right, ...nodes].map(node => node?.stop()))
  await redis?.stop()
})

const trueS = () => Math.floor(Date.now() / 1000)
const claimsOf = ({ id }: Round) => `/v1/rounds/${id}/claims`
const operatorOf = ({ url }: { readonly url: string }) => new Api(url, KEYS.operator)

/** Tokens of a span around the true time, and what each is worth. */
const TOKENS = [
  { who: 'ended-hour', from: -9, to: -1, status: 401 },
  { who: 'ended-day', from: -48, to: -24, status: 401 },
  { who: 'ended-years', from: -8760 * 21, to: -8760 * 18, status: 401 },
  { who: 'begins-in-an-hour', from: 1, to: 2, status: 401 },
  { who: 'holds', from: -1, to: 1, status: 201 },
]

test.skipIf(noShiftedClock)('a token is worth the same on a node whose clock is wrong', async () => {
  const told: unknown[] = []
  for (const { shift, url } of wrong)
    for (const { who, from, to, status } of TOKENS) {
      const claims = { nbf: trueS() + from * HOUR_S, exp: trueS() + to * HOUR_S }
      const reply = await new Api(url, userToken(`${who}${shift}`, { claims })).post(claimsOf(round), {})
      if (reply.status !== status) told.push([shift, who, reply.status])
    }
  expect(told).toEqual([])
})

test.skipIf(noShiftedClock)('a node whose clock is wrong says so and is ready; a right one does not', async () => {
  const warningsOf = async (url: string) => {
    const { status, body } = await new Api(url).get<{ warnings: { what: string }[] }>('/readyz?verbose')
    expect(status).toBe(200)
    return body.warnings.map(({ what }) => what).filter(what => what.includes('clock'))
  }
  for (const { shift, says, url } of wrong) {
    expect(await warningsOf(url)).toEqual([expect.stringMatching(says)])
    const metrics = readMetrics(String((await operatorOf({ url }).get('/metrics')).body))
    const apart = sumOf(metrics, 'fairgrab_redis_clock_apart_seconds')
    expect(Math.abs(apart - Math.abs(shift))).toBeLessThan(2)
  }
  expect(await warningsOf(right.url)).toEqual([])
})

test.skipIf(noShiftedClock)('the times of campaigns and holds are those of all nodes', async () => {
  const off: unknown[] = []
  for (const { shift, url } of wrong) {
    const api = operatorOf({ url })
    const made = await makeRound(api, { stock: 1 })
    const { body: campaign } = await api.get(`/v1/campaigns/${made.campaign_id}`)
    const hold = { reason: 'checked' }
    const dry = await api.post<{ after: Fields }>(`/v1/merchants/m${shift}/hold?dry_run=true`, hold)
    const held = await api.post<{ held: Fields }>(`/v1/merchants/m${shift}/hold`, hold)
    // A clock that is a few seconds off is told and not corrected.
    const most = 10_000 + (Math.abs(shift) < 60 ? Math.abs(shift) * 1000 : 0)
    for (const at of [campaign.created_at, dry.body.after.at, held.body.held.at])
      if (!(Math.abs(Date.parse(String(at)) - Date.now()) < most)) off.push([shift, at])
  }
  expect(off).toEqual([])
})

test.skipIf(noShiftedClock)('an Idempotency-Key that was used on a node whose clock is wrong is known', async () => {
  const there = operatorOf(right)
  for (const { shift, url } of wrong) {
    // Of two campaigns, which lie in two slots: only the caller's own keys connect them.
    const elsewhere = await makeRound(there, { stock: 1 })
    const [code, other] = await Promise.all(
      [round, elsewhere].map(async each => {
        const { body } = await there.post<Granted>(claimsOf(each), { user_id: `keyed${shift}` })
        return body.vouchers[0]?.code as string
      }),
    )
    const order = { id: `o${shift}`, amount: 5000, currency: 'CNY' }
    const key = { 'idempotency-key': `key${shift}` }
    const asked = { code, order, merchant_id: 'till' }
    const first = await operatorOf({ url }).post('/v1/redemptions', asked, key)
    // Asked before anything else makes the key known to the right node, too.
    expectProblem(await there.post('/v1/redemptions', { ...asked, code: other }, key), 'idempotency_mismatch')
    const again = await there.post('/v1/redemptions', asked, key)
    expect([shift, first.status, again.body.id]).toEqual([shift, 201, first.body.id])
  }
})
