/**
 * Texts that strangers may leave in the engine, hostile in every medium at once, read back through all that shows them: the
 * commands of a terminal, their JSON, the report's page and CSV, settlement files, the metrics and the log.
 *
 * They come in as they would: a campaign's name, sponsor and template, orders, reasons of reversals, holds and deactivations, ids
 * of merchants that begin like formulas. What comes out is judged as bytes. The desk is looked at in test/browser/cases.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { campaignSettlements, campaignState } from '../../engine/store/connection/keys.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { KEYS } from '../support/engine.ts'
import { typed } from '../support/fairgrab.ts'
import { HOSTILE, hostileIn } from '../support/hostile-texts.ts'
import { rawRedis } from '../support/redis.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
const DAY_MS = 86_400_000
let folder: string
let left: Left
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fg-hostile-'))
  left = await leaveTexts()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What a terminal gets of a command, both streams, and its exit code. */
async function fairgrab(words: readonly string[]): Promise<{ readonly code: number; readonly shown: string }> {
  const { code, out, err } = await typed(words, { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator })
  return { code, shown: out + err }
}

interface Left {
  readonly round: Round
  readonly codes: readonly string[]
  readonly date: string
}

/** One round in which each hostile text stands wherever a stranger may leave one. */
async function leaveTexts(): Promise<Left> {
  const api = new Api(worker.url, KEYS.operator)
  const names = HOSTILE.join(' ')
  const pack = [{ ...PACK[0], template: HOSTILE[2].slice(0, 60), quantity: 3, max_per_order: 1000 }]
  const round = await makeRound(api, { stock: 100 }, { name: names, sponsor: names, pack })
  const codes: string[] = []
  let date = ''
  for (const [i, text] of HOSTILE.entries()) {
    const key = (name: string) => ({ 'idempotency-key': `${name}${i}` })
    const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: `@u-${i}` })
    const [code = '', other = '', spare = ''] = body.vouchers.map(voucher => voucher.code)
    await api.post(`/v1/vouchers/${spare}/lock`, { order_id: text, ttl_s: 30 })
    for (const each of [code, other]) {
      const order = { id: `${text}${each}`.slice(0, 64), amount: 5000, currency: 'CNY' }
      const redemption = { code: each, order, merchant_id: `-${i}-1@m`, store_id: text }
      const made = await api.post<Fields>('/v1/redemptions', redemption, key(each))
      expect([made.status, made.body]).toEqual([201, expect.anything()])
      date = String(made.body.redeemed_at).slice(0, 10)
      if (each === other) continue
      const reversal = { type: 'full', reason: text }
      expect((await api.post(`/v1/redemptions/${made.body.id}/reversals`, reversal, key('r'))).status).toBe(201)
    }
    await api.post(`/v1/vouchers/${code}/deactivate`, { reason: text })
    expect((await api.post(`/v1/merchants/@m${i}/hold`, { reason: text })).status).toBe(200)
    codes.push(code)
  }
  return { round, codes, date }
}

test('commands: nothing that was left reaches a terminal as more than a text, and JSON says what was left', async () => {
  const { round, codes } = left
  const { campaign_id: campaign } = round
  const file = join(folder, 'campaign.json')
  writeFileSync(file, JSON.stringify({ name: HOSTILE.join(''), currency: 'CNY', pack: PACK }))
  const commands = [
    ...codes.map(code => ['voucher', 'show', code]),
    ['merchant', 'list'],
    ['merchant', 'hold', '@m0', '--reason', 'again', '--dry-run'],
    ['campaign', 'list'],
    ['campaign', 'show', campaign],
    ['campaign', 'create', file],
    ['round', 'list'],
    ['round', 'show', round.id],
    ['claim', round.id, '@u-0'],
    ['report', campaign],
    ['audit'],
    ['watch', '--once'],
  ]
  for (const words of commands)
    for (const more of [[], ['--json']]) {
      const { code, shown } = await fairgrab([...words, ...more])
      expect([words, code, hostileIn(shown)]).toEqual([words, 0, []])
      if (more.length > 0) expect(shown.trimEnd().split('\n'), words.join(' ')).toHaveLength(1)
    }
  for (const [i, text] of HOSTILE.entries()) {
    const { shown } = await fairgrab(['voucher', 'show', codes[i] as string, '--json'])
    const { events } = JSON.parse(shown) as { events: readonly { event: string; note?: string }[] }
    expect(events.filter(({ event }) => event === 'reversed').map(({ note }) => note)).toEqual([text])
  }
  const wrong = await fairgrab(['voucher', 'show', `x\u009b2J\u001b[2J\n✓ all is sound`])
  expect([wrong.code, hostileIn(wrong.shown)]).toEqual([1, []])
  const unknown = await fairgrab(['pau\u001b[2Jse\u202e'])
  expect([unknown.code, hostileIn(unknown.shown)]).toEqual([2, []])
}, 120_000)

test('the report’s page and CSV, and the metrics: no tag, no formula, no line of a stranger’s', async () => {
  const { round } = left
  const [html, csv] = ['report.html', 'report.csv'].map(name => join(folder, name)) as [string, string]
  const made = await fairgrab(['report', round.campaign_id, '--html', html, '--csv', csv])
  expect([made.code, hostileIn(made.shown)]).toEqual([0, []])
  const page = readFileSync(html, 'utf8')
  expect(hostileIn(page)).toEqual([])
  expect(page).not.toContain('<img')
  expect(page).toContain('&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#39;')
  for (const line of readFileSync(csv, 'utf8').trimEnd().split('\r\n')) expect(line).toMatch(/^[\w-]+(,[\w.-]+)*$/)
  const metrics = (await new Api(worker.url, KEYS.operator).get('/metrics')).bytes.toString()
  expect(hostileIn(metrics)).toEqual([])
  expect(metrics).toContain(`round="${round.id}"`)
  expect(metrics.match(/^fairgrab_oversold .*$/gm)).toEqual(['fairgrab_oversold 0'])
  expect(metrics).not.toMatch(/owned|calc|deepaid/)
})

test('settlement files: a merchant’s id is no formula in CSV and itself in NDJSON; a day of an earlier version keeps its bytes', async () => {
  const api = new Api(worker.url, KEYS.operator)
  const { round, date } = left
  const admin = rawRedis(worker.redisUrl)
  await admin.hincrby(campaignState(round.campaign_id), 'ahead', DAY_MS)
  const path = `/v1/campaigns/${round.campaign_id}/settlements`
  const settle = () => api.post<Fields>(path, { business_date: date })
  const fileOf = async (accept: string) => (await api.get(`${path}/${date}`, { accept })).bytes
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const { status, body } = await settle()
  expect([status, body.rows]).toEqual([200, HOSTILE.length * 3])
  const guarded = await fileOf('text/csv')
  const merchants = (bytes: Buffer) =>
    bytes
      .toString()
      .trimEnd()
      .split('\r\n')
      .slice(1)
      .map(line => line.split(',')[4])
  expect(new Set(merchants(guarded))).toEqual(new Set(HOSTILE.map((_, i) => `'-${i}-1@m`)))
  expect(hash(guarded)).toBe(body.sha256)
  const rows = (await fileOf('application/x-ndjson')).toString().trimEnd().split('\n')
  expect(new Set(rows.map(row => (JSON.parse(row) as Fields).merchant_id))).toEqual(
    new Set(HOSTILE.map((_, i) => `-${i}-1@m`)),
  )
  const { cells, ...kept } = JSON.parse((await admin.hget(campaignSettlements(round.campaign_id), date)) as string)
  expect(cells).toBe('guarded')
  const plain = guarded.toString().replaceAll(",'-", ',-')
  const earlier = { ...kept, sha256: hash(Buffer.from(plain)) }
  await admin.hset(campaignSettlements(round.campaign_id), date, JSON.stringify(earlier))
  admin.disconnect()
  expect((await settle()).body.sha256).toBe(earlier.sha256)
  expect((await fileOf('text/csv')).toString()).toBe(plain)
})

test('a bundle that a stranger sent, a receipt and their names are shown by verify and check as text', async () => {
  const bundle = join(folder, 'bundle')
  mkdirSync(bundle)
  const names = HOSTILE.slice(0, 4).map(text => text.replaceAll('/', ''))
  for (const name of names) writeFileSync(join(bundle, name), HOSTILE.join(''))
  const forged = join(folder, 'forged')
  cpSync(join(ROOT, 'test/fixtures/draw'), forged, { recursive: true })
  writeFileSync(join(forged, 'rules.json'), HOSTILE[1])
  const receipt = join(folder, 'receipt\u009b.json')
  writeFileSync(receipt, JSON.stringify({ [HOSTILE[0]]: HOSTILE[2], round_id: HOSTILE[3] }))
  for (const words of [
    ['draw', 'verify', bundle],
    ['draw', 'verify', bundle, '--json'],
    ['draw', 'verify', forged],
    ['draw', 'verify', forged, '--json'],
    ['draw', 'check', '--receipt', receipt, bundle],
    ['draw', 'export', 'rnd_none\u001b[2J', join(folder, 'out\u202e')],
  ]) {
    const { code, shown } = await fairgrab(words)
    expect([words, code === 0, hostileIn(shown)]).toEqual([words, false, []])
    expect(shown.length).toBeGreaterThan(20)
  }
})

test('a line of the log is one line of the same JSON, whatever was logged', async () => {
  const program = `const { openLog } = await import(${JSON.stringify(join(ROOT, 'engine/ops/log.ts'))})
    const text = JSON.parse(process.argv[1]).join(' ')
    openLog('info', 'test').warn({ round: text, err: new Error(text) }, text)`
  const words = ['--input-type=module', '-e', program, JSON.stringify(HOSTILE)]
  const { stdout } = await promisify(execFile)(process.execPath, words, { env: bareEnv() })
  expect(hostileIn(stdout)).toEqual([])
  expect(stdout.trimEnd().split('\n')).toHaveLength(1)
  const text = HOSTILE.join(' ')
  expect(JSON.parse(stdout)).toMatchObject({ msg: text, round: text, err: { message: text } })
})
