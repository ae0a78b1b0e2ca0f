/**
 * The commands of the pages, run as they stand: README.md, CONTRIBUTING.md, docs/api.md and docs/config.md, each in one shell
 * against a node that was started as the pages say, with the key that it made (docs/quickstart.md has a test of its own).
 *
 * Each block that is marked `sh` has a row here with what it prints, so a block that was added or moved fails until it has
 * one; and test/repo/documents.test.ts refuses such a block in any other page. A refusal of the engine, or a complaint of the shell,
 * fails where no row expects it. Rejected: commands that are copied into a test; they go on working when the page does not.
 */
import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startNode, type TestNode } from '../support/engine.ts'
import { blocksOf, PageShell } from '../support/page-shell.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** What each block prints, in the order of the page. */
const PRINTS: Readonly<Record<string, readonly (readonly RegExp[])[]>> = {
  'README.md': [
    [/"state":"open"/, /"outcome":"granted","claim".*"sequence":1,/, /"replayed":true,"claim".*"sequence":1,/],
  ],
  'CONTRIBUTING.md': [[/1 passed/, /a holder is granted again \(scripts\/claim\.lua\)/]],
  'docs/config.md': [[]],
  'docs/api.md': [
    [],
    [/^cmp_\w+$/m],
    [/"data":\[\{"id":"cmp_\w+"/, /"name":"Spring","sponsor":"city"/],
    [/^rnd_\w+$/m],
    [/"state":"scheduled"/, /"data":\[/],
    [/"state":"open"/, /"state":"paused"/, /"state":"open"/, /"total":120/, /"total":115/, /"total":125/],
    [/"id":"rnd_/, /"id":"rnd_/],
    [
      /"sequence":1,/,
      /"replayed":true.*"sequence":1,/,
      /"slot":2,"sequence":2,/,
      /"pool":"assisted","slot":1,"sequence":3,/,
    ],
    [/"replayed":true\},.*"sequence":4\},.*"limit_reached"/, /"sequence":1,"replayed":true,"claim"/],
    [/"sequence":1,/, /"durability":"always"/, /"slot":2/],
    [/"has_more":true,"next_cursor":"2"/, /\{"sequence":4,"user_id":"u3"/],
    [/^rnd_\w+$/m, /"outcome":"entered","receipt"/, /"replayed":true/, /"state":"drawn"/, /"winners":/, /"public_key"/],
    [/"state":"active"/],
    [/"state":"locked","lock":\{"id":"lck_/],
    [/^rdm_\w+$/m],
    [/"type":"full".*"amount":1000,"voucher_state":"active"/],
    [/"id":"rdm_\w+","state":"reversed"/, /"data":\[\{"id":"rdm_/],
    [/"name":"Corner shop"/, /"tags":\["small_shop"\]/],
    [/"results":\[.*"id":"m2","outcome":"kept"/, /"data":\[\{"id":"m1"/],
    [/"dry_run":true/, /"held":\{"merchant_id":"m1"/, /"held":null/],
    [/"sponsor_funds":-1000000/, /"kind":"fund"/],
    [/"issued":10/, /"person":"/],
    [/"dry_run":true/, /"rates":\{"user":5,"address":50/, /"rates":\{"user":20,"address":200/],
    [/"action":"POST \/v1\/rounds\/\{id\}\/pause".*"outcome":"asked"/],
    [
      /^ok$/m,
      /"ready":true/,
      /fairgrab_claims_total\{outcome="granted"\} \d/,
      /"openapi":"3/,
      /"asyncapi":"3/,
      /"closed"/,
    ],
  ],
}

let node: TestNode
const folder = mkdtempSync(join(tmpdir(), 'fg-pages-'))
beforeAll(async () => {
  node = await startNode({ FAIRGRAB_KEYS: '', FAIRGRAB_JWT_SECRET: '', FAIRGRAB_DATA_DIR: folder })
})
afterAll(async () => {
  await node?.stop()
  await rm(folder, { recursive: true, force: true })
})

test.each(Object.entries(PRINTS))('%s', async (page, rows) => {
  const blocks = blocksOf(readFileSync(join(ROOT, page), 'utf8'))
  expect(blocks.length).toBe(rows.length)
  const shell = new PageShell()
  try {
    await shell.run(`URL=${node.url}\nKEY=${node.madeKey}`)
    for (const [at, block] of blocks.entries()) {
      let printed = await shell.run(block)
      expect(printed, block).not.toMatch(/"code":"(?!\w{16,}")|command not found|^(bash|curl|npm|npx): /m)
      for (const promised of rows[at] ?? []) {
        const found = promised.exec(printed)
        expect(found, `${promised} in\n${printed}`).not.toBeNull()
        printed = printed.slice((found?.index ?? 0) + (found?.[0].length ?? 0))
      }
    }
  } finally {
    shell.close()
  }
})
