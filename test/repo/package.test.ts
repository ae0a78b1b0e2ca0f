/**
 * package.json and its lock file: few scripts, exact versions, nothing of the place where the lock was made.
 *
 * A script that runs TypeScript names node_modules/.bin/node by its path: in a fresh clone `npm start` begins with the
 * system's Node, and the shell remembers that `node` for the rest of the line, although npm install has put a newer
 * one in front of it. It does so with `exec`: a shell that stays between npm and the program passes no signal on, and
 * `kill` would end npm alone. Each dependency that ships stands in docs/ARCHITECTURE.md, with the reason for it.
 *
 * The lock file has no `resolved` addresses, because they would name the registry of one machine; integrity hashes
 * stay and say more. Rejected: a list of the allowed licences, which npm cannot read reliably.
 */

import { expect, test } from 'vitest'
import { z } from 'zod'
import { textOf } from './tree.ts'

const SCRIPTS_MAX = 11
const Texts = z.record(z.string(), z.string())
const Package = z.object({ scripts: Texts, dependencies: Texts, devDependencies: Texts })
type Package = z.infer<typeof Package>

function findLooseVersions({ dependencies, devDependencies }: Package): readonly string[] {
  return Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+$/.test(version))
    .map(([name, version]) => `${name} is not pinned: ${version}`)
}

function findWrongScripts({ scripts }: Package): readonly string[] {
  const many = Object.keys(scripts).length > SCRIPTS_MAX ? [`there are more than ${SCRIPTS_MAX} scripts`] : []
  const remembered = Object.entries(scripts)
    .filter(([, line]) => line.includes('set-up.mjs') && /(^|[\s;&|])node (--import \S+ )?\S+\.ts\b/.test(line))
    .map(([name]) => `the script ${name} runs TypeScript by the Node that the shell remembers`)
  const between = Object.entries(scripts)
    .filter(([, line]) => line.includes('set-up.mjs') && !/&& exec /.test(line))
    .map(([name]) => `the script ${name} keeps a shell that passes no signal on`)
  return [...many, ...remembered, ...between]
}

function findUnexplained({ dependencies }: Package, architecture: string): readonly string[] {
  const isNamed = (name: string): boolean =>
    new RegExp(`(^|[^\\w.-])${name.replaceAll('.', '\\.')}($|[^\\w-])`, 'im').test(architecture)
  return Object.keys(dependencies)
    .filter(name => !isNamed(name))
    .map(name => `docs/ARCHITECTURE.md does not say why ${name} is there`)
}

function findAddresses(lock: string): readonly string[] {
  return lock
    .split('\n')
    .filter(line => /"resolved"|https?:\/\/(?![^"]*(opencollective|github\.com|funding))[^"]*\.tgz/.test(line))
}

/** Packages of the lock file whose bytes nothing vouches for, and those that may run a program when they are installed. */
function findLoosePackages(lock: string, mayRun: readonly string[]): readonly string[] {
  const Locked = z.object({
    packages: z.record(
      z.string(),
      z.object({ integrity: z.string().optional(), hasInstallScript: z.boolean().optional() }),
    ),
  })
  return Object.entries(Locked.parse(JSON.parse(lock)).packages).flatMap(([path, { integrity, hasInstallScript }]) => {
    const name = path.replace(/^.*node_modules\//, '')
    if (name === '') return []
    return [
      ...(/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '') ? [] : [`${path} has no SHA-512`]),
      ...(hasInstallScript && !mayRun.includes(name) ? [`${path} runs a program when it is installed`] : []),
    ]
  })
}

const read = (): Package => Package.parse(JSON.parse(textOf('package.json')))

test('versions are pinned exactly', () => {
  expect(findLooseVersions(read())).toEqual([])
})

test('scripts are few and run by our Node', () => {
  expect(findWrongScripts(read())).toEqual([])
})

test('each dependency that ships has its reason', () => {
  expect(findUnexplained(read(), textOf('docs/ARCHITECTURE.md'))).toEqual([])
})

test('the lock file names no registry and belongs to package.json', () => {
  expect(findAddresses(textOf('package-lock.json'))).toEqual([])
  const Lock = z.object({ packages: z.object({ '': z.object({ dependencies: Texts, devDependencies: Texts }) }) })
  const { dependencies, devDependencies } = read()
  expect(Lock.parse(JSON.parse(textOf('package-lock.json'))).packages['']).toEqual({ dependencies, devDependencies })
})

/**
 * `node` fetches the Node that is pinned; the next build faster ways of what works without, and nothing ships of three. The last,
 * which comes with a linter, reports what is installed where: package.json says that it may not.
 */
const MAY_RUN = ['node', 'msgpackr-extract', 'cpu-features', 'protobufjs', 'ssh2', '@scarf/scarf']

test('no installation is reported to anybody', () => {
  expect(JSON.parse(textOf('package.json'))).toMatchObject({ scarfSettings: { enabled: false } })
})

test('each package is locked by its hash, and only known ones run a program when they are installed', () => {
  expect(findLoosePackages(textOf('package-lock.json'), MAY_RUN)).toEqual([])
})

test('a planted package without a hash, or with a program, is found', () => {
  const integrity = `sha512-${'a'.repeat(86)}==`
  const lock = (of: object) => JSON.stringify({ packages: { '': {}, 'node_modules/a': of } })
  expect(findLoosePackages(lock({ integrity }), [])).toEqual([])
  expect(findLoosePackages(lock({ integrity: 'sha1-x' }), [])).toHaveLength(1)
  expect(findLoosePackages(lock({ integrity, hasInstallScript: true }), MAY_RUN)).toHaveLength(1)
})

const PLANTED: Package = { scripts: {}, dependencies: {}, devDependencies: {} }

test.each(['^1.2.3', '~1.2.3', '1.2', 'latest', '*', 'github:a/b', 'npm:a@^1.0.0'])(
  'planted version %s is found',
  version => {
    expect(findLooseVersions({ ...PLANTED, devDependencies: { a: version } })).toHaveLength(1)
    expect(findLooseVersions({ ...PLANTED, dependencies: { a: 'npm:@a/b@1.2.3' } })).toEqual([])
  },
)

test('planted scripts are found', () => {
  const many = Object.fromEntries(Array.from({ length: SCRIPTS_MAX + 1 }, (_, place) => [`s${place}`, 'true']))
  const start = 'node deploy/set-up.mjs && node engine/cli.ts up'
  expect(findWrongScripts({ ...PLANTED, scripts: many })).toHaveLength(1)
  expect(findWrongScripts({ ...PLANTED, scripts: { start } })).toHaveLength(2)
  const hooked = start.replace('&& node', '&& node --import ./hook.mjs')
  expect(findWrongScripts({ ...PLANTED, scripts: { start: hooked } })).toHaveLength(2)
  const shell = start.replace('&& node', '&& node_modules/.bin/node')
  expect(findWrongScripts({ ...PLANTED, scripts: { start: shell } })).toHaveLength(1)
  const right = start.replace('&& node', '&& exec node_modules/.bin/node')
  expect(findWrongScripts({ ...PLANTED, scripts: { start: right } })).toEqual([])
})

test('a planted dependency without a reason is found', () => {
  const planted = { ...PLANTED, dependencies: { node: '1.0.0', zod: '1.0.0' } }
  expect(findUnexplained(planted, 'node_modules and zod 4')).toEqual([
    'docs/ARCHITECTURE.md does not say why node is there',
  ])
})

test('a planted address is found', () => {
  expect(findAddresses('{\n"resolved": "https://registry.example/a.tgz",\n"integrity": "sha512-"\n}')).toHaveLength(1)
})
