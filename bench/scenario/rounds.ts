/**
 * Many rounds at once: twenty rounds with as many people each, who claim side by side from the first moment to the last.
 *
 * One question: what does a claim cost the engine and its Redis when the claims are spread, on one Redis and over the shards of
 * a cluster (`--cluster`), where each shard has its even share of the rounds? Nine of ten people get a pack, so each round
 * sells out, and each is a part with an audit and a record of its own. What all of them cost together is the last part; it
 * has no record, since the others have all of it.
 */

import { mergeLatencies } from '../measure/latency.ts'
import { costBetween } from '../measure/process-cost.ts'
import { type Figure, figure, isSound, type MeasuredPart } from '../measure/result.ts'
import { firstKnown, readStory, type Story } from '../measure/story.ts'
import { mergeTimelines } from '../measure/timeline.ts'
import type { Options } from '../stage/options.ts'
import { CLOSED_LOOP, latencyFigures, memoryFigures, shedNotes } from './claim-part.ts'
import { judgedPart } from './claim-run.ts'
import { engineFigures, generatorFigures, generatorLimits } from './cost-figures.ts'
import type { ClaimRun } from './planned-run.ts'
import { type Played, playClaims } from './played-claims.ts'
import type { Stage } from './stage.ts'

export const ROUNDS = 20
/** Of one round, at scale 1. */
const PEOPLE = 50_000
const STOCK_SHARE = 0.9
/** Connections are of all rounds together; each round has one at least. */
const DEFAULTS = {
  stream: { scale: 0.2, connections: ROUNDS },
  http: { scale: 0.05, connections: 20 * ROUNDS },
} as const

/** One of the rounds. */
export function roundRun(options: Options, transport: 'http' | 'stream'): ClaimRun {
  const { scale = DEFAULTS[transport].scale, connections = DEFAULTS[transport].connections } = options
  const people = Math.max(2, Math.round(PEOPLE * scale))
  return {
    name: `${ROUNDS} rounds over ${transport}`,
    plan: {
      shape: 'late',
      sizes: { people, stock: Math.max(1, Math.round(people * STOCK_SHARE)), bots: 0 },
      taps: 1,
      secondsPerTap: options.pace === 'real' ? options.seconds : 1,
    },
    transport,
    pace: options.pace,
    frame: options.frame,
    window: options.window,
    connections: Math.ceil(connections / ROUNDS),
    processes: options.processes,
    sameUsers: false,
    retries: false,
    expected: ['sold_out'],
    settings: { scenario: 'rounds', scale, transport, pace: options.pace },
  }
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

/** Where each round lies, as figures: `rounds on shard 1`. */
function shardFigures({ rounds }: Played): Figure[] {
  const shards = rounds.map(({ shard }) => shard).filter(shard => shard !== undefined)
  return [...new Set(shards)]
    .toSorted((one, other) => one - other)
    .map(shard => figure(`rounds on shard ${shard + 1}`, shards.filter(each => each === shard).length, 'rounds'))
}

function rateFigures(stories: readonly Story[], { report }: Played, stock: number): Figure[] {
  const known = report.histories.flatMap(history => [...firstKnown(history, stock)].filter(Number.isFinite))
  const moments = known.toSorted((one, other) => one - other)
  const drainS = moments.length < 2 ? 0 : (moments.at(-1)! - moments[0]!) / 1e6
  const grants = sumOf(stories.map(story => story.grants))
  return [
    ...(drainS > 0
      ? [figure('grants', grants / drainS, 'grants/s', 'higher'), figure('drain', drainS, 's', 'lower')]
      : []),
    figure('granted', grants, 'grants'),
  ]
}

function countedOutcomes(stories: readonly Story[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const [code, count] of stories.flatMap(({ outcomes }) => Object.entries(outcomes)))
    counts[code] = (counts[code] ?? 0) + count
  return counts
}

/** Each round has as many connections as the others, and one at least. */
const raisedNotes = (asked: number | undefined, had: number): readonly string[] =>
  asked === undefined || asked === had
    ? []
    : [`--connections ${asked} became ${had}: each of the ${ROUNDS} rounds has as many as the others, and one at least`]

/** All rounds together: what they cost, and how fast they went. `asked` is how many connections somebody wanted. */
function wholePart(
  run: ClaimRun,
  played: Played,
  { unsound, asked }: { readonly unsound: readonly string[]; readonly asked: number | undefined },
): MeasuredPart {
  const { report, startUs, before, after } = played
  const { people, stock } = run.plan.sizes
  const recordings = report.generators.flatMap(({ rounds }) => rounds)
  const timeline = mergeTimelines(recordings.map(each => each.timeline))
  const stories = report.histories.map(history => readStory(history, stock, timeline, startUs))
  const outcomes = countedOutcomes(stories)
  const decisions = sumOf(stories.map(story => story.decisions))
  const grants = sumOf(stories.map(story => story.grants))
  const named = {
    'latency-from-plan': mergeLatencies(recordings.map(each => each.corrected)),
    'latency-from-send': mergeLatencies(recordings.map(each => each.raw)),
  }
  const measured = Object.entries(named).filter(([, latency]) => latency.count > 0)
  return {
    name: run.name,
    settings: {
      ...run.settings,
      ...{ rounds: ROUNDS, people: ROUNDS * people, stock: ROUNDS * stock },
      ...{ connections: ROUNDS * run.connections, generators: run.processes },
    },
    audit: undefined,
    figures: [
      ...rateFigures(stories, played, stock),
      ...shardFigures(played),
      figure('in flight, most', timeline.inFlightMax, 'claims'),
      ...measured.flatMap(([name, latency]) => latencyFigures(name.replaceAll('-', ' '), latency)),
      ...engineFigures(costBetween(before.use, after.use), decisions),
      ...memoryFigures(before, after, ['a grant', grants]),
      ...generatorFigures(report.generators, decisions),
    ],
    latencies: Object.fromEntries(measured.map(([name, latency]) => [name, latency.summary()])),
    hgrm: Object.fromEntries(measured.map(([name, latency]) => [name, latency.toHgrm()])),
    recordFolder: undefined,
    outcomes,
    timeline: timeline.rows(ROUNDS * stock),
    notes: [
      ...raisedNotes(asked, ROUNDS * run.connections),
      ...shedNotes({ outcomes }),
      ...generatorLimits(report.generators),
      ...(run.pace === 'max' ? [CLOSED_LOOP] : []),
    ],
    problems: unsound.map(name => `${name} is not sound`),
  }
}

async function* playOver(stage: Stage, transport: 'http' | 'stream'): AsyncGenerator<MeasuredPart> {
  const run = roundRun(stage.options, transport)
  const played = await playClaims(stage, { run, count: ROUNDS })
  const unsound: string[] = []
  for (const [place, { shard }] of played.rounds.entries()) {
    const name = `round ${place + 1} of ${run.name}`
    const part = await judgedPart(stage, { ...run, name }, played, place)
    const own = part.notes.filter(note => note !== CLOSED_LOOP)
    const notes = shard === undefined ? own : [`on shard ${shard + 1}`, ...own]
    if (!isSound(part)) unsound.push(name)
    yield { ...part, notes, summedIn: run.name }
  }
  yield wholePart(run, played, { unsound, asked: stage.options.connections })
}

export async function* playRounds(stage: Stage): AsyncGenerator<MeasuredPart> {
  const { options } = stage
  const transports = options.transport === undefined ? (['stream', 'http'] as const) : [options.transport]
  for (const transport of transports) {
    if (stage.interrupted.aborted) break
    yield* playOver(stage, transport)
  }
}
