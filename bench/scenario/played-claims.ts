/**
 * Claims as they are played, to one round or to many at once: the rounds are made, the crew is let loose on them, and what the
 * processes used is read before and after. What came of it is judged elsewhere (claim-run.ts, rounds.ts).
 *
 * On a cluster many rounds are spread evenly: a round lies where its id says, which is chance, so rounds are made until each
 * shard has its share, and those beyond it are closed. Otherwise the chance would be measured with the cluster.
 */

import { Crew, type CrewReport, type Opening } from '../load/crew.ts'
import { monotonicUs } from '../load/recorder.ts'
import { useOf } from '../measure/process-cost.ts'
import { redisMemory } from '../measure/redis-memory.ts'
import type { NewRound, RoundState } from '../stage/operator.ts'
import type { RedisServers } from '../stage/redis-servers.ts'
import type { Audience, AudienceReport, ClaimRun, Reading } from './planned-run.ts'
import type { Stage } from './stage.ts'

/** Seconds between the making of a round and its opening at the pace `real`: planning, connecting, the bots' lead. */
const LEAD_S = 10
const PLANNED_PER_S = 700_000
/** Less than this before the opening, the first taps of the bots would already be late. */
const LEAD_LEFT_MS_MIN = 1500
const PREPARED_TIMES_MAX = 3
/** So many rounds for each one that is wanted: the chance that some shard is still short of its share is below one in 10^9. */
const MADE_TIMES_MAX = 40

async function takeReading({ engine }: Stage): Promise<Reading> {
  return {
    use: useOf(engine),
    redisBytes: await redisMemory(engine.redisPlaces),
  }
}

/** One run, to `count` rounds of its sizes at once. */
export interface Wish {
  readonly run: ClaimRun
  readonly count: number
}

export interface Played {
  /** As they stand when all claims are answered. */
  readonly rounds: readonly Placed[]
  readonly report: CrewReport
  /** When the crew was started, microseconds of the monotonic clock. */
  readonly startUs: number
  readonly before: Reading
  readonly after: Reading
  readonly watched: AudienceReport | undefined
}

/** Runs the crew with the live line, and ends it early when the bench is interrupted. */
async function runCrew(stage: Stage, name: string, crew: Crew, opening: Opening): Promise<[CrewReport, number]> {
  const startUs = monotonicUs()
  const stop = () => crew.stop()
  stage.interrupted.addEventListener('abort', stop)
  stage.live.begin(() => {
    const { sent, answered, granted, inFlight } = crew.progress
    const seconds = ((monotonicUs() - startUs) / 1e6).toFixed(1)
    return `${name} ${seconds} s: ${sent} sent, ${answered} answered, ${granted} told granted, ${inFlight} in flight`
  })
  try {
    return [await crew.run(startUs, opening), startUs]
  } finally {
    stage.live.end()
    stage.interrupted.removeEventListener('abort', stop)
  }
}

function openingOf({ operator }: Stage, { rounds, opensAt }: Prepared): Opening {
  if (opensAt === null) {
    return {
      at: 'after-early',
      open: async () => {
        await Promise.all(rounds.map(({ id }) => operator.open(id)))
      },
    }
  }
  return { at: 'agreed', openedUs: monotonicUs() + (opensAt.getTime() - Date.now()) * 1000 }
}

function crewFor({ engine, options, scratch }: Stage, run: ClaimRun, roundIds: readonly string[]): Crew {
  const target = { url: engine.url, key: engine.key }
  const { connections, frame, window } = run
  const settings = { firstConnection: 0, connections, frame, window }
  return new Crew({ ...run, roundIds, target, seed: options.seed, settings, directory: scratch })
}

/** How many rounds of `count` each of the shards gets. */
export const sharesOf = (count: number, shards: number): number[] =>
  Array.from({ length: shards }, (_, shard) => Math.floor(count / shards) + (shard < count % shards ? 1 : 0))

/** Makes rounds until each server of a cluster has its share of them. */
async function makeSpread({ operator }: Stage, count: number, about: NewRound, beside: RedisServers) {
  const left = sharesOf(count, beside.servers.length)
  const placed: Placed[] = []
  for (let made = 0; placed.length < count; made++) {
    if (made > MADE_TIMES_MAX * count)
      throw new Error(`${made} rounds were made, and a shard is still short of its share`)
    const round = await operator.createRound(about)
    const shard = await beside.shardOf(round.id)
    if ((left[shard] ?? 0) > 0) placed.push({ ...round, shard })
    else await operator.closed(round.id)
    left[shard] = (left[shard] ?? 0) - 1
  }
  return placed
}

/** A round, and of a cluster of several the place of the shard that has it. */
export type Placed = RoundState & { readonly shard?: number }

async function makeRounds(stage: Stage, count: number, about: NewRound): Promise<Placed[]> {
  const { beside } = stage.engine
  if (count > 1 && beside !== undefined && beside.servers.length > 1) return makeSpread(stage, count, about, beside)
  const rounds: Placed[] = []
  while (rounds.length < count) rounds.push(await stage.operator.createRound(about))
  return rounds
}

interface Prepared {
  readonly rounds: readonly Placed[]
  readonly opensAt: Date | null
  readonly crew: Crew
  readonly audience: Audience | undefined
}

function kill({ crew, audience }: Pick<Prepared, 'crew' | 'audience'>): void {
  crew.kill()
  audience?.kill()
}

/** Makes the rounds, and waits until everybody who takes part in them is ready. */
async function prepare(stage: Stage, { run, count }: Wish, leadMs: number): Promise<Prepared> {
  const opensAt = run.pace === 'real' ? new Date(Date.now() + leadMs) : null
  const { name, windowMs, strict } = run
  const rounds = await makeRounds(stage, count, { name, stock: run.plan.sizes.stock, opensAt, windowMs, strict })
  const roundIds = rounds.map(({ id }) => id)
  const crew = crewFor(stage, run, roundIds)
  let audience: Audience | undefined
  try {
    audience = await run.audience?.(rounds[0]!)
    await crew.ready()
    return { rounds, opensAt, crew, audience }
  } catch (error) {
    kill({ crew, audience })
    throw error
  }
}

/**
 * The same in time: a round that opens by the clock waits for nobody, and on a machine that others use the planning may
 * take longer than was thought. Then another round is made, with a lead after the time that it really took.
 */
async function prepareInTime(stage: Stage, wish: Wish): Promise<Prepared> {
  const { run } = wish
  let leadMs = run.leadMs ?? (LEAD_S + (wish.count * run.plan.sizes.people) / PLANNED_PER_S) * 1000
  for (let left = PREPARED_TIMES_MAX - 1; ; left--) {
    const startedMs = performance.now()
    const prepared = await prepare(stage, wish, leadMs)
    if (prepared.opensAt === null || prepared.opensAt.getTime() - Date.now() >= LEAD_LEFT_MS_MIN) return prepared
    kill(prepared)
    for (const { id } of prepared.rounds) await stage.operator.closed(id)
    if (left === 0) throw new Error('planning took longer than the lead, each time; use a smaller --scale')
    leadMs = Math.max(leadMs, 2 * (performance.now() - startedMs) + 2 * LEAD_LEFT_MS_MIN)
    stage.live.say(`planning took longer than the lead: again, with ${(leadMs / 1000).toFixed(0)} s`)
  }
}

/** Plays the claims of a run to their end. */
export async function playClaims(stage: Stage, wish: Wish): Promise<Played> {
  const prepared = await prepareInTime(stage, wish)
  const { crew, audience } = prepared
  try {
    const before = await takeReading(stage)
    const [report, startUs] = await runCrew(stage, wish.run.name, crew, openingOf(stage, prepared))
    const after = await takeReading(stage)
    const rounds: Placed[] = []
    for (const round of prepared.rounds) rounds.push({ ...round, ...(await stage.operator.round(round.id)) })
    const watched = await audience?.leave(rounds[0]!.stock.version)
    return { rounds, report, startUs, before, after, watched }
  } finally {
    kill(prepared)
  }
}
