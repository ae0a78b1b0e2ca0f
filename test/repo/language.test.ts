/**
 * The TypeScript that we write: erasable, without `any`, without silenced complaints, without debts on main.
 *
 * Node strips types and transforms nothing, so enum, namespace, parameter properties and `using` end a start with a
 * syntax error; the first three the compiler refuses too, `using` it lets through. An assertion to `never` or through
 * `unknown` is not looked for: the compiler's own rules and readers do that.
 *
 * The word rule looks for whole comments that owe something. Its words are put together from halves here, because
 * this file is one of those that it reads.
 */

import { expect, test } from 'vitest'
import { findNodes, isLua, isProgram, lineOf, readTree, type SourceFile, sourceOf } from './tree.ts'

const DEBT = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].map(word => `\\b${word}\\b`).join('|'))
const SILENCED = new RegExp(`@ts-${'ignore'}|@ts-${'nocheck'}|@ts-${'expect'}-error|biome-${'ignore'}`)

const FORBIDDEN: Readonly<Record<string, string>> = {
  TSAnyKeyword: 'uses any',
  TSEnumDeclaration: 'is an enum',
  TSModuleDeclaration: 'is a namespace',
  TSParameterProperty: 'is a parameter property',
  TSImportEqualsDeclaration: 'is an import by =',
  TSExportAssignment: 'is an export by =',
}

function findForbiddenSyntax(files: readonly SourceFile[]): readonly string[] {
  const syntax = findNodes(files, Object.keys(FORBIDDEN)).flatMap(({ file, node, at }) => {
    const augments = node.type === 'TSModuleDeclaration' && sourceOf(file, node).startsWith('declare module')
    return augments ? [] : [`${at} ${FORBIDDEN[node.type]}`]
  })
  const direct = files.filter(({ path }) => !path.endsWith('.test.ts'))
  const using = findNodes(direct, ['VariableDeclaration']).filter(({ node }) => String(node.kind).endsWith('using'))
  return [...syntax, ...using.map(({ at }) => `${at} is a using declaration, which Node 22 does not know`)]
}

function findWords(files: readonly SourceFile[], words: RegExp): readonly string[] {
  return files
    .filter(file => isProgram(file) || isLua(file) || file.path === '.ci/run')
    .flatMap(file => {
      const found = words.exec(file.text)
      return found ? [`${file.path}:${lineOf(file, found.index)} says ${found[0]}`] : []
    })
}

test('no syntax that cannot be erased, and no any', () => {
  expect(findForbiddenSyntax(readTree())).toEqual([])
})

test('no complaint is silenced', () => {
  expect(findWords(readTree(), SILENCED)).toEqual([])
})

test('no debt stands in a comment', () => {
  expect(findWords(readTree(), DEBT)).toEqual([])
})

test.each([
  'let a: any',
  'const a = b as any',
  'const a: Record<string, any> = {}',
  'enum A { B }',
  'namespace A { export const b = 1 }',
  'class A { constructor(readonly b: string) {} }',
  'async function a() { await using b = c() }',
])('planted: %s', text => {
  expect(findForbiddenSyntax([{ path: 'engine/base/a.ts', text }])).toHaveLength(1)
})

test('the word any and an augmented module are allowed', () => {
  const text = "// any\nconst any = 'any'\ndeclare module 'x' { export const b: number }"
  expect(findForbiddenSyntax([{ path: 'engine/base/a.ts', text }])).toEqual([])
})

test.each([
  ['engine/base/a.ts', `// ${'TO' + 'DO'}: later`, DEBT],
  ['scripts/a.lua', `-- ${'FIX' + 'ME'}`, DEBT],
  ['test/unit/a.ts', `// @ts-${'ignore'}`, SILENCED],
  ['bench/a.ts', `// biome-${'ignore'} lint: because`, SILENCED],
])('planted in %s: %s', (path, text, words) => {
  expect(findWords([{ path, text }], words)).toHaveLength(1)
})
