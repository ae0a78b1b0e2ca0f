/**
 * docs/quickstart.md, run as it stands: every block that is marked `sh` goes into one shell, in the order of the page, against a node
 * that was started as the page says, with a key that it made and printed itself.
 *
 * What the page promises behind a block is the row of that block here, so a block that was added or moved fails until it has
 * one. The page's own stop and start again happens where the page has it. The set-up step of `npm start` is left out: it
 * ran before these tests, and would install. Rejected: commands that are copied into a test; they go on working when the page does not.
 */
import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { startNode, type TestNode } from '../support/engine.ts'
import { blocksOf, PageShell } from '../support/page-shell.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = readFileSync(join(ROOT, 'docs/quickstart.md'), 'utf8')
const RESTART = 'Stop the engine in the first terminal'

/** What each block prints, in the order of the page. */
const PRINTS: readonly (readonly RegExp[])[] = [
  [/"ready":true/],
  [/^cmp_\w+ rnd_\w+$/m],
  [/"code":"not_open"/, /"state":"open"/],
  [/"outcome":"granted".*"sequence":1,/, /"replayed":true.*"sequence":1,/],
  [/"sequence":2\},\{"outcome":"granted","sequence":3\},\{"outcome":"sold_out"\}/, /"state":"sold_out"/],
  [/"sequence":1,"user_id":"ada".*\n.*"sequence":2,"user_id":"bo".*\n.*"sequence":3,"user_id":"cy"/],
  [/^http:\/\/127\.0\.0\.1:\d+\/try\/rnd_\w+$/m],
  [/"state":"active"/, /"discount_amount":1000,"payer_amount":4000,"merchant_receivable":5000/, /"already_redeemed"/],
  [/"state":"redeemed"/],
  [/"total":4/, /"user_id":"di".*"sequence":4,/],
  [/"replayed":true.*"user_id":"ada".*"sequence":1,/, /"granted":4,"remaining":0/],
  [/sold_out +0 left of 4/, /then {2}rnd_\w+ {2}paused/, /entries, the chain holds/],
  [
    /nothing was changed: this was a dry run\n\+ campaign From a file {2}cmp_\w+\n\+ round evening[^!~]*= campaign From a file/,
  ],
]

const folder = mkdtempSync(join(tmpdir(), 'fg-quickstart-'))
const start = () => startNode({ FAIRGRAB_KEYS: '', FAIRGRAB_JWT_SECRET: '', FAIRGRAB_DATA_DIR: folder })
const shell = new PageShell()
let node: TestNode | undefined
afterAll(async () => {
  shell.close()
  await node?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** The second terminal's first lines, with the address and the key that this node printed. */
const own = ({ url, madeKey }: TestNode): string => `URL=${url}\nKEY=${madeKey}`

test('a first campaign, round, grab and redemption, by the page alone', async () => {
  expect(PAGE).toMatch(/```\nnpm start\n```/)
  expect(PAGE).toMatch(/```\nURL=http:\S+\nKEY=\S+\n```/)
  const [before = '', after = ''] = PAGE.split(RESTART)
  const parts = [blocksOf(before), blocksOf(after)] as const
  expect(parts[0].length + parts[1].length).toBe(PRINTS.length)
  expect(parts[1].length).toBeGreaterThan(0)
  const from = performance.now()
  let done = 0
  for (const blocks of parts) {
    node?.signal('SIGINT')
    expect((await node?.ended) ?? 0).toBe(0)
    node = await start()
    await shell.run(own(node))
    for (const block of blocks) {
      const printed = await shell.run(block)
      for (const promised of PRINTS[done] ?? []) expect(printed, block).toMatch(promised)
      if (block.includes('receipt-1')) expect(new Set(printed.split('\n').slice(1, 3)).size).toBe(1)
      done++
    }
    const page = await fetch((await shell.run('echo "$URL/try/$ROUND"')).trim())
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('Key or user token')])
  }
  console.log(`the quickstart took ${((performance.now() - from) / 1000).toFixed(1)} s without reading`)
})
