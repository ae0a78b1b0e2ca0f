/**
 * The browser for a test: the machine's own Chromium, a page that remembers what went wrong in it, and axe.
 *
 * A machine without Chromium is an error that says what to type; a test that skipped itself would be green where
 * nothing was looked at. `problems` holds every console error, every exception and every failed request until it is
 * taken, so a test names the few that it provokes and everything else is a failure. `requests` holds all addresses,
 * since a key must never be part of one.
 *
 * Scripts for the page are texts: the types of this project know no DOM, and a policy of the page forbids eval, which
 * Playwright's own waiting functions use. Rejected: a browser that a package downloads. It is 150 MB of another origin.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import axe from 'axe-core'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'

const NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
/** A first start from a cold disk, or a page on a machine that is busy elsewhere; what never comes is told later. */
const PATIENCE_MS = 60_000
const QUIET = ['gpu', 'quic', 'background-networking', 'component-update', 'sync'].map(what => `--disable-${what}`)

/** Where the browser is; throws with what to type. `path` is the list of folders to look in. */
export function findChromium(path = process.env.PATH ?? ''): string {
  const places = NAMES.flatMap(name =>
    isAbsolute(name) ? [name] : path.split(delimiter).map(folder => join(folder, name)),
  )
  const found = places.find(place => {
    try {
      accessSync(place, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
  if (found === undefined)
    throw new Error('the browser tests need Chromium on PATH. Type: node deploy/set-up.mjs --test')
  return found
}

export const startChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath: findChromium(),
    args: ['--no-sandbox', '--no-first-run', ...QUIET],
    timeout: PATIENCE_MS,
  })

export interface WatchedPage {
  readonly page: Page
  readonly problems: string[]
  readonly requests: string[]
}

export async function openPage(browser: Browser): Promise<WatchedPage> {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 900 } })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const problems: string[] = []
  const requests: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text())
  })
  page.on('pageerror', error => problems.push(`uncaught: ${error.message}`))
  page.on('request', request => requests.push(request.url()))
  page.on('websocket', socket => requests.push(socket.url()))
  return { page, problems, requests }
}

/**
 * Waits until something with this text is to be seen, and says what was there if it never came. A plain text has to be
 * the whole text of an element: a part would do too early, as "Sold out" is already said by "Forecast: sold out".
 */
export async function shows(where: Locator, text: string | RegExp): Promise<void> {
  try {
    await where.getByText(text, { exact: true }).first().waitFor()
  } catch (cause) {
    const there = (await where.allTextContents()).map(words => words.replaceAll(/\s+/g, ' ').trim())
    throw new Error(`"${text}" is not shown. There is: ${JSON.stringify(there)}`, { cause })
  }
}

/** What axe finds on the page as it stands, or in a part of it, one line a finding; by all rules, or by those that a colour can break. */
export async function findBarriers(
  page: Page,
  rules: 'all' | 'colours' = 'all',
  part = 'html',
): Promise<readonly string[]> {
  await page.locator(part).first().waitFor()
  if (await page.evaluate('typeof axe === "undefined"')) await page.evaluate(`${axe.source}; undefined`)
  const chosen = rules === 'all' ? '{}' : `{ runOnly: ['color-contrast', 'link-in-text-block'] }`
  const found: unknown = await page.evaluate(
    `axe.run(${part === 'html' ? 'document' : JSON.stringify(part)}, ${chosen}).then(({ violations }) => violations.flatMap(({ id, impact, nodes }) =>
      nodes.map(({ target, failureSummary }) => [impact, id, 'at', target, failureSummary].join(' '))))`,
  )
  return found as readonly string[]
}

/** Milliseconds from the start of the navigation until something of the page was to be seen. */
export async function firstPaint(page: Page): Promise<number> {
  const at: unknown = await page.evaluate(
    `new Promise(done => new PerformanceObserver(list => {
      const paint = list.getEntriesByName('first-contentful-paint')[0]
      if (paint) done(paint.startTime)
    }).observe({ type: 'paint', buffered: true }))`,
  )
  return at as number
}
