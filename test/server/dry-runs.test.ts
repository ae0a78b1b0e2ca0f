/**
 * Every change of an operator, in every state of a round, under every kind of budget: first dry, then for good. A dry run
 * writes nothing, which all keys of Redis say, and tells what is then done: the refusal to the letter, or the round and the
 * budget as they stand behind the change. A refusal by the budget comes behind all others, since it is the one that waits
 * for money.
 *
 * States that take a fail-over or a loss are written into Redis as those leave them. Rejected: judging the dry run by a
 * table of what should be, a third state machine; what is then done is the judge.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { campaignBudget, campaignState, roundLog, roundNumber, roundState } from '../../engine/store/connection/keys.ts'
import {
  type Api,
  expectProblem,
  type Fields,
  type Granted,
  makeCampaign,
  makeRound,
  type Reply,
  type Round,
  PACK as TEST_PACK,
} from '../support/api.ts'
import { effort } from '../support/effort.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { PatientApi } from '../support/patient-api.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { seed } from '../support/seed.ts'

const STOCK = 10
/** Three vouchers, so that the longest list of packs has more than a round may. */
const PACK = [{ ...TEST_PACK[0], quantity: 3 }]
const PACK_AMOUNT = 3000
const CLAIMED = 3
/** Moments within so many of now are the one of asking, which is another one for the dry run and for good. */
const NEAR_MS = 300_000

let redis: RedisProcess
let client: Redis
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no', args: ['--enable-debug-command', 'yes'] })
  client = new Redis(redis.socketPath as string)
  worker = await startTestWorker(redis.url, { LOG_LEVEL: 'silent' })
  api = new PatientApi(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  client?.disconnect()
  await redis?.stop()
})

/** The books of campaigns, into which a sweep writes at any moment; no change of a round does. */
const BOOKS = /\{cmp_\w+\}:(state|balances|ledger)$/

/** A digest of what each key holds. */
async function digests(isCompared = (key: string) => !BOOKS.test(key)): Promise<Readonly<Record<string, string>>> {
  const names = (await client.keys('*')).filter(isCompared).sort()
  const values = (await client.call('DEBUG', 'DIGEST-VALUE', ...names)) as string[]
  return Object.fromEntries(names.map((name, i) => [name, values[i] as string]))
}

const DRAWS_AT = '2030-01-01T00:00:00.000Z'
const LOTTERY = { allocation: { mode: 'lottery', draws_at: DRAWS_AT } }

/** Writes into a round's state what no lever does; the version rises as with every change. */
async function write(id: string, fields: Fields): Promise<void> {
  await client.hset(roundState(id), fields)
  await client.hincrby(roundState(id), 'version', 1)
}

/** A fail-over set `held` sequences aside, and as many packs. */
const quarantine = (held: number) => (id: string) =>
  write(id, { ranges: `${CLAIMED + 1}-${CLAIMED + held}`, sequence: CLAIMED + held, q0: held })

interface State {
  readonly rules?: Fields
  readonly levers?: readonly string[]
  readonly claims?: number
  readonly happens?: (id: string) => Promise<unknown>
}

/** How a round comes into each state: its rules, its levers, how many claim, and what happens to it behind them. */
const STATES: Readonly<Record<string, State>> = {
  scheduled: {},
  'scheduled for later': { rules: { opens_at: DRAWS_AT } },
  open: { levers: ['open'], claims: CLAIMED },
  paused: { levers: ['open', 'pause'] },
  'sold out': { levers: ['open'], claims: STOCK },
  closed: { levers: ['close'] },
  'closed by the clock, which nobody has written yet': { levers: ['open'], happens: id => write(id, { closes: 1 }) },
  'open, some of it in quarantine': { levers: ['open'], claims: CLAIMED, happens: quarantine(4) },
  'open, all that is left in quarantine': { levers: ['open'], claims: CLAIMED, happens: quarantine(STOCK - CLAIMED) },
  'closed, some of it in quarantine': {
    levers: ['open'],
    claims: CLAIMED,
    happens: async id => {
      await quarantine(4)(id)
      await api.post(`/v1/rounds/${id}/close`)
    },
  },
  'without a log': { levers: ['open'], happens: id => client.del(roundLog(id)) },
  'without a state': { levers: ['open'], happens: id => client.del(roundState(id)) },
  'scheduled, to be drawn': { rules: LOTTERY },
  'open, to be drawn': { rules: LOTTERY, levers: ['open'] },
}

/** What of a campaign's budget is left behind the round. */
const BUDGETS: Readonly<Record<string, Fields>> = {
  'without a budget': {},
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

type Dry = Reply<{ before?: Round; after?: Round; budget?: Fields } & Fields>

/** One change of one round: what was told, what was done, and what stood before and behind it. */
interface Played {
  readonly name: string
  readonly dry: Dry
  readonly done: Reply<Round & Fields>
  readonly stood: Reply<Round>
  readonly stands: Reply<Round>
  /** What is committed of the budget before and behind it, minor units. */
  readonly money: readonly [number, number]
}

async function roundIn({ rules = {}, levers = [], claims = 0, happens }: State, budget: Fields): Promise<Round> {
  const campaign = await makeCampaign(api, { pack: PACK, ...budget })
  const asked = { stock: STOCK, opens_at: null, ...rules }
  const made = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)
  expect(made.status, JSON.stringify(made.body)).toBe(201)
  const { id } = made.body
  for (const verb of levers) await api.post(`/v1/rounds/${id}/${verb}`)
  const users = Array.from({ length: claims }, (_, i) => ({ user_id: `u${i}` }))
  if (claims > 0) await api.post(`/v1/rounds/${id}/claims/batch`, { claims: users })
  await happens?.(id)
  return made.body
}

const moneyOf = async (campaign: string) => Number(await client.hget(campaignBudget(campaign), 'sum'))

async function play(state: State, budget: Fields, [name, { path, body }]: readonly [string, Change]) {
  const made = await roundIn(state, budget)
  const read = () => api.get<Round>(`/v1/rounds/${made.id}`)
  const stood = await read()
  return {
    dry: (): Promise<Dry> => api.post(`${path(made)}?dry_run=true`, body),
    real: async (dry: Dry): Promise<Played> => {
      const before = await moneyOf(made.campaign_id)
      const done = await api.post<Round & Fields>(path(made), body)
      return { name, dry, done, stood, stands: await read(), money: [before, await moneyOf(made.campaign_id)] }
    },
  }
}

/** What a dry run and the change have in common: everything but the version, and the moment of opening or closing about now. */
function essence({ stock: { version: _, ...stock }, opens_at, closes_at, ...rest }: Round) {
  const isNear = (at: string) => Math.abs(Date.parse(at) - Date.now()) < NEAR_MS
  const near = (at: string | null) => (at === null || !isNear(at) ? at : 'about now')
  return { ...rest, stock, opens: near(opens_at), closes: near(closes_at) }
}

/** `closes_at … now` names the moment of asking. */
const untimed = (body: Fields): Fields =>
  /later than now/.test(String(body.detail)) ? { ...body, detail: expect.stringMatching(/later than now/) } : body

function expectTrue({ name, dry, done, stood, stands, money }: Played): void {
  expect([name, dry.body.code, dry.status < 400]).toEqual([name, done.body.code, done.status < 400])
  if (done.status >= 400) {
    expect(dry.body, name).toEqual(untimed(done.body))
    return expect(money[1], `${name}: the budget of a change that was refused`).toBe(money[0])
  }
  const { before, after, budget } = dry.body
  expect(dry.status).toBe(200)
  if (before) expect(before, name).toEqual(stood.body)
  if (after) {
    expect(essence(after), name).toEqual(essence(done.body))
    expect(essence(after), name).toEqual(essence(stands.body))
  }
  if (budget) expect([budget.before, budget.after], name).toEqual(money)
  else expect(money[1], name).toBe(money[0])
}

const met = { states: new Set<unknown>(), codes: new Set<unknown>() }

/** The short form has time for every second change of a state, the others under the other budget; which ones follows from the seed. */
const EACH = effort(2, 1)
const budgets = Object.keys(BUDGETS)
const states = Object.keys(STATES)

describe.each(budgets)('%s', budget => {
  test.each(states)('a round that is %s: the dry run writes nothing, and what it tells is done', async state => {
    const from = seed + states.indexOf(state) + budgets.indexOf(budget)
    const asked = Object.entries(CHANGES)
      .filter((_, place) => (place + from) % EACH === 0)
      .map(change => play(STATES[state] as State, BUDGETS[budget] as Fields, change))
    const all = await Promise.all(asked)
    const before = await digests()
    const dry = await Promise.all(all.map(each => each.dry()))
    expect(await digests()).toEqual(before)
    for (const played of await Promise.all(all.map(({ real }, i) => real(dry[i] as Dry)))) {
      met.states.add(played.stood.body.state)
      met.codes.add(played.done.body.code)
      expectTrue(played)
    }
  })
})

test('every state and every refusal of a round was met', () => {
  const shown = ['scheduled', 'open', 'paused', 'sold_out', 'closed', 'fenced']
  expect([...met.states]).toEqual(expect.arrayContaining(shown))
  const codes = ['wrong_state', 'below_granted', 'invalid', 'budget_exceeded', 'fenced', undefined]
  expect(met.codes).toEqual(new Set(codes))
})

test('a closed round says so and not that the budget is used up, and so does everything that stands before the money', () => {
  // Written out for one pair of each step, so that dry and real cannot be wrong in the same way.
  expect.hasAssertions()
  return Promise.all(
    ORDER.map(async ([state, change, code]) => {
      const made = await roundIn(STATES[state] as State, { budget: { max_amount: STOCK * PACK_AMOUNT } })
      const { path, body } = CHANGES[change] as Change
      for (const more of ['?dry_run=true', '']) expectProblem(await api.post(path(made) + more, body), code)
    }),
  )
})

/** State, change, refusal: each change asks for more than the budget has, too. */
const ORDER = [
  ['open', 'add to a pool that is none', 'invalid'],
  ['open', 'add more than a round may hold', 'invalid'],
  ['open', 'add one', 'budget_exceeded'],
  ['sold out', 'add one', 'budget_exceeded'],
  ['closed', 'add one', 'wrong_state'],
  ['closed', 'add to a pool that is none', 'invalid'],
  ['closed', 'add more than a round may hold', 'wrong_state'],
  ['closed by the clock, which nobody has written yet', 'add one', 'wrong_state'],
  ['without a log', 'add one', 'fenced'],
  ['without a log', 'add to a pool that is none', 'invalid'],
  ['open, to be drawn', 'add one', 'wrong_state'],
  ['open, to be drawn', 'add to a pool that is none', 'wrong_state'],
  ['open', 'another round that is over', 'invalid'],
  ['open', 'another round of too many vouchers', 'invalid'],
  ['open', 'another round of one', 'budget_exceeded'],
] as const

test('every change of a round that has a dry run is in the table', () => {
  const asked = Object.values(CHANGES).map(({ path }) => path({ id: '{id}', campaign_id: '{id}' } as Round))
  const routes = ROUTES.filter(({ path, query }) => query?.includes('dry_run') && /rounds/.test(path))
  expect([...new Set(asked)].sort()).toEqual(routes.map(({ path }) => path).sort())
})

test('the figures of a budget, and what is only to be made', async () => {
  const campaign = await makeCampaign(api, { pack: TEST_PACK, budget: { max_amount: 20_000 } })
  const path = `/v1/campaigns/${campaign}/rounds`
  const dry = await api.post(`${path}?dry_run=true`, { stock: 6 })
  const budget = { currency: 'CNY', before: 0, after: 12_000, max_amount: 20_000 }
  expect([dry.status, dry.body]).toEqual([200, { dry_run: true, budget }])
  const { body } = await api.post<Round>(path, { stock: 6 })
  for (const more of ['?dry_run=true', '']) expectProblem(await api.post(path + more, { stock: 5 }), 'budget_exceeded')
  const stocked = await api.post(`/v1/rounds/${body.id}/stock?dry_run=true`, { add: 4 })
  expect(stocked.body.budget).toEqual({ ...budget, before: 12_000, after: 20_000 })
  const less = await api.post(`/v1/rounds/${body.id}/stock?dry_run=true`, { add: -4 })
  expect(less.body.budget).toEqual({ ...budget, before: 12_000, after: 4000 })
  const rules = { name: 'dry', currency: 'CNY', pack: PACK }
  const made = await api.post<{ after: Fields } & Fields>('/v1/campaigns?dry_run=true', rules)
  expect([made.status, made.body.after.name]).toEqual([200, 'dry'])
  const { data } = (await api.get<{ data: { name: string }[] }>('/v1/campaigns?limit=1000')).body
  expect(data.map(({ name }) => name)).not.toContain('dry')
})

test('a Redis that has given out all numbers of rounds says so before it asks for money', async () => {
  const campaign = await makeCampaign(api, { budget: { max_amount: 1 } })
  const last = (await client.get(roundNumber())) as string
  await client.set(roundNumber(), 2 ** 20 - 1)
  for (const more of ['?dry_run=true', ''])
    expectProblem(await api.post(`/v1/campaigns/${campaign}/rounds${more}`, { stock: 1 }), 'invalid')
  await client.set(roundNumber(), last)
})

test('a route without a dry run refuses it instead of doing the thing', async () => {
  const put = { name: 'M', tags: [], stores: [] }
  expectProblem(await api.call('PUT', '/v1/merchants/m1?dry_run=true', { body: put }), 'invalid')
  expectProblem(await api.get('/v1/merchants/m1'), 'not_found')
})

/** A voucher in each state, with its campaign; everything is booked that a sweep would book. */
async function vouchersByState() {
  const round = await makeRound(api, { stock: STOCK }, { limits: { per_user: 9 } })
  const codes: string[] = []
  for (let slot = 1; slot < 4; slot++) {
    const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'ada', slot })
    codes.push(...body.vouchers.map(({ code }) => code))
  }
  const [active = '', locked = '', redeemed = '', deactivated = ''] = codes
  await api.post(`/v1/vouchers/${locked}/lock`, { order_id: 'o', ttl_s: 3600 })
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  await api.post('/v1/redemptions', { code: redeemed, order, merchant_id: 'm' }, { 'idempotency-key': 'k' })
  await api.post(`/v1/vouchers/${deactivated}/deactivate`, { reason: 'r' })
  const old = await makeRound(api, { stock: STOCK })
  const { body } = await api.post<Granted>(`/v1/rounds/${old.id}/claims`, { user_id: 'ada' })
  await client.hset(campaignState(old.campaign_id), 'ahead', 1e9)
  for (const { campaign_id } of [round, old])
    expect((await api.get(`/v1/campaigns/${campaign_id}/report`)).status).toBe(200)
  const used = Object.entries({ active, locked, redeemed, deactivated })
  const rows = [...used.map(row => [...row, round.campaign_id]), ['expired', body.vouchers[0]?.code, old.campaign_id]]
  return rows as [state: string, code: string, campaign: string][]
}

test('a voucher in each state: the dry run writes nothing and tells what taking it out of use then does', async () => {
  for (const [state, code, campaign] of await vouchersByState()) {
    const path = `/v1/vouchers/${code}/deactivate`
    const stateOf = async () => (await api.get(`/v1/vouchers/${code}`)).body.state
    expect(await stateOf()).toBe(state)
    const before = await digests(key => key.includes(campaign))
    const dry = await api.post(`${path}?dry_run=true`, { reason: 'r' })
    expect(await digests(key => key.includes(campaign)), state).toEqual(before)
    const done = await api.post(path, { reason: 'r' })
    expect([state, dry.status]).toEqual([state, done.status])
    if (done.status >= 400) expect(dry.body).toEqual(done.body)
    else expect(dry.body).toEqual({ dry_run: true, before: state, after: await stateOf() })
  }
})

test('what is no round’s is refused alike, too: vouchers, merchants, rates', async () => {
  const asked: readonly (readonly [string, Fields])[] = [
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
