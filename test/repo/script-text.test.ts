/**
 * No text of a program is made while the engine runs: what Redis executes comes from scripts/ through the loader, and
 * the engine evaluates nothing.
 *
 * Redis's commands that take a program stand in three files, which are looked at here: the link and its line, which send
 * what the loader built, and the doctor's fixed try. Any other word for it, in TypeScript or in Lua, is found by its name; so is a Lua
 * error whose text is put together, because what a client wrote could end a line of the protocol there.
 * Rejected: following the data from a request to a script; arguments are data, and that the text is none is enough.
 */
import { expect, test } from 'vitest'
import { findNodes, isLua, isNode, readTree, type SourceFile, sourceOf } from './tree.ts'

const LINK = 'engine/store/connection/link.ts'
const LINE = 'engine/store/connection/line.ts'
const DOCTOR = 'engine/store/server/diagnosis.ts'
/** Tries whether programs may run at all. */
const RIGHTS = 'engine/store/server/rights.ts'
const PROGRAMS = /^(EVAL|EVALSHA|EVAL_RO|EVALSHA_RO|SCRIPT|FUNCTION|FCALL|FCALL_RO)$/i
const EVALUATORS = new Set([
  'eval',
  'Function',
  'evalsha',
  'evalBuffer',
  'evalshaBuffer',
  'fcall',
  'function',
  'script',
])

/** The engine's own calls that have the name of one of Redis's: a link's script is built by the loader. */
const isOurs = (text: string): boolean => /^(this\.#\w+|link|store\.\w+)\.script$/.test(text)

function findPrograms(files: readonly SourceFile[]): readonly string[] {
  const engine = files.filter(({ path }) => path.startsWith('engine/') && path.endsWith('.ts'))
  const words = findNodes(engine, ['Literal'])
    .filter(({ node }) => typeof node.value === 'string' && PROGRAMS.test(node.value))
    .filter(({ file, node }) => !(file.path === DOCTOR && /^'(SCRIPT|FUNCTION)'$/.test(sourceOf(file, node))))
    .filter(({ file, node }) => !(file.path === RIGHTS && /^'(EVAL|EVALSHA)'$/.test(sourceOf(file, node))))
    .filter(({ file, node }) => !(file.path === LINK && sourceOf(file, node) === "'EVAL'"))
  const calls = findNodes(engine, ['CallExpression', 'NewExpression']).filter(({ file, node }) => {
    if (!isNode(node.callee)) return false
    const text = sourceOf(file, node.callee)
    return EVALUATORS.has(text.split('.').at(-1) ?? '') && !isOurs(text)
  })
  const defined = findNodes(engine, ['Identifier']).filter(
    ({ file, node }) => node.name === 'defineCommand' && file.path !== LINE,
  )
  const machines = findNodes(engine, ['ImportDeclaration']).filter(({ file, node }) =>
    /['"](node:)?vm['"]/.test(sourceOf(file, node)),
  )
  return [...words, ...calls, ...defined, ...machines].map(({ file, node, at }) => `${at}: ${sourceOf(file, node)}`)
}

/** What the link sends as a program is the loader's, untouched. */
function findMadeTexts(link: SourceFile): readonly string[] {
  const sent = findNodes([link], ['Property']).flatMap(({ file, node, at }) =>
    /^lua:/.test(sourceOf(file, node)) && sourceOf(file, node) !== 'lua: script.source' ? [at] : [],
  )
  const evals = findNodes([link], ['CallExpression']).flatMap(({ file, node, at }) =>
    /\.callBuffer\('EVAL'/.test(sourceOf(file, node)) &&
    !/\.callBuffer\('EVAL', script\.source,/.test(sourceOf(file, node))
      ? [at]
      : [],
  )
  return [...sent, ...evals]
}

function findLua(files: readonly SourceFile[]): readonly string[] {
  return files.filter(isLua).flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => {
      const code = line.replace(/--.*$/, '')
      const isFound =
        /\b(loadstring|load|dofile|setfenv|error_reply|status_reply)\s*\(/.test(code) || /\berr\s*=.*\.\./.test(code)
      return isFound ? [`${path}:${i + 1}: ${code.trim()}`] : []
    }),
  )
}

test('the engine evaluates nothing, and programs reach Redis through the loader only', () => {
  expect(findPrograms(readTree())).toEqual([])
  for (const each of [LINK, LINE])
    expect(findMadeTexts(readTree().find(({ path }) => path === each) as SourceFile)).toEqual([])
})

test('no script makes a program, or an error out of what it was given', () => {
  expect(findLua(readTree())).toEqual([])
})

test.each([
  "client.call('EVAL', 'return ' + x, 0)",
  "client.call('evalsha', x)",
  'client.eval(text, 0)',
  'client.evalsha(sha)',
  "eval('1')",
  'new Function(text)',
  "client.script('LOAD', text)",
  "client.defineCommand('x', { lua: text })",
  "import { runInNewContext } from 'node:vm'",
])('planted: %s', text => {
  expect(findPrograms([{ path: 'engine/store/planted.ts', text }])).not.toEqual([])
})

test.each(["client.defineCommand('x', { lua: 'return ' + x })", "client.callBuffer('EVAL', script.source + more, 0)"])(
  'planted in the link: %s',
  text => {
    expect(findMadeTexts({ path: LINK, text })).toHaveLength(1)
  },
)

test.each([
  ["return redis.error_reply('ERR ' .. ARGV[1])", 1],
  ['local f = loadstring(ARGV[1])', 1],
  ["return { err = 'x' .. ARGV[1] }", 1],
  ['-- load (it) again', 0],
  ["local overload = redis.call('GET', KEYS[1])", 0],
])('planted script: %s', (text, found) => {
  expect(findLua([{ path: 'scripts/planted.lua', text }])).toHaveLength(found)
})
