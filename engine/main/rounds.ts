/**
 * The rounds of one worker, put together: what decides their claims, what receives their events, and at the level fenced what stands
 * between them and Redis.
 */
import { join } from 'node:path'
import { type Clock, realClock } from '../base/clock.ts'
import { HOLDERS_KNOWN_MAX, RECOVERY_PATIENCE_MS, RESERVE_GRANTS } from '../base/limits.ts'
import { realRandom } from '../base/random.ts'
import { decidersOf } from '../campaign/claim/deciders.ts'
import type { FenceEvent } from '../campaign/fenced/fenced-round.ts'
import { FencedRounds } from '../campaign/fenced/fenced-rounds.ts'
import { Journal } from '../campaign/fenced/journal.ts'
import { FolderDisk } from '../campaign/fenced/journal-disk.ts'
import type { ChangeLog } from '../campaign/operator/change-log.ts'
import { quarantines } from '../campaign/round/quarantine.ts'
import type { RoundEvents } from '../campaign/round/round.ts'
import { Rounds } from '../campaign/round/rounds.ts'
import type { Config } from '../config.ts'
import type { ArrivalRecord } from '../ops/arrival-record.ts'
import type { Health } from '../ops/health.ts'
import type { Log } from '../ops/log.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { Notice } from '../store/data/notice.ts'
import type { Store } from '../store/store.ts'

interface Noting {
  readonly metrics: Metrics
  readonly log: Log
  readonly arrivals: ArrivalRecord | undefined
  /** Logs a failure, and the same one once until the health changes: claims fail by thousands a second while Redis refuses. */
  readonly failed: (fault: unknown) => void
}

/** What becomes of what the rounds of this worker report: metrics and log here, viewers by `seen`. */
export const eventsOf = (
  { metrics, log, arrivals, failed }: Noting,
  seen: Pick<RoundEvents, 'changed' | 'drawn'>,
): RoundEvents => ({
  ...seen,
  decided: (_view, _notice, outcomes, seconds) => metrics.decided(outcomes, seconds),
  answered: (outcome, count) => metrics.answered(outcome, count),
  failed: fault => {
    metrics.count('fairgrab_faults_total')
    failed(fault)
  },
  begun: (roundId, { epoch }) => log.warn({ roundId, epoch }, 'redis has another history of the round; a new epoch'),
  arrived: arrivals?.add,
})

interface RoundParts {
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  readonly place: number
  readonly store: Store
  readonly health: Health
  readonly secret: Buffer
  readonly drawSecret: Buffer
  readonly changeLog: ChangeLog
  readonly events: RoundEvents
  readonly watched: (roundId: string) => boolean
}

/** The rounds of this worker, and at the level fenced what stands before them. */
export async function roundsOf(parts: RoundParts): Promise<{ readonly rounds: Rounds; readonly fence?: FencedRounds }> {
  const { config, clock, store, health, secret, drawSecret, events, watched } = parts
  const { batchClaims, batchesInFlight } = config
  const adopted = (roundId: string, notice: Notice) => rounds.adopt(roundId, notice)
  const fence = config.durability === 'fenced' ? await fenceOf(parts, adopted) : undefined
  const rounds: Rounds = new Rounds({
    ...{ store, fence, clock, random: realRandom, secret, drawSecret, events, watched },
    deciders: decidersOf({
      ...{ store, clock, random: realRandom, batchClaims, batchesInFlight },
      entrantsKnown: HOLDERS_KNOWN_MAX,
    }),
    healthGate: health.gate,
  })
  rounds.measured(realClock.wallMs() + health.report.redisAheadMs)
  watchRounds(health, rounds, store)
  return fence ? { rounds, fence } : { rounds }
}

/** What the checks of the server know of the rounds that are served. */
function watchRounds(health: Health, rounds: Rounds, store: Store): void {
  health.watch(async checking => {
    rounds.measured(realClock.wallMs() + (await checking).aheadMs)
    return {}
  })
  health.watch(async () => {
    rounds.letGo()
    const configs = [...rounds.loaded()].map(({ view }) => view.config)
    const { lost, damaged } = await rounds.damaged.look(configs.map(({ id }) => id))
    // With all rounds their campaigns are lost; that is reported once.
    const served = lost.length > 0 ? [] : configs.map(config => config.campaign_id)
    return { problems: lost, damages: [...damaged, ...(await rounds.damagedCampaigns.look(served))] }
  })
  health.watch(async () => ({ warnings: await quarantines(rounds.loaded(), store.fence) }))
}

/** The level fenced of this worker, with its journal and its name, which are new together. */
async function fenceOf(
  { config, place, store, log, changeLog, events }: RoundParts,
  adopted: (roundId: string, notice: Notice) => void,
): Promise<FencedRounds> {
  const disk = new FolderDisk(join(config.dataDir, 'journal', String(place)))
  const engine = await disk.name(() => realRandom.bytes(6).toString('hex'))
  const reported = (event: FenceEvent) => {
    log.warn(event, 'fenced')
    if (event.kind !== 'bound') return
    const { roundId: target, missing, notice } = event
    const change = { who: `engine ${engine}`, action: 'fail-over', target, body: { missing, epoch: notice.epoch } }
    void changeLog.begin(change).then(end => end('bound'))
  }
  return new FencedRounds({
    ...{ engine, claims: store.claims, fence: store.fence, journal: new Journal(disk) },
    ...{ clock: realClock, random: realRandom, chunk: RESERVE_GRANTS },
    ...{ patienceMs: RECOVERY_PATIENCE_MS, adopted, reported },
    failed: fault => events.failed(fault),
  })
}
