/**
 * The figures of a run of claims: rates, latencies, cost and memory, in the order in which they are read.
 *
 * Rates come from the story that the merged history tells; latencies from the generators' histograms, from the plan
 * and from the send side by side (at the pace `max` a plan has no clock, so there is only the second); cost from /proc.
 */

import type { AuditSummary } from '../audit/finding.ts'
import type { History } from '../audit/history.ts'
import type { GeneratorReport, RoundReport } from '../load/job.ts'
import type { RunFairness } from '../measure/fairness/run-fairness.ts'
import { chanceText } from '../measure/fairness/trial-text.ts'
import { type Latency, mergeLatencies } from '../measure/latency.ts'
import { costBetween } from '../measure/process-cost.ts'
import { type Figure, figure, type MeasuredPart } from '../measure/result.ts'
import { readStory, type Story } from '../measure/story.ts'
import { mergeTimelines, Timeline } from '../measure/timeline.ts'
import { engineFigures, generatorFigures, generatorLimits } from './cost-figures.ts'
import type { AudienceReport, ClaimRun, Reading } from './planned-run.ts'

export const CLOSED_LOOP =
  'pace max is a closed loop: latency from the send is what a full window waits, not what a person feels'
const VOID = 'the audit found that clients and engine tell different stories: the run is VOID'
function rates(story: Story): Figure[] {
  const drained = story.grants > 1 && story.drainS > 0
  return [
    ...(drained ? [figure('grants', story.grants / story.drainS, 'grants/s', 'higher')] : []),
    ...(story.spanS > 0 ? [figure('decisions', story.decisions / story.spanS, 'decisions/s', 'higher')] : []),
    ...(drained ? [figure('drain', story.drainS, 's', 'lower')] : []),
    ...(drained
      ? [figure('decisions in the drain', story.decisionsInDrain / story.drainS, 'decisions/s', 'higher')]
      : []),
  ]
}

/** What the record alone gives: the figures and the outcomes that an audit can count again. */
export function figuresOfRecord(history: History, ordered: readonly number[], drawn: readonly Figure[]) {
  const stock = ordered.reduce((sum, one) => sum + one, 0)
  const story = readStory(history, stock, new Timeline(), 0)
  return { figures: [...rates(story), ...(drawn.length > 0 ? drawn : grantFigures(story))], outcomes: story.outcomes }
}

const grantFigures = (story: Story): Figure[] => [
  figure('granted', story.grants, 'grants'),
  figure('repeats of a grant', story.repeated, 'answers'),
]

export function memoryFigures(before: Reading, after: Reading, [of, count]: readonly [string, number]): Figure[] {
  if (before.redisBytes === undefined || after.redisBytes === undefined || count === 0) return []
  return [figure(`redis memory ${of}`, (after.redisBytes - before.redisBytes) / count, 'bytes', 'lower')]
}

export function latencyFigures(name: string, latency: Latency): Figure[] {
  if (latency.count === 0) return []
  return [50, 90, 99, 99.9, 100].map(percentile => {
    const place = percentile === 100 ? 'max' : `p${percentile}`
    return figure(`${name} ${place}`, latency.at(percentile) / 1000, 'ms', 'lower')
  })
}

/** A run with such answers is sound, but it measured an engine that could not keep up. */
export function shedNotes({
  outcomes: { overloaded = 0, unknown = 0, fenced = 0, unavailable = 0 },
}: Pick<Story, 'outcomes'>): string[] {
  const away = fenced + unavailable
  if (overloaded + unknown + away === 0) return []
  const redis = away > 0 ? `, ${away} met a Redis that did not answer (fenced, unavailable)` : ''
  const what = `${overloaded} claims were shed (overloaded), ${unknown} were not decided in time (unknown)${redis}`
  return [`ENGINE OVERLOADED: ${what}; look at the load of the machine before you quote a figure`]
}

function unfairness({ tests = [] }: RunFairness): string[] {
  return tests
    .filter(({ mark }) => mark === 'fail')
    .map(({ test, of, finds, p }) => `${test} ${of} (${finds}): the winners were not drawn evenly, p ${chanceText(p)}`)
}

export interface Measured {
  readonly run: ClaimRun
  readonly history: History
  /** What each process recorded of this round. */
  readonly recordings: readonly RoundReport[]
  /** Empty where the cost is not this round's alone. */
  readonly generators: readonly GeneratorReport[]
  readonly startUs: number
  readonly before: Reading
  readonly after: Reading
  readonly audit: AuditSummary
  readonly fairness: RunFairness
  readonly drawn: readonly Figure[]
  readonly watched: AudienceReport | undefined
}

export function partOf({
  run,
  history,
  recordings,
  generators,
  startUs,
  before,
  after,
  audit,
  fairness,
  drawn,
  watched,
}: Measured): MeasuredPart {
  const { people, stock } = run.plan.sizes
  const timeline = mergeTimelines(recordings.map(each => each.timeline))
  const story = readStory(history, stock, timeline, startUs)
  const corrected = mergeLatencies(recordings.map(each => each.corrected))
  const raw = mergeLatencies(recordings.map(each => each.raw))
  const named = {
    'latency-from-plan': corrected,
    'latency-from-send': raw,
    ...(watched && { 'frame-age': watched.ages }),
  }
  const measured = Object.entries(named).filter(([, latency]) => latency.count > 0)
  return {
    name: run.name,
    settings: { ...run.settings, people, stock, connections: run.connections, generators: run.processes },
    audit,
    figures: [
      ...rates(story),
      figure('in flight, most', timeline.inFlightMax, 'claims'),
      ...(drawn.length > 0 ? drawn : grantFigures(story)),
      ...(run.figures?.(story) ?? []),
      ...(watched?.figures ?? []),
      ...latencyFigures('latency from plan', corrected),
      ...latencyFigures('latency from send', raw),
      ...engineFigures(costBetween(before.use, after.use), story.decisions),
      ...memoryFigures(
        before,
        after,
        drawn.length > 0 ? ['an entrant', fairness.competitors] : ['a grant', story.grants],
      ),
      ...generatorFigures(generators, story.decisions),
    ],
    latencies: Object.fromEntries(measured.map(([name, latency]) => [name, latency.summary()])),
    hgrm: Object.fromEntries(measured.map(([name, latency]) => [name, latency.toHgrm()])),
    recordFolder: undefined,
    outcomes: story.outcomes,
    fairness,
    timeline: timeline.rows(stock),
    notes: [
      ...shedNotes(story),
      ...generatorLimits(generators),
      ...(run.notes ?? []),
      ...(run.pace === 'max' ? [CLOSED_LOOP] : []),
    ],
    problems: [...(audit.ok ? [] : [VOID]), ...unfairness(fairness)],
  }
}
