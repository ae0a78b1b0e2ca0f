/**
 * The pages for people: links lead somewhere, files and commands that they name exist, words are plain and in the glossary.
 *
 * Commands are held to the tables of the programs themselves: npm scripts, the flags of the bench, the rows of the fault run,
 * the commands, verbs and options of `fairgrab`. Whether a command does what a page says is asked by the tests that run pages
 * (test/server/documented-commands.test.ts, test/server/quickstart.test.ts); a block marked `sh` in a page that none of
 * them runs fails here. Rejected: a list of spelling; what is held are words that only insiders understand.
 */
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { parseOptions } from '../../bench/stage/options.ts'
import type { Command } from '../../engine/cli/command.ts'
import { ROWS } from '../fault/run.ts'
import { compareSides, lineOf, ROOT, readRows, readTree, type SourceFile, textOf } from './tree.ts'

const HISTORY = 'CHANGELOG.md'
const isPage = ({ path }: SourceFile): boolean => path.endsWith('.md')
const pages = (): readonly SourceFile[] => readTree().filter(isPage)

/** What stands in backquotes or in a block: of programs, and not prose. */
const withoutCode = (text: string): string =>
  text.replace(/^```[\s\S]*?^```/gm, code => code.replace(/[^\n]/g, ' ')).replace(/`[^`\n]*`/g, ' ')

const codeIn = (text: string): readonly string[] => [
  ...[...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) => block.split('\n')),
  ...[...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code),
]

const slugOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/`/g, '')
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const anchorsOf = (text: string): readonly string[] =>
  [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => slugOf(heading))

function findDeadLinks(files: readonly SourceFile[], textAt: (path: string) => string | undefined): readonly string[] {
  return files.flatMap(file =>
    [...withoutCode(file.text).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(match => {
      const [, link = '', anchor] = match
      const path = link === '' ? file.path : posix.join(posix.dirname(file.path), link)
      const at = `${file.path}:${lineOf(file, match.index)}`
      const text = textAt(path)
      if (text === undefined) return [`${at} links to ${path}, which is not there`]
      return anchor === undefined || anchorsOf(text).includes(anchor)
        ? []
        : [`${at} links to #${anchor}, which ${path} has not`]
    }),
  )
}

/** The text of a page, empty for what is no page; undefined for what does not exist. */
const textAt = (path: string): string | undefined =>
  readTree().find(file => file.path === path)?.text ?? (existsSync(join(ROOT, path)) ? '' : undefined)

const OF_OURS = /^(engine|scripts|bench|test|docs|deploy|examples|\.ci|\.github)\/[\w./-]*$/

function findMissingFiles(files: readonly SourceFile[], exists: (path: string) => boolean): readonly string[] {
  return files.flatMap(({ path, text }) =>
    codeIn(text)
      .flatMap(code => code.split(/\s+/))
      .filter(word => OF_OURS.test(word) && !exists(word))
      .map(word => `${path} names ${word}, which is not there`),
  )
}

const Package = z.object({ scripts: z.record(z.string(), z.string()) })

/** Where a line has a placeholder, only what stands before it is a command. */
const wordsOf = (line: string): readonly string[] =>
  (line.match(/"[^"]*"|[^\s"]+/g) ?? []).map(w => w.replaceAll('"', ''))

/** What a line of `npm run bench -- …` has that the bench would refuse. */
function refusedByBench(args: readonly string[]): string | undefined {
  if (['audit', 'compare', 'fairness', 'peers'].includes(args[0] ?? '') || args.length === 0) return undefined
  try {
    parseOptions(args)
    return undefined
  } catch (cause) {
    return (cause as Error).message
  }
}

function findWrongScripts(files: readonly SourceFile[], scripts: readonly string[]): readonly string[] {
  return files.flatMap(({ path, text }) =>
    codeIn(text).flatMap(code => {
      const line = /\bnpm run (?:-s )?([\w:]+)(?: -- (.*))?$/.exec(code.replace(/\s+(#|\().*$/, ''))
      if (!line) return []
      const [, name = '', rest = ''] = line
      const args = wordsOf(rest)
      if (!scripts.includes(name)) return [`${path} has npm run ${name}, which is no script`]
      const wrong = name === 'bench' ? refusedByBench(args) : undefined
      const rows = args.filter((word, at) => !word.startsWith('--') && !args[at - 1]?.startsWith('--'))
      const row = name === 'fault' ? rows.find(wanted => !ROWS.some(({ name: known }) => known === wanted)) : undefined
      if (row !== undefined) return [`${path} has the row ${row} of npm run fault, which is none`]
      return wrong === undefined ? [] : [`${path} has ${code}: ${wrong}`]
    }),
  )
}

const MODULES = [
  'apply',
  'call',
  'release-commands',
  'user-commands',
  'control-commands',
  'setup-commands',
  'doctor',
  'report',
]
const ALWAYS = ['json', 'help', 'url', 'key']

async function commands(): Promise<readonly Command[]> {
  const modules = await Promise.all(MODULES.map(name => import(join(ROOT, `engine/cli/${name}.ts`))))
  return modules
    .flatMap(module => Object.values(module as Readonly<Record<string, unknown>>))
    .filter((value): value is Command => typeof value === 'object' && value !== null && 'usage' in value)
}

/** The commands of cli.ts that have no row. */
const WITHOUT_ROW = ['up', 'bench', 'draw', 'version', 'help']

function findWrongCommands(files: readonly SourceFile[], known: readonly Command[]): readonly string[] {
  return files.flatMap(({ path, text }) =>
    codeIn(text).flatMap(code => {
      const [, line] = /(?:^|[A-Z_]+=\S+ |-- )fairgrab (?!serves )([a-z].*)$/.exec(code) ?? []
      if (line === undefined) return []
      const [name = '', ...rest] = wordsOf(line)
      if (WITHOUT_ROW.includes(name)) return []
      const command = known.find(row => row.name === name)
      if (!command) return [`${path} has fairgrab ${name}, which is no command`]
      const verbs = command.usage.flatMap(usage => usage.split(' ')[1]?.split('|') ?? [])
      const options = rest.flatMap(word => /^--([\w-]+)/.exec(word)?.[1] ?? [])
      const isVerb = /^[a-z-]+$/.test(rest[0] ?? '') && verbs.some(verb => /^[a-z]/.test(verb))
      return [
        ...(isVerb && !verbs.includes(rest[0] ?? '') ? [`${path}: fairgrab ${name} has no ${rest[0]}`] : []),
        ...options
          .filter(option => !ALWAYS.includes(option) && !(option in command.options))
          .map(option => `${path}: fairgrab ${name} has no --${option}`),
      ]
    }),
  )
}

/** Words that only insiders understand, and people as "he". A waiting room is what the field calls it. */
const PRIVATE =
  /\b(he|his|him|himself|she|her|told|heard|hears?|mend(?:s|ed|ing)?|(?<!waiting )rooms?|ears?|deeds?)\b/gi

function findPrivateWords(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(file =>
    [...withoutCode(file.text).matchAll(PRIVATE)].map(
      ({ 0: word, index }) => `${file.path}:${lineOf(file, index)} says ${word}`,
    ),
  )
}

const RUN_BY = ['test/server/documented-commands.test.ts', 'test/server/quickstart.test.ts']

function findUnrunBlocks(files: readonly SourceFile[], tests: readonly string[]): readonly string[] {
  return files
    .filter(({ path, text }) => /^```(sh|bash)$/m.test(text) && !tests.some(known => known.includes(`${path}'`)))
    .map(({ path }) => `${path} has a block marked sh that no test runs`)
}

const TERM = /^\*\*(.+)\*\*$/
const MEANING_CHARS_MAX = 240

function findWrongTerms(glossary: string): readonly string[] {
  const rows = readRows(glossary).filter(([word]) => word !== 'word')
  const terms = rows.map(([word = '']) => TERM.exec(word)?.[1] ?? '')
  return [
    ...rows.filter(cells => cells.length !== 2).map(([word]) => `the row of ${word} has not two cells`),
    ...terms
      .filter((term, at) => term === '' || terms.indexOf(term) !== at)
      .map(term => `"${term}" is no term of its own`),
    ...rows
      .filter(([, meaning = '']) => !meaning.endsWith('.') || meaning.length > MEANING_CHARS_MAX)
      .map(([word]) => `the meaning of ${word} is no short sentence`),
  ]
}

test('links of pages lead to files and headings that are there', () => {
  expect(findDeadLinks(pages(), textAt)).toEqual([])
})

/** A filter of vitest is the beginning of a path. */
test('files that pages name are there', () => {
  const now = pages().filter(({ path }) => path !== HISTORY && !path.startsWith('docs/results/'))
  const isThere = (path: string) => readTree().some(file => file.path.startsWith(path))
  expect(findMissingFiles(now, path => isThere(path) || existsSync(join(ROOT, path)))).toEqual([])
})

test('npm scripts, flags and rows in pages are those of the programs', () => {
  const now = pages().filter(({ path }) => path !== HISTORY)
  const { scripts } = Package.parse(JSON.parse(textOf('package.json')))
  expect(findWrongScripts(now, Object.keys(scripts))).toEqual([])
})

test('commands of fairgrab in pages are those of the command line', async () => {
  const known = await commands()
  expect(known.length).toBeGreaterThan(10)
  expect(findWrongCommands(pages(), known)).toEqual([])
})

test('pages are in plain words', () => {
  expect(findPrivateWords(pages().filter(({ path }) => path !== HISTORY))).toEqual([])
})

test('every block that can be run is run by a test', () => {
  expect(findUnrunBlocks(pages(), RUN_BY.map(textOf))).toEqual([])
})

test('docs/README.md leads to every page of docs', () => {
  const index = textOf('docs/README.md')
  const linked = [...index.matchAll(/\]\(([\w./-]+\.md)\)/g)].map(([, link = '']) => posix.join('docs', link))
  const there = pages().flatMap(({ path }) => (path.startsWith('docs/') && path !== 'docs/README.md' ? [path] : []))
  expect(
    compareSides(
      there,
      linked.filter(path => path.startsWith('docs/')),
      ['docs', 'docs/README.md'],
    ),
  ).toEqual([])
})

test('the glossary has each word once, with one short meaning', () => {
  expect(findWrongTerms(textOf('docs/glossary.md'))).toEqual([])
})

test('results are of a day', () => {
  const names = pages().flatMap(({ path }) => (path.startsWith('docs/results/') ? [path] : []))
  expect(names.filter(name => !/\/\d{4}-\d\d-\d\d\.md$/.test(name))).toEqual([])
})

const KINDS = ['Safety and fairness', 'Performance', 'Features', 'Upgrade']

function findWrongVersions(changelog: string): readonly string[] {
  const versions = [...changelog.matchAll(/^## (.*)$/gm)].map(([, version = '']) => version)
  const days = versions.slice(1).map(version => /^\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)$/.exec(version)?.[1] ?? '')
  const kinds = [...changelog.matchAll(/^### (.*)$/gm)].map(([, kind = '']) => kind)
  return [
    ...(versions[0] === '[Unreleased]' ? [] : ['what is not released does not come first']),
    ...days
      .filter((day, at) => day === '' || day > (days[at - 1] ?? '9'))
      .map(day => `"${day}" is no day in its order`),
    ...kinds.filter(kind => !KINDS.includes(kind)).map(kind => `there is no kind "${kind}"`),
  ]
}

test('the changelog has what is unreleased, then dated versions, in its own kinds', () => {
  expect(findWrongVersions(textOf(HISTORY))).toEqual([])
  expect(
    findWrongVersions('## [Unreleased]\n### Fun\n## 0.1.0\n## [0.0.9] - 2026-01-02\n## [0.0.8] - 2026-02-01'),
  ).toHaveLength(4)
})

const plant = (text: string): readonly SourceFile[] => [{ path: 'docs/a.md', text }]

test.each([
  ['[a](b.md)', 1],
  ['[a](#two)', 1],
  ['[a](../c.md#two)', 1],
  ['# One two\n[a](#one-two) [b](https://x.example/y#z)\n`[c](d.md)`', 0],
])('planted link: %s', (text, found) => {
  expect(findDeadLinks(plant(text), path => ({ 'docs/a.md': text, 'c.md': '# One' })[path])).toHaveLength(found)
})

test.each([
  ['`engine/none.ts`', 1],
  ['`npm test -- test/none`', 1],
  ['engine/none.ts and `rules.json`', 0],
])('planted file: %s', (text, found) => {
  expect(findMissingFiles(plant(text), () => false)).toHaveLength(found)
})

test.each([
  ['`npm run strat`', 1],
  ['```\nnpm run bench -- --secnario drain\n```', 1],
  ['`npm run bench -- --scenario drain --frame 256`', 0],
  ['`npm run fault -- --effort middle redis-kill`', 1],
  ['`npm run fault -- --effort middle redis-kills`', 0],
])('planted script: %s', (text, found) => {
  expect(findWrongScripts(plant(text), ['bench', 'fault'])).toHaveLength(found)
})

test.each([
  ['`fairgrab rond list`', 1],
  ['`fairgrab round puase`', 1],
  ['`fairgrab round pause ROUND --dry-rum`', 1],
  ['`PORT=1 fairgrab round pause ROUND --dry-run`', 0],
])('planted command: %s', async (text, found) => {
  expect(findWrongCommands(plant(text), await commands())).toHaveLength(found)
})

test.each([
  ['He hears of it in the room.', 3],
  ['A waiting room. `mend` is a field.\n```\nhis\n```', 0],
])('planted words: %s', (text, found) => {
  expect(findPrivateWords(plant(text))).toHaveLength(found)
})

test('planted: a block that no test runs, and terms that are wrong', () => {
  expect(findUnrunBlocks(plant('```sh\necho\n```'), ["'docs/b.md'"])).toHaveLength(1)
  expect(findUnrunBlocks(plant('```sh\necho\n```'), ["'docs/a.md'"])).toEqual([])
  const row = '| **a** | A word. |\n'
  expect(findWrongTerms(row)).toEqual([])
  expect(findWrongTerms(row + row)).toHaveLength(1)
  expect(findWrongTerms('| a | A word. |\n')).toHaveLength(1)
  expect(findWrongTerms('| **a** | a word |\n')).toHaveLength(1)
})
