/**
 * Campaigns and rounds over HTTP, in both encodings: the exact fields of every answer, and every refusal by its code.
 *
 * One worker and one Redis serve the whole file; each test makes the campaigns it needs. Bodies are compared whole
 * (`toEqual`), so that a field that is missing, renamed or new fails. The table of wrong bodies names the field that
 * the answer has to name.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import {
  Api,
  CAMPAIGN,
  expectProblem,
  type Fields,
  makeCampaign,
  makeRound,
  PACK,
  type Reply,
  type Round,
} from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const FAR = '2126-12-01T10:00:00.000Z'

const worker = useWorker()

const PERCENT = { type: 'percent_off', percent_off: 12.5, minimum_amount: 0, maximum_discount_amount: 500 }

const DEFAULTS = { timezone: 'UTC', on_expiry: 'returned' }

for (const encoding of ['json', 'msgpack'] as const)
  describe(encoding, () => {
    let api: Api
    beforeAll(() => {
      api = new Api(worker.url, KEYS.operator, encoding)
    })

    test('a campaign is made, listed and read with exactly its fields', async () => {
      const made = await api.post('/v1/campaigns', CAMPAIGN)
      expect(made.status).toBe(201)
      const shown = {
        ...CAMPAIGN,
        ...DEFAULTS,
        id: expect.stringMatching(/^cmp_[0-9a-z]+$/),
        created_at: expect.stringMatching(TIME),
      }
      expect(made.body).toEqual(shown)
      const read = await api.get(`/v1/campaigns/${made.body.id}`)
      expect([read.status, read.body]).toEqual([200, made.body])
      const plain = { name: 'percent', currency: 'USD', pack: [{ template: 'p', discount: PERCENT, valid_for_s: 60 }] }
      const percent = await api.post('/v1/campaigns', plain)
      expect(percent.body).toMatchObject({ pack: [{ quantity: 1, discount: PERCENT }], limits: { per_user: 1 } })
      const list = await api.get<{ data: Fields[] }>('/v1/campaigns')
      expect(list.body).toMatchObject({ has_more: false, next_cursor: null })
      expect(list.body.data).toContainEqual(made.body)
      expectProblem(await api.get('/v1/campaigns/cmp_none'), 'not_found')
    })

    test('a round is made, turned and read with exactly its fields', async () => {
      const campaign = await makeCampaign(api, CAMPAIGN)
      const rules = { stock: 100, opens_at: FAR, closes_at: '2126-12-01T14:00:00.000+02:00' }
      const made = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, {
        ...rules,
        allocation: { mode: 'fcfs' },
        pools: [{ name: 'assisted', stock: 5 }],
      })
      expect(made.status).toBe(201)
      const stock = { total: 100, granted: 0, remaining: 100, epoch: expect.stringMatching(/./), version: 1 }
      const scheduled = {
        id: expect.stringMatching(/^rnd_[0-9a-z]+$/),
        campaign_id: campaign,
        state: 'scheduled',
        opens_at: FAR,
        closes_at: '2126-12-01T12:00:00.000Z',
        allocation: { mode: 'fcfs' },
        stock,
        pools: [
          { name: 'general', total: 95, granted: 0, remaining: 95 },
          { name: 'assisted', total: 5, granted: 0, remaining: 5 },
        ],
      }
      expect(made.body).toEqual(scheduled)
      const path = `/v1/rounds/${made.body.id}`
      expect((await api.as('').get(path)).body).toEqual(made.body)
      const from = Date.now()
      const opened = await api.post<Round>(`${path}/open`)
      expect(opened.status).toBe(200)
      expect(opened.body).toEqual({
        ...made.body,
        state: 'open',
        opens_at: expect.stringMatching(TIME),
        // The change, and the end of the hold that it began.
        stock: { ...stock, version: 3 },
      })
      const at = Date.parse(opened.body.opens_at as string)
      expect([at > from - 5000, at < Date.now() + 5000]).toEqual([true, true])
      for (const [verb, state] of [
        ['pause', 'paused'],
        ['resume', 'open'],
        ['close', 'closed'],
      ] as const) {
        const turned = await api.post<Round>(`${path}/${verb}`)
        expect([turned.status, turned.body.state]).toEqual([200, state])
        expect((await api.get(path)).body).toEqual(turned.body)
      }
    })

    test('a turn that the state does not allow is wrong_state and changes nothing', async () => {
      const round = await makeRound(api, { opens_at: null })
      expect(round).toMatchObject({ state: 'scheduled', opens_at: null, closes_at: null })
      for (const past of ['1970-01-01T00:00:00.000Z', '1969-12-31T23:59:59.999Z', '2020-01-01T00:00:00.000+14:00'])
        expect(await makeRound(api, { opens_at: past })).toMatchObject({ state: 'open' })
      const path = `/v1/rounds/${round.id}`
      const turn = async (verb: string) => (await api.post(`${path}/${verb}`)).status
      const refusals = {
        scheduled: ['pause', 'resume'],
        open: ['open', 'resume'],
        paused: ['open', 'pause'],
        closed: ['open', 'pause', 'resume', 'close'],
      }
      const ways = { scheduled: 'open', open: 'pause', paused: 'close', closed: '' }
      for (const [state, verbs] of Object.entries(refusals)) {
        const before = (await api.get<Round>(path)).body
        expect(before.state).toBe(state)
        for (const verb of verbs) expectProblem(await api.post(`${path}/${verb}`), 'wrong_state')
        expect((await api.get(path)).body).toEqual(before)
        const way = ways[state as keyof typeof ways]
        if (way !== '') expect(await turn(way)).toBe(200)
      }
      expectProblem(await api.post(`${path}/stock`, { add: 1 }), 'wrong_state')
      expectProblem(await api.post('/v1/rounds/rnd_none/open'), 'not_found')
    })

    test('stock is added and taken back by pool, never below what is granted', async () => {
      const round = await makeRound(api, { stock: 4, pools: [{ name: 'assisted', stock: 1 }] })
      const path = `/v1/rounds/${round.id}`
      const claim = (user_id: string, pool: string) => api.post(`${path}/claims`, { user_id, pool })
      for (const user of ['a', 'b', 'c']) expect((await claim(user, 'general')).status).toBe(201)
      expect((await claim('d', 'assisted')).status).toBe(201)
      expect((await api.get<Round>(path)).body.state).toBe('sold_out')
      const more = await api.post<Round>(`${path}/stock`, { add: 10, pool: 'assisted' })
      expect([more.status, more.body.state, more.body.stock.remaining]).toEqual([200, 'open', 10])
      expect(more.body.pools[1]).toEqual({ name: 'assisted', total: 11, granted: 1, remaining: 10 })
      expectProblem(await api.post(`${path}/stock`, { add: -1 }), 'below_granted')
      expectProblem(await api.post(`${path}/stock`, { add: -11, pool: 'assisted' }), 'below_granted')
      const less = await api.post<Round>(`${path}/stock`, { add: -10, pool: 'assisted' })
      expect(less.body).toMatchObject({ state: 'sold_out', stock: { total: 4, granted: 4, remaining: 0 } })
      expectProblem(await api.post(`${path}/stock`, { add: 5, pool: 'nobody' }), 'invalid', {
        detail: expect.stringContaining('pool'),
      })
    })

    test('the budget of a campaign bounds its rounds and their new stock together', async () => {
      const worth = 2 * 1000
      const campaign = await makeCampaign(api, { budget: { max_amount: 10 * worth } })
      const rounds = `/v1/campaigns/${campaign}/rounds`
      expectProblem(await api.post(rounds, { stock: 11 }), 'budget_exceeded')
      const first = await api.post<Round>(rounds, { stock: 6 })
      expect(first.status).toBe(201)
      expectProblem(await api.post(rounds, { stock: 5 }), 'budget_exceeded')
      const path = `/v1/rounds/${first.body.id}/stock`
      expectProblem(await api.post(path, { add: 5 }), 'budget_exceeded')
      expect((await api.post(path, { add: 4 })).status).toBe(200)
      expect((await api.post(path, { add: -3 })).status).toBe(200)
      expect((await api.post(rounds, { stock: 4 })).status).toBe(422)
      expect((await api.post(rounds, { stock: 3 })).status).toBe(201)
    })

    test('lists page by limit and cursor, and stream as NDJSON', async () => {
      const campaign = await makeCampaign(api)
      const ids: string[] = []
      for (let i = 0; i < 5; i++) {
        const made = await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1 })
        ids.push(made.body.id)
      }
      const path = `/v1/campaigns/${campaign}/rounds`
      const seen: string[] = []
      let cursor = ''
      for (let page = 0; page < 3; page++) {
        const { body } = await api.get<{ data: Round[]; has_more: boolean; next_cursor: string | null }>(
          `${path}?limit=2${cursor}`,
        )
        seen.push(...body.data.map(round => round.id))
        expect(body.has_more).toBe(page < 2)
        expect(body.next_cursor === null).toBe(page === 2)
        cursor = `&cursor=${body.next_cursor}`
      }
      expect(seen).toEqual(ids)
      for (const wrong of ['limit=0', 'limit=1001', 'limit=x', 'limit=1.5', 'cursor=nowhere'])
        expectProblem(await api.get(`${path}?${wrong}`), 'invalid', {
          detail: expect.stringContaining(wrong.split('=')[0] as string),
        })
      const newest = await api.get<{ data: Round[] }>('/v1/rounds?limit=5')
      expect(newest.body.data.map(round => round.id)).toEqual(ids.toReversed())
      for (const list of [path, '/v1/campaigns', '/v1/rounds']) {
        const lines = await api.get(list, { accept: 'application/x-ndjson' })
        expect([list, lines.status, lines.headers.get('content-type')]).toEqual([list, 200, 'application/x-ndjson'])
        const rows = lines.bytes
          .toString()
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line) as Fields)
        expect(rows.every(row => typeof row.id === 'string')).toBe(true)
        if (list === path) expect(rows.map(row => row.id)).toEqual(ids)
      }
      expectProblem(await api.get('/v1/campaigns/cmp_none/rounds'), 'not_found')
    })
  })

const template = (change: Fields) => ({ ...CAMPAIGN, pack: [{ ...CAMPAIGN.pack[0], ...change }] })
const WRONG_CAMPAIGNS: readonly (readonly [body: unknown, field: string])[] = [
  [{ ...CAMPAIGN, name: '' }, 'name'],
  [{ ...CAMPAIGN, name: undefined }, 'name'],
  [{ ...CAMPAIGN, currency: 'yuan' }, 'currency'],
  [{ ...CAMPAIGN, colour: 'red' }, 'colour'],
  [{ ...CAMPAIGN, budget: { max_amount: 0.5 } }, 'budget.max_amount'],
  [{ ...CAMPAIGN, budget: { max_amount: 2 ** 53 } }, 'budget.max_amount'],
  [{ ...CAMPAIGN, limits: { per_user: 0 } }, 'limits.per_user'],
  [{ ...CAMPAIGN, limits: { per_user: 256 } }, 'limits.per_user'],
  [{ ...CAMPAIGN, limits: { per_user: 1, per_day: 1 } }, 'limits.per_day'],
  [{ ...CAMPAIGN, pack: [] }, 'pack'],
  [{ ...CAMPAIGN, pack: [PACK[0], PACK[0]] }, 'pack'],
  [template({ quantity: 65 }), 'pack.0.quantity'],
  [template({ valid_for_s: 0 }), 'pack.0.valid_for_s'],
  [template({ valid_for_s: '60' }), 'pack.0.valid_for_s'],
  [template({ merchant_tags: ['A B'] }), 'pack.0.merchant_tags.0'],
  [template({ discount: { type: 'free' } }), 'pack.0.discount'],
  [template({ discount: { ...PERCENT, percent_off: 101 } }), 'pack.0.discount.percent_off'],
  [
    template({ discount: { ...PERCENT, maximum_discount_amount: undefined } }),
    'pack.0.discount.maximum_discount_amount',
  ],
  [template({ discount: { ...PERCENT, amount_off: 1 } }), 'pack.0.discount.amount_off'],
]
const WRONG_ROUNDS: readonly (readonly [body: unknown, field: string])[] = [
  [{}, 'stock'],
  [{ stock: 0 }, 'stock'],
  [{ stock: 1.5 }, 'stock'],
  [{ stock: 100_000_001 }, 'stock'],
  [{ stock: 1, opens_at: 'tomorrow' }, 'opens_at'],
  [{ stock: 1, opens_at: '2026-12-01T10:00:00' }, 'opens_at'],
  [{ stock: 1, opens_at: FAR, closes_at: '2026-12-01T10:00:00.000Z' }, 'closes_at'],
  [{ stock: 1, opens_at: '9999-12-31T23:00:00-01:00' }, 'opens_at'],
  [{ stock: 1, closes_at: '2020-01-01T00:00:00.000Z' }, 'closes_at: must be later than now'],
  [
    { stock: 1, opens_at: '2019-01-01T00:00:00Z', closes_at: '2020-01-01T00:00:00Z' },
    'closes_at: must be later than now',
  ],
  [
    { stock: 1, allocation: { mode: 'window' }, closes_at: '2020-01-01T00:00:00Z' },
    'closes_at: must be later than now',
  ],
  [{ stock: 1, allocation: { mode: 'lottery', draws_at: '2020-01-01T00:00:00Z' } }, 'draws_at: must be later than now'],
  [
    { stock: 1, opens_at: FAR, allocation: { mode: 'lottery', draws_at: FAR } },
    'allocation.draws_at: must be later than opens_at',
  ],
  [{ stock: 1, allocation: { mode: 'auction' } }, 'allocation.mode'],
  [{ stock: 1, pools: [{ name: 'a', stock: 2 }] }, 'pools'],
  [{ stock: 2, pools: [{ name: 'general', stock: 1 }] }, 'pools'],
  [{ stock: 2, pools: [{ name: 'A!', stock: 1 }] }, 'pools.0.name'],
  [{ stock: 1, price: 3 }, 'price'],
]

const expectInvalid = (reply: Reply, field: string) =>
  expectProblem(reply, 'invalid', { detail: expect.stringContaining(field) })

test.each(WRONG_CAMPAIGNS)('the wrong campaign %# is refused by the name of its field', async (body, field) => {
  expectInvalid(await new Api(worker.url, KEYS.operator).post('/v1/campaigns', body), field)
})

test('each wrong round and restock is refused by the name of its field', async () => {
  const api = new Api(worker.url, KEYS.operator)
  const round = await makeRound(api)
  const path = `/v1/campaigns/${round.campaign_id}/rounds`
  const dry = async () => (await api.post<{ budget: unknown }>(`${path}?dry_run=true`, { stock: 1 })).body.budget
  const committed = await dry()
  for (const [body, field] of WRONG_ROUNDS) {
    expectInvalid(await api.post(`${path}?dry_run=true`, body), field)
    expectInvalid(await api.post(path, body), field)
  }
  expect(await dry()).toEqual(committed)
  for (const [body, field] of [
    [{}, 'add'],
    [{ add: 0 }, 'add'],
    [{ add: 1.5 }, 'add'],
    [{ add: '1' }, 'add'],
    [{ add: 1, pool: 'UPPER' }, 'pool'],
    [{ add: 1, why: 'more' }, 'why'],
    [{ add: 99_999_999 }, 'add'],
  ] as const)
    expectInvalid(await api.post(`/v1/rounds/${round.id}/stock`, body), field)
  expect((await api.get(`/v1/rounds/${round.id}`)).body).toEqual(round)
  expectProblem(await api.post('/v1/campaigns/cmp_none/rounds', { stock: 1 }), 'not_found')
  const large = await makeCampaign(api, { pack: [{ ...PACK[0], quantity: 64 }] })
  expectInvalid(await api.post(`/v1/campaigns/${large}/rounds`, { stock: 2 ** 22 + 1 }), 'stock')
})
