/**
 * Four loads that no day has, each of which asks one question of the engine.
 *
 * `drain`: everybody asks once and gets a pack. How many grants a second, and what does one cost?
 * `sold-out`: one pack, and everybody asks four times. How many refusals a second, and are they certainly true?
 * `duplicates`: every user asks ten times from at least two processes at once, and half of them can win. Does a natural key
 * hold when its repeats meet? `in-flight`: all frames are sent before the first answer is read, so a million claims are
 * unanswered at once. Does the engine keep them all, answer each, and say `overloaded` only where nothing was done?
 *
 * At the pace `real` the taps are spread over `--seconds`, which makes an open loop of a constant rate of any of them.
 * They differ in a few numbers of a claim run, so they are rows of a table and not programs.
 */

import { figure, type MeasuredPart } from '../measure/result.ts'
import type { Options } from '../stage/options.ts'
import { runClaims } from './claim-run.ts'
import type { ClaimRun } from './planned-run.ts'
import type { Stage } from './stage.ts'

export type StressName = 'drain' | 'sold-out' | 'duplicates' | 'in-flight'

interface Stress {
  readonly people: number
  readonly stockShare: number
  readonly taps: number
  readonly scale: number
  readonly change: (run: ClaimRun) => Partial<ClaimRun>
}

const FRAME_MAX = 4096

const STRESSES: Readonly<Record<StressName, Stress>> = {
  drain: { people: 1_000_000, stockShare: 1, taps: 1, scale: 0.5, change: () => ({ expected: [] }) },
  'sold-out': { people: 1_000_000, stockShare: 0, taps: 4, scale: 0.2, change: () => ({}) },
  duplicates: {
    people: 1_000_000,
    stockShare: 0.5,
    taps: 5,
    scale: 0.05,
    change: run => ({ sameUsers: true, processes: Math.max(2, run.processes) }),
  },
  'in-flight': {
    people: 1_050_000,
    stockShare: 1,
    taps: 1,
    scale: 1,
    change: run => ({
      frame: FRAME_MAX,
      window:
        Math.ceil(
          run.plan.sizes.people / run.processes / FRAME_MAX / Math.max(1, Math.floor(run.connections / run.processes)),
        ) + 1,
      retries: true,
      expected: ['overloaded', 'unknown'],
      notes: ['claims in flight are counted by the clients: sent, and not yet answered; some still wait in sockets'],
      figures: story => [figure('shed and asked again', story.outcomes.overloaded ?? 0, 'answers', 'lower')],
    }),
  },
}

export function stressRun(options: Options, name: StressName): ClaimRun {
  const stress = STRESSES[name]
  const scale = options.scale ?? stress.scale
  const transport = name === 'in-flight' ? 'stream' : (options.transport ?? 'stream')
  const people = Math.max(2, Math.round(stress.people * scale))
  const stock = Math.max(1, Math.round(people * stress.stockShare))
  const run: ClaimRun = {
    name: `${name} over ${transport}`,
    plan: {
      shape: 'late',
      sizes: { people, stock, bots: 0 },
      taps: stress.taps,
      secondsPerTap: options.pace === 'real' ? options.seconds : 1,
    },
    transport,
    pace: options.pace,
    frame: options.frame,
    window: options.window,
    connections: options.connections ?? (transport === 'http' ? 64 : 4),
    processes: options.processes,
    sameUsers: false,
    retries: false,
    expected: ['sold_out'],
    settings: { scenario: name, scale, transport, pace: options.pace },
  }
  return { ...run, ...stress.change(run) }
}

export async function* playStress(stage: Stage, name: StressName): AsyncGenerator<MeasuredPart> {
  yield await runClaims(stage, stressRun(stage.options, name))
}
