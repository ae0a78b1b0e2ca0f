/**
 * The final list of a window, for those who ask for its proof: read from Redis, hashed and made a tree of once. Everybody
 * may ask, so one list is kept, the last one that was asked for, until nobody asked for a minute: 170 MB for ten million
 * entrants and nothing for a worker that nobody asks. Rejected: reading it for each request, which would let anybody
 * keep Redis busy; keeping files on disk, which a worker does not have.
 */
import type { Clock } from '../../base/clock.ts'
import { sha256 } from '../../draw/digest.ts'
import { RecordTree } from '../../draw/merkle.ts'
import type { Store } from '../../store/store.ts'
import type { RoundView } from '../round/round-view.ts'

const KEPT_MS = 60_000

export interface FinalList {
  /** entries.bin. */
  readonly records: Buffer
  /** In hexadecimal. */
  readonly sha256: string
  readonly tree: RecordTree
}

export class FinalLists {
  readonly #store: Store
  readonly #clock: Clock
  #key = ''
  #list: Promise<FinalList> | undefined
  #forget: () => void = () => {}

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** The list of a window whose commitment says that it has `n` entries. */
  of({ id, notice }: Pick<RoundView, 'id' | 'notice'>, window: number, n: number): Promise<FinalList> {
    // Another epoch may have another list at the same place.
    const key = `${id} ${notice.epoch} ${window}`
    if (key !== this.#key || !this.#list) this.#list = this.#read(id, window, n)
    this.#key = key
    this.#forget()
    this.#forget = this.#clock.after(KEPT_MS, () => {
      this.#list = undefined
    })
    const list = this.#list
    list.catch(() => {
      if (this.#list === list) this.#list = undefined
    })
    return list
  }

  async #read(roundId: string, window: number, n: number): Promise<FinalList> {
    const first = await this.#store.draws.firstOf(roundId, window)
    const records = await this.#store.entries.records(roundId, first, first + n)
    const tree = new RecordTree()
    tree.append(records)
    return { records, sha256: sha256(records).toString('hex'), tree }
  }
}
