/**
 * The order of a list by score, sorted only as far as somebody walks.
 *
 *   score(tag) = AES-256-ECB(key = seed, block = tag)     16 bytes, unsigned big endian; the smallest comes first
 *
 * Of each score only the leading 32 bits are kept, as one double with the entry's index: bits below its bucket's, then
 * the index. A counting pass puts the doubles into buckets of some 600, and a bucket is sorted (as plain numbers, by
 * the library) when the walk reaches it, so a draw of 1 % of ten million sorts 1 %. Scores that agree in 32 bits are
 * computed again and compared whole: 12,000 pairs in ten million.
 * AES is a permutation: two entries have the same score exactly when they have the same tag, so a walk to the end
 * is also the search for duplicates. A forged list with uneven scores costs more, but nothing becomes quadratic.
 * Rejected: sorting indexes by a comparator (20 s), keeping whole scores (160 MB and a cache miss a comparison).
 */
import { type Cipher, createCipheriv } from 'node:crypto'
import { HASH_BYTES } from './digest.ts'
import { countRecords, RECORD_BYTES, TAG_BYTES } from './entry.ts'

const BLOCKS_A_CALL = 65_536
const BUCKET_BITS_MAX = 14
/** Entries a bucket has on average, as a power of two, while there are fewer buckets than the most. */
const BUCKET_FILL_BITS = 9

/** AES-256 of single blocks under a seed; it has no state, so one object serves all. */
function cipherOf(seed: Uint8Array): Cipher {
  if (seed.length !== HASH_BYTES) throw new RangeError(`a seed has ${HASH_BYTES} bytes, not ${seed.length}`)
  return createCipheriv('aes-256-ecb', seed, null).setAutoPadding(false)
}

/** The score of one tag, in hexadecimal. */
export function scoreOf(seed: Uint8Array, tag: Uint8Array): string {
  return cipherOf(seed).update(tag).toString('hex')
}

/** The leading 32 bits of every entry's score. */
function headsOf(cipher: Cipher, entries: Uint8Array, count: number): Uint32Array {
  const heads = new Uint32Array(count)
  const records = new DataView(entries.buffer, entries.byteOffset, entries.length)
  const tags = new DataView(new ArrayBuffer(Math.min(BLOCKS_A_CALL, count) * TAG_BYTES))
  for (let from = 0; from < count; from += BLOCKS_A_CALL) {
    const bytes = Math.min(BLOCKS_A_CALL, count - from) * TAG_BYTES
    for (let at = 0, of = from * RECORD_BYTES; at < bytes; at += TAG_BYTES, of += RECORD_BYTES) {
      tags.setUint32(at, records.getUint32(of))
      tags.setUint32(at + 4, records.getUint32(of + 4))
      tags.setUint32(at + 8, records.getUint32(of + 8))
      tags.setUint32(at + 12, records.getUint32(of + 12))
    }
    const scores = cipher.update(new Uint8Array(tags.buffer, 0, bytes))
    const view = new DataView(scores.buffer, scores.byteOffset, bytes)
    for (let at = 0, i = from; at < bytes; at += TAG_BYTES) heads[i++] = view.getUint32(at)
  }
  return heads
}

/** Fills `keys` by bucket; returns where each bucket ends. */
function fillBuckets(heads: Uint32Array, keys: Float64Array, bits: number, unit: number): Uint32Array {
  const ends = new Uint32Array(2 ** bits)
  const shift = 32 - bits
  const below = 2 ** shift - 1
  for (let i = 0; i < heads.length; i++) ends[(heads[i] as number) >>> shift]!++
  let start = 0
  for (let bucket = 0; bucket < ends.length; bucket++) {
    const size = ends[bucket] as number
    ends[bucket] = start
    start += size
  }
  // Each start moves on as its bucket fills, and so becomes the bucket's end.
  for (let i = 0; i < heads.length; i++) {
    const head = heads[i] as number
    const bucket = head >>> shift
    keys[ends[bucket] as number] = (head & below) * unit + i
    ends[bucket]!++
  }
  return ends
}

export class ScoreOrder {
  readonly count: number
  readonly #entries: Uint8Array
  readonly #cipher: Cipher
  readonly #keys: Float64Array
  /** What one step of the leading bits weighs in a key; the index is below it. */
  readonly #unit: number
  readonly #ends: Uint32Array
  #sortedBuckets = 0
  #twins: readonly [number, number] | undefined

  /** `seed` has 32 bytes, `entries` whole records, which must not change as long as the order is used. */
  constructor(seed: Uint8Array, entries: Uint8Array) {
    const count = countRecords(entries)
    if (count === undefined) throw new RangeError(`${entries.length} bytes are not whole records`)
    this.count = count
    this.#entries = entries
    this.#cipher = cipherOf(seed)
    const indexBits = Math.ceil(Math.log2(count + 1))
    this.#unit = 2 ** indexBits
    this.#keys = new Float64Array(count)
    const bits = Math.min(BUCKET_BITS_MAX, Math.max(1, indexBits - BUCKET_FILL_BITS))
    this.#ends = fillBuckets(headsOf(this.#cipher, entries, count), this.#keys, bits, this.#unit)
  }

  /** Calls `visit` with the indexes of entries by rising score, until it returns false or all are visited. */
  walk(visit: (index: number) => boolean): void {
    const keys = this.#keys
    const unit = this.#unit
    let at = 0
    for (let bucket = 0; bucket < this.#ends.length; bucket++) {
      const end = this.#ends[bucket] as number
      if (bucket >= this.#sortedBuckets) this.#sort(at, end)
      this.#sortedBuckets = Math.max(this.#sortedBuckets, bucket + 1)
      for (; at < end; at++) {
        const key = keys[at] as number
        if (!visit(key - Math.floor(key / unit) * unit)) return
      }
    }
  }

  /** Two entries with the same tag, the smaller index first, or undefined when no tag stands there twice. */
  findTwins(): readonly [number, number] | undefined {
    this.walk(() => this.#twins === undefined)
    return this.#twins
  }

  /** The score of an entry, in hexadecimal. */
  scoreAt(index: number): string {
    const at = index * RECORD_BYTES
    return this.#cipher.update(this.#entries.subarray(at, at + TAG_BYTES)).toString('hex')
  }

  #sort(from: number, to: number): void {
    const keys = this.#keys.subarray(from, to).sort()
    const unit = this.#unit
    let start = 0
    for (let i = 1; i <= keys.length; i++) {
      if (i < keys.length && Math.floor((keys[i] as number) / unit) === Math.floor((keys[start] as number) / unit))
        continue
      if (i - start > 1) this.#settleTies(keys.subarray(start, i))
      start = i
    }
  }

  /** Orders keys whose leading bits are the same by their whole scores, and remembers two that are equal. */
  #settleTies(keys: Float64Array): void {
    const rows = Array.from(keys, key => {
      const index = key % this.#unit
      return { key, index, score: this.scoreAt(index) }
    })
    rows.sort((a, b) => (a.score < b.score ? -1 : a.score > b.score ? 1 : a.index - b.index))
    for (const [i, row] of rows.entries()) {
      keys[i] = row.key
      const last = rows[i - 1]
      if (last?.score === row.score) this.#twins ??= [last.index, row.index]
    }
  }
}
