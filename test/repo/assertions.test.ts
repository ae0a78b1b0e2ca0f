/**
 * Each test asserts something, each of them runs, and none is tried twice.
 *
 * The body of `test(…)`, `it(…)` and their `.each` and `.for` forms has to hold a call whose name begins with expect
 * or assert, such as a named check built of them; `expect(x)` without a matcher asserts nothing and is found too.
 * So does a pattern as a field of an object that is to be matched: it matches whatever stands there; `expect.stringMatching` looks.
 * `.only` hides all the others, `.todo` is a debt, a retry turns a race into a green line. A test may be skipped
 * by `skipIf`, which says under which condition, and the gate prints how many were.
 *
 * Rejected: vitest's `requireAssertions`. It would only see the tests that run on this machine.
 */

import { expect, test } from 'vitest'
import { findNodes, isNode, readTree, type SourceFile, type SyntaxNode, sourceOf, walk } from './tree.ts'

const FUNCTIONS = ['ArrowFunctionExpression', 'FunctionExpression']

/** The words of what is called: `test.each([…])` is [test, each]. */
function namesOf(callee: unknown): readonly string[] {
  if (!isNode(callee)) return []
  if (callee.type === 'Identifier') return [String(callee.name)]
  if (callee.type === 'MemberExpression' && isNode(callee.property)) {
    return [...namesOf(callee.object), String(callee.property.name)]
  }
  return callee.type === 'CallExpression' || callee.type === 'TaggedTemplateExpression'
    ? namesOf(callee.callee ?? callee.tag)
    : []
}

function asserts(body: SyntaxNode): boolean {
  let found = false
  walk(body, node => {
    if (node.type === 'CallExpression' && namesOf(node.callee).some(name => /^(expect|assert)/.test(name))) found = true
  })
  return found
}

function findEmptyTests(files: readonly SourceFile[]): readonly string[] {
  return findNodes(files, ['CallExpression']).flatMap(({ node, at }) => {
    const [first] = namesOf(node.callee)
    const body = Array.isArray(node.arguments)
      ? node.arguments.filter(isNode).findLast(({ type }) => FUNCTIONS.includes(type))
      : undefined
    if ((first !== 'test' && first !== 'it') || !body) return []
    return asserts(body) ? [] : [`${at} asserts nothing`]
  })
}

function findHiddenTests(files: readonly SourceFile[]): readonly string[] {
  const calls = findNodes(files, ['CallExpression']).flatMap(({ node, at }) => {
    const [first = '', ...rest] = namesOf(node.callee)
    if (!['test', 'it', 'describe'].includes(first)) return []
    return rest.filter(name => ['only', 'todo', 'skip', 'fails'].includes(name)).map(name => `${at} uses .${name}`)
  })
  const retries = findNodes(files, ['Property']).filter(({ file, node }) =>
    /^(retry|repeats):/.test(sourceOf(file, node)),
  )
  return [...calls, ...retries.map(({ at }) => `${at} is tried again`)]
}

function findLooseExpects(files: readonly SourceFile[]): readonly string[] {
  return findNodes(files, ['ExpressionStatement']).flatMap(({ node, at }) => {
    const awaited =
      isNode(node.expression) && node.expression.type === 'AwaitExpression' ? node.expression.argument : node.expression
    const bare = isNode(awaited) && awaited.type === 'CallExpression' && namesOf(awaited.callee).join('.') === 'expect'
    return bare ? [`${at} expects without a matcher`] : []
  })
}

const isPattern = (value: unknown): boolean =>
  isNode(value) && value.type === 'Literal' && /^\/.+\/[a-z]*$/.test(String(value.raw))

/** Patterns that no matcher looks at. */
function findBlindPatterns(files: readonly SourceFile[]): readonly string[] {
  return findNodes(files, ['CallExpression']).flatMap(({ node, at }) => {
    if (!['toMatchObject', 'toEqual', 'toStrictEqual'].includes(namesOf(node.callee).at(-1) ?? '')) return []
    const found: string[] = []
    for (const argument of Array.isArray(node.arguments) ? node.arguments.filter(isNode) : [])
      walk(argument, each => {
        const inside = each.type === 'ArrayExpression' && Array.isArray(each.elements) ? each.elements : [each.value]
        if (['ArrayExpression', 'Property'].includes(each.type) && inside.some(isPattern))
          found.push(`${at} has a pattern`)
      })
    return found
  })
}

const isTest = ({ path }: SourceFile): boolean => path.endsWith('.test.ts')

test('each test asserts something', () => {
  expect(findEmptyTests(readTree().filter(isTest))).toEqual([])
  expect(findLooseExpects(readTree().filter(isTest))).toEqual([])
  expect(findBlindPatterns(readTree().filter(isTest))).toEqual([])
})

test('no test is hidden or tried again', () => {
  expect(findHiddenTests(readTree().filter(isTest))).toEqual([])
})

const plant = (text: string): readonly SourceFile[] => [{ path: 'test/unit/a.test.ts', text }]

test.each([
  "test('a', () => { run() })",
  "it('a', async () => { await run() }, 1000)",
  "test.each([1, 2])('a %d', value => { run(value) })",
  "describe('a', () => { test('b', function () { run() }) })",
])('planted empty test: %s', text => {
  expect(findEmptyTests(plant(text))).toHaveLength(1)
})

test.each([
  "test('a', () => { expect(1).toBe(1) })",
  "test.each([1])('a', v => assertEven(v))",
  "pattern.test('a', () => 1)",
])('a full one is not found: %s', text => {
  expect(findEmptyTests(plant(text))).toEqual([])
})

test.each(["test.only('a', f)", "describe.skip('a', f)", "it.todo('a')", "test('a', { retry: 2 }, f)"])(
  'planted hidden test: %s',
  text => {
    expect(findHiddenTests(plant(text))).toHaveLength(1)
  },
)

test('a planted pattern that nobody looks at is found', () => {
  const blind = 'expect(a).toMatchObject({ b: /c/ })\nexpect(a).toEqual([{ b: [/c/i] }])'
  expect(findBlindPatterns(plant(blind))).toHaveLength(2)
  const seen = 'expect(a).toMatch(/b/)\nexpect(a).toEqual({ b: expect.stringMatching(/c/), d: [f(/e/)] })'
  expect(findBlindPatterns(plant(seen))).toEqual([])
})

test('a planted expect without a matcher is found', () => {
  expect(findLooseExpects(plant('expect(a)\nawait expect(b)\nexpect(c).toBe(1)'))).toHaveLength(2)
})
