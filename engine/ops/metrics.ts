/**
 * What the engine counts, by Prometheus's rules. METRICS is the table that docs/metrics.md mirrors. The claim path
 * never calls the metrics library: it raises plain numbers, a few a batch, and they are handed over when somebody
 * scrapes. Each worker has its own registry; the supervisor adds them up (engine/processes/supervisor.ts).
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { CODES, codeOf } from '../base/codes.ts'
import type { HealthReport } from './health.ts'

interface Row {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** None where they are left out. */
  readonly labels?: readonly string[]
  readonly help: string
  readonly buckets?: readonly number[]
}

export const METRICS = [
  { name: 'fairgrab_claims_total', type: 'counter', labels: ['outcome'], help: 'Claims answered, by outcome.' },
  { name: 'fairgrab_claims_unanswered', type: 'gauge', help: 'Claims without an answer now.' },
  {
    name: 'fairgrab_batch_claims',
    type: 'histogram',
    help: 'Claims that one script call decided.',
    buckets: [1, 4, 16, 64, 128, 256, 512],
  },
  {
    name: 'fairgrab_batch_seconds',
    type: 'histogram',
    help: 'From the moment a batch left to its decision.',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
  },
  { name: 'fairgrab_stock_total', type: 'gauge', labels: ['round'], help: 'Packs of a round.' },
  { name: 'fairgrab_stock_granted', type: 'gauge', labels: ['round'], help: 'Packs of a round that are granted.' },
  {
    name: 'fairgrab_stock_quarantined',
    type: 'gauge',
    labels: ['round'],
    help: 'Packs of a round that nobody gets since a fail-over, until an engine is back or an operator releases them.',
  },
  {
    name: 'fairgrab_rounds_damaged',
    type: 'gauge',
    help: 'Rounds whose keys in Redis are missing or contradict each other, at the last check; must stay 0.',
  },
  {
    name: 'fairgrab_shards_away',
    type: 'gauge',
    help: 'Of a Redis Cluster: shards that do not answer or have a problem that stops their rounds, at the last check.',
  },
  { name: 'fairgrab_oversold', type: 'gauge', help: 'Grants above the stock, all rounds; must stay 0.' },
  {
    name: 'fairgrab_round_viewers',
    type: 'gauge',
    labels: ['round'],
    help: 'Sockets that watch the stock of a round.',
  },
  { name: 'fairgrab_stream_sockets', type: 'gauge', help: 'Sockets of the live stream.' },
  { name: 'fairgrab_stock_frames_total', type: 'counter', help: 'Stock frames that were published.' },
  {
    name: 'fairgrab_stock_age_seconds',
    type: 'histogram',
    help: "How old a stock frame's stock is when it leaves.",
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
  },
  {
    name: 'fairgrab_stream_catch_ups_total',
    type: 'counter',
    help: 'Slow readers that caught up and were given the newest stock.',
  },
  {
    name: 'fairgrab_redemptions_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Redemptions asked for, by outcome.',
  },
  {
    name: 'fairgrab_redemption_seconds',
    type: 'histogram',
    help: 'From the request of a redemption to its answer.',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
  },
  { name: 'fairgrab_wrong_codes_total', type: 'counter', help: 'Voucher codes asked for that do not exist.' },
  { name: 'fairgrab_draws_total', type: 'counter', help: 'Draws whose result this worker announced.' },
  { name: 'fairgrab_faults_total', type: 'counter', help: 'Batches that ended without a decision.' },
  { name: 'fairgrab_bugs_total', type: 'counter', help: 'Requests that met a bug of the engine.' },
  { name: 'fairgrab_unaudited_total', type: 'counter', help: 'Entries that the audit log lacks; should stay 0.' },
  { name: 'fairgrab_workers', type: 'gauge', help: 'Workers of this node that answer.' },
  { name: 'fairgrab_ready', type: 'gauge', help: 'Workers that may grant: nothing fences or drains them.' },
  {
    name: 'fairgrab_keys_refused',
    type: 'gauge',
    help: '1 while FAIRGRAB_KEYS_FILE is refused and the keys that were read before stay in force.',
  },
  { name: 'fairgrab_redis_up', type: 'gauge', help: 'Workers whose connections to Redis are up.' },
  { name: 'fairgrab_nodes', type: 'gauge', help: 'Nodes that share this Redis, at the last check.' },
  { name: 'fairgrab_build_info', type: 'gauge', labels: ['version'], help: 'Always 1; the version that runs.' },
  {
    name: 'fairgrab_redis_commands_total',
    type: 'counter',
    help: 'Commands that Redis processed since its start, at the last check.',
  },
  {
    name: 'fairgrab_redis_clock_apart_seconds',
    type: 'gauge',
    help: "How far this machine's clock and Redis's are apart at least, at the last check.",
  },
  { name: 'fairgrab_redis_memory_bytes', type: 'gauge', help: 'What Redis uses, at the last check.' },
  { name: 'fairgrab_event_loop_delay_seconds', type: 'gauge', help: 'p99 of the last seconds, worst worker.' },
  { name: 'fairgrab_resident_memory_bytes', type: 'gauge', help: 'Resident memory of the workers.' },
  { name: 'fairgrab_cpu_seconds_total', type: 'counter', help: 'CPU time of the workers.' },
] as const satisfies readonly Row[]

export type MetricName = (typeof METRICS)[number]['name']

/** What only the worker as a whole knows; asked at each scrape. */
export interface Gauges {
  readonly unanswered: () => number
  readonly sockets: () => number
  readonly redisUp: () => boolean
  readonly health: () => HealthReport
  readonly damaged: () => number
  readonly version: string
  readonly stocks: () => Iterable<RoundGauges>
}

export interface RoundGauges {
  readonly id: string
  readonly total: number
  readonly granted: number
  readonly quarantined: number
  readonly viewers: number
}

/** A page that asks every second must not leave Prometheus a delay measured over one second only. */
const DELAY_WINDOW_S = 10

/** Of these the largest worker counts; all others are added up. */
const LARGEST: readonly MetricName[] = [
  'fairgrab_nodes',
  'fairgrab_build_info',
  'fairgrab_redis_commands_total',
  'fairgrab_stock_total',
  'fairgrab_stock_granted',
  'fairgrab_stock_quarantined',
  'fairgrab_rounds_damaged',
  'fairgrab_shards_away',
  'fairgrab_keys_refused',
  'fairgrab_oversold',
  'fairgrab_redis_memory_bytes',
  'fairgrab_redis_clock_apart_seconds',
  'fairgrab_event_loop_delay_seconds',
]

export class Metrics {
  readonly #registry = new Registry()
  readonly #outcomes = new Float64Array(256)
  readonly #collected = new Float64Array(256)
  readonly #logged = new Float64Array(256)
  readonly #delay = monitorEventLoopDelay({ resolution: 10 })
  readonly #counters = new Map<string, Counter>()
  readonly #gauges = new Map<string, Gauge>()
  readonly #histograms = new Map<string, Histogram>()
  readonly #onBug: (cause: unknown) => void
  #cpuCollected = 0
  #delaySince = process.uptime()

  constructor(onBug: (cause: unknown) => void) {
    this.#onBug = onBug
    const rows: readonly Row[] = METRICS
    for (const { name, type, labels = [], help, buckets } of rows) {
      const common = { name, help, labelNames: [...labels], registers: [this.#registry] }
      const aggregator = LARGEST.includes(name as MetricName) ? 'max' : 'sum'
      if (type === 'counter') this.#counters.set(name, new Counter({ ...common, aggregator }))
      else if (type === 'gauge') this.#gauges.set(name, new Gauge({ ...common, aggregator }))
      else this.#histograms.set(name, new Histogram({ ...common, buckets: [...(buckets ?? [])] }))
    }
    this.#delay.enable()
  }

  /** A claim that was answered without asking Redis, or `count` of them with one outcome. */
  answered(outcome: number, count = 1): void {
    this.#outcomes[outcome]! += count
  }

  /** The outcome numbers of a batch that Redis decided. */
  decided(outcomes: Uint8Array, seconds: number): void {
    for (const outcome of outcomes) this.#outcomes[outcome]!++
    this.#histograms.get('fairgrab_batch_claims')?.observe(outcomes.length)
    this.#histograms.get('fairgrab_batch_seconds')?.observe(seconds)
  }

  count(name: MetricName): void {
    this.#counters.get(name)?.inc()
  }

  /** Claims by outcome since this was last asked; only those that there were. */
  sinceLast(): Readonly<Record<string, number>> {
    const since: Record<string, number> = {}
    for (let outcome = 0; outcome < 256; outcome++) {
      const more = (this.#outcomes[outcome] as number) - (this.#logged[outcome] as number)
      const code = codeOf(outcome)
      if (code && more > 0) since[code] = more
      this.#logged[outcome] = this.#outcomes[outcome] as number
    }
    return since
  }

  /** A redemption that was asked for: `granted`, `replayed` or the code of its refusal. */
  redeemed(outcome: string, seconds: number): void {
    this.#counters.get('fairgrab_redemptions_total')?.inc({ outcome })
    this.#histograms.get('fairgrab_redemption_seconds')?.observe(seconds)
  }

  /** A stock frame left that was `seconds` old. */
  frameSent(seconds: number): void {
    this.count('fairgrab_stock_frames_total')
    this.#histograms.get('fairgrab_stock_age_seconds')?.observe(Math.max(0, seconds))
  }

  bug(cause: unknown): void {
    this.count('fairgrab_bugs_total')
    this.#onBug(cause)
  }

  /** Everything as the metrics library's JSON, which the supervisor adds up. */
  async json(gauges: Gauges): Promise<object[]> {
    for (let outcome = 0; outcome < 256; outcome++) {
      const more = (this.#outcomes[outcome] as number) - (this.#collected[outcome] as number)
      const code = codeOf(outcome)
      if (code && (more > 0 || outcome <= CODES.fenced.number))
        this.#counters.get('fairgrab_claims_total')?.inc({ outcome: code }, more)
      this.#collected[outcome] = this.#outcomes[outcome] as number
    }
    const health = gauges.health()
    this.#set('fairgrab_claims_unanswered', gauges.unanswered())
    this.#set('fairgrab_stream_sockets', gauges.sockets())
    this.#set('fairgrab_workers', 1)
    this.#set('fairgrab_ready', health.ready ? 1 : 0)
    this.#set('fairgrab_redis_up', gauges.redisUp() ? 1 : 0)
    this.#set('fairgrab_redis_memory_bytes', health.redisMemoryBytes)
    this.#set('fairgrab_nodes', health.nodes)
    this.#set('fairgrab_rounds_damaged', gauges.damaged())
    this.#set('fairgrab_shards_away', health.stoppedShards)
    this.#set('fairgrab_keys_refused', health.keysRefused ? 1 : 0)
    this.#set('fairgrab_redis_clock_apart_seconds', Math.abs(health.redisAheadMs) / 1000)
    this.#gauges.get('fairgrab_build_info')?.set({ version: gauges.version }, 1)
    // A Redis that started anew counts from 0, and so does this.
    const commands = this.#counters.get('fairgrab_redis_commands_total')
    commands?.reset()
    commands?.inc(health.redisCommands)
    this.#set('fairgrab_resident_memory_bytes', process.memoryUsage.rss())
    this.#set('fairgrab_event_loop_delay_seconds', this.#delay.percentile(99) / 1e9)
    if (process.uptime() - this.#delaySince >= DELAY_WINDOW_S) {
      this.#delay.reset()
      this.#delaySince = process.uptime()
    }
    const { user, system } = process.cpuUsage()
    this.#counters.get('fairgrab_cpu_seconds_total')?.inc((user + system) / 1e6 - this.#cpuCollected)
    this.#cpuCollected = (user + system) / 1e6
    this.#stock(gauges.stocks())
    return this.#registry.getMetricsAsJSON()
  }

  #stock(stocks: ReturnType<Gauges['stocks']>): void {
    let oversold = 0
    for (const { id, total, granted, quarantined, viewers } of stocks) {
      this.#gauges.get('fairgrab_stock_total')?.set({ round: id }, total)
      this.#gauges.get('fairgrab_stock_granted')?.set({ round: id }, granted)
      this.#gauges.get('fairgrab_stock_quarantined')?.set({ round: id }, quarantined)
      this.#gauges.get('fairgrab_round_viewers')?.set({ round: id }, viewers)
      oversold += Math.max(0, granted - total)
    }
    this.#set('fairgrab_oversold', oversold)
  }

  #set(name: MetricName, value: number): void {
    this.#gauges.get(name)?.set(value)
  }
}
