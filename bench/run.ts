/**
 * `fairgrab bench`: starts an engine, plays a scenario on it, audits, measures, writes the result, stops the engine.
 *
 * The order is the promise: the verdict is known before a figure is shown, and the engine is stopped whatever happened,
 * an interrupt included (the first one ends the load and still reports; a second one ends the bench). `compare` reads
 * the folders of earlier runs. Exit codes: 0 sound, 1 an error, 2 wrong usage, 99 a ✗ stands in the result.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compareFolders } from './compare.ts'
import { foreignEngine, type RunningEngine, startEngine } from './engine-process.ts'
import { playDraw } from './inside/draw-mode.ts'
import { playInside } from './inside/modes.ts'
import { LiveLine } from './live-line.ts'
import { pooledLines } from './measure/fairness/run-text.ts'
import type { Tally } from './measure/fairness/tally.ts'
import { machineCard } from './measure/machine.ts'
import { isSound, type MeasuredPart, type Summary } from './measure/result.ts'
import { writeResult } from './measure/result-folder.ts'
import { summaryLines } from './measure/result-text.ts'
import { Operator } from './operator.ts'
import { helpText, type Options, parseOptions, type ScenarioName, UsageError } from './options.ts'
import { playOrder } from './scenario/arrival-order.ts'
import { playAutocannon } from './scenario/autocannon.ts'
import { playRedeem } from './scenario/redeem.ts'
import { playRelease } from './scenario/release.ts'
import { playStress } from './scenario/stress.ts'
import { playViewers } from './scenario/viewers.ts'
import type { Stage } from './stage.ts'

const EXIT = { sound: 0, error: 1, usage: 2, unsound: 99 } as const

/** Under the 20,000 open files that a process may have on many systems. */
const SOCKETS_A_WORKER = 18_000

/** `order` starts its engines itself. */
const SCENES: Readonly<Record<Exclude<ScenarioName, 'order'>, (stage: Stage) => Promise<MeasuredPart[]>>> = {
  release: playRelease,
  drain: stage => playStress(stage, 'drain'),
  'sold-out': stage => playStress(stage, 'sold-out'),
  duplicates: stage => playStress(stage, 'duplicates'),
  'in-flight': stage => playStress(stage, 'in-flight'),
  viewers: playViewers,
  redeem: playRedeem,
  autocannon: playAutocannon,
}

/** Viewers need sockets, and a process has only so many files: the system spreads them over the workers, not evenly. */
function seatsFor({ scenario, connections = 0, workers }: Options) {
  if (scenario !== 'viewers' || connections <= SOCKETS_A_WORKER) return { workers }
  const needed = Math.ceil(connections / SOCKETS_A_WORKER)
  return { workers: Math.max(workers ?? 0, needed), sockets: Math.floor(SOCKETS_A_WORKER * 1.05) }
}

function engineFor(options: Options): Promise<RunningEngine> {
  if (options.url !== undefined) return Promise.resolve(foreignEngine(options.url, options.key ?? ''))
  return startEngine({ durability: options.durability, ...seatsFor(options) })
}

async function play(options: Options, interrupted: AbortSignal, live: LiveLine): Promise<MeasuredPart[]> {
  if (options.mode === 'script' || options.mode === 'engine') return playInside(options, options.mode)
  if (options.mode === 'draw') return playDraw(options)
  const { scenario } = options
  if (scenario === 'order') return playOrder(options, { live, interrupted })
  const scratch = await mkdtemp(join(tmpdir(), 'fairgrab-load-'))
  try {
    const engine = await engineFor(options)
    try {
      const operator = new Operator(engine.url, engine.key)
      return await SCENES[scenario]({ engine, operator, options, live, scratch, interrupted })
    } finally {
      await engine.stop()
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
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
    const machine = machineCard()
    const parts = await play(options, interrupt.signal, live)
    const summary: Summary = {
      schema: 2,
      command,
      seed: options.seed,
      machine,
      parts: parts.map(({ hgrm, ...part }) => part),
    }
    const folder = await writeResult({ summary, hgrm: parts.map(part => part.hgrm), options, run })
    if (options.json !== '-') process.stdout.write(`${summaryLines(summary).join('\n')}\nresult: ${folder}\n`)
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

async function main(args: readonly string[]): Promise<number> {
  try {
    if (args[0] === 'compare') return await compareFolders(args.slice(1))
    const options = parseOptions(args, process.env)
    if (options.help) {
      process.stdout.write(`${helpText()}\n`)
      return EXIT.sound
    }
    return await bench(options, ['fairgrab bench', ...args].join(' '))
  } catch (error) {
    process.stderr.write(`${error instanceof UsageError ? error.message : ((error as Error).stack ?? String(error))}\n`)
    return error instanceof UsageError ? EXIT.usage : EXIT.error
  }
}

process.exitCode = await main(process.argv.slice(2))
