/**
 * Input that is not understood is refused by name and acts on nothing: query parameters, bodies where a route takes none.
 *
 * The table is the engine's own list of routes, so a new route is in it by itself. What was found once stands below it:
 * `close?dry_run=1` closed the round for good. Pages and probes go on ignoring what strangers append to a link, and HEAD is
 * answered wherever there is GET, without a body, because Node's own client fails over one.
 */
import { request } from 'node:http'
import { beforeAll, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, expectProblem, makeRound, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { StreamClient, upgradeStatus } from '../support/stream-client.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
let api: Api
let round: Round
beforeAll(async () => {
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api)
})

const VERSIONED = ROUTES.filter(({ path }) => path.startsWith('/v1/'))
const pathOf = (path: string): string =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => (name === 'id' && path.includes('/rounds/') ? round.id : 'x'))

test.each(VERSIONED.map(({ method, path }) => [method, path] as const))(
  '%s %s refuses a query parameter that it does not know, by name',
  async (method, path) => {
    const body = method === 'get' ? {} : { body: {} }
    const reply = await api.call(method.toUpperCase(), `${pathOf(path)}?fbclid=7`, body)
    expectProblem(reply, 'invalid')
    if (!path.endsWith('/claims') || method === 'get') expect(reply.body.detail).toContain('fbclid')
  },
)

test.each([
  'dry_run=1',
  'dry_run=True',
  'dry_run=',
  'dry_run',
  'dryRun=true',
  'dry_run=true&dry_run=false',
  'dry_run=%74rue&x=',
])('close?%s closes nothing', async query => {
  expectProblem(await api.post(`/v1/rounds/${round.id}/close?${query}`), 'invalid')
  expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.state).toBe('open')
})

test('a query that is no text is malformed', async () => {
  expectProblem(await api.get('/v1/claims?user_id=%ff'), 'malformed')
  expectProblem(await api.get('/v1/claims?user_id=%E4%BD'), 'malformed')
})

test.each([{ dry_run: true }, { reason: 'late' }, [], 'dry_run', 1])(
  'close with the body %j closes nothing',
  async body => {
    expectProblem(await api.post(`/v1/rounds/${round.id}/close`, body), 'invalid')
    expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.state).toBe('open')
  },
)

/** Node's fetch sends no GET with a body. */
function getWith(path: string, body: string, headers: Record<string, string> = {}): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const asking = request(`${worker.url}${path}`, {
    headers: { authorization: `Bearer ${KEYS.operator}`, 'content-type': 'application/json', ...headers },
  })
  asking.on('response', reply => resolve(reply.resume().statusCode ?? 0)).on('error', reject)
  asking.end(body)
  return promise
}

test('a GET with a body is refused; without one, with an empty object and outside of the API it is not', async () => {
  const path = `/v1/rounds/${round.id}`
  for (const body of ['{"user_id":"ada"}', 'x', '[]'])
    for (const headers of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }])
      expect(await getWith(path, body, headers)).toBe(422)
  expect(await getWith(path, '{}', { 'content-length': '2' })).toBe(200)
  expect(await getWith(path, '', { 'content-length': '0' })).toBe(200)
  expect(await getWith('/livez', 'x', { 'content-length': '1' })).toBe(200)
})

test('the stream refuses a query parameter that it does not know, by name', async () => {
  const { status, body } = await upgrade(`?access_tokn=${KEYS.operator}`)
  expect([status, body]).toEqual([422, 'access_tokn: is not known; this route takes access_token'])
  for (const query of ['?access_token=a&access_token=b', '?x']) expect((await upgrade(query)).status).toBe(422)
  expect(await upgradeStatus(worker.url, { query: `?access_token=${KEYS.operator}` })).toBe(101)
  expect(await upgradeStatus(worker.url)).toBe(101)
})

/** What refused an upgrade, or that nothing did. */
function upgrade(query: string): Promise<{ readonly status: number; readonly body: string }> {
  const { promise, resolve } = Promise.withResolvers<{ status: number; body: string }>()
  const { socket } = new StreamClient(worker.url, { query })
  socket.once('open', () => {
    socket.terminate()
    resolve({ status: 101, body: '' })
  })
  socket.once('unexpected-response', (_, response) => {
    let body = ''
    response.on('data', (data: Buffer) => {
      body += data.toString('utf8')
    })
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
  })
  return promise
}

test('an empty object is no body, in both encodings, and so are no bytes', async () => {
  for (const encoding of ['json', 'msgpack'] as const) {
    const other = new Api(worker.url, KEYS.operator, encoding)
    expect((await other.post(`/v1/rounds/${round.id}/pause`, {})).status).toBe(200)
    expect((await other.post(`/v1/rounds/${round.id}/resume`)).status).toBe(200)
  }
})

test('a claim with a query is refused and claims nothing', async () => {
  expectProblem(await api.post(`/v1/rounds/${round.id}/claims?dry_run=true`, { user_id: 'ada' }), 'invalid')
  expectProblem(await api.get(`/v1/rounds/${round.id}/claims/ada`), 'not_found')
})

test('pages and probes ignore what strangers append', async () => {
  for (const path of ['/', `/try/${round.id}`, '/livez', '/readyz', '/metrics', '/openapi.json'])
    expect((await new Api(worker.url, KEYS.viewer).get(`${path}?from=wechat&fbclid=7`)).status).toBe(200)
})

/** HEAD by Node's own client, which fails when a body follows; then GET on the same connection. */
function head(path: string): Promise<{ status: number | undefined; length: string | undefined }> {
  return new Promise((done, fail) => {
    const asked = request(`${worker.url}${path}`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${KEYS.operator}` },
    })
    asked.on('error', fail)
    asked.on('response', reply => {
      reply.on('data', () => fail(new Error(`HEAD ${path} has a body`)))
      reply.on('end', () => done({ status: reply.statusCode, length: reply.headers['content-length'] }))
    })
    asked.end()
  })
}

test.each(ROUTES.filter(({ method }) => method === 'get').map(({ path }) => path))(
  'HEAD %s is GET without a body',
  async path => {
    const target = path === '/v1/claims' ? `${path}?user_id=ada` : pathOf(path)
    const got = await fetch(`${worker.url}${target}`, { headers: { authorization: `Bearer ${KEYS.operator}` } })
    await got.arrayBuffer()
    const { status, length } = await head(target)
    expect(status).toBe(got.status)
    if (!['/metrics', '/readyz'].includes(path)) expect(length).toBe(got.headers.get('content-length') ?? undefined)
  },
)

test('every answer says for how long its connection may stay idle', async () => {
  for (const path of ['/livez', '/nowhere', `/v1/rounds/${round.id}`])
    expect((await fetch(worker.url + path)).headers.get('keep-alive')).toBe('timeout=8')
})
