/**
 * What one worker knows of one round: its configuration, the newest notice, when that was last confirmed, and who
 * holds a grant once nothing more can be granted. Local refusals (claims.ts) rest on it, so its rules are strict:
 *
 * A refusal is *certainly true* when all of this holds.
 *   1. The notice says that nobody can be granted: not open yet, sold out, paused or closed.
 *   2. It was confirmed by a reply (an event is none) whose request left at most LEASE_MS ago. After a change that lets
 *      grants resume (open, resume, restock) the script grants nothing for LEASE_MS, and the operator is answered
 *      then. So a refusal on an older notice lies before every grant and before that answer: nobody can tell.
 *   3. The holdings cover every grant up to the notice's sequence, and the key is not among them.
 *   4. At the level fenced: all replicas have what the notice says of that (sure-refusals.ts).
 * Everything else is asked of Redis. A lapsed lease renews itself: the next batch's reply confirms again.
 */
import { VoucherCodes } from '../auth/voucher-codes.ts'
import type { ClaimCode } from '../base/codes.ts'
import { HOLDERS_KNOWN_MAX, LEASE_MS } from '../base/limits.ts'
import type { ClaimStore } from '../store/claim-store.ts'
import { grantedOf, type Notice, remainingOf, totalOf } from '../store/notice.ts'
import { Holdings } from './holdings.ts'
import { type RoundConfig, type Template, vouchersOf } from './round-config.ts'

/** Sequences that a fail-over set aside and nobody was given back. */
const holesOf = (notice: Notice): number => notice.sequence - grantedOf(notice)

/** The state that refuses strangers, or `open`. */
const endOf = ({ state, pools }: Notice): PublicState =>
  state === 'open' && remainingOf({ pools }) <= 0 ? 'sold_out' : state

export type PublicState = Notice['state'] | 'sold_out'

export class RoundView {
  readonly config: RoundConfig
  readonly vouchers: readonly Template[]
  readonly codes: VoucherCodes
  readonly #store: Pick<ClaimStore, 'batches'>
  readonly #seed: number
  readonly #isSure: (notice: Notice) => boolean
  #notice: Notice
  #confirmedAt: number
  #holdings: Holdings
  #covering = false
  #resting = false

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
    this.#holdings = this.#fresh()
    this.#confirmedAt = options.confirmedAt
  }

  get id(): string {
    return this.config.id
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
    // A deposed primary whose clock is ahead may have told of a version of its own: a reply confirms only what it says.
    const confirms = newer || endOf(notice) === endOf(last)
    if (sentAt !== undefined && confirms && sentAt > this.#confirmedAt) this.#confirmedAt = sentAt
    if (newer) this.#notice = notice
    // Who was given back what he held is in no batch of this worker's: the log has to be read again.
    if (holesOf(notice) !== holesOf(last)) this.#holdings = this.#fresh()
    this.#coverIfShut()
    return news
  }

  /** Goes over to the epoch of another history (fenced-round.ts, round-epochs.ts), whatever its version; true when it is news. */
  adopt(notice: Notice): boolean {
    if (notice.epoch === this.#notice.epoch) return this.take(notice)
    this.#notice = notice
    this.#confirmedAt = Number.NEGATIVE_INFINITY
    this.#holdings = this.#fresh()
    this.#coverIfShut()
    return true
  }

  /** Lets go of who holds what until `wake`; Redis knows it, and news do not bring it back. */
  rest(): void {
    this.#resting = true
    this.#holdings = this.#fresh()
  }

  /** Somebody asks again. */
  wake(): void {
    this.#resting = false
    this.#coverIfShut()
  }

  /** What this worker knows to be granted. */
  get holdings(): Holdings {
    return this.#holdings
  }

  /** The refusal that is certainly true now for everybody who is not in `holdings`, or undefined: then Redis decides. */
  refusal(now: number): ClaimCode | undefined {
    if (now - this.#confirmedAt > LEASE_MS || !this.#isShut()) return undefined
    const { state, sequence, opensAt, at } = this.#notice
    if (this.#holdings.covered < sequence || !this.#isSure(this.#notice)) return undefined
    if (state === 'open') return 'sold_out'
    // Redis's clock now is at most what it was when it answered plus all the time since the question left.
    if (state === 'scheduled' && opensAt > 0 && at + (now - this.#confirmedAt) + 1 >= opensAt) return undefined
    if (state === 'drawing' || state === 'drawn') return undefined
    return state === 'scheduled' ? 'not_open' : state
  }

  #fresh(): Holdings {
    return new Holdings(Math.max(totalOf(this.#notice), this.#notice.sequence), this.#seed)
  }

  #isShut(): boolean {
    return this.state !== 'open'
  }

  /** A drawn round grants all its winners at once, so each worker learns them while the next window is open. */
  #wantsAll(): boolean {
    return this.#isShut() || this.config.allocation.mode !== 'fcfs'
  }

  #coverIfShut(): void {
    if (!this.#resting && this.#wantsAll() && this.#holdings.covered < this.#notice.sequence) this.#cover()
  }

  /** Reads the log until the holdings cover every grant. Failing is harmless: refusals just keep asking Redis. */
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
    if (this.#notice.sequence > this.#holdings.capacity) this.#holdings = this.#fresh()
    const holdings = this.#holdings
    const { sequence, aside } = this.#notice
    for await (const { firstSequence, holders, poolOf } of this.#store.batches(this.id, holdings.covered + 1)) {
      if (holdings !== this.#holdings) return
      for (const [i, holder] of holders.entries()) holdings.addText(holder, firstSequence + i, poolOf(i))
      holdings.coverTo(firstSequence + holders.length - 1)
    }
    if (aside) holdings.coverTo(sequence)
  }
}
