/**
 * One worker, put together: store, rounds, server. Only here are the real clock and the real randomness made. A worker
 * knows nothing of other workers; what they must share is in Redis.
 */
import { hostname } from 'node:os'
import { parseKeys } from './auth/callers.ts'
import { type Clock, every, realClock } from './base/clock.ts'
import { CorrectedClock } from './base/corrected-clock.ts'
import { DRAIN_MS } from './base/limits.ts'
import { jitter, realRandom } from './base/random.ts'
import { Draws } from './campaign/drawing/draws.ts'
import { Commitments } from './campaign/money/commitments.ts'
import { Sweep } from './campaign/money/sweep.ts'
import { ChangeLog } from './campaign/operator/change-log.ts'
import { Campaigns } from './campaign/round/campaigns.ts'
import type { Round, RoundEvents } from './campaign/round/round.ts'
import { BEAT_MS, Controls, type Rates, READ_MS } from './campaign/voucher/controls.ts'
import type { Config } from './config.ts'
import { agree } from './main/agreement.ts'
import { publishedKeysOf, startKeys } from './main/key-source.ts'
import { eventsOf, roundsOf } from './main/rounds.ts'
import { drawnFeed, openServer, type Parts, servicesOf, stockFeed } from './main/server.ts'
import { ArrivalRecord } from './ops/arrival-record.ts'
import { FaultLog } from './ops/fault-log.ts'
import { Health } from './ops/health.ts'
import type { Log } from './ops/log.ts'
import { Metrics } from './ops/metrics.ts'
import { TrafficLog } from './ops/traffic-log.ts'
import { RateLimits } from './server/http/rate-limits.ts'
import type { Server } from './server/uws/server.ts'
import type { AuditFields } from './store/data/audit-store.ts'
import { grantedOf, totalOf } from './store/data/notice.ts'
import { openStore, type Store } from './store/store.ts'

const TICK_MS = 100
const LOG_MS = 1000
/** Between two sweeps of one worker, at most: money that time moves is this late. */
const SWEEP_MS = 30_000
const START_REPORT_MS = 3000

export interface WorkerOptions {
  readonly config: Config
  readonly log: Log
  /** Which of its node's workers it is: each keeps a journal of its own at the level fenced. */
  readonly place?: number
  /** Between two checks of the server while grants go on, milliseconds; five seconds where it is left out. */
  readonly checkMs?: number | undefined
  /** The node's metrics; given this worker's own as the library's JSON. */
  readonly metricsText: (own: () => Promise<object[]>) => Promise<string>
}

export interface Worker {
  readonly port: number
  readonly metrics: () => Promise<object[]>
  /** Other keys from now on, checked; sockets of those that are gone are closed. */
  setKeys(keys: string): void
  /** Why the file of keys is not in force, which is warned of; empty where it is. */
  judgeKeys(refused: string): void
  /**
   * Turns `readyz`, goes on listening for `noticeMs` so that probes see it, answers what is under way, says goodbye to
   * the sockets, and closes everything.
   */
  drain(noticeMs: number): Promise<void>
}

export async function startWorker({ config, log, place = 0, checkMs, metricsText }: WorkerOptions): Promise<Worker> {
  const [clock, random] = [new CorrectedClock(realClock), realRandom]
  const store = storeOf(config, log, clock)
  const [faults, metrics] = [new FaultLog(log), new Metrics(cause => log.error({ err: cause }, 'bug'))]
  const health = healthOf({ config, log, faults, store, clock, checkMs })
  await health.start()
  const { voucher: secret, draw: drawSecret, agreement } = await agreed({ config, store, health }, log)
  const arrivals = config.arrivals === '' ? undefined : new ArrivalRecord(config.arrivals)
  const changeLog = new ChangeLog({ store: store.audit, random, failed: reportUnaudited(metrics, log) })
  const reporter = (what: string) => faults.reporter(what)
  const common = { store, metrics, health, secret, changeLog }
  const seen: Pick<RoundEvents, 'changed' | 'drawn'> = {
    changed: view => feed.changed(view.id),
    drawn: (view, window) => drawn(view, window),
  }
  const events = eventsOf({ metrics, log, arrivals, failed: reporter('redis did not decide') }, seen)
  const watched = (roundId: string) => stream.viewers(roundId) > 0
  const { rounds, fence } = await roundsOf({ ...common, drawSecret, config, log, clock, place, events, watched })
  const campaigns = new Campaigns({ store, clock, random, serverTimeMs: () => rounds.serverTimeMs() })
  const commitments = new Commitments({ store, serverTimeMs: () => rounds.serverTimeMs(), failed: reporter('budget') })
  const draws = new Draws({ store, rounds, clock, failed: reporter('draw') })
  const limits = limitsOf(config, log, store, clock)
  const money = { campaigns, commitments, sweep: new Sweep(store, campaigns) }
  const published = publishedKeysOf(config.jwks, clock, log, () => stream.recheck())
  const made = { ...common, ...limits, ...money, agreement, rounds, draws, published, clock, random }
  const parts = { ...made, fenced: fence !== undefined }
  const { services, stream, own } = servicesOf(config, parts, metricsText)
  const publish: Server['publish'] = (...frame) => server.publish(...frame)
  const feed = stockFeed(parts, stream, publish)
  const drawn = drawnFeed(parts, publish, reporter('drawn'))
  await readControls(limits)()
  if (published) startKeys(published, config.jwks, health)
  const server = await openServer(config, services, stream)
  void fence?.begin(id => rounds.get(id)).catch(reporter('journal'))
  const stops = startTicks(parts, log, reporter)
  return {
    port: server.port,
    metrics: own,
    setKeys: keys => {
      services.callers.replaceKeys(parseKeys(keys))
      stream.recheck()
    },
    judgeKeys: refused => health.refuseKeys(refused),
    drain: async noticeMs => {
      health.drain()
      await drained(() => rounds.unanswered + services.underWay.requests, clock, noticeMs)
      stream.restart()
      server.stopListening()
      for (const stop of stops) stop()
      published?.close()
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

/** What it agrees on with the other nodes of its Redis. A start that fails here leaves no connection and no timer behind. */
async function agreed(parts: Parameters<typeof agree>[0], log: Log): ReturnType<typeof agree> {
  try {
    return await reportingWaits(agree(parts), parts.health, log)
  } catch (cause) {
    parts.health.stop()
    await parts.store.close()
    throw cause
  }
}

/** Says every few seconds what a start waits for, as long as it does. */
async function reportingWaits<T>(starting: Promise<T>, health: Health, log: Log): Promise<T> {
  const report = () => {
    const [{ what, mend } = { what: 'Redis does not answer', mend: 'start it, or correct REDIS_URL' }] =
      health.report.problems
    log.warn({ mend }, `the start waits for Redis: ${what}`)
  }
  const stop = every(realClock, START_REPORT_MS, report, () => {})
  return starting.finally(stop)
}

/** What fails here is Redis being away, which health reports. */
const readControls =
  ({ controls }: Pick<Parts, 'controls'>) =>
  () =>
    controls.read().catch(() => {})

const roundNow = ({ view: { id, state, notice } }: Round) => ({
  id,
  state,
  granted: grantedOf(notice),
  total: totalOf(notice),
})

/** What a worker does by the clock; each of the functions ends one of them. */
function startTicks(parts: Parts, log: Log, reporter: (what: string) => (cause: unknown) => void): (() => void)[] {
  const { rounds, draws, sweep, commitments, controls, clock, random, metrics } = parts
  const traffic = new TrafficLog(log)
  const second = () => traffic.second(metrics.sinceLast(), [...rounds.loaded()].map(roundNow))
  return [
    every(clock, TICK_MS, () => rounds.tick(), reporter('tick')),
    every(clock, TICK_MS, () => draws.tick(), reporter('draws')),
    every(clock, jitter(random, SWEEP_MS), () => sweep.all(), reporter('sweep')),
    every(clock, jitter(random, SWEEP_MS), () => commitments.settleAll(), reporter('budget')),
    every(clock, READ_MS, readControls(parts), reporter('controls')),
    every(clock, BEAT_MS, () => controls.beat(), reporter('controls')),
    every(clock, LOG_MS, second, reporter('traffic')),
  ]
}

/** An operator's change went on although the audit log could not be written. */
const reportUnaudited = (metrics: Metrics, log: Log) => (cause: unknown, entry: AuditFields) => {
  metrics.count('fairgrab_unaudited_total')
  // The body may name people, and the engine's own log goes to more readers than the audit log.
  const { body: _, ...lacking } = entry
  log.error({ err: cause, lacking }, 'the audit log lacks an entry; the change itself went on')
}

const storeOf = (config: Config, log: Log, clock: Clock): Store =>
  openStore({
    url: config.redisUrl,
    tls: config.redisTls,
    durability: config.durability,
    declared: config.durabilityDeclared,
    replicas: config.replicas,
    clock: realClock,
    calendarMs: () => clock.wallMs(),
    random: realRandom,
    node: `${hostname()}:${config.port}`,
    linkChanged: (link, event, detail) => log[event === 'up' ? 'info' : 'warn']({ link, detail }, `redis ${event}`),
  })

interface Watch {
  readonly config: Config
  readonly log: Log
  readonly faults: FaultLog
  readonly store: Store
  readonly clock: CorrectedClock
  readonly checkMs: number | undefined
}

/** The checks of the server, which also set the clock right. */
const healthOf = ({ config, log, faults, store, clock, checkMs }: Watch): Health =>
  new Health({
    checkMs,
    check: async () => {
      const found = await store.health()
      clock.learn(found.aheadMs)
      return found
    },
    connected: store.ready,
    clock: realClock,
    durability: config.durability,
    changed: ({ ready, problems, warnings }) => {
      faults.changed()
      for (const { what, mend } of problems) log.error({ mend }, ready ? what : `granting is stopped: ${what}`)
      for (const { what, mend } of warnings) log.warn({ mend }, what)
    },
  })

/** The rates of callers, and what operators set of them and of merchants. */
function limitsOf({ rateUser, rateAddress, rateKey, rateWrongCodes }: Config, log: Log, store: Store, clock: Clock) {
  const configured = { user: rateUser, address: rateAddress, key: rateKey }
  const rates = new RateLimits(configured, clock, rateWrongCodes, now => controls.isLate(now))
  const changed = (now: Rates) => {
    rates.apply(now)
    log.info({ rates: now }, 'controls changed')
  }
  const controls = new Controls({ store: store.controls, clock, configured, changed })
  return { rates, controls }
}

/** Resolves when probes could see `readyz` turn and everything is answered, or when the drain's time is over. */
async function drained(unanswered: () => number, clock: Clock, noticeMs: number): Promise<void> {
  const start = clock.monotonicMs()
  const waits = (ms: number) => new Promise<void>(done => clock.after(ms, done))
  await waits(noticeMs)
  while (unanswered() > 0 && clock.monotonicMs() < start + DRAIN_MS) await waits(10)
}
