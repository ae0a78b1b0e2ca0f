/**
 * Names of files say their part, and each file opens by saying what it does.
 *
 * A file is a kebab-case noun; the names that could hold everything, and in time do, are forbidden as files and as
 * folders. The opening comment says what the file does, how, and what was rejected: 2 to 15 lines of text. Tests in a
 * row of numbers (plugin.1, plugin.2) are forbidden by the same pattern, which has no place for them.
 *
 * Rejected: a rule about the words in the comment. Whether it is true and full is for readers.
 */

import { expect, test } from 'vitest'
import { isLua, isProgram, readTree, type SourceFile } from './tree.ts'

const KEBAB = /^[a-z][a-z0-9]*(-[a-z0-9]+)*(\.test|\.config|\.d)?\.(ts|mts|mjs|js|lua)$/
const EMPTY_NAMES = /^(utils?|helpers?|common|managers?|index|misc|shared|lib-?utils|stuff)(\.|$)/
const COMMENT_LINES_MIN = 2
const COMMENT_LINES_MAX = 15

function findWrongNames(files: readonly SourceFile[]): readonly string[] {
  return files
    .filter(file => isProgram(file) || isLua(file))
    .filter(({ path }) => {
      const parts = path.split('/')
      return parts.some(part => EMPTY_NAMES.test(part)) || !KEBAB.test(parts.at(-1) ?? '')
    })
    .map(({ path }) => `${path} has a name that says too little, or is not kebab-case`)
}

/** Lines of text of the comment that a program opens with; 0 when it does not open with one. */
function openingLines(text: string): number {
  const body = text.replace(/^#!.*\n/, '')
  const block = /^\/\*\*?([\s\S]*?)\*\//.exec(body)?.[1] ?? /^(\/\/.*\n)+/.exec(body)?.[0] ?? ''
  return block.split('\n').filter(line => line.replace(/^\s*(\*|\/\/)?\s*/, '') !== '').length
}

function findWrongOpenings(files: readonly SourceFile[]): readonly string[] {
  return files.filter(isProgram).flatMap(({ path, text }) => {
    const lines = openingLines(text)
    return lines >= COMMENT_LINES_MIN && lines <= COMMENT_LINES_MAX
      ? []
      : [`${path} opens with ${lines} lines of comment`]
  })
}

test('each file has a name that says its part', () => {
  expect(findWrongNames(readTree())).toEqual([])
})

test('each file opens by saying what it does', () => {
  expect(findWrongOpenings(readTree())).toEqual([])
})

test.each([
  'engine/base/utils.ts',
  'engine/index.ts',
  'engine/helpers/a.ts',
  'bench/loadRunner.ts',
  'scripts/Claim.lua',
  'test/unit/claim.1.test.ts',
])('the planted name %s is found', path => {
  expect(findWrongNames([{ path, text: '' }])).toHaveLength(1)
})

test.each([
  ['', 'nothing'],
  ['import a from "b"\n/** Late.\n * Two.\n * Three.\n */', 'a comment that is not first'],
  ['/** One line. */', 'too little'],
  [`/**\n${' * More.\n'.repeat(16)} */`, 'too much'],
])('planted opening %#: %s', text => {
  expect(findWrongOpenings([{ path: 'engine/base/a.ts', text }])).toHaveLength(1)
})

test.each(['/**\n * One.\n *\n * Two.\n * Three.\n */\n', '#!/usr/bin/env node\n// One.\n// Two.\n// Three.\n'])(
  'a right opening is not found (%#)',
  text => {
    expect(findWrongOpenings([{ path: 'engine/base/a.ts', text }])).toEqual([])
  },
)
