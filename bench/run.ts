/**
 * `fairgrab bench`: starts an engine, plays a scenario on it, audits, measures, writes the result, stops the engine.
 *
 * The order is the promise: the verdict is known before a figure is shown, and the engine is stopped whatever happened,
 * an interrupt included (the first one ends the load and still reports; a second one ends the bench). What has ended is
 * written at once. `compare` and `audit` read the folders of earlier runs; `fairness` replays draws without an engine. What only
 * some runs need (the engine's own modules, other programs) is loaded by those: half of a start is loading.
 * Exit codes: 0 sound, 1 an error, 2 wrong usage, 99 a ✗ stands in the result.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { causesText } from '../engine/base/causes.ts'
import { pooledLines } from './measure/fairness/run-text.ts'
import type { Tally } from './measure/fairness/tally.ts'
import { machineCard } from './measure/machine.ts'
import { isSound, type MeasuredPart, type Summary } from './measure/result.ts'
import { partLines, runLines, sealLines } from './measure/result-text.ts'
import { treeCard } from './measure/tree-card.ts'
import { ResultFolder, refuseTaken } from './record/result-folder.ts'
import { playOrder } from './scenario/arrival-order.ts'
import { playRedeem } from './scenario/redeem.ts'
import { playRelease } from './scenario/release.ts'
import { playRounds } from './scenario/rounds.ts'
import type { Stage } from './scenario/stage.ts'
import { playStress } from './scenario/stress.ts'
import { playViewers } from './scenario/viewers.ts'
import { engineOf, foreignEngine, type RunningEngine, startEngine } from './stage/engine-process.ts'
import { LiveLine } from './stage/live-line.ts'
import { Operator } from './stage/operator.ts'
import { helpText, type Options, parseOptions, type ScenarioName } from './stage/options.ts'
import { EXIT, exitOf, TERMINAL } from './terminal.ts'

/** Under the 20,000 open files that a process may have on many systems. */
const SOCKETS_A_WORKER = 18_000

/** `order` starts its engines itself. */
const SCENES: Readonly<Record<Exclude<ScenarioName, 'order'>, (stage: Stage) => AsyncGenerator<MeasuredPart>>> = {
  release: playRelease,
  drain: stage => playStress(stage, 'drain'),
  'sold-out': stage => playStress(stage, 'sold-out'),
  duplicates: stage => playStress(stage, 'duplicates'),
  'in-flight': stage => playStress(stage, 'in-flight'),
  rounds: playRounds,
  viewers: playViewers,
  redeem: playRedeem,
  autocannon: async function* (stage) {
    yield* (await import('./scenario/autocannon.ts')).playAutocannon(stage)
  },
}

/** Viewers need sockets, and a process has only so many files: the system spreads them over the workers, not evenly. */
function seatsFor({ scenario, connections = 0, workers }: Options) {
  if (scenario !== 'viewers' || connections <= SOCKETS_A_WORKER) return { workers }
  const needed = Math.ceil(connections / SOCKETS_A_WORKER)
  return { workers: Math.max(workers ?? 0, needed), sockets: Math.floor(SOCKETS_A_WORKER * 1.05) }
}

function engineFor(options: Options): Promise<RunningEngine> {
  if (options.url !== undefined) return Promise.resolve(foreignEngine(options.url, options.key ?? ''))
  return startEngine({ ...engineOf(options), ...seatsFor(options) })
}

interface Playing {
  readonly live: LiveLine
  readonly interrupted: AbortSignal
}

/** Plays the scenario, and gives each part when it has ended. */
async function* play(options: Options, { live, interrupted }: Playing): AsyncGenerator<MeasuredPart> {
  const { scenario, mode } = options
  if (mode === 'script' || mode === 'engine')
    return yield* await (await import('./inside/modes.ts')).playInside(options, mode)
  if (mode === 'draw') return yield* await (await import('./inside/draw-mode.ts')).playDraw(options)
  const scratch = await mkdtemp(join(tmpdir(), 'fairgrab-load-'))
  try {
    if (scenario === 'order') return yield* playOrder(options, { live, interrupted, scratch })
    const engine = await engineFor(options)
    try {
      const operator = new Operator(engine.url, engine.key)
      yield* SCENES[scenario]({ engine, operator, options, live, scratch, interrupted })
    } finally {
      await engine.stop()
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Where it runs, as the result says it. */
function engineText({ url, cluster, redis }: Options): string {
  if (url !== undefined) return URL.parse(url)?.host ?? url
  const started = 'started by the bench'
  if (cluster === undefined) return redis === 'tcp' ? `${started}, on one Redis over TCP` : started
  const primaries = cluster === 1 ? 'one primary' : `${cluster} primaries`
  const alone = cluster < 3 ? ', too few to promote one when another is lost: for figures only' : ''
  return `${started}, on a Redis Cluster of ${primaries}${alone}`
}

/** One run: each part is written and printed when it ends, so a later one that fails takes nothing with it. */
async function playRun(options: Options, command: string, run: number, playing: Playing): Promise<Summary> {
  const head = { command, seed: options.seed, machine: machineCard(), tree: treeCard(), engine: engineText(options) }
  const folder = new ResultFolder(options, head, run)
  const print = (lines: readonly string[]) => {
    if (options.json !== '-') process.stdout.write(`${lines.join('\n')}\n`)
  }
  const close = async (ended: string): Promise<Summary> => {
    const summary = await folder.end(ended)
    print([...runLines(summary), ...sealLines(summary, folder.path)])
    return summary
  }
  let parts = 0
  try {
    for await (const part of play(options, playing)) {
      const lines = partLines(await folder.add(part))
      print(lines.length === 1 ? lines : [...lines, ''])
      parts++
    }
  } catch (error) {
    if (parts > 0) await close(`failed: ${causesText(error)}`)
    throw error
  }
  return close(playing.interrupted.aborted ? 'interrupted' : 'complete')
}

async function bench(options: Options, command: string): Promise<number> {
  const live = new LiveLine()
  const interrupt = new AbortController()
  const onInterrupt = () => (interrupt.signal.aborted ? process.exit(130) : interrupt.abort())
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  const tallies = new Map<string, Tally[]>()
  let sound = true
  for (let run = 1; run <= options.repeat && !interrupt.signal.aborted; run++) {
    const { parts } = await playRun(options, command, run, { live, interrupted: interrupt.signal })
    sound &&= parts.every(isSound)
    for (const { name, fairness } of parts) {
      if (fairness?.tally) tallies.set(name, [...(tallies.get(name) ?? []), fairness.tally])
    }
  }
  for (const [name, runs] of tallies) {
    const pooled = pooledLines(name, runs)
    if (options.json !== '-') process.stdout.write(pooled.lines.map(line => `${line}\n`).join(''))
    sound &&= pooled.ok
  }
  process.removeListener('SIGINT', onInterrupt)
  process.removeListener('SIGTERM', onInterrupt)
  return sound ? EXIT.sound : EXIT.unsound
}

/** The command as it was typed, but for the key: results are shown around. */
const commandOf = (args: readonly string[]): string =>
  ['npm run bench --', ...args].join(' ').replace(/(--key[ =])\S+/g, '$1…')

/** What stands in place of a run: two on earlier results, one on the allocator alone, and one with other programs. */
const IN_PLACE: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  compare: async args => (await import('./compare.ts')).compareFolders(args, TERMINAL),
  audit: async args => (await import('./audit-again.ts')).auditFolders(args, TERMINAL),
  fairness: async args => (await import('./fairness.ts')).replayDraws(args),
  peers: async args => (await import('./peers/run.ts')).comparePeers(args),
}

async function main(args: readonly string[]): Promise<number> {
  const inPlace = IN_PLACE[args[0] ?? '']
  if (inPlace !== undefined) return inPlace(args.slice(1))
  const options = parseOptions(args, process.env)
  if (options.help) {
    TERMINAL.out(`${helpText()}\n`)
    return EXIT.sound
  }
  await refuseTaken(options)
  return bench(options, commandOf(args))
}

process.exitCode = await exitOf(() => main(process.argv.slice(2)), TERMINAL)
