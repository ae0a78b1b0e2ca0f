/**
 * The table of outcomes, the scripts and docs/errors.md agree, in every direction.
 *
 * Numbers and codes are unique, and what is retired is never used again: programs outside of this repository key on
 * them. A script names outcomes as `CODE.sold_out`, the loader puts the numbers in; a name that is not in the table
 * would be nil there, and a bare number in a reply could not be read at all. A code that neither a script nor the
 * engine says is dead and has to go.
 *
 * docs/errors.md has a row an outcome (code, number, status) and a row a close code (name, close).
 */

import { expect, test } from 'vitest'
import { CLOSE_CODES, CODES, RETIRED } from '../../engine/base/codes.ts'
import {
  compareSides,
  findNodes,
  isLua,
  lineOf,
  readRows,
  readTree,
  type SourceFile,
  sourceOf,
  textOf,
  unquote,
} from './tree.ts'

interface Outcome {
  readonly number: number
  readonly status: number
}
type Table = Readonly<Record<string, Outcome>>

function findRepeated(table: Table, retired: typeof RETIRED): readonly string[] {
  const numbers = Object.values(table).map(({ number }) => number)
  const twice = numbers.filter((number, place) => numbers.indexOf(number) !== place)
  const back = retired.filter(({ number, code }) => numbers.includes(number) || code in table)
  return [...twice.map(number => `the number ${number} stands twice`), ...back.map(({ code }) => `${code} was retired`)]
}

function stripComments(lua: string): string {
  return lua.replace(/--.*$/gm, '')
}

function findUnknownCodes(scripts: readonly SourceFile[], table: Table): readonly string[] {
  return scripts.flatMap(file => {
    const named = [...stripComments(file.text).matchAll(/\bCODE\s*(?:\.\s*(\w+)|\[)/g)]
    return named.flatMap(({ 1: code, index }) => {
      const at = `${file.path}:${lineOf(file, index)}`
      if (code === undefined) return [`${at} names an outcome by a value`]
      return code in table ? [] : [`${at} names ${code}, which is not in the table`]
    })
  })
}

function findBareNumbers(scripts: readonly SourceFile[]): readonly string[] {
  return scripts.flatMap(file =>
    [...stripComments(file.text).matchAll(/\breturn\s*\{\s*\d/g)].map(
      ({ index }) => `${file.path}:${lineOf(file, index)} replies with a bare number`,
    ),
  )
}

function findDeadCodes(files: readonly SourceFile[], table: Table): readonly string[] {
  const engine = files.filter(({ path }) => path.startsWith('engine/') && path !== 'engine/base/codes.ts')
  const said = new Set(findNodes(engine, ['Literal']).map(({ node }) => node.value))
  const accessed = findNodes(engine, ['MemberExpression']).map(({ file, node }) => sourceOf(file, node))
  const scripts = files.filter(isLua).map(({ text }) => stripComments(text))
  return Object.keys(table)
    .filter(code => !said.has(code) && !accessed.includes(`CODES.${code}`))
    .filter(code => !scripts.some(text => new RegExp(`\\bCODE\\.${code}\\b`).test(text)))
    .map(code => `${code} is said by nothing`)
}

function compareWithDocs(markdown: string, table: Table, closes: Readonly<Record<string, { close: number }>>) {
  const rows = readRows(markdown).filter(([first]) => unquote(first) !== undefined)
  const isClose = (cells: readonly string[]): boolean => Number(cells[1]) >= 1000
  const outcomes = rows.filter(cells => !isClose(cells)).map(cells => `${unquote(cells[0])} ${cells[1]} ${cells[2]}`)
  const closed = rows.filter(isClose).map(cells => `${unquote(cells[0])} ${cells[1]}`)
  const names = ['engine/base/codes.ts', 'docs/errors.md'] as const
  return [
    ...compareSides(
      Object.entries(table).map(([code, row]) => `${code} ${row.number} ${row.status}`),
      outcomes,
      names,
    ),
    ...compareSides(
      Object.entries(closes).map(([name, { close }]) => `${name} ${close}`),
      closed,
      names,
    ),
  ]
}

test('no number and no code is used twice or used again', () => {
  expect(findRepeated(CODES, RETIRED)).toEqual([])
})

test('every outcome that a script names is in the table', () => {
  const scripts = readTree().filter(isLua)
  expect(scripts).not.toEqual([])
  expect([...findUnknownCodes(scripts, CODES), ...findBareNumbers(scripts)]).toEqual([])
})

test('every outcome is said by a script or by the engine', () => {
  expect(findDeadCodes(readTree(), CODES)).toEqual([])
})

test('docs/errors.md lists the table and the close codes, and nothing else', () => {
  expect(compareWithDocs(textOf('docs/errors.md'), CODES, CLOSE_CODES)).toEqual([])
})

const PLANTED: Table = { granted: { number: 0, status: 201 }, sold_out: { number: 3, status: 409 } }
const ERRORS =
  '| code | number | status |\n|---|---|---|\n| `granted` | 0 | 201 |\n| `sold_out` | 3 | 409 |\n| `idle` | 4408 | yes |\n'

test('planted: numbers and codes that are used again', () => {
  expect(findRepeated(PLANTED, [])).toEqual([])
  expect(findRepeated({ ...PLANTED, other: { number: 3, status: 400 } }, [])).toHaveLength(1)
  expect(findRepeated(PLANTED, [{ number: 3, code: 'gone', since: '0.1.0' }])).toHaveLength(1)
  expect(findRepeated(PLANTED, [{ number: 99, code: 'granted', since: '0.1.0' }])).toHaveLength(1)
})

test.each(['return { CODE.sold_uot }', 'return { CODE[name] }', 'return { 3 }'])('planted script: %s', text => {
  const scripts = [{ path: 'scripts/a.lua', text }]
  expect([...findUnknownCodes(scripts, PLANTED), ...findBareNumbers(scripts)]).toHaveLength(1)
})

test('planted: a code that nothing says', () => {
  const files = [
    { path: 'scripts/a.lua', text: '-- CODE.sold_out\nreturn { CODE.granted }' },
    { path: 'engine/base/codes.ts', text: "const a = 'sold_out'" },
  ]
  expect(findDeadCodes(files, PLANTED)).toEqual(['sold_out is said by nothing'])
})

test.each([
  [ERRORS, 0],
  [ERRORS.replace('| 409 |', '| 410 |'), 2],
  [ERRORS.replace('| `sold_out` | 3 | 409 |\n', ''), 1],
  [`${ERRORS}| \`strange\` | 77 | 400 |\n`, 1],
  [ERRORS.replace('4408', '4409'), 2],
])('planted docs/errors.md (%#) breaks the rule %#', (markdown, breaks) => {
  expect(compareWithDocs(markdown, PLANTED, { idle: { close: 4408 } })).toHaveLength(breaks)
})
