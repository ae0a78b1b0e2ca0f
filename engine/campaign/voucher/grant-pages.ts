/**
 * Who holds a sequence, and since when: facts of a round's log that never change, so each worker keeps those that were
 * asked for, a page of 512 sequences at a time. A redemption then finds its voucher's owner and expiry without asking
 * Redis. That nobody holds a sequence is no such fact and is not kept: the page is read again from there on, by a read
 * that began after the question (joined-reads.ts). The pages longest unused are forgotten; 1,024 of them are half a
 * million grants and some 50 MB.
 */
import { JoinedReads } from '../../base/joined-reads.ts'
import type { ClaimStore } from '../../store/data/claim-store.ts'

const PAGE = 512
const PAGES_KEPT = 1024

export interface Grant {
  readonly holder: string
  /** The pool's place. */
  readonly pool: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** By place in the page; empty where nobody is known to hold the sequence. */
type Page = (Grant | undefined)[]

export class GrantPages {
  readonly #store: Pick<ClaimStore, 'batches'>
  readonly #pages = new Map<string, Page>()
  readonly #reads = new JoinedReads<Page>()

  constructor(store: Pick<ClaimStore, 'batches'>) {
    this.#store = store
  }

  /** The grant of a sequence, or undefined when it was never granted: at once where it is known. */
  of(roundId: string, epoch: string, sequence: number): Grant | undefined | Promise<Grant | undefined> {
    const page = Math.floor((sequence - 1) / PAGE)
    const key = `${roundId} ${epoch} ${page}`
    const place = (sequence - 1) % PAGE
    const known = this.#pages.get(key)
    const grant = known?.[place]
    if (known && grant) {
      this.#pages.delete(key)
      this.#pages.set(key, known)
      return grant
    }
    const read = () => this.#read(roundId, page * PAGE + 1, key)
    return this.#reads.ask(key, read, shown => shown[place] !== undefined).then(shown => shown[place])
  }

  /** Reads what is not known of a page. */
  async #read(roundId: string, first: number, key: string): Promise<Page> {
    const page = [...(this.#pages.get(key) ?? [])]
    const hole = page.indexOf(undefined)
    await this.#fill(page, roundId, first, hole < 0 ? page.length : hole)
    this.#pages.delete(key)
    this.#pages.set(key, page)
    if (this.#pages.size > PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value as string)
    return page
  }

  async #fill(page: Page, roundId: string, first: number, known: number): Promise<void> {
    const begin = first + known
    for await (const { firstSequence, at, holders, poolOf } of this.#store.batches(roundId, begin)) {
      const from = Math.max(0, begin - firstSequence)
      const to = Math.min(holders.length, first + PAGE - firstSequence)
      for (let i = from; i < to; i++)
        page[firstSequence + i - first] = { holder: holders[i] as string, pool: poolOf(i), at }
      if (page.length >= PAGE || to < holders.length) return
    }
  }
}
