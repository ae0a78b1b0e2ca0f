/**
 * A Redis that was emptied (FLUSHALL) or lost the index of its rounds: nobody is told that a code, a claim or a round is not
 * there, at no node, from the moment of the loss on and whoever asks; what was told before rests on what was lost. Whoever
 * watches is told how many rounds that concerns.
 */
import { Redis } from 'ioredis'
import { beforeEach, expect, test } from 'vitest'
import { agreed, roundNumber, roundState, rounds, roundsByNumber } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { startLocalRedis } from '../support/redis.ts'
import { StreamClient } from '../support/stream-client.ts'

const WAITS = { timeout: 20_000, interval: 100 }
const NOBODYS = 'cmp_0000000000000000'

/** One that served the round, and one that has read nothing of it. */
let near: Api
let far: Api
let admin: Redis
beforeEach(async () => {
  const redis = await startLocalRedis({ appendfsync: 'no' })
  const workers = [
    await startTestWorker(redis.url, {}, SOON_MS),
    await startTestWorker(redis.url, {}, SOON_MS),
  ] as const
  admin = new Redis(redis.socketPath as string)
  near = new Api(workers[0].url, KEYS.operator)
  far = new Api(workers[1].url, KEYS.operator)
  return async () => {
    admin.disconnect()
    for (const worker of workers) await worker.stop()
    await redis.stop()
  }
})

const readyz = async (api: Api) => JSON.stringify((await api.get<Fields>('/readyz?verbose')).body.problems)
const damaged = async (api: Api) =>
  /^fairgrab_rounds_damaged (\d+)$/m.exec((await api.get<string>('/metrics')).body)?.[1]
const claim = (api: Api, id: string, user_id: string) => api.post(`/v1/rounds/${id}/claims`, { user_id })

async function told() {
  const round = await makeRound(near)
  const { body } = await claim(near, round.id, 'ada')
  return { round, code: (body as unknown as Granted).vouchers[0]?.code as string }
}

/** Whatever is asked about what was there. */
async function expectFenced(api: Api, { id }: Round, code: string): Promise<void> {
  const redemption = { code, order: { id: 'o-1', amount: 4000, currency: 'CNY' }, merchant_id: 'shop' }
  const paths = [`vouchers/${code}`, `vouchers/${code}/history`, `rounds/${id}`, `rounds/${id}/claims/ada`]
  for (const path of [...paths, 'claims?user_id=ada', 'rounds', 'campaigns', `campaigns/${NOBODYS}`])
    expectProblem(await api.get(`/v1/${path}`), 'fenced')
  expectProblem(await api.post('/v1/redemptions', redemption, { 'idempotency-key': 'k-1' }), 'fenced')
  expectProblem(await claim(api, id, 'bob'), 'fenced')
  const stream = new StreamClient(api.url, { credential: KEYS.operator })
  await stream.next('welcome')
  expect(await stream.ask({ op: 'subscribe', id: 1, topics: [`stock:${id}`] })).toMatchObject({ code: 'fenced' })
  await stream.close()
}

test('after a FLUSHALL nothing that was told is not_found, at no node, before and behind its next check', async () => {
  const { round, code } = await told()
  expectProblem(await far.get(`/v1/campaigns/${NOBODYS}`), 'not_found')
  await admin.flushall()
  for (const api of [far, near]) await expectFenced(api, round, code)
  for (const api of [far, near]) await expect.poll(() => readyz(api), WAITS).toContain('emptied')
  // Rounds that are lost all together are no fewer than one that is; no request has stumbled upon it since the check.
  expect(await damaged(near)).toBe('1')
  for (const api of [far, near]) await expectFenced(api, round, code)
})

test('a Redis that was emptied and that another node began anew is still an emptied one to who served its rounds', async () => {
  const { round, code } = await told()
  const kept = await admin.hgetall(agreed())
  await admin.flushall()
  await expect.poll(() => readyz(near), WAITS).toContain('lost every round')
  await admin.hset(agreed(), kept)
  await makeRound(far)
  expectProblem(await near.get(`/v1/vouchers/${code}`), 'fenced')
  expectProblem(await near.get('/v1/claims?user_id=ada'), 'fenced')
  expectProblem(await near.get(`/v1/rounds/${round.id}`), 'fenced')
})

const INDEXES = { 'by ids': rounds, 'by numbers': roundsByNumber }

test.each(Object.keys(INDEXES) as (keyof typeof INDEXES)[])(
  'a lost index of rounds %s is told, its rounds are counted and go on, and nothing ends or is missed by it',
  async which => {
    const [first, second] = [(await told()).round, (await told()).round]
    const index = INDEXES[which]()
    await admin.rename(index, 'kept')
    for (const path of ['rounds', 'campaigns', 'claims?user_id=ada', 'vouchers/0001000000000000000'])
      expectProblem(await far.get(`/v1/${path}`), 'fenced')
    await expect.poll(() => readyz(near), WAITS).toContain(index)
    expect(await damaged(near)).toBe('2')
    expect((await claim(near, first.id, 'bob')).status).toBe(201)
    expect((await near.get('/readyz')).status).toBe(200)
    // The state that is left says that this Redis was not emptied.
    await admin.rename(roundState(second.id), 'state')
    await expect.poll(() => readyz(near), WAITS).toContain(`round ${second.id}: its state in Redis is missing`)
    expect((await claim(near, first.id, 'cyd')).status).toBe(201)
    await admin.rename('state', roundState(second.id))
    await admin.rename('kept', index)
    await expect.poll(() => readyz(near), WAITS).toBe('[]')
    expect(await damaged(near)).toBe('0')
  },
)

test.each(Object.keys(INDEXES) as (keyof typeof INDEXES)[])(
  'one round that the index %s lacks is named with its row',
  async which => {
    const lost = (await told()).round
    await told()
    const number = Number(JSON.parse((await admin.hget(roundState(lost.id), 'config')) as string).number)
    await admin.hdel(INDEXES[which](), which === 'by ids' ? lost.id : String(number))
    await expect
      .poll(() => readyz(near), WAITS)
      .toMatch(new RegExp(`round ${lost.id}: .*${INDEXES[which]()}.*claims go on`))
    expect(await damaged(near)).toBe('1')
  },
)

test('rounds that are made where the counter of their numbers was lost take no number and no code of others', async () => {
  const before = [await told(), await told()]
  await admin.del(roundNumber())
  const after = await told()
  expect(after.code.slice(0, 4)).toBe('0003')
  for (const { code } of [...before, after])
    for (const api of [near, far]) expect((await api.get(`/v1/vouchers/${code}`)).status).toBe(200)
})

test('codes of rounds that the index by numbers lacks lead to them, at a node that has not read them, too', async () => {
  const before = [await told(), await told()]
  await admin.del(roundsByNumber(), roundNumber())
  const after = await told()
  for (const { round, code } of [...before, after]) {
    expect((await far.get<Fields>(`/v1/vouchers/${code}`)).body).toMatchObject({ round_id: round.id })
    expect((await near.get(`/v1/vouchers/${code}`)).status).toBe(200)
  }
  expectProblem(await far.get('/v1/vouchers/0009000000000000000'), 'not_found')
})
