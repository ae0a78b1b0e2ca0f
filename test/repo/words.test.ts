/**
 * The words of the engine and its scripts: people are "they", and what happens has a plain name.
 *
 * "told", "heard", "deed" and "ears" each stood for five things here: an answer, an event, a log line, a change that an
 * operator asked for, a listener. Whoever searches for one of those has to find it under its own name. Read are comments,
 * identifiers and texts alike; an identifier is read part by part, so that `toldAt` and `round_told` count, too.
 */
import { expect, test } from 'vitest'
import { lineOf, readTree, type SourceFile } from './tree.ts'

const INSTEAD: Readonly<Record<string, string>> = {
  he: 'they',
  his: 'their',
  him: 'them',
  himself: 'themselves',
  told: 'answered, reported, notified, logged or shown',
  heard: 'received',
  deed: 'change',
  deeds: 'changes',
  ears: 'listeners',
}

/** What Redis keeps of older releases: the reason of a release that every engine has reported for. */
const KEPT: Readonly<Record<string, readonly string[]>> = { 'scripts/fence-restore.lua': ['told'] }

/** A word, also as a part of a camelCase or SNAKE_CASE name; "the" and "threshold" are words of their own. */
const PART = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g

function findWords(files: readonly SourceFile[]): readonly string[] {
  return files
    .filter(({ path }) => /^(engine|scripts)\//.test(path))
    .flatMap(file => {
      const kept = [...(KEPT[file.path] ?? [])]
      return [...file.text.matchAll(PART)].flatMap(({ 0: part, index }) => {
        const word = part.toLowerCase()
        const instead = Object.hasOwn(INSTEAD, word) ? INSTEAD[word] : undefined
        if (instead === undefined) return []
        if (kept.includes(word)) {
          kept.splice(kept.indexOf(word), 1)
          return []
        }
        return [`${file.path}:${lineOf(file, index)} says ${word}; say ${instead}`]
      })
    })
}

test('people are they, and nothing in the engine is told, heard, a deed or ears', () => {
  expect(findWords(readTree())).toEqual([])
})

test.each([
  ['engine/a.ts', '// Who asks again gets his own.', 'engine/a.ts:1 says his; say their'],
  ['engine/a.ts', 'let toldAt = 0', `engine/a.ts:1 says told; say ${INSTEAD.told}`],
  ['engine/a.ts', 'const START_TOLD_MS = 1', `engine/a.ts:1 says told; say ${INSTEAD.told}`],
  ['engine/a.js', '\nthis.#heard()', 'engine/a.js:2 says heard; say received'],
  ['scripts/a.lua', 'local function round_told() end', `scripts/a.lua:1 says told; say ${INSTEAD.told}`],
  ['engine/a.ts', 'interface Deed {}', 'engine/a.ts:1 says deed; say change'],
  ['scripts/fence-restore.lua', "'all told' -- told", `scripts/fence-restore.lua:1 says told; say ${INSTEAD.told}`],
])('%s: %s is found', (path, text, finding) => {
  expect(findWords([{ path, text }])).toEqual([finding])
})

test.each([
  ['engine/a.ts', '// The threshold of this cohort is theirs; himalayan'],
  ['engine/a.ts', 'const HELD_MS = otherHeads'],
  ['test/a.ts', '// He told his ears.'],
])('%s: %s is none', (path, text) => {
  expect(findWords([{ path, text }])).toEqual([])
})

test('what is kept still stands where it is kept', () => {
  for (const [path, words] of Object.entries(KEPT)) {
    const text = readTree().find(file => file.path === path)?.text ?? ''
    for (const word of words) expect(text, path).toMatch(new RegExp(`\\b${word}\\b`))
  }
})
