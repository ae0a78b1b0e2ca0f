/**
 * The one gate: types, lint and format, dead code, then every test. The same here and on the build machine. With `--quick`
 * it takes the same steps with the tests that leave nothing behind (unit, script, repo), and tsc checks what changed.
 *
 * Each step is a row of STEPS and a program of node_modules/.bin; all of them run even when one fails, because a
 * list of everything that is wrong saves a round. The tools before the tests count as one check each; vitest
 * reports its own counts as JSON, beside what it prints. The closing line is `N passed, N failed`.
 *
 * A run that cannot fail is refused: no test found, a file that did not load, an error outside of any test or an
 * exit code that contradicts the counts are each one more failure. Arguments narrow vitest only
 * (`npm test -- test/unit`, `npm run quick -- test/repo`). Rejected: stopping at the first failure, and a second list of checks for machines.
 */

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const BIN = join(ROOT, 'node_modules', '.bin')

interface Step {
  readonly name: string
  readonly args: readonly string[]
  /** What the short form adds. */
  readonly quickly?: readonly string[]
}

const STEPS: readonly Step[] = [
  {
    name: 'tsc',
    args: ['-p', '.'],
    quickly: ['--incremental', '--tsBuildInfoFile', 'node_modules/.cache/types.tsbuildinfo'],
  },
  // The pages, which browsers run as they are.
  { name: 'tsc', args: ['-p', 'engine/dashboard'] },
  { name: 'biome', args: ['check', '--error-on-warnings'] },
  { name: 'knip', args: ['--config', '.ci/knip.json', '--no-progress'] },
]

interface Count {
  readonly passed: number
  readonly failed: number
}

/** Runs a program of node_modules/.bin to its end; its words go to this terminal, its exit code is the answer. */
function run({ name, args }: Step): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const PATH = `${BIN}${delimiter}${process.env.PATH ?? ''}`
  const child = spawn(join(BIN, name), args, {
    cwd: ROOT,
    env: { ...process.env, PATH },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  child.on('error', cause => {
    console.error(`${name}: ${cause.message}`)
    resolve(127)
  })
  child.on('close', code => resolve(code ?? 1))
  return promise
}

async function timed(name: string, check: () => Promise<Count>): Promise<Count> {
  const from = performance.now()
  const count = await check()
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  console.log(`${count.failed === 0 ? '✓' : '✗'} ${name} (${seconds} s)`)
  return count
}

/** vitest's report as counts; whatever contradicts them, or a report that is missing, counts as a failure. */
export function countTests(report: string, exitCode: number): Count {
  const counts: unknown = JSON.parse(report)
  const read = (name: string): number => {
    const value = (counts as Readonly<Record<string, unknown>>)[name]
    if (typeof value !== 'number') throw new Error(`the report of vitest has no ${name}`)
    return value
  }
  const passed = read('numPassedTests')
  const skipped = read('numPendingTests') + read('numTodoTests')
  if (skipped > 0) console.log(`  ${skipped} skipped`)
  const failed = read('numFailedTests')
  const silent = failed === 0 && (exitCode !== 0 || passed === 0)
  return { passed, failed: silent ? 1 : failed }
}

async function runTests(filters: readonly string[]): Promise<Count> {
  const folder = mkdtempSync(join(tmpdir(), 'check-'))
  const report = join(folder, 'tests.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  try {
    // Node reads the settings as they are; to bundle them first takes a second of one core.
    const exitCode = await run({ name: 'vitest', args: ['run', '--configLoader', 'native', ...reporters, ...filters] })
    return countTests(readFileSync(report, 'utf8'), exitCode)
  } catch (cause) {
    console.error(`vitest gave no report that can be read: ${String(cause)}`)
    return { passed: 0, failed: 1 }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const QUICK = '--quick'

/** The folders of the tests that leave nothing behind; all others are left out of the short form, whatever filters ask for. */
const PURE = 'repo|script|unit'

/** What vitest is given. */
export const filtersOf = (args: readonly string[]): readonly string[] =>
  args.map(arg => (arg === QUICK ? `--exclude=test/!(${PURE})/**` : arg))

const stepsFor = (args: readonly string[]): readonly Step[] =>
  STEPS.map(({ name, args: always, quickly = [] }) => ({
    name,
    args: args.includes(QUICK) ? [...always, ...quickly] : always,
  }))

const checkOf = (step: Step): Promise<Count> =>
  timed(step.name, async () => ((await run(step)) === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }))

async function check(args: readonly string[]): Promise<Count> {
  // Each of them keeps one core busy: together they are as quick as the slowest.
  const counts = await Promise.all(stepsFor(args).map(checkOf))
  counts.push(await timed('vitest', () => runTests(filtersOf(args))))
  return counts.reduce((sum, { passed, failed }) => ({ passed: sum.passed + passed, failed: sum.failed + failed }))
}

if (import.meta.main) {
  const { passed, failed } = await check(process.argv.slice(2))
  process.exitCode = failed === 0 ? 0 : 1
  console.log(`${passed} passed, ${failed} failed`)
}
