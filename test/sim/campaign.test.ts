/**
 * A campaign from its first grant to its last settlement, on a node that is killed ten times on the way.
 *
 * Seven days of redemptions, locks, refunds and deactivations are played in minutes: the campaign's clock is moved ahead
 * in Redis, day by day, as a rehearsal does; everything else is the real node over HTTP. Every kill takes supervisor,
 * worker and redis-server at once by SIGKILL, in the middle of whatever runs. At the end what tills were told, the
 * ledger, the raw records and the settlement files have to tell one story, and the report is opened in a browser.
 *
 * The smoke form has a few hundred packs; TEST_EFFORT=long plays 100,000.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { auditRedemptions, readEntries } from '../../bench/audit/redemption-audit.ts'
import { Operator } from '../../bench/stage/operator.ts'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import type { Report } from '../../engine/campaign/money/report.ts'
import type { Settlement } from '../../engine/campaign/money/settlement.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { findBarriers, openPage, startChromium } from '../browser/chromium.ts'
import { Api, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { effort } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { expectSoundLedger, heldBy } from '../support/ledger-audit.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { below, random, seed } from '../support/seed.ts'
import { LATE_DAY, planOf } from './campaign-plan.ts'
import { Tills } from './tills.ts'

const PACKS = effort(300, 100_000)
const KILLS = 10
const DAY_MS = 86_400_000
const CLAIMS_A_REQUEST = 1000
const PACK = [
  {
    template: '40-10',
    quantity: 4,
    discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
    valid_for_s: 604_800,
    max_per_order: 1,
    max_per_merchant_per_day: 2,
  },
  {
    template: 'fifth',
    quantity: 1,
    discount: { type: 'percent_off', percent_off: 20, minimum_amount: 0, maximum_discount_amount: 1500 },
    valid_for_s: 604_800,
  },
] as const
const VOUCHERS = 5

let node: NodeProcess
let api: Api
let round: Round
let link: Link
let tills: Tills
let folder: string
let serving = Promise.resolve()
const codes: string[] = []
const files = new Map<string, { readonly settlement: Settlement; readonly csv: string }>()

const connect = () =>
  new Link({ url: `unix://${node.dataDir}/redis.sock`, scripts: {}, clock: realClock, random: realRandom })

beforeAll(async () => {
  node = await startNodeProcess()
  api = new Api(node.url, KEYS.operator)
  folder = await mkdtemp(join(tmpdir(), 'fg-report-'))
  const budget = { max_amount: PACKS * 5500, max_amount_per_day: PACKS * 5000 }
  round = await makeRound(
    api,
    { stock: PACKS },
    { name: 'Spring <2026> & "more"', pack: PACK, budget, timezone: 'Asia/Shanghai' },
  )
  link = connect()
  tills = new Tills({
    api,
    codeOf: (person, place) => codes[person * VOUCHERS + place] as string,
    serves: () => serving,
    answered: () => {
      if (killsAt.has(++answers)) kill()
    },
  })
})
afterAll(async () => {
  await link.close()
  await node.stop()
  await rm(folder, { recursive: true, force: true })
})

let answers = 0
let kills = 0
const killsAt = new Set<number>()

/** Ends every process of the node at once and starts it again; those who ask meanwhile wait for it. */
function kill(): void {
  kills++
  serving = serving.then(async () => {
    await node.killAll()
    node.launch()
    await node.serves()
  })
}

async function expectOk<Body = Fields>(path: string, body?: Fields): Promise<Body> {
  const reply = body === undefined ? await api.get<Body>(path) : await api.post<Body>(path, body)
  expect(reply.status, `${path}: ${JSON.stringify(reply.body)}`).toBe(200)
  return reply.body
}

const campaignPath = () => `/v1/campaigns/${round.campaign_id}`
const dateOf = (day: number) => new Date(started + day * DAY_MS + 8 * 3_600_000).toISOString().slice(0, 10)
const csvOf = async (date: string) =>
  (await api.get<string>(`${campaignPath()}/settlements/${date}`, { accept: 'text/csv' })).bytes.toString()
const moveClock = (aheadMs: number) =>
  link.request(client => client.hset(keys.campaignState(round.campaign_id), 'ahead', Math.round(aheadMs)), 20_000)

/** Settles a day and keeps its file. */
async function settle(day: number): Promise<void> {
  const date = dateOf(day)
  const settlement = await expectOk<Settlement>(`${campaignPath()}/settlements`, { business_date: date })
  files.set(date, { settlement, csv: await csvOf(date) })
}

let started = 0

test(`the packs are granted (seed ${seed})`, { timeout: 600_000 }, async () => {
  for (let first = 0; first < PACKS; first += CLAIMS_A_REQUEST) {
    const count = Math.min(CLAIMS_A_REQUEST, PACKS - first)
    const claims = Array.from({ length: count }, (_, i) => ({ user_id: `u${first + i}` }))
    const path = `/v1/rounds/${round.id}/claims/batch?vouchers=true`
    const { results } = await expectOk<{ results: Granted[] }>(path, { claims })
    for (const { vouchers } of results) codes.push(...vouchers.map(({ code }) => code))
  }
  expect(new Set(codes).size).toBe(PACKS * VOUCHERS)
})

test('seven days are played while the node is killed ten times', { timeout: 3_600_000 }, async () => {
  const plan = planOf(seed, PACKS, VOUCHERS)
  const events = plan.flat(2).length
  const next = random(7)
  while (killsAt.size < KILLS) killsAt.add(1 + below(next, Math.floor(events * 0.9)))
  started = Date.now()
  for (const [day, lists] of plan.entries()) {
    await serving
    await moveClock(day * DAY_MS - (day === LATE_DAY ? 0 : 2 * 3_600_000 * Math.min(day, 1)))
    await tills.play(lists)
    await serving
    if (day === 3) {
      const held = await expectOk(`${campaignPath()}/holds`, { merchant_id: 'm3', reason: 'under review' })
      expect(held.redemptions).toBeGreaterThan(0)
      await settle(1)
    }
    if (day === 3) await expectOneStory()
  }
  expect(kills).toBe(KILLS)
  console.log(`answers: ${JSON.stringify(Object.fromEntries([...tills.codes].sort()))}; asked ${tills.asked} times`)
  for (const act of ['lock done', 'unlock done', 'redeem done', 'reverse done', 'deactivate done'])
    expect(tills.codes.get(act), act).toBeGreaterThan(0)
})

/** What the tills were told, the ledger over the API, the raw ledger and the raw records are one story. */
async function expectOneStory(): Promise<Report> {
  const report = await expectOk<Report>(`${campaignPath()}/report`)
  const operator = new Operator(node.url, KEYS.operator)
  const entries = await readEntries(operator.ledgerEntries(round.campaign_id))
  const balances = await operator.balances(round.campaign_id)
  const held = new Set(entries.filter(({ kind }) => kind === 'hold').map(({ ref }) => ref))
  expect(held.size).toBeGreaterThan(0)
  const results = auditRedemptions({ redemptions: tills.redemptions, reversals: tills.reversals, entries, balances })
  expect(results.filter(({ ok }) => !ok)).toEqual([])
  const { records, balances: raw } = await expectSoundLedger(link, round.campaign_id)
  const states = Object.groupBy(Object.values(records), record => record.split(' ')[0] as string)
  const touched = (state: string) => states[state]?.length ?? 0
  expect(report.vouchers).toMatchObject({
    issued: PACKS * VOUCHERS,
    redeemed: touched('redeemed'),
    deactivated: touched('deactivated'),
  })
  const { redeemed, active, expired, deactivated, issued } = report.vouchers
  expect(redeemed + active + expired + deactivated).toBe(issued)
  const untouched = issued - Object.keys(records).length
  expect(active + expired).toBe(untouched + touched('active') + touched('locked') + touched('expired'))
  if (active === 0)
    expect([raw.allocated, raw.reserved, heldBy(records)]).toEqual([0n, 0n, { allocated: 0n, reserved: 0n }])
  return report
}

test('at the end the sponsor has what was not used, and the files say what the ledger says', {
  timeout: 600_000,
}, async () => {
  await moveClock((LATE_DAY + 3) * DAY_MS)
  for (let day = 0; day <= LATE_DAY + 1; day++) await settle(day)
  const report = await expectOneStory()
  expect(report.vouchers.active).toBe(0)
  expect(report.vouchers.expired).toBeGreaterThan(0)
  const { balances } = await expectOk<{ balances: Record<string, number> }>(`${campaignPath()}/ledger`)
  const accounts = (name: string) =>
    Object.entries(balances).flatMap(([account, amount]) => (account.startsWith(name) ? [amount] : []))
  const sum = (amounts: readonly number[]) => amounts.reduce((total, amount) => total + amount, 0)
  expect(accounts('payable:').every(amount => amount === 0)).toBe(true)
  const totals = [...files.values()].map(({ settlement }) => settlement.control_total)
  expect(sum(totals)).toBe(sum(accounts('settled:')))
  expect(sum(totals)).toBe(report.subsidy)
  expect(-(balances.sponsor_funds ?? 0)).toBe((balances.available ?? 0) + (balances.returned ?? 0) + sum(totals))
  for (const [date, { settlement, csv }] of files) {
    expect(await expectOk(`${campaignPath()}/settlements`, { business_date: date })).toEqual(settlement)
    expect(await csvOf(date)).toBe(csv)
    const amounts = csv
      .split('\r\n')
      .slice(1, -1)
      .map(line => Number(line.split(',')[5]))
    expect([amounts.length, sum(amounts)]).toEqual([settlement.rows, settlement.control_total])
  }
})

test('its report is a page that reads well, made by the command line', { timeout: 240_000 }, async () => {
  const [html, csv] = [join(folder, 'report.html'), join(folder, 'report.csv')]
  const cli = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))
  const args = [
    cli,
    'report',
    round.campaign_id,
    '--html',
    html,
    '--csv',
    csv,
    '--json',
    '--url',
    node.url,
    '--key',
    KEYS.operator,
  ]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1e8 })
  const report = JSON.parse(stdout) as Report
  const browser = await startChromium()
  try {
    const { page, problems, requests } = await openPage(browser)
    await page.goto(pathToFileURL(html).href)
    expect(await page.locator('h1').textContent()).toBe('Spring <2026> & "more"')
    const cells = await page.locator('table').first().locator('tbody td').allTextContents()
    const { issued, active, redeemed, expired, deactivated } = report.vouchers
    expect(cells.slice(0, 5)).toEqual(
      [issued, active, redeemed, expired, deactivated].map(value => value.toLocaleString('en-US')),
    )
    expect(await page.locator('svg rect').count()).toBe(report.by_day.length)
    expect(await page.getByText('not the causal effect').count()).toBe(1)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      expect(await findBarriers(page), colorScheme).toEqual([])
    }
    expect([problems, requests.length]).toEqual([[], 1])
  } finally {
    await browser.close()
  }
})
