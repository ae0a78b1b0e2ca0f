/**
 * The flags of `fairgrab bench`: one table that parses, checks, and prints the help.
 *
 * Every flag is a row with its kind, its default and a sentence. A value that cannot be is a usage error that names the
 * flag and what it may be; an unknown flag names the nearest one. node:util's parseArgs does the splitting only: it
 * knows neither numbers nor ranges, and its words about an unknown option do not help.
 */

import { parseArgs } from 'node:util'
import { PROFILES, type ProfileName } from '../people/profile.ts'

export class UsageError extends Error {}

export const SCENARIOS = [
  'release',
  'drain',
  'sold-out',
  'duplicates',
  'in-flight',
  'rounds',
  'viewers',
  'order',
  'redeem',
  'autocannon',
] as const
export type ScenarioName = (typeof SCENARIOS)[number]
export const DURABILITIES = ['memory', 'everysec', 'always'] as const

interface Flag {
  readonly kind: 'choice' | 'number' | 'text' | 'switch'
  readonly choices?: readonly string[]
  readonly min?: number
  readonly max?: number
  /** A number that may have a fraction. */
  readonly fraction?: boolean
  readonly says: string
}

const choice = (choices: readonly string[], says: string): Flag => ({ kind: 'choice', choices, says })
const number = (min: number, max: number, says: string): Flag => ({ kind: 'number', min, max, says })
const text = (says: string): Flag => ({ kind: 'text', says })

export const FLAGS = {
  profile: choice(Object.keys(PROFILES), 'the release to replay (default hangzhou)'),
  scenario: choice(SCENARIOS, 'what to do with it (default release)'),
  scale: {
    ...number(1e-6, 10, 'divides people, stock and rates alike; 0.1 is a tenth (the default depends on the scenario)'),
    fraction: true,
  },
  transport: choice(['http', 'stream'], 'one claim a request, or frames of many (default: both, one after the other)'),
  mode: choice(
    ['script', 'engine', 'draw', 'http', 'stream'],
    'what is measured: Redis alone, the engine in process, a draw by itself, or all of it',
  ),
  pace: choice(['real', 'max'], 'the planned times, or the planned order as fast as it goes (default max)'),
  allocation: choice(['fcfs', 'strict', 'window'], 'how the release is allotted (default fcfs)'),
  'window-ms': number(
    1,
    86_400_000,
    'length of a window of the draw (default: 3000 at the pace real, the whole plan at max)',
  ),
  frame: number(1, 4096, 'claims of a stream frame (default 512)'),
  window: number(1, 4096, 'unanswered frames of a stream connection (default 4)'),
  connections: number(
    1,
    72_000,
    'connections of all generators together (default: stream 4, http 64, viewers 1000); of rounds a multiple of their number',
  ),
  processes: number(1, 64, 'generator processes (default 1)'),
  seconds: number(
    1,
    3600,
    'length of viewers, order, autocannon, and of the others but release at the pace real (default 10)',
  ),
  seed: number(0, 2 ** 31, 'the same seed makes the same people (default 1)'),
  repeat: number(1, 100, 'runs the whole bench this often, for compare (default 1)'),
  workers: number(1, 256, "the engine's workers (default: its own choice)"),
  durability: choice(DURABILITIES, "the engine's level (default always)"),
  cluster: number(
    1,
    16,
    'primaries of a Redis Cluster that the bench starts for the engine and ends (default: one Redis, no cluster)',
  ),
  redis: choice(
    ['embedded', 'tcp'],
    "one Redis: the engine's own over a unix socket, or one over TCP as a cluster's are (default embedded)",
  ),
  url: text('an engine that runs already; without it the bench starts one'),
  key: text('its operator key'),
  record: choice(
    ['keep', 'none'],
    'what the audit looked at stays in the result, for npm run bench -- audit (default keep)',
  ),
  out: text('the folder of the result, which has no files yet (default bench-results/<date>-<scenario>)'),
  json: text('writes the summary to this file too; - is standard output'),
  help: { kind: 'switch', says: 'this text' },
} as const satisfies Record<string, Flag>

export type Environment = Readonly<Record<string, string | undefined>>

type FlagName = keyof typeof FLAGS
type Flags = Partial<Record<FlagName, string | number | boolean>>

/** Of a plan of claims. */
const PLANNED = ['scale', 'transport', 'pace', 'frame', 'window', 'connections', 'processes', 'seconds'] as const
/** What each scenario uses of the flags that not all of them do; `seconds` of a plan is for the pace real. */
const USED: Readonly<Record<ScenarioName, readonly FlagName[]>> = {
  release: ['profile', ...PLANNED.filter(name => name !== 'seconds'), 'allocation', 'window-ms'],
  drain: PLANNED,
  'sold-out': PLANNED,
  duplicates: PLANNED,
  'in-flight': PLANNED.filter(name => name !== 'transport'),
  rounds: PLANNED,
  viewers: ['scale', 'frame', 'window', 'connections', 'seconds'],
  order: PLANNED.filter(name => name !== 'pace'),
  redeem: ['scale', 'connections'],
  autocannon: ['connections', 'seconds'],
}
/** The same of the modes that look inside, where nobody connects and no scenario is played. */
const USED_INSIDE: Readonly<Record<string, readonly FlagName[]>> = {
  script: ['scale', 'frame', 'window'],
  engine: ['scale', 'frame', 'window'],
  draw: ['scale'],
}
const NOT_OF_ALL: readonly FlagName[] = [...new Set(Object.values(USED).flat())]

export interface Options {
  readonly profile: ProfileName
  readonly scenario: ScenarioName
  readonly scale: number | undefined
  readonly mode: 'script' | 'engine' | 'draw' | 'http' | 'stream' | undefined
  readonly transport: 'http' | 'stream' | undefined
  readonly pace: 'real' | 'max'
  readonly allocation: 'fcfs' | 'strict' | 'window'
  readonly 'window-ms': number | undefined
  readonly frame: number
  readonly window: number
  readonly connections: number | undefined
  readonly processes: number
  readonly seconds: number
  readonly seed: number
  readonly repeat: number
  readonly workers: number | undefined
  readonly durability: string
  readonly cluster: number | undefined
  readonly redis: 'embedded' | 'tcp'
  readonly url: string | undefined
  readonly key: string | undefined
  readonly record: 'keep' | 'none'
  readonly out: string | undefined
  readonly json: string | undefined
  readonly help: boolean
}

/** Letters to change, add or take away to get from one word to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, place) => place)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === to[j] ? 0 : 1)))
    }
    row = next
  }
  return row[to.length]!
}

export function nearest(word: string, words: readonly string[]): string {
  return words.reduce((best, other) => (distance(word, other) < distance(word, best) ? other : best))
}

function checked(name: FlagName, value: string): string | number {
  const flag: Flag = FLAGS[name]
  if (flag.kind === 'choice' && !flag.choices?.includes(value)) {
    throw new UsageError(
      `--${name} may be ${flag.choices?.join(', ')}; not "${value}" (nearest: ${nearest(value, flag.choices ?? [])})`,
    )
  }
  if (flag.kind !== 'number') return value
  const parsed = Number(value)
  const isOne = value.trim() !== '' && (flag.fraction === true || Number.isInteger(parsed))
  if (!isOne || !(parsed >= (flag.min ?? 0) && parsed <= (flag.max ?? 0))) {
    const kind = flag.fraction === true ? 'a number' : 'a whole number'
    throw new UsageError(`--${name} is ${kind} from ${flag.min} to ${flag.max}; not "${value}"`)
  }
  return parsed
}

function parsedFlags(args: readonly string[]): Flags {
  const names = Object.keys(FLAGS) as FlagName[]
  const options = Object.fromEntries(
    names.map(name => [name, { type: FLAGS[name].kind === 'switch' ? ('boolean' as const) : ('string' as const) }]),
  )
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true })
  const flags: Flags = {}
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`"${token.value}" is not a flag; flags begin with --`)
    if (token.kind !== 'option') continue
    if (!Object.hasOwn(FLAGS, token.name))
      throw new UsageError(`${token.rawName} is unknown; the nearest is --${nearest(token.name, names)}`)
    const name = token.name as FlagName
    if (FLAGS[name].kind === 'switch') flags[name] = true
    else if (token.value === undefined) throw new UsageError(`--${name} needs a value: ${FLAGS[name].says}`)
    else flags[name] = checked(name, token.value)
  }
  return flags
}

/** A Redis beside the engine is for an engine that the bench starts, and that has one. */
function refuseRedis(flags: Flags, url: unknown): void {
  const { cluster, redis, mode } = flags
  const name = cluster === undefined ? 'redis' : 'cluster'
  if (cluster === undefined && redis === undefined) return
  if (url !== undefined)
    throw new UsageError(
      `--${name} is for an engine that the bench starts; the one of --url or FAIRGRAB_URL has its Redis already`,
    )
  if (mode === 'script' || mode === 'engine' || mode === 'draw')
    throw new UsageError(
      `--${name} is for an engine as people run it; --mode ${mode} looks inside one, on a Redis of its own`,
    )
  if (cluster !== undefined && redis === 'embedded')
    throw new UsageError('--cluster starts servers over TCP; --redis embedded is the other one: leave one of them out')
}

/** A flag that changes nothing would have its result read as if it had. */
function refuseUnused(flags: Flags): void {
  const { scenario = 'release', mode, pace = 'max', allocation = 'fcfs' } = flags
  const inside = USED_INSIDE[String(mode)]
  const used = inside ?? USED[scenario as ScenarioName]
  const player = inside ? `--mode ${mode}` : `--scenario ${scenario}`
  const others: readonly FlagName[] = inside ? [...NOT_OF_ALL, 'scenario', 'workers'] : NOT_OF_ALL
  const takes = `which takes ${used.map(name => `--${name}`).join(', ')}; leave it out`
  for (const name of others)
    if (flags[name] !== undefined && !used.includes(name))
      throw new UsageError(`--${name} is not used by ${player}, ${takes}`)
  if (mode !== undefined && !inside && !used.includes('transport'))
    throw new UsageError(`--mode ${mode} is not used by ${player}, ${takes}`)
  if (flags.seconds !== undefined && used.includes('pace') && pace === 'max')
    throw new UsageError(`--seconds is not used by ${player} at the pace max; add --pace real, or leave it out`)
  if (flags['window-ms'] !== undefined && allocation !== 'window')
    throw new UsageError('--window-ms is not used without --allocation window; add that, or leave it out')
}

/** `environment` gives the address and the key of a running engine where the flags do not. */
export function parseOptions(args: readonly string[], environment: Environment = {}): Options {
  const flags = parsedFlags(args)
  const url = flags.url ?? environment.FAIRGRAB_URL
  const key = flags.key ?? environment.FAIRGRAB_KEY
  if (url !== undefined && key === undefined) throw new UsageError('--url needs --key, the operator key of that engine')
  if (url === undefined && flags.key !== undefined)
    throw new UsageError('--key is for --url, an engine that runs already; without one the bench starts its own')
  if (flags.allocation !== undefined && (flags.scenario ?? 'release') !== 'release') {
    throw new UsageError('--allocation is for the scenario release; the scenario order compares fcfs and strict')
  }
  if (flags.scenario === 'order' && url !== undefined) {
    throw new UsageError('--scenario order starts its own engines, with one, two and four workers; leave --url out')
  }
  refuseRedis(flags, url)
  refuseUnused(flags)
  const defaults = {
    profile: 'hangzhou',
    scenario: 'release',
    pace: 'max',
    allocation: 'fcfs',
    frame: 512,
    window: 4,
    processes: 1,
    seconds: 10,
    seed: 1,
  }
  const rest = {
    repeat: 1,
    durability: 'always',
    redis: 'embedded',
    cluster: undefined,
    record: 'keep',
    help: false,
    scale: undefined,
    transport: flags.mode === 'http' || flags.mode === 'stream' ? flags.mode : undefined,
    connections: undefined,
  }
  const optional = { mode: undefined, 'window-ms': undefined, workers: undefined, out: undefined, json: undefined }
  return { ...defaults, ...rest, ...optional, ...flags, url, key } as Options
}

export function helpText(): string {
  const rows = Object.entries(FLAGS).map(([name, flag]: [string, Flag]) => {
    const value =
      flag.kind === 'switch'
        ? ''
        : flag.kind === 'choice'
          ? ` ${flag.choices?.join('|')}`
          : flag.kind === 'number'
            ? ' N'
            : ' TEXT'
    const head = `  --${name}${value}`
    return head.length > 32 ? `${head}\n${' '.repeat(34)}${flag.says}` : `${head.padEnd(34)}${flag.says}`
  })
  return [
    'fairgrab bench: replays a flash release against the engine, audits it, and says what it cost.',
    '',
    'Without flags: a scaled Hangzhou release over the stream, a smaller one over HTTP, in under a minute.',
    '',
    ...rows,
    '',
    'Examples:',
    '  npm run bench -- --profile city-2m --scale 0.1 --transport stream --pace real',
    '  npm run bench -- --scenario rounds --cluster 3    (20 rounds over the shards of a Redis Cluster)',
    '  npm run bench -- --repeat 5 --out before    (then change something, --out after, and:)',
    '  npm run bench -- compare before after',
    '  npm run bench -- audit before             (is it as it was written, and does its record still say so?)',
    '  npm run bench -- fairness --short         (is the allocator fair, and would its tests see it if not?)',
    '  npm run bench -- peers --help             (other programs beside this one)',
    '',
    'Exit codes: 0 sound, 1 an error, 2 wrong usage, 99 a ✗ stands in the result.',
  ].join('\n')
}
