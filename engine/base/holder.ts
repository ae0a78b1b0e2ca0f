/**
 * A holder's key: the bytes that stand for (user, slot) in Redis, in the log and in the engine's queues.
 *
 *   slot 1     the user id itself                     "u1"
 *   slot j>1   the user id, a slash, the slot         "u1/3"
 *   drawn      the tag of a winner's entry            "tag:5f0c…", 32 hexadecimal digits
 *
 * The slash is not in the alphabet of user ids, so no two pairs share a key. Keys travel as MessagePack strings
 * (fixstr up to 31 bytes, else str8), the form that `cmsgpack.unpack` reads in one call and that a client's own
 * MessagePack frame already has: a frame's bytes go to Redis without ever becoming strings here.
 * Rejected: one JavaScript string a claim (60 bytes of heap and a copy each), JSON arrays (twice the parse in Lua).
 */
import { USER_ID_BYTES_MAX } from './limits.ts'

/** 1 for every byte that a user id may have: [A-Za-z0-9._:@|+-]. Identity providers make `auth0|5f7c` and `ada+shop@example.org`. */
const ALLOWED = new Uint8Array(256)
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@|+-')
  ALLOWED[char.charCodeAt(0)] = 1

/** The longest key: an id of 64 bytes, a slash and three digits, behind two bytes of str8. */
export const HOLDER_BYTES_MAX = USER_ID_BYTES_MAX + 4 + 2

/** The alphabet of user ids, in words. */
export const USER_ID_FORM = 'must be 1..64 of A-Z a-z 0-9 . _ : @ | + -'

/** Whether a user id is well formed: 1..64 characters of the alphabet. */
export function isUserId(id: unknown): id is string {
  if (typeof id !== 'string' || id.length === 0 || id.length > USER_ID_BYTES_MAX) return false
  for (let i = 0; i < id.length; i++) if (ALLOWED[id.charCodeAt(i)] !== 1) return false
  return true
}

/** Whether a merchant's id is well formed: one word of an account's name and of a setting, so without a colon. */
export function isMerchantId(id: unknown): id is string {
  return isUserId(id) && !/[:|+]/.test(id)
}

/** The key of (user, slot) as text. */
export function holderOf(userId: string, slot: number): string {
  return slot === 1 ? userId : `${userId}/${slot}`
}

/** The key of a winner of a draw: Redis knows their tag (16 bytes) and not their id. */
export function holderOfTag(tag: Buffer): string {
  return `tag:${tag.toString('hex')}`
}

/** The user and slot of a key. */
export function partsOf(holder: string): { readonly userId: string; readonly slot: number } {
  const slash = holder.indexOf('/')
  if (slash < 0) return { userId: holder, slot: 1 }
  return { userId: holder.slice(0, slash), slot: Number(holder.slice(slash + 1)) }
}

/** Writes a key as a MessagePack string at `at`; returns the place behind it. ASCII by construction. */
export function writeHolder(into: Uint8Array, at: number, holder: string): number {
  const length = holder.length
  let to = at
  if (length < 32) into[to++] = 0xa0 | length
  else {
    into[to++] = 0xd9
    into[to++] = length
  }
  for (let i = 0; i < length; i++) into[to++] = holder.charCodeAt(i)
  return to
}

/**
 * Keys one behind the other, in exactly the bytes that they take: under load they wait by the hundred thousand, and seven
 * times that would be held and collected if each took the bytes of the longest.
 */
export function packHolders(holders: readonly string[]): Uint8Array {
  let size = 0
  for (const { length } of holders) size += length + (length < 32 ? 1 : 2)
  const packed = new Uint8Array(size)
  let at = 0
  for (const holder of holders) at = writeHolder(packed, at, holder)
  return packed
}

/** Where the MessagePack string at `at` ends, or -1 when it is not a well formed user id within `end`. */
export function userIdEnd(bytes: Uint8Array, at: number, end: number): number {
  const head = bytes[at] as number
  let from = at + 1
  let length = head & 31
  if (head === 0xd9) length = bytes[from++] as number
  else if (head >> 5 !== 5) return -1
  const to = from + length
  if (!(length > 0 && length <= USER_ID_BYTES_MAX && to <= end)) return -1
  for (let i = from; i < to; i++) if (ALLOWED[bytes[i] as number] !== 1) return -1
  return to
}

/** Where the key at `at` ends; the bytes are known to be well formed. */
export function holderEnd(bytes: Uint8Array, at: number): number {
  const head = bytes[at] as number
  return head === 0xd9 ? at + 2 + (bytes[at + 1] as number) : at + 1 + (head & 31)
}

/** A MessagePack array header for `count` keys, as array16 so that its length never depends on the count. */
export function writeArrayHead(into: Uint8Array, at: number, count: number): number {
  into[at] = 0xdc
  into[at + 1] = count >> 8
  into[at + 2] = count & 255
  return at + 3
}

/** The keys of a packed array, as text: the log reader's and the export's way in. */
export function holdersIn(bytes: Buffer): string[] {
  const head = bytes[0] as number
  const wide = head === 0xdc
  const count = wide ? bytes.readUInt16BE(1) : head & 15
  let at = wide ? 3 : 1
  const holders: string[] = new Array(count)
  for (let i = 0; i < count; i++) {
    const end = holderEnd(bytes, at)
    holders[i] = bytes.toString('latin1', bytes[at] === 0xd9 ? at + 2 : at + 1, end)
    at = end
  }
  return holders
}
