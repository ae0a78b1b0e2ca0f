/**
 * Text that is no UTF-8: order ids in GBK, half of a surrogate pair, longer forms of a short character.
 *
 * A decoder makes one replacement character of every such byte, so two ids would become one order. Nothing of the kind
 * may be read: not in a body of either encoding, not in a frame, not in a path, a query or a header. The table of routes
 * is the engine's own, so a new route is in it by itself. Beside it stands what has to go on: every text that is UTF-8,
 * types in whatever case, and a byte-order mark before JSON.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { LINES_TYPE } from '../../engine/wire/lines.ts'
import { Api, CAMPAIGN, expectProblem, type Fields, MEDIA, makeRound, pack, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, SUBPROTOCOLS, upgradeStatus } from '../support/stream-client.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url, { FAIRGRAB_RATE_ADDRESS: '0' })
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api)
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

/** Bytes as they stand: a character a byte. */
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')

/** What is no text, each a character a byte. */
const GARBLED: readonly (readonly [what: string, bytes: string])[] = [
  ['你 in GBK', '\xc4\xe3'],
  ['好 in GBK', '\xba\xc3'],
  ['half of a character', '\xe4\xbd'],
  ['a slash in two bytes', '\xc0\xaf'],
  ['half of a pair', '\xed\xa0\x80'],
  ['beyond Unicode', '\xf4\x90\x80\x80'],
  ['a byte that is never used', '\xff'],
  ['a lone continuation behind a letter', 'a\x80'],
]

/** A map of one text under one name, in MessagePack; lengths of up to 31 bytes, or by a head of its own. */
const packed = (name: string, text: string, head = String.fromCharCode(0xa0 | text.length)): Buffer =>
  bytesOf(`\x81${String.fromCharCode(0xa0 | name.length)}${name}${head}${text}`)

test.each(GARBLED)('%s in a body is malformed in both encodings and under every head of a text', async (_, text) => {
  const [path, more] = ['/v1/redemptions', { 'idempotency-key': 'k1' }]
  const send = (type: string, body: Buffer) => api.post(path, body, { ...more, 'content-type': type })
  expectProblem(await send(MEDIA.json, bytesOf(`{"code":"x","order":{"id":"${text}"}}`)), 'malformed')
  expectProblem(await send(MEDIA.json, bytesOf(`{"${text}":1}`)), 'malformed')
  const length = String.fromCharCode(text.length)
  for (const head of [undefined, `\xd9${length}`, `\xda\0${length}`, `\xdb\0\0\0${length}`])
    expectProblem(await send(MEDIA.msgpack, packed('code', text, head)), 'malformed')
  expectProblem(await send(MEDIA.msgpack, packed(text, 'x')), 'malformed')
})

test.each(
  ROUTES.filter(({ body, method }) => body || method !== 'get').map(
    ({ method, path, lines }) => [method, path, lines] as const,
  ),
)('%s %s takes no text that is no UTF-8, in its body or its path', async (method, path, lines) => {
  const target = (part: string) => path.replace('{id}', part).replace(/\{\w+\}/g, 'x')
  const headers = { 'idempotency-key': 'k1', ...(lines ? { 'content-type': LINES_TYPE } : {}) }
  const sent = { body: bytesOf('{"user_id":"\xc4\xe3"}'), headers }
  const { status, body } = await api.call(method.toUpperCase(), target(round.id), sent)
  // Of a body of lines each one has its own answer.
  if (lines) expect([status, body]).toMatchObject([200, { results: [{ line: 1, code: 'malformed' }] }])
  else expect([400, 422]).toContain(status)
  if (!path.includes('{id}')) return
  for (const part of ['%C4%E3', '%ff', 'x%80'])
    expectProblem(await api.call(method.toUpperCase(), target(part), { body: { user_id: 'u1' } }), 'malformed')
})

test('half of a surrogate pair in an escape is malformed; a pair, and what only looks like one, is text', async () => {
  for (const text of ['\\ud83d', '\\ud83d\\ud83d\\ude00', '\\ude00\\ud83d', '\\\\\\ud83d', '\\uD83Dx'])
    expectProblem(
      await api.post('/v1/campaigns', Buffer.from(JSON.stringify(CAMPAIGN).replace(/Hang/, text))),
      'malformed',
    )
  for (const [text, read] of [
    ['\\ud83d\\ude00', '😀'],
    ['\\\\ud83d', '\\ud83d'],
    ['\\u4f60😀', '你😀'],
  ]) {
    const made = await api.post<Fields>(
      '/v1/campaigns',
      Buffer.from(JSON.stringify({ ...CAMPAIGN, name: 'N' }).replace('"N"', `"${text}"`)),
    )
    expect([made.status, made.body.name]).toEqual([201, read])
  }
})

test('every text that is UTF-8 is kept as it came, in both encodings', async () => {
  const name = '杭州 ü \u07ff\u0800\uffff\u{10ffff} \ufffd'
  for (const encoding of ['json', 'msgpack'] as const) {
    const made = await new Api(worker.url, KEYS.operator, encoding).post('/v1/campaigns', { ...CAMPAIGN, name })
    expect([made.status, made.body.name]).toEqual([201, name])
  }
})

test('a byte-order mark before JSON is ignored, in a body and in a frame', async () => {
  const body = Buffer.from('\ufeff{"user_id":"marked"}')
  expect((await api.post(`/v1/rounds/${round.id}/claims`, body)).status).toBe(201)
  expect((await api.post(`/v1/rounds/${round.id}/pause`, Buffer.from('\ufeff{}'))).status).toBe(200)
  expect((await api.post(`/v1/rounds/${round.id}/resume`)).status).toBe(200)
  const socket = await openStream(worker.url)
  socket.send('\ufeff{"op":"ping","id":1}')
  expect(await socket.next('pong')).toMatchObject({ id: 1 })
  await socket.close()
})

test('a frame with such a text gets an error; a text frame that is none ends the socket without a close frame', async () => {
  for (const encoding of ['json', 'msgpack'] as const) {
    const socket = await openStream(worker.url, { credential: KEYS.platform, protocols: [SUBPROTOCOLS[encoding]] })
    for (const [, text] of GARBLED) {
      const frame = encoding === 'json' ? bytesOf(`{"op":"ping","id":"${text}"}`) : packed('id', text)
      socket.send(frame)
      expect(await socket.next('error')).toMatchObject({ id: 0, code: 'malformed' })
    }
    const claims = Buffer.concat([
      pack({ op: 'claims', id: 1, round_id: round.id, user_ids: ['u'] }).subarray(0, -1),
      bytesOf('\xff'),
    ])
    if (encoding === 'msgpack') {
      socket.send(claims)
      expect(await socket.next('error')).toMatchObject({ code: 'malformed' })
    } else {
      socket.socket.send(bytesOf('{"op":"ping","id":"\xc4\xe3"}'), { binary: false })
      expect(await socket.closed).toBe(1006)
    }
    socket.socket.terminate()
  }
})

const ask = async (line: string, more = '', credential: string = KEYS.platform, body = '{"user_id":"u1"}') => {
  const connection = new RawConnection(worker.url)
  const answer = await connection.ask(
    bytesOf(
      `${line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${credential}\r\nContent-Type: application/json\r\n` +
        `${more}Content-Length: ${body.length}\r\n\r\n${body}`,
    ),
  )
  connection.close()
  return [answer.status, (JSON.parse(answer.body) as Fields).code]
}

test('a header, a path or a query that is no text is malformed', async () => {
  const malformed = [400, 'malformed']
  const claims = `POST /v1/rounds/${round.id}/claims`
  expect(await ask('POST /v1/redemptions', 'Idempotency-Key: order-\xc4\xe3-1\r\n')).toEqual(malformed)
  for (const line of [claims, 'POST /v1/redemptions']) expect(await ask(line, '', '\xc4\xe3-key')).toEqual(malformed)
  for (const line of [
    'GET /v1/rounds/\xc4\xe3',
    'POST /v1/rounds/\xc4\xe3/claims',
    'POST /v1/rounds/%ff/claims',
    'GET /no/\xff',
  ])
    expect(await ask(line)).toEqual(malformed)
  for (const line of ['GET /v1/claims?user_id=\xc4\xe3', 'GET /v1/claims?\xff', `${claims}?x=\xff`])
    expect(await ask(line)).toEqual(malformed)
  for (const query of ['%ff', '%C4%E3', 'a%80b'])
    expect(await upgradeStatus(worker.url, { query: `?access_token=${query}` })).toBe(400)
  expect(await upgradeStatus(worker.url, { headers: { authorization: 'Bearer \xc4\xe3-key' } })).toBe(400)
  expect((await api.get(`/v1/rounds/${round.id}/claims/u1`)).status).toBe(404)
})

test('a type has no case and its parameters change nothing; what only begins like it is another one', async () => {
  const path = `/v1/rounds/${round.id}/claims`
  const json = Buffer.from('{"user_id":"marked"}')
  for (const type of [
    'Application/JSON',
    'application/json; charset=UTF-8',
    'APPLICATION/JSON ;Charset="utf-8"',
    'application/json;charset=gbk',
  ])
    for (const [target, body] of [
      [path, json],
      ['/v1/campaigns', JSON.stringify(CAMPAIGN)],
    ] as const)
      expect([type, (await api.post(target, Buffer.from(body), { 'content-type': type })).status]).toEqual([
        type,
        target === path ? 200 : 201,
      ])
  for (const type of ['Application/Vnd.MsgPack', 'application/vnd.msgpack; v=1']) {
    const reply = await api.post(path, pack({ user_id: 'marked' }), { 'content-type': type, accept: '*/*' })
    expect([reply.status, reply.headers.get('content-type')]).toEqual([200, MEDIA.msgpack])
  }
  for (const type of [
    'application/jsonp',
    'application/json-patch+json',
    'application/vnd.msgpack2',
    'text/json',
    'constructor',
  ])
    expectProblem(await api.post(path, json, { 'content-type': type }), 'unsupported_type')
})

test('what an answer may be is asked for in any case', async () => {
  const types: readonly (readonly [path: string, accept: string, got: string])[] = [
    [`/v1/rounds/${round.id}`, 'Application/Vnd.MsgPack', MEDIA.msgpack],
    [`/v1/rounds/${round.id}`, 'APPLICATION/JSON', MEDIA.json],
    [`/v1/rounds/${round.id}/claims`, 'Application/X-NDJSON', 'application/x-ndjson'],
  ]
  for (const [path, accept, got] of types)
    expect((await api.get(path, { accept })).headers.get('content-type')).toBe(got)
})
