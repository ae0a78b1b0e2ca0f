/**
 * Every fault test is a row of `npm run fault`, and every row is a test file: a fault that the long run forgets is one
 * that nobody proves. The names are compared in both directions. Each row ends with the verdict of a witness
 * (test/support/witness), or says in its opening comment why it has none.
 *
 * Rejected: a run that takes whatever files there are, because a row also has its bound in minutes.
 */

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROWS, readOrder } from '../fault/run.ts'
import { compareSides, ROOT, textOf } from './tree.ts'

const compare = (files: readonly string[], rows: readonly string[]) =>
  compareSides(
    files.filter(file => file.endsWith('.test.ts')).map(file => file.replace('.test.ts', '')),
    rows,
    ['test/fault', 'the rows of npm run fault'],
  )

test('the rows of npm run fault are the files of test/fault', () => {
  const files = readdirSync(join(ROOT, 'test/fault'))
  expect(
    compare(
      files,
      ROWS.map(({ name }) => name),
    ),
  ).toEqual([])
})

test('a planted file without a row, and a row without a file, are found', () => {
  expect(compare(['a.test.ts', 'run.ts'], ['b'])).toHaveLength(2)
})

const isWitnessed = (text: string): boolean =>
  /expect\(.*await witness\.verdict\(\)\]?\)\.toEqual/.test(text) || /No witness:\s\S/.test(text.split('*/')[0] ?? '')

test('every row ends with the verdict of a witness, or says why it has none', () => {
  const silent = ROWS.filter(({ name }) => !isWitnessed(textOf(`test/fault/${name}.test.ts`)))
  expect(silent.map(({ name }) => name)).toEqual([])
})

test.each([
  ['/** A row. */ await crowd.audit()', false],
  ['/** A row. */ await witness.verdict()', false],
  ['/** A row. No witness: */ x', false],
  ['/** A row. */ expect(await witness.verdict()).toEqual([])', true],
  ['/** A row. No witness: nothing has a door. */ x', true],
])('a planted row: %s', (text, witnessed) => {
  expect(isWitnessed(text)).toBe(witnessed)
})

const FAULT = join(ROOT, 'test/fault/run.ts')

test('npm run fault has its rows in its help, and refuses by name what it does not know', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, [FAULT, ...args], { encoding: 'utf8' })
  const help = run('--help')
  expect(help.status).toBe(0)
  for (const { name } of ROWS) expect(help.stdout).toContain(`  ${name} `)
  for (const name of ['TEST_EFFORT', 'SOAK_MINUTES']) expect(help.stdout).toContain(`  ${name}=`)
  const wrong = run('--efort', 'long')
  expect(wrong.status).toBe(2)
  expect(wrong.stderr).toMatch(/--efort[\s\S]*Exit codes/)
  expect(wrong.stderr).not.toMatch(/\bat .*run\.ts/)
  expect(() => readOrder(['replica'])).toThrow('there is no row replica')
  expect(() => readOrder(['--effort', 'lnog', 'replicas'])).toThrow(/lnog, not smoke, middle, long/)
  expect(readOrder(['replicas', '--json'], 'middle')).toMatchObject({
    effort: 'middle',
    json: true,
    rows: [{ name: 'replicas' }],
  })
})
