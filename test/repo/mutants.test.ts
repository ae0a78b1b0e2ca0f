/**
 * The planted bugs of `npm run mutants` still apply: each text stands in its file exactly once, each changes something,
 * and each has tests that exist. Whether the tests notice them takes minutes and is the long command's question.
 *
 * Rejected: line numbers in the rows, which every change above them would break, or silently move to another line.
 */

import { existsSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PLANTS, type Plant } from '../mutants/plants.ts'
import { wantedOf } from '../mutants/run.ts'
import { ROOT, textOf } from './tree.ts'

const PLANTS_MIN = 30

/** What is wrong with a program; a bug that cannot even be read is noticed by whatever runs. */
function misread(source: string): string | undefined {
  try {
    stripTypeScriptTypes(source)
    return undefined
  } catch (cause) {
    return (cause as Error).message.split('\n', 1)[0]
  }
}

const findUnreadable = (plants: readonly Plant[]): readonly string[] =>
  plants.flatMap(({ bug, file, text, instead }) => {
    const wrong = /\.(ts|m?js)$/.test(file) ? misread(textOf(file).replace(text, () => instead)) : undefined
    return wrong === undefined ? [] : [`${bug}: ${file} cannot be read with it: ${wrong}`]
  })

const findStale = (plants: readonly Plant[]): readonly string[] =>
  plants.flatMap(({ bug, file, text, instead, tests }) => {
    const times = textOf(file).split(text).length - 1
    return [
      ...(times === 1 ? [] : [`${bug}: its text stands ${times} times in ${file}`]),
      ...(text === instead ? [`${bug}: it changes nothing`] : []),
      ...(tests.length > 0 ? [] : [`${bug}: no test is to notice`]),
      ...tests.filter(name => !existsSync(join(ROOT, `test/${name}.test.ts`))).map(name => `${bug}: no test ${name}`),
    ]
  })

test('every planted bug applies, once', () => {
  expect(findStale(PLANTS)).toEqual([])
  expect(PLANTS.length).toBeGreaterThanOrEqual(PLANTS_MIN)
  expect(new Set(PLANTS.map(({ bug }) => bug)).size).toBe(PLANTS.length)
})

test('a program can be read with each planted bug', () => {
  expect(findUnreadable(PLANTS)).toEqual([])
  const broken = { bug: 'b', file: 'test/mutants/plant.ts', text: 'export', instead: 'export export', tests: [] }
  expect(findUnreadable([broken])).toEqual([
    expect.stringMatching(/^b: test\/mutants\/plant\.ts cannot be read with it: ./),
  ])
})

test.each([
  [{ text: 'no such text' }, 1],
  [{ text: 'redis.call' }, 1],
  [{ instead: 'local grant = held[i] or seen[user]' }, 1],
  [{ tests: [] }, 1],
  [{ tests: ['unit/none'] }, 1],
  [{}, 0],
])('a stale row is found: %o', (change, findings) => {
  const row = {
    bug: 'b',
    file: 'scripts/claim.lua',
    text: 'local grant = held[i] or seen[user]',
    instead: '',
    tests: ['script/claim'],
  }
  expect(findStale([{ ...row, ...change }])).toHaveLength(findings)
})

test('an hour of planted bugs can be run in parts, and what names none of them is refused by name', () => {
  const half = PLANTS.length >> 1
  const parts = [`1-${half}`, `${half + 1}-${PLANTS.length}`].flatMap(rows => wantedOf(['--rows', rows]).plants)
  expect(parts).toEqual(PLANTS)
  const first = PLANTS[0] as Plant
  expect(wantedOf([first.bug, '--rows', '1-1', '--list'])).toEqual({ plants: [first], lists: true })
  expect(wantedOf(['--rows', '3']).plants).toEqual([PLANTS[2]])
  for (const rows of ['0-1', '2-1', `1-${PLANTS.length + 1}`, '0', '3-', `${PLANTS.length + 1}`])
    expect(() => wantedOf(['--rows', rows])).toThrow(`--rows is ${rows}: give one place or two from 1 to`)
  expect(() => wantedOf(['no such words'])).toThrow('no planted bug has one of these words: no such words')
  expect(() => wantedOf(['--row', '1-2'])).toThrow("Unknown option '--row'")
})
