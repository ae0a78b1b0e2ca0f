/**
 * Redemptions looked up afterwards: by their id, and by a merchant's order over all campaigns, as they stand now. A key that is
 * bound to a merchant finds its own.
 */
import { beforeAll, expect, test } from 'vitest'
import { Api, expectProblem, type Fields, type Granted, makeRound, PACK } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

const BOUND = 'merchant-key-of-m1'
const worker = useWorker({
  FAIRGRAB_KEYS: [...Object.entries(KEYS).map(([role, key]) => `${role}:${key}`), `merchant:${BOUND}:m1`].join(','),
})
let api: Api
let bound: Api
beforeAll(() => {
  api = new Api(worker.url, KEYS.operator)
  bound = api.as(BOUND)
})

interface Listed {
  readonly data: readonly Fields[]
  readonly has_more: boolean
  readonly next_cursor: string | null
}

let count = 0
async function redeemed(order: string, merchant: string, packs = 1): Promise<readonly Fields[]> {
  const round = await makeRound(api, {}, { pack: [{ ...PACK[0], quantity: packs }] })
  const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: `u${++count}` })
  const made: Fields[] = []
  for (const { code } of body.vouchers) {
    const asked = { code, order: { id: order, amount: 5000, currency: 'CNY' }, merchant_id: merchant }
    const reply = await api.post('/v1/redemptions', asked, { 'idempotency-key': `k${++count}` })
    expect(reply.status).toBe(201)
    made.push(reply.body)
  }
  return made
}
const list = (query: string, by = api) => by.get<Listed>(`/v1/redemptions?${query}`)

test('a redemption is found by its id as it was answered, and with what its reversals left of it', async () => {
  const [made] = await redeemed('by-id', 'm1')
  const path = `/v1/redemptions/${made?.id}`
  for (const by of [api, api.as(KEYS.platform), api.as(KEYS.viewer), bound])
    expect((await by.get(path)).body).toEqual({ ...made, reversed_amount: 0 })
  await api.post(`${path}/reversals`, { type: 'partial', amount: 300 }, { 'idempotency-key': 'part' })
  expect((await api.get(path)).body).toEqual({ ...made, state: 'partial', reversed_amount: 300 })
  await api.post(`${path}/reversals`, { type: 'full' }, { 'idempotency-key': 'rest' })
  expect((await api.get(path)).body).toMatchObject({ state: 'reversed', reversed_amount: 1000 })
})

test('a voucher shows its redemption as it stands, and its history what each reversal took back', async () => {
  const [made] = await redeemed('shown', 'm1')
  const [path, reversals] = [`/v1/vouchers/${made?.code}`, `/v1/redemptions/${made?.id}/reversals`]
  expect((await api.get(path)).body.redemption).toEqual({ ...made, reversed_amount: 0 })
  await api.post(reversals, { type: 'partial', amount: 300 }, { 'idempotency-key': 'shown-part' })
  expect((await bound.get(path)).body.redemption).toEqual({ ...made, state: 'partial', reversed_amount: 300 })
  await api.post(reversals, { type: 'full' }, { 'idempotency-key': 'shown-rest' })
  expect((await api.get(path)).body.redemption).toEqual({ ...made, state: 'reversed', reversed_amount: 1000 })
  const { events } = (await api.get<{ events: Fields[] }>(`${path}/history`)).body
  const amounts = events.map(({ event, amount }) => [event, amount])
  expect(amounts).toEqual([
    ['granted', undefined],
    ['redeemed', undefined],
    ['reversed', 300],
    ['reversed', 700],
  ])
})

test('another merchant’s is not found by a bound key, nor is what never was', async () => {
  const [made] = await redeemed('others', 'm2')
  expectProblem(await bound.get(`/v1/redemptions/${made?.id}`), 'not_found')
  expect((await api.as(KEYS.merchant).get(`/v1/redemptions/${made?.id}`)).status).toBe(200)
  const never = [`${String(made?.id).slice(0, -1)}~`, 'rdm_x', `rdm_${'0'.repeat(16)}_${'0'.repeat(16)}`]
  for (const id of never) expectProblem(await api.get(`/v1/redemptions/${id}`), 'not_found')
})

test('an order’s redemptions are found over all campaigns, oldest first, page by page', async () => {
  const made = [...(await redeemed('shared order', 'm1', 2)), ...(await redeemed('shared order', 'm1'))]
  await redeemed('shared order', 'm2')
  await redeemed('shared', 'm1')
  const query = 'order_id=shared%20order&merchant_id=m1'
  const all = await list(query)
  const ids = all.body.data.map(({ id }) => id)
  expect([...ids].sort()).toEqual(made.map(({ id }) => id).sort())
  expect(all.body.data.map(({ redeemed_at }) => redeemed_at)).toEqual(made.map(({ redeemed_at }) => redeemed_at))
  const first = await list(`${query}&limit=2`)
  expect([first.body.data.map(({ id }) => id), first.body.has_more]).toEqual([ids.slice(0, 2), true])
  const next = await list(`${query}&cursor=${first.body.next_cursor}`)
  expect([next.body.data.map(({ id }) => id), next.body.has_more]).toEqual([ids.slice(2), false])
  expect((await list('order_id=shared%20order', bound)).body.data).toEqual(all.body.data)
  expect((await list('order_id=nobody&merchant_id=m1')).body.data).toEqual([])
})

test('a list without its order or its merchant is invalid, and another merchant’s is forbidden', async () => {
  expectProblem(await api.get('/v1/redemptions'), 'invalid')
  expectProblem(await api.get('/v1/redemptions?order_id=o'), 'invalid')
  expectProblem(await api.get('/v1/redemptions?merchant_id=m1'), 'invalid')
  expectProblem(await bound.get('/v1/redemptions?order_id=o&merchant_id=m2'), 'forbidden')
})
