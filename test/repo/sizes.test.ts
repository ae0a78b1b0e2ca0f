/**
 * Small things, no tail: a function has at most 60 lines, a file 400, a script 60, docs/ARCHITECTURE.md 200.
 *
 * There is no list of exceptions, because a tail grows where one begins. A function counts from its first line to
 * its last, with what is nested in it. The callback of `describe` is the frame of a file of tests and not a
 * function that somebody calls, so only the limit of the file is its limit.
 *
 * Biome's rule for long functions was rejected: it leaves out comments and blank lines, and cannot be handed a
 * planted file. A script here is the file as it is written, without the library functions that it includes.
 */

import { expect, test } from 'vitest'
import { findNodes, isLua, isNode, lineOf, readTree, type SourceFile } from './tree.ts'

const FUNCTION_LINES_MAX = 60
const FILE_LINES_MAX = 400
const SCRIPT_LINES_MAX = 60
const ARCHITECTURE_LINES_MAX = 200

const FUNCTIONS = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']
const COUNTED = /^(engine|bench|test|scripts|examples|\.ci|deploy)\/(.*\.(ts|mts|js|mjs|css|html|sh|conf)|run)$/

function linesOf(text: string): number {
  return text.replace(/\n$/, '').split('\n').length
}

function findLongFunctions(files: readonly SourceFile[]): readonly string[] {
  return findNodes(files, FUNCTIONS).flatMap(({ file, node, ancestors, at }) => {
    const caller = ancestors.at(-1)
    const callee = caller?.type === 'CallExpression' && isNode(caller.callee) ? caller.callee : undefined
    if (callee?.type === 'Identifier' && callee.name === 'describe') return []
    const lines = lineOf(file, node.end) - lineOf(file, node.start) + 1
    return lines <= FUNCTION_LINES_MAX ? [] : [`${at} has ${lines} lines`]
  })
}

function limitOf({ path }: SourceFile): number {
  if (isLua({ path, text: '' })) return SCRIPT_LINES_MAX
  if (path === 'docs/ARCHITECTURE.md') return ARCHITECTURE_LINES_MAX
  return COUNTED.test(path) ? FILE_LINES_MAX : Number.POSITIVE_INFINITY
}

function findLongFiles(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(file => {
    const lines = linesOf(file.text)
    return lines <= limitOf(file) ? [] : [`${file.path} has ${lines} lines, ${limitOf(file)} are allowed`]
  })
}

test('no function is too long', () => {
  expect(findLongFunctions(readTree())).toEqual([])
})

test('no file, script or architecture page is too long', () => {
  expect(readTree().map(({ path }) => path)).toContain('docs/ARCHITECTURE.md')
  expect(findLongFiles(readTree())).toEqual([])
})

const BLANK = '\n'.repeat(FUNCTION_LINES_MAX)

test.each([
  `function a() {${BLANK}}`,
  `const a = () => {${BLANK}}`,
  `class A { a(): string { const t = \`}\`${BLANK} return t } }`,
  `test('x', () => {${BLANK}})`,
])('a planted long function is found (%#)', text => {
  expect(findLongFunctions([{ path: 'engine/base/a.ts', text }])).toHaveLength(1)
})

test.each([`describe('x', () => {${BLANK}})`, `const a = () => {${BLANK.slice(1)}}`])(
  'one of the limit is not (%#)',
  text => {
    expect(findLongFunctions([{ path: 'engine/base/a.ts', text }])).toEqual([])
  },
)

test.each([
  ['engine/base/a.ts', FILE_LINES_MAX],
  ['deploy/set-up.mjs', FILE_LINES_MAX],
  ['.ci/run', FILE_LINES_MAX],
  ['engine/dashboard/base/page.css', FILE_LINES_MAX],
  ['scripts/lib/a.lua', SCRIPT_LINES_MAX],
  ['docs/ARCHITECTURE.md', ARCHITECTURE_LINES_MAX],
])('a planted long %s is found at its limit of %d lines', (path, limit) => {
  expect(findLongFiles([{ path, text: 'x\n'.repeat(limit) }])).toEqual([])
  expect(findLongFiles([{ path, text: 'x\n'.repeat(limit + 1) }])).toHaveLength(1)
})
