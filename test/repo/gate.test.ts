/**
 * The gate can fail: what .ci/check.ts counts, what .ci/run says last, and what the set-up step installs.
 *
 * Both programs run here as they are, as child processes in a folder of their own; only what they call stands in:
 * an `npm` that prints given lines and ends with a given code, and a package manager that "installs" by making a
 * file. Nothing is downloaded, and nothing of this machine's PATH can answer for a program that should be missing.
 * The real installation is run by hand from a fresh clone, because a test may not change the machine it runs on.
 */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, matchesGlob } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { countTests, filtersOf } from '../../.ci/check.ts'
import { ROOT, textOf } from './tree.ts'

const LOCK = '{"name":"planted"}'
const TOOLS = [
  'sh',
  'bash',
  'env',
  'dirname',
  'mktemp',
  'tee',
  'tail',
  'grep',
  'rm',
  'cat',
  'chmod',
  'touch',
  'mkdir',
  'cp',
  'true',
]
/** What only the tests need. */
const OF_TESTS = ['chromium', 'wrk', 'nginx', 'haproxy', 'caddy', 'openssl']

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gate-'))
  for (const part of ['deploy', '.ci', 'bin', 'node_modules/.bin']) mkdirSync(join(folder, part), { recursive: true })
  cpSync(join(ROOT, 'deploy/set-up.mjs'), join(folder, 'deploy/set-up.mjs'))
  cpSync(join(ROOT, '.ci/run'), join(folder, '.ci/run'))
  writeFileSync(join(folder, 'package-lock.json'), LOCK)
  for (const tool of TOOLS) symlinkSync(place(tool), join(folder, 'bin', tool))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Where this machine has a tool. A link, because a wrapper that sets PATH would let the real programs in again. */
function place(tool: string): string {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map(part => join(part, tool))
    .find(path => existsSync(path))
  if (found === undefined) throw new Error(`this machine has no ${tool}`)
  return found
}

function plant(name: string, script: string): void {
  const path = join(folder, 'bin', name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
}

function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const PATH = join(folder, 'bin')
  const options = {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH, POLICY_RC_D: join(folder, 'policy-rc.d'), ...env },
  } as const
  const { status, stdout, stderr } = spawnSync(program, args, { ...options, timeout: 100_000 })
  return { status, lines: stdout.trim().split('\n'), stderr }
}

const setUp = (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
  run(process.execPath, ['deploy/set-up.mjs', ...args], env)

function stamp(): void {
  writeFileSync(join(folder, 'node_modules/.fairgrab-setup'), createHash('sha256').update(LOCK).digest('hex'))
}

test.each([
  ['all passed', [3, 0, 0, 0], 0, { passed: 3, failed: 0 }],
  ['one failed', [3, 1, 0, 0], 1, { passed: 3, failed: 1 }],
  ['a file that did not load', [3, 0, 0, 0], 1, { passed: 3, failed: 1 }],
  ['no test at all', [0, 0, 0, 0], 0, { passed: 0, failed: 1 }],
  ['all skipped', [0, 0, 5, 0], 0, { passed: 0, failed: 1 }],
] as const)('counts: %s', (_, [numPassedTests, numFailedTests, numPendingTests, numTodoTests], exitCode, expected) => {
  const report = JSON.stringify({ numPassedTests, numFailedTests, numPendingTests, numTodoTests })
  expect(countTests(report, exitCode)).toEqual(expected)
})

test('a report without counts is refused', () => {
  expect(() => countTests('{}', 0)).toThrow('numPassedTests')
})

test('the short form is the same tests without those that leave something behind, and filters go on', () => {
  const [left, ...filters] = filtersOf(['--quick', 'test/repo'])
  expect([filters, filtersOf([])]).toEqual([['test/repo'], []])
  const [, glob = ''] = /^--exclude=(.*)$/.exec(left as string) ?? []
  const kept = globSync('test/*/*.test.ts', { cwd: ROOT }).filter(path => !matchesGlob(path, glob))
  expect([...new Set(kept.map(path => path.split('/')[1]))].sort()).toEqual(['repo', 'script', 'unit'])
})

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly container: { readonly image: string }; readonly steps: Step[] }>>
}
interface Step {
  readonly run?: string
}

test('the workflow runs .ci/run and no list of checks of its own, on the Node that the image has', () => {
  const { jobs } = parse(textOf('.github/workflows/tests.yml')) as Workflow
  for (const { container, steps } of Object.values(jobs)) {
    expect(steps.at(-1)?.run?.trim().split('\n').at(-1)).toBe('.ci/run')
    expect(steps.map(({ run = '' }) => run).join('\n')).not.toMatch(/\b(npm|npx|vitest|tsc|biome|knip)\b/)
    expect(textOf('deploy/Dockerfile')).toContain(`FROM ${container.image}-slim`)
  }
})

test('the templates of the forge can be read', () => {
  for (const name of ['bug', 'idea', 'config']) expect(parse(textOf(`.github/ISSUE_TEMPLATE/${name}.yml`))).toBeTruthy()
})

test.each([
  ['echo "12 passed, 0 failed"', 0, '12 passed, 0 failed'],
  ['echo "12 passed, 1 failed"; exit 1', 1, '12 passed, 1 failed'],
  ['echo "12 passed, 0 failed"; echo late', 0, '12 passed, 0 failed'],
  ['echo broken; exit 7', 7, '0 passed, 1 failed'],
  ['echo silent', 1, '0 passed, 1 failed'],
  ['read line && echo "1 passed, 0 failed"', 1, '0 passed, 1 failed'],
])('.ci/run after an npm that does: %s', (npm, status, last) => {
  plant('npm', npm)
  const result = run(join(folder, '.ci/run'), [])
  expect([result.status, result.lines.at(-1)]).toEqual([status, last])
})

test('.ci/run is a shell program', () => {
  expect(spawnSync('bash', ['-n', join(ROOT, '.ci/run')]).status).toBe(0)
  const checked = spawnSync('shellcheck', [join(ROOT, '.ci/run')], { encoding: 'utf8' })
  if (checked.error === undefined) expect(checked.stdout).toBe('')
})

test('set-up says nothing and does nothing when nothing is missing', () => {
  stamp()
  for (const program of ['redis-server', ...OF_TESTS]) plant(program, 'exit 0')
  expect(setUp(['--test'])).toEqual({ status: 0, lines: [''], stderr: '' })
})

test('set-up installs the packages, once for a lock file', () => {
  plant('npm', 'echo "npm $*"; mkdir -p node_modules/.bin && cp bin/redis-server node_modules/.bin/node')
  plant('redis-server', 'exit 0')
  expect(setUp().lines.filter(line => line.startsWith('npm install --omit=dev'))).toHaveLength(1)
  expect(setUp().lines).toEqual([''])
  writeFileSync(join(folder, 'package-lock.json'), `${LOCK}\n`)
  expect(setUp().lines.filter(line => line.startsWith('npm install'))).toHaveLength(1)
})

test('set-up leaves out what the engine does not run on until something needs it, and takes nothing away', () => {
  for (const program of ['redis-server', ...OF_TESTS]) plant(program, 'exit 0')
  plant('npm', 'echo "npm $*"; cp bin/redis-server node_modules/.bin/node; mkdir -p "node_modules/$(cat installs)"')
  const installs = (folders: string) => writeFileSync(join(folder, 'installs'), folders)
  const asked = (...args: string[]) => setUp(args).lines.find(line => line.startsWith('npm'))
  installs('')
  expect([asked(), asked()]).toEqual([expect.stringMatching(/^npm install --omit=dev /), undefined])
  installs('vitest')
  expect([asked('--dev'), asked('--test'), asked('--dev'), asked()]).toEqual([
    expect.stringMatching(/^npm install --include=dev /),
    ...[undefined, undefined, undefined],
  ])
  writeFileSync(join(folder, 'package-lock.json'), `${LOCK}\n`)
  expect([asked(), asked('--test')]).toEqual([expect.stringMatching(/^npm install --include=dev /), undefined])
})

test('set-up ends with what to type when npm fails, and tries again the next time', () => {
  plant('npm', 'exit 3')
  for (const _ of [1, 2]) {
    const { status, stderr } = setUp()
    expect([status, stderr]).toEqual([1, expect.stringContaining('exit 3')])
  }
})

test.each(['apt-get', 'dnf', 'apk', 'pacman', 'brew'])('set-up installs a Redis by %s', manager => {
  stamp()
  plant(manager, `echo "$*" >>${folder}/asked; cp ${folder}/bin/sh ${folder}/bin/redis-server`)
  plant('sudo', 'shift; exec "$@"')
  const { status, lines } = setUp()
  expect([status, lines]).toEqual([0, [expect.stringContaining(`set-up: redis-server is missing: ${manager}`)]])
  expect(readFileSync(join(folder, 'asked'), 'utf8')).toMatch(/redis|valkey/)
  expect(existsSync(join(folder, 'bin/redis-server'))).toBe(true)
})

test('on Debian no service starts with the package, and the policy that held it back is gone afterwards', () => {
  stamp()
  plant('apt-get', `cat ${folder}/policy-rc.d >${folder}/asked; cp ${folder}/bin/sh ${folder}/bin/redis-server`)
  plant('sudo', 'shift; exec "$@"')
  expect(setUp().status).toBe(0)
  expect(readFileSync(join(folder, 'asked'), 'utf8')).toBe('#!/bin/sh\nexit 101\n')
  expect(existsSync(join(folder, 'policy-rc.d'))).toBe(false)
})

test('set-up ends with what to type when the Redis cannot be installed', () => {
  stamp()
  plant('apt-get', 'echo "no network"; exit 100')
  plant('sudo', 'shift; exec "$@"')
  const { status, lines, stderr } = setUp()
  expect(status).toBe(1)
  expect(lines).toContain('set-up:   no network')
  expect(stderr).toContain('apt-get install')
  expect(stderr).toContain('REDIS_URL=')
  expect(setUp([], { REDIS_URL: 'redis://localhost' }).status).toBe(0)
})

test('set-up lets tests use containers, but does not start the engine on them', () => {
  stamp()
  for (const program of ['docker', ...OF_TESTS]) plant(program, 'exit 0')
  expect(setUp(['--test'])).toMatchObject({ status: 0, lines: [expect.stringContaining('containers')] })
  expect(setUp().status).toBe(1)
})

test.each(OF_TESTS)('a machine without %s does not pass silently, and one with apt-get gets it', missing => {
  stamp()
  for (const program of ['redis-server', ...OF_TESTS]) if (program !== missing) plant(program, 'exit 0')
  expect(setUp().status).toBe(0)
  expect(setUp(['--test'])).toMatchObject({ status: 1, stderr: expect.stringContaining(`need ${missing}`) })
  plant('apt-get', `cp ${folder}/bin/sh ${folder}/bin/${missing}`)
  plant('sudo', 'shift; exec "$@"')
  const line = expect.stringContaining(`set-up: ${missing} is missing: apt-get`)
  expect(setUp(['--test'])).toMatchObject({ status: 0, lines: [line] })
})
