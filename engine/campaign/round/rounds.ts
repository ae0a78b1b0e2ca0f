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
import type { Notice, StoredState } from '../../store/data/notice.ts'
import { lostRound, type RoundRead } from '../../store/data/round-store.ts'
import type { Store } from '../../store/store.ts'
import { DamagedCampaigns, DamagedRounds } from './damaged-rounds.ts'
import type { Fence, RoundFence } from './fence.ts'
import { LoadedRounds } from './loaded-rounds.ts'
import { ResumeHolds } from './resume-holds.ts'
import { type MakeDecider, Round, type RoundEvents } from './round.ts'
import { isDrawn, isFencible, type RoundConfig } from './round-config.ts'
import { RoundEpochs } from './round-epochs.ts'
import { RoundView } from './round-view.ts'

export interface RoundsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly secret: Buffer
  /** What drawn rounds derive from. */
  readonly drawSecret: Buffer
  /** `fenced` while the server does not give the durability that was promised. */
  readonly healthGate: () => Code | undefined
  readonly deciders: MakeDecider
  /** At the level fenced: what stands between a round's claims and Redis. */
  readonly fence?: Fence | undefined
  readonly events: RoundEvents
  /** Whether somebody here watches a round, and has to see what becomes of it; nobody does where it is left out. */
  readonly watched?: (roundId: string) => boolean
}

/** Unknown ids that are remembered, so that one that is asked for again and again is read at most once in UNKNOWN_MS. */
const UNKNOWN_KEPT = 1000
const UNKNOWN_MS = 50

/** What keeps a round from being read that is bound to another server's history. */
const UNCERTAIN = 'its state is made certain behind a fail-over; ask again'
const OTHER_LEVEL =
  'it is of the level fenced and its server was changed or started again; nodes of that level go on with it'

/** States that the round's end turns. */
const CAN_CLOSE: readonly StoredState[] = ['scheduled', 'open', 'paused']

export class Rounds {
  readonly #options: RoundsOptions
  readonly #rounds = new LoadedRounds()
  readonly #loads = new JoinedReads<Round | undefined>()
  readonly #unknown = new Map<string, number>()
  readonly #holds: ResumeHolds
  readonly #epochs: RoundEpochs
  readonly #stopListening: () => void
  readonly #secrets = new Map<string, RoundSecrets>()
  readonly #load = { unanswered: 0 }
  readonly #deciderEvents: RoundEvents
  #renewals = 0
  #redisAheadMs = 0
  /** On a cluster, by round: its shard has a clock of its own. */
  readonly #aheadMs: Map<string, number> | undefined
  readonly damaged: DamagedRounds
  readonly damagedCampaigns: DamagedCampaigns
  /** Signs receipts and commitments of all rounds. */
  readonly signingKey: SigningKey

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#aheadMs = options.store.isStopped && new Map()
    this.signingKey = signingKeyOf(signingSeed(options.drawSecret))
    const { store, clock, events } = options
    const failed = (fault: unknown) => events.failed(fault)
    const uncovered = (id: string) => this.#isUncovered(this.#rounds.get(id)?.view)
    this.damaged = new DamagedRounds(store.roundChecks, uncovered, store.isStopped !== undefined)
    this.damagedCampaigns = new DamagedCampaigns(store.campaignChecks)
    this.#holds = new ResumeHolds({
      ...{ rounds: store.rounds, clock, failed },
      ended: (id, notice) => this.take(id, notice),
    })
    this.#epochs = new RoundEpochs({
      ...{ store: store.histories, random: options.random },
      found: (round, notice) => this.#found(round, notice),
      gone: round => this.#gone(round),
      begun: (id, notice) => events.begun(id, notice),
    })
    this.#deciderEvents = this.#eventsOf(events)
    this.#stopListening = store.listen({
      received: (roundId, notice) => this.#received(roundId, notice),
      awaited: (roundId, stamp) => this.#rounds.get(roundId)?.decider.awaited(stamp),
      gap: roundId => this.#readAgain(roundId),
    })
    store.onRenewed(() => this.#renewed())
  }

  /** Milliseconds since 1970 by Redis's clock, as far as this worker can tell; on a cluster by that of a round's own shard. */
  serverTimeMs(roundId?: string): number {
    const own = roundId === undefined ? undefined : this.#aheadMs?.get(roundId)
    return this.#options.clock.wallMs() + (own ?? this.#redisAheadMs)
  }

  /** A check of the server read its clock. */
  measured(redisMs: number): void {
    this.#redisAheadMs = redisMs - this.#options.clock.wallMs()
  }

  /** A script of a round said the time. */
  #learnTime(roundId: string, at: number): void {
    const aheadMs = at - this.#options.clock.wallMs()
    if (this.#aheadMs) this.#aheadMs.set(roundId, aheadMs)
    else this.#redisAheadMs = aheadMs
  }

  /** Claims without an answer, over all rounds. */
  get unanswered(): number {
    return this.#load.unanswered
  }

  /** What is derived for a drawn round, once: who needs it has more derived from it. */
  secretsOf(roundId: string): RoundSecrets {
    const secrets = this.#secrets.get(roundId) ?? new RoundSecrets(this.#options.drawSecret, roundId)
    this.#secrets.set(roundId, secrets)
    return secrets
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
    return this.#rounds.ofNumber(number)
  }

  /** The round that a voucher code's number names. */
  async ofNumber(number: number): Promise<Round | undefined> {
    const known = this.#rounds.ofNumber(number)
    if (known) return known
    const id = await this.#options.store.rounds.roundIdOf(number)
    return id ? this.get(id) : undefined
  }

  /** Reads a round's notice anew and returns the round. */
  async refresh(roundId: string): Promise<Round | undefined> {
    const round = await this.get(roundId)
    if (!round) return undefined
    const read = await this.#options.store.rounds.read(roundId)
    if (!read) throw this.#lost(roundId)
    const fenced = this.#fenceOf(round.view.config)
    const isElsewhere = read.binding === 'elsewhere'
    // A read may come from a server that is no longer the primary: it is news, and confirms nothing. Of one that the round is
    // not bound to it is no news: what is given back there has versions of the epoch that others saw in its old life.
    if (!isElsewhere) this.#take(round, read.notice)
    else if (fenced?.settled) fenced.look().catch(this.#failed)
    if (read.notice.epoch !== round.view.notice.epoch && !fenced) await this.#epochs.look(round)
    return round
  }

  /**
   * Takes in what a change of this worker's own brought. It is news and confirms no refusal: of a change that was refused
   * because the clock has closed the round nothing is written, and a server whose clock is behind opens it again.
   */
  take(roundId: string, notice: Notice): void {
    const round = this.#rounds.get(roundId)
    if (round) this.#take(round, notice)
  }

  /** Resolves when a round that a change opened again is held shut no longer; throws the Fault that kept it so. */
  reopened(roundId: string): Promise<void> {
    return this.#holds.over(roundId)
  }

  /** At the level fenced: the epoch that a recovery found. */
  adopt(roundId: string, notice: Notice): void {
    const view = this.#rounds.get(roundId)?.view
    if (!view) return
    if (view.adopt(notice)) this.#options.events.changed(view)
    this.#holds.received(roundId, notice)
  }

  /** A connection is up again: Redis may be another server, or the same one with less than this worker was shown. */
  #renewed(): void {
    this.#renewals++
    this.#unknown.clear()
    void this.#options.fence?.look()
    for (const round of this.#rounds.values())
      if (!this.#fenceOf(round.view.config)) this.#epochs.look(round).catch(this.#failed)
  }

  tick(): void {
    const now = this.#options.clock.monotonicMs()
    for (const round of this.#rounds.values()) {
      round.sweep(now)
      const redisNow = this.serverTimeMs(round.view.id)
      const { state, opensAt, closesAt } = round.view.notice
      const opens = state === 'scheduled' && opensAt > 0 && redisNow >= opensAt
      const closes = CAN_CLOSE.includes(state) && closesAt > 0 && redisNow >= closesAt
      if (opens || closes) this.refresh(round.view.id).catch(this.#failed)
    }
  }

  /** Forgets the oldest rounds that are over; whoever asks for one reads it again. */
  letGo(): void {
    for (const { view } of this.#rounds.letGo(this.#isOver)) {
      this.#secrets.delete(view.id)
      this.#aheadMs?.delete(view.id)
      this.#options.store.unfollow(view.id)
    }
  }

  /** Whether it was not claimed from for long, and nothing of it moves here any more. At fenced its journal may, so it is kept. */
  readonly #isOver = ({ isResting, view: { id, config, notice }, decider }: Round): boolean => {
    if (!isResting || notice.state !== 'closed') return false
    if (isDrawn(config) && decider.draw?.phase !== 'done') return false
    return !this.#fenceOf(config) && !this.#options.watched?.(id)
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
    const { store, random, secret } = this.#options
    const config = JSON.parse(read.config) as RoundConfig
    const seed = random.bytes(4).readInt32LE(0)
    const fenced = this.#fenceOf(config)
    if (read.binding === 'elsewhere')
      throw new Fault('fenced', `round ${roundId}: ${this.#options.fence ? UNCERTAIN : OTHER_LEVEL}`)
    const settled = fenced ? undefined : await this.#epochs.settle(roundId)
    const view = new RoundView({
      config,
      notice: settled ?? read.notice,
      confirmedAt: Number.NEGATIVE_INFINITY,
      secret,
      store: fenced ?? store.claims,
      seed,
      isSure: fenced && (notice => fenced.isSure(notice)),
    })
    const round = this.#roundOf(view, fenced)
    await round.decider.load()
    this.#rounds.add(round)
    store.follow(roundId)
    if (fenced?.adopted) view.adopt(fenced.adopted)
    this.#holds.received(roundId, view.notice)
    this.#learnTime(roundId, read.notice.at)
    if (renewals !== this.#renewals && !fenced) await this.#epochs.look(round)
    return round
  }

  /** At the level fenced: the way of a round's claims to Redis. */
  #fenceOf(config: RoundConfig): RoundFence | undefined {
    return isFencible(config) ? this.#options.fence?.of(config.id) : undefined
  }

  /** Whether nodes of the level fenced refuse its claims, because that level does not cover its allocation. */
  #isUncovered(view: RoundView | undefined): boolean {
    return this.#options.fence !== undefined && !!view && !isFencible(view.config) && view.notice.state !== 'closed'
  }

  #roundOf(view: RoundView, fenced: RoundFence | undefined): Round {
    const { store, clock, healthGate, fence, deciders } = this.#options
    const { isStopped } = store
    const gate = () => {
      if (this.#load.unanswered > CLAIMS_WAITING_MAX) return 'overloaded'
      if (this.damagedCampaigns.isFenced(view.config.campaign_id)) return 'fenced'
      if (isStopped?.(view.id)) return 'fenced'
      return healthGate() ?? (fence && !fenced ? 'fenced' : fenced?.gate())
    }
    const round = new Round({
      ...{ view, clock, store: fenced ?? store.claims, load: this.#load },
      // What is read again of a round that is not settled goes into the journal again, too.
      mayRest: () => fenced === undefined || fenced.settled,
      decider: round =>
        deciders({
          ...{ view, round, gate, store: fenced ?? store.claims, events: this.#deciderEvents },
          pressure: () => this.#load.unanswered / CLAIMS_WAITING_MAX,
          secrets: this.secretsOf(view.id),
          signingKey: this.signingKey,
          renew: fenced ? undefined : () => this.#epochs.look(round),
        }),
    })
    return round
  }

  /** What deciders report is news of their round, before the worker gets it. */
  #eventsOf(events: RoundEvents): RoundEvents {
    return {
      ...events,
      decided: (view, notice, outcomes, seconds) => {
        this.#learnTime(view.id, notice.at)
        events.decided(view, notice, outcomes, seconds)
        events.changed(view)
        this.#holds.received(view.id, notice)
      },
      failed: (fault, view) => {
        // At the level fenced that is what a fail-over looks like.
        if (view && !this.#fenceOf(view.config) && fault instanceof Fault && fault.code === 'fenced')
          this.damaged.refused(view.id, fault.message)
        events.failed(fault)
      },
    }
  }

  readonly #failed = (fault: unknown): void => this.#options.events.failed(fault)

  #take(round: Round, notice: Notice): void {
    if (round.view.take(notice)) this.#options.events.changed(round.view)
    round.decider.changed()
    this.#holds.received(round.view.id, notice)
  }

  #received(roundId: string, notice: Notice): void {
    const round = this.#rounds.get(roundId)
    if (!round) return
    const fenced = this.#fenceOf(round.view.config)
    const isOther = notice.epoch !== round.view.notice.epoch
    if (isOther && !fenced) return void this.#epochs.received(round, notice.epoch).catch(this.#failed)
    this.#take(round, notice)
    // Nothing else looks at a round that is over and copied.
    if (isOther && fenced?.settled) fenced.look().catch(this.#failed)
  }

  /** What the server that this worker is linked to has of a round, in its epoch or in another history's. */
  #found(round: Round, notice: Notice): void {
    const { view } = round
    if (this.#rounds.get(view.id) === round) this.#rounds.add(round)
    if (notice.epoch === view.notice.epoch) return this.#take(round, notice)
    round.startAgain(notice).catch(this.#failed)
    this.#options.events.changed(view)
    this.#holds.received(view.id, notice)
  }

  /**
   * Redis has no state of a round that it had. What was lost with others still there is gone: nobody else knows of it, and
   * its number may be another's. A Redis that knows no round at all has forgotten them, and may be given them back.
   */
  async #gone(round: Round): Promise<void> {
    const { id } = round.view
    const { rounds } = this.#options.store
    round.rest()
    this.#rounds.forgetNumber(round)
    if (!(await rounds.isKnown(id)) && (await rounds.count()) > 0) this.#rounds.delete(round)
    this.#secrets.delete(id)
  }

  /** Events of a round may have been missed; of all of them where none is named. */
  #readAgain(roundId?: string): void {
    const known = roundId === undefined ? undefined : this.#rounds.get(roundId)
    for (const round of known ? [known] : roundId === undefined ? this.#rounds.values() : []) {
      const read = this.#fenceOf(round.view.config) ? this.refresh(round.view.id) : this.#epochs.look(round)
      read.catch(this.#failed)
    }
  }
}
