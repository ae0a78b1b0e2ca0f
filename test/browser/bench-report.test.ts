/**
 * The report of a benchmark in a real browser: a small release is really run, and its report.html is opened from disk.
 *
 * What is on the page has to be what summary.json says, the verdict has to come before the first figure, each chart has
 * to have lines that are really drawn, and nothing may be loaded: the report is one file, readable without a network.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Summary } from '../../bench/measure/result.ts'
import { openPage, startChromium, type WatchedPage } from './chromium.ts'
import { expectGoodLooks } from './looks.ts'

const RUN = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))
const BYTES_MAX = 300_000

let folder: string
let browser: Browser
let watched: WatchedPage
let summary: Summary

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-report-'))
  await promisify(execFile)(process.execPath, [RUN, '--scale', '0.002', '--transport', 'stream', '--out', folder])
  summary = JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as Summary
  browser = await startChromium()
  watched = await openPage(browser)
  await watched.page.goto(pathToFileURL(join(folder, 'report.html')).href)
}, 240_000)

afterAll(async () => {
  await browser?.close()
  await rm(folder, { recursive: true, force: true })
})

test('the verdict comes first, with every line of the audit', async () => {
  const { page } = watched
  expect(await page.locator('.verdict').allTextContents()).toEqual(['✓ every part is sound', '✓ sound'])
  const text = (await page.locator('main').textContent()) ?? ''
  const [part] = summary.parts
  for (const line of part?.audit?.lines ?? []) expect(text).toContain(line.trim())
  const first = part?.figures[0]?.name as string
  expect(text.indexOf('✓ sound')).toBeLessThan(text.indexOf(first))
  for (const { name } of part?.figures ?? []) expect(text).toContain(name)
})

test('the charts have lines that are drawn', async () => {
  const { page } = watched
  expect(await page.locator('figcaption').allTextContents()).toEqual(
    ['Drain', 'Rates', 'Claims in flight', 'Latency'].map(title => expect.stringContaining(title)),
  )
  const drawn: unknown = await page.evaluate(
    `[...document.querySelectorAll('figure')].map(figure =>
      [...figure.querySelectorAll('.line')].map(line => line.getTotalLength() > 0 && getComputedStyle(line).stroke !== 'none'))`,
  )
  expect(drawn).toEqual([[true], [true, true, true], [true], [true]])
})

test('it is one small file that loads nothing, in light, in dark and at 360 px', async () => {
  const { page, problems, requests } = watched
  expect((await stat(join(folder, 'report.html'))).size).toBeLessThan(BYTES_MAX)
  await expectGoodLooks(page)
  expect([problems, requests.length]).toEqual([[], 1])
})
