/**
 * The rounds of one worker, put together: what decides their claims, what hears of them, and at the level fenced what stands
 * between them and Redis.
 */
import { join } from 'node:path'
import { type Clock, realClock } from '../base/clock.ts'
import { RECOVERY_PATIENCE_MS, RESERVE_GRANTS } from '../base/limits.ts'
import { realRandom } from '../base/random.ts'
import type { FenceEvent } from '../campaign/fenced/fenced-round.ts'
import { FencedRounds } from '../campaign/fenced/fenced-rounds.ts'
import { Journal } from '../campaign/fenced/journal.ts'
import { FolderDisk } from '../campaign/fenced/journal-disk.ts'
import type { Audit } from '../campaign/operator/change-log.ts'
import type { Damage } from '../campaign/round/damaged-rounds.ts'
import type { RoundView } from '../campaign/round/round-view.ts'
import { Rounds } from '../campaign/round/rounds.ts'
import type { Config } from '../config.ts'
import type { ArrivalRecord } from '../ops/arrival-record.ts'
import type { Finding, Health } from '../ops/health.ts'
import type { Log } from '../ops/log.ts'
import type { Metrics } from '../ops/metrics.ts'
import { exceptionOutcomes } from '../store/data/claim-store.ts'
import type { Notice } from '../store/data/notice.ts'
import type { Store } from '../store/store.ts'
import type { Judged } from './agreement.ts'

/** Who hears of what happens, once they are there. */
export interface Ears {
  changed?: (view: RoundView) => void
  drawn?: (view: RoundView, window: number) => void
  /** One of the connections to Redis is up again. */
  up?: () => void
  /** Which rounds are damaged or lost, at each check of the server. */
  damage?: () => Promise<Damage>
  /** What of the rounds an operator should know, at each check of the server. */
  concerns?: () => Promise<readonly Finding[]>
  /** How this node stands to what all nodes have alike, at each check of the server. */
  agreed?: () => Promise<Judged>
  /** A check of the server read its clock. */
  measured?: (redisMs: number) => void
}

const undecidedTold = (metrics: Metrics, log: Log) => (fault: unknown) => {
  metrics.count('fairgrab_faults_total')
  log.warn({ err: fault }, 'redis did not decide')
}

interface RoundParts {
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  readonly place: number
  readonly store: Store
  readonly metrics: Metrics
  readonly health: Health
  readonly secret: Buffer
  readonly drawSecret: Buffer
  readonly audit: Audit
  readonly ears: Ears
  readonly arrivals: ArrivalRecord | undefined
}

/** The rounds of this worker, and at the level fenced what stands before them. */
export async function roundsOf(parts: RoundParts): Promise<{ readonly rounds: Rounds; readonly fence?: FencedRounds }> {
  const { config, log, clock, store, metrics, health, secret, drawSecret, ears, arrivals } = parts
  const failed = undecidedTold(metrics, log)
  const adopted = (roundId: string, notice: Notice) => rounds.adopt(roundId, notice)
  const fence = config.durability === 'fenced' ? await fenceOf(parts, failed, adopted) : undefined
  const rounds: Rounds = new Rounds({
    store,
    fence,
    clock,
    random: realRandom,
    secret,
    drawSecret,
    batchClaims: config.batchClaims,
    batchesInFlight: config.batchesInFlight,
    healthGate: health.gate,
    changed: view => ears.changed?.(view),
    decided: ({ rest, exceptions }, claims, seconds) =>
      metrics.decided(claims, rest, exceptionOutcomes(exceptions), seconds),
    refused: (outcome, count) => metrics.refused(outcome, count),
    failed,
    arrived: arrivals?.add,
    drawn: (view, window) => ears.drawn?.(view, window),
    begun: (roundId, { epoch }) => log.warn({ roundId, epoch }, 'redis has another history of the round; a new epoch'),
  })
  ears.measured = redisMs => rounds.measured(redisMs)
  ears.measured(realClock.wallMs() + health.report.redisAheadMs)
  return fence ? { rounds, fence } : { rounds }
}

/** The level fenced of this worker, with its journal and its name, which are new together. */
async function fenceOf(
  { config, place, store, log, audit }: RoundParts,
  failed: (fault: unknown) => void,
  adopted: (roundId: string, notice: Notice) => void,
): Promise<FencedRounds> {
  const disk = new FolderDisk(join(config.dataDir, 'journal', String(place)))
  const engine = await disk.name(() => realRandom.bytes(6).toString('hex'))
  const told = (event: FenceEvent) => {
    log.warn(event, 'fenced')
    if (event.kind !== 'bound') return
    const { roundId: target, missing, notice } = event
    const deed = { who: `engine ${engine}`, action: 'fail-over', target, body: { missing, epoch: notice.epoch } }
    void audit.begin(deed).then(end => end('bound'))
  }
  return new FencedRounds({
    ...{ engine, claims: store.claims, fence: store.fence, journal: new Journal(disk) },
    ...{ clock: realClock, random: realRandom, chunk: RESERVE_GRANTS },
    ...{ patienceMs: RECOVERY_PATIENCE_MS, adopted, told, failed },
  })
}
