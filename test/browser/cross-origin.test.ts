/**
 * A shop's page in a real browser, on another origin than the engine: with FAIRGRAB_ORIGINS it claims with its user's token,
 * reads what is left of the rate, and watches the stock; without, the browser lets it read nothing, and the claim is never sent.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { userToken } from '../support/user-token.ts'
import { openPage, startChromium } from './chromium.ts'

let redis: RedisServer
let shop: Server
let origin: string
let worker: TestWorker
let closed: TestWorker
let browser: Browser
let page: Page
let round: Round
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  shop = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>A shop</title>'))
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
