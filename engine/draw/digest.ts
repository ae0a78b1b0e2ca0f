/**
 * SHA-256 and hexadecimal, the two words that every file of this room speaks.
 *
 * `sha256` takes its parts in one call: a hash object with an update a part costs 1.5 times what joining a few dozen
 * bytes and the one-shot function do, and ten million entries have 320,000 hashes. Parts of more than a few kilobytes
 * do not occur here.
 * Hexadecimal is lower case everywhere, so that two files that say the same thing have the same bytes.
 */
import { hash } from 'node:crypto'

export const HASH_BYTES = 32

/** SHA-256 over the parts in a row: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Buffer {
  const whole = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  return hash('sha256', whole, 'buffer')
}

/** Whether a text is lower case hexadecimal of exactly so many bytes. */
export function isHex(text: unknown, bytes: number): text is string {
  return typeof text === 'string' && text.length === bytes * 2 && /^[0-9a-f]*$/.test(text)
}

/** A number as 8 bytes, big endian. */
export function u64be(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
