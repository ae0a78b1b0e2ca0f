/**
 * What one worker knows of one round: its configuration, the newest notice, when that was last confirmed, and who
 * holds a grant once nothing more can be granted. Local refusals (engine/campaign/claim/ordered.ts) rest on it, so its rules are strict:
 *
 * A refusal is *certainly true* when all of this holds.
 *   1. The notice says that nobody can be granted: not open yet, sold out with nothing quarantined, paused or closed.
 *   2. It was confirmed by a reply (an event is none) whose request left at most LEASE_MS ago. After a change that lets
 *      grants resume (open, resume, restock) the script grants nothing for LEASE_MS, and the operator is answered
 *      then. So a refusal on an older notice lies before every grant and before that answer: nobody can tell.
 *   3. The known holders cover every grant up to the notice's sequence, and the key is not among them.
 *   4. At the level fenced: all replicas have what the notice says of that (sure-refusals.ts).
 * Everything else is asked of Redis. A lapsed lease renews itself: the next batch's reply confirms again.
 */
import { VoucherCodes } from '../../auth/voucher-codes.ts'
import type { Code } from '../../base/codes.ts'
import { HOLDERS_KNOWN_MAX, LEASE_MS, QUARANTINE_RETRY_S_MAX } from '../../base/limits.ts'
import type { ClaimStore } from '../../store/data/claim-store.ts'
import { grantedOf, type Notice, type PoolCount, totalOf } from '../../store/data/notice.ts'
import { KnownHolders } from './known-holders.ts'
import { isDrawn, type RoundConfig, type Template, vouchersOf } from './round-config.ts'

/** Sequences that a fail-over set aside and nobody was given back. */
const holesOf = (notice: Notice): number => notice.sequence - grantedOf(notice)

/**
 * The state as everybody may see it. An open round with nothing left is `fenced` while a fail-over's packs are quarantined:
 * they come back to the stock or to their holders, so nobody can tell that it is sold out.
 */
export function endOf({ state, pools }: Pick<Notice, 'state' | 'pools'>): PublicState {
  if (state !== 'open') return state
  let held = 0
  for (const { total, granted, quarantined = 0 } of pools) {
    if (granted + quarantined < total) return 'open'
    held += quarantined
  }
  return held > 0 ? 'fenced' : 'sold_out'
}

export type PublicState = Notice['state'] | 'sold_out' | 'fenced'

export class RoundView {
  readonly config: RoundConfig
  readonly vouchers: readonly Template[]
  readonly codes: VoucherCodes
  readonly #store: Pick<ClaimStore, 'batches'>
  readonly #seed: number
  readonly #isSure: (notice: Notice) => boolean
  #notice: Notice
  #confirmedAt: number
  #holders: KnownHolders
  #covering = false
  #resting = false
  /** When somebody first got `fenced` because what is left is quarantined, by Redis's clock, and in which epoch. */
  #quarantine = { epoch: '', since: 0 }

  constructor(options: {
    config: RoundConfig
    notice: Notice
    confirmedAt: number
    secret: Buffer
    store: Pick<ClaimStore, 'batches'>
    seed: number
    /** At the level fenced: whether a refusal by this notice outlives a fail-over. */
    isSure?: ((notice: Notice) => boolean) | undefined
  }) {
    this.config = options.config
    this.vouchers = vouchersOf(options.config.pack)
    this.codes = new VoucherCodes({
      secret: options.secret,
      roundId: options.config.id,
      roundNumber: options.config.number,
      packVouchers: this.vouchers.length,
    })
    this.#store = options.store
    this.#seed = options.seed
    this.#isSure = options.isSure ?? (() => true)
    this.#notice = options.notice
    this.#holders = this.#fresh()
    this.#confirmedAt = options.confirmedAt
  }

  get id(): string {
    return this.config.id
  }

  get pools(): readonly string[] {
    return this.config.pools
  }

  get notice(): Notice {
    return this.#notice
  }

  get state(): PublicState {
    return endOf(this.#notice)
  }

  /**
   * Takes a notice in; true when it is news. `sentAt` (monotonic ms) is when the request that brought it left, absent
   * for an event: an event is news but confirms nothing. Of another epoch than this view's nothing is taken: events
   * and answers of a server that was given up may come late, and versions of two epochs cannot be compared.
   */
  take(notice: Notice, sentAt?: number): boolean {
    const last = this.#notice
    if (notice.epoch !== last.epoch || notice.version < last.version) return false
    // An event may be ahead of what survives a fail-over: what it changes about refusals a reply has to confirm.
    if (sentAt === undefined && endOf(notice) !== endOf(last)) this.#confirmedAt = Number.NEGATIVE_INFINITY
    const news = notice.version > last.version || notice.state !== last.state
    const newer = notice.version > last.version || notice.at >= last.at
    // A deposed primary whose clock is ahead may have sent a version of its own: a reply confirms only what it says.
    const confirms = newer || endOf(notice) === endOf(last)
    if (sentAt !== undefined && confirms && sentAt > this.#confirmedAt) this.#confirmedAt = sentAt
    if (newer) this.#notice = notice
    // Who was given back what they held is in no batch of this worker's: the log has to be read again.
    if (holesOf(notice) !== holesOf(last)) this.#holders = this.#fresh()
    this.#coverIfShut()
    return news
  }

  /** Goes over to the epoch of another history (fenced-round.ts, round-epochs.ts), whatever its version; true when it is news. */
  adopt(notice: Notice): boolean {
    if (notice.epoch === this.#notice.epoch) return this.take(notice)
    this.#notice = notice
    this.#confirmedAt = Number.NEGATIVE_INFINITY
    this.#holders = this.#fresh()
    this.#coverIfShut()
    return true
  }

  /** Lets go of who holds what until `wake`; Redis knows it, and news do not bring it back. */
  rest(): void {
    this.#resting = true
    this.#holders = this.#fresh()
  }

  /** Somebody asks again. */
  wake(): void {
    this.#resting = false
    this.#coverIfShut()
  }

  /** What this worker knows to be granted. */
  get holders(): KnownHolders {
    return this.#holders
  }

  /** The refusal that is certainly true now for everybody who is not in `holders`, or undefined: then Redis decides. */
  refusal(now: number): Code | undefined {
    if (now - this.#confirmedAt > LEASE_MS || !this.#isShut()) return undefined
    const { state, sequence, opensAt, at } = this.#notice
    if (this.#holders.covered < sequence || !this.#isSure(this.#notice)) return undefined
    // Nothing is left while packs are quarantined, in one pool or another: the script knows in which.
    if (state === 'open') return this.state === 'sold_out' ? 'sold_out' : undefined
    // Redis's clock now is at most what it was when it answered plus all the time since the question left.
    if (state === 'scheduled' && opensAt > 0 && at + (now - this.#confirmedAt) + 1 >= opensAt) return undefined
    if (state === 'drawing' || state === 'drawn') return undefined
    return state === 'scheduled' ? 'not_open' : state
  }

  /**
   * Seconds until asking again for a pool makes sense of which nothing is left but what is quarantined; undefined for any
   * other pool. They grow with the time that people have waited: a silent engine is back within seconds, or after long.
   */
  retryAfterS(pool: number): number | undefined {
    const { epoch, at, pools } = this.#notice
    const { total, granted, quarantined = 0 } = pools[pool] as PoolCount
    if (quarantined === 0 || granted + quarantined < total) return undefined
    if (this.#quarantine.epoch !== epoch) this.#quarantine = { epoch, since: at }
    const waitedS = Math.max(0, at - this.#quarantine.since) / 1000
    return Math.min(QUARANTINE_RETRY_S_MAX, 1 + Math.floor(waitedS / 2))
  }

  #fresh(): KnownHolders {
    return new KnownHolders(Math.max(totalOf(this.#notice), this.#notice.sequence), this.#seed)
  }

  #isShut(): boolean {
    return this.state !== 'open'
  }

  /** A drawn round grants all its winners at once, so each worker learns them while the next window is open. */
  #wantsAll(): boolean {
    return this.#isShut() || isDrawn(this.config)
  }

  #coverIfShut(): void {
    if (!this.#resting && this.#wantsAll() && this.#holders.covered < this.#notice.sequence) this.#cover()
  }

  /** Reads the log until the known holders cover every grant. Failing is harmless: refusals just keep asking Redis. */
  #cover(): void {
    if (this.#covering || this.#notice.sequence > HOLDERS_KNOWN_MAX) return
    this.#covering = true
    this.#readLog().then(
      () => {
        this.#covering = false
        this.#coverIfShut()
      },
      () => {
        this.#covering = false
      },
    )
  }

  async #readLog(): Promise<void> {
    if (this.#notice.sequence > this.#holders.capacity) this.#holders = this.#fresh()
    const known = this.#holders
    const { sequence, aside } = this.#notice
    for await (const { firstSequence, holders, poolOf } of this.#store.batches(this.id, known.covered + 1)) {
      if (known !== this.#holders) return
      for (const [i, holder] of holders.entries()) known.addText(holder, firstSequence + i, poolOf(i))
      known.coverTo(firstSequence + holders.length - 1)
    }
    if (aside) known.coverTo(sequence)
  }
}
