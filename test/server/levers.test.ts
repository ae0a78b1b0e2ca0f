/**
 * The operator's levers over the API: a dry run tells what the lever then does, and the audit log tells who pulled it.
 *
 * Every verb is tried in every state of a round, first dry and then for good, and the two have to agree in state, stock
 * and refusal: that is what holds the engine's second copy of the state machine to the script's. The log is read as an
 * auditor gets it, as NDJSON, and its chain is computed again here from the words alone.
 */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditRow } from '../../engine/cli/setup-commands.ts'
import { auditLog } from '../../engine/store/connection/keys.ts'
import {
  Api,
  expectProblem,
  type Fields,
  type Granted,
  makeCampaign,
  makeRound,
  PACK,
  type Round,
} from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'

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

async function auditRows(): Promise<readonly AuditRow[]> {
  const { status, body } = await api.get<string>('/v1/audit', { accept: 'application/x-ndjson' })
  expect(status).toBe(200)
  return body
    .trim()
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as AuditRow)
}

/** The number of the first row whose chain does not follow from the rows before it; 0 when all do. */
function brokenAt(rows: readonly AuditRow[]): number {
  let before = ''
  for (const [i, { number, at, request, who, action, target, body, outcome, chain }] of rows.entries()) {
    const words = [before, number, Date.parse(at), request, who, action, target, body, outcome].join('\n')
    if (number !== i + 1 || chain !== createHash('sha1').update(words).digest('hex')) return i + 1
    before = chain
  }
  return 0
}

const VERBS = ['open', 'pause', 'resume', 'close'] as const
const WAYS: Readonly<Record<string, readonly string[]>> = {
  scheduled: [],
  open: ['open'],
  paused: ['open', 'pause'],
  sold_out: ['open'],
  closed: ['close'],
}

/** A round that was brought into a state by its levers; a sold-out one is emptied by a claim. */
async function roundIn(state: string): Promise<Round> {
  const { id } = await makeRound(api, { stock: state === 'sold_out' ? 1 : 10, opens_at: null })
  for (const verb of WAYS[state] as readonly string[]) await api.post(`/v1/rounds/${id}/${verb}`)
  if (state === 'sold_out') await api.post(`/v1/rounds/${id}/claims`, { user_id: 'u1' })
  const { body } = await api.get<Round>(`/v1/rounds/${id}`)
  expect(body.state).toBe(state)
  return body
}

/** What a dry run and the deed have in common: everything but moments and the version. */
const essence = ({ state, stock, pools }: Round) => {
  const { total, granted, remaining, epoch } = stock
  return { state, total, granted, remaining, epoch, pools }
}

describe.each(Object.keys(WAYS))('a round that is %s', state => {
  test('does at each lever what the dry run told, or refuses as it did', async () => {
    const rounds = await Promise.all(VERBS.map(() => roundIn(state)))
    await Promise.all(
      VERBS.map(async (verb, i) => {
        const path = `/v1/rounds/${rounds[i]?.id}/${verb}`
        const dry = await api.post<{ dry_run: true; before: Round; after: Round } & Fields>(`${path}?dry_run=true`)
        expect((await api.get<Round>(`/v1/rounds/${rounds[i]?.id}`)).body).toEqual(rounds[i])
        const done = await api.post<Round & Fields>(path)
        expect([verb, done.status]).toEqual([verb, dry.status])
        if (done.status !== 200) return expect(done.body).toEqual(dry.body)
        expect(essence(dry.body.before)).toEqual(essence(rounds[i] as Round))
        expect(essence(dry.body.after)).toEqual(essence(done.body))
      }),
    )
  })

  test.each([5, -1, -10, -11, 200_000_000])('is restocked by %i as the dry run told', async add => {
    const { id } = await roundIn(state)
    const dry = await api.post<{ after: Round } & Fields>(`/v1/rounds/${id}/stock?dry_run=true`, { add })
    const done = await api.post<Round & Fields>(`/v1/rounds/${id}/stock`, { add })
    expect([add, done.status, done.body.code]).toEqual([add, dry.status, dry.body.code])
    if (done.status === 200) expect(essence(dry.body.after)).toEqual(essence(done.body))
  })
})

test('a dry run tells what a new round commits of the budget, and refuses what would be refused', async () => {
  const campaign = await makeCampaign(api, { budget: { max_amount: 20_000 } })
  const path = `/v1/campaigns/${campaign}/rounds`
  const dry = await api.post(`${path}?dry_run=true`, { stock: 6 })
  const budget = { currency: 'CNY', before: 0, after: 12_000, max_amount: 20_000 }
  expect([dry.status, dry.body]).toEqual([200, { dry_run: true, budget }])
  expect((await api.post(path, { stock: 6 })).status).toBe(201)
  expectProblem(await api.post(`${path}?dry_run=true`, { stock: 5 }), 'budget_exceeded')
  expectProblem(await api.post(path, { stock: 5 }), 'budget_exceeded')
  const [round] = (await api.get<{ data: Round[] }>(path)).body.data
  const more = await api.post(`/v1/rounds/${round?.id}/stock?dry_run=true`, { add: 4 })
  expect(more.body.budget).toEqual({ ...budget, before: 12_000, after: 20_000 })
  const rules = { name: 'dry', currency: 'CNY', pack: PACK }
  const made = await api.post<{ after: Fields } & Fields>('/v1/campaigns?dry_run=true', rules)
  expect([made.status, made.body.after.name]).toEqual([200, 'dry'])
  const names = (await api.get<{ data: { name: string }[] }>('/v1/campaigns?limit=1000')).body.data.map(
    ({ name }) => name,
  )
  expect(names).not.toContain('dry')
})

test('a route without a dry run refuses it instead of doing the thing', async () => {
  const put = { name: 'M', tags: [], stores: [] }
  expectProblem(await api.call('PUT', '/v1/merchants/m1?dry_run=true', { body: put }), 'invalid')
  expectProblem(await api.get('/v1/merchants/m1'), 'not_found')
})

test('who did what is written before and after, with the refusal and without a key or a code', async () => {
  const before = (await auditRows()).length
  const round = await makeRound(api, { stock: 2 }, { name: 'Audited' })
  await api.post(`/v1/rounds/${round.id}/pause?dry_run=true`)
  await api.post(`/v1/rounds/${round.id}/pause`)
  await api.post(`/v1/rounds/${round.id}/pause`)
  await api.post(`/v1/rounds/${round.id}/resume`)
  const claim = await api.as(KEYS.platform).post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })
  const code = claim.body.vouchers[0]?.code as string
  await api.post(`/v1/vouchers/${code}/deactivate`, { reason: 'lost' })
  expectProblem(await api.as(KEYS.platform).post(`/v1/rounds/${round.id}/pause`), 'forbidden')
  const rows = (await auditRows()).slice(before)
  expect(rows.map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
    'POST /v1/campaigns asked',
    'POST /v1/campaigns 201',
    'POST /v1/campaigns/{id}/rounds asked',
    'POST /v1/campaigns/{id}/rounds 201',
    'POST /v1/rounds/{id}/pause asked',
    'POST /v1/rounds/{id}/pause 200',
    'POST /v1/rounds/{id}/pause asked',
    'POST /v1/rounds/{id}/pause wrong_state',
    'POST /v1/rounds/{id}/resume asked',
    'POST /v1/rounds/{id}/resume 200',
    'POST /v1/vouchers/{code}/deactivate asked',
    'POST /v1/vouchers/{code}/deactivate 200',
  ])
  expect(new Set(rows.map(({ who }) => who))).toEqual(new Set([expect.stringMatching(/^operator:[0-9a-f]{16}$/)]))
  expect(rows[4]?.target).toBe(`/v1/rounds/${round.id}/pause`)
  expect(rows[5]?.request).toBe(`${rows[4]?.request} end`)
  expect(JSON.parse(rows[0]?.body as string)).toMatchObject({ name: 'Audited' })
  const text = JSON.stringify(rows)
  for (const secret of [code, ...Object.values(KEYS)]) expect(text.includes(secret)).toBe(false)
})

test('only operators read the log; as a list it has pages', async () => {
  expectProblem(await api.as('').get('/v1/audit'), 'unauthorized')
  for (const role of ['platform', 'merchant', 'viewer'] as const)
    expectProblem(await api.as(KEYS[role]).get('/v1/audit'), 'forbidden')
  const first = await api.get<{ data: AuditRow[]; has_more: boolean; next_cursor: string }>('/v1/audit?limit=3')
  expect([first.body.data.map(({ number }) => number), first.body.has_more]).toEqual([[1, 2, 3], true])
  const next = await api.get<{ data: AuditRow[] }>(`/v1/audit?limit=1&cursor=${first.body.next_cursor}`)
  expect(next.body.data[0]?.number).toBe(4)
  expectProblem(await api.get('/v1/audit?cursor=x'), 'invalid')
})

test('an entry that was changed, dropped or put in between is found, and levers go on working', async () => {
  expect(brokenAt(await auditRows())).toBe(0)
  const client = new Redis(redis.url)
  const [, second] = await client.xrange(auditLog(), '-', '+', 'COUNT', 2)
  await client.xdel(auditLog(), second?.[0] as string)
  expect(brokenAt(await auditRows())).toBe(2)
  const rows = await auditRows()
  const changed = rows.map((row, i) => (i === 4 ? { ...row, who: 'operator:ffffffffffffffff' } : row))
  expect(brokenAt(changed.slice(1))).toBe(1)
  const { id } = await makeRound(api)
  expect((await api.post(`/v1/rounds/${id}/pause`)).status).toBe(200)
  const [last] = (await auditRows()).slice(-1)
  expect([last?.action, last?.outcome]).toEqual(['POST /v1/rounds/{id}/pause', '200'])
  await client.del(auditLog())
  await client.set(auditLog(), 'not a stream')
  expect((await api.post(`/v1/rounds/${id}/resume`)).status).toBe(200)
  const metrics = (await api.get<string>('/metrics')).body
  expect(metrics).toMatch(/^fairgrab_unaudited_total 2$/m)
  client.disconnect()
})
