/**
 * Requests on one connection: what is refused because its end or its sender is in doubt ends the connection with it, and what
 * somebody put behind it is never executed. Read as bytes on a socket, since no client would send them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url, { FAIRGRAB_RATE_ADDRESS: '0' })
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 500 })
})
afterAll(async () => {
  await worker.stop()
  await redis.stop()
})

const HEAD = `HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\nContent-Type: application/json\r\n`
const bodyOf = (user: string) => JSON.stringify({ user_id: user })
const claimOf = (user: string, lines = `Content-Length: ${bodyOf(user).length}`, body = bodyOf(user)) =>
  `POST /v1/rounds/${round.id}/claims ${HEAD}${lines}\r\n\r\n${body}`
const chunks = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

/** What each line of a request is refused for, with the bytes that come behind its head. */
const DOUBTS: readonly (readonly [lines: string, body: string])[] = [
  ['Transfer-Encoding: chunked, identity', chunks(bodyOf('doubt'))],
  ['Transfer-Encoding: xchunked', chunks(bodyOf('doubt'))],
  ['Transfer-Encoding: "chunked"', chunks(bodyOf('doubt'))],
  ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', chunks(bodyOf('doubt'))],
]
/** The same on routes that read every line of a head. */
const DOUBTS_READ: typeof DOUBTS = [
  ...DOUBTS,
  ['Content-Length: 2\r\nContent-Length: 2', '{}'],
  ['Content-Length:', ''],
  ['Content-Length:  ', ''],
  ['Content-Length: \xff', ''],
  ['Content-Length: 2\r\nHost: y', '{}'],
  ['Content-Length: 2\r\nAuthorization: Bearer another', '{}'],
]
const ROUTES: readonly (readonly [line: string, lines: string, doubts: typeof DOUBTS])[] = [
  ['POST /v1/rounds/{id}/claims', '', DOUBTS],
  ['POST /v1/redemptions', '', DOUBTS_READ],
  ['GET /livez', '', DOUBTS_READ],
  ['POST /nowhere', '', DOUBTS_READ],
  [
    'GET /v1/stream',
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
    DOUBTS_READ,
  ],
]

test.each(ROUTES)(
  '%s with a line in doubt is 400 and ends the connection; what stands behind it is not executed',
  async (line, more, doubts) => {
    const wrong: unknown[] = []
    for (const [i, [lines, body]] of doubts.entries()) {
      const head = `${line.replace('{id}', round.id)} ${HEAD}${more}${lines}\r\n\r\n${body}`
      const alone = new RawConnection(worker.url)
      const { status, head: answered } = await alone.ask(Buffer.from(head, 'latin1'))
      if (status === 400) await alone.ended()
      alone.close()
      if (status !== 400 || !/^connection: close$/im.test(answered)) wrong.push([lines, status])
      if (status !== 400) continue
      const user = `behind-${line.replace(/\W/g, '')}-${i}`
      const followed = new RawConnection(worker.url)
      const { closed } = await followed.ask(Buffer.from(head + claimOf(user), 'latin1'))
      if (!closed) await followed.ended()
      followed.close()
      const { status: held } = await api.get(`/v1/rounds/${round.id}/claims/${user}`)
      if (held !== 404) wrong.push([lines, 'what stood behind was executed'])
    }
    expect(wrong).toEqual([])
  },
)

test('what comes a packet later behind a refused end is not executed', async () => {
  const connection = new RawConnection(worker.url)
  await connection.ask(claimOf('', 'Transfer-Encoding: chunked, identity', chunks(bodyOf('doubt'))))
  await connection.send(claimOf('later')).catch(() => undefined)
  await connection.ended()
  expect((await api.get(`/v1/rounds/${round.id}/claims/later`)).status).toBe(404)
})

/** Beginnings of a chunk that the library reads as an empty one, or past: what it takes for the next request is the chunk's own. */
const LAX = [' ', '\t', '\r'].map(
  before => (inner: string) => `${before}${(inner.length + 2).toString(16)}\r\nXX${inner}\r\n0\r\n\r\n`,
)
const WITHOUT = `POST /v1/rounds/none/claims HTTP/1.1\r\nHost: x\r\n`

test('a request in chunks ends its connection, so that nothing within its chunks is a request of its own', async () => {
  const own = bodyOf('chunked')
  const sound = new RawConnection(worker.url)
  const { status, head } = await sound.ask(claimOf('', 'Transfer-Encoding: chunked', chunks(own)))
  expect([status, /^connection: close$/im.test(head)]).toEqual([201, true])
  await sound.ended()
  const wrong: unknown[] = []
  const lines = [
    `GET /livez ${HEAD}`,
    `HEAD /livez ${HEAD}`,
    `POST /nowhere ${HEAD}`,
    WITHOUT,
    `POST /v1/rounds/${round.id}/claims ${HEAD}`,
  ]
  for (const [i, line] of lines.entries())
    for (const [j, lax] of LAX.entries())
      for (const packets of [1, 2]) {
        const user = `within-${i}-${j}-${packets}`
        const [first, rest] = [`${line}Transfer-Encoding: chunked\r\n\r\n`, lax(claimOf(user))]
        const connection = new RawConnection(worker.url)
        const cut = rest.indexOf('XX') + 2
        const answer = connection.ask(first + (packets === 1 ? rest : rest.slice(0, cut)))
        if (packets === 2) await answer.then(() => connection.send(rest.slice(cut))).catch(() => undefined)
        const { closed } = await answer
        if (!closed) await connection.ended()
        if ((await api.get(`/v1/rounds/${round.id}/claims/${user}`)).status !== 404) wrong.push([line, user])
      }
  expect(wrong).toEqual([])
})

test('pipelined behind an answer that waits for nothing, the next request is served; behind a claim it is not', async () => {
  const connection = new RawConnection(worker.url)
  const probe = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'
  const first = await connection.ask(probe + claimOf('piped'))
  expect(first.status).toBe(200)
  connection.close()
  expect((await api.get(`/v1/rounds/${round.id}/claims/piped`)).status).toBe(200)
  const claims = new RawConnection(worker.url)
  expect(await claims.ask(claimOf('pair-1') + claimOf('pair-2'))).toMatchObject({ status: 0, closed: true })
  const held = await Promise.all(['pair-1', 'pair-2'].map(user => api.get(`/v1/rounds/${round.id}/claims/${user}`)))
  expect(held.map(({ status }) => status)).toEqual([expect.any(Number), 404])
})
