/**
 * The rounds that this worker serves, by id. A round is read from Redis when it is first asked for and then kept up to
 * date by what its own batches answer and by stock events; after a gap in the events everything is read again. A tick
 * ten times a second turns rounds at their scheduled times (by Redis's clock) and refuses claims that waited too long.
 */
import { RoundSecrets, signingSeed } from '../../auth/draw-secrets.ts'
import { Fault } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import { JoinedReads } from '../../base/joined-reads.ts'
import { CLAIMS_WAITING_MAX } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { type SigningKey, signingKeyOf } from '../../draw/signing-key.ts'
import type { Decision } from '../../store/data/claim-store.ts'
import type { Notice, StoredState } from '../../store/data/notice.ts'
import { lostRound, type RoundRead } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import { Entries } from '../claim/entries.ts'
import type { FencedRound } from '../fenced/fenced-round.ts'
import type { FencedRounds } from '../fenced/fenced-rounds.ts'
import { DamagedCampaigns } from './damaged-campaigns.ts'
import { DamagedRounds } from './damaged-rounds.ts'
import { Holds } from './resume-holds.ts'
import { type Order, Round, type RoundOptions } from './round.ts'
import type { RoundConfig } from './round-config.ts'
import { RoundEpochs } from './round-epochs.ts'
import { RoundView } from './round-view.ts'

export interface RoundsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly secret: Buffer
  /** What drawn rounds derive from. */
  readonly drawSecret: Buffer
  readonly batchClaims: number
  readonly batchesInFlight: number
  /** `fenced` while the server does not give the durability that was promised. */
  readonly healthGate: () => Code | undefined
  /** Something of a round moved: its stock, its state. */
  readonly changed: (view: RoundView) => void
  readonly decided: (decision: Decision, claims: number, seconds: number) => void
  readonly refused: (outcome: number, count: number) => void
  readonly failed: (fault: unknown) => void
  /** At the level fenced: what stands between a round's claims and Redis. */
  readonly fence?: FencedRounds | undefined
  readonly arrived?: RoundOptions['arrived']
  /** A window's draw is over. */
  readonly drawn: (view: RoundView, window: number) => void
  /** Below the level fenced: another history has a round, and it goes on under another epoch from this notice on. */
  readonly begun?: ((roundId: string, notice: Notice) => void) | undefined
}

/** Unknown ids that are remembered, so that one that is asked for again and again is read at most once in UNKNOWN_MS. */
const UNKNOWN_KEPT = 1000
const UNKNOWN_MS = 50

/** States that the round's end turns. */
const CAN_CLOSE: readonly StoredState[] = ['scheduled', 'open', 'paused']

export class Rounds {
  readonly #options: RoundsOptions
  readonly #rounds = new Map<string, Round>()
  readonly #loads = new JoinedReads<Round | undefined>()
  readonly #unknown = new Map<string, number>()
  readonly #byNumber = new Map<number, string>()
  readonly #holds: Holds
  readonly #epochs: RoundEpochs
  readonly #stopListening: () => void
  readonly #load = { unanswered: 0 }
  #renewals = 0
  #redisAheadMs = 0
  readonly #worker: string
  readonly damaged: DamagedRounds
  readonly damagedCampaigns: DamagedCampaigns
  /** Signs receipts and commitments of all rounds. */
  readonly signingKey: SigningKey

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#worker = options.random.bytes(8).toString('hex')
    this.signingKey = signingKeyOf(signingSeed(options.drawSecret))
    const { store, clock, failed } = options
    this.damaged = new DamagedRounds(store.roundChecks)
    this.damagedCampaigns = new DamagedCampaigns(store.campaignChecks)
    this.#holds = new Holds({
      ...{ rounds: store.rounds, clock, failed },
      ended: (id, notice) => this.take(id, notice),
    })
    this.#epochs = new RoundEpochs({
      ...{ store: store.histories, random: options.random },
      found: (round, notice) => this.#found(round, notice),
      gone: round => this.#gone(round),
      begun: (id, notice) => options.begun?.(id, notice),
    })
    this.#stopListening = store.listen({
      noticed: (roundId, notice) => this.#noticed(roundId, notice),
      awaited: (roundId, stamp) => this.#rounds.get(roundId)?.awaited(stamp),
      gap: () => this.#readAllAgain(),
    })
  }

  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell. */
  serverTimeMs(): number {
    return this.#options.clock.wallMs() + this.#redisAheadMs
  }

  /** A check of the server read its clock. */
  measured(redisMs: number): void {
    this.#redisAheadMs = redisMs - this.#options.clock.wallMs()
  }

  /** Claims without an answer, over all rounds. */
  get unanswered(): number {
    return this.#load.unanswered
  }

  /** What is derived for a drawn round. */
  secretsOf(roundId: string): RoundSecrets {
    return new RoundSecrets(this.#options.drawSecret, roundId)
  }

  loaded(): Iterable<Round> {
    return this.#rounds.values()
  }

  /** A round that was read before; the claim path's way in. */
  peek(roundId: string): Round | undefined {
    return this.#rounds.get(roundId)
  }

  /** A round, read from Redis when need be; undefined when there is none. Throws Fault. */
  async get(roundId: string): Promise<Round | undefined> {
    const known = this.#rounds.get(roundId)
    if (known) return known
    const load = async () => this.#rounds.get(roundId) ?? (await this.#find(roundId))
    return this.#loads.ask(roundId, load, round => round !== undefined)
  }

  /** The round of a number, where this worker has read it before. */
  peekNumber(number: number): Round | undefined {
    const id = this.#byNumber.get(number)
    return id === undefined ? undefined : this.#rounds.get(id)
  }

  /** The round that a voucher code's number names. */
  async ofNumber(number: number): Promise<Round | undefined> {
    const id = this.#byNumber.get(number) ?? (await this.#options.store.rounds.roundIdOf(number))
    return id ? this.get(id) : undefined
  }

  /** Reads a round's notice anew and returns the round. */
  async refresh(roundId: string): Promise<Round | undefined> {
    const claims = await this.get(roundId)
    if (!claims) return undefined
    const read = await this.#options.store.rounds.read(roundId)
    if (!read) throw this.#lost(roundId)
    const door = this.#doorOf(claims.view.config)
    const isElsewhere = read.binding === 'elsewhere'
    // A read may come from a server that is no longer the primary: it is news, and confirms nothing. Of one that the round is
    // not bound to it is no news: what is given back there has versions of the epoch that others saw in its old life.
    if (!isElsewhere) this.#take(claims, read.notice)
    else if (door?.settled) door.look().catch(this.#options.failed)
    if (read.notice.epoch !== claims.view.notice.epoch && !door) await this.#epochs.look(claims)
    return claims
  }

  /**
   * Takes in what a change of this worker's own brought. It is news and confirms no refusal: of a change that was refused
   * because the clock has closed the round nothing is written, and a server whose clock is behind opens it again.
   */
  take(roundId: string, notice: Notice): void {
    const claims = this.#rounds.get(roundId)
    if (claims) this.#take(claims, notice)
  }

  /** Resolves when a round that a change opened again is held shut no longer; throws the Fault that kept it so. */
  reopened(roundId: string): Promise<void> {
    return this.#holds.over(roundId)
  }

  /** At the level fenced: the epoch that a recovery found. */
  adopt(roundId: string, notice: Notice): void {
    const view = this.#rounds.get(roundId)?.view
    if (!view) return
    if (view.adopt(notice)) this.#options.changed(view)
    this.#holds.heard(roundId, notice)
  }

  /** A connection is up again: Redis may be another server, or the same one with less than this worker was shown. */
  renewed(): void {
    this.#renewals++
    this.#unknown.clear()
    void this.#options.fence?.look()
    for (const claims of this.#rounds.values())
      if (!this.#doorOf(claims.view.config)) this.#epochs.look(claims).catch(this.#options.failed)
  }

  tick(): void {
    const now = this.#options.clock.monotonicMs()
    const redisNow = this.serverTimeMs()
    for (const claims of this.#rounds.values()) {
      claims.sweep(now)
      const { state, opensAt, closesAt } = claims.view.notice
      const opens = state === 'scheduled' && opensAt > 0 && redisNow >= opensAt
      const closes = CAN_CLOSE.includes(state) && closesAt > 0 && redisNow >= closesAt
      if (opens || closes) this.refresh(claims.view.id).catch(this.#options.failed)
    }
  }

  close(): void {
    this.#stopListening()
  }

  /** Reads a round for the first time; an id that nothing had a moment ago has to wait, and whoever asks for it. */
  async #find(roundId: string): Promise<Round | undefined> {
    const { store, clock } = this.#options
    const waitMs = (this.#unknown.get(roundId) ?? -Infinity) + UNKNOWN_MS - clock.monotonicMs()
    if (waitMs > 0) await new Promise<void>(resolve => clock.after(waitMs, resolve))
    const askedAt = clock.monotonicMs()
    const renewals = this.#renewals
    // What the index knows has a state, or it has come between the two.
    const known = async () => ((await store.rounds.isKnown(roundId)) ? store.rounds.read(roundId) : null)
    const read = (await store.rounds.read(roundId)) ?? (await known())
    if (read) return this.#open(roundId, read, renewals)
    if (read === undefined) throw this.#lost(roundId)
    if (this.#unknown.size >= UNKNOWN_KEPT) this.#unknown.clear()
    this.#unknown.set(roundId, askedAt)
    return undefined
  }

  #lost(roundId: string): Fault {
    this.damaged.found(roundId, 'its state in Redis is missing')
    return lostRound(roundId)
  }

  async #open(roundId: string, read: RoundRead, renewals: number): Promise<Round> {
    const { store, clock, random, secret } = this.#options
    const config = JSON.parse(read.config) as RoundConfig
    const seed = random.bytes(4).readInt32LE(0)
    const door = this.#doorOf(config)
    if (read.binding === 'elsewhere')
      throw new Fault('fenced', `round ${roundId}: its state is made certain behind a fail-over; ask again`)
    const settled = door ? undefined : await this.#epochs.settle(roundId)
    const view = new RoundView({
      config,
      notice: settled ?? read.notice,
      confirmedAt: Number.NEGATIVE_INFINITY,
      secret,
      store: door ?? store.claims,
      seed,
      isSure: door && (notice => door.isSure(notice)),
    })
    const claims = this.#claims(view, door)
    await claims.load()
    this.#rounds.set(roundId, claims)
    if (door?.adopted) view.adopt(door.adopted)
    this.#byNumber.set(config.number, roundId)
    this.#holds.heard(roundId, view.notice)
    this.#redisAheadMs = read.notice.at - clock.wallMs()
    if (renewals !== this.#renewals && !door) await this.#epochs.look(claims)
    return claims
  }

  /** At the level fenced: the way of a round's claims to Redis. */
  #doorOf({ id, allocation }: RoundConfig): FencedRound | undefined {
    return allocation.mode === 'fcfs' && !allocation.strict ? this.#options.fence?.of(id) : undefined
  }

  #claims(view: RoundView, door: FencedRound | undefined): Round {
    const { store, clock, batchClaims, batchesInFlight, fence, healthGate, decided, refused, failed, changed } =
      this.#options
    const common = {
      view,
      store: door ?? store.claims,
      clock,
      batchClaims,
      batchesInFlight,
      load: this.#load,
      gate: (claims: number) => {
        if (this.#load.unanswered + claims > CLAIMS_WAITING_MAX) return 'overloaded'
        if (this.damagedCampaigns.isFenced(view.config.campaign_id)) return 'fenced'
        return healthGate() ?? (fence && !door ? 'fenced' : door?.gate())
      },
      decided: (decision: Decision, count: number, seconds: number) => {
        this.#redisAheadMs = decision.notice.at - clock.wallMs()
        decided(decision, count, seconds)
        changed(view)
        this.#holds.heard(view.id, decision.notice)
      },
      refused,
      failed: (fault: unknown) => {
        // At the level fenced that is what a fail-over looks like.
        if (!door && fault instanceof Fault && fault.code === 'fenced') this.damaged.found(view.id, fault.message)
        failed(fault)
      },
      arrived: this.#options.arrived,
      // What is read again of a round that is not settled goes into the journal again, too.
      mayRest: () => door === undefined || door.settled,
    }
    const renew = door ? undefined : () => this.#epochs.look(claims)
    const claims = new Round({ ...common, renew, entries: this.#entries(view, common), order: this.#order(view) })
    return claims
  }

  /** What orders the claims of a strict round. */
  #order({ id, config: { allocation } }: RoundView): Order | undefined {
    if (allocation.mode !== 'fcfs' || !allocation.strict) return undefined
    return { store: this.#options.store.allotments, worker: this.#worker, secret: this.secretsOf(id).ties }
  }

  /** Who decides the claims of a drawn round. */
  #entries(view: RoundView, common: Pick<RoundOptions, 'gate' | 'decided'>): Entries | undefined {
    if (view.config.allocation.mode === 'fcfs') return undefined
    const { store, clock, batchClaims, batchesInFlight, drawn, failed } = this.#options
    return new Entries({
      ...common,
      view,
      store,
      clock,
      batchClaims,
      batchesInFlight,
      secrets: this.secretsOf(view.id),
      key: this.signingKey,
      pressure: () => this.#load.unanswered / CLAIMS_WAITING_MAX,
      failed,
      drawn,
    })
  }

  #take(claims: Round, notice: Notice): void {
    if (claims.view.take(notice)) this.#options.changed(claims.view)
    claims.entries?.noticed()
    this.#holds.heard(claims.view.id, notice)
  }

  #noticed(roundId: string, notice: Notice): void {
    const claims = this.#rounds.get(roundId)
    if (!claims) return
    const door = this.#doorOf(claims.view.config)
    const isOther = notice.epoch !== claims.view.notice.epoch
    if (isOther && !door) return void this.#epochs.heard(claims, notice.epoch).catch(this.#options.failed)
    this.#take(claims, notice)
    // Nothing else looks at a round that is over and copied.
    if (isOther && door?.settled) door.look().catch(this.#options.failed)
  }

  /** What the server that this worker is linked to has of a round, in its epoch or in another history's. */
  #found(claims: Round, notice: Notice): void {
    const { view } = claims
    this.#byNumber.set(view.config.number, view.id)
    if (notice.epoch === view.notice.epoch) return this.#take(claims, notice)
    claims.startAgain(notice).catch(this.#options.failed)
    this.#options.changed(view)
    this.#holds.heard(view.id, notice)
  }

  /**
   * Redis has no state of a round that it had. What was lost with others still there is gone: nobody else knows of it, and
   * its number may be another's. A Redis that knows no round at all has forgotten them, and may be given them back.
   */
  async #gone(claims: Round): Promise<void> {
    const { id, config } = claims.view
    const { rounds } = this.#options.store
    claims.rest()
    if (this.#byNumber.get(config.number) === id) this.#byNumber.delete(config.number)
    if (!(await rounds.isKnown(id)) && (await rounds.count()) > 0) this.#rounds.delete(id)
  }

  #readAllAgain(): void {
    for (const claims of this.#rounds.values()) {
      const read = this.#doorOf(claims.view.config) ? this.refresh(claims.view.id) : this.#epochs.look(claims)
      read.catch(this.#options.failed)
    }
  }
}
