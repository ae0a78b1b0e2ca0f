/**
 * The proxies of deploy/proxy in front of a node, as they ship: nginx, HAProxy and Caddy from the system's packages.
 *
 * What docs/operations.md promises of them is asked through each, by TLS: heads of a shop's domain, a first line in two packets,
 * two lengths that differ, the longest bodies, HTTP/2, both families of addresses, claims on connections that were idle, a rate and
 * sockets an address of those who ask and not of the proxy, whatever they write themselves, and a subscriber who says nothing and is
 * kept. The pings are waited for in the background of the other tests. Reloads: test/fault/proxy-reloads.test.ts.
 */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import { request } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CLAIMS_PER_REQUEST_MAX, MERCHANTS_PER_REQUEST_MAX, USER_ID_BYTES_MAX } from '../../engine/base/limits.ts'
import { Api, type Fields, makeRound, type Round } from '../support/api.ts'
import { servername } from '../support/certificates.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { PatientApi } from '../support/patient-api.ts'
import { FAMILIES, type Family, FrontProxy, PROXIES, type ProxyName, Trusted } from '../support/proxies.ts'
import { RawConnection } from '../support/raw-http.ts'
import { openStream, upgradeStatus } from '../support/stream-client.ts'

const PINGED_WITHIN_S = 25
const RATE = 40
/** As many as are opened without a credential to wait for a ping. */
const SOCKETS = 1 + PROXIES.length
const LIMITS = { FAIRGRAB_RATE_ADDRESS: String(RATE), FAIRGRAB_SOCKETS_ADDRESS: String(SOCKETS) }

const trusted = new Trusted()
const proxies = new Map<ProxyName, FrontProxy>()
let node: TestNode
let round: Round
let pings: Promise<readonly (readonly [who: string, seconds: number])[]>

const proxyOf = (name: ProxyName): FrontProxy => proxies.get(name) as FrontProxy

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/livez`).then(
    ({ status }) => status === 200,
    () => false,
  )

/** The status of what an address of this machine asks without a credential. */
async function statusFor(url: string, localAddress: string, headers: Record<string, string> = {}): Promise<number> {
  const asked = request(`${url}/v1/rounds/${round.id}`, { localAddress, headers, agent: false, servername })
  asked.end()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  answer.resume()
  return answer.statusCode as number
}

/** How many seconds a subscriber who says nothing waits for the first ping. */
async function firstPing(who: string, url: string): Promise<readonly [string, number]> {
  const from = performance.now()
  const { socket, closed } = await openStream(url)
  const cut = closed.then(code => Promise.reject(new Error(`${who} closed with ${code} before the first ping`)))
  await Promise.race([once(socket, 'ping'), cut])
  const seconds = (performance.now() - from) / 1000
  socket.terminate()
  return [who, seconds]
}

beforeAll(async () => {
  node = await startNode({ ...LIMITS, FAIRGRAB_TRUSTED_PROXIES: '127.0.0.1', FAIRGRAB_DURABILITY: 'memory' })
  round = await makeRound(new Api(node.url, KEYS.operator), { stock: 100_000 })
  for (const proxy of await Promise.all(PROXIES.map(name => FrontProxy.start(name, node.url, trusted))))
    proxies.set(proxy.name, proxy)
  const all = [['itself', node.url], ...PROXIES.map(name => [name, proxyOf(name).url('IPv4')])] as [string, string][]
  pings = Promise.all(all.map(([who, url]) => firstPing(who, url)))
  pings.catch(() => undefined)
})
afterAll(async () => {
  await Promise.all([...proxies.values()].map(proxy => proxy.stop()))
  await node?.stop()
  trusted[Symbol.dispose]()
})

const claimOf = (user: string, more = '') => {
  const body = JSON.stringify({ user_id: user })
  return (
    `POST /v1/rounds/${round.id}/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\n` +
    `Content-Type: application/json\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`
  )
}

describe.each(PROXIES)('%s', proxy => {
  const url = (family: Family = 'IPv4') => proxyOf(proxy).url(family)
  const ask = async (...packets: readonly string[]) => {
    const connection = new RawConnection(url())
    await connection.open()
    // Another request in between: by its answer the first packet was read.
    for (const packet of packets.slice(0, -1)) {
      await connection.send(packet)
      expect(await answers(url())).toBe(true)
    }
    const { status, body } = await connection.ask(packets.at(-1) as string)
    connection.close()
    return { status, body }
  }

  test('a head with 12 kB of cookies is served', async () => {
    expect((await ask(claimOf(`${proxy}-cookies`, `Cookie: shop=${'x'.repeat(12_000)}\r\n`))).status).toBe(201)
  })

  test('a first line that comes in two packets is served', async () => {
    const request = claimOf(`${proxy}-halves`)
    for (const cut of [5, 40, request.indexOf('1.1')])
      expect([200, 201]).toContain((await ask(request.slice(0, cut), request.slice(cut))).status)
  })

  test('two lengths that differ are refused by the proxy itself', async () => {
    const { status, body } = await ask(claimOf(`${proxy}-lengths`, 'Content-Length: 2\r\n'))
    expect([status, body.includes('"code"')]).toEqual([400, false])
    const { status: held } = await new Api(node.url, KEYS.operator).get(
      `/v1/rounds/${round.id}/claims/${proxy}-lengths`,
    )
    expect(held).toBe(404)
  })

  test('claims, refusals and lists go through', async () => {
    const api = new Api(url(), KEYS.operator)
    expect((await api.post(`/v1/rounds/${round.id}/claims`, { user_id: proxy })).status).toBe(201)
    expect((await api.post(`/v1/rounds/${round.id}/claims`, { user_id: '' })).status).toBe(422)
    const rows = await api.get<string>(`/v1/rounds/${round.id}/claims`, { accept: 'application/x-ndjson' })
    expect(String(rows.body)).toContain(`"user_id":"${proxy}"`)
  })
})

describe.each(PROXIES)('%s, by TLS', proxy => {
  const url = () => proxyOf(proxy).url('IPv4')

  test('the longest bodies go through', async () => {
    const api = new PatientApi(url(), KEYS.operator)
    const longest = (i: number) => `${proxy}-${i}-`.padEnd(USER_ID_BYTES_MAX, 'x')
    const claims = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => ({ user_id: longest(i), pool: 'general' }))
    const { body } = await api.post<{ results: Fields[] }>(`/v1/rounds/${round.id}/claims/batch`, { claims })
    expect(body.results.map(({ outcome }) => outcome)).toEqual(claims.map(() => 'granted'))
    const merchant = (i: number) => JSON.stringify({ id: longest(i), name: 'x'.repeat(100) })
    const lines = Buffer.from(Array.from({ length: MERCHANTS_PER_REQUEST_MAX }, (_, i) => merchant(i)).join('\n'))
    expect(lines.length).toBeGreaterThan(1.5e6)
    const put = await api.call('PUT', '/v1/merchants', {
      body: lines,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(put.status).toBe(200)
  })

  test('HTTP/2 ends at the proxy', async () => {
    const session = connect(url())
    const asked = session.request({
      ':method': 'POST',
      ':path': `/v1/rounds/${round.id}/claims`,
      ...{ authorization: `Bearer ${KEYS.platform}`, 'content-type': 'application/json' },
    })
    asked.end(JSON.stringify({ user_id: `${proxy}-2` }))
    const [head] = (await once(asked, 'response')) as [Fields]
    expect([session.alpnProtocol, head[':status']]).toEqual(['h2', 201])
    session.destroy()
  })

  test('pages of its own address may open the stream, others may not', async () => {
    const from = (origin: string) => upgradeStatus(url(), { credential: KEYS.viewer, headers: { origin } })
    expect([await from(url()), await from('https://elsewhere.example')]).toEqual([101, 403])
  })

  test.each(FAMILIES)('without TLS it only says where to go, by %s', async family => {
    const plain = await fetch(`${proxyOf(proxy).url(family, 'http')}/v1/rounds?limit=1`, { redirect: 'manual' })
    expect([plain.status, plain.headers.get('location')]).toEqual([
      308,
      expect.stringMatching(/^https:.*rounds.limit=1$/),
    ])
  })
})

describe.each(PROXIES)('%s, trusted', proxy => {
  const url = (family: Family = 'IPv4') => proxyOf(proxy).url(family)

  test('a rate is of who asks, and nobody else pays for it or passes for another', async () => {
    const busy = `127.0.1.${1 + PROXIES.indexOf(proxy)}`
    const idle = `127.0.2.${1 + PROXIES.indexOf(proxy)}`
    const forged = (i: number) => ({ 'x-forwarded-for': `198.51.100.${i}` })
    for (const [family, address] of [
      ['IPv4', busy],
      ['IPv6', '::1'],
    ] as const) {
      const asked = Array.from({ length: 3 * RATE }, (_, i) => statusFor(url(family), address, forged(i)))
      expect(await Promise.all(asked), family).toContain(429)
      expect(await statusFor(url(), idle)).toBe(200)
    }
  })

  test('so are the sockets of an address', async () => {
    const from = (localAddress: string) => new WebSocket(`${url().replace('http', 'ws')}/v1/stream`, { localAddress })
    const opened = Array.from({ length: SOCKETS }, () => from('127.0.3.1'))
    await Promise.all(opened.map(socket => once(socket, 'open')))
    const [refused] = await once(
      from('127.0.3.1').on('error', () => {}),
      'error',
    )
    expect(String(refused)).toContain('429')
    const other = from('127.0.3.2')
    await once(other, 'open')
    const ended = [...opened, other].map(socket => once(socket, 'close'))
    for (const socket of [...opened, other]) socket.close()
    await Promise.all(ended)
  })
})

test(`a subscriber who says nothing is pinged within ${PINGED_WITHIN_S} s, also behind the proxies`, async () => {
  const told = await pings
  expect(told.map(([who]) => who)).toEqual(['itself', ...PROXIES])
  for (const [who, seconds] of told) expect(seconds, who).toBeLessThan(PINGED_WITHIN_S)
})

test('a connection that is idle while HAProxy is reloaded gets one more answer, which says that it is the last', async () => {
  const connection = new RawConnection(proxyOf('HAProxy').url('IPv4'))
  const live = () => connection.ask('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  expect((await live()).head).not.toMatch(/^connection: close$/im)
  await proxyOf('HAProxy').reload()
  expect(await live()).toMatchObject({ status: 200, head: expect.stringMatching(/^connection: close$/im) })
})

test('a token in the address of a stream is in no log, also when the engine is away', async () => {
  await node.stop()
  const query = '?access_token=secret-of-somebody'
  for (const [name, proxy] of proxies) {
    expect(await upgradeStatus(proxy.url('IPv4'), { query }), name).toBeGreaterThan(499)
    proxies.delete(name)
    expect(await proxy.stop(), name).not.toContain('secret-of-somebody')
  }
})
