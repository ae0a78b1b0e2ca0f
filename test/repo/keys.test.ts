/**
 * Keys of Redis are written in engine/store/connection/keys.ts and nowhere else, and no script builds one.
 *
 * A key that a script builds is not declared: it works on one server, breaks on a cluster, and no reader of the code
 * can find it. So the first argument of a call inside a script is KEYS[n] or a name, the name is never bound to a
 * text or to something joined, and there is no text in any script that begins like a key.
 *
 * In TypeScript the rule reads texts and templates, not comments. The prefix is put together from halves here,
 * because this file is one of those that it reads.
 */

import { expect, test } from 'vitest'
import { findNodes, isLua, lineOf, readTree, type SourceFile, sourceOf } from './tree.ts'

const PREFIX = 'f' + 'g:'
const KEYS_FILE = 'engine/store/connection/keys.ts'

/** Commands whose first argument is not a key. */
const WITHOUT_KEY = new Set(['TIME', 'INFO', 'PING', 'ROLE'])

function findKeyTexts(files: readonly SourceFile[]): readonly string[] {
  const programs = files.filter(({ path }) => path !== KEYS_FILE)
  const texts = findNodes(programs, ['Literal', 'TemplateElement'])
    .filter(({ file, node }) => sourceOf(file, node).includes(PREFIX))
    .map(({ at }) => at)
  const scripts = files.filter(file => isLua(file) && stripComments(file.text).includes(PREFIX)).map(({ path }) => path)
  return [...texts, ...scripts].map(at => `${at} writes a key; only ${KEYS_FILE} may`)
}

function stripComments(lua: string): string {
  return lua.replace(/--.*$/gm, comment => ' '.repeat(comment.length))
}

function findBuiltKeys(files: readonly SourceFile[]): readonly string[] {
  return files.filter(isLua).flatMap(file => {
    const lua = stripComments(file.text)
    const calls = lua.matchAll(/redis\.p?call\(\s*([^,()]+?)\s*(?:,\s*([^,)]*))?[,)]/g)
    return [...calls].flatMap(({ 1: command = '', 2: key, index }) => {
      const at = `${file.path}:${lineOf(file, index)}`
      const name = /^'([A-Z]+)'$/.exec(command)?.[1]
      if (name === undefined) return [`${at} calls a command that is not a plain text`]
      if (WITHOUT_KEY.has(name) || key === undefined || key === 'unpack(KEYS') return []
      if (!/^(KEYS\[\d+\]|ARGV\[\d+\]|[a-z_][\w.]*)$/.test(key.trim())) return [`${at} builds its key: ${key.trim()}`]
      if (/^ARGV/.test(key.trim()) && !/^S?PUBLISH$/.test(name)) return [`${at} has an undeclared key: ${key.trim()}`]
      const bound = new RegExp(`\\b${key.trim().replace('.', '\\.')}\\s*=[^=\\n]*('|"|\\.\\.)`).exec(lua)
      return bound ? [`${at} has a key that was built: ${bound[0]}`] : []
    })
  })
}

test('only engine/store/connection/keys.ts writes keys', () => {
  expect(findKeyTexts(readTree())).toEqual([])
})

test('no script builds a key', () => {
  expect(readTree().filter(isLua)).not.toEqual([])
  expect(findBuiltKeys(readTree())).toEqual([])
})

test.each([
  ['engine/store/round.ts', `const key = '${PREFIX}x'`],
  ['engine/campaign/round.ts', `const key = \`${PREFIX}{\${id}}:state\``],
  ['bench/audit/read.ts', `const pattern = /^${PREFIX}/`],
  ['scripts/claim.lua', `redis.call('GET', '${PREFIX}x')`],
])('a planted key in %s is found', (path, text) => {
  expect(findKeyTexts([{ path, text }])).toHaveLength(1)
})

test('comments, and the file of the keys, may write keys', () => {
  const text = `// ${PREFIX}x\n`
  expect(
    findKeyTexts([
      { path: 'engine/store/round.ts', text },
      { path: KEYS_FILE, text: `const a = '${PREFIX}x'` },
    ]),
  ).toEqual([])
})

test.each([
  "redis.call('GET', 'stock')",
  "redis.call('GET', KEYS[1] .. ':log')",
  "redis.call('HGET', ARGV[1], 'a')",
  'redis.call(command, KEYS[1])',
  "local key = KEYS[1] .. ':log'\nredis.call('GET', key)",
  "local round = { key = 'a' .. ARGV[1] }\nround.key = 'x'\nredis.call('GET', round.key)",
])('a planted built key is found: %s', text => {
  expect(findBuiltKeys([{ path: 'scripts/a.lua', text }])).toHaveLength(1)
})

test.each([
  "redis.call('TIME')",
  "redis.call('GET', KEYS[1])",
  "redis.call('MGET', unpack(KEYS, 2))",
  "redis.call('PUBLISH', ARGV[1], 'x' .. 1)",
  "redis.call('INFO', 'replication')",
])('a declared one is not: %s', text => {
  expect(findBuiltKeys([{ path: 'scripts/a.lua', text }])).toEqual([])
})
