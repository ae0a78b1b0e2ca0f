/**
 * One worker, put together: store, rooms, server. Only here are the real clock and the real randomness made. A worker
 * knows nothing of other workers; what they must share is in Redis.
 */
import { join } from 'node:path'
import { Callers, parseKeys } from './auth/callers.ts'
import { UserTokens } from './auth/user-tokens.ts'
import { type Clock, every, realClock } from './base/clock.ts'
import { FRAME_BYTES_MAX, RECOVERY_PATIENCE_MS, RESERVE_GRANTS } from './base/limits.ts'
import { jitter, type Random, realRandom } from './base/random.ts'
import { Audit } from './campaign/audit.ts'
import { Campaigns } from './campaign/campaigns.ts'
import { Draws } from './campaign/draws.ts'
import { DryRun } from './campaign/dry-run.ts'
import type { FenceEvent } from './campaign/fenced-round.ts'
import { FencedRounds } from './campaign/fenced-rounds.ts'
import { FinalLists } from './campaign/final-lists.ts'
import { Journal } from './campaign/journal.ts'
import { Ledger } from './campaign/ledger.ts'
import { Lifecycle } from './campaign/lifecycle.ts'
import { Merchants } from './campaign/merchants.ts'
import { Promotions } from './campaign/promotions.ts'
import { Redemption } from './campaign/redemption.ts'
import { Reports } from './campaign/report.ts'
import type { RoundView } from './campaign/round-view.ts'
import { Rounds } from './campaign/rounds.ts'
import { Settlements } from './campaign/settlement.ts'
import { COHORTS, StockFeed } from './campaign/stock-feed.ts'
import { Sweep } from './campaign/sweep.ts'
import { Vouchers } from './campaign/vouchers.ts'
import type { Config } from './config.ts'
import { ArrivalRecord } from './ops/arrival-record.ts'
import { Health } from './ops/health.ts'
import type { Log } from './ops/log.ts'
import { type Gauges, Metrics } from './ops/metrics.ts'
import { RateLimits } from './server/rate-limits.ts'
import { httpRoutes, noRoute } from './server/routes.ts'
import type { Services } from './server/services.ts'
import { Stream, stockFrame, topicOf } from './server/stream.ts'
import { type Server, serve } from './server/uws.ts'
import { exceptionOutcomes } from './store/claim-store.ts'
import { FolderDisk } from './store/journal-disk.ts'
import { grantedOf, type Notice, totalOf } from './store/notice.ts'
import { openStore, type Store } from './store/store.ts'
import { drawnFrame } from './wire/drawn-frame.ts'

const TICK_MS = 100
/** Between two sweeps of one worker, at most: money that time moves is this late. */
const SWEEP_MS = 30_000
const DRAIN_MS = 5000

export interface WorkerOptions {
  readonly config: Config
  readonly log: Log
  /** Which of its node's workers it is: each keeps a journal of its own at the level fenced. */
  readonly place?: number
  /** The node's metrics; given this worker's own as the library's JSON. */
  readonly metricsText: (own: () => Promise<object[]>) => Promise<string>
}

export interface Worker {
  readonly port: number
  readonly metrics: () => Promise<object[]>
  /**
   * Turns `readyz`, goes on listening for `noticeMs` so that probes see it, answers what is under way, says goodbye to
   * the sockets, and closes everything.
   */
  drain(noticeMs: number): Promise<void>
}

interface Parts {
  readonly store: Store
  readonly rounds: Rounds
  readonly campaigns: Campaigns
  readonly sweep: Sweep
  readonly secret: Buffer
  readonly draws: Draws
  readonly health: Health
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
  readonly audit: Audit
  readonly fenced: boolean
}

/** Who hears of what happens, once they are there. */
interface Ears {
  changed?: (view: RoundView) => void
  drawn?: (view: RoundView, window: number) => void
  /** The connection that carries claims is up again. */
  up?: () => void
}

export async function startWorker({ config, log, place = 0, metricsText }: WorkerOptions): Promise<Worker> {
  const [clock, random] = [realClock, realRandom]
  const ears: Ears = {}
  const store = storeOf(config, log, ears)
  const metrics = new Metrics(cause => log.error({ err: cause }, 'bug'))
  const health = healthOf(config, log, store)
  await health.start()
  const secret = await voucherSecret(config, store, health)
  const arrivals = config.arrivals === '' ? undefined : new ArrivalRecord(config.arrivals)
  const audit = new Audit({ store: store.audit, random, failed: unauditedTold(metrics, log) })
  const { rounds, fence } = await roundsOf({
    config,
    log,
    place,
    store,
    metrics,
    health,
    secret,
    audit,
    ears,
    arrivals,
  })
  const campaigns = new Campaigns({ store, clock, random, serverTimeMs: () => rounds.serverTimeMs() })
  const sweep = new Sweep(store, campaigns)
  const told = (what: string) => (cause: unknown) => log.warn({ err: cause }, what)
  const draws = new Draws({ store, rounds, clock, failed: told('draw') })
  const common = { store, rounds, draws, campaigns, sweep, secret, health, metrics, clock, random, audit }
  const parts = { ...common, fenced: fence !== undefined }
  const { server, stream, own, underWay } = await openServer(config, parts, metricsText)
  const feed = stockFeed(parts, server, stream)
  ears.changed = view => feed.changed(view.id)
  ears.drawn = drawnFeed(parts, server, told('drawn'))
  ears.up = () => void fence?.look()
  void fence?.begin(id => rounds.get(id)).catch(told('journal'))
  const stops = [
    every(clock, TICK_MS, () => rounds.tick(), told('tick')),
    every(clock, TICK_MS, () => draws.tick(), told('draws')),
    every(clock, jitter(random, SWEEP_MS), () => sweep.all(), told('sweep')),
  ]
  return {
    port: server.port,
    metrics: own,
    drain: async noticeMs => {
      health.drain()
      await drained(() => rounds.unanswered + underWay.requests, clock, noticeMs)
      stream.restart()
      server.stopListening()
      for (const stop of stops) stop()
      feed.close()
      health.stop()
      rounds.close()
      await fence?.finish()
      arrivals?.close()
      await store.close()
      server.close()
    },
  }
}

const undecidedTold = (metrics: Metrics, log: Log) => (fault: unknown) => {
  metrics.count('fairgrab_faults_total')
  log.warn({ err: fault }, 'redis did not decide')
}

/** An operator's change went on although the audit log could not be written. */
const unauditedTold = (metrics: Metrics, log: Log) => (cause: unknown) => {
  metrics.count('fairgrab_unaudited_total')
  log.error({ err: cause }, 'the audit log lacks an entry; the change itself went on')
}

const storeOf = (config: Config, log: Log, ears: Ears): Store =>
  openStore({
    url: config.redisUrl,
    durability: config.durability,
    replicas: config.replicas,
    clock: realClock,
    random: realRandom,
    heard: (link, event, detail) => {
      log[event === 'up' ? 'info' : 'warn']({ link, detail }, `redis ${event}`)
      if (link === 'claims' && event === 'up') ears.up?.()
    },
  })

interface RoundParts {
  readonly config: Config
  readonly log: Log
  readonly place: number
  readonly store: Store
  readonly metrics: Metrics
  readonly health: Health
  readonly secret: Buffer
  readonly audit: Audit
  readonly ears: Ears
  readonly arrivals: ArrivalRecord | undefined
}

/** The rounds of this worker, and at the level fenced what stands before them. */
async function roundsOf(parts: RoundParts): Promise<{ readonly rounds: Rounds; readonly fence?: FencedRounds }> {
  const { config, log, store, metrics, health, secret, ears, arrivals } = parts
  const failed = undecidedTold(metrics, log)
  const adopted = (roundId: string, notice: Notice) => rounds.take(roundId, notice)
  const fence = config.durability === 'fenced' ? await fenceOf(parts, failed, adopted) : undefined
  const rounds: Rounds = new Rounds({
    store,
    fence,
    clock: realClock,
    random: realRandom,
    secret,
    drawSecret: config.drawSecret === '' ? await store.draws.secret() : Buffer.from(config.drawSecret, 'hex'),
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
  })
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

const healthOf = (config: Config, log: Log, store: Store): Health =>
  new Health({
    check: store.health,
    connected: store.ready,
    clock: realClock,
    durability: config.durability,
    changed: ({ problems, warnings }) => {
      for (const { what, mend } of problems) log.error({ mend }, `granting is stopped: ${what}`)
      for (const { what, mend } of warnings) log.warn({ mend }, what)
    },
  })

/** What voucher codes derive from. A node that starts before its Redis waits here, and is judged anew when it came. */
async function voucherSecret(config: Config, store: Store, health: Health): Promise<Buffer> {
  if (config.voucherSecret !== '') return Buffer.from(config.voucherSecret, 'hex')
  const secret = await store.vouchers.secret()
  if (health.report.problems.length > 0) await health.check()
  return secret
}

async function openServer(config: Config, parts: Parts, metricsText: WorkerOptions['metricsText']) {
  const { store, rounds, health, metrics, clock } = parts
  const tokens = new UserTokens({ secret: config.jwtSecret, publicKey: config.jwtPublicKey }, clock)
  const callers = new Callers(parseKeys(config.keys), tokens)
  const gauges: Gauges = {
    unanswered: () => rounds.unanswered,
    sockets: () => stream.sockets,
    redisUp: store.ready,
    ready: () => health.report.ready,
    redisMemoryBytes: () => health.report.redisMemoryBytes,
    stocks: () =>
      [...rounds.loaded()].map(({ view }) => ({
        id: view.id,
        total: totalOf(view.notice),
        granted: grantedOf(view.notice),
        viewers: stream.viewers(view.id),
      })),
  }
  const own = () => metrics.json(gauges)
  const services: Services = {
    clock,
    callers,
    rates: new RateLimits({ user: config.rateUser, address: config.rateAddress, key: config.rateKey }, clock),
    claims: store.claims,
    store,
    rounds,
    ...campaignParts(parts),
    audit: parts.audit,
    metrics,
    underWay: { requests: 0 },
    health: () => health.report,
    metricsText: () => metricsText(own),
  }
  const stream = new Stream({ services, callers, origins: config.origins, socketsMax: config.sockets })
  const server = await serve({
    host: config.host,
    port: config.port,
    routes: httpRoutes(services),
    fallback: noRoute,
    streamPath: '/v1/stream',
    stream,
    frameBytesMax: FRAME_BYTES_MAX,
  })
  return { server, stream, own, underWay: services.underWay }
}

/** The rules of campaigns and of what happens after the claim. */
function campaignParts({ store, rounds, draws, campaigns, sweep, clock, random, secret, fenced }: Parts) {
  const vouchers = new Vouchers(store, rounds, random)
  const merchants = new Merchants(store.ledger, clock)
  const redemption = new Redemption({ store, campaigns, vouchers, merchants, random })
  const lifecycle = new Lifecycle({ store, rounds, draws, campaigns, clock, random, fenced })
  return {
    draws,
    lifecycle,
    dryRun: new DryRun(lifecycle, store),
    vouchers,
    merchants,
    redemption,
    finalLists: new FinalLists(store, clock),
    promotions: new Promotions({ store, rounds, campaigns, vouchers, redemption }),
    ledger: new Ledger(store),
    settlements: new Settlements(store, sweep),
    reports: new Reports({ store, sweep, merchants, secret }),
  }
}

/** Stock to the stream's topics, encoded once for all who are told now. */
function stockFeed({ rounds, clock, metrics }: Parts, server: Server, stream: Stream): StockFeed {
  return new StockFeed({
    clock,
    viewers: roundId => stream.viewers(roundId),
    tell: (roundId, cohorts) => {
      const round = rounds.peek(roundId)
      if (!round) return
      const frame = stockFrame(round)
      for (const cohort of cohorts) {
        server.publish(topicOf(roundId, cohort, false), frame.json, false)
        server.publish(topicOf(roundId, cohort, true), frame.msgpack, true)
      }
      metrics.count('fairgrab_stock_frames_total')
    },
  })
}

/** The result of a draw to everybody who watches the round: one frame, from which each can tell how he stands. */
function drawnFeed({ store, metrics }: Parts, server: Server, failed: (cause: unknown) => void) {
  return (view: RoundView, window: number) => {
    store.draws
      .files(view.id, window)
      .then(files => {
        if (!files['result.json']) return
        metrics.count('fairgrab_draws_total')
        const frame = drawnFrame(view.id, window, files)
        for (let cohort = 0; cohort < COHORTS; cohort++) {
          server.publish(topicOf(view.id, cohort, false), frame.json, false)
          server.publish(topicOf(view.id, cohort, true), frame.msgpack, true)
        }
      })
      .catch(failed)
  }
}

/** Resolves when probes could see `readyz` turn and everything is answered, or when the drain's time is over. */
async function drained(unanswered: () => number, clock: Clock, noticeMs: number): Promise<void> {
  const start = clock.monotonicMs()
  const waits = (ms: number) => new Promise<void>(done => clock.after(ms, done))
  await waits(noticeMs)
  while (unanswered() > 0 && clock.monotonicMs() < start + DRAIN_MS) await waits(10)
}
