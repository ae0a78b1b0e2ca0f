/**
 * The examples, each run to its end against one started engine, as the first lines of its file say; the shop in a browser.
 *
 * The line to type is read out of the file; only the keys in it are this engine's. Each has to end with 0 and to print what
 * its row here promises, and a file without a row fails, so no example is there that nobody runs. Those that import the client
 * find the package as it is built. Rejected: importing them; a person types a line, and the folder, the program and the
 * settings in it are half of what can be wrong.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { openPage, shows, startChromium } from '../browser/chromium.ts'
import { bareEnv } from '../support/bare-env.ts'
import { JWT_SECRET, KEYS } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { useWorker } from '../support/use-worker.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FOLDER = join(ROOT, 'examples')

/** What each prints, in this order. */
const PRINTS: Readonly<Record<string, readonly RegExp[]>> = {
  'claim.sh': [/^open$/m, /ada claims: .*"sequence":1/, /ada claims again: .*"replayed":true/, /bo .*"sold_out"/],
  'stream.ts': [/results: 300 of 1000 claims were granted/],
  'backend.ts': [
    /refused: claims\.500\.user_id: .*\nbefore it opens: 999 wait/,
    /open: 300 granted, 699 came too late/,
    /after a restart: 300 granted, 0 without an answer/,
    /user-0 asked again: the same claim/,
  ],
  'till.ts': [
    /locked for o1\nanother order: not accepted: voucher_locked/,
    /connection broke.*\nredeemed, by the attempt whose answer was lost: 1000 off, 4000 to pay/,
    /connection broke.*\ntaken back: 1000, the voucher is active again\nowed to the merchant: 0/,
  ],
  'receiver.ts': [
    /1000 rows of .*\/claims from the first on\n1000 rows of .*\/claims behind 1000\n500 rows of .*\/claims behind 2000\n/,
    /packs: 2500, as in the report\nredeemed: 3, as in the report\nreversed: 1, as in the report\nsubsidy: 2000, as in the report\n/,
  ],
  'draw.sh': [/ada: entered\nbo: entered\ncy: entered/, /PASS {2}times/, /PASS {2}winners/, /the receipt of cy:\nPASS/],
}

/** What goes on until it is stopped, and the page that it serves. */
const SHOP = ['shop.ts', 'shop.html']

const client = (await import(join(ROOT, 'deploy/client-package.mjs'))) as {
  readonly buildPackage: () => Promise<string>
}

const shopPort = await freePort()
const worker = useWorker(
  {
    FAIRGRAB_JWT_ISSUER: 'login',
    FAIRGRAB_JWT_AUDIENCE: 'shop',
    FAIRGRAB_ORIGINS: `http://127.0.0.1:${shopPort}`,
  },
  startLocalRedis,
)
beforeAll(async () => {
  await client.buildPackage()
})

/** The line that the head of a file says to type. */
const lineOf = (file: string): string =>
  new RegExp(`^(?:#| \\*) {3}(FAIRGRAB_KEY=.* examples/${file})$`, 'm').exec(
    readFileSync(join(FOLDER, file), 'utf8'),
  )?.[1] ?? 'false'

/** Types it, with this engine's key and secret in place of those that a person has. Nothing is there to be read from. */
function typed(line: string, url = worker.url) {
  const own = line
    .replace(/FAIRGRAB_KEY=\S+/, `FAIRGRAB_KEY=${KEYS.operator}`)
    .replace(
      /FAIRGRAB_JWT_SECRET=\S+/,
      `FAIRGRAB_JWT_SECRET='${JWT_SECRET}' FAIRGRAB_JWT_ISSUER=login FAIRGRAB_JWT_AUDIENCE=shop PORT=${shopPort}`,
    )
  const child = spawn('bash', ['-c', `exec env ${own}`], {
    cwd: ROOT,
    env: bareEnv({ FAIRGRAB_URL: url }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const read = { out: '', err: '' }
  child.stdout.on('data', (data: Buffer) => {
    read.out += data.toString()
  })
  child.stderr.on('data', (data: Buffer) => {
    read.err += data.toString()
  })
  return { child, read }
}

test('each file of examples/ has a row here, and its page has one too', () => {
  const files = readdirSync(FOLDER).filter(file => file !== 'README.md')
  expect(files.sort()).toEqual([...Object.keys(PRINTS), ...SHOP].sort())
  const page = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  expect([...page.matchAll(/^\| \[([\w.-]+)\]\(\1\) \|/gm)].map(([, file]) => file).sort()).toEqual(files.sort())
})

test.each(Object.entries(PRINTS))('%s', async (file, prints) => {
  const { child, read } = typed(lineOf(file))
  const [code] = (await once(child, 'close')) as [number | null]
  const { out, err } = read
  expect([code, err], out).toEqual([0, ''])
  let from = 0
  for (const promised of prints) {
    const found = promised.exec(out.slice(from))
    expect(found, `${promised} in\n${out.slice(from)}`).not.toBeNull()
    from += (found?.index ?? 0) + (found?.[0].length ?? 0)
  }
})

test('the shop: its page counts down, claims with its user’s token, and shows the stock as it moves', async () => {
  const browser = await startChromium()
  onTestFinished(() => browser.close())
  const { page, problems } = await openPage(browser)
  const { child, read } = typed(lineOf('shop.ts'))
  onTestFinished(async () => {
    const ended = once(child, 'close')
    child.kill()
    await ended
  })
  while (!read.out.includes('open: ')) {
    expect(child.exitCode, read.err).toBeNull()
    await Promise.race([once(child.stdout, 'data'), once(child, 'close')])
  }
  await page.goto(`http://127.0.0.1:${shopPort}/?user=bo`)
  const body = page.locator('body')
  await shows(body, /^Opens in \d+ s$/)
  await shows(body, '10 of 10 left')
  await page.getByRole('button', { name: 'Get it' }).click()
  await shows(body, /^Number 1 is yours: [0-9A-Z]{20}$/)
  await shows(body, '9 of 10 left')
  const held = await page.locator('#answer').textContent()
  await page.locator('#answer').evaluate('node => { node.textContent = "" }')
  await page.getByRole('button', { name: 'Get it' }).click()
  await shows(body, String(held))
  expect(problems).toEqual([])
  expect(read.err).toBe('')
})

/** The lines of a list as the engine streams it. */
async function exported<Row>(path: string): Promise<readonly Row[]> {
  const headers = { authorization: `Bearer ${KEYS.viewer}`, accept: 'application/x-ndjson' }
  const text = await (await fetch(worker.url + path, { headers })).text()
  return text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Row)
}

async function ran(line: string): Promise<string> {
  const { child, read } = typed(line)
  const [code] = (await once(child, 'close')) as [number | null]
  expect([code, read.err], read.out).toEqual([0, ''])
  return read.out
}

test('the receiver: cut in the middle of a page, killed between two, with half a row at the end, it has each row once', async () => {
  const out = await ran(lineOf('receiver.ts'))
  const [, round = '', whole = ''] = /(rnd_\w+)\/claims from[\s\S]*written to (\S+)/.exec(out) ?? []
  const grants = await exported<Readonly<Record<string, unknown>>>(`/v1/rounds/${round}/claims`)
  const lines = grants.map(({ sequence, granted_at, user_id }) => `${sequence},1,general,${granted_at},'${user_id}\r\n`)
  expect(readFileSync(join(whole, `grants-${round}.csv`), 'utf8')).toBe(
    `sequence,slot,pool,granted_at,user_id\r\n${lines.join('')}`,
  )
  const [, ...booked] = readFileSync(join(whole, 'redemptions.csv'), 'utf8').trimEnd().split('\r\n')
  expect(booked.map(line => line.replace(/^[^,]+,(\w+,-?\d+),.*,/, '$1 '))).toEqual([
    ...["redeem,1000 '@corner", "reverse,-1000 '@corner"],
    ...["redeem,1000 '@corner", "redeem,1000 '@corner"],
  ])

  const folder = mkdtempSync(join(tmpdir(), 'fairgrab-example-'))
  onTestFinished(() => {
    for (const made of [whole, folder]) rmSync(made, { recursive: true })
  })
  const { campaign_id } = (await (await fetch(`${worker.url}/v1/rounds/${round}`)).json()) as { campaign_id: string }
  const line = `${lineOf('receiver.ts')} ${campaign_id} ${folder}`
  await using proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(worker.url).port) })
  const cut = proxy.cutAfter('reply', 40_000)
  const between = proxy.keepBack(bytes => bytes.includes('cursor=1000'))
  const { child } = typed(line, proxy.url.replace('redis:', 'http:'))
  await cut
  await between
  const ended = once(child, 'close')
  child.kill('SIGKILL')
  await ended
  const csv = join(folder, `grants-${round}.csv`)
  expect(readFileSync(csv, 'utf8')).toBe(`sequence,slot,pool,granted_at,user_id\r\n${lines.slice(0, 1000).join('')}`)
  appendFileSync(csv, lines[1000]?.slice(0, 20) as string)
  const again = await ran(line)
  expect(again).toMatch(/^1000 rows of \S+ behind 1000\n500 rows of \S+ behind 2000\n/)
  expect(await ran(line)).toMatch(/^0 rows of \S+ behind 2500\n/)
  for (const file of readdirSync(whole))
    expect(readFileSync(join(folder, file), 'utf8'), file).toBe(readFileSync(join(whole, file), 'utf8'))
})
