/**
 * The installed command: what `npm pack` packs, in a place where packages are installed, with its dependencies beside it. Node strips no
 * types there, so this is another way to start than a clone's. It serves, claims, redeems and ends like any other.
 *
 * A Node that says it is 20 stands for an older one, which a machine need not have: it is what the command looks at, and the engine runs
 * under the Node that the package brings. The same file starts the command in a clone, which says what to type before it is set up. Rejected: `npm install` of the package here; it would fetch from a registry, which a test must not need.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { textOf } from '../repo/tree.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startNode } from '../support/engine.ts'
import { isRunning } from '../support/process-files.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
let folder: string
let command: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fg-installed-'))
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT, encoding: 'utf8' })
  const name = /fairgrab-[\w.-]+\.tgz/.exec(packed)?.[0] as string
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'fairgrab'), { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, name), '-C', join(modules, 'fairgrab'), '--strip-components=1'])
  for (const each of readdirSync(join(ROOT, 'node_modules')))
    if (!each.startsWith('.')) symlinkSync(join(ROOT, 'node_modules', each), join(modules, each))
  mkdirSync(join(modules, '.bin'))
  command = join(modules, '.bin', 'fairgrab')
  symlinkSync('../fairgrab/engine/processes/installed.mjs', command)
  // As npm does with what package.json names as a command.
  chmodSync(command, 0o755)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Without the hook that spares tests the stripping: it is a clone's. */
const BARE = { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, NODE_OPTIONS: '' }

function fairgrab(line: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise(done => {
    execFile(command, line.split(' '), { env: { ...BARE, ...env }, cwd: folder }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code), out: out.trimEnd(), err: err.trimEnd() }),
    )
  })
}

test('it says its version and its help, and that the benchmark is elsewhere', async () => {
  const { version } = JSON.parse(textOf('package.json')) as { version: string }
  expect(await fairgrab('--version')).toMatchObject({ code: 0, out: expect.stringContaining(`fairgrab ${version} `) })
  const { out: help } = await fairgrab('help')
  expect(help).toContain('fairgrab up')
  // It has none, so it names none.
  expect(help).not.toContain('bench')
  expect((await fairgrab('nope')).err).toMatch(/^fairgrab: there is no command "nope"; there are up, report, /)
  expect(await fairgrab('bench')).toMatchObject({ code: 2, err: expect.stringContaining('npm run bench in a clone') })
  expect(readdirSync(join(folder, 'node_modules', 'fairgrab')).sort()).toEqual(
    expect.arrayContaining(['engine', 'package.json', 'scripts']),
  )
})

test('the pages and files that its words name are in it, whatever the file that names them', () => {
  const own = join(folder, 'node_modules', 'fairgrab')
  const named = readdirSync(join(own, 'engine'), { recursive: true, encoding: 'utf8' })
    .filter(path => /\.(ts|js|mjs|html)$/.test(path))
    .flatMap(path => readFileSync(join(own, 'engine', path), 'utf8').match(/\b(docs|deploy)\/[\w-]+\.\w+/g) ?? [])
  expect(named).toEqual(expect.arrayContaining(['docs/config.md', 'docs/errors.md', 'deploy/redis-users.conf']))
  expect([...new Set(named)].filter(path => !existsSync(join(own, path)))).toEqual([])
})

test('a node of it serves the API and the pages, grants and redeems, and ends with 0', async () => {
  const node = await startNode({ NODE_OPTIONS: '' }, command)
  const api = new Api(node.url, KEYS.operator)
  const round = await makeRound(api)
  const env = { FAIRGRAB_URL: node.url, FAIRGRAB_KEY: KEYS.operator }
  const claimed = await fairgrab(`claim ${round.id} ada --json`, env)
  const [voucher] = (JSON.parse(claimed.out) as Granted).vouchers
  const redeemed = await fairgrab(`redeem ${voucher?.code} --order o1 --amount 5000 --currency CNY --merchant m1`, env)
  expect([claimed.code, redeemed.code, redeemed.err]).toEqual([0, 0, ''])
  for (const path of ['/', '/try/x', '/desk/page.js', '/openapi.json']) {
    const { status, body } = await fetch(node.url + path)
    expect([path, status]).toEqual([path, 200])
    await body?.cancel()
  }
  node.signal('SIGTERM')
  expect(await node.ended).toBe(0)
  await node.stop()
})

/** A program `node` that gives itself out for an older one; what it starts is none. */
function olderNode(): string {
  const [program, version] = [join(folder, 'node'), join(folder, 'older.mjs')]
  writeFileSync(version, `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })\n`)
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' --import '${version}' "$@"\n`, { mode: 0o755 })
  return program
}

test.each([
  ['an older Node', true],
  ['no packages', false],
])('npm run fairgrab in a fresh clone with %s says in one line what to type', (_, older) => {
  const clone = mkdtempSync(join(folder, 'clone-'))
  for (const each of ['engine', 'package.json', 'package-lock.json'])
    cpSync(join(ROOT, each), join(clone, each), { recursive: true })
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: { fairgrab: string } }
  const env = older ? { ...BARE, PATH: `${dirname(olderNode())}:${BARE.PATH}` } : BARE
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `${scripts.fairgrab} help`], {
    cwd: clone,
    env,
    encoding: 'utf8',
  })
  expect([status, stdout, stderr]).toEqual([
    1,
    '',
    'fairgrab: this clone is not set up; type npm start once, which installs the Node and the packages that it runs on\n',
  ])
})

test('under an older Node the engine ends in order when the command that started it is killed', async () => {
  const node = await startNode({ NODE_OPTIONS: '' }, command, olderNode())
  const pids = treeOf(node.pid).map(({ pid }) => pid)
  try {
    expect(treeOf(node.pid).map(({ name }) => name)).toEqual(expect.arrayContaining(['redis']))
    node.signal('SIGKILL')
    expect(await node.ended).toBe('SIGKILL')
    await expect.poll(() => pids.filter(isRunning), { timeout: 30_000, interval: 20 }).toEqual([])
    expect(node.words()).not.toContain('ends at once')
  } finally {
    for (const pid of pids.filter(isRunning)) process.kill(pid, 'SIGKILL')
    await node.stop()
  }
})
