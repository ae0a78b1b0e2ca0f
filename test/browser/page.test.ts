/**
 * The page at `/` in a real browser, on a real node, from nothing yet to a restart: one story, told in order.
 *
 * Claims are real ones over the stream, and what the screen showed is recorded by an observer inside the page, so that
 * no number is missed between two looks; each wave of claims waits until the screen has fallen, instead of sleeping.
 * Every test takes the console's errors and names the ones that it provoked, such as the 409 of a claim that is to be
 * refused. The rules of the page's modules are asked of the modules themselves, as the browser loaded them.
 */
import { rm } from 'node:fs/promises'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Api, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'
import { openStream } from '../support/stream-client.ts'
import { findChromium, firstPaint, openPage, shows, startChromium, type WatchedPage } from './chromium.ts'
import { expectGoodLooks } from './looks.ts'

const STOCK = 3000
const WAVE = 100
const PACED_WAVES = 12

const REFUSED = (status: number) => expect.stringContaining(`the server responded with a status of ${status}`)

let port: number
let node: TestNode
let browser: Browser
let watched: WatchedPage
let page: Page
let api: Api
/** Made together, because the page looks for new rounds every three seconds. */
let rounds: Readonly<Record<'drain' | 'pools' | 'turns' | 'waits', Round>>

const cardOf = (round: { readonly id: string }): Locator => page.locator(`[data-round="${round.id}"]`)
const problems = () => watched.problems.splice(0)
const codes = (card: Locator) => card.locator('.result code').allTextContents()

/** Records in the page what an element showed as numbers, from now on; gives the name to read it by. */
async function record(round: Round, selector: string): Promise<string> {
  const name = `window.seen_${selector.replace(/\W/g, '')}`
  await page.evaluate(`{
    const node = document.querySelector('[data-round="${round.id}"] ${selector}')
    const values = []
    const waiting = []
    const look = () => {
      values.push(Number(node.textContent.replaceAll(',', '')))
      for (const { most, done } of waiting) if (values.at(-1) <= most) done()
    }
    ${name} = { values, reaches: most => new Promise(done => { waiting.push({ most, done }); look() }) }
    new MutationObserver(look).observe(node, { childList: true, characterData: true, subtree: true })
    look()
  }`)
  return name
}

/** Until what the page draws once a second was drawn again: after its reading of /metrics. */
async function anotherSecond(): Promise<void> {
  for (let reading = 0; reading < 2; reading++) await page.waitForResponse(/\/metrics$/)
}

/** Where an element stands in its card, in pixels. */
async function placeIn(card: Locator, element: Locator): Promise<readonly [number, number]> {
  const [outer, inner] = [await card.boundingBox(), await element.boundingBox()]
  if (!outer || !inner) throw new Error('not on screen')
  return [inner.x - outer.x, inner.y - outer.y]
}

/** Claims a whole round over the stream: the first waves each wait for the screen, the rest come as fast as they can. */
async function drain(round: Round, seen: string): Promise<readonly unknown[]> {
  const stream = await openStream(node.url, { credential: KEYS.platform })
  const wave = async (number: number) => {
    const user_ids = Array.from({ length: WAVE }, (_, i) => `u${number}-${i}`)
    const { outcomes } = await stream.ask({ op: 'claims', id: number, round_id: round.id, user_ids })
    return outcomes as readonly unknown[]
  }
  const outcomes: unknown[] = []
  for (let number = 1; number <= PACED_WAVES; number++) {
    outcomes.push(...(await wave(number)))
    await page.evaluate(`${seen}.reaches(${STOCK - number * WAVE})`)
  }
  const rest = Array.from({ length: STOCK / WAVE - PACED_WAVES + 2 }, (_, i) => wave(PACED_WAVES + 1 + i))
  outcomes.push(...(await Promise.all(rest)).flat())
  await stream.close()
  return outcomes
}

beforeAll(async () => {
  port = await freePort()
  node = await startNode({ PORT: String(port) })
  api = new Api(node.url, KEYS.operator)
  browser = await startChromium()
  watched = await openPage(browser)
  page = watched.page
})

afterAll(async () => {
  await browser?.close()
  await node?.stop()
})

test('a machine without Chromium is told what to type', () => {
  expect(() => findChromium('/nowhere')).toThrow('node deploy/set-up.mjs --test')
})

describe('the page', () => {
  test('says how to begin where nothing is yet, and makes a demo round', async () => {
    await page.goto(node.url)
    await shows(page.locator('#connection'), 'Live')
    await shows(page.locator('#nothing'), 'Nothing yet')
    await expectGoodLooks(page)

    const [campaignLine = '', roundLine = ''] = await page.locator('#nothing pre').allTextContents()
    expect(await page.locator('#demo').isVisible()).toBe(false)
    await page.getByLabel('Key', { exact: true }).fill(KEYS.operator)
    await page.keyboard.press('Enter')
    await page.locator('#demo').click()
    const demo = page.locator('.round')
    await shows(demo, 'Open')
    await shows(demo.locator('h3'), 'Demo')
    await shows(demo, 'left of 500')
    expect(await page.locator('#nothing').isVisible()).toBe(false)

    const bodyOf = (line: string): unknown => JSON.parse(/-d '(.*)'$/s.exec(line)?.[1] ?? '')
    expect(campaignLine).toContain(`curl -X POST ${node.url}/v1/campaigns`)
    const campaign = await api.post<{ id: string }>('/v1/campaigns', bodyOf(campaignLine))
    expect(campaign.status).toBe(201)
    const path = new URL(/http\S+/.exec(roundLine)?.[0] ?? '').pathname.replace('CAMPAIGN_ID', campaign.body.id)
    const round = await api.post<Round>(path, bodyOf(roundLine))
    expect(round.body.state).toBe('open')
    rounds = {
      drain: await makeRound(api, { stock: STOCK }, { name: 'Drain' }),
      pools: await makeRound(api, { stock: 40, pools: [{ name: 'assisted', stock: 10 }] }, { name: 'Pools' }),
      turns: await makeRound(api, { stock: 5 }, { name: 'Turns' }),
      waits: await makeRound(api, { stock: 250_000, opens_at: null }, { name: 'Waits' }),
    }
    await shows(cardOf(rounds.waits), 'It opens when an operator opens it.')
    const order = (await page.evaluate(
      "[...document.querySelectorAll('.round')].map(card => card.dataset.round)",
    )) as readonly string[]
    const { drain: drained, pools, turns, waits } = rounds
    // What is open before what waits, and the newest first.
    expect(order.slice(0, 4)).toEqual([turns, pools, drained, round.body].map(({ id }) => id))
    expect(order.at(-1)).toBe(waits.id)
    expect(problems()).toEqual([])
  })

  test('shows the stock falling to its end while it is claimed', async () => {
    const round = rounds.drain
    const card = cardOf(round)
    await shows(card, 'left of 3,000')
    const seen = await record(round, '.remaining strong')
    const rates = await record(round, '.rate')

    const outcomes = await drain(round, seen)
    expect(outcomes.filter(outcome => outcome === 'granted')).toHaveLength(STOCK)
    expect(outcomes.filter(outcome => outcome === 'sold_out')).toHaveLength(2 * WAVE)
    await shows(card, 'Sold out')

    const values = (await page.evaluate(`${seen}.values`)) as number[]
    expect(values).toEqual(values.toSorted((a, b) => b - a))
    expect(new Set(values).size).toBeGreaterThan(PACED_WAVES)
    expect([values[0], values.at(-1)]).toEqual([STOCK, 0])
    expect(Math.max(...((await page.evaluate(`${rates}.values`)) as number[]))).toBeGreaterThan(0)
    expect(await card.locator('.granted').textContent()).toBe('3,000 (100%)')
    expect(await page.locator('#announcement').textContent()).toBe('Drain: Sold out')

    await card.getByRole('button', { name: 'Try a claim from Drain' }).click()
    await shows(card.getByRole('status'), /^Not granted\. Nothing is left .*\(sold_out\)\.$/)
    expect(problems()).toEqual([REFUSED(409)])
  })

  test('grants a claim by keyboard, with its codes, and the same ones again', async () => {
    const round = rounds.pools
    const card = cardOf(round)
    await shows(card, 'left of 40')
    await page.getByLabel('User', { exact: true }).fill('visitor-1')
    const choice = card.getByRole('combobox', { name: 'Pool' })
    await choice.selectOption('assisted')
    await choice.focus()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await shows(card.getByRole('status'), 'Granted: visitor-1 is number 1 of the round, pool assisted.')
    const held = await api.get<Granted>(`/v1/rounds/${round.id}/claims/visitor-1`)
    const own = held.body.vouchers.map(({ code }) => code)
    expect(own).toHaveLength(2)
    expect(await codes(card)).toEqual(own)
    await shows(card.locator('.remaining strong'), '39')
    expect(await card.locator('td').allTextContents()).toEqual(['general', '30', '30', 'assisted', '9', '10'])

    await page.keyboard.press('Enter')
    await shows(card.getByRole('status'), /^Granted before, and this is the same claim/)
    expect(await codes(card)).toEqual(own)
    expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(1)
    expect(problems()).toEqual([])
  })

  test('shows a pause, the end of it and the close', async () => {
    const round = rounds.turns
    const card = cardOf(round)
    const button = card.getByRole('button', { name: 'Try a claim' })
    await shows(card, 'Open')
    await anotherSecond()
    const place = await placeIn(card, button)
    for (const [verb, word] of [
      ['pause', 'Paused'],
      ['resume', 'Open'],
      ['pause', 'Paused'],
    ] as const) {
      expect((await api.post(`/v1/rounds/${round.id}/${verb}`)).status).toBe(200)
      await shows(card.locator('.state'), word)
      expect(await page.locator('#announcement').textContent()).toBe(`Turns: ${word}`)
    }
    await anotherSecond()
    expect(await placeIn(card, button), 'a button that moves away under a finger').toEqual(place)
    await button.click()
    await shows(card.getByRole('status'), /^Not granted\. The round is paused\. Ask again in \d+ s \(paused\)\.$/)
    await expectGoodLooks(page)
    await api.post(`/v1/rounds/${round.id}/close`)
    await shows(card.locator('.state'), 'Closed')
    expect(problems()).toEqual([REFUSED(409)])
  })

  test('counts down to the opening, forgets the key with the page, and paints at once', async () => {
    const paints: number[] = []
    let loadedMs = 0
    for (let load = 0; load < 2; load++) {
      const from = performance.now()
      await page.reload()
      paints.push(await firstPaint(page))
      loadedMs = performance.now() - from
    }
    // How fast is not a test's to say: test/browser/screen-speed.ts measures it.
    expect(paints.every(ms => ms > 0)).toBe(true)
    console.log(`first paints: ${paints.map(ms => `${ms.toFixed(0)} ms`).join(', ')}`)

    // Late enough for the page to be loaded again before it.
    const opensAt = new Date(Date.now() + 2000 + 5 * loadedMs).toISOString()
    const round = await makeRound(api, { stock: 5, opens_at: opensAt }, { name: 'Later' })
    await page.reload()
    const card = cardOf(round)
    await shows(card.locator('.remaining strong'), /^0:\d\d$/)
    await shows(card.locator('.remaining span'), 'until it opens with 5')
    await shows(card.locator('.state'), 'Open')
    await shows(card.locator('.remaining strong'), '5')
    expect(await page.getByLabel('Key', { exact: true }).inputValue()).toBe('')
    expect(await page.evaluate('[sessionStorage.length, localStorage.length, document.cookie]')).toEqual([0, 0, ''])
    expect(watched.requests.filter(address => address.includes(KEYS.operator))).toEqual([])
    expect(problems()).toEqual([])
  })

  test('says what is wrong with a key, and where it has to go', async () => {
    const key = page.getByLabel('Key', { exact: true })
    await key.fill('not-a-key')
    // The figures ask with the new key too, once, within a second.
    const refused = [/campaigns/, /metrics$/].map(path => page.waitForResponse(path))
    await page.keyboard.press('Enter')
    await shows(page.locator('#key-answer'), /^The key is of no use\. .*\(unauthorized\)\.$/)
    await Promise.all(refused)
    await expect.poll(() => watched.problems).toEqual([REFUSED(401), REFUSED(401)])
    problems()
    await key.fill('')
    await page.keyboard.press('Enter')
    await shows(page.locator('#key-answer'), 'There is no key now.')
    expect(await page.locator('.round button:visible').count()).toBe(0)
    await page.locator('#who').click()
    expect(await page.evaluate('document.activeElement.id')).toBe('key')
    expect(problems()).toEqual([])
  })

  test.each([
    ['4401: without another credential never', [4401, 0, 0.5], null],
    ['4413: without a smaller frame never', [4413, 3, 0.5], null],
    ['1012: at once, with jitter', [1012, 0, 0.5], 250],
    ['4503: after a second, with jitter', [4503, 0, 0.5], 1250],
    ['1006: at once, with jitter', [1006, 0, 0], 0],
    ['1006: later each time', [1006, 3, 0.5], 2000],
    ['1006: at most 15 s', [1006, 60, 1], 15_000],
  ])('comes back by close code; %s', async (_, given, delay) => {
    const asked = `import('/client/stream.ts').then(({ reconnectAfter }) => reconnectAfter(${given}) ?? null)`
    expect(await page.evaluate(asked)).toBe(delay)
  })

  test('drops a lower version of the same epoch, and measures the rate over two seconds', async () => {
    const frames = [
      { epoch: 'a', version: 5, granted: 10, at: 0 },
      { epoch: 'a', version: 4, granted: 8, at: 10 },
      { epoch: 'a', version: 9, granted: 410, at: 1000 },
      { epoch: 'a', version: 9, granted: 410, at: 2500 },
      { epoch: 'a', version: 9, granted: 410, at: 3500 },
      { epoch: 'b', version: 1, granted: 5, at: 3600 },
    ]
    const told = await page.evaluate(`import('/base/round-stock.js').then(({ RoundStock }) => {
      const round = new RoundStock('rnd_x')
      return ${JSON.stringify(frames)}.map(({ at, ...frame }) =>
        [round.takeStock({ state: 'open', total: 500, remaining: 500 - frame.granted, ...frame }, at),
          round.stock.granted, Math.round(round.rate(at))])
    })`)
    expect(told).toEqual([
      [true, 10, 0],
      [false, 10, 0],
      [true, 410, 400],
      [true, 410, 200],
      [true, 410, 0],
      [true, 5, 0],
    ])
  })

  test('is greyed while the engine is away, and recovers with it', async () => {
    const before = (await page.locator('.remaining').allTextContents()).toSorted()
    node.signal('SIGTERM')
    expect(await node.ended).toBe(0)
    await shows(page.locator('#connection'), 'Disconnected')
    await shows(page.locator('#connection'), /data \d+ s old/)
    await page.locator('main.stale').waitFor()
    expect(await page.locator('.rate').first().textContent()).toBe('–')
    expect(await page.locator('#announcement').textContent()).toBe('Disconnected')
    await expectGoodLooks(page)
    expect((await page.locator('.remaining').allTextContents()).toSorted()).toEqual(before)
    const attempt = page.waitForEvent('websocket')
    await page.getByRole('button', { name: 'Connect now' }).click()
    expect((await attempt).url()).toBe(`${node.url.replace('http', 'ws')}/v1/stream`)

    const { dataDir } = node
    node = await startNode({ PORT: String(port), FAIRGRAB_DATA_DIR: dataDir })
    // It comes back by itself, after at most the longest delay between two attempts.
    await page.locator('main:not(.stale)').waitFor()
    await shows(page.locator('#connection'), 'Live')
    expect((await page.locator('.remaining').allTextContents()).toSorted()).toEqual(before)
    for (const problem of problems()) expect(problem).toMatch(/ERR_|WebSocket connection|status of 503/)

    const round = await makeRound(api, { stock: 7 })
    await shows(cardOf(round), 'left of 7')
    expect(problems()).toEqual([])
    await node.stop()
    await rm(dataDir, { recursive: true, force: true })
  })
})
