/**
 * The audit log of the operator's levers over the API: who pulled what, before and after, and how the log is trusted.
 *
 * It is read as an auditor gets it, as NDJSON, and its chain is computed again here from the words alone.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditRow } from '../../engine/cli/setup-commands.ts'
import { auditLog } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'no' })
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
  const client = rawRedis(redis.url)
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
