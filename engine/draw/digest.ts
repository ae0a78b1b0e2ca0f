/**
 * SHA-256 and hexadecimal, which every file of this folder uses.
 *
 * `writeHash` serves the trees, where ten million entries have 312,000 hashes: the hash comes as a text of 32 characters
 * and is written into its place, which is half the price of a Buffer an answer. Rejected:
 * hash objects with an update a part, a third dearer than one call over joined bytes.
 * Hexadecimal is lower case everywhere, so that two files that say the same thing have the same bytes.
 */
import { hash } from 'node:crypto'

export const HASH_BYTES = 32

/** SHA-256 over the parts in a row: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Buffer {
  const whole = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  return hash('sha256', whole, 'buffer')
}

/** Writes the SHA-256 of `input` into `target` at a place. */
export function writeHash(input: Uint8Array, target: Buffer, at: number): void {
  target.write(hash('sha256', input, 'binary'), at, 'latin1')
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
