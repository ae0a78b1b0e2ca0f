/**
 * Receipts by entry, as this worker can give them again. A batch of entries is signed once, when the first receipt of it
 * is wanted; signature and tree are functions of the batch, so a batch that is read back from Redis gives the receipts
 * that its first answer gave, byte for byte. The newest batches are kept, because whoever asks twice asks soon.
 */
import { rfc3339 } from '../../base/clock.ts'
import { RECORD_BYTES } from '../../draw/entry.ts'
import { type Receipt, signBatch } from '../../draw/receipt.ts'
import type { SigningKey } from '../../draw/signing-key.ts'
import type { EntryBatch, EntryStore } from '../../store/data/entry-store.ts'

const ENTRIES_KEPT = 32_768

type Sign = (head: EntryBatch, records: Buffer) => readonly Receipt[]

class SignedBatch {
  readonly #head: EntryBatch
  readonly #records: Buffer
  readonly #sign: Sign
  #receipts: readonly Receipt[] | undefined

  constructor(head: EntryBatch, records: Buffer, sign: Sign) {
    this.#head = head
    this.#records = records
    this.#sign = sign
  }

  record(index: number): Buffer {
    const at = (index - this.#head.first) * RECORD_BYTES
    return this.#records.subarray(at, at + RECORD_BYTES)
  }

  receipt(index: number): Receipt {
    this.#receipts ??= this.#sign(this.#head, this.#records)
    return this.#receipts[index - this.#head.first] as Receipt
  }
}

export class Receipts {
  readonly #roundId: string
  readonly #store: EntryStore
  readonly #key: SigningKey
  readonly #batches = new Map<number, SignedBatch>()

  constructor(roundId: string, store: EntryStore, key: SigningKey) {
    this.#roundId = roundId
    this.#store = store
    this.#key = key
  }

  /** Keeps a batch that was just taken. */
  keep(head: EntryBatch, records: Buffer): void {
    this.#keep(head, new SignedBatch(head, records, this.#sign))
  }

  /** Lets go of all batches: another history may have others at their places. */
  forget(): void {
    this.#batches.clear()
  }

  /** The receipt of an entry: at once where its batch is kept. */
  of(index: number): Receipt | Promise<Receipt> {
    return this.#batches.get(index)?.receipt(index) ?? this.#read(index).then(batch => batch.receipt(index))
  }

  /**
   * The record of an entry: tag and pool, 17 bytes. Where its batch is not at hand only the record is read and nothing is
   * kept: after a draw everybody asks once, and each would push somebody else's batch out.
   */
  async record(index: number): Promise<Buffer> {
    return this.#batches.get(index)?.record(index) ?? this.#store.records(this.#roundId, index, index + 1)
  }

  readonly #sign = ({ window, at }: EntryBatch, records: Buffer) =>
    signBatch({ roundId: this.#roundId, window, at: rfc3339(at) }, records, this.#key)

  async #read(index: number): Promise<SignedBatch> {
    const head = await this.#store.batchOf(this.#roundId, index)
    const records = await this.#store.records(this.#roundId, head.first, head.end)
    const batch = new SignedBatch(head, records, this.#sign)
    this.#keep(head, batch)
    return batch
  }

  #keep({ first, end }: EntryBatch, batch: SignedBatch): void {
    for (let index = first; index < end; index++) this.#batches.set(index, batch)
    for (const index of this.#batches.keys()) {
      if (this.#batches.size <= ENTRIES_KEPT) break
      this.#batches.delete(index)
    }
  }
}
