/**
 * `npm run sim`: simulated worlds, one seed after the other, until a time or a number is over or something is broken.
 *
 * Progress goes to stderr, the table (or with --json the totals) to stdout. At the first violation it stops: it plays the
 * world again with fewer and fewer faults until the shortest history that still shows it is found, and prints that
 * history's command. Exit 0 when every world held, 1 when one did not or a planted bug was not found, 2 for a wrong word. One
 * process and one core: for two, start it twice with different seeds. Tests call `simulate`, since most of a small run is
 * its process's start. Rejected: going on after a violation, since one bug has a thousand seeds.
 */
import { parseArgs } from 'node:util'
import { TERMINAL, type Terminal } from '../../bench/terminal.ts'
import { addForgiven, type Forgiven, LENIENCIES, LENIENCY_NAMES, nothingForgiven } from './leniency.ts'
import { MODE_PLANTS } from './mode-plants.ts'
import { MODE_WORDS, type ModeWord } from './modes.ts'
import type { Outcome } from './outcome.ts'
import { PLANTS, type Plant } from './plants.ts'
import { SHARD_PLANTS } from './shards/shard-plants.ts'
import { ShardWorld } from './shards/shard-world.ts'
import { LEVELS, type Level, World } from './world.ts'

/** Bugs of clusters. */
const OF_SHARDS = [...SHARD_PLANTS, ...MODE_PLANTS]

/** A cluster with fewer has no majority when one is lost. */
const SHARDS_MIN = 3
const SHARDS_MAX = 9
/** The level that no cluster keeps yet. */
const UNSHARDED = 'fenced'

const HELP = `npm run sim -- [options]      simulated worlds: Redis with replicas, engines, people and faults from one seed

  --hours N      go on for so many hours of real time (0.5 is half an hour)
  --runs N       play so many worlds at each level (default: 100, or one with --seed or --plant)
  --seed S       the first world's seed; the next have the next ones (default: from the clock, or the one that shows the bug)
  --level L      ${LEVELS.join(', ')} (default: all of them in turn; a planted bug has its own)
  --faults K     no more faults than K in a world: the shortest history of a violation
  --shards N     a Redis Cluster of N shards in place of one Redis, ${SHARDS_MIN} to ${SHARDS_MAX}: slots move, too (not at ${UNSHARDED})
  --mode M       how rounds give their packs away: first (come), strict, drawn or all (default: all; at fenced, and with a
                 planted bug where it names no other, first)
  --plant P      plant a bug and see it found: ${PLANTS.map(({ name }) => name).join(', ')};
                 of a cluster, which has ${SHARDS_MIN} shards where --shards is left out: ${OF_SHARDS.map(({ name }) => name).join(', ')}
  --json         the totals as JSON
  --help         this text

Exit codes: 0 every world held, 1 one did not, or a planted bug was not found, 2 wrong usage.

  npm run sim -- --hours 0.5 --level replicated      half an hour of fail-overs
  npm run sim -- --hours 0.5 --shards 3              a cluster, at all its levels in turn
  npm run sim -- --plant late-copy                   a planted bug, found and told with its shortest history
`

const TOTALS = [
  ...(['worlds', 'days', 'claims', 'grants', 'entries', 'inOrder', 'reads'] as const),
  ...(['calmClaims', 'failOvers', 'moves', 'kills', 'powerLosses', 'cuts', 'faults'] as const),
] as const
type Totals = Record<(typeof TOTALS)[number], number> & { readonly forgiven: Forgiven }
const TITLES: Readonly<Record<(typeof TOTALS)[number], string>> = {
  worlds: 'worlds',
  days: 'simulated days',
  claims: 'claims',
  grants: 'grants told',
  entries: 'receipts told',
  inOrder: 'orders judged',
  reads: 'states judged',
  calmClaims: 'calm claims',
  failOvers: 'fail-overs',
  moves: 'slots moved',
  kills: 'kills of Redis',
  powerLosses: 'power losses',
  cuts: 'connections cut',
  faults: 'faults in all',
}
const TOLD_EACH_MS = 5000

interface Request {
  readonly levels: readonly Level[]
  readonly seed: number
  readonly runs: number
  readonly untilMs: number
  readonly faults: number | undefined
  /** Of a cluster; undefined with one Redis. */
  readonly shards: number | undefined
  /** How rounds give their packs away. */
  readonly mode: ModeWord
  readonly plant: Plant | undefined
  readonly json: boolean
}

class Wrong extends Error {}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const number = Number(text)
  if (!Number.isFinite(number) || number < 0) throw new Wrong(`--${name}: "${text}" is not a number from 0 on`)
  return number
}

/** How many shards a word asks for; undefined for one Redis. */
function shardsOf(
  text: string | undefined,
  { isPlant, isOfShards }: { readonly isPlant: boolean; readonly isOfShards: boolean },
): number | undefined {
  if (text === undefined) return isOfShards ? SHARDS_MIN : undefined
  const shards = Number(text)
  if (!Number.isInteger(shards) || shards < SHARDS_MIN || shards > SHARDS_MAX)
    throw new Wrong(`--shards: "${text}" is not a whole number from ${SHARDS_MIN} to ${SHARDS_MAX}`)
  if (isPlant && !isOfShards) throw new Wrong('--shards: this plant is of one Redis; leave --shards out')
  return shards
}

function readRequest(args: readonly string[]): Request | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ hours: text, runs: text, seed: text, level: text, faults: text, plant: text, shards: text, mode: text },
      ...{ json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    },
  })
  if (values.help) return undefined
  const ofShards = OF_SHARDS.find(({ name }) => name === values.plant)
  const plant = PLANTS.find(({ name }) => name === values.plant) ?? ofShards
  const shards = shardsOf(values.shards, { isPlant: plant !== undefined, isOfShards: ofShards !== undefined })
  if (values.plant !== undefined && !plant) throw new Wrong(`--plant: there is no ${values.plant}`)
  const level = LEVELS.find(name => name === values.level)
  if (values.level !== undefined && !level)
    throw new Wrong(`--level: "${values.level}" is not one of ${LEVELS.join(', ')}`)
  if (plant && level && level !== plant.level)
    throw new Wrong(`--level: ${plant.name} is a bug of ${plant.level}; leave --level out`)
  if (shards !== undefined && level === UNSHARDED)
    throw new Wrong(`--level: ${UNSHARDED} is not kept on a cluster; leave --shards out, or take another level`)
  const mode = values.mode ?? (plant ? (plant.modes ?? 'first') : 'all')
  if (!isModeWord(mode)) throw new Wrong(`--mode: "${mode}" is not one of ${Object.keys(MODE_WORDS).join(', ')}`)
  if (level === UNSHARDED && values.mode !== undefined && mode !== 'first')
    throw new Wrong(`--mode: at ${UNSHARDED} all rounds are first come; leave --mode out`)
  const [hours, seed] = [numberOf('hours', values.hours), numberOf('seed', values.seed)]
  const usual = seed === undefined && !plant ? 100 : 1
  const runs = numberOf('runs', values.runs) ?? (hours === undefined ? usual : Number.POSITIVE_INFINITY)
  const all = shards === undefined ? LEVELS : LEVELS.filter(each => each !== UNSHARDED)
  const levels = plant ? [plant.level] : level ? [level] : all
  return {
    ...{ levels, runs: level || plant ? runs : runs * levels.length, shards, mode, json: values.json === true },
    ...{ seed: seed ?? plant?.seed ?? Math.floor(Date.now() / 1000), faults: numberOf('faults', values.faults), plant },
    untilMs: hours === undefined ? Number.POSITIVE_INFINITY : performance.now() + hours * 3_600_000,
  }
}

const isModeWord = (word: string): word is ModeWord => Object.hasOwn(MODE_WORDS, word)

function play(
  { plant, shards, mode }: Request,
  seed: number,
  level: Level,
  faults: number | undefined,
): Promise<Outcome> {
  const options = { seed, level, faults, plant: plant?.plant, modes: mode }
  return shards === undefined ? new World(options).play() : new ShardWorld({ ...options, shards }).play()
}

/** The smallest number of faults with which a world still shows a violation, by halves. */
async function shorten(request: Request, level: Level, found: Outcome): Promise<Outcome> {
  let [low, shortest] = [0, found]
  while (low < shortest.faults) {
    const middle = Math.floor((low + shortest.faults) / 2)
    const outcome = await play(request, found.seed, level, middle)
    if (outcome.violations.length > 0) shortest = outcome.faults <= middle ? { ...outcome, faults: middle } : outcome
    else low = middle + 1
  }
  return shortest
}

function violationText(request: Request, level: Level, { seed, faults, violations }: Outcome): string {
  const { plant, shards, mode } = request
  const isUsual = mode === (plant ? (plant.modes ?? 'first') : 'all')
  const more = [
    isUsual ? '' : ` --mode ${mode}`,
    shards === undefined ? '' : ` --shards ${shards}`,
    plant ? ` --plant ${plant.name}` : '',
  ]
  return [
    `\nseed ${seed} at the level ${level} breaks a promise; ${faults} faults are enough to show it:`,
    ...violations.map(violation => `  ${violation}`),
    `play it again: npm run sim -- --seed ${seed} --level ${level} --faults ${faults}${more.join('')}\n`,
  ].join('\n')
}

function add(totals: Totals, outcome: Outcome): void {
  totals.worlds++
  for (const name of TOTALS) if (name !== 'worlds') totals[name] += outcome[name]
  addForgiven(totals.forgiven, outcome.forgiven)
}

const count = (number: number): string => Math.round(number).toLocaleString('en-US')

function totalsText({ json, levels, seed, shards }: Request, totals: Totals, broken: number): string {
  const seconds = performance.now() / 1000
  const cpuSeconds = (process.cpuUsage().user + process.cpuUsage().system) / 1e6
  if (json) return `${JSON.stringify({ ...totals, violations: broken, seed, levels, shards, seconds, cpuSeconds })}\n`
  const pace = (totals.failOvers + totals.moves) / cpuSeconds
  const each = `${pace.toFixed(0)} fail-overs and moves a second of processor time`
  return [
    ...TOTALS.map(name => `${TITLES[name].padEnd(18)}${count(totals[name]).padStart(14)}`),
    ...LENIENCY_NAMES.map(name => `forgiven ${count(totals.forgiven[name]).padStart(23)}  ${LENIENCIES[name]}`),
    `${'worlds broken'.padEnd(18)}${count(broken).padStart(14)}`,
    `levels ${levels.join(', ')}; seeds from ${seed}; ${seconds.toFixed(0)} s, ${each}\n`,
  ].join('\n')
}

/** Plays what was asked for; the exit code. */
async function playAll(request: Request, { out, err }: Terminal): Promise<number> {
  const zeros = Object.fromEntries(TOTALS.map(name => [name, 0])) as Record<(typeof TOTALS)[number], number>
  const totals: Totals = { ...zeros, forgiven: nothingForgiven() }
  let toldAt = performance.now()
  for (let run = 0; run < request.runs && performance.now() < request.untilMs; run++) {
    const level = request.levels[run % request.levels.length] as Level
    const outcome = await play(request, request.seed + Math.floor(run / request.levels.length), level, request.faults)
    add(totals, outcome)
    if (outcome.violations.length > 0) {
      err(violationText(request, level, await shorten(request, level, outcome)))
      out(totalsText(request, totals, 1))
      return 1
    }
    if (performance.now() < toldAt + TOLD_EACH_MS) continue
    toldAt = performance.now()
    err(
      `${count(totals.worlds)} worlds, ${count(totals.failOvers)} fail-overs, ${count(totals.moves)} moves, ${count(totals.claims)} claims\n`,
    )
  }
  out(totalsText(request, totals, 0))
  if (!request.plant) return 0
  err(`${request.plant.name} was not found; world ${request.plant.seed} shows it: leave --seed and --faults out\n`)
  return 1
}

/** The command: says what it has to say at the terminal; the exit code. */
export async function simulate(args: readonly string[], terminal: Terminal): Promise<number> {
  let request: Request | undefined
  try {
    request = readRequest(args)
  } catch (cause) {
    terminal.err(`${(cause as Error).message}\n\n${HELP}\n`)
    return 2
  }
  if (!request) {
    terminal.out(`${HELP}\n`)
    return 0
  }
  const usual = Error.stackTraceLimit
  // A stack for each of the millions of faults that are made on purpose would cost a tenth of the run.
  Error.stackTraceLimit = request.runs > 1 ? 0 : 20
  try {
    return await playAll(request, terminal)
  } finally {
    Error.stackTraceLimit = usual
  }
}

if (import.meta.main) process.exitCode = await simulate(process.argv.slice(2), TERMINAL)
