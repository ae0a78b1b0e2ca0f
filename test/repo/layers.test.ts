/**
 * Imports only point down, no files import each other in a circle, and each library has one importer.
 *
 * A folder of engine/ may import itself and the folders of a lower floor; server and client, and the four folders above
 * base, do not see each other. The features of engine/campaign and the rooms of bench/ have an order of their own. The
 * client runs in browsers, so it may know base and wire only; the bench judges the engine from outside, so it may know
 * its client, its wire and base only; an example knows nothing of ours, since it is copied into other projects. process.env is
 * read in one file.
 *
 * The rule reads import statements out of the syntax tree, `import()`, `export from` and `import type` included:
 * a type that points upwards ties two rooms together as firmly as a value.
 */

import { posix } from 'node:path'
import { expect, test } from 'vitest'
import { findNodes, isNode, readTree, type SourceFile, sourceOf } from './tree.ts'

/** What each room may import beside itself. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  store: ['base'],
  wire: ['base'],
  auth: ['base'],
  ops: ['base'],
  settings: [],
  config: ['base', 'settings'],
  draw: ['base'],
  campaign: ['base', 'store', 'wire', 'auth', 'ops', 'draw'],
  server: ['base', 'store', 'wire', 'auth', 'ops', 'draw', 'config', 'campaign'],
  client: ['base', 'wire'],
  dashboard: ['client'],
  main: ['base', 'store', 'wire', 'auth', 'ops', 'draw', 'settings', 'config', 'campaign', 'server'],
  processes: ['base', 'store', 'ops', 'config', 'server', 'main'],
  cli: [
    'base',
    'draw',
    'processes',
    'store',
    'wire',
    'auth',
    'ops',
    'settings',
    'config',
    'campaign',
    'server',
    'client',
    'main',
  ],
}
/** What each feature of engine/campaign may import beside itself. */
const FEATURES: Readonly<Record<string, readonly string[]>> = {
  round: [],
  fenced: ['round'],
  claim: ['round', 'fenced'],
  drawing: ['round', 'fenced', 'claim'],
  voucher: ['round', 'fenced', 'claim'],
  money: ['round', 'fenced', 'claim', 'drawing', 'voucher'],
  operator: ['round', 'fenced', 'claim', 'drawing', 'voucher', 'money'],
}
/** The rooms of bench/ from the bottom to the top; its commands, which lie in bench/ itself, may import all of them. */
const BENCH_ORDER = ['people', 'stage', 'audit', 'measure', 'load', 'record', 'scenario']
const BENCH_MAY = ['base', 'wire', 'client']
/** What replayed draws judge is the engine's allocator itself, which is pure. */
const ALLOCATOR = 'bench/measure/fairness/allocator.ts'
/** The modes `script` and `engine` split a claim's cost, so this folder of the bench looks inside. */
const INSIDE = 'bench/inside/'
const INSIDE_MAY = [...BENCH_MAY, 'store', 'campaign', 'draw', 'auth']

/** Who alone may import a package; paths that end in a slash are folders. The bench and the tests are outside. */
const OWNERS: Readonly<Record<string, string>> = {
  ioredis: 'engine/store/',
  msgpackr: 'engine/wire/',
  'uWebSockets.js': 'engine/server/uws/',
  '@noble/curves': 'engine/draw/',
}

const FILES_MAX = 16

interface Import {
  readonly file: SourceFile
  readonly at: string
  readonly target: string
}

function listImports(files: readonly SourceFile[]): readonly Import[] {
  const types = [
    'ImportDeclaration',
    'ExportNamedDeclaration',
    'ExportAllDeclaration',
    'ImportExpression',
    'TSImportType',
  ]
  return findNodes(files, types).flatMap(({ file, node, at }) => {
    const source = node.source ?? node.argument
    const literal = isNode(source) && isNode(source.literal) ? source.literal : source
    return isNode(literal) && typeof literal.value === 'string' ? [{ file, at, target: literal.value }] : []
  })
}

function roomOf(path: string): string | undefined {
  const [top, second] = path.split('/')
  return top === 'engine' ? second?.replace(/\.ts$/, '') : undefined
}

function benchMay(path: string): readonly string[] {
  if (path === ALLOCATOR) return [...BENCH_MAY, 'draw']
  return path.startsWith(INSIDE) ? INSIDE_MAY : BENCH_MAY
}

function findWrongRooms(files: readonly SourceFile[]): readonly string[] {
  return listImports(files).flatMap(({ file, at, target }) => {
    if (!target.startsWith('.')) return []
    const path = posix.join(posix.dirname(file.path), target)
    const [from, to] = [roomOf(file.path), roomOf(path)]
    const bench = file.path.startsWith('bench/')
    if (file.path.startsWith('examples/')) return [`${at} imports ${path}; an example stands alone`]
    if (from === undefined && !bench) return []
    if (bench && to === undefined)
      return path.startsWith('bench/') ? [] : [`${at} imports ${path}, outside of the bench`]
    const may = bench ? benchMay(file.path) : [from, ...(ROOMS[from ?? ''] ?? [])]
    return to !== undefined && may.includes(to) ? [] : [`${at} may not import ${path}`]
  })
}

/** Arrows that run back up between the features of engine/campaign and between the rooms of bench/. */
function findArrowsUp(files: readonly SourceFile[]): readonly string[] {
  return listImports(files).flatMap(({ file, at, target }) => {
    const path = posix.join(posix.dirname(file.path), target)
    const [from, to] = [file.path, path].map(each => each.split('/'))
    const wrong = [`${at} may not import ${path}`]
    if (!target.startsWith('.') || from?.[0] !== to?.[0]) return []
    if (from?.[1] === 'campaign' && to?.[1] === 'campaign') {
      const [own, other] = [from[2] as string, to[2] as string]
      return own === other || FEATURES[own]?.includes(other) ? [] : wrong
    }
    if (from?.[0] !== 'bench' || from.length === 2) return []
    const [own, other] = [from, to].map(parts => BENCH_ORDER.indexOf(parts?.[1] as string)) as [number, number]
    if (to?.length === 2) return wrong
    return own < 0 || (other >= 0 && other <= own) ? [] : wrong
  })
}

/** Files of engine/ and bench/ that import each other in a circle, types included. */
function findCircles(files: readonly SourceFile[]): readonly string[] {
  const imports = new Map<string, string[]>()
  for (const { file, target } of listImports(files))
    if (/^(engine|bench)\//.test(file.path) && target.startsWith('.'))
      imports.set(file.path, [...(imports.get(file.path) ?? []), posix.join(posix.dirname(file.path), target)])
  const circles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start >= 0) return void circles.push([...way.slice(start), path].join(' → '))
    if (done.has(path)) return
    for (const next of imports.get(path) ?? []) visit(next, [...way, path])
    done.add(path)
  }
  for (const path of imports.keys()) visit(path, [])
  return circles
}

function findWrongOwners(files: readonly SourceFile[]): readonly string[] {
  return listImports(files).flatMap(({ file, at, target }) => {
    const owner = Object.entries(OWNERS).find(([name]) => target === name || target.startsWith(`${name}/`))?.[1]
    if (owner === undefined || !file.path.startsWith('engine/')) return []
    return file.path.startsWith(owner) ? [] : [`${at} imports ${target}, which only ${owner} may`]
  })
}

function findEnvReaders(files: readonly SourceFile[]): readonly string[] {
  const engine = files.filter(({ path }) => path.startsWith('engine/') && path !== 'engine/config.ts')
  const reads = findNodes(engine, ['MemberExpression']).filter(({ file, node }) =>
    /^(globalThis\.)?process\s*\??\.\s*env$|^process\s*\[\s*['"]env/.test(sourceOf(file, node)),
  )
  const names = findNodes(engine, ['VariableDeclarator', 'ImportSpecifier']).filter(({ file, node }) =>
    /^\{[^}]*\benv\b[^}]*\}\s*=\s*process$|^env(\s+as\s+\w+)?$/.test(sourceOf(file, node)),
  )
  return [...reads, ...names].map(({ at }) => `${at} reads the environment, which only engine/config.ts may`)
}

/** Folders whose clock and randomness are arguments, so that tests and the simulation turn them by hand. */
const TIMELESS = /^engine\/(auth|campaign|draw|ops|server|store|wire)\//
const AMBIENT =
  /(?<![.\w])(Date\.now|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|randomBytes|randomUUID|realClock|realRandom)\b/

function findAmbientTime(files: readonly SourceFile[]): readonly string[] {
  const calls = findNodes(
    files.filter(({ path }) => TIMELESS.test(path)),
    ['CallExpression', 'NewExpression', 'ImportSpecifier'],
  )
  return calls.flatMap(({ file, node, at }) => {
    const text = sourceOf(file, node)
    const used = AMBIENT.exec(text.split('(', 1)[0] as string)?.[0] ?? (/^new Date\(\)$/.test(text) ? text : undefined)
    return used === undefined ? [] : [`${at} uses ${used}; take a Clock or a Random as an argument`]
  })
}

test('clock and randomness are arguments', () => {
  expect(findAmbientTime(readTree())).toEqual([])
})

test.each([
  'const a = Date.now()',
  'setImmediate(() => {})',
  "import { randomBytes } from 'node:crypto'",
  'new Date()',
])('a planted clock is found: %s', text => {
  expect(findAmbientTime([{ path: 'engine/store/data/a.ts', text }])).toHaveLength(1)
  expect(findAmbientTime([{ path: 'engine/cli/a.ts', text }])).toEqual([])
})

test('imports only point down', () => {
  expect(findWrongRooms(readTree())).toEqual([])
})

test('features of a campaign and rooms of the bench import only downwards', () => {
  expect(findArrowsUp(readTree())).toEqual([])
})

test('no files import each other in a circle', () => {
  expect(findCircles(readTree())).toEqual([])
})

test('no folder of engine/ has more files than a reader sees at once', () => {
  const count = new Map<string, number>()
  for (const { path } of readTree())
    if (path.startsWith('engine/')) count.set(posix.dirname(path), (count.get(posix.dirname(path)) ?? 0) + 1)
  expect([...count].filter(([, files]) => files > FILES_MAX)).toEqual([])
})

test('each library has one importer', () => {
  expect(findWrongOwners(readTree())).toEqual([])
})

test('only engine/config.ts reads the environment', () => {
  expect(findEnvReaders(readTree())).toEqual([])
})

test.each([
  ['engine/base/a.ts', "import { b } from '../store/b.ts'"],
  ['engine/auth/a.ts', "import type { B } from '../store/b.ts'"],
  ['engine/campaign/a.ts', "export { b } from '../server/b.ts'"],
  ['engine/client/a.ts', "const b = await import('../ops/b.ts')"],
  ['engine/store/a.ts', "import { settings } from '../config.ts'"],
  ['engine/server/a.ts', "let b: import('../client/b.ts').B"],
  ['engine/wire/a.ts', "import x from '../../bench/x.ts'"],
  ['engine/stranger/a.ts', "import { b } from '../base/b.ts'"],
  ['bench/load/a.ts', "import { b } from '../../engine/store/b.ts'"],
  ['bench/load/a.ts', "import { b } from '../../test/support/b.ts'"],
  ['examples/a.ts', "import { b } from '../engine/wire/b.ts'"],
])('a planted import in %s is found: %s', (path, text) => {
  expect(findWrongRooms([{ path, text }])).toHaveLength(1)
})

test.each([
  ['engine/campaign/round/a.ts', "import type { B } from '../claim/b.ts'"],
  ['engine/campaign/voucher/a.ts', "import { b } from '../money/b.ts'"],
  ['engine/campaign/fenced/a.ts', "import { b } from '../claim/b.ts'"],
  ['bench/people/a.ts', "import { b } from '../load/b.ts'"],
  ['bench/load/a.ts', "import { b } from '../b.ts'"],
])('a planted arrow up in %s is found: %s', (path, text) => {
  expect(findArrowsUp([{ path, text }])).toHaveLength(1)
})

test('a planted circle is found', () => {
  const circle = ['a', 'b', 'c'].map((name, i) => ({
    path: `engine/wire/${name}.ts`,
    text: `import { x } from './${'bca'[i]}.ts'`,
  }))
  expect(findCircles(circle)).toEqual(['engine/wire/a.ts → engine/wire/b.ts → engine/wire/c.ts → engine/wire/a.ts'])
})

test.each([
  ['engine/campaign/a.ts', "import { b } from './b.ts'\nimport { c } from '../store/c.ts'"],
  ['engine/cli.ts', "import { b } from './main.ts'"],
  ['bench/load/a.ts', "import { b } from '../measure/b.ts'\nimport { c } from '../../engine/client/c.ts'"],
])('a right import in %s is not', (path, text) => {
  expect(findWrongRooms([{ path, text }])).toEqual([])
})

test.each([
  ['engine/campaign/a.ts', "import { Redis } from 'ioredis'"],
  ['engine/store/a.ts', "import { pack } from 'msgpackr/pack'"],
  ['engine/server/stream/stream.ts', "import type { WebSocket } from 'uWebSockets.js'"],
])('a planted importer %s is found: %s', (path, text) => {
  expect(findWrongOwners([{ path, text }])).toHaveLength(1)
})

test.each([
  'const port = process.env.PORT',
  'const { env } = process',
  "import { env } from 'node:process'",
  "const port = process['env'].PORT",
])('a planted reader of the environment is found: %s', text => {
  expect(findEnvReaders([{ path: 'engine/server/a.ts', text }])).not.toEqual([])
})
