/**
 * `npm run mutants`: plants each bug of plants.ts in a copy of the tree and runs the tests that have to notice.
 *
 *   npm run mutants                      all of them
 *   npm run mutants -- replica holder    those whose words contain one of these
 *   npm run mutants -- --rows 101-200    those of these places in the list, or of one: an hour's work in parts
 *   npm run mutants -- --list            their words, without running anything
 *
 * The copy is in a temporary folder with a link to node_modules; the tree itself is never touched. Before the first bug that
 * tests have to notice they run on the copy as it is, because a test that fails anyway would catch everything. A bug is
 * caught when its tests fail, and also when they do not end within the bound, which is told apart. Prints each fate and at
 * the end the survivors, and bugs whose tests fail without them; exit 0 when there is none, 1 else.
 *
 * Rejected: the pinned hashes of the scripts as a test here. They notice every change of a script and understand none.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { parseArgs } from 'node:util'
import { PLANTS, type Plant } from './plants.ts'

const ROOT = join(import.meta.dirname, '../..')
const NEEDED = [
  '.ci',
  '.github',
  'engine',
  'scripts',
  'bench',
  'test',
  'docs',
  'examples',
  'deploy',
  'LICENSE',
  'package-lock.json',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
]
/** How long tests may take without a bug; with one three times as long as they did then, and this at least. */
const SOUND_MS = 600_000
const BOUND_MS = 120_000

type Fate = 'caught' | 'hung' | 'survived' | 'unsound'

function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'fg-mutants-'))
  for (const name of NEEDED) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

interface Run {
  readonly more?: readonly string[]
  /** After so long they are ended. */
  readonly ms: number
}

interface Ran {
  readonly code: number
  readonly words: string
}

/** Runs test files in the copy; with `--bail=1` it ends at the first failure, now and then before that is counted. */
function runTests(copy: string, tests: readonly string[], { more = [], ms }: Run): Promise<Ran> {
  const bin = join(copy, 'node_modules/.bin')
  const files = tests.map(test => `test/${test}.test.ts`)
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}`, TEST_SEED: '1' }
  const child = spawn(join(bin, 'vitest'), ['run', ...more, ...files], { cwd: copy, env, detached: true })
  let words = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (data: Buffer) => {
      words = (words + data.toString('utf8')).slice(-20_000)
    })
  const { promise, resolve } = Promise.withResolvers<{ code: number; words: string }>()
  const end = () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  const bound = setTimeout(() => {
    end()
    resolve({ code: -1, words })
  }, ms)
  const stop = () => {
    end()
    rmSync(copy, { recursive: true, force: true })
    process.exit(130)
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  child.once('close', code => {
    clearTimeout(bound)
    process.off('SIGINT', stop).off('SIGTERM', stop)
    resolve({ code: code ?? 1, words })
  })
  return promise
}

async function tryPlant(copy: string, { file, text, instead, tests }: Plant, ms: number): Promise<Fate> {
  const path = join(copy, file)
  const sound = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    sound.replace(text, () => instead),
  )
  try {
    const hasVerdict = ({ code, words }: Ran) => code <= 0 || /Tests .*failed|Suites .*failed/.test(words)
    const quick = await runTests(copy, tests, { more: ['--bail=1'], ms })
    const { code, words } = hasVerdict(quick) ? quick : await runTests(copy, tests, { ms })
    if (code === -1) return 'hung'
    if (!hasVerdict({ code, words })) throw new Error(`the tests did not run:\n${words}`)
    return code === 0 ? 'survived' : 'caught'
  } finally {
    writeFileSync(path, sound)
  }
}

const HELP = `npm run mutants: plants bugs in a copy of the tree and runs the tests that have to notice

  npm run mutants                      all ${PLANTS.length} of them, about ten seconds each
  npm run mutants -- replica holder    those whose words contain one of these
  npm run mutants -- --rows 101-200    those of these places in the list, or of one: an hour's work in parts
  npm run mutants -- --list            their words, without running anything

Exit codes: 0 all were caught, 1 one survived or the tests fail without a bug, 2 wrong usage.`

interface Wanted {
  readonly plants: readonly Plant[]
  readonly lists: boolean
}

/** The plants that are asked for; throws with what is wrong. */
export function wantedOf(args: readonly string[]): Wanted {
  const options = { help: { type: 'boolean' }, list: { type: 'boolean' }, rows: { type: 'string' } } as const
  const { values, positionals: words } = parseArgs({ args: [...args], options, allowPositionals: true })
  const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(values.rows ?? `1-${PLANTS.length}`) ?? []
  if (!from || !to || Number(from) < 1 || Number(to) < Number(from) || Number(to) > PLANTS.length)
    throw new Error(`--rows is ${values.rows}: give one place or two from 1 to ${PLANTS.length}, as in 5 or 101-200`)
  const plants = PLANTS.slice(Number(from) - 1, Number(to)).filter(
    ({ bug }) => words.length === 0 || words.some(word => bug.includes(word)),
  )
  if (plants.length === 0)
    throw new Error(`no planted bug has one of these words: ${words.join(' ')}; --list shows all of them`)
  return { plants, lists: values.list ?? false }
}

/** How long tests take on the copy as it is, milliseconds; undefined where they fail. */
async function soundMs(copy: string, test: string): Promise<number | undefined> {
  const from = performance.now()
  const { code, words } = await runTests(copy, [test], { ms: SOUND_MS })
  if (code === 0) return performance.now() - from
  console.log(`  ${test} fails without a bug, and proves nothing:\n${words}`)
  return undefined
}

/** Plants one after the other, and says what became of all. */
async function tryAll(copy: string, plants: readonly Plant[]): Promise<number> {
  const fates: Record<Fate, string[]> = { caught: [], hung: [], survived: [], unsound: [] }
  const taken = new Map<string, number | undefined>()
  for (const [at, plant] of plants.entries()) {
    for (const test of plant.tests) if (!taken.has(test)) taken.set(test, await soundMs(copy, test))
    const times = plant.tests.map(test => taken.get(test))
    const bound = Math.max(BOUND_MS, 3 * times.reduce<number>((sum, ms = 0) => sum + ms, 0))
    const fate = times.includes(undefined) ? 'unsound' : await tryPlant(copy, plant, bound)
    fates[fate].push(`${plant.bug} (${plant.file})`)
    const isSeen = fate === 'caught' || fate === 'hung'
    console.log(`${isSeen ? '✓' : '✗'} ${at + 1}/${plants.length} ${fate}: ${plant.bug}`)
  }
  console.log(
    `${Object.entries(fates)
      .map(([fate, { length }]) => `${length} ${fate}`)
      .join(', ')} of ${plants.length}`,
  )
  for (const fate of ['survived', 'unsound'] as const) for (const bug of fates[fate]) console.log(`  ${fate}: ${bug}`)
  return fates.survived.length + fates.unsound.length === 0 ? 0 : 1
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(HELP)
    return 0
  }
  let wanted: Wanted
  try {
    wanted = wantedOf(args)
  } catch (cause) {
    console.error((cause as Error).message)
    return 2
  }
  if (wanted.lists) {
    for (const { bug, file } of wanted.plants) console.log(`${bug} (${file})`)
    return 0
  }
  const copy = copyTree()
  try {
    return await tryAll(copy, wanted.plants)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
