/**
 * A slow and plain model of the draw, and lists to hold it against: what the fast one has to agree with.
 *
 * The model scores every tag by itself, sorts objects by the score's text and walks all of them; the tree is the
 * definition of the root, level by level, over an array of hashes. Nothing of it is shared with engine/draw.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { below } from './seed.ts'

export const RECORD = 17

/** A list of random records; `pools` bounds the pool's byte. */
export function randomEntries(next: () => number, n: number, pools = 1): Buffer {
  const entries = Buffer.alloc(n * RECORD)
  for (let i = 0; i < entries.length; i++) entries[i] = below(next, i % RECORD === RECORD - 1 ? pools : 256)
  return entries
}

const digest = (...parts: readonly Uint8Array[]): Buffer => {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(part)
  return sum.digest()
}

/** The root over leaves of `records` records each. */
export function plainRoot(entries: Uint8Array, records = 64): Buffer {
  let level: Buffer[] = []
  for (let at = 0; at < entries.length; at += records * RECORD)
    level.push(digest(Uint8Array.of(0), entries.subarray(at, at + records * RECORD)))
  if (level.length === 0) return digest()
  while (level.length > 1) {
    const above: Buffer[] = []
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i] as Buffer, level[i + 1]]
      above.push(right ? digest(Uint8Array.of(1), left, right) : left)
    }
    level = above
  }
  return level[0] as Buffer
}

interface PlainRules {
  readonly totals: readonly number[]
  readonly generalFirst: boolean
  readonly waitlist: number
}

/** Indexes of all entries by rising score. */
export function plainOrder(seed: Uint8Array, entries: Buffer): readonly number[] {
  const rows = Array.from({ length: entries.length / RECORD }, (_, index) => {
    const cipher = createCipheriv('aes-256-ecb', seed, null)
    return { index, score: cipher.update(entries.subarray(index * RECORD, index * RECORD + 16)).toString('hex') }
  })
  return rows.sort((a, b) => (a.score < b.score ? -1 : a.score > b.score ? 1 : a.index - b.index)).map(row => row.index)
}

/** Winners as [index, pool of the seat] and the waitlist, both in order. */
export function plainDraw(seed: Uint8Array, entries: Buffer, { totals, generalFirst, waitlist }: PlainRules) {
  const left = [...totals]
  const winners: [number, number][] = []
  const waits: number[] = []
  for (const index of plainOrder(seed, entries)) {
    const own = entries[index * RECORD + 16] as number
    const seat = (generalFirst ? [0, own] : [own, 0]).find(pool => (left[pool] as number) > 0)
    if (seat !== undefined) {
      left[seat]!--
      winners.push([index, seat])
    } else if (waits.length < waitlist) waits.push(index)
  }
  return { winners, waitlist: waits }
}
