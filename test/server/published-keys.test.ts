/**
 * User tokens by published keys (FAIRGRAB_JWKS) on a real engine, with a real server of keys on the loopback that publishes,
 * rotates under load, is away, slow, endless, hostile or sends elsewhere.
 *
 * The minute between two readings for unknown keys is turned by hand in test/unit/published-keys.test.ts; here nothing waits but
 * for a server that answers late on purpose.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Finding } from '../../engine/base/finding.ts'
import { BODY_BYTES_MAX, KEY_SET_BYTES_MAX } from '../../engine/base/limits.ts'
import { checkKeySource, publishedKeysOf } from '../../engine/main/key-source.ts'
import { Api, expectProblem, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { HandClock } from '../support/hand-clock.ts'
import { PatientApi } from '../support/patient-api.ts'
import { ALGORITHMS, KeyServer, keySet, PlatformKey } from '../support/platform-keys.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, upgradeStatus } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
})
afterAll(() => redis?.stop())

const keys = ALGORITHMS.map(algorithm => new PlatformKey(algorithm, `of ${algorithm}`))
const [rsa, ec, ed] = keys as [PlatformKey, PlatformKey, PlatformKey]
const next = new PlatformKey('ES256', 'next')
const forged = new PlatformKey('RS256', rsa.kid)

async function useWorker(jwks: string): Promise<TestWorker> {
  const free = { FAIRGRAB_RATE_USER: '0', FAIRGRAB_RATE_ADDRESS: '0' }
  const worker = await startTestWorker(redis.url, { FAIRGRAB_JWKS: jwks, LOG_LEVEL: 'silent', ...free })
  onTestFinished(() => worker.stop())
  return worker
}

async function useServer(): Promise<KeyServer> {
  const server = await KeyServer.open()
  onTestFinished(async () => void (await server.close()))
  return server
}

/** An engine with the keys of a server, and a round. */
async function use(...published: readonly PlatformKey[]) {
  const server = await useServer()
  server.publish(...published)
  const { url } = await useWorker(server.url)
  const round = await makeRound(new Api(url, KEYS.operator), { stock: 5000 })
  return { server, url, round }
}

/** What the server answers, held back until `open` is called; resolves when somebody asked. */
function gate(server: KeyServer): { readonly asked: Promise<void>; open: () => void } {
  const answer = server.answer
  const [asked, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  server.answer = (req, res) => {
    asked.resolve()
    void opened.promise.then(() => answer(req, res))
  }
  return { asked: asked.promise, open: opened.resolve }
}

const claimBy = (url: string, round: Round, token: string, body: object = {}) =>
  new PatientApi(url, token).post(`/v1/rounds/${round.id}/claims`, body)

test('a token of each algorithm claims over HTTP and the stream, beside keys and HS256; a forged one does not', async () => {
  const { url, round } = await use(rsa, ec, ed)
  for (const key of keys) {
    expect((await claimBy(url, round, key.token(key.algorithm))).status).toBe(201)
    const stream = await openStream(url, { credential: key.token(`${key.algorithm}-2`) })
    const result = await stream.ask({ op: 'claim', id: 1, round_id: round.id })
    expect(result).toMatchObject({ op: 'result', outcome: 'granted' })
    await stream.close()
  }
  expect((await claimBy(url, round, userToken('hs'))).status).toBe(201)
  expectProblem(await claimBy(url, round, forged.token('eve')), 'unauthorized')
  expect(await upgradeStatus(url, { credential: forged.token('eve') })).toBe(401)
  expectProblem(await claimBy(url, round, rsa.token('ada'), { user_id: 'bob' }), 'forbidden')
})

test('the sockets of users end with the key that signed their tokens', async () => {
  const server = await useServer()
  server.publish(rsa, ec)
  const worker = await useWorker(server.url)
  const [goes, stays] = await Promise.all(
    [rsa, ec].map(key => openStream(worker.url, { credential: key.token('ada') })),
  )
  server.publish(ec)
  // A key that nobody knows has them read.
  expect(await upgradeStatus(worker.url, { credential: next.token('bob') })).toBe(401)
  expect(await goes?.closed).toBe(4401)
  expect(await stays?.ask({ op: 'ping', id: 1 })).toMatchObject({ op: 'pong' })
  await stays?.close()
})

test('keys in a file verify, too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fg-keys-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'keys'), keySet(ec.jwk()))
  const { url } = await useWorker(join(folder, 'keys'))
  const round = await makeRound(new Api(url, KEYS.operator))
  expect((await claimBy(url, round, ec.token('ada'))).status).toBe(201)
  expectProblem(await claimBy(url, round, rsa.token('bob')), 'unauthorized')
})

test('a rotation under load: no good token is refused, no bad one accepted, and the keys are asked for once', async () => {
  const { server, url, round } = await use(rsa)
  expect((await claimBy(url, round, rsa.token('first'))).status).toBe(201)
  const before = server.asked
  server.publish(rsa, next)
  const held = gate(server)
  const strangers = ['nobody', 'next'].map(kid => new PlatformKey('EdDSA', kid)) as [PlatformKey, PlatformKey]
  const tokens = Array.from({ length: 200 }, (_, i) =>
    [rsa, next, forged, strangers[i % 2] as PlatformKey].map(key =>
      key.token(`${key.algorithm}-${key.kid.length}-${i}`),
    ),
  )
  // Signing them kept this process, and with it the engine, from its work for a while.
  await new Api(url, KEYS.operator).get(`/v1/rounds/${round.id}`)
  await new Promise(done => setImmediate(done))
  const people = tokens.map(each => each.map(token => claimBy(url, round, token)))
  await held.asked
  const stream = openStream(url, { credential: next.token('viewer') })
  held.open()
  const answers = await Promise.all(people.map(each => Promise.all(each)))
  for (const [old, fresh, ...bad] of answers) {
    expect([old?.status, fresh?.status]).toEqual([201, 201])
    for (const each of bad) expectProblem(each, 'unauthorized')
  }
  const claim = { op: 'claim', id: 1, round_id: round.id }
  expect(await (await stream).askUntilTaken(claim)).toMatchObject({ outcome: 'granted' })
  await (await stream).close()
  expect(server.asked).toBe(before + 1)
})

test('a request that waits for keys is whole when they come: a body in parts, none, one too long; who left claims nothing', async () => {
  const { server, url, round } = await use(rsa)
  const api = new Api(url, KEYS.operator)
  expect((await claimBy(url, round, rsa.token('first'))).status).toBe(201)
  server.publish(rsa, next)
  const held = gate(server)
  const head = (user: string, length: number) =>
    `POST /v1/rounds/${round.id}/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${next.token(user)}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
  const [parts, long, left, wrong] = Array.from({ length: 4 }, () => new RawConnection(url)) as [
    ...[RawConnection, RawConnection, RawConnection, RawConnection],
  ]
  const answers = [
    wrong.ask(`${head('wrong', 10)}{"slot":0}`),
    parts.ask(`${head('parts', 10)}{"sl`),
    long.ask(head('long', BODY_BYTES_MAX + 1) + 'x'.repeat(BODY_BYTES_MAX + 1)),
  ]
  void left.ask(`${head('left', 2)}{}`)
  const reads = new Api(url, next.token('reader')).get(`/v1/rounds/${round.id}/claims/reader`)
  await held.asked
  await api.get(`/v1/rounds/${round.id}`)
  left.close()
  await parts.send('ot":1}')
  await api.get(`/v1/rounds/${round.id}`)
  held.open()
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([422, 201, 413])
  expectProblem(await reads, 'not_found')
  expectProblem(await api.get(`/v1/rounds/${round.id}/claims/left`), 'not_found')
})

test('away at the start: tokens of its keys are unavailable with a time to ask again, all else is served, and later they are good', async () => {
  const server = await useServer()
  const listenAgain = await server.close()
  const { url } = await useWorker(server.url)
  const round = await makeRound(new Api(url, KEYS.operator))
  expectProblem(await claimBy(url, round, ec.token('ada')), 'unavailable', { retry_after_s: 1 })
  expect(await upgradeStatus(url, { credential: ec.token('ada') })).toBe(503)
  expect((await claimBy(url, round, userToken('hs'))).status).toBe(201)
  expect((await new Api(url, KEYS.platform).post(`/v1/rounds/${round.id}/claims`, { user_id: 'p' })).status).toBe(201)
  expectProblem(await claimBy(url, round, 'x.y.z'), 'unauthorized')
  expect((await new Api(url).get('/readyz')).status).toBe(200)
  const warnings = async () => {
    const { body } = await new Api(url).get<{ warnings: Finding[] }>('/readyz?verbose')
    return body.warnings.filter(({ what }) => what.startsWith('FAIRGRAB_JWKS'))
  }
  await expect.poll(warnings, { timeout: 30_000 }).toEqual([
    {
      what: expect.stringMatching(/^FAIRGRAB_JWKS: the published keys were never read: ".*" .*ECONNREFUSED/),
      mend: expect.stringContaining('correct the address'),
    },
  ])
  const back = await listenAgain()
  onTestFinished(async () => void (await back.close()))
  back.publish(ec)
  await expect.poll(async () => (await claimBy(url, round, ec.token('ada'))).status, { timeout: 30_000 }).toBe(201)
  await expect.poll(warnings, { timeout: 30_000 }).toEqual([])
})

const NEVER = () => {}
/** What a server does, and what the log says of it; the keys that were good before stay in force. */
const HOSTILE: readonly (readonly [string, KeyServer['answer'], string])[] = [
  ['sends elsewhere', (_, res) => res.writeHead(302, { location: '/other' }).end(), 'redirects are not followed'],
  ['is not there', (_, res) => res.writeHead(404).end(keySet(next.jwk())), 'answers 404'],
  ['never answers', NEVER, 'gives no whole answer within 5 s'],
  ['never ends', (_, res) => res.writeHead(200).write('{"keys":['), 'gives no whole answer within 5 s'],
  ['is endless', (_, res) => flood(res), `is longer than ${KEY_SET_BYTES_MAX} bytes`],
  ['hangs up', req => req.socket.destroy(), 'other side closed'],
  ['breaks off', (_, res) => res.writeHead(200, { 'content-length': 99 }).end('{"keys":'), ''],
  ['is a page', (_, res) => res.end('<html>'), 'is no JSON'],
  ['is of any bytes', (_, res) => res.end(Buffer.from([0x7b, 0xff, 0xfe, 0x7d])), 'is not UTF-8'],
  [
    'publishes secrets',
    (_, res) => res.end(keySet({ kty: 'oct', k: 'AAAA', kid: 'next' })),
    'has no key that can be used',
  ],
]

function flood(res: Parameters<KeyServer['answer']>[1]): void {
  const more = () => {
    while (!res.destroyed && res.write('x'.repeat(65_536)));
    if (!res.destroyed) res.once('drain', more)
  }
  more()
}

test.each(HOSTILE)('a server that %s changes nothing, and the log says what it did', async (_, answer, why) => {
  const server = await useServer()
  server.publish(ec)
  const told: string[] = []
  const tell = (...words: unknown[]) => void told.push(String(words.at(-1)))
  const clock = new HandClock()
  const published = publishedKeysOf(server.url, clock, { info: tell, warn: tell, error: tell }, () => {})
  await published?.start()
  server.answer = answer
  clock.advance(600_000)
  await published?.missing('next')
  expect(told.at(-1)).toContain(why)
  expect(told.at(-1)).toMatch(/^FAIRGRAB_JWKS: "http:.*; what was read last stays in force$/)
  expect(published?.find(ec.kid, 'ES256')?.kid).toBe(ec.kid)
  expect(published?.find('next', 'ES256')).toBeUndefined()
  published?.close()
})

test.each([
  ['http://keys.example/jwks', 'is neither https:// nor http:// on the loopback'],
  ['http://127.0.0.1.example/', 'is neither https:// nor http:// on the loopback'],
  ['http://10.0.0.1/', 'is neither https:// nor http:// on the loopback'],
  ['ftp://127.0.0.1/', 'is neither https:// nor http:// on the loopback'],
  ['file:///etc/keys', 'is neither https:// nor http:// on the loopback'],
  ['https://me:secret@keys.example/', 'has a name, a password or a "#"'],
  ['https://keys.example/#x', 'has a name, a password or a "#"'],
  ['https://', 'is no address'],
  ['/nowhere/keys', 'ENOENT'],
  ['package.json', 'has no list "keys"'],
  ['/', 'EISDIR'],
])('FAIRGRAB_JWKS=%s stops the start and says why', (setting, why) => {
  expect(() => checkKeySource(setting)).toThrow(why)
})

test.each(['', 'https://keys.example/jwks?tenant=1', 'http://localhost:8000/', 'http://[::1]:1/', 'http://127.8.9.1'])(
  'FAIRGRAB_JWKS=%s may start',
  setting => {
    expect(() => checkKeySource(setting)).not.toThrow()
  },
)
