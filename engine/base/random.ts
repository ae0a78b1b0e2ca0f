/**
 * Randomness as an argument, and the ids made of it. Ids are opaque: a type prefix and 16 characters of Crockford's
 * base32 (80 bits), so two of them never meet and none can be guessed. Crockford's alphabet has no I, L, O, U.
 */
import { createHmac, randomBytes } from 'node:crypto'

export interface Random {
  bytes(length: number): Buffer
  /** A float in [0, 1): for jitter, never for secrets. */
  float(): number
}

/** Asking the system costs 10 µs whatever the length, so it is asked for many ids at a time; no byte is given twice. */
const POOL_BYTES = 4096
let pool = Buffer.alloc(0)
let used = 0

function pooled(length: number): Buffer {
  if (length > POOL_BYTES / 4) return randomBytes(length)
  if (used + length > pool.length) {
    pool = randomBytes(POOL_BYTES)
    used = 0
  }
  used += length
  return pool.subarray(used - length, used)
}

export const realRandom: Random = { bytes: pooled, float: () => Math.random() }

export const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Crockford base32 of whole bytes; 5 bytes give 8 characters. */
export function crockford(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += CROCKFORD[(held >> bits) & 31]
    }
  }
  return bits > 0 ? text + CROCKFORD[(held << (5 - bits)) & 31] : text
}

export type IdPrefix = 'cmp' | 'rnd' | 'rdm' | 'rev' | 'lck' | 'req'

/** A new id, for example `rnd_8GK2…` in lower case. */
export function newId(random: Random, prefix: IdPrefix): string {
  return `${prefix}_${crockford(random.bytes(10)).toLowerCase()}`
}

/** What ids are derived from: of one request the same whenever it is asked again. */
export type Seed = Uint8Array

/** An id that follows from a seed: the same for the same words, and as hard to guess as a new one for whoever lacks the seed. */
export function derivedId(seed: Seed, prefix: IdPrefix, words: string): string {
  const digest = createHmac('sha256', seed).update(`${prefix} ${words}`).digest()
  return `${prefix}_${crockford(digest.subarray(0, 10)).toLowerCase()}`
}

/** A delay with full jitter: uniform in [ms/2, ms). */
export function jitter(random: Random, ms: number): number {
  return ms * (0.5 + random.float() / 2)
}
