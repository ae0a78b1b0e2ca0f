/**
 * The desk beyond the rounds' own levers, in a real browser: rates, held merchants, a case looked up with its history, a voucher
 * taken out of use, and the states of a draw.
 *
 * Each lever is seen dry first, and then compared with what the API tells. A draw is brought to a stop between its phases by its
 * public beacon, which only an operator can reveal, so every state of it stands still while it is looked at. Nothing is
 * waited for but what has to be there at last.
 */
import { Redis } from 'ioredis'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { roundState } from '../../engine/store/connection/keys.ts'
import { Api, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { HOSTILE, hostileIn } from '../support/hostile-texts.ts'
import { openPage, shows, startChromium, type WatchedPage } from './chromium.ts'
import { expectGoodLooks } from './looks.ts'

let node: TestNode
let browser: Browser
let watched: WatchedPage
let page: Page
let api: Api
let served: Round

const problems = () => watched.problems.splice(0)
const cells = () => page.locator('#lever-rows tr').allTextContents()
const cardOf = ({ id }: { readonly id: string }): Locator => page.locator(`[data-round="${id}"]`)
const answer = () => page.locator('#lever-answer')
const HELD = /^Done: the engine answered after \d+ ms\. It holds on every node\.$/

async function confirm(button: string): Promise<void> {
  await page.locator('#lever-do').waitFor()
  await page.locator('#lever').getByRole('button', { name: button, exact: true }).click()
  await shows(answer(), HELD)
  await page.keyboard.press('Escape')
}

beforeAll(async () => {
  node = await startNode()
  api = new Api(node.url, KEYS.operator)
  served = await makeRound(api, { stock: 100 }, { name: 'Served' })
  browser = await startChromium()
  watched = await openPage(browser)
  page = watched.page
  await page.goto(node.url)
  await shows(page.locator('#connection'), 'Live')
  await page.getByLabel('Key', { exact: true }).fill(KEYS.operator)
  await page.keyboard.press('Enter')
  await shows(page.locator('#rates'), 'One user: 20 / s')
})

afterAll(async () => {
  await browser?.close()
  await node?.stop()
})

test('the figures fill their rows at every width, and the nodes are counted', async () => {
  await shows(page.locator('#nodes'), '1')
  for (const width of [360, 800, 1200, 1280, 1600, 3840]) {
    await page.setViewportSize({ width, height: 900 })
    const rows = (await page.evaluate(
      `Object.values(Object.groupBy([...document.querySelectorAll('.figures > div')], box => box.offsetTop)).map(row => row.length)`,
    )) as number[]
    expect([width, new Set(rows).size, rows.reduce((sum, count) => sum + count, 0)]).toEqual([width, 1, 10])
  }
  await page.setViewportSize({ width: 1280, height: 900 })
})

test('a round that lost its state is a line that says so, beside the cards of the others, until it is back', async () => {
  const [lost, later] = [await makeRound(api), await makeRound(api)]
  const redis = new Redis(`${node.dataDir}/redis.sock`)
  await redis.rename(roundState(lost.id), 'kept')
  await page.reload()
  await shows(page.locator('#connection'), 'Live')
  await page.locator('#damaged').getByText(`${lost.id}: fenced.`).waitFor()
  await cardOf(later).waitFor()
  expect(await cardOf(lost).count()).toBe(0)
  await redis.rename('kept', roundState(lost.id))
  await cardOf(lost).waitFor()
  expect(await page.locator('#damaged').isHidden()).toBe(true)
  redis.disconnect()
  await page.getByLabel('Key', { exact: true }).fill(KEYS.operator)
  await page.keyboard.press('Enter')
  await shows(page.locator('#rates'), 'One user: 20 / s')
})

test('rates: what is typed is shown dry, nonsense is refused, and it holds when it is done', async () => {
  await page.getByRole('button', { name: 'Change the rates' }).click()
  await page.locator('#lever-rate-user').fill('five')
  await shows(answer(), 'A rate is a whole number of requests a second; 0 is no limit.')
  await page.locator('#lever-rate-user').fill('5')
  await shows(page.locator('#lever-rows'), '5 / s')
  expect(await cells()).toEqual([
    'One user20 / s5 / s',
    'One address without a key200 / s200 / s',
    'One API keyno limitno limit',
  ])
  await expectGoodLooks(page, '#lever')
  await confirm('Set them')
  await shows(page.locator('#rates'), 'One user: 5 / s')
  expect((await api.get<{ rates: Fields }>('/v1/rates')).body.rates).toEqual({ user: 5, address: 200, key: 0 })
  await page.getByRole('button', { name: 'Change the rates' }).click()
  expect(await page.locator('#lever-rate-user').inputValue()).toBe('5')
  await page.locator('#lever-rate-user').fill('')
  await confirm('Set them')
  await shows(page.locator('#rates'), 'One user: 20 / s')
  expect(problems()).toEqual([])
})

test('a merchant is held with a reason and released', async () => {
  await page.getByLabel('Merchant', { exact: true }).fill('m1')
  await page.keyboard.press('Enter')
  await shows(answer(), 'Say why: it is kept in the audit log.')
  await page.keyboard.type('fake orders')
  await shows(page.locator('#lever-rows'), 'Held: fake orders')
  await confirm('Hold')
  await page.locator('#held li', { hasText: 'fake orders' }).waitFor()
  expect((await api.get<{ data: Fields[] }>('/v1/holds')).body.data).toMatchObject([
    { merchant_id: 'm1', reason: 'fake orders' },
  ])
  await page.getByRole('button', { name: 'Release: m1' }).click()
  await shows(page.locator('#lever-rows'), 'May redeem')
  await confirm('Release')
  await shows(page.locator('#none-held'), 'None is held.')
  const { data } = (await api.get<{ data: Fields[] }>('/v1/audit?limit=1000')).body
  const told = data.map(({ target, outcome }) => `${target} ${outcome}`)
  expect(told).toContain('/v1/merchants/m1/hold 200')
  expect(told).toContain('/v1/merchants/m1/release 200')
  expect(problems()).toEqual([])
})

test('a case: by the user and by his code, with what became of each voucher; one is taken out of use', async () => {
  const { vouchers } = (await api.post<Granted>(`/v1/rounds/${served.id}/claims`, { user_id: 'ada' })).body
  const [used, kept] = vouchers.map(({ code }) => code) as [string, string]
  const order = { id: 'o1', amount: 5000, currency: 'CNY' }
  await api.post('/v1/redemptions', { code: used, order, merchant_id: 'm9' }, { 'idempotency-key': 'k1' })
  for (const asked of ['ada', kept.toLowerCase()]) {
    await page.locator('#lookup-what').fill(asked)
    await page.getByRole('button', { name: 'Look it up' }).click()
    await shows(page.locator('#lookup-answer'), 'ada: 1 claim.')
    await page.locator('.case ol').nth(1).waitFor()
    expect(await page.locator('.case code').allTextContents()).toEqual([used, kept])
    const steps = await page.locator('.case ol').first().locator('li').allTextContents()
    expect(steps).toEqual([
      expect.stringMatching(/, granted$/),
      expect.stringMatching(/, redeemed, at m9, by operator:/),
    ])
  }
  await expectGoodLooks(page)
  expect(await page.getByRole('button', { name: `Deactivate: ${used}` }).count()).toBe(0)
  await page.getByRole('button', { name: `Deactivate: ${kept}` }).click()
  await page.locator('#lever-why').fill('lost phone')
  await shows(page.locator('#lever-rows'), 'deactivated')
  await confirm('Deactivate')
  await page.locator('.case ol li', { hasText: '“lost phone”' }).waitFor()
  expect((await api.get(`/v1/vouchers/${kept}`)).body.state).toBe('deactivated')
  await page.locator('#lookup-what').fill('nobody')
  await page.keyboard.press('Enter')
  await shows(page.locator('#lookup-answer'), 'nobody holds nothing and entered nothing.')
  expect(problems()).toEqual([])
})

test('what strangers wrote is a text on the desk and on /try: no node of theirs, nothing that turns or hides its neighbours', async () => {
  const names = HOSTILE.join(' ')
  const pack = [{ ...PACK[0], template: `${HOSTILE[4]}${HOSTILE[3]}`, quantity: 1 }]
  const round = await makeRound(api, { stock: 5 }, { name: names, pack })
  const { vouchers } = (await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'eve' })).body
  await api.post(`/v1/vouchers/${vouchers[0]?.code}/deactivate`, { reason: names.slice(0, 200) })
  await page.locator('#lookup-what').fill('eve')
  await page.getByRole('button', { name: 'Look it up' }).click()
  await page.locator('.case ol li', { hasText: 'deactivated' }).waitFor()
  await cardOf(round).waitFor()
  const other = await openPage(browser)
  await other.page.goto(`${node.url}/try/${round.id}`)
  await other.page.getByLabel('Key or user token').fill(KEYS.operator)
  await other.page.locator('#user').fill('eve')
  await other.page.locator('#button').click()
  await other.page.locator('#answer', { hasText: '\\u202edeepaid' }).waitFor()
  for (const shown of [page, other.page]) {
    expect(hostileIn((await shown.locator('body').allInnerTexts()).join(''))).toEqual([])
    expect(await shown.locator('img').count()).toBe(0)
  }
  await page.locator('.case', { hasText: '\\u009b31mred' }).waitFor()
  expect([...problems(), ...other.problems]).toEqual([])
  await other.page.close()
})

describe('a draw on the desk', () => {
  const facts = (round: Round) => cardOf(round).locator('.draw-facts')

  test('entering, waiting for its beacon, drawn: the count comes when the list is final and not before', async () => {
    const allocation = { mode: 'lottery', draws_at: new Date(Date.now() + 3_600_000).toISOString(), waitlist: 2 }
    const round = await makeRound(api, { stock: 2, allocation }, { name: 'Raffle' })
    await shows(cardOf(round).locator('.state'), 'Entering')
    await shows(facts(round), 'The lottery: how many entered stays unknown until its list is final.')
    const claims = ['a', 'b', 'c', 'd', 'e'].map(user_id => ({ user_id }))
    await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims })
    expect(await cardOf(round).locator('.remaining').textContent()).toBe('2 to be drawn of 2')
    expect(await cardOf(round).locator('.levers button').allTextContents()).toEqual(['Pause', 'Close for good'])
    expect(await facts(round).textContent()).not.toMatch(/\d/)
    problems()
  })

  test('drawn: entrants, winners, waitlist and how far the beacon can be trusted', async () => {
    const allocation = { mode: 'lottery', draws_at: new Date(Date.now() + 2500).toISOString(), waitlist: 2 }
    const round = await makeRound(api, { stock: 2, allocation }, { name: 'Drawn' })
    const claims = ['a', 'b', 'c', 'd', 'e'].map(user_id => ({ user_id }))
    await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims })
    await shows(cardOf(round).locator('.state'), 'Drawn')
    await shows(facts(round), 'The lottery: 5 entered, 2 won, 2 on the waitlist; operator’s commitment (T2).')
    expect(await cardOf(round).locator('.remaining').textContent()).toBe('2 won of 2')
    await page.locator('#lookup-what').fill('a')
    await page.getByRole('button', { name: 'Look it up' }).click()
    await shows(page.locator('#lookup-answer'), 'a: 2 claims.')
    await page.locator('.case > li').nth(1).waitFor()
    const how = await page.locator('.case > li > p').allTextContents()
    expect(how[0]).toMatch(/^(number \d, slot 1|entered and was not drawn)/)
    expect(how[1]).toMatch(/^entered .*, window 0$/)
    await expectGoodLooks(page, `[data-round="${round.id}"], #lookup-section`)
    problems()
  })

  test('a list that is final and waits for a public beacon is told as that', async () => {
    const allocation = { mode: 'window', window_ms: 60_000, beacon: { kind: 'drand' } }
    const round = await makeRound(api, { stock: 1, allocation }, { name: 'Waits' })
    await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'a' })
    await cardOf(round).waitFor()
    await api.post(`/v1/rounds/${round.id}/close`)
    await shows(cardOf(round).locator('.state'), 'Drawing')
    await shows(facts(round), 'Window 1: 1 entered, the list is final and waits for its beacon; public beacon (T3).')
    await expectGoodLooks(page, `[data-round="${round.id}"]`)
    problems()
  })
})

test('the form makes a lottery, and shows only what belongs to its mode', async () => {
  await page.locator('#release-section summary').click()
  expect(await page.locator('#release-window:visible, #release-draws:visible').count()).toBe(0)
  await page.locator('#release-mode').selectOption('lottery')
  expect(await page.locator('#release-window:visible').count()).toBe(0)
  for (const [name, value] of Object.entries({ name: 'Autumn', off: '10', minimum: '40', stock: '50', waitlist: '5' }))
    await page.locator(`#release-${name}`).fill(value)
  await page.locator('#release-do').click()
  await shows(page.locator('#fault-draws'), 'When it is drawn: a date and a time.')
  await page.locator('#release-draws').fill('2099-01-01T20:00:00')
  await page.locator('#release-do').click()
  await shows(
    page.locator('#release-effect'),
    /^A user gets 1 at most; it is drawn .* 2099 .*, with 5 on the waitlist\.$/,
  )
  await expectGoodLooks(page, '#release-section')
  await page.getByRole('button', { name: 'Make it' }).click()
  await shows(page.locator('#release-answer'), /^Made: Autumn, round rnd_\w+\.$/)
  const [made] = (await api.get<{ data: Round[] }>('/v1/rounds')).body.data
  expect(made?.allocation).toMatchObject({ mode: 'lottery', waitlist: 5 })
  expect(await page.locator('#release-draws').isVisible()).toBe(false)
  problems()
})
