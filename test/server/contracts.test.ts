/**
 * What the engine says about itself: /openapi.json, /asyncapi.json, /livez, /readyz, /metrics.
 *
 * The documents are read as an outsider would: every route and every op has to be in them, every reference has to lead
 * somewhere, the examples of the contract have to pass the served schemas and spoilt ones must not, and the frames of a
 * real socket have to fit what the stream's document promises. Metrics are parsed by the rules of Prometheus's text
 * format, line by line, and the claims they count are those that this file asked for.
 */
import { beforeAll, expect, test } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { METRICS } from '../../engine/ops/metrics.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { SENT_FRAMES } from '../../engine/wire/answers/frames.ts'
import { PARAMETERS, type ParameterName } from '../../engine/wire/parameters.ts'
import { Api, CAMPAIGN, type Fields, MEDIA, makeRound, type Round } from '../support/api.ts'
import { parserOf, resolve, standalone } from '../support/contract.ts'
import { KEYS, levelAt, startTestWorker } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { openStream, SUBPROTOCOLS } from '../support/stream-client.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
let api: Api
beforeAll(() => {
  api = new Api(worker.url, KEYS.operator)
})

function referencesOf(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = '$ref' in value && typeof value.$ref === 'string' ? [value.$ref] : []
  return [...own, ...Object.values(value).flatMap(referencesOf)]
}

const passes = (document: unknown, schema: unknown, value: unknown): boolean =>
  parserOf(standalone(document, schema)).safeParse(value).success

/** The bodies of the contract, by method and path. */
const EXAMPLES: Readonly<Record<string, Fields>> = {
  'post /v1/campaigns': CAMPAIGN,
  'post /v1/campaigns/{id}/rounds': {
    stock: 100_000,
    opens_at: '2026-12-01T10:00:00.000Z',
    closes_at: '2026-12-01T12:00:00.000Z',
    allocation: { mode: 'fcfs' },
    pools: [{ name: 'assisted', stock: 5000 }],
  },
  'post /v1/rounds/{id}/stock': { add: 1000, pool: 'general' },
  'post /v1/rounds/{id}/claims': { user_id: 'u1', pool: 'general', slot: 1 },
  'post /v1/rounds/{id}/claims/batch': { claims: [{ user_id: 'u1' }, { user_id: 'u2', slot: 2 }] },
  'post /v1/vouchers/{code}/lock': { order_id: 'o1', ttl_s: 30 },
  'post /v1/vouchers/{code}/unlock': { order_id: 'o1' },
  'post /v1/redemptions': {
    code: '00068N2QZV0688WT548J',
    order: { id: 'o1', amount: 5000, currency: 'CNY' },
    merchant_id: 'm1',
    store_id: 's1',
  },
  'post /v1/redemptions/{id}/reversals': { type: 'full', reason: 'refund' },
  'post /v1/campaigns/{id}/settlements': { business_date: '2026-12-01' },
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly tags: readonly string[]
  readonly security: readonly Fields[]
  readonly parameters: readonly Fields[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: unknown }>> }
  readonly responses: Readonly<Record<string, Fields>>
}

interface OpenApi extends Fields {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly tags: readonly { readonly name: string }[]
}

async function readContract() {
  const { status, headers, body } = await api.as('').get<OpenApi>('/openapi.json')
  expect([status, headers.get('content-type'), body.openapi]).toEqual([200, MEDIA.json, '3.1.0'])
  const operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, route: `${method} ${path}`, ...operation })),
  )
  return { document: body, operations }
}

test('/openapi.json has every route of the API and no file of the pages, and its references lead somewhere', async () => {
  const { document, operations } = await readContract()
  const described = ROUTES.filter(({ operation }) => operation !== undefined)
  expect(operations.map(({ route }) => route).sort()).toEqual(
    described.map(({ method, path }) => `${method} ${path}`).sort(),
  )
  const left = ROUTES.filter(({ operation }) => operation === undefined).map(({ path }) => path)
  expect(left.filter(path => !/^\/$|^\/try\/|^\/client\/[\w-]+\.ts$|\.(js|css)$/.test(path))).toEqual([])
  expect(referencesOf(document).filter(pointer => resolve(document, pointer) === undefined)).toEqual([])
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  const tags = document.tags.map(({ name }) => name)
  for (const { route, path, summary, parameters, responses, tags: own } of operations) {
    expect([route, summary.length > 3, own.length === 1 && tags.includes(own[0] as string)]).toEqual([
      route,
      true,
      true,
    ])
    const named = parameters.filter(({ in: place }) => place === 'path')
    expect(named.map(({ name }) => name)).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]))
    expect([route, Object.keys(responses).some(status => status.startsWith('2'))]).toEqual([route, true])
    for (const response of Object.values(responses)) {
      const { content } = standalone(document, response) as { content: Fields }
      expect([route, Object.keys(content).length > 0]).toEqual([route, true])
    }
  }
})

test('the bodies of the contract and the examples of the document pass its schemas, and spoilt ones do not', async () => {
  const { document, operations } = await readContract()
  let checked = 0
  for (const { route, requestBody } of operations) {
    for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) {
      if (type.endsWith('ndjson')) continue
      const { examples = [] } = standalone(document, schema) as { examples?: readonly Fields[] }
      expect([route, examples.length > 0]).toEqual([route, true])
      for (const example of [...examples, EXAMPLES[route] ?? []].flat()) {
        expect([route, passes(document, schema, example)]).toEqual([route, true])
        expect([route, passes(document, schema, { ...example, unheard_of: 1 })]).toEqual([route, false])
        checked++
      }
    }
  }
  expect(checked).toBeGreaterThanOrEqual(2 * (17 + Object.keys(EXAMPLES).length))
  for (const [name, schema] of Object.entries((document.components as { schemas: Record<string, Fields> }).schemas))
    for (const example of (schema.examples ?? []) as readonly unknown[])
      expect([name, passes(document, schema, example)]).toEqual([name, true])
})

test('a parameter of a query has the type that the engine takes, and no other', async () => {
  const { operations } = await readContract()
  const values = [
    'true',
    'false',
    'x',
    '0',
    '1',
    '255',
    '256',
    '1000',
    '1001',
    '12345',
    'u1',
    'a/b',
    'f'.repeat(32),
    '',
  ]
  const types = new Map<string, unknown>()
  for (const { parameters } of operations) {
    for (const { name, in: place, schema } of parameters as readonly { name: string; in: string; schema: Fields }[]) {
      if (place !== 'query' || name === 'verbose') continue
      types.set(name, schema.type)
      const parser = parserOf(schema)
      const typed = (value: string) => {
        if (schema.type === 'boolean') return value === 'true' ? true : value === 'false' ? false : value
        return schema.type === 'integer' && /^\d+$/.test(value) ? Number(value) : value
      }
      const { form } = PARAMETERS[name as ParameterName]
      // The form of a number lets pass what the route then refuses by its range.
      const passed = values.filter(value => parser.safeParse(typed(value)).success)
      expect([name, passed.filter(value => !form.test(value))]).toEqual([name, []])
      expect([name, passed.length > 0]).toEqual([name, true])
      if (schema.type !== 'integer') expect([name, values.filter(value => form.test(value))]).toEqual([name, passed])
    }
  }
  const named = (type: string) =>
    [...types]
      .filter(([, is]) => is === type)
      .map(([name]) => name)
      .sort()
  expect([named('boolean'), named('integer')]).toEqual([
    ['dry_run', 'durability', 'vouchers'],
    ['limit', 'slot', 'window'],
  ])
  expect(named('string')).toEqual(['cursor', 'merchant_id', 'order_id', 'tag', 'user_id'])
})

test('an Idempotency-Key is required where the document says so, and nowhere else', async () => {
  const { operations } = await readContract()
  const keyed = operations.filter(({ parameters }) => parameters.some(({ name }) => name === 'Idempotency-Key'))
  const required = keyed.filter(({ parameters }) =>
    parameters.some(({ in: place, required: is }) => place === 'header' && is),
  )
  expect(required.map(({ operationId }) => operationId).sort()).toEqual(['redeem', 'reverse'])
  const examples = EXAMPLES as Readonly<Record<string, Fields | undefined>>
  for (const { route, path, requestBody } of keyed.filter(({ method }) => method === 'post')) {
    const body = requestBody && (examples[route] ?? {})
    const { body: answer } = await api.post(path.replace(/\{\w+\}/g, 'none'), body)
    expect([route, answer.code === 'idempotency_key_required']).toEqual([route, /redeem|redemptions/.test(path)])
  }
})

test('/asyncapi.json has every op, and takes what a client may send and no more', async () => {
  const reply = await api.as('').get('/asyncapi.json')
  expect([reply.status, reply.body.asyncapi]).toEqual([200, '3.0.0'])
  const lost = referencesOf(reply.body).filter(pointer => resolve(reply.body, pointer) === undefined)
  expect(lost).toEqual([])
  const messages = resolve(reply.body, '#/channels/stream/messages') as Readonly<Record<string, { payload: unknown }>>
  const sent: readonly Fields[] = [
    { op: 'subscribe', id: 1, topics: ['stock:rnd_x'] },
    { op: 'unsubscribe', id: 2, topics: ['stock:rnd_x'] },
    { op: 'claim', id: 3, round_id: 'rnd_x', user_id: 'u1' },
    { op: 'claims', id: 4, round_id: 'rnd_x', user_ids: ['u1', 'u2'] },
    { op: 'ping', id: 5 },
  ]
  for (const frame of sent) {
    const op = frame.op as string
    expect([op, passes(reply.body, messages[op]?.payload, frame)]).toEqual([op, true])
    expect([op, passes(reply.body, messages[op]?.payload, { ...frame, more: 1 })]).toEqual([op, false])
  }
  expect(Object.keys(messages).sort()).toEqual([...sent.map(({ op }) => op), ...Object.keys(SENT_FRAMES)].sort())
})

/** What a socket gets that claims, watches and asks wrongly: each op, and each kind of answer to a claim, at least once. */
async function framesOf(encoding: keyof typeof SUBPROTOCOLS): Promise<readonly Fields[]> {
  const round = await makeRound(api, { stock: 3, pools: [{ name: 'assisted', stock: 1 }] })
  const drawn = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 1000 } })
  const campaign = `/v1/campaigns/${round.campaign_id}/rounds`
  const { id: scheduled } = (await api.post<Round>(campaign, { stock: 1 })).body
  const socket = await openStream(worker.url, { credential: KEYS.platform, protocols: [SUBPROTOCOLS[encoding]] })
  const frames: Fields[] = [await socket.next('welcome')]
  const topics = [`stock:${round.id}`, `stock:${drawn.id}`]
  const claims = ['a', 'a', 'b', 'c'].map(user_id => ({ op: 'claim', round_id: round.id, user_id }))
  const asked: readonly Fields[] = [
    ...[{ op: 'subscribe', topics }, ...claims],
    ...[drawn.id, scheduled, 'rnd_none'].map(round_id => ({ op: 'claim', round_id, user_id: 'a' })),
    ...[['a', 'd'], ['d']].map(user_ids => ({ op: 'claims', round_id: round.id, user_ids })),
    ...[{ op: 'ping' }, { op: 'dance' }],
  ]
  for (const [i, { op, ...more }] of asked.entries()) frames.push(await socket.ask({ op, id: i + 1, ...more }))
  frames.push(await socket.next('drawn'), await socket.ask({ op: 'unsubscribe', id: 99, topics }), ...socket.frames)
  await socket.close()
  return frames
}

test.each(['json', 'msgpack'] as const)(
  'every frame of a real socket is described to its last field: %s',
  async encoding => {
    const { body: document } = await api.as('').get('/asyncapi.json')
    const frames = await framesOf(encoding)
    expect([...new Set(frames.map(({ op }) => op))].sort()).toEqual(Object.keys(SENT_FRAMES).sort())
    const results = frames.filter(({ op }) => op === 'result')
    expect(results.map(({ outcome, replayed }) => (replayed ? 'replayed' : outcome))).toEqual([
      'granted',
      'replayed',
      'granted',
      'sold_out',
      'entered',
      'not_open',
    ])
    for (const [op, schema] of Object.entries(SENT_FRAMES)) {
      const payload = parserOf(standalone(document, resolve(document, `#/channels/stream/messages/${op}/payload`)))
      for (const frame of frames.filter(each => each.op === op)) {
        expect([frame, schema.safeParse(frame).error]).toEqual([frame, undefined])
        expect([frame, payload.safeParse(frame).error]).toEqual([frame, undefined])
        // Strict, so that a field which nobody described is found; the document lets a later version add some.
        expect([
          op,
          schema.safeParse({ ...frame, more: 1 }).success,
          payload.safeParse({ ...frame, more: 1 }).success,
        ]).toEqual([op, false, true])
        const [name] = Object.keys(frame)
          .filter(field => field !== 'op')
          .sort()
        const { [name as string]: _, ...less } = frame
        expect([op, name, payload.safeParse(less).success]).toEqual([op, name, false])
      }
    }
  },
)

test('/livez and /readyz speak plainly, ?verbose says why', async () => {
  const nobody = api.as('')
  const live = await nobody.get('/livez')
  expect([live.status, String(live.body)]).toEqual([200, 'ok\n'])
  const ready = await nobody.get('/readyz')
  expect([ready.status, String(ready.body)]).toEqual([200, 'ok\n'])
  const verbose = await nobody.get('/readyz?verbose')
  expect([verbose.status, verbose.body]).toMatchObject([
    200,
    { ready: true, draining: false, durability: levelAt(worker.redisUrl).FAIRGRAB_DURABILITY, problems: [] },
  ])
})

test('a server without the promised durability is not ready, grants nothing, and says what to type', async () => {
  const careless = await startRedis({ appendfsync: 'everysec' })
  const unready = await startTestWorker(careless.url, { LOG_LEVEL: 'silent', FAIRGRAB_DURABILITY: 'always' })
  const asked = new Api(unready.url, KEYS.operator)
  const verbose = await asked.get('/readyz?verbose')
  expect([verbose.status, verbose.body]).toMatchObject([
    503,
    {
      ready: false,
      problems: [
        {
          what: expect.stringContaining('appendfsync'),
          mend: expect.stringContaining('CONFIG SET appendfsync always'),
        },
      ],
    },
  ])
  expect((await asked.get('/livez')).status).toBe(200)
  const round = await makeRound(asked)
  for (let i = 0; i < 3; i++)
    expect(await asked.post(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })).toMatchObject({
      status: 503,
      body: { code: 'fenced' },
    })
  expect((await asked.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(0)
  await unready.stop()
  await careless.stop()
})

test('/metrics is Prometheus text, has the whole table, and counts each claim once', async () => {
  const claimsBy = async () => {
    const { body } = await api.as(KEYS.viewer).get('/metrics')
    return readMetrics(String(body))
  }
  const before = await claimsBy()
  const round = await makeRound(api, { stock: 5 }, { limits: { per_user: 2 } })
  const path = `/v1/rounds/${round.id}/claims`
  const claims = Array.from({ length: 20 }, (_, i) => ({ user_id: `m${i % 10}`, slot: i === 19 ? 3 : 1 }))
  await api.post(`${path}/batch`, { claims })
  for (const user_id of ['m0', 'm9', 'late']) await api.post(path, { user_id })
  await api.post(`/v1/rounds/${round.id}/pause`)
  for (let i = 0; i < 3; i++) await api.post(path, { user_id: `p${i}` })
  await api.post(path, { user_id: 'not well formed' })
  const after = await claimsBy()
  const moved = (code: string) =>
    sumOf(after, 'fairgrab_claims_total', { outcome: code }) - sumOf(before, 'fairgrab_claims_total', { outcome: code })
  const counts = Object.fromEntries(
    Object.keys(CODES)
      .map(code => [code, moved(code)])
      .filter(([, count]) => count !== 0),
  )
  expect(counts).toEqual({ granted: 5, replayed: 6, sold_out: 11, limit_reached: 1, paused: 3 })
  expect(after.families.map(({ name }) => name).sort()).toEqual(METRICS.map(({ name }) => name).sort())
  for (const { name, type, help } of METRICS) expect(after.families).toContainEqual({ name, type, help })
  expect(sumOf(after, 'fairgrab_stock_granted', { round: round.id })).toBe(5)
  expect(sumOf(after, 'fairgrab_oversold')).toBe(0)
  expect(sumOf(after, 'fairgrab_bugs_total')).toBe(0)
  expect(sumOf(after, 'fairgrab_batch_claims_count')).toBeGreaterThan(0)
})
