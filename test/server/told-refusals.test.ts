/**
 * What the answers tell besides their code, as docs/api.md and docs/errors.md promise it: when a lock of somebody else
 * ends and whose a lock is, the state that was wrong, what a slot may be, and no figure that counts a lost round as nothing.
 */
import type { Redis } from 'ioredis'
import { beforeEach, expect, test } from 'vitest'
import { roundState } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { rawRedis, startOwnRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const BOUND = 'merchant-key-of-m1'
const TTL_S = 30

let api: Api
let admin: Redis
beforeEach(async () => {
  const redis = await startOwnRedis({ appendfsync: 'no' })
  const FAIRGRAB_KEYS = `operator:${KEYS.operator},merchant:${KEYS.merchant},merchant:${BOUND}:m1`
  const worker = await startTestWorker(redis.url, { FAIRGRAB_KEYS, LOG_LEVEL: 'silent' })
  admin = rawRedis(redis.url)
  api = new Api(worker.url, KEYS.operator)
  return async () => {
    admin.disconnect()
    await worker.stop()
    await redis.stop()
  }
})

async function granted(roundId: string): Promise<string> {
  const { body } = await api.post<Granted>(`/v1/rounds/${roundId}/claims`, { user_id: 'ada' })
  return body.vouchers[0]?.code as string
}

test('a lock of another order says when to ask again; the lock of a bound key says whose it is', async () => {
  const code = await granted((await makeRound(api)).id)
  const lock = (order_id: string, key: string) =>
    api.as(key).post<Fields>(`/v1/vouchers/${code}/lock`, { order_id, ttl_s: TTL_S })
  const own = await lock('o1', BOUND)
  expect(own).toMatchObject({ status: 200, body: { lock: { order_id: 'o1', merchant_id: 'm1' } } })
  const order = { id: 'o2', amount: 5000, currency: 'CNY' }
  const body = { code, order, merchant_id: 'm2' }
  for (const reply of [
    await lock('o2', KEYS.merchant),
    await api.as(KEYS.merchant).post('/v1/redemptions', body, { 'idempotency-key': 'k' }),
    await api.as(KEYS.merchant).post(`/v1/vouchers/${code}/unlock`, { order_id: 'o2' }),
  ]) {
    if (reply.status === 200) continue
    const told = expectProblem(reply, 'voucher_locked', { locked_until: (own.body.lock as Fields).ends_at })
    expect(told.retry_after_ms).toBeGreaterThan((TTL_S - 10) * 1000)
    expect(told.retry_after_ms).toBeLessThanOrEqual(TTL_S * 1000 + 1000)
    expect(told.retry_after_s).toBe(Math.ceil((told.retry_after_ms as number) / 1000))
  }
  const free = await granted((await makeRound(api)).id)
  const { body: plain } = await api.post(`/v1/vouchers/${free}/lock`, { order_id: 'o1', ttl_s: TTL_S })
  expect(plain.lock).not.toHaveProperty('merchant_id')
})

test('stock of a closed round and a release of nothing say the state that is wrong', async () => {
  const { id } = await makeRound(api)
  const path = `/v1/rounds/${id}`
  for (const more of ['', '?dry_run=true'])
    expectProblem(await api.post(`${path}/release${more}`), 'wrong_state', { state: 'open' })
  expect((await api.post(`${path}/close`)).status).toBe(200)
  for (const more of ['', '?dry_run=true']) {
    expectProblem(await api.post(`${path}/release${more}`), 'wrong_state', { state: 'closed' })
    expectProblem(await api.post(`${path}/stock${more}`, { add: 1 }), 'wrong_state', { state: 'closed' })
  }
})

test('what a closed round did not grant stays in the budget until it is taken back', async () => {
  const worth = 2 * 1000
  const { id, campaign_id } = await makeRound(api, { stock: 10 }, { budget: { max_amount: 10 * worth } })
  const another = () => api.post(`/v1/campaigns/${campaign_id}/rounds`, { stock: 4 })
  await api.post(`/v1/rounds/${id}/close`)
  expectProblem(await another(), 'budget_exceeded')
  expect((await api.post(`/v1/rounds/${id}/stock`, { add: -4 })).status).toBe(200)
  expect((await another()).status).toBe(201)
  expectProblem(await another(), 'budget_exceeded')
})

test('a slot that no claim may have is invalid in the look-up, too', async () => {
  const { id } = await makeRound(api)
  await granted(id)
  const path = `/v1/rounds/${id}/claims/ada?slot=`
  for (const slot of ['0', '256', '01', '00', '1000', '-1', '1.0', ''])
    expectProblem(await api.get(path + slot), 'invalid')
  expect((await api.get(`${path}1`)).status).toBe(200)
  for (const slot of ['2', '10', '99', '100', '255']) expectProblem(await api.get(path + slot), 'not_found')
})

test('a user who claims for somebody else on the stream is closed with 4403', async () => {
  const { id } = await makeRound(api)
  const stream = await openStream(api.url, { credential: userToken('ada') })
  stream.send({ op: 'claim', id: 1, round_id: id, user_id: 'bob' })
  expect(await stream.closed).toBe(4403)
  expectProblem(await api.get(`/v1/rounds/${id}/claims/bob`), 'not_found')
})

test('what is counted over all rounds of a campaign is fenced while one of them is lost, and names it', async () => {
  const { id, campaign_id } = await makeRound(api)
  const code = await granted(id)
  const order = { id: 'o1', amount: 5000, currency: 'CNY' }
  const redeemed = await api.post('/v1/redemptions', { code, order, merchant_id: 'm1' }, { 'idempotency-key': 'k' })
  expect(redeemed.status).toBe(201)
  const state = await admin.dumpBuffer(roundState(id))
  await admin.del(roundState(id))
  const paths = ['report', 'ledger', 'study'].map(name => `/v1/campaigns/${campaign_id}/${name}`)
  for (const path of paths) {
    const { detail } = expectProblem(await api.get(path), 'fenced')
    expect(detail).toContain(id)
  }
  await admin.restore(roundState(id), 0, state)
  for (const path of paths) expect((await api.get(path)).status).toBe(200)
})
