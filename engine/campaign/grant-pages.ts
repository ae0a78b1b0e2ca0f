/**
 * Who holds a sequence, and since when: facts of a round's log that never change, so each worker keeps those that were
 * asked for, a page of 512 sequences at a time. A redemption then finds its voucher's owner and expiry without asking
 * Redis. The pages longest unused are forgotten; 1,024 of them are half a million grants and some 50 MB.
 */
import type { ClaimStore } from '../store/claim-store.ts'

const PAGE = 512
const PAGES_KEPT = 1024

export interface Grant {
  readonly holder: string
  /** The pool's place. */
  readonly pool: number
  /** Milliseconds since 1970. */
  readonly at: number
}

interface Page {
  /** By place in the page; empty where nobody holds the sequence. */
  readonly grants: readonly (Grant | undefined)[]
}

export class GrantPages {
  readonly #store: ClaimStore
  readonly #pages = new Map<string, Page | Promise<Page>>()

  constructor(store: ClaimStore) {
    this.#store = store
  }

  /** The grant of a sequence, or undefined when it was never granted: at once where the page is known. */
  of(roundId: string, epoch: string, sequence: number): Grant | undefined | Promise<Grant | undefined> {
    const page = Math.floor((sequence - 1) / PAGE)
    const key = `${roundId} ${epoch} ${page}`
    const place = (sequence - 1) % PAGE
    const known = this.#pages.get(key)
    if (known && !(known instanceof Promise)) {
      const grant = known.grants[place]
      if (grant) {
        this.#pages.delete(key)
        this.#pages.set(key, known)
        return grant
      }
    }
    const reading = known instanceof Promise ? known : this.#read(roundId, page, key)
    return reading.then(({ grants }) => grants[place])
  }

  #read(roundId: string, page: number, key: string): Promise<Page> {
    const reading = this.#grants(roundId, page * PAGE + 1).then(
      grants => {
        const read = { grants }
        this.#pages.set(key, read)
        if (this.#pages.size > PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value as string)
        return read
      },
      cause => {
        this.#pages.delete(key)
        throw cause
      },
    )
    this.#pages.set(key, reading)
    return reading
  }

  async #grants(roundId: string, first: number): Promise<(Grant | undefined)[]> {
    const grants: (Grant | undefined)[] = []
    for await (const batch of this.#store.batches(roundId, first)) {
      const from = Math.max(0, first - batch.firstSequence)
      const to = Math.min(batch.holders.length, first + PAGE - batch.firstSequence)
      for (let i = from; i < to; i++)
        grants[batch.firstSequence + i - first] = {
          holder: batch.holders[i] as string,
          pool: batch.poolOf(i),
          at: batch.at,
        }
      if (grants.length >= PAGE || to < batch.holders.length) break
    }
    return grants
  }
}
