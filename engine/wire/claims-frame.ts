/**
 * The stream's fast lane: a MessagePack `claims` frame read without making a string of any user, and its `results`
 * written without making an object of any answer. The bytes of `user_ids` go to Redis as they came, checked byte by
 * byte against the alphabet. A frame of any other shape is read the ordinary way (encoding.ts).
 *
 * A frame of 256 claims costs 4 µs here; decoding it into strings and checking those costs 25 µs.
 */
import { CODES, codeOf } from '../base/codes.ts'
import { userIdEnd } from '../base/holder.ts'
import { CLAIMS_PER_REQUEST_MAX } from '../base/limits.ts'
import { TAG } from './schemas.ts'

/** The texts that are the same in Latin-1 and in UTF-8, and that the schema takes for a round. */
const ROUND_ID = /^[!-~]{1,64}$/

export interface ClaimsFrame {
  readonly id: number
  readonly roundId: string
  readonly pool: string | undefined
  readonly count: number
  /** The ids as MessagePack strings, one behind the other; a view of the frame, to be copied. */
  readonly users: Uint8Array
}

/** Reads what the fast lane needs of MessagePack; -1 or undefined where it meets anything else. */
class Scanner {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  byte(): number {
    return this.bytes[this.at++] ?? 0xc1
  }

  uint(): number {
    const head = this.byte()
    if (head < 0x80) return head
    const width = head === 0xcc ? 1 : head === 0xcd ? 2 : head === 0xce ? 4 : 0
    if (width === 0 || this.at + width > this.bytes.length) return -1
    this.at += width
    return this.bytes.readUIntBE(this.at - width, width)
  }

  text(): string | undefined {
    const head = this.byte()
    const length = head === 0xd9 ? this.byte() : head >> 5 === 5 ? head & 31 : -1
    if (length < 0 || this.at + length > this.bytes.length) return undefined
    this.at += length
    return this.bytes.toString('latin1', this.at - length, this.at)
  }

  arrayLength(): number {
    const head = this.byte()
    if (head >> 4 === 9) return head & 15
    if (head !== 0xdc || this.at + 2 > this.bytes.length) return -1
    this.at += 2
    return this.bytes.readUInt16BE(this.at - 2)
  }
}

/** Reads a `claims` frame, or undefined for anything that is not exactly one with well formed ids. */
export function scanClaimsFrame(bytes: Buffer): ClaimsFrame | undefined {
  const scan = new Scanner(bytes)
  const fields = scan.byte()
  if (fields >> 4 !== 8) return undefined
  let id = -1
  let count = 0
  const texts: Record<string, string | undefined> = {}
  let users: Uint8Array | undefined
  for (let left = fields & 15; left > 0; left--) {
    const field = scan.text()
    // A name that comes again is the ordinary reader's to refuse.
    if (field === 'id') {
      if (id >= 0) return undefined
      id = scan.uint()
      if (id < 0) return undefined
    } else if (field === 'op' || field === 'round_id' || field === 'pool') {
      if (texts[field] !== undefined) return undefined
      texts[field] = scan.text()
      if (texts[field] === undefined) return undefined
    } else if (field === 'user_ids') {
      if (users) return undefined
      count = scan.arrayLength()
      users = takeUsers(scan, count)
      if (!users) return undefined
    } else return undefined
  }
  const { op, round_id: roundId = '', pool } = texts
  if (op !== 'claims' || id < 0 || !users || scan.at !== bytes.length) return undefined
  if (!ROUND_ID.test(roundId) || (pool !== undefined && !TAG.test(pool))) return undefined
  return { id, roundId, pool, count, users }
}

function takeUsers(scan: Scanner, count: number): Uint8Array | undefined {
  if (count < 1 || count > CLAIMS_PER_REQUEST_MAX) return undefined
  const from = scan.at
  let at = from
  for (let i = 0; i < count; i++) {
    at = userIdEnd(scan.bytes, at, scan.bytes.length)
    if (at < 0) return undefined
  }
  scan.at = at
  return scan.bytes.subarray(from, at)
}

/** Outcome number to its word as the stream says it: a replayed claim is granted. */
export const WORDS: readonly string[] = Array.from({ length: 256 }, (_, number) =>
  number === CODES.replayed.number ? 'granted' : (codeOf(number) ?? 'internal'),
)
const PACKED_WORDS: readonly Buffer[] = WORDS.map(word =>
  Buffer.concat([Buffer.from(word.length < 32 ? [0xa0 | word.length] : [0xd9, word.length]), Buffer.from(word)]),
)
const WORD_BYTES_MAX = Math.max(...PACKED_WORDS.map(word => word.length))

export interface Columns {
  readonly count: number
  readonly outcomes: Uint8Array
  readonly sequences: Uint32Array
}

const HEAD = Buffer.from('\xa2op\xa7results\xa2id', 'latin1')
let scratch = Buffer.allocUnsafe(64 * 1024)

/** The places of the claims that were granted before: `replayed` of a `results` frame, absent when empty. */
export function replayedPlaces({ count, outcomes }: Columns): number[] {
  const places: number[] = []
  for (let i = 0; i < count; i++) if (outcomes[i] === CODES.replayed.number) places.push(i)
  return places
}

/** A `results` frame as MessagePack. The bytes are a view of a buffer that the next call reuses: send them at once. */
export function packResults(id: number, columns: Columns): Buffer {
  const { count, outcomes, sequences } = columns
  const replayed = replayedPlaces(columns)
  const most = HEAD.length + 64 + count * (WORD_BYTES_MAX + 10)
  if (scratch.length < most) scratch = Buffer.allocUnsafe(most)
  const into = scratch
  into[0] = replayed.length > 0 ? 0x85 : 0x84
  let at = 1 + HEAD.copy(into, 1)
  into[at] = 0xce
  at = into.writeUInt32BE(id, at + 1)
  at = writeKey(into, at, 'outcomes', count)
  for (let i = 0; i < count; i++) {
    const word = PACKED_WORDS[outcomes[i] as number] as Buffer
    into.set(word, at)
    at += word.length
  }
  at = writeKey(into, at, 'sequences', count)
  for (let i = 0; i < count; i++) at = writeUint(into, at, sequences[i] as number)
  if (replayed.length > 0) {
    at = writeKey(into, at, 'replayed', replayed.length)
    for (const place of replayed) at = writeUint(into, at, place)
  }
  return into.subarray(0, at)
}

function writeKey(into: Buffer, at: number, key: string, count: number): number {
  into[at] = 0xa0 | key.length
  let to = at + 1 + into.write(key, at + 1, 'latin1')
  into[to++] = 0xdc
  into[to++] = count >> 8
  into[to++] = count & 255
  return to
}

function writeUint(into: Buffer, at: number, value: number): number {
  if (value < 0x80) {
    into[at] = value
    return at + 1
  }
  into[at] = 0xce
  into[at + 1] = value >>> 24
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 8
  into[at + 4] = value
  return at + 5
}
