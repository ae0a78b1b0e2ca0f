/**
 * The operator's desk in a real browser: figures and charts of the node, forecast, fence, a gap and what was missed.
 *
 * The page reaches the node through a proxy, because a browser's own "offline" leaves open sockets alone and a cable
 * that is cut does not. Numbers on screen are compared with what the test itself caused, and the rules of the modules
 * (quantiles, scales, gaps) are asked of the modules as the browser loaded them. The fence is a real one: Redis is told
 * to sync less than was promised.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { Redis } from 'ioredis'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { openStream, type StreamClient } from '../support/stream-client.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { openPage, shows, startChromium, type WatchedPage } from './chromium.ts'
import { expectGoodLooks } from './looks.ts'

const PAGE_BYTES_MAX = 80_000
const FOLDER = new URL('../../engine/dashboard/', import.meta.url)

let node: TestNode
let proxy: TcpProxy
let browser: Browser
let watched: WatchedPage
let page: Page
let api: Api
let claims: StreamClient
let round: Round

const cardOf = ({ id }: { readonly id: string }): Locator => page.locator(`[data-round="${id}"]`)
const problems = () => watched.problems.splice(0)
let asked = 0

/** Users that nobody asked for before claim in one frame. */
async function claim(count: number): Promise<readonly unknown[]> {
  const id = ++asked
  const user_ids = Array.from({ length: count }, (_, i) => `u${id}-${i}`)
  return (await claims.ask({ op: 'claims', id, round_id: round.id, user_ids })).outcomes as readonly unknown[]
}

beforeAll(async () => {
  node = await startNode()
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(node.url).port) })
  api = new Api(node.url, KEYS.operator)
  round = await makeRound(api, { stock: 5000 }, { name: 'Desk' })
  claims = await openStream(node.url, { credential: KEYS.platform })
  browser = await startChromium()
  watched = await openPage(browser)
  page = watched.page
  await page.goto(proxy.url.replace('redis:', 'http:'))
  await shows(page.locator('#connection'), 'Live')
})

afterAll(async () => {
  await browser?.close()
  await claims?.close()
  await proxy?.close()
  await node?.stop()
})

test('all that a browser loads is small, and comes from the engine', async () => {
  const bytes = readdirSync(FOLDER, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => gzipSync(readFileSync(`${parentPath}/${name}`)).length)
  const ofClient = new Set(watched.requests.filter(address => address.includes('/client/')))
  expect(ofClient.size).toBeGreaterThan(3)
  for (const address of ofClient) bytes.push(gzipSync(await (await fetch(address)).arrayBuffer()).length)
  expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThan(PAGE_BYTES_MAX)
  const own = proxy.url.replace(/^redis:/, '')
  expect(watched.requests.filter(address => !address.includes(own) && !address.startsWith('data:'))).toEqual([])
})

test('figures come with a key that may read the metrics; without one the node’s health is shown, and a refused key asks once', async () => {
  const readings = () => watched.requests.filter(address => address.endsWith('/metrics')).length
  const keyIs = async (key: string) => {
    await page.getByLabel('Key', { exact: true }).fill(key)
    await page.keyboard.press('Enter')
  }
  await shows(page.locator('#figures-note'), /key of an operator or a viewer/)
  await shows(page.locator('#durability'), 'Always')
  await shows(page.locator('#redis'), 'Sound')
  expect([await page.locator('#workers').textContent(), readings(), problems()]).toEqual(['–', 0, []])
  await keyIs(KEYS.merchant)
  await page.waitForResponse(/\/metrics$/)
  for (let health = 0; health < 3; health++) await page.waitForResponse(/\/readyz/)
  expect(readings()).toBe(1)
  expect(problems().every(problem => problem.includes('status of 403'))).toBe(true)
  await keyIs(KEYS.operator)
  await page.locator('#figures-note').waitFor({ state: 'hidden' })
  expect(await page.locator('#metrics-link').isVisible()).toBe(false)
})

test('shows what the node does: rates by outcome, time of a decision, viewers, workers, durability, Redis', async () => {
  await shows(page.locator('#workers'), '1 of 1')
  await shows(page.locator('#durability'), 'Always')
  await shows(page.locator('#redis'), 'Sound')
  await shows(cardOf(round).locator('.viewers'), '1')
  await page.evaluate(`window.highest = { grants: 0, p99: '' }
    new MutationObserver(() => {
      const grants = Number(document.getElementById('grants-rate').textContent.replaceAll(',', ''))
      highest.grants = Math.max(highest.grants, grants || 0)
      if (document.getElementById('p99').textContent !== '–') highest.p99 = document.getElementById('p99').textContent
    }).observe(document.querySelector('.figures'), { subtree: true, childList: true, characterData: true })`)
  const from = performance.now()
  expect(await claim(1000)).toEqual(Array.from({ length: 1000 }, () => 'granted'))
  await shows(cardOf(round).locator('.remaining strong'), '4,000')
  await page.locator('#claims-legend .series-granted strong', { hasNotText: /^0$/ }).waitFor()
  await page.locator('#latency-chart path.series-p99[d*="L"]').waitFor({ state: 'attached' })
  await shows(cardOf(round).locator('.forecast'), /^in \d+:\d\d/)
  const { grants, p99 } = (await page.evaluate('highest')) as { grants: number; p99: string }
  // The thousand lies between two readings: no longer apart than all this took, and never as close as a tenth of a second.
  expect(grants).toBeGreaterThan(500 / Math.max(1, (performance.now() - from) / 1000))
  expect(grants).toBeLessThan(10_000)
  expect(p99).toMatch(/^[\d.,]+ m?s$/)
  expect(await page.locator('#claims-legend li:visible').allTextContents()).toEqual([expect.stringMatching(/^Granted/)])
  await api.post(`/v1/rounds/${round.id}/pause`)
  await claim(300)
  await page.locator('#claims-legend .series-paused:visible').waitFor()
  await api.post(`/v1/rounds/${round.id}/resume`)
  expect(problems()).toEqual([])
})

test('a cut connection greys the page; back again it says what was missed, and the chart keeps a gap', async () => {
  proxy.way = 'black hole'
  proxy.disconnect()
  await shows(page.locator('#connection'), 'Disconnected')
  expect(await page.locator('main.stale').count()).toBe(1)
  await claim(700)
  await shows(page.locator('#grants-rate'), '–')
  expect(await cardOf(round).locator('.remaining strong').textContent()).toBe('4,000')
  proxy.way = 'pass'
  // It may be back already by itself; then the button is hidden, and pressing it changes nothing that is told below.
  await page.locator('#reconnect').dispatchEvent('click')
  await shows(cardOf(round).locator('.caught-up'), /^Caught up: 700 granted in the 0:\d\d without connection\.$/)
  await shows(cardOf(round).locator('.remaining strong'), '3,300')
  await shows(page.locator('#connection'), 'Live')
  for (const problem of problems()) expect(problem).toMatch(/ERR_|WebSocket connection/)
})

test('a fence is the first thing to be seen, with its mend, and goes when it is mended', async () => {
  const redis = new Redis(`${node.dataDir}/redis.sock`)
  await redis.config('SET', 'appendfsync', 'no')
  await shows(page.locator('#alarm'), 'Fenced: granting is stopped')
  await shows(page.locator('#alarm'), /appendfsync is no, the level is always\. What to do: redis-cli CONFIG SET/)
  await shows(cardOf(round), 'Fenced: nothing is granted now')
  await shows(page.locator('#redis'), 'Fenced')
  await shows(page.locator('#workers'), '0 of 1')
  await expectGoodLooks(page)
  await page.setViewportSize({ width: 3840, height: 2160 })
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(3840)
  await redis.config('SET', 'appendfsync', 'always')
  redis.disconnect()
  await page.locator('#alarm').waitFor({ state: 'hidden' })
  for (const problem of problems()) expect(problem).toContain('status of 503')
})

test('quantiles are those of Prometheus, rates never negative, and a second without data is a gap', async () => {
  const text = (granted: number, low: number, all: number) =>
    `# HELP x\nfairgrab_claims_total{outcome="granted"} ${granted}\nfairgrab_batch_seconds_bucket{le="0.001"} ${low}\n` +
    `fairgrab_batch_seconds_bucket{le="0.005"} ${all}\nfairgrab_batch_seconds_bucket{le="+Inf"} ${all}\n`
  const readings = [text(0, 0, 0), text(100, 50, 100), text(40, 50, 100)]
  const told = await page.evaluate(`import('/desk/node-pulse.js').then(({ NodePulse }) => {
    const pulse = new NodePulse()
    return ${JSON.stringify(readings)}.map((text, i) => {
      const now = pulse.take(text, i * 2000)
      return now && [now.rates.get('granted'), now.p50, now.p99]
    })
  })`)
  // Half of the batches took up to 1 ms, the rest up to 5 ms: the 99th of a hundred is at 1 + 4 * 49 / 50.
  expect(told).toEqual([undefined, [50, 0.001, expect.closeTo(0.00492, 8)], [0, 0.001, expect.closeTo(0.00492, 8)]])
  const drawn = await page.evaluate(`import('/desk/time-chart.js').then(({ TimeChart, roundUp }) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    const top = new TimeChart(svg, ['a', 'b'], true).draw([[1, 1], undefined, [2, 1], [2, 2]])
    return [top, [...svg.children].map(path => path.getAttribute('d')), [0, 3, 10, 51, 999].map(roundUp)]
  })`)
  expect(drawn).toEqual([
    5,
    [
      'M116 32.00L116 40.00ZM118 24.00L119 24.00L119 40.00L118 40.00Z',
      'M116 24.00L116 32.00ZM118 16.00L119 8.00L119 24.00L118 24.00Z',
    ],
    [1, 5, 10, 100, 1000],
  ])
})

test.each([
  ['drawing', 'Drawing', 'The entries are closed and the draw is being made.'],
  ['drawn', 'Drawn', 'The draw is made; its receipt can be checked by anybody.'],
])('has words for the state %s of the drawn modes', async (state, word, note) => {
  const told = await page.evaluate(`Promise.all([import('/desk/round-card.js'), import('/base/round-stock.js')]).then(
    ([{ RoundCard }, { RoundStock }]) => {
      const round = new RoundStock('rnd_drawn')
      const stock = { total: 5, granted: 0, remaining: 5, epoch: 'a', version: 1, state: '${state}' }
      round.takeStock(stock, 0)
      const card = new RoundCard(document.getElementById('card'), 'rnd_drawn', () => {})
      card.draw(round, { now: 0, serverNow: 0, isCurrent: true, isFenced: false })
      return ['.state', '.note'].map(part => card.element.querySelector(part).textContent.trim())
    })`)
  expect(told).toEqual([word, note])
})
