/**
 * The draw once more, by somebody else: root, seed, scores and winners as the published format says, and no line of
 * the engine's.
 *
 * It is naive on purpose, to be read in five minutes with the format beside it: whole lists, plain node:crypto, one
 * loop a rule. An entry is 17 bytes, a tag of 16 and the index of a pool. The list's root is a Merkle root over
 * leaves of 64 entries; the seed hangs on rules, root, count and beacon; a score is one AES block of the tag under
 * the seed, and the smallest scores are seated. Scores are sorted by their first 48 bits, which a number holds
 * exactly, and by all 16 bytes where these are equal.
 *
 * Rejected: sharing anything with the engine's draw. Two copies of one mistake agree.
 */

import { createCipheriv, createHash } from 'node:crypto'
import type { Receipt } from '../stage/operator.ts'

export const RECORD_BYTES = 17
export const TAG_BYTES = 16

export interface DrawRules {
  readonly stock: number
  readonly pools: readonly { readonly name: string; readonly total: number }[]
  readonly quota_order: 'general-first' | 'pool-first'
  readonly waitlist: number
}

export interface Drawn {
  /** Places in the list of entries, by score. */
  readonly winners: Uint32Array
  /** The index of the pool whose seat each winner has. */
  readonly seats: Uint8Array
  readonly waitlist: Uint32Array
}

export const sha256 = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export function merkleRoot(entries: Uint8Array, leafRecords: number): Buffer {
  const leafBytes = leafRecords * RECORD_BYTES
  let level: Buffer[] = []
  for (let from = 0; from < entries.length; from += leafBytes) {
    level.push(sha256(Uint8Array.of(0), entries.subarray(from, from + leafBytes)))
  }
  while (level.length > 1) {
    const above: Buffer[] = []
    for (let place = 0; place < level.length; place += 2) {
      const [left, right] = [level[place]!, level[place + 1]]
      above.push(right === undefined ? left : sha256(Uint8Array.of(1), left, right))
    }
    level = above
  }
  return level[0] ?? sha256(Uint8Array.of(0))
}

export interface SeedParts {
  readonly rulesHash: Uint8Array
  readonly root: Uint8Array
  readonly count: number
  readonly beacon: Uint8Array
}

export function seedOf({ rulesHash, root, count, beacon }: SeedParts): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(count))
  return sha256('fairgrab/seed/v1', rulesHash, root, bytes, beacon)
}

const SIXTEEN_BYTES = /^[0-9a-f]{32}$/

/** The tag, in hex, that a receipt's nonce and salt make for a user; of other lengths they could be cut to fit anybody, and make none. */
export function tagFor(userId: string, { round_id, nonce, salt }: Receipt): string {
  if (!SIXTEEN_BYTES.test(salt) || !SIXTEEN_BYTES.test(nonce)) return 'none'
  const commitment = sha256(Buffer.from(salt, 'hex'), userId)
  return sha256('fairgrab/tag/v1', round_id, Buffer.from(nonce, 'hex'), commitment).toString('hex', 0, TAG_BYTES)
}

/** 16 bytes of score an entry, one after the other. */
export function scoresOf(entries: Uint8Array, seed: Uint8Array): Buffer {
  const count = entries.length / RECORD_BYTES
  const tags = Buffer.allocUnsafe(count * TAG_BYTES)
  for (let place = 0; place < count; place++) {
    for (let byte = 0; byte < TAG_BYTES; byte++) tags[place * TAG_BYTES + byte] = entries[place * RECORD_BYTES + byte]!
  }
  return createCipheriv('aes-256-ecb', seed, null).setAutoPadding(false).update(tags)
}

/** Places by score, the smallest first: all of them, or only the first `wanted`. */
export function orderOf(scores: Buffer, wanted: number): Uint32Array {
  const count = scores.length / TAG_BYTES
  const heads = new Float64Array(count)
  for (let place = 0; place < count; place++) {
    heads[place] = scores.readUInt32BE(place * TAG_BYTES) * 65536 + scores.readUInt16BE(place * TAG_BYTES + 4)
  }
  const last = wanted < count ? heads.toSorted()[wanted]! : Number.POSITIVE_INFINITY
  const places: number[] = []
  for (let place = 0; place < count; place++) if (heads[place]! <= last) places.push(place)
  const score = (place: number): Buffer => scores.subarray(place * TAG_BYTES, (place + 1) * TAG_BYTES)
  return Uint32Array.from(places.sort((a, b) => heads[a]! - heads[b]! || Buffer.compare(score(a), score(b))))
}

/** Walks the order: a seat of the first pool that has one, in the order that the rules say, else the waitlist. */
export function drawAgain(entries: Uint8Array, rules: DrawRules, seed: Uint8Array): Drawn {
  const left = rules.pools.map(pool => pool.total)
  const wanted = rules.pools.length === 1 ? left[0]! + rules.waitlist : Number.POSITIVE_INFINITY
  const winners: number[] = []
  const seats: number[] = []
  const waitlist: number[] = []
  for (const place of orderOf(scoresOf(entries, seed), wanted)) {
    const own = entries[place * RECORD_BYTES + TAG_BYTES]!
    const seat = (rules.quota_order === 'pool-first' ? [own, 0] : [0, own]).find(pool => left[pool]! > 0)
    if (seat !== undefined) {
      left[seat]!--
      winners.push(place)
      seats.push(seat)
    } else if (waitlist.length < rules.waitlist) waitlist.push(place)
  }
  return { winners: Uint32Array.from(winners), seats: Uint8Array.from(seats), waitlist: Uint32Array.from(waitlist) }
}
