/**
 * Every change of an operator, in every state of a round, under every kind of budget: first dry, then for good. Both are
 * answered alike, a refusal to the letter, so an operator who was told something by a dry run is told the same by the deed;
 * and a refusal by the budget comes behind all others, since it is the one that waits for money.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, type Fields, type Granted, makeCampaign, type Reply, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'

const STOCK = 10
const PACK_AMOUNT = 2000

let redis: RedisProcess
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
})

const DRAWS_AT = '2030-01-01T00:00:00.000Z'
const LOTTERY = { allocation: { mode: 'lottery', draws_at: DRAWS_AT } }

/** How a round comes into each state: its rules, its levers, and whether all of it is claimed. */
const STATES: Readonly<Record<string, { rules?: Fields; levers?: readonly string[]; claims?: number }>> = {
  scheduled: {},
  open: { levers: ['open'], claims: 3 },
  paused: { levers: ['open', 'pause'] },
  sold_out: { levers: ['open'], claims: STOCK },
  closed: { levers: ['close'] },
  'scheduled, to be drawn': { rules: LOTTERY },
  'open, to be drawn': { rules: LOTTERY, levers: ['open'] },
}

/** What of a campaign's budget is left behind the round. */
const BUDGETS: Readonly<Record<string, Fields>> = {
  'without a budget': {},
  'with a budget that is used up': { budget: { max_amount: STOCK * PACK_AMOUNT } },
  'with a budget for one pack more': { budget: { max_amount: (STOCK + 1) * PACK_AMOUNT } },
}

interface Change {
  readonly path: (round: Round) => string
  readonly body?: Fields
}
const turn = (verb: string): Change => ({ path: ({ id }) => `/v1/rounds/${id}/${verb}` })
const stock = (add: number, more: Fields = {}): Change => ({
  path: ({ id }) => `/v1/rounds/${id}/stock`,
  body: { add, ...more },
})
const round = (body: Fields): Change => ({ path: ({ campaign_id }) => `/v1/campaigns/${campaign_id}/rounds`, body })

const CHANGES: Readonly<Record<string, Change>> = {
  open: turn('open'),
  pause: turn('pause'),
  resume: turn('resume'),
  close: turn('close'),
  release: turn('release'),
  'add one': stock(1),
  'add two': stock(2),
  'add more than a round may hold': stock(100_000_000),
  'add to a pool that is none': stock(2, { pool: 'nobody' }),
  'take one': stock(-1),
  'take eight': stock(-8),
  'take eleven': stock(-11),
  'take from a pool that is none': stock(-1, { pool: 'nobody' }),
  'another round of one': round({ stock: 1 }),
  'another round of two': round({ stock: 2 }),
  'another round that is over': round({ stock: 2, closes_at: '2020-01-01T00:00:00.000Z' }),
  'another round of too many vouchers': round({ stock: 100_000_000, pools: [] }),
}

async function roundIn(state: string, budget: string): Promise<Round> {
  const { rules = {}, levers = [], claims = 0 } = STATES[state] as (typeof STATES)[string]
  const campaign = await makeCampaign(api, BUDGETS[budget])
  const asked = { stock: STOCK, opens_at: null, ...rules }
  const made = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)
  expect(made.status, JSON.stringify(made.body)).toBe(201)
  const { id } = made.body
  for (const verb of levers) await api.post(`/v1/rounds/${id}/${verb}`)
  for (let i = 0; i < claims; i++) await api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id: `u${i}` })
  return (await api.get<Round>(`/v1/rounds/${id}`)).body
}

/** What a dry run and the deed have in common: everything but moments and the version. */
function essence({ state, stock, pools }: Round) {
  const { total, granted, remaining } = stock
  return { state, total, granted, remaining, pools }
}

function expectAlike(dry: Reply<{ after?: Round } & Fields>, done: Reply<Round & Fields>): void {
  if (done.status >= 400) return expect(dry.body).toEqual(untimed(done.body))
  expect(dry.status).toBe(200)
  if (dry.body.after) expect(essence(dry.body.after)).toEqual(essence(done.body))
}

/** `closes_at … now` names the moment of asking. */
const untimed = (body: Fields): Fields =>
  /later than now/.test(String(body.detail)) ? { ...body, detail: expect.stringMatching(/later than now/) } : body

describe.each(Object.keys(BUDGETS))('%s', budget => {
  test.each(Object.keys(STATES))('a round that is %s: a dry run and the deed are answered alike', async state => {
    await Promise.all(
      Object.entries(CHANGES).map(async ([name, { path, body }]) => {
        const before = await roundIn(state, budget)
        const target = path(before)
        const dry = await api.post<{ after?: Round } & Fields>(`${target}?dry_run=true`, body)
        expect((await api.get<Round>(`/v1/rounds/${before.id}`)).body).toMatchObject(essenceOf(before))
        const done = await api.post<Round & Fields>(target, body)
        expect([name, done.body.code, done.status < 400]).toEqual([name, dry.body.code, dry.status < 400])
        expectAlike(dry, done)
      }),
    )
  })
})

const essenceOf = ({ state, stock: { total, granted } }: Round) => ({ state, stock: { total, granted } })

test('every change of a round that has a dry run is in the table', () => {
  const asked = Object.values(CHANGES).map(({ path }) => path({ id: '{id}', campaign_id: '{id}' } as Round))
  const routes = ROUTES.filter(({ path, query }) => query?.includes('dry_run') && /rounds/.test(path))
  expect([...new Set(asked)].sort()).toEqual(routes.map(({ path }) => path).sort())
})

test('what is no round’s is refused alike, too: vouchers, merchants, rates', async () => {
  const open = await roundIn('open', 'without a budget')
  const { body } = await api.post<Granted>(`/v1/rounds/${open.id}/claims`, { user_id: 'ada' })
  const [used, lost] = body.vouchers.map(({ code }) => code) as [string, string]
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  await api.post('/v1/redemptions', { code: used, order, merchant_id: 'm' }, { 'idempotency-key': 'k' })
  const asked: readonly (readonly [string, Fields])[] = [
    [`/v1/vouchers/${used}/deactivate`, { reason: 'r' }],
    [`/v1/vouchers/${lost}/deactivate`, { reason: 'r' }],
    [`/v1/vouchers/${lost}/deactivate`, { reason: 'again' }],
    ['/v1/vouchers/00000000000000000000/deactivate', { reason: 'r' }],
    ['/v1/merchants/!/hold', { reason: 'r' }],
    ['/v1/merchants/!/release', {}],
    ['/v1/merchants/m/hold', { reason: 'r' }],
    ['/v1/rates', {}],
    ['/v1/campaigns', { name: 'c', currency: 'XXXX', pack: [] }],
  ]
  for (const [path, body] of asked) {
    const bytes = path.endsWith('release') ? undefined : body
    const dry = await api.post(`${path}?dry_run=true`, bytes)
    const done = await api.post(path, bytes)
    expect([path, dry.status < 400]).toEqual([path, done.status < 400])
    if (done.status >= 400) expect(dry.body).toEqual(done.body)
  }
})
