/**
 * A voucher's code as people type it: in lower case, with dashes, with the letters that look like digits. Every answer and
 * every list repeats it as it was issued, because tills print and compare what they are told, and the log of changes names
 * one voucher by one hash. And the lock of a code: asked for again it never ends earlier.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startOwnRedis } from '../support/redis.ts'

let redis: RedisServer
let worker: TestWorker
let operator: Api
let round: Round
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  operator = new Api(worker.url, KEYS.operator)
  round = await makeRound(operator, {}, { pack: [{ ...PACK[0], quantity: 1 }] })
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
})

let count = 0
async function issued(): Promise<string> {
  const { body } = await operator.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: `u${++count}` })
  return body.vouchers[0]?.code as string
}

/** As somebody reads it off a screen: groups of five in lower case, and an o for each zero. */
const typed = (code: string): string =>
  (code.match(/.{5}/g) as string[]).join('-').toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l')

const freshKey = () => ({ 'idempotency-key': `key-${++count}` })
const redeem = (code: string) =>
  operator.post<{ code: string; id: string } & Fields>(
    '/v1/redemptions',
    { code, order: { id: `o${++count}`, amount: 5000, currency: 'CNY' }, merchant_id: 'm1' },
    freshKey(),
  )

/** What is asked of a voucher by each route that finds it by its code. */
const ASKED: Readonly<Record<string, (code: string) => Promise<{ readonly status: number; readonly body: Fields }>>> = {
  'get /v1/vouchers/{code}': code => operator.get(`/v1/vouchers/${code}`),
  'get /v1/vouchers/{code}/history': code => operator.get(`/v1/vouchers/${code}/history`),
  'post /v1/vouchers/{code}/lock': code => operator.post(`/v1/vouchers/${code}/lock`, { order_id: 'o' }),
  'post /v1/vouchers/{code}/unlock': code => operator.post(`/v1/vouchers/${code}/unlock`, { order_id: 'o' }),
  'post /v1/vouchers/{code}/deactivate': code => operator.post(`/v1/vouchers/${code}/deactivate`, { reason: 'lost' }),
  'post /v1/redemptions': redeem,
}
const BY_CODE = ROUTES.filter(route => 'byCode' in route && route.byCode).map(({ method, path }) => `${method} ${path}`)

test.each(BY_CODE)('%s answers the code as it was issued', async route => {
  const code = await issued()
  expect(typed(code)).not.toBe(code)
  const { status, body } = (await ASKED[route]?.(typed(code))) ?? { status: 0, body: {} }
  expect([status < 300, body.code]).toEqual([true, code])
})

test('a redeemed voucher shows its redemption with the code as it was issued', async () => {
  const code = await issued()
  const made = await redeem(typed(code))
  expect((await operator.get(`/v1/vouchers/${typed(code)}`)).body.redemption).toMatchObject(made.body)
})

test('the log of changes names a voucher by one hash, however its code was typed', async () => {
  const code = await issued()
  await operator.post(`/v1/vouchers/${typed(code)}/deactivate`, { reason: 'lost' })
  await operator.post(`/v1/vouchers/${code}/deactivate`, { reason: 'lost' })
  const { body } = await operator.get<{ data: { target: string; action: string }[] }>('/v1/audit?limit=1000')
  const targets = body.data.filter(({ action }) => action.includes('/deactivate')).slice(-4)
  const hash = createHash('sha256').update(code).digest('hex').slice(0, 16)
  expect(targets.map(({ target }) => target)).toEqual(Array(4).fill(`/v1/vouchers/sha256:${hash}/deactivate`))
})

test('a lock that is asked for again ends at the later of both ends, also when the voucher is looked up', async () => {
  const code = await issued()
  const lock = async (ttl_s: number) => {
    const { body } = await operator.post(`/v1/vouchers/${code}/lock`, { order_id: 'o', ttl_s })
    return body.lock as { id: string; ends_at: string }
  }
  const long = await lock(1800)
  expect(await lock(1)).toEqual(long)
  expect((await operator.get(`/v1/vouchers/${code}`)).body.lock).toEqual({ ...long, order_id: 'o' })
  const later = await lock(3600)
  expect([later.id, later.ends_at > long.ends_at]).toEqual([long.id, true])
})
