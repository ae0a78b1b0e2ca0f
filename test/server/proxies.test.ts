/**
 * The proxies of deploy/proxy in front of a node, as they ship: nginx and HAProxy from the system's packages.
 *
 * What docs/operations.md promises of them is asked through each: heads of a shop's domain, a first line in two packets,
 * two lengths that differ, claims on connections that were idle, a rate and sockets an address of those who ask and not of the
 * proxy, whatever they write themselves, and a subscriber who says nothing and is kept. Only the
 * addresses and the places of files are changed here. The pings are waited for in the background of the other tests.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { ROOT } from '../repo/tree.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'
import { RawConnection } from '../support/raw-http.ts'
import { openStream } from '../support/stream-client.ts'

const PINGED_WITHIN_S = 25
const SERVES_WITHIN_MS = 20_000
const PROXIES = ['nginx', 'haproxy'] as const
type Proxy = (typeof PROXIES)[number]
const RATE = 40
const SOCKETS = 4
const LIMITS = { FAIRGRAB_RATE_ADDRESS: String(RATE), FAIRGRAB_SOCKETS_ADDRESS: String(SOCKETS) }

const folder = mkdtempSync(join(tmpdir(), 'fg-proxy-'))
const urls = new Map<Proxy, string>()
const children: ChildProcess[] = []
let node: TestNode
let round: Round
let pings: Promise<readonly (readonly [who: string, seconds: number])[]>

/** The file that ships, between other addresses; nginx keeps what it writes in the test's folder. */
function configuration(proxy: Proxy, port: number): string {
  const text = readFileSync(join(ROOT, 'deploy/proxy', proxy === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'), 'utf8')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${folder}/${name};`,
  )
  return text
    .replaceAll('127.0.0.1:8080', new URL(node.url).host)
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
    .replace('bind :80', `bind 127.0.0.1:${port}`)
    .replace('/var/log/nginx', folder)
    .replace('http {', `http { ${temporary.join(' ')}`)
}

async function start(proxy: Proxy): Promise<void> {
  const port = await freePort()
  const file = join(folder, proxy)
  writeFileSync(file, configuration(proxy, port))
  const args =
    proxy === 'nginx'
      ? ['-p', folder, '-c', file, '-e', 'stderr', '-g', `daemon off; pid ${folder}/pid;`]
      : ['-db', '-f', file]
  const child = spawn(proxy, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  let words = ''
  child.stderr.on('data', chunk => {
    words += chunk
  })
  const url = `http://127.0.0.1:${port}`
  urls.set(proxy, url)
  const until = performance.now() + SERVES_WITHIN_MS
  while (!(await answers(url))) {
    if (child.exitCode !== null || performance.now() > until) throw new Error(`${proxy} does not serve: ${words}`)
    await delay(20)
  }
}

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/livez`).then(
    ({ status }) => status === 200,
    () => false,
  )

/** The status of what an address of this machine asks without a credential. */
async function statusFor(url: string, localAddress: string, headers: Record<string, string> = {}): Promise<number> {
  const asked = request(`${url}/v1/rounds/${round.id}`, { localAddress, headers, agent: false })
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
  round = await makeRound(new Api(node.url, KEYS.operator), { stock: 1000 })
  mkdirSync(folder, { recursive: true })
  await Promise.all(PROXIES.map(start))
  const all = [['itself', node.url], ...urls] as const
  pings = Promise.all(all.map(([who, url]) => firstPing(who, url)))
  pings.catch(() => undefined)
})
afterAll(async () => {
  const ended = children.map(child => (child.exitCode === null ? once(child, 'exit') : undefined))
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(ended)
  await node?.stop()
  await rm(folder, { recursive: true, force: true })
})

const claimOf = (user: string, more = '') => {
  const body = JSON.stringify({ user_id: user })
  return (
    `POST /v1/rounds/${round.id}/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\n` +
    `Content-Type: application/json\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`
  )
}

describe.each(PROXIES)('%s', proxy => {
  const url = () => urls.get(proxy) as string
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

describe.each(PROXIES)('%s, trusted', proxy => {
  const url = () => urls.get(proxy) as string

  test('a rate is of who asks, and nobody else pays for it or passes for another', async () => {
    const busy = `127.0.1.${1 + PROXIES.indexOf(proxy)}`
    const idle = `127.0.2.${1 + PROXIES.indexOf(proxy)}`
    const forged = (i: number) => ({ 'x-forwarded-for': `198.51.100.${i}` })
    const statuses = await Promise.all(Array.from({ length: 3 * RATE }, (_, i) => statusFor(url(), busy, forged(i))))
    expect(statuses).toContain(429)
    expect(await statusFor(url(), idle)).toBe(200)
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
