/**
 * The levers and the form of a new release in a real browser, by keyboard and with a real engine: what is shown before a
 * lever is pulled, what it does, what is refused, and that the audit log has it.
 *
 * Without a key there is nothing to press. Every lever is asked dry first, so each test looks at the round in between:
 * nothing may have changed. The rules of the form are asked of its module as a table, one nonsense a row; that they stand
 * beside the right field is looked at on the page.
 */
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { Stalls } from '../support/stalls.ts'
import { useWorker } from '../support/use-worker.ts'
import { findBarriers, openPage, shows, startChromium, type WatchedPage } from './chromium.ts'

const worker = useWorker()
let browser: Browser
let watched: WatchedPage
let page: Page
let api: Api
let round: Round

const card = (): Locator => page.locator(`[data-round="${round.id}"]`)
const problems = () => watched.problems.splice(0)
const state = async () => (await api.get<Round>(`/v1/rounds/${round.id}`)).body
const cells = () => page.locator('#lever-rows tr').allTextContents()

beforeAll(async () => {
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(
    api,
    { stock: 100, pools: [{ name: 'assisted', stock: 10 }] },
    { name: 'Desk', budget: { max_amount: 210_000 } },
  )
  browser = await startChromium()
  watched = await openPage(browser)
  page = watched.page
  await page.goto(worker.url)
  await shows(page.locator('#connection'), 'Live')
  await card().waitFor()
})

afterAll(() => browser?.close())

test('without a key there is no lever, and the page says so', async () => {
  await shows(page.locator('#who'), 'Read only: give a key')
  expect(await page.locator('.levers button:visible, #release:visible').count()).toBe(0)
  await page.getByLabel('Key', { exact: true }).fill(KEYS.operator)
  await page.keyboard.press('Enter')
  await shows(page.locator('#who'), 'With a key')
  expect(await card().locator('.levers button').allTextContents()).toEqual([
    'Pause',
    'Add stock',
    'Take back',
    'Close for good',
  ])
})

test('pause: two presses of Enter, what it changes is shown before, how long it took after', async () => {
  await page.getByRole('button', { name: 'Pause: Desk' }).focus()
  await page.keyboard.press('Enter')
  await page.locator('#lever-do').waitFor()
  expect(await cells()).toEqual(['StateOpenPaused', 'Stock100100', 'Left100100'])
  expect(await page.evaluate('document.activeElement.id')).toBe('lever-do')
  expect((await state()).state).toBe('open')
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    expect(await findBarriers(page, colorScheme === 'light' ? 'all' : 'colours', '#lever'), colorScheme).toEqual([])
  }
  using stalls = new Stalls()
  const from = performance.now()
  await page.keyboard.press('Enter')
  await shows(
    page.locator('#lever-answer'),
    /^Done: the engine answered after \d+ ms\. The stream showed it here after \d+ ms\.$/,
  )
  const lost = stalls.between(from)
  const times = [...((await page.locator('#lever-answer').textContent()) ?? '').matchAll(/(\d+) ms/g)].map(([, ms]) =>
    Number(ms),
  )
  expect(Math.max(...times) - lost).toBeLessThan(1000)
  expect((await state()).state).toBe('paused')
  await page.keyboard.press('Escape')
  await shows(card().locator('.state'), 'Paused')
  expect(problems()).toEqual([])
})

test('stock: the effect follows what is typed, the budget and the refusal too', async () => {
  await page.getByRole('button', { name: 'Add stock: Desk' }).click()
  await page.locator('#lever-amount').fill('5')
  await shows(page.locator('#lever-rows'), '105')
  expect(await cells()).toContain('Budget committed2,000 CNY2,100 CNY')
  await page.locator('#lever-amount').fill('6')
  await shows(page.locator('#lever-answer'), /^It would be refused\. .*\(budget_exceeded\)\.$/)
  expect(await page.locator('#lever-do').isVisible()).toBe(false)
  await page.keyboard.press('Enter')
  expect((await state()).stock.total).toBe(100)
  await page.locator('#lever-amount').fill('5')
  await page.locator('#lever-pool').selectOption('assisted')
  await shows(page.locator('#lever-rows'), '105')
  await page.getByRole('button', { name: 'Add stock', exact: true }).click()
  await shows(page.locator('#lever-answer'), /^Done/)
  await page.keyboard.press('Escape')
  expect((await state()).pools.map(({ total }) => total)).toEqual([90, 15])
  await page.getByRole('button', { name: 'Take back: Desk' }).click()
  await page.locator('#lever-amount').fill('91')
  await shows(page.locator('#lever-answer'), /^It would be refused\. .*\(below_granted\)\.$/)
  await page.keyboard.press('Escape')
  for (const problem of problems()) expect(problem).toMatch(/status of 4(09|22)/)
})

test('the audit log has what was done and nothing of what was only looked at', async () => {
  const { body } = await api.get<{ data: { action: string; outcome: string }[] }>('/v1/audit')
  expect(body.data.map(({ action, outcome }) => `${action.split('/').at(-1)} ${outcome}`).slice(4)).toEqual([
    'pause asked',
    'pause 200',
    'stock asked',
    'stock 200',
  ])
})

const VALUES = {
  ...{
    name: 'Spring',
    currency: 'CNY',
    off: '10.00',
    minimum: '40',
    quantity: '2',
    days: '7',
    per_user: '1',
    budget: '',
  },
  ...{
    stock: '1000',
    opens: '',
    closes: '',
    pool: '',
    pool_stock: '',
    mode: 'fcfs',
    window: '3',
    draws: '',
    waitlist: '0',
  },
}
const NOW = Date.parse('2026-12-01T10:00:00')

describe('the form of a new release', () => {
  test.each([
    ['a coupon above its order', { off: '50' }, 'minimum'],
    ['a coupon of nothing', { off: '0' }, 'off'],
    ['a price that is no number', { off: 'ten' }, 'off'],
    ['thirds of a cent', { off: '1.005' }, 'off'],
    ['a budget below the cost', { budget: '19999.99' }, 'budget'],
    ['a currency that is none', { currency: 'yuan' }, 'currency'],
    ['no name', { name: ' ' }, 'name'],
    ['no packs', { stock: '0' }, 'stock'],
    ['half a pack', { stock: '1.5' }, 'stock'],
    ['more packs than a round may have', { stock: '100000001' }, 'stock'],
    ['more for one user than there are', { stock: '3', per_user: '4' }, 'per_user'],
    ['a round that is over already', { closes: '2026-12-01T09:59:59' }, 'closes'],
    ['an end before the beginning', { opens: '2026-12-02T10:00:00', closes: '2026-12-02T09:00:00' }, 'closes'],
    ['a pool above the stock', { pool: 'assisted', pool_stock: '1001' }, 'pool_stock'],
    ['a pool without a size', { pool: 'assisted' }, 'pool_stock'],
    ['a pool named general', { pool: 'general', pool_stock: '1' }, 'pool'],
    ['two entries of one person', { mode: 'window', per_user: '2' }, 'per_user'],
    ['a window that only programs can hit', { mode: 'window', window: '0.5' }, 'window'],
    ['a lottery without an hour', { mode: 'lottery' }, 'draws'],
    ['a lottery that was drawn', { mode: 'lottery', draws: '2026-12-01T09:00:00' }, 'draws'],
    ['entries behind the draw', { mode: 'lottery', draws: '2026-12-02T10:00', closes: '2026-12-02T11:00' }, 'closes'],
    ['half a place', { mode: 'lottery', draws: '2026-12-02T10:00', waitlist: '0.5' }, 'waitlist'],
    ['a pool that is called waitlist', { mode: 'window', pool: 'waitlist', pool_stock: '5' }, 'pool'],
  ])('refuses %s', async (_, wrong, field) => {
    const asked = JSON.stringify({ ...VALUES, ...wrong })
    const { faults } = (await page.evaluate(
      `import('/desk/release-rules.js').then(({ release }) => release(${asked}, ${NOW}))`,
    )) as {
      faults: [string, string][]
    }
    expect(faults.map(([name]) => name)).toEqual([field])
  })

  test('makes what it showed, and says beside a field what is wrong there', async () => {
    await page.locator('#release-section summary').click()
    const type = async (values: Readonly<Record<string, string>>) => {
      for (const [name, value] of Object.entries(values)) await page.locator(`#release-${name}`).fill(value)
    }
    await type({ name: 'Spring', off: '50', minimum: '40', stock: '1000', quantity: '2' })
    await shows(page.locator('#fault-minimum'), 'The coupon is worth more than the order that it needs.')
    expect(await page.locator('#release-minimum').getAttribute('aria-invalid')).toBe('true')
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.id')).toBe('release-minimum')
    await type({ off: '10' })
    await shows(page.locator('#release-do'), 'Show what will be made')
    await page.keyboard.press('Enter')
    await shows(page.locator('#release-effect'), '1,000 packs of 2 × 10 CNY off an order of 40 CNY or more.')
    await shows(page.locator('#release-effect'), 'If every coupon is used it costs 20,000 CNY.')
    expect(await findBarriers(page, 'all', '#release-section')).toEqual([])
    expect((await api.get<{ data: unknown[] }>('/v1/campaigns')).body.data).toHaveLength(1)
    await page.getByRole('button', { name: 'Make it' }).click()
    await shows(page.locator('#release-answer'), /^Made: Spring, round rnd_\w+\.$/)
    const [made] = (await api.get<{ data: Round[] }>('/v1/rounds')).body.data
    expect(made).toMatchObject({ state: 'scheduled', stock: { total: 1000 } })
    await shows(page.locator(`[data-round="${made?.id}"] h3`), 'Spring')
    await page.setViewportSize({ width: 360, height: 780 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    expect(problems()).toEqual([])
  })
})
