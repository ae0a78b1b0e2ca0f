/**
 * Takes the pictures of the pages: `node test/browser/pictures.ts` makes the two of the README, `… FOLDER` every state in light, dark
 * and at 360 px, to be looked at.
 *
 * A real node and a real browser; what is on the pictures happened. The two of the README are a desk in the middle of a
 * drain and a voucher in somebody's hand. Rejected: pictures as tests. Fonts differ by machine, and a picture that is
 * compared by its bytes is approved unseen.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { Api, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { openStream } from '../support/stream-client.ts'
import { openPage, startChromium } from './chromium.ts'

const IMAGES = join(import.meta.dirname, '..', '..', 'docs', 'images')
const WAVE = 200
const WAVE_MS = 100
const DRAIN_MS = 40_000
const LOOKS = [
  { name: 'light', colorScheme: 'light', width: 1280, height: 900 },
  { name: 'dark', colorScheme: 'dark', width: 1280, height: 900 },
  { name: 'phone', colorScheme: 'light', width: 360, height: 780 },
] as const

interface Room {
  readonly node: TestNode
  readonly api: Api
  readonly browser: Browser
  readonly page: Page
}

const wait = (ms: number) => new Promise<void>(done => setTimeout(done, ms))

/** Claims a round in waves for a while, and again what was claimed before, as a crowd does. */
async function drain({ node }: Room, { id }: Round, ms: number): Promise<void> {
  const stream = await openStream(node.url, { credential: KEYS.platform })
  const until = performance.now() + ms
  for (let wave = 1; performance.now() < until; wave++) {
    const size = Math.round(WAVE * (1 + Math.sin(wave / 20) / 3))
    const users = (from: number) => Array.from({ length: size }, (_, i) => `u${from}-${i}`)
    await stream.ask({ op: 'claims', id: 2 * wave, round_id: id, user_ids: users(wave) })
    if (wave % 3 === 0) await stream.ask({ op: 'claims', id: 2 * wave + 1, round_id: id, user_ids: users(wave - 2) })
    await wait(WAVE_MS)
  }
  await stream.close()
}

async function useKey(page: Page): Promise<void> {
  await page.getByLabel('Key', { exact: true }).fill(KEYS.operator)
  await page.keyboard.press('Enter')
  await page.locator('#rates li').first().waitFor()
}

async function claimAt(page: Page, user: string): Promise<void> {
  await page.getByLabel('Key or user token').fill(KEYS.platform)
  await page.getByLabel('User', { exact: true }).fill(user)
  await page.locator('#button').click()
}

async function forReadme(room: Room): Promise<void> {
  const { node, api, page } = room
  const opens_at = new Date(Date.now() + 7_200_000).toISOString()
  await makeRound(api, { stock: 50_000, opens_at }, { name: 'Evening round' })
  const draws_at = new Date(Date.now() + 5_400_000).toISOString()
  await makeRound(
    api,
    { stock: 1000, allocation: { mode: 'lottery', draws_at, waitlist: 100 } },
    { name: 'Museum tickets' },
  )
  const pools = [{ name: 'assisted', stock: 5000 }]
  const round = await makeRound(api, { stock: 100_000, pools }, { name: 'Hangzhou spring' })
  await page.setViewportSize({ width: 1280, height: 1160 })
  await page.goto(node.url)
  await useKey(page)
  await page.evaluate('scrollTo(0, 0)')
  await drain(room, round, DRAIN_MS)
  await page.screenshot({ path: join(IMAGES, 'desk.png') })
  await page.setViewportSize({ width: 520, height: 760 })
  await page.goto(`${node.url}/try/${round.id}`)
  await claimAt(page, 'ada')
  await page.locator('#answer code').first().waitFor()
  await page.evaluate('scrollTo(0, 0)')
  await page.screenshot({ path: join(IMAGES, 'try.png') })
}

/** One picture a look, of the whole page. */
async function take(page: Page, folder: string, state: string): Promise<void> {
  for (const { name, colorScheme, width, height } of LOOKS) {
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize({ width, height })
    await page.screenshot({ path: join(folder, `${state}-${name}.png`), fullPage: true })
  }
  await page.setViewportSize({ width: 1280, height: 900 })
}

async function everyDeskState(room: Room, folder: string): Promise<void> {
  const { node, api, page } = room
  await page.goto(node.url)
  await page.locator('#nothing').waitFor()
  await take(page, folder, 'desk-nothing')
  const round = await makeRound(api, { stock: 50_000 }, { name: 'Spring' })
  const paused = await makeRound(api, { stock: 500 }, { name: 'Paused' })
  await api.post(`/v1/rounds/${paused.id}/pause`)
  await makeRound(api, { stock: 20, opens_at: null }, { name: 'By hand' })
  const draws_at = new Date(Date.now() + 2500).toISOString()
  const raffle = await makeRound(
    api,
    { stock: 2, allocation: { mode: 'lottery', draws_at, waitlist: 2 } },
    { name: 'Raffle' },
  )
  const waiting = await makeRound(
    api,
    { stock: 5, allocation: { mode: 'window', window_ms: 60_000, beacon: { kind: 'drand' } } },
    { name: 'Beacon' },
  )
  const claims = ['a', 'b', 'c', 'd', 'e'].map(user_id => ({ user_id }))
  for (const { id } of [raffle, waiting]) await api.post(`/v1/rounds/${id}/claims/batch`, { claims })
  await api.post(`/v1/rounds/${waiting.id}/close`)
  await makeRound(api, { stock: 9, allocation: { mode: 'window', window_ms: 60_000 } }, { name: 'Entering' })
  await useKey(page)
  await drain(room, round, 6000)
  const { vouchers } = (await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })).body
  const order = { id: 'o1', amount: 5000, currency: 'CNY' }
  await api.post('/v1/redemptions', { code: vouchers[0]?.code, order, merchant_id: 'm9' }, { 'idempotency-key': 'k1' })
  await page.locator('#lookup-what').fill('ada')
  await page.getByRole('button', { name: 'Look it up' }).click()
  await page.locator('.case ol').nth(1).waitFor()
  await page.locator('#release-section summary').click()
  await page.locator('#release-mode').selectOption('lottery')
  await take(page, folder, 'desk-rounds')
  await page.getByRole('button', { name: 'Change the rates' }).click()
  await page.locator('#lever-rate-user').fill('5')
  await page.locator('#lever-do').waitFor()
  await take(page, folder, 'desk-lever')
  await page.keyboard.press('Escape')
}

async function everyTryState(room: Room, folder: string): Promise<void> {
  const { node, api, page } = room
  const opens_at = new Date(Date.now() + 7_200_000).toISOString()
  const waits = await makeRound(api, { stock: 50_000, opens_at })
  await page.goto(`${node.url}/try/${waits.id}`)
  await page.locator('#big', { hasText: ':' }).waitFor()
  await take(page, folder, 'try-countdown')
  const open = await makeRound(api, { stock: 3 })
  await page.goto(`${node.url}/try/${open.id}`)
  await claimAt(page, 'ada')
  await page.locator('#answer code').first().waitFor()
  await take(page, folder, 'try-granted')
  await api.post(`/v1/rounds/${open.id}/pause`)
  await page.locator('#state', { hasText: 'Paused' }).waitFor()
  await claimAt(page, 'bo')
  await page.locator('#answer .refused').waitFor()
  await take(page, folder, 'try-paused')
  const draw = await makeRound(api, { stock: 3, allocation: { mode: 'window', window_ms: 60_000 } })
  await page.goto(`${node.url}/try/${draw.id}`)
  await claimAt(page, 'ada')
  await page.locator('#checks li').nth(1).waitFor()
  await take(page, folder, 'try-entered')
  await api.post(`/v1/rounds/${draw.id}/close`)
  await page.locator('#answer code').first().waitFor()
  await page.locator('#check-draw').click()
  await page.locator('#checks li').nth(5).waitFor()
  await take(page, folder, 'try-drawn')
  await page.goto(`${node.url}/try/rnd_nothing`)
  await page.locator('#state', { hasText: 'Unknown' }).waitFor()
  await take(page, folder, 'try-unknown')
}

const [folder] = process.argv.slice(2)
mkdirSync(folder ?? IMAGES, { recursive: true })
const node = await startNode({ FAIRGRAB_RATE_ADDRESS: '0' })
const browser = await startChromium()
const { page } = await openPage(browser)
const room: Room = { node, api: new Api(node.url, KEYS.operator), browser, page }
try {
  if (folder === undefined) await forReadme(room)
  else {
    await everyDeskState(room, folder)
    await everyTryState(room, folder)
  }
} finally {
  await browser.close()
  await node.stop()
}
console.log(`the pictures are in ${folder ?? IMAGES}`)
