/**
 * Who holds what, as far as this worker knows: holder key to sequence and pool, exact, about 25 bytes a holder. Half of
 * a release's claims are made by people (and bots) who hold a grant already; they are answered from here, and so is
 * everybody else once nothing is left and `covered` says that no grant is missing. Never a string a holder, and two cache
 * misses a question: an open-addressed table (linear probing, at most half full, the hash seeded so that nobody can choose
 * ids that collide) leads to a record in an arena.
 *
 *   record   sequence u32 | pool u8 | length u8 | the key's characters
 *
 * It only grows; when its capacity is used up it takes no more, and who is not found is asked of Redis as before.
 * Rejected: a Map of strings (100 bytes and a pause of the collector), a Bloom filter (2 bytes a holder, but it can only
 * refuse: every holder who asks again costs Redis 1 µs).
 */
import { HOLDER_BYTES_MAX, holderEnd } from '../../base/holder.ts'
import { HOLDERS_KNOWN_MAX } from '../../base/limits.ts'
import type { Decision } from '../../store/data/claim-store.ts'

const CHUNK_BYTES = 1 << 20
const PLACE_MASK = CHUNK_BYTES - 1
const HEAD_BYTES = 6

export class KnownHolders {
  readonly capacity: number
  readonly #mask: number
  /** Place of a record + 1, 0 for empty. */
  readonly #table: Uint32Array
  readonly #arena: Buffer[] = []
  readonly #seed: number
  readonly #scratch = Buffer.allocUnsafe(HOLDER_BYTES_MAX)
  #size = 0
  #free = CHUNK_BYTES

  /** Every grant from 1 up to this sequence is in. */
  covered = 0

  /** `stock` is how many holders there may be; memory is only touched as they come. */
  constructor(stock: number, seed: number) {
    this.capacity = Math.max(1, Math.min(stock, HOLDERS_KNOWN_MAX))
    const slots = 2 ** Math.ceil(Math.log2(2 * this.capacity))
    this.#mask = slots - 1
    this.#seed = seed | 0
    this.#table = new Uint32Array(slots)
  }

  get size(): number {
    return this.#size
  }

  sequenceOf(place: number): number {
    const chunk = this.#chunk(place)
    const at = place & PLACE_MASK
    return (
      (((chunk[at] as number) << 24) |
        ((chunk[at + 1] as number) << 16) |
        ((chunk[at + 2] as number) << 8) |
        (chunk[at + 3] as number)) >>>
      0
    )
  }

  poolOf(place: number): number {
    return this.#chunk(place)[(place & PLACE_MASK) + 4] as number
  }

  /** The place of the record of the key whose characters are [from, to) of `bytes`, or -1. */
  find(bytes: Uint8Array, from: number, to: number): number {
    return (this.#table[this.#slot(bytes, from, to)] as number) - 1
  }

  /** The same for a key as text. */
  findText(holder: string): number {
    for (let i = 0; i < holder.length; i++) this.#scratch[i] = holder.charCodeAt(i)
    return this.find(this.#scratch, 0, holder.length)
  }

  /** Keeps a grant; one that is known or beyond the capacity changes nothing. */
  add(bytes: Uint8Array, span: readonly [from: number, to: number], sequence: number, pool: number): void {
    const [from, to] = span
    if (this.#size === this.capacity) return
    const slot = this.#slot(bytes, from, to)
    if (this.#table[slot] !== 0) return
    const place = this.#reserve(HEAD_BYTES + to - from)
    const chunk = this.#chunk(place)
    let at = chunk.writeUInt32BE(sequence, place & PLACE_MASK)
    chunk[at++] = pool
    chunk[at++] = to - from
    for (let i = from; i < to; i++) chunk[at++] = bytes[i] as number
    this.#table[slot] = place + 1
    this.#size++
  }

  addText(holder: string, sequence: number, pool: number): void {
    for (let i = 0; i < holder.length; i++) this.#scratch[i] = holder.charCodeAt(i)
    this.add(this.#scratch, [0, holder.length], sequence, pool)
  }

  /** Keeps what a batch was granted, and what it showed to be granted before. */
  addBatch({ holders, first, sequences, pools, notice }: Decision): void {
    for (let i = 0, at = 3; i < sequences.length; i++) {
      const from = holders[at] === 0xd9 ? at + 2 : at + 1
      at = holderEnd(holders, at)
      const sequence = sequences[i] as number
      if (sequence > 0) this.add(holders, [from, at], sequence, pools[i] as number)
    }
    if (first === this.covered + 1) this.#cover(notice.sequence)
  }

  /** Grants up to `sequence` are in, unless the capacity kept some out. */
  #cover(sequence: number): void {
    if (sequence <= this.capacity) this.covered = sequence
  }

  /** Called by the reader of the log, which adds in order. */
  coverTo(sequence: number): void {
    if (sequence > this.covered) this.#cover(sequence)
  }

  /** The table's slot of a key: where it is, or the empty one where it would be. */
  #slot(bytes: Uint8Array, from: number, to: number): number {
    let hash = this.#seed
    for (let i = from; i < to; i++) {
      hash = Math.imul(hash ^ (bytes[i] as number), 0x9e3779b1)
      hash ^= hash >>> 15
    }
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    let slot = (hash ^ (hash >>> 16)) & this.#mask
    for (;;) {
      const place = (this.#table[slot] as number) - 1
      if (place < 0 || this.#same(place, bytes, from, to)) return slot
      slot = (slot + 1) & this.#mask
    }
  }

  /** Whether the record at `place` is of the key [from, to) of `bytes`. */
  #same(place: number, bytes: Uint8Array, from: number, to: number): boolean {
    const chunk = this.#chunk(place)
    let at = (place & PLACE_MASK) + HEAD_BYTES - 1
    if (chunk[at++] !== to - from) return false
    for (let i = from; i < to; i++) if (chunk[at++] !== bytes[i]) return false
    return true
  }

  #chunk(place: number): Buffer {
    return this.#arena[Math.floor(place / CHUNK_BYTES)] as Buffer
  }

  /** The place of `size` bytes that nobody uses. */
  #reserve(size: number): number {
    if (this.#free + size > CHUNK_BYTES) {
      this.#arena.push(Buffer.allocUnsafeSlow(CHUNK_BYTES))
      this.#free = 0
    }
    const at = this.#free
    this.#free += size
    return (this.#arena.length - 1) * CHUNK_BYTES + at
  }
}
