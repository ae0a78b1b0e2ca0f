/**
 * The package fairgrab-client as a stranger gets it: packed by npm, installed into an empty project without a network, typed, small.
 *
 * Its program runs in a process of its own that has nothing of ours to import. A result with one outcome that nobody looks at
 * must not compile; that is tried for each outcome. The size is that of the module for pages without a bundler.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../repo/tree.ts'
import { Api, makeRound } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const SIZE_BYTES_MAX = 6144
const run = promisify(execFile)

const built = (await import(join(ROOT, 'deploy/client-package.mjs'))) as {
  readonly buildPackage: (folder?: string) => Promise<string>
}

const home = mkdtempSync(join(tmpdir(), 'fg-package-'))
const project = join(home, 'project')
let redis: RedisServer
let worker: TestWorker
let folder: string
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  worker = await startTestWorker(redis.url)
  folder = await built.buildPackage(join(home, 'built'))
  const env = bareEnv({ HOME: home })
  // As docs/client.md types it: without ./ npm takes a path of two names for a repository of somebody's.
  await run('npm', ['pack', '--pack-destination', home, `./${relative(home, folder)}`, '--silent'], { cwd: home, env })
  const tarball = readdirSync(home).find(name => name.endsWith('.tgz')) as string
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{"type":"module","private":true}')
  const quietly = ['--offline', '--no-audit', '--no-fund']
  await run('npm', ['install', ...quietly, join(home, tarball)], { cwd: project, env })
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
  await rm(home, { recursive: true, force: true })
})

const installed = () => join(project, 'node_modules/fairgrab-client')

test('the module for pages has at most six kilobytes, compressed', () => {
  const bytes = gzipSync(readFileSync(join(installed(), 'fairgrab.min.js')), { level: 9 }).length
  expect(bytes).toBeLessThanOrEqual(SIZE_BYTES_MAX)
  expect(bytes).toBeGreaterThan(SIZE_BYTES_MAX / 2)
})

test('it brings nothing else along, and imports nothing but its own check of a receipt', async () => {
  expect(readdirSync(join(project, 'node_modules')).filter(name => !name.startsWith('.'))).toEqual(['fairgrab-client'])
  expect(readdirSync(installed()).sort()).toEqual([
    'LICENSE',
    'README.md',
    'fairgrab.js',
    'fairgrab.min.js',
    'package.json',
    'receipt-check.js',
    'receipt-check.min.js',
    'types',
  ])
  for (const end of ['js', 'min.js']) {
    const loads = (name: string) =>
      readFileSync(join(installed(), `${name}.${end}`), 'utf8').match(
        /\bimport\b\s*[({"'`][^)]*|\brequire\(|\bfrom\s*"/g,
      )
    expect(loads('fairgrab')?.map(text => text.slice('import('.length + 1, -1))).toEqual([`./receipt-check.${end}`])
    expect(loads('receipt-check')).toBeNull()
    expect(await import(join(installed(), `receipt-check.${end}`))).toMatchObject({
      checkSignature: expect.any(Function),
    })
  }
})

const PROGRAM = `
  import { EngineError, Fairgrab } from 'fairgrab-client'
  import { Fairgrab as Small } from 'fairgrab-client/min'
  const [url, key, round] = process.argv.slice(2)
  for (const [Client, user] of [[Fairgrab, 'ada'], [Small, 'bea']]) {
    const fairgrab = new Client({ url, key })
    const { outcome, claim } = await fairgrab.claim(round, { user })
    for await (const news of fairgrab.stock(round)) {
      console.log(outcome, claim.sequence, news.stock.granted)
      break
    }
  }
  const lost = await new Fairgrab({ url, key }).round('rnd_none').catch(error => error)
  console.log(lost instanceof EngineError, lost.code)
`

test('a program of a project that has only the package claims and watches', async () => {
  const round = await makeRound(new Api(worker.url, KEYS.operator))
  writeFileSync(join(project, 'program.js'), PROGRAM)
  const { stdout } = await run(process.execPath, ['program.js', worker.url, KEYS.platform, round.id], {
    cwd: project,
    env: bareEnv({}),
  })
  expect(stdout).toBe('granted 1 1\ngranted 2 2\ntrue not_found\n')
})

/** Every outcome of a claim, and of a till's change. */
const CLAIM = 'granted entered sold_out limit_reached closed not_eligible paused not_open refused not_executed unknown'
const TILL = 'redeemed refused not_executed unknown'

const PAGE = readFileSync(join(ROOT, 'docs/client.md'), 'utf8')

test('the page about the client has a row for each outcome', () => {
  const rows = (heading: string) => {
    const [, part = ''] = PAGE.split(`\n## ${heading}\n`)
    const cells = part.split('\n## ')[0]?.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm) ?? []
    return [...cells]
      .flatMap(([, names = '']) => names.replaceAll('`', '').split(', '))
      .filter(name => name !== 'outcome')
  }
  expect(rows('A claim, and how it ends').sort()).toEqual(CLAIM.split(' ').sort())
  expect(rows('At a till')).toEqual([
    'locked',
    'unlocked',
    'redeemed',
    'reversed',
    'refused',
    'not_executed',
    'unknown',
  ])
})

/** A function that has a word for each outcome but one. */
const telling = (type: string, outcomes: readonly string[], forgotten = '') => `
  import type { ClaimResult, Redemption, TillResult } from 'fairgrab-client'
  type Redeemed = TillResult<'redeemed', Redemption>
  export function tell(result: ${type}): string {
    switch (result.outcome) {
      ${outcomes
        .filter(outcome => outcome !== forgotten)
        .map(outcome => `case '${outcome}': return '${outcome}'`)
        .join('\n')}
    }
  }`

const OPTIONS = {
  compilerOptions: {
    ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2022', lib: ['es2022', 'dom'], types: [] },
  },
}

test('the types hold for a stranger, and an outcome that is forgotten does not compile', async () => {
  const types = join(project, 'types')
  mkdirSync(types)
  const cases = [
    ['ClaimResult', CLAIM.split(' ')],
    ['Redeemed', TILL.split(' ')],
  ] as const
  const forgetful = cases.flatMap(([type, outcomes]) =>
    outcomes.map(outcome => [`${type}-without-${outcome}.ts`, telling(type, outcomes, outcome)] as const),
  )
  for (const [type, outcomes] of cases) writeFileSync(join(types, `${type}.ts`), telling(type, outcomes))
  const [, shown = ''] = /```ts\n([\s\S]*?)```/.exec(PAGE) ?? []
  writeFileSync(join(types, 'page.ts'), `import type { ClaimResult } from 'fairgrab-client'\nexport ${shown}`)
  for (const [name, text] of forgetful) writeFileSync(join(types, name), text)
  writeFileSync(join(types, 'tsconfig.json'), JSON.stringify(OPTIONS))
  const complaints = await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', types]).then(
    () => '',
    (cause: { readonly stdout: string }) => cause.stdout,
  )
  const wrong = complaints.split('\n').flatMap(line => /([\w-]+\.ts)\(\d+,\d+\): error TS2366:/.exec(line)?.[1] ?? [])
  expect(wrong.sort()).toEqual(forgetful.map(([name]) => name).sort())
  expect(complaints.match(/error TS/g)).toHaveLength(forgetful.length)
})
