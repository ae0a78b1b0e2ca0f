/**
 * `npm run mutants`: plants each bug of plants.ts in a copy of the tree and runs the tests that have to notice.
 *
 *   npm run mutants                      all of them
 *   npm run mutants -- replica holder    those whose words contain one of these
 *   npm run mutants -- --list            their words, without running anything
 *
 * The copy is in a temporary folder with a link to node_modules; the tree itself is never touched. First the tests run
 * on the copy as it is, because a test that fails anyway would catch everything. A bug is caught when its tests fail,
 * and also when they do not end within the bound, which is told apart. Prints each fate and at the end the survivors;
 * exit 0 when there is none, 1 else.
 *
 * Rejected: the pinned hashes of the scripts as a test here. They notice every change of a script and understand none.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { PLANTS, type Plant } from './plants.ts'

const ROOT = join(import.meta.dirname, '../..')
const NEEDED = [
  '.ci',
  'engine',
  'scripts',
  'bench',
  'test',
  'docs',
  'examples',
  'deploy',
  'package-lock.json',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
]
const BOUND_MS = 120_000
/** All tests of all plants, before the first is planted. */
const SOUND_MS = 1_800_000

type Fate = 'caught' | 'hung' | 'survived'

function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'fg-mutants-'))
  for (const name of NEEDED) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

interface Ran {
  readonly code: number
  readonly words: string
}

/** Runs test files in the copy; with `--bail=1` it ends at the first failure, now and then before that is counted. */
function runTests(copy: string, tests: readonly string[], more: readonly string[] = [], ms = BOUND_MS): Promise<Ran> {
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

async function tryPlant(copy: string, { file, text, instead, tests }: Plant): Promise<Fate> {
  const path = join(copy, file)
  const sound = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    sound.replace(text, () => instead),
  )
  try {
    const hasVerdict = ({ code, words }: Ran) => code <= 0 || /Tests .*failed|Suites .*failed/.test(words)
    const quick = await runTests(copy, tests, ['--bail=1'])
    const { code, words } = hasVerdict(quick) ? quick : await runTests(copy, tests)
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
  npm run mutants -- --list            their words, without running anything

Exit codes: 0 all were caught, 1 one survived or the tests fail without a bug, 2 wrong usage.`

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help')) {
    console.log(HELP)
    return 0
  }
  const plants = PLANTS.filter(
    ({ bug }) => words.every(word => word === '--list') || words.some(word => bug.includes(word)),
  )
  if (words.includes('--list')) {
    for (const { bug, file } of plants) console.log(`${bug} (${file})`)
    return 0
  }
  if (plants.length === 0) {
    console.error(`no planted bug has one of these words: ${words.join(' ')}; --list shows all of them`)
    return 2
  }
  const copy = copyTree()
  const fates: Record<Fate, string[]> = { caught: [], hung: [], survived: [] }
  try {
    const sound = await runTests(copy, [...new Set(plants.flatMap(({ tests }) => tests))], [], SOUND_MS)
    if (sound.code !== 0) throw new Error(`the tests fail without any bug, so they prove nothing:\n${sound.words}`)
    for (const [at, plant] of plants.entries()) {
      const fate = await tryPlant(copy, plant)
      fates[fate].push(`${plant.bug} (${plant.file})`)
      console.log(`${fate === 'survived' ? '✗' : '✓'} ${at + 1}/${plants.length} ${fate}: ${plant.bug}`)
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
  const { caught, hung, survived } = fates
  console.log(`${caught.length} caught, ${hung.length} hung, ${survived.length} survived of ${plants.length}`)
  for (const survivor of survived) console.log(`  survived: ${survivor}`)
  return plants.length > 0 && survived.length === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
