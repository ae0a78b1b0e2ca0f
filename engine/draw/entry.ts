/**
 * One person's entry: what is committed of them, their tag, and the record that the published list has.
 *
 *   commitment   SHA-256(salt || user id)                                        32 bytes, not published
 *   tag          SHA-256("fairgrab/tag/v1" || round id || nonce || commitment)    its first 16 bytes
 *   record       TTTTTTTTTTTTTTTT P                                               17 bytes: tag, place of the pool
 *
 * The list shows nobody's id: who holds salt and nonce can show that a tag is theirs, and a guess of the id alone shows
 * nothing. The nonce makes tags of the same person in two rounds strangers to each other. Texts are UTF-8; salt and
 * nonce have a fixed length, so no two inputs run together. Rejected: the plain hash of the id, which anybody
 * with a list of ids inverts; a random tag, which its owner could not show to be theirs.
 */
import { sha256 } from './digest.ts'

export const SALT_BYTES = 16
export const NONCE_BYTES = 16
export const TAG_BYTES = 16
export const RECORD_BYTES = TAG_BYTES + 1

const TAG_DOMAIN = Buffer.from('fairgrab/tag/v1')

/** The commitment to a user: 32 bytes. `salt` has 16. */
export function commitUser(salt: Uint8Array, userId: string): Buffer {
  if (salt.length !== SALT_BYTES) throw new RangeError(`a salt has ${SALT_BYTES} bytes, not ${salt.length}`)
  return sha256(salt, Buffer.from(userId))
}

/** The tag of an entry: 16 bytes. `nonce` has 16, `userCommitment` 32. */
export function tagOf(roundId: string, nonce: Uint8Array, userCommitment: Uint8Array): Buffer {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce has ${NONCE_BYTES} bytes, not ${nonce.length}`)
  return sha256(TAG_DOMAIN, Buffer.from(roundId), nonce, userCommitment).subarray(0, TAG_BYTES)
}

/** The record of a tag and the place of its pool in the rules' list: 17 bytes. */
export function recordOf(tag: Uint8Array, pool: number): Buffer {
  const record = Buffer.allocUnsafe(RECORD_BYTES)
  record.set(tag)
  record[TAG_BYTES] = pool
  return record
}

/** How many records a list has, or undefined when its length is not that of whole records. */
export function countRecords(entries: Uint8Array): number | undefined {
  return entries.length % RECORD_BYTES === 0 ? entries.length / RECORD_BYTES : undefined
}

/** The tag of an entry of a list, as hexadecimal. */
export function tagAt(entries: Buffer, index: number): string {
  return entries.toString('hex', index * RECORD_BYTES, index * RECORD_BYTES + TAG_BYTES)
}

/** The place of the pool that an entry of a list names. */
export function poolAt(entries: Uint8Array, index: number): number {
  return entries[index * RECORD_BYTES + TAG_BYTES] as number
}

/** The index of the entry with a tag, or -1. A search from end to end: 50 ms for ten million entries. */
export function findTag(entries: Buffer, tag: Uint8Array): number {
  for (let at = entries.indexOf(tag); at >= 0; at = entries.indexOf(tag, at + 1))
    if (at % RECORD_BYTES === 0) return at / RECORD_BYTES
  return -1
}
