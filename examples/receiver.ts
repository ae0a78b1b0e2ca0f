/**
 * An accountant's receiver: takes a campaign's grants, redemptions and reversals out of the engine as CSV that is safe to open in a
 * spreadsheet, and checks that they come to what the engine's report says.
 *
 *   FAIRGRAB_KEY=your-operator-key node_modules/.bin/node examples/receiver.ts
 *
 * This makes a campaign with something to take out. With `cmp_… FOLDER` behind it, it takes yours, and a viewer's key will do.
 * FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. Here, type `node deploy/client-package.mjs` once before; in
 * a project of your own, npm install fairgrab-client. The idea to take home: the file is the cursor. After a cut or a crash the same
 * line goes on behind the last whole row of each file, so that no row is there twice and none is missing.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Fairgrab } from 'fairgrab-client'

const { FAIRGRAB_URL: url = 'http://127.0.0.1:8080', FAIRGRAB_KEY: key = '' } = process.env
const fairgrab = new Fairgrab({ url, key })

/** An answer that breaks off is asked for again; a night without the engine is waited out. */
const read = <Body>(path: string) => fairgrab.request<Body>({ path }, { deadlineMs: 12 * 3_600_000 })

type Row = Readonly<Record<string, unknown>>
type Page<Rows> = { readonly data: readonly Rows[]; readonly next_cursor: string | null }

/** A text that a spreadsheet would take for a formula gets a ' in front, as in the engine's own files. */
function cell(value: unknown): string {
  const plain = String(value ?? '')
  const text = typeof value === 'string' && /^'*[=+\-@\t\r\n]/.test(value) ? `'${value}` : plain
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Cuts off what a crash left of a line; gives the first cell of the last whole one. */
function lastCell(file: number): string | undefined {
  const { size } = fs.fstatSync(file)
  const tail = Buffer.alloc(Math.min(size, 65_536))
  fs.readSync(file, tail, 0, tail.length, size - tail.length)
  const whole = tail.lastIndexOf('\n') + 1
  fs.ftruncateSync(file, size - tail.length + whole)
  return tail.toString('utf8', 0, whole).trimEnd().split('\n').at(-1)?.split(',')[0]
}

/** Takes a list to its end into a file. The first column is the list's cursor. */
async function receive<From>(list: string, csv: string, columns: string[], rowsFor: (from: From) => Row[]) {
  const file = fs.openSync(csv, 'a+')
  const write = (lines: readonly string[]) =>
    fs.appendFileSync(file, lines.map(line => `${line}\r\n`).join(''), { flush: true })
  const last = lastCell(file)
  if (!last) write([columns.join(',')])
  let cursor: string | null = !last || last === columns[0] ? '' : last
  while (cursor !== null) {
    const page: Page<From> = await read(`${list}?limit=1000${cursor && `&cursor=${cursor}`}`)
    write(page.data.flatMap(rowsFor).map(row => columns.map(column => cell(row[column])).join(',')))
    console.log(`${page.data.length} rows of ${list} ${cursor ? `behind ${cursor}` : 'from the first on'}`)
    cursor = page.next_cursor
  }
  fs.closeSync(file)
}

/** The first cells of a file's rows, which are the engine's own words; strangers' texts stand behind them. */
async function* rowsOf(csv: string) {
  for await (const line of createInterface({ input: fs.createReadStream(csv) }))
    if (/^\d/.test(line)) yield line.split(',', 3)
}

/** A campaign with 2,500 grants, three redemptions and a reversal; some names would be formulas. */
async function made(key = `example-${Date.now()}`): Promise<string> {
  const create = (path: string, body: object) => fairgrab.request<{ id: string }>({ method: 'POST', path, body, key })
  const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
  const pack = [{ template: '40-10', valid_for_s: 604_800, discount }]
  const { id } = await create('/v1/campaigns', { name: 'Example: receiver', currency: 'CNY', pack })
  const round = await create(`/v1/campaigns/${id}/rounds`, { stock: 2500, opens_at: '2020-01-01T00:00:00Z' })
  const users = Array.from({ length: 2500 }, (_, i) => ({ user: `+86-${i}` }))
  for (const claim of (await fairgrab.claimBatch(round.id, users)).slice(0, 3)) {
    if (claim.outcome !== 'granted') throw new Error(`not granted: ${claim.outcome}`)
    const [code, order] = [claim.vouchers[0]?.code as string, { id: 'o1', amount: 5000, currency: 'CNY' }]
    const redeemed = await fairgrab.redeem({ code, merchant_id: '@corner', order }, { key: `${key}-${code}` })
    if (redeemed.outcome !== 'redeemed') throw new Error(`not redeemed: ${redeemed.detail}`)
    if (claim.claim.sequence === 1) await fairgrab.reverse(redeemed.body.id, { type: 'full' }, { key: `${key}-back` })
  }
  return id
}

const [campaign = await made(), folder = fs.mkdtempSync(join(tmpdir(), 'fairgrab-example-'))] = process.argv.slice(2)
fs.mkdirSync(folder, { recursive: true })
const sums = { packs: 0, redeemed: 0, reversed: 0, subsidy: 0 }

for (const { id } of (await read<Page<{ id: string }>>(`/v1/campaigns/${campaign}/rounds?limit=1000`)).data) {
  const csv = join(folder, `grants-${id}.csv`)
  await receive<Row>(`/v1/rounds/${id}/claims`, csv, ['sequence', 'slot', 'pool', 'granted_at', 'user_id'], row => [
    row,
  ])
  for await (const _ of rowsOf(csv)) sums.packs++
}

const csv = join(folder, 'redemptions.csv')
const columns = ['id', 'kind', 'amount', 'at', 'ref', 'merchant']
type Entry = Row & { readonly kind: string; readonly legs: readonly { account: string; amount: number }[] }
await receive<Entry>(`/v1/campaigns/${campaign}/ledger/entries`, csv, columns, entry => {
  const owed = entry.legs.find(({ account }) => account.startsWith('payable:'))
  return ['redeem', 'reverse', 'hold'].includes(entry.kind) ? [{ ...entry, amount: owed?.amount ?? 0 }] : []
})
for await (const [, kind, amount] of rowsOf(csv)) {
  if (kind === 'redeem') sums.redeemed++
  if (kind === 'reverse') sums.reversed++
  sums.subsidy += Number(amount)
}

const report = await read<typeof sums>(`/v1/campaigns/${campaign}/report`)
for (const name of ['packs', 'redeemed', 'reversed', 'subsidy'] as const) {
  const [own, said] = [sums[name], report[name]]
  console.log(`${name}: ${own}${own === said ? ', as in the report' : ` BUT ${said} IN THE REPORT; run this again`}`)
  if (own !== said) process.exitCode = 1
}
console.log(`written to ${folder}`)
