/**
 * One round at the level fenced, in one worker: the claims' way to Redis, with what keeps a fail-over from selling twice.
 *
 *   claim    joined? → script (epoch, server, reserve) → refusals copied? → journal → answer
 *   raise    note `pending` on all replicas → lift `reserve`; ahead of need, so that claims do not wait for it
 *   recover  what answers is not the server that the round is bound to: leave the epoch, give the journal back, bind
 *            under a new epoch, join it
 *
 * Between leaving an epoch and joining the next nothing of the old one is answered to anybody, whatever still arrives: what
 * was answered before is in the journal, in front of the mark of leaving, and the journal is read behind that mark. So an
 * engine that said "this was all" never adds to it. A batch that meets the end of the reserve, or another server, is
 * asked again, identical, until its deadline. All steps may be repeated by anybody: there is no lock and no leader.
 *
 * Store, journal, clock and random are arguments; what the steps decide is decided by the scripts.
 */
import { Fault } from '../../base/assert.ts'
import { type Clock, resolvesBy } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import { ANSWER_DEADLINE_MS, RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX, REFUSAL_WAIT_MS } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { type ClaimStore, type Decision, type LogBatch, sureOf } from '../../store/data/claim-store.ts'
import type { FenceStore, KnownGrant, Standing } from '../../store/data/fence-store.ts'
import { type Notice, remainingOf } from '../../store/data/notice.ts'
import type { RoundFence } from '../round/fence.ts'
import { giveBack, lateOf, lostOf } from './give-back.ts'
import type { Journal, JournalHead } from './journal.ts'
import type { Journaled } from './journal-record.ts'
import { KeptRanges } from './kept-ranges.ts'
import { refuses, SureRefusals, unsure } from './sure-refusals.ts'

export type FenceEvent =
  | { readonly kind: 'left'; readonly roundId: string; readonly epoch: string }
  | { readonly kind: 'bound'; readonly roundId: string; readonly notice: Notice; readonly missing: number }
  | { readonly kind: 'restored'; readonly roundId: string; readonly grants: number; readonly conflicts: number }
  | { readonly kind: 'joined'; readonly roundId: string; readonly epoch: string; readonly afterMs: number }

export interface FencedOptions {
  /** This engine's id: lower case letters, digits and underscores; new when its journal is. */
  readonly engine: string
  readonly claims: Pick<ClaimStore, 'decide' | 'batchOf' | 'batches'>
  readonly fence: Pick<FenceStore, 'read' | 'note' | 'lift' | 'restore' | 'bind' | 'signOff'>
  readonly journal: Journal
  readonly clock: Clock
  readonly random: Random
  /** Grants ahead of the last one that are reserved in one go; at least a batch. */
  readonly chunk: number
  /** How long a recovery waits for engines that have not reported what they know. */
  readonly patienceMs: number
  /** Receives each notice that a recovery brings. */
  readonly adopted: (roundId: string, notice: Notice) => void
  readonly reported: (event: FenceEvent) => void
  readonly failed: (fault: unknown) => void
}

/** One batch, from its first asking to its answer. */
interface Asking {
  /** Monotonic ms. */
  readonly deadline: number
  /** It may have been executed without an answer: in an epoch that was left meanwhile, or by a copy on an earlier connection. */
  doubt: boolean
  /** The epoch in which the script refused it. When that one is joined again, it is no fail-over that stands in the way. */
  refusedIn?: string
  /** The scopes of its claims. */
  readonly vias?: Buffer | undefined
}

/** How long an ending engine waits for replicas that may be away, milliseconds. */
const SIGN_OFF_MS = 500

/** Log batches that are kept in the journal together before they are answered. */
const READ_TOGETHER = 64

export class FencedRound implements RoundFence {
  readonly roundId: string
  readonly #options: FencedOptions
  readonly #refusals = new SureRefusals(epoch => this.#options.fence.note(this.#standing(epoch), 0))
  readonly #kept = new KeptRanges()
  #head: JournalHead | undefined
  /** The epoch that this engine may claim in; undefined while it may not. */
  #epoch: string | undefined
  #reserve = 0
  #raising: Promise<void> | undefined
  #recovering: Promise<void> | undefined
  /** Monotonic ms since when it is known that nothing can be granted. */
  #fencedAt: number | undefined
  #reportedAt = ''
  /** The epoch that was joined last. */
  #joined = ''
  #adopted: Notice | undefined
  #closed = false
  #settled = false

  constructor(roundId: string, options: FencedOptions) {
    this.roundId = roundId
    this.#options = options
  }

  /** The code that refuses every claim now, or undefined. */
  gate(): Code | undefined {
    return this.#fencedAt === undefined ? undefined : 'fenced'
  }

  /** The last notice that a recovery brought, of the epoch that is claimed in or joined next. */
  get adopted(): Notice | undefined {
    return this.#adopted
  }

  /** Whether what this notice refuses may be refused without asking: no fail-over takes it back. */
  isSure(notice: Notice): boolean {
    return this.#refusals.has(notice)
  }

  /** Decides a batch in the epoch that this engine has joined, whatever the caller believes. */
  async claim(_roundId: string, _epoch: string, holders: Buffer, pools: Buffer, vias?: Buffer): Promise<Decision> {
    const asking: Asking = { deadline: this.#options.clock.monotonicMs() + ANSWER_DEADLINE_MS, doubt: false, vias }
    for (;;) {
      const epoch = this.#epoch ?? (await this.#ready(asking))
      const decision = await this.#decide(epoch, asking, holders, pools)
      if (decision) return sureOf(asking.doubt ? { ...decision, again: true } : decision)
      if (this.#options.clock.monotonicMs() >= asking.deadline) throw this.#tooLate(asking)
    }
  }

  /** The moment that a holder is about to get is kept with their grant: who only asked again would know a later one. */
  async batchOf(roundId: string, sequence: number): Promise<LogBatch | undefined> {
    const epoch = this.#epoch
    const batch = await this.#options.claims.batchOf(roundId, sequence)
    if (batch) await this.#keepRead(epoch, [only(batch, sequence)])
    return batch
  }

  /** The log's grants: other engines made them, so they are kept in this journal too before anybody gets them. */
  async *batches(roundId: string, fromSequence: number): AsyncGenerator<LogBatch> {
    const deadline = this.#options.clock.monotonicMs() + ANSWER_DEADLINE_MS
    const epoch = this.#epoch ?? (await this.#ready({ deadline, doubt: false }))
    let together: LogBatch[] = []
    for await (const batch of this.#options.claims.batches(roundId, fromSequence)) {
      if (together.push(batch) < READ_TOGETHER) continue
      await this.#keepListed(epoch, together)
      yield* together
      together = []
    }
    await this.#keepListed(epoch, together)
    yield* together
  }

  /** Whether it is over and on every replica: nothing more has to be kept, and nothing is gained by looking. */
  get settled(): boolean {
    return this.#settled && this.#epoch !== undefined
  }

  /** Looks whether the round is still granted from where it was; recovers when it is not. Harmless at any time. */
  async look(): Promise<void> {
    const { fence, journal } = this.#options
    if (this.#recovering || this.#closed) return
    const read = await fence.read(this.roundId)
    if (read?.binding !== 'here' || read.notice.epoch !== this.#epoch) return void this.recover()
    if (read.notice.state === 'closed' && !this.#settled) {
      // All replicas of the very server that the round is bound to have it; another one's would say nothing of it.
      await fence.note(this.#standing(read.notice.epoch), 0)
      this.#settled = true
      if (this.#head?.full) this.#head = await journal.clear(this.roundId, read.notice.epoch)
    } else if (this.#fencedAt !== undefined || this.#isLow(read.notice)) await this.#raise(read.notice.epoch)
  }

  /** Resolves when this engine may claim again. */
  recover(): Promise<void> {
    this.#epoch = undefined
    this.#recovering ??= this.#recover().finally(() => {
      this.#recovering = undefined
    })
    return this.#recovering
  }

  close(): void {
    this.#closed = true
  }

  /** Ends it in order: when all replicas have what this engine answered, no recovery need wait for its journal. */
  async signOff(): Promise<void> {
    const { fence, clock, failed } = this.#options
    const epoch = this.#epoch
    this.close()
    this.#epoch = undefined
    if (epoch === undefined) return
    const signed = fence.note(this.#standing(epoch), 0).then(() => fence.signOff(this.#standing(epoch)))
    signed.catch(failed)
    await resolvesBy(clock, signed, clock.monotonicMs() + SIGN_OFF_MS)
  }

  async #decide(epoch: string, asking: Asking, holders: Buffer, pools: Buffer): Promise<Decision | undefined> {
    const { claims, engine, journal } = this.#options
    const decision = await claims.decide(this.roundId, epoch, holders, pools, engine, asking.vias).catch(cause => {
      if (!(cause instanceof Fault && cause.code === 'fenced')) {
        this.look().catch(this.#options.failed)
        throw cause
      }
      if (epoch === asking.refusedIn) throw this.#stopped(asking)
      asking.refusedIn = epoch
      if (epoch === this.#epoch) void this.recover()
      return null
    })
    // Of an epoch that was left meanwhile nothing is answered any more.
    const isOver = () => epoch !== this.#epoch
    asking.doubt ||= (decision?.again ?? false) || (decision?.notice !== undefined && isOver())
    if (decision === null || isOver()) return undefined
    if (!decision.notice) {
      await this.#raiseBy(epoch, asking)
      return undefined
    }
    this.#reserve = Math.max(this.#reserve, decision.reserve ?? 0)
    if (this.#isLow(decision.notice)) this.#raise(epoch).catch(this.#options.failed)
    const sure =
      !refuses(decision) || this.isSure(decision.notice) || (await this.#sureOf(decision.notice, asking.deadline))
    if (isOver()) {
      asking.doubt = true
      return undefined
    }
    if (!this.#settled) await journal.keep(this.roundId, this.#head as JournalHead, decision)
    return sure ? decision : unsure(decision)
  }

  /** Whether all replicas have what a refusal rests on, within the time that a refusal may wait for that. */
  #sureOf(notice: Notice, deadline: number): Promise<boolean> {
    const { clock } = this.#options
    return resolvesBy(clock, this.#refusals.ask(notice), Math.min(deadline, clock.monotonicMs() + REFUSAL_WAIT_MS))
  }

  #isLow(notice: Notice): boolean {
    const ahead = this.#reserve - notice.sequence
    return ahead < this.#options.chunk / 2 && ahead < remainingOf(notice)
  }

  /** Waits for this engine to join an epoch. */
  async #ready(asking: Asking): Promise<string> {
    await resolvesBy(this.#options.clock, this.recover(), asking.deadline)
    if (this.#epoch !== undefined) return this.#epoch
    throw this.#tooLate(asking)
  }

  #tooLate({ doubt }: Asking): Fault {
    const why = 'its state is made certain, or how far it may grant is not on all replicas'
    return new Fault(doubt ? 'unknown' : 'fenced', `round ${this.roundId}: ${why}`)
  }

  async #raiseBy(epoch: string, asking: Asking): Promise<void> {
    const raised = await resolvesBy(this.#options.clock, this.#raise(epoch), asking.deadline)
    if (!raised) throw this.#stopped(asking)
  }

  /** Refuses all claims until a look finds that they may go on. */
  #stopped(asking: Asking): Fault {
    this.#fencedAt ??= this.#options.clock.monotonicMs()
    return this.#tooLate(asking)
  }

  #raise(epoch: string): Promise<void> {
    this.#raising ??= this.#reserveMore(epoch).finally(() => {
      this.#raising = undefined
    })
    return this.#raising
  }

  async #reserveMore(epoch: string): Promise<void> {
    const { fence, chunk } = this.#options
    const standing = this.#standing(epoch)
    try {
      const noted = await fence.note(standing, chunk)
      this.#reserve = await fence.lift(standing, noted)
      if (epoch === this.#epoch) this.#fencedAt = undefined
    } catch (cause) {
      if (cause instanceof Fault && cause.code === 'fenced' && epoch === this.#epoch) void this.recover()
      throw cause
    }
  }

  async #recover(): Promise<void> {
    const { clock, failed } = this.#options
    const from = clock.monotonicMs()
    let said = ''
    for (let tries = 1; !this.#closed; tries++) {
      try {
        const joined = await this.#step()
        if (joined !== undefined) {
          const afterMs = clock.monotonicMs() - from
          if (joined !== this.#joined)
            this.#options.reported({ kind: 'joined', roundId: this.roundId, epoch: joined, afterMs })
          this.#joined = joined
          return
        }
      } catch (cause) {
        this.#fencedAt ??= clock.monotonicMs()
        if (String(cause) !== said) failed(cause)
        said = String(cause)
      }
      const pauseMs = Math.min(RECOVERY_RETRY_MS_MAX, RECOVERY_RETRY_MS * (1 + tries / 20))
      await new Promise<void>(resume => void clock.after(pauseMs, resume))
    }
  }

  /** One step of a recovery, from whatever is found. Resolves with the epoch that was joined, or undefined. */
  async #step(): Promise<string | undefined> {
    const { fence, journal, clock } = this.#options
    this.#head = await journal.open(this.roundId)
    const read = await fence.read(this.roundId)
    if (!read) {
      this.#fencedAt ??= clock.monotonicMs()
      return undefined
    }
    const { notice, binding, server } = read
    if (binding !== 'here' || this.#head.left.has(notice.epoch)) {
      this.#fencedAt ??= clock.monotonicMs()
      await this.#bind(notice, server)
      return undefined
    }
    this.#adopt(notice)
    if (notice.aside?.some(({ released }) => !released)) await this.#comeLate(notice, server)
    await journal.mark(this.roundId, 'joined', notice.epoch)
    await this.#reserveMore(notice.epoch)
    this.#kept.clear()
    this.#epoch = notice.epoch
    this.#fencedAt = undefined
    return notice.epoch
  }

  /** Leaves the epoch, gives back what was lost of it, and asks for the next one. */
  async #bind(notice: Notice, server: string): Promise<void> {
    const { fence, journal, random, patienceMs, reported } = this.#options
    const { epoch } = notice
    if (this.#reportedAt !== `${server} ${epoch} ${notice.version}`) {
      await journal.mark(this.roundId, 'left', epoch)
      reported({ kind: 'left', roundId: this.roundId, epoch })
      const read = await journal.read(this.roundId)
      const version = await this.#giveBack({ ...this.#standing(epoch), server }, { grants: lostOf(read, notice), read })
      this.#reportedAt = `${server} ${epoch} ${version}`
    }
    const next = random.bytes(8).toString('hex')
    const bound = await fence.bind({ ...this.#standing(epoch), server }, next, patienceMs)
    if (bound.code === 'unavailable') return
    if (bound.code === 'granted')
      reported({ kind: 'bound', roundId: this.roundId, notice: bound.notice, missing: bound.missing })
    this.#adopt(bound.notice)
  }

  #adopt(notice: Notice): void {
    this.#adopted = notice
    this.#options.adopted(this.roundId, notice)
  }

  /** Gives back what is quarantined and in this journal: of a fail-over that did not wait for this engine. */
  async #comeLate(notice: Notice, server: string): Promise<void> {
    const read = await this.#options.journal.read(this.roundId)
    await this.#giveBack({ ...this.#standing(notice.epoch), server }, { grants: lateOf(read, notice), read })
  }

  /** Resolves with the version of the round behind it. */
  async #giveBack(...given: [Standing, { grants: readonly KnownGrant[]; read: Journaled }]): Promise<number> {
    const { restored, conflicts, version } = await giveBack(this.#options.fence, ...given)
    if (restored + conflicts > 0)
      this.#options.reported({ kind: 'restored', roundId: this.roundId, grants: restored, conflicts })
    return version
  }

  /** Keeps what a list will name, which may be asked for again and again. */
  async #keepListed(epoch: string | undefined, batches: readonly LogBatch[]): Promise<void> {
    const lastOf = ({ firstSequence, holders }: LogBatch) => firstSequence + holders.length - 1
    const fresh = batches.filter(batch => !this.#kept.has(batch.firstSequence, lastOf(batch)))
    await this.#keepRead(epoch, fresh)
    if (epoch === this.#epoch) for (const batch of fresh) this.#kept.add(batch.firstSequence, lastOf(batch))
  }

  async #keepRead(epoch: string | undefined, batches: readonly LogBatch[]): Promise<void> {
    if (this.#settled) return
    if (epoch === undefined || epoch !== this.#epoch)
      throw new Fault('fenced', `round ${this.roundId}: its epoch ended while its log was read`)
    const head = this.#head as JournalHead
    const kept = batches.map(({ firstSequence, at, holders, poolOf }) => {
      const grants = holders.map((holder, i) => ({ sequence: firstSequence + i, pool: poolOf(i), at, holder }))
      return this.#options.journal.keepRead(this.roundId, head, epoch, grants)
    })
    await Promise.all(kept)
  }

  #standing(epoch: string): Standing {
    return { roundId: this.roundId, epoch, engine: this.#options.engine }
  }
}

const only = ({ firstSequence, at, holders, poolOf }: LogBatch, sequence: number): LogBatch => {
  const place = sequence - firstSequence
  return { firstSequence: sequence, at, holders: holders.slice(place, place + 1), poolOf: () => poolOf(place) }
}
