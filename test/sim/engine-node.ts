/**
 * One node of the engine in a simulated world: the real store, links, health and rooms, put together as main.ts does it,
 * on virtual time, on the world's chance and on the simulated network. What HTTP would bring is called directly.
 *
 * A process can stop for a while (all that should have happened happens late) and can end at any moment: then its
 * timers and promises lead nowhere, whoever waits for its answer gets none, and the next start knows nothing. Its wall
 * clock is its own. Rejected: the server room; it holds no rule, and its sockets have tests on real ones.
 */
import { Fault, Refusal } from '../../engine/base/assert.ts'
import { type Clock, every } from '../../engine/base/clock.ts'
import type { Code } from '../../engine/base/codes.ts'
import type { Random } from '../../engine/base/random.ts'
import { decidersOf } from '../../engine/campaign/claim/deciders.ts'
import { Draws } from '../../engine/campaign/drawing/draws.ts'
import { FencedRounds } from '../../engine/campaign/fenced/fenced-rounds.ts'
import { Journal } from '../../engine/campaign/fenced/journal.ts'
import { Commitments } from '../../engine/campaign/money/commitments.ts'
import { Lifecycle } from '../../engine/campaign/operator/lifecycle.ts'
import type { ClaimRequest } from '../../engine/campaign/round/asks.ts'
import { Campaigns } from '../../engine/campaign/round/campaigns.ts'
import { type Round, type RoundEvents, SingleAsk } from '../../engine/campaign/round/round.ts'
import type { RoundView } from '../../engine/campaign/round/round-view.ts'
import { Rounds } from '../../engine/campaign/round/rounds.ts'
import { BEAT_MS, Controls, READ_MS } from '../../engine/campaign/voucher/controls.ts'
import { Merchants } from '../../engine/campaign/voucher/merchants.ts'
import { Redemption } from '../../engine/campaign/voucher/redemption.ts'
import { Vouchers } from '../../engine/campaign/voucher/vouchers.ts'
import { Health } from '../../engine/ops/health.ts'
import { loadScripts } from '../../engine/store/connection/scripts.ts'
import type { ClaimStore, Decision } from '../../engine/store/data/claim-store.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import { openStore, type Store } from '../../engine/store/store.ts'
import type { Subscriber } from './cluster.ts'
import type { JournalStore } from './journal-store.ts'
import { asRedis, SimulatedClient } from './redis/client.ts'
import type { Network } from './redis/network.ts'
import type { Server } from './redis/server.ts'
import { Subscription } from './redis/subscription.ts'
import { asRedisOf, ShardSubscriber } from './shards/subscriber.ts'
import type { Timeline } from './timeline.ts'

export const SCRIPTS = loadScripts()
export const SHARDED = loadScripts(true)
const ONE_URL = 'redis://primary'
export const SECRET = Buffer.alloc(32, 7)
const TICK_MS = 100
/** Between two looks for money of which nobody knows what came of it. */
const SETTLE_MS = 5000
/** Small, so that a world meets the end of a reserve often. */
const RESERVE_GRANTS = 24
const EPOCH_MS = Date.UTC(2026, 10, 1)
const TURN_MS = 0.02
const NO_LIMITS = { user: 0, address: 0, key: 0 }

/** The clock of one process; what it calls runs only while the process lives, and late when it stands still. */
export class ProcessClock implements Clock {
  aheadMs = 0
  alive = true
  readonly originMs: number
  readonly #timeline: Timeline
  readonly #bornAt: number
  #stillUntil = 0
  readonly #late: (() => void)[] = []

  constructor(timeline: Timeline) {
    this.#timeline = timeline
    this.#bornAt = timeline.now
    this.originMs = EPOCH_MS + timeline.now - 1
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#timeline.now + this.aheadMs)
  }

  monotonicMs(): number {
    return this.#timeline.now - this.#bornAt + 1
  }

  after(ms: number, run: () => void): () => void {
    return this.#timeline.after(ms, () => this.within(run))
  }

  soon(run: () => void): void {
    this.#timeline.after(TURN_MS, () => this.within(run))
  }

  get isStill(): boolean {
    return this.#stillUntil > this.#timeline.now
  }

  /** When it stands still no longer, or did last, by the world's time; 0 where it never did. */
  get stillUntil(): number {
    return this.#stillUntil
  }

  standStill(ms: number): void {
    this.#stillUntil = Math.max(this.#stillUntil, this.#timeline.now + ms)
    this.#timeline.at(this.#stillUntil, () => this.#goOn())
  }

  readonly within = (run: () => void): void => {
    if (!this.alive) return
    if (this.#stillUntil > this.#timeline.now) this.#late.push(run)
    else run()
  }

  /** Does in order what should have happened meanwhile; what is to end it may have been put off. */
  #goOn(): void {
    if (this.#stillUntil > this.#timeline.now) return
    for (const run of this.#late.splice(0)) this.within(run)
  }
}

export interface ClusterWay {
  /** Its address, some of its servers. */
  readonly url: string
  /** Whether a server takes subscriptions to a channel. */
  readonly serves: (server: Server, channel: string) => boolean
  /** Gets what a check of the rounds finds damaged, in words. */
  readonly damaged: (what: string) => void
}

export interface NodeOptions {
  readonly name: string
  readonly timeline: Timeline
  readonly network: Network
  readonly durability: Durability
  readonly replicas: number
  /** The server that an address means now; one Redis has one, whatever is asked for. */
  readonly resolve: (url: string) => Server
  /** Every stock event of a server is told to those who subscribed there. */
  readonly subscribed: (subscription: Subscriber, server?: Server) => () => void
  /** Of a cluster: its address, and what its servers say of subscriptions. */
  readonly cluster?: ClusterWay | undefined
  readonly plant: NodePlant
  /** Whether vouchers are redeemed in this world. */
  readonly hasTills: boolean
  /** Whether rounds are drawn in this world; then it looks after their draws. */
  readonly hasDraws: boolean
  /** Gets what becomes of claims that were stamped at their arrival; left out where no round is strict. */
  readonly arrived?: RoundEvents['arrived']
  /** At the level fenced: its disk of journals. */
  readonly journal: JournalStore | undefined
}

/** Bugs that a world may plant in its engines. */
export interface NodePlant {
  /** How long a change that lets grants resume grants nothing. */
  readonly leaseMs?: number
  /** At the level fenced: how long a recovery waits for engines that are silent. */
  readonly patienceMs?: number
  /** At the level fenced: refuses without asking whether all replicas have what that rests on. */
  readonly hasty?: boolean
  /** Judges redemptions on what operators had set, however long ago that was read. */
  readonly trusting?: boolean
  /** Decides claims in another way. */
  readonly claim?: (claim: ClaimStore['claim'], ...asked: Parameters<ClaimStore['claim']>) => Promise<Decision>
}

export class EngineNode {
  readonly name: string
  readonly clock: ProcessClock
  readonly rounds: Rounds
  readonly lifecycle: Lifecycle
  readonly store: Store
  readonly draws: Draws
  readonly vouchers: Vouchers
  readonly redemption: Redemption
  readonly controls: Controls
  readonly #health: Health
  readonly #clients = new Set<SimulatedClient>()
  readonly #waiting = new Set<() => void>()
  readonly #subscribers = new Set<ShardSubscriber>()
  readonly #ended = Promise.withResolvers<void>()
  #faults = 0

  constructor(options: NodeOptions) {
    const { name, timeline, network, durability, replicas, plant, cluster } = options
    const { chance: random } = network
    this.name = name
    const clock = new ProcessClock(timeline)
    this.clock = clock
    const store = openStore({
      ...{ url: cluster?.url ?? ONE_URL, durability, replicas, clock, random, scripts: cluster ? SHARDED : SCRIPTS },
      ...(plant.leaseMs === undefined ? {} : { leaseMs: plant.leaseMs }),
      network: {
        dial: url => asRedis(this.#dial(options, url)),
        listen: (_url, { listener }) => this.#listen(options, listener),
        subscribe: url => asRedisOf(this.#subscribe(options, url)),
      },
    })
    this.store = store
    const claim = store.claims.claim.bind(store.claims)
    if (plant.claim) store.claims.claim = plant.claim.bind(undefined, claim)
    this.#health = new Health({ check: store.health, connected: store.ready, clock, durability, changed: () => {} })
    const fence = options.journal && this.#fenceOf(options.journal, plant, random)
    this.rounds = new Rounds({
      fence,
      ...{ store, clock, random, secret: SECRET, drawSecret: SECRET },
      deciders: decidersOf({ store, clock, random, batchClaims: 8, batchesInFlight: 4, entrantsKnown: 1000 }),
      healthGate: this.#health.gate,
      events: {
        ...{ changed: () => {}, decided: () => {}, answered: () => {}, drawn: () => {}, begun: () => {} },
        ...(options.arrived ? { arrived: options.arrived } : {}),
        failed: () => {
          this.#faults++
        },
      },
    })
    const serverTimeMs = () => this.rounds.serverTimeMs()
    const campaigns = new Campaigns({ store: this.store, clock, random, serverTimeMs })
    const draws = new Draws({ store: this.store, rounds: this.rounds, clock, failed: () => {} })
    this.draws = draws
    if (options.hasDraws) this.#drawDue(draws)
    const commitments = new Commitments({ store, serverTimeMs, failed: () => {} })
    this.lifecycle = new Lifecycle({
      ...{ store: this.store, rounds: this.rounds, campaigns, commitments, draws, clock, random },
      fenced: fence !== undefined,
    })
    this.controls = new Controls({ store: store.controls, clock, configured: NO_LIMITS, changed: () => {} })
    this.vouchers = new Vouchers(store, this.rounds, random)
    this.redemption = new Redemption({
      ...{ store, campaigns, random, serverTimeMs, vouchers: this.vouchers, controls: this.controls },
      merchants: new Merchants({ ledger: store.ledger, controls: store.controls, clock }),
    })
    if (plant.trusting) this.controls.fresh = () => Promise.resolve()
    if (options.hasTills) this.#readControls()
    void fence?.begin(id => this.rounds.get(id))
    if (cluster) this.#health.watch(() => this.#lookAtRounds(cluster))
    void this.#health.start()
    this.#tick(commitments)
  }

  #drawDue(draws: Draws): void {
    every(
      this.clock,
      TICK_MS,
      () => draws.tick(),
      () => {},
    )
  }

  /** What it does by the clock. */
  #tick(commitments: Commitments): void {
    const ignore = () => {}
    every(this.clock, TICK_MS, () => this.rounds.tick(), ignore)
    every(this.clock, SETTLE_MS, () => commitments.settleAll(), ignore)
  }

  /** Why it grants nothing, in words; empty when it does. */
  get problems(): readonly string[] {
    return this.#health.report.problems.map(({ what }) => what)
  }

  /** Resolves when it ended. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Whether one of its connections leads to a server. */
  reaches(server: Server): boolean {
    return [...this.#clients].some(client => client.server === server && client.status === 'ready')
  }

  /** Faults that this node met. */
  get faults(): number {
    return this.#faults
  }

  /** Asks as POST /v1/rounds/{id}/claims does; `lost` when the node ends before it answers. */
  claim(
    roundId: string,
    request: ClaimRequest,
    told: { readonly answered: (code: Code, ask: SingleAsk | undefined) => void; readonly lost: () => void },
  ): void {
    this.#waiting.add(told.lost)
    const answer = (code: Code, ask?: SingleAsk) => {
      if (this.#waiting.delete(told.lost)) told.answered(code, ask)
    }
    this.clock.within(() => {
      const ask = (round: Round) =>
        round.ask(new SingleAsk(round, request.userId, request.pool, request, asked => answer(asked.code, asked)))
      const known = this.rounds.peek(roundId)
      if (known) return ask(known)
      this.lifecycle.round(roundId).then(ask, cause => answer(codeOfFailure(cause)))
    })
  }

  /** Reads as GET /v1/rounds/{id} does; never answered when the node ends before. */
  read(roundId: string): Promise<RoundView> {
    return this.lifecycle.round(roundId).then(({ view }) => view)
  }

  /** Asks as a till does over HTTP; `unknown` when the node ends before it answers. */
  asked<T>(ask: (node: EngineNode) => Promise<T>): Promise<{ readonly code: Code; readonly answer?: T }> {
    return new Promise((resolve, reject) => {
      const failed = (cause: unknown) => resolve({ code: codeOfFailure(cause) })
      void this.#ended.promise.then(() => resolve({ code: 'unknown' }))
      this.clock.within(() => {
        ask(this)
          .then(answer => resolve({ code: 'granted', answer }), failed)
          .catch(reject)
      })
    })
  }

  /** Cuts some of its connections to Redis. */
  cut(sentArrives: boolean, share: (server: Server | undefined) => boolean): number {
    let cuts = 0
    for (const client of this.#clients) {
      if (!share(client.server)) continue
      client.cut(sentArrives)
      cuts++
    }
    return cuts
  }

  /** Ends at once, in the middle of whatever it does. */
  end(): void {
    this.clock.alive = false
    for (const client of this.#clients) client.cut(true)
    for (const subscriber of [...this.#subscribers]) subscriber.disconnect()
    for (const lost of this.#waiting) lost()
    this.#waiting.clear()
    this.#ended.resolve()
  }

  /** As main/rounds.ts does at each check of the server. */
  async #lookAtRounds({ damaged: tell }: ClusterWay) {
    const { lost, damaged } = await this.rounds.damaged.look([...this.rounds.loaded()].map(({ view }) => view.id))
    for (const { what } of [...lost, ...damaged]) tell(what)
    return { problems: lost, damages: damaged }
  }

  #readControls(): void {
    const ignore = () => {}
    every(this.clock, READ_MS, () => this.controls.read(), ignore)
    every(this.clock, BEAT_MS, () => this.controls.beat(), ignore)
  }

  #fenceOf(disk: JournalStore, { patienceMs = 300, hasty }: NodePlant, random: Random): FencedRounds {
    const { clock, store } = this
    const note = store.fence.note.bind(store.fence)
    if (hasty) store.fence.note = (standing, chunk) => (chunk === 0 ? Promise.resolve(0) : note(standing, chunk))
    return new FencedRounds({
      ...{ engine: disk.engine, claims: store.claims, fence: store.fence, journal: new Journal(disk.mount(clock)) },
      ...{ clock, random, chunk: RESERVE_GRANTS, patienceMs, reported: () => {} },
      adopted: (roundId, notice) => this.rounds.adopt(roundId, notice),
      failed: () => {
        this.#faults++
      },
    })
  }

  #dial({ network, resolve, name }: NodeOptions, url: string): SimulatedClient {
    const { within } = this.clock
    const client = new SimulatedClient({ network, from: name, resolve: () => resolve(url), within })
    for (const old of this.#clients) if (old.status === 'end') this.#clients.delete(old)
    this.#clients.add(client)
    return client
  }

  #listen({ resolve, subscribed, name, network }: NodeOptions, listener: Subscription['listener']): () => void {
    const own = { clock: this.clock, network, name, listener }
    return subscribed(new Subscription({ ...own, resolve: () => resolve(ONE_URL) }))
  }

  /** On a cluster: a client for the events of one server. */
  #subscribe({ resolve, subscribed, name, network, cluster }: NodeOptions, url: string): ShardSubscriber {
    const server = resolve(url)
    const serves = (channel: string) => cluster?.serves(server, channel) ?? false
    const made = new ShardSubscriber({ clock: this.clock, network, name, server, serves })
    const leaves = subscribed(made, server)
    this.#subscribers.add(made)
    made.on('end', () => {
      leaves()
      this.#subscribers.delete(made)
    })
    return made
  }
}

/** The code that a failed read or change is answered with. */
export function codeOfFailure(cause: unknown): Code {
  if (cause instanceof Fault || cause instanceof Refusal) return cause.code
  throw cause
}
