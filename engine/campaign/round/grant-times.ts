/**
 * When each grant was made. The script decides a batch at one moment of Redis's clock, so a worker remembers a moment
 * per batch it sent (16 bytes) and not one per grant; what it did not send or has forgotten is read from the log.
 * The last 131,072 batches are kept: a release of two million in full batches needs 4,000.
 */
import { Fault } from '../../base/assert.ts'
import type { ClaimStore } from '../../store/data/claim-store.ts'

const KEPT = 131_072

export class GrantTimes {
  readonly #roundId: string
  readonly #store: Pick<ClaimStore, 'batchOf'>
  #firsts: number[] = []
  #lasts: number[] = []
  #ats: number[] = []

  constructor(roundId: string, store: Pick<ClaimStore, 'batchOf'>) {
    this.#roundId = roundId
    this.#store = store
  }

  /** Remembers that [first, last] were granted at `at`; batches of one worker come in order. */
  remember(first: number, last: number, at: number): void {
    if (last < first) return
    this.#firsts.push(first)
    this.#lasts.push(last)
    this.#ats.push(at)
    if (this.#ats.length < 2 * KEPT) return
    this.#firsts = this.#firsts.slice(KEPT)
    this.#lasts = this.#lasts.slice(KEPT)
    this.#ats = this.#ats.slice(KEPT)
  }

  forget(): void {
    this.#firsts = []
    this.#lasts = []
    this.#ats = []
  }

  /** Milliseconds since 1970, or 0 when this worker does not know. */
  known(sequence: number): number {
    let low = 0
    let high = this.#lasts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#lasts[middle] as number) < sequence) low = middle + 1
      else high = middle
    }
    return (this.#firsts[low] ?? Infinity) <= sequence ? (this.#ats[low] as number) : 0
  }

  /** The same, from the log when need be. A grant that the log does not have was read from another server than it. */
  async at(sequence: number): Promise<number> {
    const at = this.known(sequence) || (await this.#store.batchOf(this.#roundId, sequence))?.at
    if (at === undefined)
      throw new Fault('unknown', `round ${this.#roundId}: its log lacks sequence ${sequence}; ask again`)
    return at
  }
}
