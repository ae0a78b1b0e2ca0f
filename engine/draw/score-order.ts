/**
 * The scores of a list and the order they give, sorted only as far as somebody walks.
 *
 *   score(tag) = AES-256-ECB(key = seed, block = tag)     16 bytes, unsigned big endian; the smallest comes first
 *
 * Scores lie as four 32-bit words an entry. One counting pass over the leading bits puts the entries into buckets of
 * about two; a bucket is sorted when the walk reaches it. A draw of 1 % of ten million entrants so sorts 1 %, and the
 * verifier, who walks all, never compares strangers. Scores are evenly spread, since the seed is fixed after the tags;
 * for a forged list, where they need not be, large buckets go to the library's sort and nothing becomes quadratic.
 * AES is a permutation: two entries have the same score exactly when they have the same tag, so the walk is also
 * the search for duplicates. Rejected: sorting indexes by a comparator (20 s), SHA-256 as score (15 s).
 */
import { createCipheriv } from 'node:crypto'
import { HASH_BYTES } from './digest.ts'
import { countRecords, RECORD_BYTES, TAG_BYTES } from './entry.ts'

export const SCORE_BYTES = 16
const WORDS = SCORE_BYTES / 4
const BLOCKS_A_CALL = 65_536
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
/** Buckets up to this size are sorted by insertion. */
const SMALL = 24
const BITS_MAX = 22

/** The scores of a list, four words an entry. `seed` has 32 bytes. */
function scoreWords(seed: Uint8Array, entries: Uint8Array, count: number): Uint32Array {
  const cipher = createCipheriv('aes-256-ecb', seed, null).setAutoPadding(false)
  const words = new Uint32Array(count * WORDS)
  const bytes = new Uint8Array(words.buffer)
  const tags = Buffer.allocUnsafe(Math.min(BLOCKS_A_CALL, count) * TAG_BYTES)
  for (let from = 0; from < count; from += BLOCKS_A_CALL) {
    const blocks = Math.min(BLOCKS_A_CALL, count - from)
    for (let i = 0, at = from * RECORD_BYTES; i < blocks; i++, at += RECORD_BYTES)
      for (let k = 0; k < TAG_BYTES; k++) tags[i * TAG_BYTES + k] = entries[at + k] as number
    bytes.set(cipher.update(tags.subarray(0, blocks * TAG_BYTES)), from * SCORE_BYTES)
  }
  if (LITTLE_ENDIAN) Buffer.from(words.buffer).swap32()
  return words
}

/** The score of one tag, in hexadecimal. */
export function scoreOf(seed: Uint8Array, tag: Uint8Array): string {
  const cipher = createCipheriv('aes-256-ecb', seed, null).setAutoPadding(false)
  return cipher.update(tag).toString('hex')
}

export class ScoreOrder {
  readonly count: number
  readonly #words: Uint32Array
  readonly #order: Uint32Array
  /** Where each bucket ends. */
  readonly #ends: Uint32Array
  #sortedBuckets = 0

  /** `seed` has 32 bytes, `entries` whole records. */
  constructor(seed: Uint8Array, entries: Uint8Array) {
    if (seed.length !== HASH_BYTES) throw new RangeError(`a seed has ${HASH_BYTES} bytes, not ${seed.length}`)
    const count = countRecords(entries)
    if (count === undefined) throw new RangeError(`${entries.length} bytes are not whole records`)
    this.count = count
    this.#words = scoreWords(seed, entries, count)
    const bits = Math.min(BITS_MAX, Math.max(1, Math.ceil(Math.log2(count + 1)) - 1))
    this.#ends = new Uint32Array(2 ** bits)
    this.#order = this.#fillBuckets(32 - bits)
  }

  #fillBuckets(shift: number): Uint32Array {
    const words = this.#words
    const ends = this.#ends
    for (let i = 0; i < words.length; i += WORDS) ends[(words[i] as number) >>> shift]!++
    let from = 0
    for (let bucket = 0; bucket < ends.length; bucket++) {
      const size = ends[bucket] as number
      ends[bucket] = from
      from += size
    }
    // Each start moves on as its bucket fills, and so becomes the bucket's end.
    const order = new Uint32Array(this.count)
    for (let i = 0; i < this.count; i++) {
      const bucket = (words[i * WORDS] as number) >>> shift
      order[ends[bucket] as number] = i
      ends[bucket]!++
    }
    return order
  }

  /** Calls `visit` with the indexes of entries by rising score, until it returns false or all are visited. */
  walk(visit: (index: number) => boolean): void {
    const order = this.#order
    let at = 0
    for (let bucket = 0; bucket < this.#ends.length; bucket++) {
      const end = this.#ends[bucket] as number
      if (bucket >= this.#sortedBuckets) {
        this.#sort(at, end)
        this.#sortedBuckets = bucket + 1
      }
      for (; at < end; at++) if (!visit(order[at] as number)) return
    }
  }

  /** The first two entries with the same tag that the order meets, the smaller index first, or undefined. */
  findTwins(): readonly [number, number] | undefined {
    let last = -1
    let twins: readonly [number, number] | undefined
    this.walk(index => {
      if (last >= 0 && this.#compare(last, index) === 0) twins = [Math.min(last, index), Math.max(last, index)]
      last = index
      return twins === undefined
    })
    return twins
  }

  /** The score of an entry, in hexadecimal. */
  scoreAt(index: number): string {
    const words = this.#words.subarray(index * WORDS, index * WORDS + WORDS)
    return Array.from(words, word => word.toString(16).padStart(8, '0')).join('')
  }

  #compare(a: number, b: number): number {
    const words = this.#words
    for (let k = 0; k < WORDS; k++) {
      const difference = (words[a * WORDS + k] as number) - (words[b * WORDS + k] as number)
      if (difference !== 0) return difference
    }
    return 0
  }

  #sort(from: number, to: number): void {
    const order = this.#order
    if (to - from > SMALL) {
      order.subarray(from, to).sort((a, b) => this.#compare(a, b))
      return
    }
    for (let i = from + 1; i < to; i++) {
      const index = order[i] as number
      let k = i
      for (; k > from && this.#compare(order[k - 1] as number, index) > 0; k--) order[k] = order[k - 1] as number
      order[k] = index
    }
  }
}
