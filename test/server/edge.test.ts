/**
 * The edge: what is refused before anything is asked, who may use which route, and bytes that are no HTTP at all.
 *
 * The table of roles is written out here and not read from the engine's own: it is API.md's table, route by route, and
 * every route that the engine serves must have a row. A request that is refused here may cost nothing, so the round
 * is compared before and after, and the engine has to answer everybody else meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX } from '../../engine/base/limits.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, expectProblem, type Granted, MEDIA, makeRound, pack, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RawAnswer, RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { userToken } from '../support/user-token.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
let granted: Granted
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url, { FAIRGRAB_RATE_ADDRESS: '0', FAIRGRAB_RATE_USER: '0' })
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 50 })
  granted = (await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'holder' })).body
  round = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

/** Nothing was granted and nothing lost since the holder's claim. */
async function expectUntouched(): Promise<void> {
  expect((await api.get(`/v1/rounds/${round.id}`)).body).toEqual(round)
  expect((await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'holder' })).body).toEqual({
    ...granted,
    replayed: true,
  })
}

const deepJson = (depth: number) => Buffer.from(`{"user_id":${'['.repeat(depth)}${']'.repeat(depth)}}`)
const deepMsgpack = (depth: number) => Buffer.from([0x81, 0xa1, 0x61, ...new Array<number>(depth).fill(0x91), 0xc0])
const MALFORMED: readonly (readonly [what: string, type: string, bytes: Buffer])[] = [
  ['a word', MEDIA.json, Buffer.from('claim')],
  ['half an object', MEDIA.json, Buffer.from('{"user_id":"u1"')],
  ['two objects', MEDIA.json, Buffer.from('{"user_id":"u1"}{}')],
  ['two users', MEDIA.json, Buffer.from('{"user_id":"u1","user_id":"u2"}')],
  ['two users in MessagePack', MEDIA.msgpack, Buffer.from('82a7757365725f6964a27531a7757365725f6964a27532', 'hex')],
  ['a comment', MEDIA.json, Buffer.from('{"user_id":"u1"/**/}')],
  ['MessagePack that says JSON', MEDIA.json, pack({ user_id: 'u1' })],
  ['far too deep', MEDIA.json, deepJson(1000)],
  ['deeper than the stack', MEDIA.json, deepJson(30_000)],
  ['a lone byte that is never used', MEDIA.msgpack, Buffer.from([0xc1])],
  ['half a map', MEDIA.msgpack, pack({ user_id: 'u1' }).subarray(0, 6)],
  ['more behind the map', MEDIA.msgpack, Buffer.concat([pack({ user_id: 'u1' }), Buffer.from([1])])],
  ['an extension', MEDIA.msgpack, pack({ user_id: new Date() })],
  ['JSON that says MessagePack', MEDIA.msgpack, Buffer.from('{"user_id":"u1"}')],
  ['deep MessagePack', MEDIA.msgpack, deepMsgpack(40)],
  ['MessagePack deeper than the stack', MEDIA.msgpack, deepMsgpack(60_000)],
  ['an array that promises four thousand million', MEDIA.msgpack, Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])],
]
const NO_OBJECT: readonly (readonly [string, Buffer])[] = [
  [MEDIA.json, Buffer.from('null')],
  [MEDIA.json, Buffer.from('"u1"')],
  [MEDIA.json, Buffer.from('[{"user_id":"u1"}]')],
  [MEDIA.json, Buffer.from('{"user_id":"u1","__proto__":{"slot":2}}')],
  [MEDIA.json, Buffer.from('{"user_id":"u1","constructor":{}}')],
  [MEDIA.msgpack, pack(null)],
  [MEDIA.msgpack, pack({ user_id: 'u1', ['__proto' + '__']: 1, other: 2 })],
]

test('bytes that are not their encoding are malformed; a value that is no claim is invalid', async () => {
  const path = `/v1/rounds/${round.id}/claims`
  for (const [what, type, bytes] of MALFORMED) {
    const reply = await api.post(path, bytes, { 'content-type': type })
    expect([what, reply.status, reply.body.code]).toEqual([what, 400, 'malformed'])
    expectProblem(reply, 'malformed')
    expectProblem(await api.post('/v1/campaigns', bytes, { 'content-type': type }), 'malformed')
  }
  for (const [type, bytes] of NO_OBJECT) expectProblem(await api.post(path, bytes, { 'content-type': type }), 'invalid')
  expectProblem(await api.post(path, Buffer.alloc(0), { 'content-type': MEDIA.json }), 'invalid')
  expect(({} as { slot?: number }).slot).toBeUndefined()
  await expectUntouched()
})

test('a body over the limit is 413, one of another type 415', async () => {
  const claims = `/v1/rounds/${round.id}/claims`
  const sized = (bytes: number) => Buffer.from(`{"user_id":"u1"${' '.repeat(bytes - 16)}}`)
  expectProblem(await api.post(claims, sized(BODY_BYTES_MAX + 1)), 'too_large')
  expectProblem(await api.post('/v1/campaigns', sized(BODY_BYTES_MAX + 1)), 'too_large')
  expectProblem(await api.post(`${claims}/batch`, sized(BATCH_BODY_BYTES_MAX + 1)), 'too_large')
  expectProblem(await api.post(`${claims}/batch`, sized(BATCH_BODY_BYTES_MAX)), 'invalid')
  expectProblem(await api.post(claims, Buffer.alloc(BODY_BYTES_MAX * 40, 0x20)), 'too_large')
  for (const type of ['text/plain', 'application/xml', 'multipart/form-data; boundary=x'])
    for (const path of [claims, '/v1/campaigns', '/v1/redemptions'])
      expectProblem(await api.post(path, Buffer.from('{}'), { 'content-type': type }), 'unsupported_type')
  await expectUntouched()
  const full = await api.post(claims, sized(BODY_BYTES_MAX), { 'content-type': `${MEDIA.json}; charset=utf-8` })
  expect([full.status, (full.body as { outcome?: string }).outcome]).toEqual([201, 'granted'])
  round = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
})

test('an answer comes in the encoding that was asked for, else in that of the request', async () => {
  const path = `/v1/rounds/${round.id}/claims`
  const rows: readonly (readonly [sent: string, accept: string, got: string])[] = [
    [MEDIA.json, '*/*', MEDIA.json],
    [MEDIA.msgpack, '*/*', MEDIA.msgpack],
    [MEDIA.json, MEDIA.msgpack, MEDIA.msgpack],
    [MEDIA.msgpack, MEDIA.json, MEDIA.json],
  ]
  for (const [sent, accept, got] of rows) {
    const body = sent === MEDIA.json ? Buffer.from('{"user_id":"holder"}') : pack({ user_id: 'holder' })
    const reply = await api.post(path, body, { 'content-type': sent, accept })
    expect([sent, accept, reply.headers.get('content-type')]).toEqual([sent, accept, got])
    expect(reply.body).toEqual({ ...granted, replayed: true })
  }
})

test('a path that does not exist is 404, another method 405 with Allow', async () => {
  for (const path of [
    '/v1',
    '/v2/rounds',
    '/v1/rounds/a/b/c/d',
    '/v1/admin',
    '/.env',
    '/v1/rounds//claims/',
    '/metrics/x',
  ])
    expectProblem(await api.get(path), 'not_found')
  const rows: readonly (readonly [string, string, string])[] = [
    ['DELETE', `/v1/rounds/${round.id}`, 'GET, HEAD'],
    ['PUT', '/v1/campaigns', 'GET, HEAD, POST'],
    ['PATCH', `/v1/rounds/${round.id}/claims`, 'GET, HEAD, POST'],
    ['PUT', '/v1/redemptions', 'GET, HEAD, POST'],
    ['GET', `/v1/rounds/${round.id}/pause`, 'POST'],
    ['POST', '/livez', 'GET, HEAD'],
    ['OPTIONS', '/v1/rounds', 'GET, HEAD'],
  ]
  for (const [method, path, allow] of rows) {
    const reply = await api.call(method, path)
    expectProblem(reply, 'method_not_allowed')
    expect(reply.headers.get('allow')?.split(', ').sort().join(', ')).toBe(allow)
  }
})

test('the path of the stream says what it is to who asks without Upgrade, as behind a proxy that drops it', async () => {
  expect((await fetch(`${worker.url}/v1/stream`, { method: 'HEAD' })).status).toBe(422)
  const reply = await api.as('').get('/v1/stream?access_token=x')
  expectProblem(reply, 'invalid')
  expect(reply.body.detail).toBe(
    '/v1/stream is a WebSocket, and this request has no Upgrade: open one; behind a proxy, let it pass Upgrade and Connection on',
  )
  const posted = await api.post('/v1/stream', {})
  expectProblem(posted, 'method_not_allowed')
  expect(posted.headers.get('allow')).toBe('GET')
})

const ROLES = ['operator', 'platform', 'merchant', 'viewer', 'user', 'anonymous'] as const
type Role = (typeof ROLES)[number]
const ALL: readonly Role[] = ROLES
const READERS: readonly Role[] = ['operator', 'platform', 'viewer']
/** Who may, by method and path; everybody else is 401 without a credential and 403 with one. */
const MAY: Readonly<Record<string, readonly Role[]>> = {
  'get /metrics': ['operator', 'viewer'],
  'post /v1/campaigns': ['operator'],
  'get /v1/campaigns': READERS,
  'get /v1/campaigns/{id}': READERS,
  'post /v1/campaigns/{id}/rounds': ['operator'],
  'get /v1/campaigns/{id}/rounds': ALL,
  'get /v1/rounds': ALL,
  'get /v1/rounds/{id}': ALL,
  'post /v1/rounds/{id}/open': ['operator'],
  'post /v1/rounds/{id}/pause': ['operator'],
  'post /v1/rounds/{id}/resume': ['operator'],
  'post /v1/rounds/{id}/close': ['operator'],
  'post /v1/rounds/{id}/release': ['operator'],
  'post /v1/rounds/{id}/stock': ['operator'],
  'get /v1/rounds/{id}/draw': ALL,
  'get /v1/rounds/{id}/draw/files/{name}': ALL,
  'get /v1/rounds/{id}/draw/proof': ALL,
  'get /v1/rounds/{id}/draw/key': ALL,
  'post /v1/rounds/{id}/draw/beacon': ['operator'],
  'post /v1/rounds/{id}/draw/lapses': ['operator'],
  'post /v1/rounds/{id}/claims': ['operator', 'platform', 'user'],
  'post /v1/rounds/{id}/claims/batch': ['operator', 'platform'],
  'get /v1/rounds/{id}/claims/{user_id}': [...READERS, 'user'],
  'get /v1/rounds/{id}/claims': READERS,
  'get /v1/vouchers/{code}': ['operator', 'platform', 'merchant', 'viewer'],
  'post /v1/vouchers/{code}/lock': ['operator', 'platform', 'merchant'],
  'post /v1/vouchers/{code}/unlock': ['operator', 'platform', 'merchant'],
  'post /v1/redemptions': ['operator', 'platform', 'merchant'],
  'post /v1/redemptions/{id}/reversals': ['operator', 'merchant'],
  'get /v1/campaigns/{id}/ledger': READERS,
  'get /v1/campaigns/{id}/ledger/entries': READERS,
  'post /v1/campaigns/{id}/settlements': ['operator'],
  'get /v1/campaigns/{id}/settlements/{date}': READERS,
  'post /v1/campaigns/{id}/holds': ['operator'],
  'get /v1/campaigns/{id}/report': READERS,
  'get /v1/campaigns/{id}/study': ['operator'],
  'get /v1/audit': ['operator'],
  'post /v1/vouchers/{code}/deactivate': ['operator'],
  'put /v1/merchants/{id}': ['operator'],
  'post /v1/merchants/{id}/hold': ['operator'],
  'post /v1/merchants/{id}/release': ['operator'],
  'get /v1/holds': READERS,
  'get /v1/rates': READERS,
  'post /v1/rates': ['operator'],
  'get /v1/merchants': READERS,
  'put /v1/merchants': ['operator'],
  'get /v1/redemptions': ['operator', 'platform', 'merchant', 'viewer'],
  'get /v1/redemptions/{id}': ['operator', 'platform', 'merchant', 'viewer'],
  'get /v1/claims': READERS,
  'get /v1/vouchers/{code}/history': READERS,
  'get /v1/merchants/{id}': ['operator', 'platform', 'merchant', 'viewer'],
}
/** A body that passes the gateway and changes nothing. */
const HARMLESS: Readonly<Record<string, object>> = {
  'post /v1/rounds/{id}/claims': { user_id: 'holder' },
  'post /v1/rounds/{id}/claims/batch': { claims: [{ user_id: 'holder' }] },
}

describe('the roles', () => {
  const routes = ROUTES.map(({ method, path }) => `${method} ${path}`)

  test('every route under /v1 has a row', () => {
    expect(routes.filter(route => route.includes(' /v1/') && !(route in MAY))).toEqual([])
    expect(routes.length).toBeGreaterThan(20)
  })

  test.each(routes)('%s', async route => {
    const [method = '', pattern = ''] = route.split(' ')
    const may = MAY[route] ?? ALL
    const foreign = /claims$|batch$|user_id/.test(pattern)
    const path = pattern
      .replace('{id}', foreign ? round.id : 'cmp_none')
      .replace('{user_id}', 'holder')
      .replace('{code}', 'none')
    const credentials = { ...KEYS, user: userToken('holder'), anonymous: '' }
    for (const role of ROLES) {
      const body = method === 'get' ? undefined : (HARMLESS[route] ?? { nothing: true })
      const { status } = await api.as(credentials[role]).call(method.toUpperCase(), path, { body })
      const refused = status === 401 || status === 403
      expect([role, refused]).toEqual([role, !may.includes(role)])
      if (refused) expect([role, status]).toEqual([role, role === 'anonymous' ? 401 : 403])
      expect(status).toBeLessThan(500)
    }
    await expectUntouched()
  })
})

/** A claim that would be granted, with further header lines and another length. */
const REQUEST = (more: string, body = '{"user_id":"smuggled"}', length = String(body.length)) =>
  bytesOf(`POST /v1/rounds/${round.id}/claims`, more, body, length)

const bytesOf = (line: string, more: string, body: string, length = String(body.length)) =>
  `${line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\n` +
  `Content-Type: application/json\r\n${more}${length === '' ? '' : `Content-Length: ${length}\r\n`}\r\n${body}`

/** The statuses of the library, which answers by itself; the silent ones are never answered, and time out. */
const UNSOUND: readonly (readonly [what: string, bytes: () => string, status: number | 'silent'])[] = [
  ['a length and chunks', () => REQUEST('Transfer-Encoding: chunked\r\n'), 400],
  ['a length that is no number', () => REQUEST('', undefined, '2x'), 400],
  ['a negative length', () => REQUEST('', undefined, '-1'), 400],
  ['no Host', () => REQUEST('').replace('Host: x\r\n', ''), 400],
  ['HTTP/1.0', () => REQUEST('').replace('HTTP/1.1', 'HTTP/1.0'), 505],
  ['lines without CR', () => REQUEST('').replaceAll('\r\n', '\n'), 505],
  ['a header line of 8 kB', () => REQUEST(`X-Long: ${'x'.repeat(8192)}\r\n`), 431],
  ['no HTTP', () => 'HELLO\r\n\r\n', 'silent'],
  ['a space before the colon', () => REQUEST('X-Odd : 1\r\n'), 'silent'],
  ['a folded line', () => REQUEST('X-Odd: 1\r\n 2\r\n'), 'silent'],
]

test('bytes that are no sound HTTP are refused or never answered, and claim nothing', async () => {
  const silent: { connection: RawConnection; answer: Promise<RawAnswer> }[] = []
  for (const [what, bytes, status] of UNSOUND) {
    const connection = new RawConnection(worker.url)
    const answer = connection.ask(bytes())
    if (status === 'silent') {
      silent.push({ connection, answer })
      continue
    }
    const { status: told, head } = await answer
    expect([what, told]).toEqual([what, status])
    if (/^connection: close/im.test(head)) await connection.ended()
    else connection.close()
  }
  expectProblem(await api.get(`/v1/rounds/${round.id}/claims/smuggled`), 'not_found')
  await expectUntouched()
  for (const { connection } of silent) connection.close()
  for (const { answer } of silent) expect(await answer).toMatchObject({ status: 0, closed: true })
})

const CODINGS: readonly (readonly [lines: string, status: number])[] = [
  ['gzip', 400],
  ['xchunked', 400],
  ['chunkedx', 400],
  ['"chunked"', 400],
  ['chunked, identity', 400],
  ['gzip, chunked', 400],
  ['chunked\r\nTransfer-Encoding: gzip', 400],
  ['chunked\r\ntransfer-encoding: chunked', 400],
  ['chunked', 201],
  [' CHUNKED', 201],
]

test('a body in chunks is read; one in any other coding is refused, claims nothing, and its connection ends', async () => {
  const wrong: unknown[] = []
  for (const [i, [coding, expected]] of CODINGS.entries()) {
    const body = `{"user_id":"coded-${i}"}`
    const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
    const connection = new RawConnection(worker.url)
    const { status } = await connection.ask(REQUEST(`Transfer-Encoding: ${coding}\r\n`, chunks, ''))
    if (expected === 400) await connection.ended()
    connection.close()
    const held = (await api.get(`/v1/rounds/${round.id}/claims/coded-${i}`)).status
    if (status !== expected || held !== (expected === 201 ? 200 : 404)) wrong.push([coding, status, held])
  }
  expect(wrong).toEqual([])
  round = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
})

/** Two lengths, the first of which is the body's own. */
const TWO_LENGTHS = ['Content-Length: 0', 'content-length: 2000', 'Content-Length: 5, 6']
/** A route with a body, one without, one that is not there, and the stream. */
const LINES = ['POST /v1/redemptions', 'POST /v1/rounds/none/pause', 'GET /livez', 'POST /nowhere', 'GET /v1/stream']

test('two lengths are refused on every route but the claim, and the connection ends', async () => {
  const wrong: unknown[] = []
  for (const line of LINES)
    for (const second of TWO_LENGTHS) {
      const connection = new RawConnection(worker.url)
      const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
      const { status } = await connection.ask(bytesOf(line, upgrade, '{}', `2\r\n${second}`))
      if (status === 400) await connection.ended()
      connection.close()
      if (status !== 400) wrong.push([line, second, status])
    }
  expect(wrong).toEqual([])
})

test('a claim with two lengths is read by the first; what stands behind it is no second request', async () => {
  const [first, second] = ['{"user_id":"length-1"}', '{"user_id":"length-2"}']
  const behind = bytesOf(`POST /v1/rounds/${round.id}/claims`, '', second)
  const connection = new RawConnection(worker.url)
  const more = `\r\nContent-Length: ${first.length + behind.length}`
  await connection.ask(REQUEST('', first + behind, String(first.length) + more))
  await connection.ended()
  expectProblem(await api.get(`/v1/rounds/${round.id}/claims/length-2`), 'not_found')
  round = (await api.get<Round>(`/v1/rounds/${round.id}`)).body
})

test('a request that stays half harms nobody', async () => {
  const halves = Array.from({ length: 200 }, (_, i) => {
    const connection = new RawConnection(worker.url)
    return { connection, answer: connection.ask(REQUEST('').slice(0, -1 - i)) }
  })
  await expectUntouched()
  for (const { connection } of halves) connection.close()
  const statuses = new Set((await Promise.all(halves.map(({ answer }) => answer))).map(({ status }) => status))
  expect([...statuses].filter(status => status !== 0 && status !== 505)).toEqual([])
  await expectUntouched()
})
