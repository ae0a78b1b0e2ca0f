/**
 * Who is first: claims at a steady pace (an open loop) at one, two and four workers, first as Redis decides them (fcfs),
 * then by their stamps of arrival (strict), each on an engine of its own.
 *
 * The engine's workers record when each decided claim arrived, and the order is judged by those stamps once the engine has
 * ended: overtaking, inversions, unjust losses. A strict round must show no inversion but those of claims that came behind
 * the frontier (`late`, counted by the engine), else the part fails. What strictness costs in latency is the difference of
 * two parts with the same workers, printed with the strict one. The stock is for half of the people, so that losing hurts.
 */

import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { type Figure, figure, type MeasuredPart } from '../measure/result.ts'
import { readStamped, stampedOrderOf } from '../measure/stamped-order.ts'
import { engineOf, startEngine } from '../stage/engine-process.ts'
import { Operator } from '../stage/operator.ts'
import type { Options } from '../stage/options.ts'
import { runClaims } from './claim-run.ts'
import type { ClaimRun } from './planned-run.ts'
import type { Stage } from './stage.ts'

const WORKERS = [1, 2, 4] as const
/** At scale 1: what two cores decide one by one without being full, claims a second. */
const RATE = 5000
const LATENCIES = ['latency from send p50', 'latency from send p99'] as const

interface Setting {
  readonly workers: number
  readonly strict: boolean
}

function orderRun(options: Options, { workers, strict }: Setting): ClaimRun {
  const people = Math.round(RATE * (options.scale ?? 1) * options.seconds)
  const allocation = strict ? 'strict' : 'fcfs'
  return {
    name: `${allocation}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    plan: {
      shape: 'late',
      sizes: { people, stock: Math.max(1, Math.round(people / 2)), bots: 0 },
      taps: 1,
      secondsPerTap: options.seconds,
    },
    transport: options.transport ?? 'http',
    pace: 'real',
    strict,
    frame: options.frame,
    window: options.window,
    connections: options.connections ?? 64,
    processes: options.processes,
    sameUsers: false,
    retries: false,
    expected: ['sold_out'],
    settings: { scenario: 'order', allocation, workers, rate: RATE * (options.scale ?? 1) },
    ...(strict ? { closing: round => [figure('late claims', round.late ?? 0, 'claims', 'lower')] } : {}),
  }
}

function orderFigures(folder: string): Figure[] {
  const { inversions, unjust, overtaking } = stampedOrderOf(readStamped(folder))
  return [
    figure('inversions by stamp', inversions, 'grants', 'lower'),
    figure('unjust losses by stamp', unjust, 'claims', 'lower'),
    ...[99, 99.9, 100].map(percentile =>
      figure(
        `overtaking ${percentile === 100 ? 'max' : `p${percentile}`}`,
        overtaking.at(percentile) / 1000,
        'ms',
        'lower',
      ),
    ),
  ]
}

const figureOf = ({ figures }: MeasuredPart, name: string): number =>
  figures.find(each => each.name === name)?.value ?? Number.NaN

/** What a strict part has beyond its figures: its cost against the plain one, and whether it kept its word. */
function judged(part: MeasuredPart, plain: MeasuredPart | undefined): MeasuredPart {
  const added = LATENCIES.flatMap(name =>
    plain ? [figure(`added ${name.slice(-3)}`, figureOf(part, name) - figureOf(plain, name), 'ms', 'lower')] : [],
  )
  const broken = figureOf(part, 'inversions by stamp') > 0 && figureOf(part, 'late claims') === 0
  const problem = 'a strict round served somebody before an older claim, and no claim was late'
  return {
    ...part,
    figures: [...added, ...part.figures],
    problems: broken ? [...part.problems, problem] : part.problems,
  }
}

async function measure(options: Options, setting: Setting, stage: OrderStage): Promise<MeasuredPart> {
  const arrivals = await mkdtemp(join(stage.scratch, 'arrivals-'))
  const engine = await startEngine({ ...engineOf(options), workers: setting.workers, arrivals })
  let part: MeasuredPart
  try {
    const operator = new Operator(engine.url, engine.key)
    part = await runClaims({ ...stage, engine, operator, options }, orderRun(options, setting))
  } finally {
    await engine.stop()
  }
  return { ...part, figures: [...orderFigures(arrivals), ...part.figures] }
}

type OrderStage = Pick<Stage, 'live' | 'scratch' | 'interrupted'>

export async function* playOrder(options: Options, stage: OrderStage): AsyncGenerator<MeasuredPart> {
  for (const workers of options.workers === undefined ? WORKERS : [options.workers]) {
    let plain: MeasuredPart | undefined
    for (const strict of [false, true]) {
      if (stage.interrupted.aborted) return
      const part = await measure(options, { workers, strict }, stage)
      plain ??= part
      yield strict ? judged(part, plain) : part
    }
  }
}
