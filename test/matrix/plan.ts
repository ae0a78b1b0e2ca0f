/**
 * What `npm run matrix` was asked for, as cells: a server in a form, with the parts of the tests that it is to pass.
 *
 * Servers, forms and parts have different names, so one flag picks among all three: `--only valkey-9.1,cluster`. What is
 * not understood is refused by its name, because a night in which the wrong server passed proves nothing.
 *
 * A form beside `single` takes the test files that let test/support/redis.ts choose their server; the others start one
 * themselves (they kill, freeze or break it), and would only repeat the single form.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SERVERS, type Server } from './servers.ts'

const ROOT = join(import.meta.dirname, '../..')

export const PARTS = ['script', 'server', 'fault'] as const
type Part = (typeof PARTS)[number]

export interface Form {
  readonly name: 'single' | 'replicas' | 'cluster'
  readonly what: string
  /** What makes test/support/redis.ts start it. */
  readonly env: Readonly<Record<string, string>>
  /** Rows of `npm run fault`, in their short form. */
  readonly fault: readonly string[]
  /** Folders of tests for this form alone. */
  readonly own: readonly string[]
}

export const FORMS: readonly Form[] = [
  {
    name: 'single',
    what: 'one server',
    env: {},
    fault: ['redis-kills', 'redis-settings', 'log-damage', 'link'],
    own: [],
  },
  {
    name: 'replicas',
    what: 'a server with a replica that every answer waits for',
    env: { TEST_REPLICAS: '1' },
    fault: ['replicas', 'sentinel'],
    own: [],
  },
  {
    name: 'cluster',
    what: 'a cluster of three primaries',
    env: { TEST_CLUSTER: '3' },
    fault: ['cluster-kills', 'cluster-moves'],
    own: ['test/cluster'],
  },
]

/** How a test file says that test/support/redis.ts may choose its server. */
const CHOSEN = /\b(startRedis|startOwnRedis|useWorker|openScriptRoom)\(/

const testsIn = (folder: string): readonly string[] =>
  readdirSync(join(ROOT, folder))
    .filter(name => name.endsWith('.test.ts'))
    .sort()
    .map(name => `${folder}/${name}`)

/** The files of a part in a form. */
export function filesOf(form: Form, part: Part): readonly string[] {
  if (part === 'fault') return form.fault.map(row => `test/fault/${row}.test.ts`)
  const files = testsIn(`test/${part}`)
  const chosen =
    form.name === 'single' ? files : files.filter(file => CHOSEN.test(readFileSync(join(ROOT, file), 'utf8')))
  return [...chosen, ...(part === 'server' ? form.own.flatMap(testsIn) : [])]
}

export class UsageError extends Error {}

export interface Order {
  readonly servers: readonly Server[]
  readonly forms: readonly Form[]
  readonly parts: readonly Part[]
  /** Servers that were asked for by name. */
  readonly named: readonly string[]
  readonly strict: boolean
  readonly list: boolean
  readonly workers: number
  readonly json: string | undefined
}

const OPTIONS = {
  only: { type: 'string' },
  strict: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  workers: { type: 'string', default: '1' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

const rowsOf = (rows: readonly (readonly [name: string, what: string])[]) =>
  rows.map(([name, what]) => `    ${name.padEnd(11)} ${what}`).join('\n')

export const HELP = `npm run matrix: the tests of the scripts and of the server, and some faults, on each server that people have

  --only A,B     servers, forms or parts by name (default: all)
  --strict       a server that cannot be had here counts as failed; one that --only names always does
  --list         what would run, which servers are here and which would be fetched; runs and fetches nothing
  --workers N    test files at a time, 1 to 16 (default 1)
  --json FILE    writes the result to FILE too
  --help         this text

  servers
${rowsOf(SERVERS.map(({ name, of }) => [name, of]))}
  forms
${rowsOf(FORMS.map(({ name, what }) => [name, what]))}
  parts
${rowsOf([
  ['script', 'test/script'],
  ['server', 'test/server, and for the cluster test/cluster'],
  ['fault', FORMS.map(({ name, fault }) => `${name}: ${fault.join(', ')}`).join('; ')],
])}

A server is taken from PATH where its line is there, else from Debian's packages, into node_modules/.cache/matrix.
Exit codes: 0 all passed, 1 a test failed or a server that was asked for cannot be had, 2 wrong usage.

  npm run matrix -- --only redis-8.0,single
  npm run matrix -- --only cluster,fault --strict
`

/** What the arguments ask for; null when they ask for help. Throws UsageError. */
export function readOrder(args: readonly string[]): Order | null {
  let values: ReturnType<typeof parse>
  try {
    values = parse(args)
  } catch (cause) {
    throw new UsageError((cause as Error).message)
  }
  if (values.help) return null
  const wanted = values.only === undefined ? [] : values.only.split(',').map(name => name.trim())
  const names = [...SERVERS, ...FORMS].map(({ name }): string => name).concat(PARTS)
  const unknown = wanted.find(name => !names.includes(name))
  if (unknown !== undefined) throw new UsageError(`--only ${unknown || 'nothing'}: there is ${names.join(', ')}`)
  if (!/^([1-9]|1[0-6])$/.test(values.workers))
    throw new UsageError(`--workers ${values.workers}: it is a whole number, 1 to 16`)
  if (values.json === '') throw new UsageError('--json needs the name of a file')
  const pick = <T>(all: readonly T[], nameOf: (each: T) => string): readonly T[] => {
    const picked = all.filter(each => wanted.includes(nameOf(each)))
    return picked.length > 0 ? picked : all
  }
  return {
    servers: pick(SERVERS, ({ name }) => name),
    forms: pick(FORMS, ({ name }) => name),
    parts: pick(PARTS, name => name),
    named: SERVERS.map(({ name }) => name).filter(name => wanted.includes(name)),
    ...{ strict: values.strict, list: values.list, workers: Number(values.workers), json: values.json },
  }
}

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options: OPTIONS, strict: true }).values
