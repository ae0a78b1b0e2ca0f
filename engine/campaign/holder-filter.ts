/**
 * A filter of holder keys: "certainly does not hold" or "perhaps holds". It lets a worker refuse after the end of a
 * round without asking Redis, and never refuses a holder: there are no false negatives, and a false positive only
 * costs a question. A blocked Bloom filter (Putze, Sanders, Singler 2007): one cache line of 16 words a key, five bits
 * in it, 16 bits of table a holder, about one false positive in 500. Seeded, so nobody can choose ids that collide.
 * A key is hashed over its characters, so text and bytes of the same key agree. Rejected: a Set of strings (100 bytes
 * a holder), asking Redis each time (0.3 µs of its one core and a round trip).
 */
const WORDS_IN_BLOCK = 16
const BITS_A_HOLDER = 16

export class HolderFilter {
  readonly #seed: number
  readonly capacity: number
  readonly #words: Uint32Array
  readonly #blockMask: number
  #high = 0
  #low = 0

  constructor(capacity: number, seed: number) {
    this.#seed = seed | 0
    const blocks = 2 ** Math.ceil(Math.log2(Math.max(1, (capacity * BITS_A_HOLDER) / (WORDS_IN_BLOCK * 32))))
    this.capacity = Math.floor((blocks * WORDS_IN_BLOCK * 32) / BITS_A_HOLDER)
    this.#words = new Uint32Array(blocks * WORDS_IN_BLOCK)
    this.#blockMask = blocks - 1
  }

  add(holder: string): void {
    this.#hashText(holder)
    this.#mark()
  }

  /** Whether the key may be in; false is certain. */
  mayHold(holder: string): boolean {
    this.#hashText(holder)
    return this.#marked()
  }

  /** The same for the characters [from, to) of `bytes`. */
  mayHoldBytes(bytes: Uint8Array, from: number, to: number): boolean {
    let high = this.#seed
    let low = ~this.#seed
    for (let i = from; i < to; i++) {
      const char = bytes[i] as number
      high = Math.imul(high ^ char, 0x9e3779b1)
      low = Math.imul(low ^ char, 0x85ebca6b)
      high ^= high >>> 15
    }
    this.#finish(high, low)
    return this.#marked()
  }

  #hashText(holder: string): void {
    let high = this.#seed
    let low = ~this.#seed
    for (let i = 0; i < holder.length; i++) {
      const char = holder.charCodeAt(i)
      high = Math.imul(high ^ char, 0x9e3779b1)
      low = Math.imul(low ^ char, 0x85ebca6b)
      high ^= high >>> 15
    }
    this.#finish(high, low)
  }

  /** Stirs the two halves (the finalizer of MurmurHash3). */
  #finish(high: number, low: number): void {
    let a = high ^ (low >>> 16)
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b)
    a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35)
    let b = low ^ a
    b = Math.imul(b ^ (b >>> 16), 0x21f0aaad)
    b = Math.imul(b ^ (b >>> 15), 0x735a2d97)
    this.#high = (a ^ (a >>> 16)) >>> 0
    this.#low = (b ^ (b >>> 15)) >>> 0
  }

  /** Five bits: three places of nine bits from the low half, two from the high half's upper bits. */
  #mark(): void {
    const base = (this.#high & this.#blockMask) * WORDS_IN_BLOCK
    for (let i = 0, bits = this.#low; i < 5; i++, bits = this.#next(bits, i)) {
      this.#words[base + ((bits >>> 5) & 15)]! |= 1 << (bits & 31)
    }
  }

  #marked(): boolean {
    const base = (this.#high & this.#blockMask) * WORDS_IN_BLOCK
    for (let i = 0, bits = this.#low; i < 5; i++, bits = this.#next(bits, i)) {
      if (((this.#words[base + ((bits >>> 5) & 15)] as number) & (1 << (bits & 31))) === 0) return false
    }
    return true
  }

  #next(bits: number, i: number): number {
    return i === 2 ? Math.imul(this.#high, 0x9e3779b1) >>> 9 : bits >>> 9
  }
}
