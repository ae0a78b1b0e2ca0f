/**
 * What one worker knows of one round: its configuration, the newest notice, when that was last confirmed, and who
 * holds a grant once nothing more can be granted. Local refusals (claims.ts) rest on it, so its rules are strict:
 *
 * A refusal is *certainly true* when all of this holds.
 *   1. The notice says that nobody can be granted: not open yet, sold out, paused or closed.
 *   2. It was confirmed by a reply whose request left this worker at most LEASE_MS ago. A change that lets grants
 *      resume (open, resume, restock) is answered to its operator only LEASE_MS after it was made, so a refusal on
 *      an older notice still lies before that answer in real time: clients can never tell that it was late.
 *   3. The holder filter covers every grant up to the notice's sequence, and the key is not in it.
 * Everything else is asked of Redis. A lapsed lease renews itself: the next batch's reply confirms again.
 */
import { VoucherCodes } from '../auth/voucher-codes.ts'
import { type ClaimCode, CODES } from '../base/codes.ts'
import type { ClaimStore } from '../store/claim-store.ts'
import { type Notice, totalOf } from '../store/notice.ts'
import { HolderFilter } from './holder-filter.ts'
import { type RoundConfig, type Template, vouchersOf } from './round-config.ts'

/** How long a confirmed notice may be used to refuse. Operators wait this long for an answer to open or restock. */
export const LEASE_MS = 250

export type PublicState = 'scheduled' | 'open' | 'paused' | 'closed' | 'sold_out'

export class RoundView {
  readonly config: RoundConfig
  readonly vouchers: readonly Template[]
  readonly codes: VoucherCodes
  readonly #store: ClaimStore
  readonly #seed: number
  #notice: Notice
  #confirmedAt: number
  #filter: HolderFilter | undefined
  #covered = 0
  #covering = false

  constructor(options: {
    config: RoundConfig
    notice: Notice
    confirmedAt: number
    secret: Buffer
    store: ClaimStore
    seed: number
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
    this.#notice = options.notice
    this.#confirmedAt = options.confirmedAt
  }

  get id(): string {
    return this.config.id
  }

  get notice(): Notice {
    return this.#notice
  }

  get state(): PublicState {
    const { state, sequence } = this.#notice
    return state === 'open' && sequence >= totalOf(this.#notice) ? 'sold_out' : state
  }

  /**
   * Takes a notice in; true when it is news. `sentAt` (monotonic ms) is when the request that brought it left, absent
   * for an event: an event is news but confirms nothing.
   */
  take(notice: Notice, sentAt?: number): boolean {
    const last = this.#notice
    const same = notice.epoch === last.epoch
    if (same && notice.version < last.version) return false
    if (sentAt !== undefined && sentAt > this.#confirmedAt) this.#confirmedAt = sentAt
    const news = !same || notice.version > last.version || notice.state !== last.state
    if (!same || notice.version > last.version || notice.at >= last.at) this.#notice = notice
    if (!same) {
      this.#filter = undefined
      this.#covered = 0
    }
    if (this.#isShut() && this.#covered < this.#notice.sequence) this.#cover()
    return news
  }

  /** The refusal that is certainly true for this key now, or undefined: then Redis decides. */
  refusal(now: number, holder: string): ClaimCode | undefined {
    const refusal = this.refusalOfAll(now)
    if (!refusal || this.#notice.sequence === 0) return refusal
    return this.#filter?.mayHold(holder) === false ? refusal : undefined
  }

  /** The refusal of everybody who holds nothing; `mayHoldBytes` tells who that is. */
  refusalOfAll(now: number): ClaimCode | undefined {
    if (now - this.#confirmedAt > LEASE_MS || !this.#isShut()) return undefined
    const { state, sequence, opensAt, at } = this.#notice
    if (sequence > 0 && (this.#covered < sequence || !this.#filter)) return undefined
    if (state === 'open') return 'sold_out'
    // Redis's clock now is at most what it was when it answered plus all the time since the question left.
    if (state === 'scheduled' && opensAt > 0 && at + (now - this.#confirmedAt) + 1 >= opensAt) return undefined
    return state === 'scheduled' ? 'not_open' : state
  }

  mayHoldBytes(bytes: Uint8Array, from: number, to: number): boolean {
    return this.#notice.sequence > 0 && this.#filter?.mayHoldBytes(bytes, from, to) !== false
  }

  #isShut(): boolean {
    return this.#notice.state !== 'open' || this.#notice.sequence >= totalOf(this.#notice)
  }

  /** Reads the log until the filter covers every grant. Failing is harmless: refusals just keep asking Redis. */
  #cover(): void {
    if (this.#covering || this.#notice.sequence === 0) return
    this.#covering = true
    this.#readLog().then(
      () => {
        this.#covering = false
        if (this.#isShut() && this.#covered < this.#notice.sequence) this.#cover()
      },
      () => {
        this.#covering = false
      },
    )
  }

  async #readLog(): Promise<void> {
    const { epoch } = this.#notice
    if (!this.#filter || this.#notice.sequence > this.#filter.capacity) {
      this.#filter = new HolderFilter(Math.max(totalOf(this.#notice), this.#notice.sequence), this.#seed)
      this.#covered = 0
    }
    const filter = this.#filter
    for await (const batch of this.#store.batches(this.id, this.#covered + 1)) {
      if (this.#notice.epoch !== epoch || filter !== this.#filter) return
      if (batch.firstSequence + batch.holders.length - 1 > filter.capacity) return
      for (const holder of batch.holders) filter.add(holder)
      this.#covered = batch.firstSequence + batch.holders.length - 1
    }
  }
}

/** The stored state as an outcome number, for a claim that is refused. */
export const refusalNumber = (code: ClaimCode): number => CODES[code].number
