/**
 * A shop's page in a real browser, on another origin than the engine: with FAIRGRAB_ORIGINS it claims with its user's token,
 * reads what is left of the rate, and watches the stock; without, the browser lets it read nothing, and the claim is never sent.
 * The client there says which setting it lacks, and takes a redirect, which a browser hides, for a refusal.
 */
import { once } from 'node:events'
import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../repo/tree.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { userToken } from '../support/user-token.ts'
import { openPage, startChromium } from './chromium.ts'

const built = (await import(join(ROOT, 'deploy/client-package.mjs'))) as {
  readonly buildPackage: (folder: string) => Promise<string>
}
const folder = mkdtempSync(join(tmpdir(), 'fg-page-'))
let redis: RedisServer
let redirected = 0
let shop: Server
let origin: string
let worker: TestWorker
let closed: TestWorker
let browser: Browser
let page: Page
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const client = readFileSync(join(await built.buildPackage(join(folder, 'client')), 'fairgrab.min.js'))
  shop = createServer(({ method, url }, response) => {
    if (url === '/client.js') return response.setHeader('content-type', 'text/javascript').end(client)
    if (method !== 'POST') return response.setHeader('content-type', 'text/html').end('<title>A shop</title>')
    redirected++
    return response.writeHead(307, { location: '/login' }).end()
  })
  shop.listen(0, '127.0.0.1')
  await once(shop, 'listening')
  origin = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`
  worker = await startTestWorker(redis.url, { FAIRGRAB_ORIGINS: origin })
  closed = await startTestWorker(redis.url)
  round = await makeRound(new Api(worker.url, KEYS.operator), { stock: 3 })
  browser = await startChromium()
  page = (await openPage(browser)).page
  await page.goto(origin)
})
afterAll(async () => {
  await browser?.close()
  await Promise.all([worker.stop(), closed.stop()])
  await redis.stop()
  shop.close()
  await rm(folder, { recursive: true, force: true })
})

/** How a claim by the client of the package ends in the page. */
const claimBy = (url: string): Promise<unknown> =>
  page.evaluate(`import('/client.js').then(({ Fairgrab }) =>
    new Fairgrab({ url: '${url}', token: '${userToken('cleo')}' }).claim('${round.id}', { deadlineMs: 200 }))`)

test('the client in a page names the setting that is missing, and takes a redirect for a refusal', async () => {
  expect(await claimBy(closed.url)).toMatchObject({
    outcome: 'unknown',
    detail: `no answer; has FAIRGRAB_ORIGINS of the engine ${origin}?: Failed to fetch`,
  })
  expect(await claimBy(origin)).toMatchObject({ outcome: 'refused', status: 302, executed: 'no' })
  expect(redirected).toBe(1)
})

/** What the page gets of a claim: status, sequence, and a header that is none of the few that every page may read. */
const claim = (url: string, user: string): Promise<unknown> =>
  page.evaluate(`fetch('${url}/v1/rounds/${round.id}/claims', {
    method: 'POST',
    headers: { authorization: 'Bearer ${userToken(user)}', 'content-type': 'application/json' },
    body: '{}',
  }).then(async reply => [reply.status, (await reply.json()).claim?.sequence, reply.headers.get('ratelimit') !== null])`)

/** The first stock that the page sees on the stream. */
const watch = (url: string): Promise<unknown> =>
  page.evaluate(`new Promise((resolve, reject) => {
    const socket = new WebSocket('${url.replace('http', 'ws')}/v1/stream', 'fairgrab.json.v1')
    socket.onerror = () => reject(new Error('the stream does not open'))
    socket.onopen = () => socket.send(JSON.stringify({ op: 'subscribe', id: 1, topics: ['stock:${round.id}'] }))
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data)
      if (frame.op === 'stock') resolve(frame.granted)
    }
  })`)

test('a page of an origin that is named claims with a token, and watches the stock', async () => {
  expect(await claim(worker.url, 'ada')).toEqual([201, 1, true])
  expect(await claim(worker.url, 'ada')).toEqual([200, 1, true])
  expect(await watch(worker.url)).toBe(1)
})

test('without the setting the browser sends no claim, reads no answer and opens no stream', async () => {
  await expect(claim(closed.url, 'bea')).rejects.toThrow('Failed to fetch')
  await expect(page.evaluate(`fetch('${closed.url}/v1/rounds/${round.id}')`)).rejects.toThrow('Failed to fetch')
  await expect(watch(closed.url)).rejects.toThrow('the stream does not open')
  const held = await new Api(worker.url, KEYS.operator).get(`/v1/rounds/${round.id}/claims/bea`)
  expect(held.status).toBe(404)
})
