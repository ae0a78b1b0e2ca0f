/**
 * Keys with a scope: it is written with redemptions, reversals and entries of the audit log as `via`, under the chain that was there
 * before, stands in a voucher's history, and a key without one writes none. The command line makes such keys.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const [ADA, ALIPAY, SHOP] = ['operator-key-of-ada', 'platform-key-of-alipay', 'merchant-key-of-m1']

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
let codes: string[]

beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const plain = `operator:${KEYS.operator},platform:${KEYS.platform}`
  worker = await startTestWorker(redis.url, {
    FAIRGRAB_KEYS: `${plain},operator:${ADA}:ada,platform:${ALIPAY}:alipay,merchant:${SHOP}:m1`,
  })
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 10 })
  codes = []
  for (const user_id of ['u1', 'u2', 'u3', 'u4', 'u5']) {
    const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id })
    codes.push(body.vouchers[0]?.code as string)
  }
})

afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
})

const redeem = (key: string, code: string) =>
  api
    .as(key)
    .post(
      '/v1/redemptions',
      { code, order: { id: `o-${code}`, amount: 5000, currency: 'CNY' }, merchant_id: 'm1' },
      { 'idempotency-key': `k-${code}` },
    )

test('a redemption has the scope of the key that asked, the same bytes when it is asked again, and none without a scope', async () => {
  const [first, second, third] = codes as [string, string, string]
  for (const [key, code, via] of [
    [ALIPAY, first, 'alipay'],
    [SHOP, second, 'm1'],
  ] as const) {
    const made = await redeem(key, code)
    expect([made.status, made.body.via]).toEqual([201, via])
    const again = await redeem(key, code)
    expect([again.status, again.bytes.toString()]).toEqual([200, made.bytes.toString()])
  }
  const plain = await redeem(KEYS.platform, third)
  expect(plain.status).toBe(201)
  expect(plain.body).not.toHaveProperty('via')
})

test('the history of a voucher has the scope of each key that did something to it, apart from who they were', async () => {
  const code = codes[3] as string
  const done = async (key: string, path: string, body: object, headers = {}) =>
    expect((await api.as(key).post(path, body, headers)).status, path).toBeLessThan(300)
  for (const key of [ALIPAY, KEYS.platform]) {
    await done(key, `/v1/vouchers/${code}/lock`, { order_id: `o-${code}` })
    await done(key, `/v1/vouchers/${code}/unlock`, { order_id: `o-${code}` })
  }
  const redeemed = await redeem(ALIPAY, code)
  const path = `/v1/redemptions/${redeemed.body.id}/reversals`
  const reverse = () => api.as(SHOP).post(path, { type: 'full' }, { 'idempotency-key': 'back' })
  const reversed = await reverse()
  expect([reversed.status, reversed.body.via]).toEqual([201, 'm1'])
  expect((await reverse()).bytes.toString()).toBe(reversed.bytes.toString())
  await done(ADA, `/v1/vouchers/${code}/deactivate`, { reason: 'lost' })
  const { body } = await api.get<{ events: Fields[] }>(`/v1/vouchers/${code}/history`)
  expect(body.events.map(({ event, via }) => [event, via])).toEqual([
    ['granted', undefined],
    ['locked', 'alipay'],
    ['unlocked', 'alipay'],
    ['locked', undefined],
    ['unlocked', undefined],
    ['redeemed', 'alipay'],
    ['reversed', 'm1'],
    ['deactivated', 'ada'],
  ])
  for (const { by } of body.events.slice(1)) expect(by).toMatch(/^[a-z]+:[0-9a-f]{16}$/)
})

test('what a hold takes out of use has the scope of the operator, and not the redemption’s', async () => {
  const code = codes[4] as string
  await redeem(ALIPAY, code)
  const { campaign_id } = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
  await api.as(ADA).post(`/v1/campaigns/${campaign_id}/holds`, { merchant_id: 'm1', reason: 'forged' })
  const { body } = await api.get<{ events: Fields[] }>(`/v1/vouchers/${code}/history`)
  expect(body.events.map(({ event, via }) => [event, via])).toEqual([
    ['granted', undefined],
    ['redeemed', 'alipay'],
    ['deactivated', 'ada'],
  ])
})

test('the audit log has the scope of an operator’s key with what it changed, in its chain', async () => {
  expect((await api.as(ADA).post(`/v1/rounds/${round.id}/pause`)).status).toBe(200)
  expect((await api.post(`/v1/rounds/${round.id}/resume`)).status).toBe(200)
  expectProblem(await api.as(ALIPAY).post(`/v1/rounds/${round.id}/pause`), 'forbidden')
  const { body } = await api.get<{ data: (Fields & { via?: string })[] }>('/v1/audit')
  const turns = body.data.filter(({ action }) => /pause|resume/.test(String(action)))
  expect(turns.map(({ action, via, outcome }) => [String(action).slice(-6), via, outcome])).toEqual([
    ['/pause', 'ada', 'asked'],
    ['/pause', 'ada', '200'],
    ['resume', undefined, 'asked'],
    ['resume', undefined, '200'],
  ])
  expect(turns[0]?.who).toMatch(/^operator:[0-9a-f]{16}:ada$/)
  expect(turns[2]?.who).toMatch(/^operator:[0-9a-f]{16}$/)
  let before = ''
  for (const { number, at, request, who, action, target, body: asked, outcome, chain } of body.data) {
    const words = [before, number, Date.parse(String(at)), request, who, action, target, asked, outcome].join('\n')
    expect(chain).toBe(createHash('sha1').update(words).digest('hex'))
    before = String(chain)
  }
})

test('keys are made with the scope of who acts by them, as the engine reads it', async () => {
  const { code, out } = await fairgrab('keys operator merchant --scope m.1')
  expect([code, out]).toEqual([
    0,
    expect.stringMatching(/^FAIRGRAB_KEYS="operator:[\w-]{32}:m\.1,merchant:[\w-]{32}:m\.1"$/),
  ])
  const keys = JSON.parse((await fairgrab('keys viewer --scope ada --json')).out)
  expect(keys).toEqual([{ role: 'viewer', key: expect.stringMatching(/^[\w-]{32}$/), scope: 'ada' }])
})
