/**
 * The examples, each run to its end against one started engine, as the first lines of its file say.
 *
 * The line to type is read out of the file; only the keys in it are this node's. Each has to end with 0 and to print what
 * its row here promises, and a file without a row fails, so no example is there that nobody runs. Rejected: importing them;
 * a person types a line, and the folder, the program and the settings in it are half of what can be wrong.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bareEnv } from '../support/bare-env.ts'
import { JWT_SECRET, KEYS, startNode, type TestNode } from '../support/engine.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FOLDER = join(ROOT, 'examples')

/** What each prints, in this order. */
const PRINTS: Readonly<Record<string, readonly RegExp[]>> = {
  'claim.sh': [/^open$/m, /ada claims: .*"sequence":1/, /ada claims again: .*"replayed":true/, /bo .*"sold_out"/],
  'stream.ts': [/results: 300 of 1000 claims were granted/],
  'user-token.ts': [/ada claims: granted, number 1, for ada/, /for bo: forbidden/, /changed: unauthorized/],
  'till.ts': [/connection broke/, /asked again: .*"state":"succeeded"/, /the same bytes/, /merchant: 1000/],
  'draw.sh': [/ada: entered\nbo: entered\ncy: entered/, /PASS {2}times/, /PASS {2}winners/, /the receipt of cy:\nPASS/],
}

let node: TestNode
beforeAll(async () => {
  node = await startNode({ FAIRGRAB_JWT_ISSUER: 'login', FAIRGRAB_JWT_AUDIENCE: 'shop' })
})
afterAll(() => node?.stop())

/** The line that the head of a file says to type. */
const lineOf = (file: string): string =>
  new RegExp(`^(?:#| \\*) {3}(FAIRGRAB_KEY=.* examples/${file})$`, 'm').exec(
    readFileSync(join(FOLDER, file), 'utf8'),
  )?.[1] ?? 'false'

/** Types it, with this node's key and secret in place of those that a person has. Nothing is there to be read from. */
async function typed(
  line: string,
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const own = line
    .replace(/FAIRGRAB_KEY=\S+/, `FAIRGRAB_KEY=${KEYS.operator}`)
    .replace(
      /FAIRGRAB_JWT_SECRET=\S+/,
      `FAIRGRAB_JWT_SECRET='${JWT_SECRET}' FAIRGRAB_JWT_ISSUER=login FAIRGRAB_JWT_AUDIENCE=shop`,
    )
  const child = spawn('bash', ['-c', own], {
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
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...read }
}

test('each file of examples/ has a row here, and its page has one too', () => {
  const files = readdirSync(FOLDER).filter(file => file !== 'README.md')
  expect(files.sort()).toEqual(Object.keys(PRINTS).sort())
  const page = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  expect([...page.matchAll(/^\| \[([\w.-]+)\]\(\1\) \|/gm)].map(([, file]) => file).sort()).toEqual(files.sort())
})

test.each(Object.entries(PRINTS))('%s', async (file, prints) => {
  const { code, out, err } = await typed(lineOf(file))
  expect([code, err], out).toEqual([0, ''])
  let from = 0
  for (const promised of prints) {
    const found = promised.exec(out.slice(from))
    expect(found, `${promised} in\n${out.slice(from)}`).not.toBeNull()
    from += (found?.index ?? 0) + (found?.[0].length ?? 0)
  }
})
