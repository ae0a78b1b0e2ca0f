/**
 * The head of a request: how long it may be, and what the server library does by itself before the engine sees anything.
 *
 * The library reads its bound when it is loaded, so these are nodes in processes of their own. What it answers by itself
 * is no problem of the table; docs/errors.md has a row for each, and the rows are held to what comes. That a first line in
 * two packets is refused and that pipelined requests go unanswered is the library's, and told in docs/operations.md:
 * whoever changes the library learns here that those words have to change.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { textOf } from '../repo/tree.ts'
import { Api, expectProblem, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { type RawAnswer, RawConnection } from '../support/raw-http.ts'
import { upgradeStatus } from '../support/stream-client.ts'

const kB = 1024
/** As set, with a head that is served and one that is not; the engine's own lines have less than a kilobyte. */
const BOUNDS: readonly (readonly [set: string, served: number, refused: number])[] = [
  ['', 15 * kB, 17 * kB],
  ['4096', 3 * kB, 5 * kB],
  ['65536', 63 * kB, 66 * kB],
]

const ask = async (node: TestNode, ...packets: readonly string[]): Promise<RawAnswer> => {
  const connection = new RawConnection(node.url)
  await connection.open()
  // Another request in between: by its answer the first packet was read.
  for (const packet of packets.slice(0, -1)) {
    await connection.send(packet)
    expect((await fetch(`${node.url}/livez`)).status).toBe(200)
  }
  const answer = await connection.ask(packets.at(-1) as string)
  if (answer.status >= 400) await connection.ended()
  connection.close()
  return answer
}

const claimOf = (round: Round, user: string, more = '') => {
  const body = JSON.stringify({ user_id: user })
  return (
    `POST /v1/rounds/${round.id}/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\n` +
    `Content-Type: application/json\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`
  )
}
const cookies = (bytes: number) => `Cookie: ${'shop=1; '.repeat(bytes / 8)}\r\n`

const nodeWith = (bound: string) => startNode({ FAIRGRAB_HEAD_BYTES: bound, FAIRGRAB_RATE_ADDRESS: '0' })

/** The one whose bound nobody set; the others are of their own tests. */
let plain: TestNode
beforeAll(async () => {
  plain = await nodeWith('')
})
afterAll(() => plain?.stop())

describe.each(BOUNDS)('FAIRGRAB_HEAD_BYTES=%s', (set, served, refused) => {
  let node: TestNode
  let round: Round
  beforeAll(async () => {
    node = set === '' ? plain : await nodeWith(set)
    round = await makeRound(new Api(node.url, KEYS.operator))
  })
  afterAll(async () => {
    if (node !== plain) await node?.stop()
  })

  test('cookies below it are served, and above it are 431, on claims, pages and the stream', async () => {
    expect((await ask(node, claimOf(round, 'short', cookies(served)))).status).toBe(201)
    const [first = '', ...rest] = claimOf(round, 'halves', cookies(served)).match(/.{1,2000}/gs) ?? []
    expect((await ask(node, first, rest.join(''))).status).toBe(201)
    const headers = (bytes: number) => ({ headers: { cookie: 'x'.repeat(bytes) } })
    expect(await upgradeStatus(node.url, headers(served))).toBe(101)
    const long = await ask(node, claimOf(round, 'long', cookies(refused)))
    expect([long.status, long.head]).toEqual([431, expect.stringMatching(/^connection: close$/im)])
    expect(await upgradeStatus(node.url, headers(refused))).toBe(431)
    expectProblem(await new Api(node.url, KEYS.operator).get(`/v1/rounds/${round.id}/claims/long`), 'not_found')
  })
})

describe('what the library does by itself', () => {
  let node: TestNode
  let round: Round
  let api: Api
  beforeAll(async () => {
    node = plain
    api = new Api(node.url, KEYS.operator)
    round = await makeRound(api)
  })

  test('its statuses stand in docs/errors.md, and none of its answers is a problem', async () => {
    const request = claimOf(round, 'never')
    const answers = await Promise.all([
      ask(node, request.replace('Host: x\r\n', '')),
      ask(node, request.replace('Host: x\r\n', `Host: x\r\n${cookies(20 * kB)}`)),
      ask(node, request.replace('HTTP/1.1', 'HTTP/1.0')),
    ])
    expect(answers.map(({ status }) => status)).toEqual([400, 431, 505])
    const [, section = ''] = textOf('docs/errors.md').split('## Before the engine')
    for (const { status, head } of answers) {
      expect(section).toMatch(new RegExp(`^\\| ${status} \\|`, 'm'))
      expect(head).not.toContain('application/problem')
    }
    expectProblem(await api.get(`/v1/rounds/${round.id}/claims/never`), 'not_found')
  })

  test('a packet that ends within HTTP/1.1 is 505 and claims nothing; one that ends behind the line is waited for', async () => {
    const request = claimOf(round, 'cut')
    const line = request.indexOf('HTTP/1.1')
    for (const cut of [line + 1, line + 7]) {
      const { status } = await ask(node, request.slice(0, cut))
      expect([cut - line, status]).toEqual([cut - line, 505])
    }
    expectProblem(await api.get(`/v1/rounds/${round.id}/claims/cut`), 'not_found')
    const end = request.indexOf('\r\n') + 2
    expect((await ask(node, request.slice(0, end), request.slice(end))).status).toBe(201)
  })

  test('of pipelined claims at most the first is executed and none is answered; asked again it is the same claim', async () => {
    const users = ['p1', 'p2', 'p3']
    const connection = new RawConnection(node.url)
    expect(await connection.ask(users.map(user => claimOf(round, user)).join(''))).toMatchObject({
      status: 0,
      closed: true,
    })
    const held = await Promise.all(users.map(user => api.get<Granted>(`/v1/rounds/${round.id}/claims/${user}`)))
    expect(held.slice(1).map(({ status }) => status)).toEqual([404, 404])
    const again = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'p1' })
    if (held[0]?.status === 200) expect(again.body.claim).toEqual(held[0].body.claim)
    expect([200, 201]).toContain(again.status)
  })
})
