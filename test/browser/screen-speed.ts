/**
 * How fast the pages are: `node test/browser/screen-speed.ts [SECONDS]` prints first paints, what a browser loads, and how old the
 * stock on screen is while a round drains at the pace of Hangzhou, 14,286 packs a second.
 *
 * The age is asked in every animation frame: the browser's clock now, less the moment of Redis's clock at which the number that
 * the page's own element shows was decided. All run on one machine, so the clocks are one. The number is read out of the
 * document and not out of a frame that came, since what was not drawn was not seen. Exit 99 when a bound below is passed.
 * Rejected: bounds in a test. A busy machine would fail it, and a figure of a busy machine says nothing.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode } from '../support/engine.ts'
import { openStream } from '../support/stream-client.ts'
import { firstPaint, openPage, startChromium } from './chromium.ts'

const PACKS_A_SECOND = 14_286
const FRAME_MS = 25
const LOADS = 12
const PAINT_MS_MAX = 300
const AGE_MS_MAX = 250
const FOLDER = new URL('../../engine/dashboard/', import.meta.url)

/** Keeps when each remaining number was decided, and asks in every frame how old the one on screen is. */
const WATCH = `{
  const Plain = WebSocket
  const decided = new Map()
  window.ages = []
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given)
      this.addEventListener('message', ({ data }) => {
        const frame = JSON.parse(data)
        if (frame.op === 'stock') decided.set(frame.remaining, Date.parse(frame.at))
      })
    }
  }
  const look = () => {
    const shown = document.querySelector('.remaining strong')?.textContent
    const at = shown && decided.get(Number(shown.replaceAll(',', '')))
    if (at && window.isDraining) ages.push(Date.now() - at)
    requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}`

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN

async function paintsOf(page: Page, url: string): Promise<readonly number[]> {
  const paints: number[] = []
  for (let load = 0; load < LOADS; load++) {
    await page.goto(url)
    paints.push(await firstPaint(page))
  }
  return paints.sort((a, b) => a - b)
}

/** Claims at a fixed pace, by the plan and not by the answers; resolves with how many were granted. */
async function drain(url: string, { id }: Round, crowd: string, seconds: number): Promise<number> {
  const stream = await openStream(url, { credential: KEYS.platform })
  const size = Math.round((PACKS_A_SECOND * FRAME_MS) / 1000)
  const from = performance.now()
  const answers: Promise<Readonly<Record<string, unknown>>>[] = []
  for (let frame = 1; frame * FRAME_MS <= seconds * 1000; frame++) {
    const wait = from + frame * FRAME_MS - performance.now()
    if (wait > 0) await new Promise(done => setTimeout(done, wait))
    const user_ids = Array.from({ length: size }, (_, i) => `${crowd}${frame}-${i}`)
    answers.push(stream.ask({ op: 'claims', id: frame, round_id: id, user_ids }))
  }
  const outcomes = (await Promise.all(answers)).flatMap(answer => answer.outcomes as string[])
  await stream.close()
  return outcomes.filter(outcome => outcome === 'granted').length
}

async function stockAges(browser: Browser, url: string, seconds: number) {
  const { page } = await openPage(browser)
  await page.addInitScript(WATCH)
  const round = await makeRound(new Api(url, KEYS.operator), { stock: PACKS_A_SECOND * (seconds + 5) })
  await page.goto(`${url}/try/${round.id}`)
  await page.locator('#state', { hasText: 'Open' }).waitFor()
  // The first second fills caches; what is asked about is a drain that runs.
  await drain(url, round, 'early', 1)
  await page.evaluate('window.isDraining = true')
  const granted = await drain(url, round, 'u', seconds)
  await page.evaluate('window.isDraining = false')
  const ages = (await page.evaluate('ages')) as number[]
  return { granted, ages: ages.sort((a, b) => a - b) }
}

const seconds = Number(process.argv[2] ?? 20)
const node = await startNode({ FAIRGRAB_RATE_ADDRESS: '0' })
const browser = await startChromium()
const late: string[] = []
try {
  const { page } = await openPage(browser)
  for (const path of ['/', '/try/rnd_nothing']) {
    const paints = await paintsOf(page, node.url + path)
    const [median, worst] = [quantile(paints, 0.5), quantile(paints, 1)]
    console.log(
      `first paint of ${path.padEnd(16)} p50 ${median.toFixed(0)} ms, worst of ${LOADS} ${worst.toFixed(0)} ms`,
    )
    if (median >= PAINT_MS_MAX) late.push(`the first paint of ${path}`)
  }
  const sizes = readdirSync(FOLDER, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => gzipSync(readFileSync(`${parentPath}/${name}`)).length)
  console.log(`all files of both pages: ${(sizes.reduce((sum, size) => sum + size, 0) / 1000).toFixed(1)} kB gz`)
  const { granted, ages } = await stockAges(browser, node.url, seconds)
  const [p50, p99] = [quantile(ages, 0.5), quantile(ages, 0.99)]
  const pace = `${Math.round(granted / seconds).toLocaleString('en-US')} packs/s for ${seconds} s`
  console.log(
    `stock on screen at ${pace}: p50 ${p50} ms, p99 ${p99} ms, worst ${ages.at(-1)} ms old (${ages.length} frames)`,
  )
  if (!(p99 <= AGE_MS_MAX)) late.push('the stock on screen')
} finally {
  await browser.close()
  await node.stop()
}
if (late.length > 0) {
  console.log(`✗ too late: ${late.join(', ')}`)
  process.exitCode = 99
}
