/**
 * Voucher codes are derived, never stored: 20 characters of Crockford's base32.
 *
 *   NNNN PPPPPPPPPPPPPPPP
 *   |    28 bits: the serial through a keyed permutation (hides volume and order)
 *   |    52 bits: MAC of that, so a guess is right once in 2^52 whatever the number issued
 *   20 bits: the round's number in clear, so that one MAC decides and not one a round
 *
 * The serial is (sequence − 1) × vouchers in a pack + place in the pack. The permutation is an 8-round balanced
 * Feistel network over 2 × 14 bits (Luby and Rackoff) whose round functions are tables drawn from AES-256 in counter
 * mode: no crypto call a code. The MAC is AES-256 of one fixed-length block, a PRF; a batch's blocks go through one
 * ECB update, so a pack of five costs about a microsecond instead of five HMACs of 1.7 µs. Keys are HKDF-SHA256 of
 * the secret with the round's id. Rejected: HMAC a code (too slow on the claim path), codes in Redis (99 bytes each),
 * 16 characters without the round's number (a MAC a round to try, and a guess then fits any of them).
 */
import { type Cipher, createCipheriv, hkdfSync } from 'node:crypto'
import { CROCKFORD } from '../base/random.ts'

const HALF = 14
const MASK = (1 << HALF) - 1
const ROUNDS = 8
const BLOCK = 16
export const CODE_CHARS = 20

/** The alphabet's character codes, and how ten bits become two of them. */
const CHARS = Uint8Array.from(CROCKFORD, char => char.charCodeAt(0))
function pair(text: Buffer, at: number, bits: number): void {
  text[at] = CHARS[bits >> 5] as number
  text[at + 1] = CHARS[bits & 31] as number
}

/** The unsigned big endian word at `at`. */
const word = (bytes: Buffer, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0

/** Character to five bits, forgiving as Crockford asks: case does not count, O is 0, I and L are 1. */
const DIGIT = new Map<string, number>()
for (const [i, char] of [...CROCKFORD].entries()) {
  DIGIT.set(char, i)
  DIGIT.set(char.toLowerCase(), i)
}
for (const [like, char] of ['O0', 'o0', 'I1', 'i1', 'L1', 'l1']) DIGIT.set(like as string, Number(char))

/** A code taken apart; nothing is proved yet. */
export interface CodeParts {
  /** The code as the engine writes it. */
  readonly text: string
  readonly roundNumber: number
  readonly permuted: number
  /** The MAC's upper 32 and lower 20 bits. */
  readonly macHigh: number
  readonly macLow: number
}

/** Takes a code apart, or undefined when it is not 20 characters of the alphabet (dashes and spaces are ignored). */
export function splitCode(code: string): CodeParts | undefined {
  const chars = code.replace(/[- ]/g, '')
  if (chars.length !== CODE_CHARS) return undefined
  const digits: number[] = []
  let text = ''
  for (const char of chars) {
    const digit = DIGIT.get(char)
    if (digit === undefined) return undefined
    digits.push(digit)
    text += CROCKFORD[digit]
  }
  // 20 + 28 + 32 + 20 bits: the permuted serial and the MAC share the tenth digit.
  const number = (from: number, to: number) => digits.slice(from, to).reduce((sum, digit) => sum * 32 + digit, 0)
  const shared = digits[9] as number
  return {
    text,
    roundNumber: number(0, 4),
    permuted: number(4, 9) * 8 + (shared >> 2),
    macHigh: (shared & 3) * 2 ** 30 + number(10, 16),
    macLow: number(16, 20),
  }
}

/** The codes of one round. */
export class VoucherCodes {
  readonly #roundNumber: number
  readonly #tables: Uint16Array
  readonly #cipher: Cipher
  readonly #packVouchers: number
  #blocks = Buffer.alloc(BLOCK * 64)

  /** `secret` is 32 bytes; `roundNumber` below 2^20; `packVouchers` how many codes a grant has. */
  constructor(options: { secret: Buffer; roundId: string; roundNumber: number; packVouchers: number }) {
    const { secret, roundId, roundNumber } = options
    const key = (purpose: string) => Buffer.from(hkdfSync('sha256', secret, roundId, `fairgrab/${purpose}/v1`, 32))
    const stream = createCipheriv('aes-256-ctr', key('voucher-permutation'), Buffer.alloc(BLOCK))
    const bytes = stream.update(Buffer.alloc(ROUNDS * (MASK + 1) * 2))
    this.#tables = new Uint16Array(bytes.buffer, bytes.byteOffset, ROUNDS * (MASK + 1))
    for (let i = 0; i < bytes.length / 2; i++) (this.#tables[i] as number) &= MASK
    this.#cipher = createCipheriv('aes-256-ecb', key('voucher-mac'), null).setAutoPadding(false)
    this.#roundNumber = roundNumber
    this.#packVouchers = options.packVouchers
  }

  /** The codes of grants, pack by pack, as texts: `count` × packVouchers. */
  mint(sequences: ArrayLike<number>, count: number): string[] {
    const text = this.mintBytes(sequences, count).toString('latin1')
    return Array.from({ length: count * this.#packVouchers }, (_, i) =>
      text.slice(i * CODE_CHARS, (i + 1) * CODE_CHARS),
    )
  }

  /** The same as ASCII, CODE_CHARS bytes a code, in one cipher call: the claim path never makes them strings. */
  mintBytes(sequences: ArrayLike<number>, count: number): Buffer {
    const each = this.#packVouchers
    const total = count * each
    if (this.#blocks.length < total * BLOCK) this.#blocks = Buffer.alloc(total * BLOCK * 2)
    const blocks = this.#blocks
    for (let i = 0, at = 0; i < count; i++) {
      const base = ((sequences[i] as number) - 1) * each
      for (let place = 0; place < each; place++, at += BLOCK) {
        const permuted = this.#permute(base + place)
        blocks[at] = permuted >>> 24
        blocks[at + 1] = permuted >>> 16
        blocks[at + 2] = permuted >>> 8
        blocks[at + 3] = permuted
      }
    }
    const macs = this.#cipher.update(blocks.subarray(0, total * BLOCK))
    const text = Buffer.allocUnsafe(total * CODE_CHARS)
    for (let i = 0; i < total; i++) this.#write(text, i * CODE_CHARS, macs, i * BLOCK)
    return text
  }

  /** The sequence and place of a code that is ours, or undefined. Takes the same time either way. */
  open(parts: CodeParts): { readonly sequence: number; readonly place: number; readonly serial: number } | undefined {
    const block = Buffer.alloc(BLOCK)
    block.writeUInt32BE(parts.permuted)
    const mac = this.#cipher.update(block)
    const serial = this.#unpermute(parts.permuted)
    const differs = (word(mac, 0) ^ parts.macHigh) | ((word(mac, 4) >>> 12) ^ parts.macLow)
    if (differs !== 0) return undefined
    return { sequence: Math.floor(serial / this.#packVouchers) + 1, place: serial % this.#packVouchers, serial }
  }

  /** Writes the code of the block at `from`: the round's number, the permuted serial, the MAC, ten bits at a time. */
  #write(text: Buffer, to: number, macs: Buffer, from: number): void {
    const blocks = this.#blocks
    const permuted = word(blocks, from)
    const high = word(macs, from)
    const low = word(macs, from + 4) >>> 12
    pair(text, to, this.#roundNumber >> 10)
    pair(text, to + 2, this.#roundNumber & 1023)
    pair(text, to + 4, permuted >> 18)
    pair(text, to + 6, (permuted >> 8) & 1023)
    pair(text, to + 8, ((permuted & 255) << 2) | (high >>> 30))
    pair(text, to + 10, (high >>> 20) & 1023)
    pair(text, to + 12, (high >>> 10) & 1023)
    pair(text, to + 14, high & 1023)
    pair(text, to + 16, low >> 10)
    pair(text, to + 18, low & 1023)
  }

  #permute(serial: number): number {
    let left = serial >> HALF
    let right = serial & MASK
    for (let round = 0; round < ROUNDS; round++) {
      const next = left ^ (this.#tables[(round << HALF) | right] as number)
      left = right
      right = next
    }
    return (left << HALF) | right
  }

  #unpermute(permuted: number): number {
    let left = permuted >> HALF
    let right = permuted & MASK
    for (let round = ROUNDS - 1; round >= 0; round--) {
      const last = right ^ (this.#tables[(round << HALF) | left] as number)
      right = left
      left = last
    }
    return (left << HALF) | right
  }
}
