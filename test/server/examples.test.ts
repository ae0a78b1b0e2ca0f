/**
 * The examples, each run to its end against one started engine, as the first lines of its file say; the shop in a browser.
 *
 * The line to type is read out of the file; only the keys in it are this node's. Each has to end with 0 and to print what
 * its row here promises, and a file without a row fails, so no example is there that nobody runs. Those that import the client
 * find the package as it is built. Rejected: importing them; a person types a line, and the folder, the program and the
 * settings in it are half of what can be wrong.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openPage, shows, startChromium } from '../browser/chromium.ts'
import { bareEnv } from '../support/bare-env.ts'
import { JWT_SECRET, KEYS, startNode, type TestNode } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FOLDER = join(ROOT, 'examples')

/** What each prints, in this order. */
const PRINTS: Readonly<Record<string, readonly RegExp[]>> = {
  'claim.sh': [/^open$/m, /ada claims: .*"sequence":1/, /ada claims again: .*"replayed":true/, /bo .*"sold_out"/],
  'stream.ts': [/results: 300 of 1000 claims were granted/],
  'backend.ts': [
    /before it opens: 1000 wait/,
    /open: 300 granted, 700 came too late/,
    /after a restart: 300 granted, 0 without an answer/,
    /user-0 asked again: the same claim/,
  ],
  'till.ts': [
    /locked for o1\nanother order: not accepted: voucher_locked/,
    /connection broke.*\nredeemed, by the attempt whose answer was lost: 1000 off, 4000 to pay/,
    /connection broke.*\ntaken back: 1000, the voucher is active again\nowed to the merchant: 0/,
  ],
  'draw.sh': [/ada: entered\nbo: entered\ncy: entered/, /PASS {2}times/, /PASS {2}winners/, /the receipt of cy:\nPASS/],
}

/** What goes on until it is stopped, and the page that it serves. */
const SHOP = ['shop.ts', 'shop.html']

const client = (await import(join(ROOT, 'deploy/client-package.mjs'))) as {
  readonly buildPackage: () => Promise<string>
}

let node: TestNode
let shopPort: number
beforeAll(async () => {
  shopPort = await freePort()
  node = await startNode({
    FAIRGRAB_JWT_ISSUER: 'login',
    FAIRGRAB_JWT_AUDIENCE: 'shop',
    FAIRGRAB_ORIGINS: `http://127.0.0.1:${shopPort}`,
  })
  await client.buildPackage()
})
afterAll(() => node?.stop())

/** The line that the head of a file says to type. */
const lineOf = (file: string): string =>
  new RegExp(`^(?:#| \\*) {3}(FAIRGRAB_KEY=.* examples/${file})$`, 'm').exec(
    readFileSync(join(FOLDER, file), 'utf8'),
  )?.[1] ?? 'false'

/** Types it, with this node's key and secret in place of those that a person has. Nothing is there to be read from. */
function typed(line: string) {
  const own = line
    .replace(/FAIRGRAB_KEY=\S+/, `FAIRGRAB_KEY=${KEYS.operator}`)
    .replace(
      /FAIRGRAB_JWT_SECRET=\S+/,
      `FAIRGRAB_JWT_SECRET='${JWT_SECRET}' FAIRGRAB_JWT_ISSUER=login FAIRGRAB_JWT_AUDIENCE=shop PORT=${shopPort}`,
    )
  const child = spawn('bash', ['-c', `exec env ${own}`], {
    cwd: ROOT,
    env: bareEnv({ FAIRGRAB_URL: node.url }),
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
