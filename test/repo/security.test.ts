/**
 * docs/security.md and the tests: a row names a file that holds a property, a test file, and a test of it by its title.
 *
 * Titles are read from the programs' syntax: the first argument of `test`, or of what `test.each` returns; what a template fills
 * in is written as `…`. The other way round, the files that were written for that page have no test without a row, but for
 * those that plant something to test the test. Rejected: a property's name in the test; a page says why in one place.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findNodes, isNode, ROOT, readRows, readTree, type SourceFile, sourceOf, textOf, unquote } from './tree.ts'

const PAGE = 'docs/security.md'
const WRITTEN_FOR_IT = [
  'test/server/strangers.test.ts',
  'test/server/secrecy.test.ts',
  'test/server/crash.test.ts',
  'test/unit/strict-inputs.test.ts',
  'test/unit/fuzz-files.test.ts',
  'test/unit/fuzz.test.ts',
  'test/repo/script-text.test.ts',
]

/** The titles of a file's tests; a call whose callee is itself a call is the one behind `.each`. */
function titlesOf(file: SourceFile): readonly string[] {
  return findNodes([file], ['CallExpression']).flatMap(({ node }) => {
    const callee = isNode(node.callee) ? sourceOf(file, node.callee) : ''
    const [first] = Array.isArray(node.arguments) ? node.arguments : []
    if (!/^test(\.\w+)*(\(|`|$)/.test(callee) || /^test\.(each|for)$/.test(callee) || !isNode(first)) return []
    if (first.type === 'Literal') return [String(first.value)]
    return first.type === 'TemplateLiteral'
      ? [
          sourceOf(file, first)
            .slice(1, -1)
            .replace(/\$\{[^}]*\}/g, '…'),
        ]
      : []
  })
}

function findStale(page: string, files: readonly SourceFile[], writtenForIt: readonly string[]): readonly string[] {
  const rows = readRows(page).filter(cells => cells[0] !== 'property')
  const titles = new Map(files.map(file => [file.path, titlesOf(file)]))
  const stale = rows.flatMap(([property = '', holder, path, title = '', ...more]) => {
    const [holds, test] = [unquote(holder), unquote(path)]
    if (!holds || !test || more.length > 0) return [`${property}: the row has not a file, a test and a title`]
    if (!existsSync(join(ROOT, holds))) return [`${property}: there is no ${holds}`]
    return titles.get(test)?.includes(title) ? [] : [`${property}: ${test} has no test "${title}"`]
  })
  const named = rows.map(cells => `${unquote(cells[2])} ${cells[3]}`)
  const missing = writtenForIt.flatMap(path =>
    (titles.get(path) ?? []).filter(title => !/^planted/.test(title) && !named.includes(`${path} ${title}`)),
  )
  return [...stale, ...missing.map(title => `${PAGE} has no row for "${title}"`)]
}

const tests = () => readTree().filter(({ path }) => path.endsWith('.test.ts'))

test('each row of the page names what holds it and a test that there is, and no test of its files lacks a row', () => {
  expect(findStale(textOf(PAGE), tests(), WRITTEN_FOR_IT)).toEqual([])
  expect(readRows(textOf(PAGE)).length).toBeGreaterThan(60)
})

const PLANTED: SourceFile = {
  path: 'test/unit/planted.test.ts',
  text: "test('one', () => {})\ntest.each([1])('two %s', () => {})\ntest(`" + '$' + '{N} three`, () => {})\n',
}
const row = (holder: string, path: string, title: string) => `| a | \`${holder}\` | \`${path}\` | ${title} |\n`
const GOOD = ['one', 'two %s', '… three'].map(title => row('package.json', PLANTED.path, title)).join('')

test.each([
  ['nothing wrong', GOOD, 0],
  ['a test that is gone', GOOD + row('package.json', PLANTED.path, 'four'), 1],
  ['a test file that is gone', GOOD + row('package.json', 'test/unit/none.test.ts', 'one'), 1],
  ['a holder that is gone', GOOD + row('engine/none.ts', PLANTED.path, 'one'), 1],
  ['a cell too few', `${GOOD}| a | b | c |\n`, 1],
  ['a test without a row', GOOD.split('\n').slice(1).join('\n'), 1],
])('planted: %s', (_, page, found) => {
  expect(findStale(page, [PLANTED], [PLANTED.path])).toHaveLength(found)
})
