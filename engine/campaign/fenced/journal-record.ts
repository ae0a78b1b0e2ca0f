/**
 * The records of an engine's journal, as bytes: what it acknowledged, and which epochs it joined and left.
 *
 *   magic u32 | length u32 of the body | CRC-32 of the body | body
 *   body: CRC of the record before u32 | kind u8 | epoch 8 bytes | at f64 | count u16 | count grants
 *   grant: sequence u32 | pool u8 | length u8 | the holder key's characters
 *
 * Each record carries the CRC of the one before it, so none can be lost, doubled or moved unnoticed. A torn tail is what a
 * crash leaves of writes that nobody was answered on, and is dropped; a whole record with a wrong CRC is damage, and a
 * journal that has it is not `sound`: it may give back what it has, but cannot say that this was all.
 *
 * Rejected: one record a grant (three times the bytes); JSON (its encoding would cost more than the batch's script).
 */
import { crc32 } from 'node:zlib'
import { holderEnd } from '../../base/holder.ts'
import type { Decision } from '../../store/data/claim-store.ts'
import type { KnownGrant } from '../../store/data/fence-store.ts'

const MAGIC = 0x46474a31
const HEAD_BYTES = 12
const FIXED_BYTES = 4 + 1 + 8 + 8 + 2
const GRANT_BYTES = 6

const KINDS = { grants: 1, joined: 2, left: 3 } as const
export type Kind = keyof typeof KINDS
export type Mark = Exclude<Kind, 'grants'>

export interface Journaled {
  /** In the order of writing; a grant that was answered again stands here again. */
  readonly grants: readonly KnownGrant[]
  /** Epochs. */
  readonly joined: ReadonlySet<string>
  readonly left: ReadonlySet<string>
  /** Nothing is missing from it but what was never answered. */
  readonly sound: boolean
  /** Bytes up to the torn tail, and the CRC of the last record; 0 of an empty journal. */
  readonly bytes: number
  readonly crc: number
}

/** A record, and the CRC that the next one must carry. */
export interface Encoded {
  readonly bytes: Buffer
  readonly crc: number
}

interface Head {
  readonly kind: Kind
  readonly epoch: string
  /** Milliseconds since 1970. */
  readonly at: number
}

function sealed(into: Buffer, end: number, count: number): Encoded {
  into.writeUInt16BE(count, HEAD_BYTES + FIXED_BYTES - 2)
  const crc = crc32(into.subarray(HEAD_BYTES, end))
  into.writeUInt32BE(MAGIC, 0)
  into.writeUInt32BE(end - HEAD_BYTES, 4)
  into.writeUInt32BE(crc, 8)
  return { bytes: into.subarray(0, end), crc }
}

function begin(into: Buffer, before: number, { kind, epoch, at }: Head): number {
  let to = into.writeUInt32BE(before, HEAD_BYTES)
  to = into.writeUInt8(KINDS[kind], to)
  to += into.write(epoch, to, 8, 'hex')
  return into.writeDoubleBE(at, to) + 2
}

/** That an epoch was joined or left. */
export function markRecord(before: number, kind: Mark, epoch: string): Encoded {
  const into = Buffer.alloc(HEAD_BYTES + FIXED_BYTES)
  return sealed(into, begin(into, before, { kind, epoch, at: 0 }), 0)
}

/** Every grant that a decision will answer; undefined when that is nothing. */
export function batchRecord(before: number, { holders, sequences, pools, notice }: Decision): Encoded | undefined {
  const claims = sequences.length
  const into = Buffer.allocUnsafe(HEAD_BYTES + FIXED_BYTES + holders.length + claims * GRANT_BYTES)
  let to = begin(into, before, { kind: 'grants', epoch: notice.epoch, at: notice.at })
  let count = 0
  for (let i = 0, at = 3; i < claims; i++) {
    const from = holders[at] === 0xd9 ? at + 2 : at + 1
    const end = holderEnd(holders, at)
    at = end
    const sequence = sequences[i] as number
    if (sequence === 0) continue
    to = into.writeUInt32BE(sequence, to)
    into[to++] = pools[i] as number
    into[to++] = end - from
    to += holders.copy(into, to, from, end)
    count++
  }
  return count === 0 ? undefined : sealed(into, to, count)
}

/** Grants of one moment that were read and will be answered. */
export function grantsRecord(before: number, epoch: string, grants: readonly KnownGrant[]): Encoded {
  const most = grants.reduce((sum, { holder }) => sum + GRANT_BYTES + holder.length, 0)
  const into = Buffer.allocUnsafe(HEAD_BYTES + FIXED_BYTES + most)
  let to = begin(into, before, { kind: 'grants', epoch, at: grants[0]?.at ?? 0 })
  for (const { sequence, pool, holder } of grants) {
    to = into.writeUInt32BE(sequence, to)
    into[to++] = pool
    into[to++] = holder.length
    to += into.write(holder, to, 'latin1')
  }
  return sealed(into, to, grants.length)
}

/** Whether a whole record with the right CRC stands at `at`. */
function isRecord(bytes: Buffer, at: number): boolean {
  if (at + HEAD_BYTES > bytes.length || bytes.readUInt32BE(at) !== MAGIC) return false
  const body = at + HEAD_BYTES
  const end = body + bytes.readUInt32BE(at + 4)
  return (
    end <= bytes.length && end >= body + FIXED_BYTES && crc32(bytes.subarray(body, end)) === bytes.readUInt32BE(at + 8)
  )
}

/** Whether what is left is the beginning of a record, as a write leaves it that was cut short; nothing at all is, too. */
function isTorn(bytes: Buffer, at: number): boolean {
  if (at + HEAD_BYTES > bytes.length) return true
  return bytes.readUInt32BE(at) === MAGIC && at + HEAD_BYTES + bytes.readUInt32BE(at + 4) > bytes.length
}

function nextRecord(bytes: Buffer, from: number): number {
  for (let at = from; at + HEAD_BYTES <= bytes.length; at++) if (isRecord(bytes, at)) return at
  return -1
}

const HOLDER = /^[A-Za-z0-9._:@|+-]{1,64}(\/\d{1,3})?$/

/** The grants of a record's body; undefined when they do not fill it exactly or one is none, whatever its CRC says. */
function readGrants(body: Buffer): KnownGrant[] | undefined {
  const at = body.readDoubleBE(FIXED_BYTES - 10)
  const grants: KnownGrant[] = []
  let from = FIXED_BYTES
  for (let left = body.readUInt16BE(FIXED_BYTES - 2); left > 0; left--) {
    if (from + GRANT_BYTES > body.length) return undefined
    const end = from + GRANT_BYTES + (body[from + 5] as number)
    const [sequence, holder] = [body.readUInt32BE(from), body.toString('latin1', from + GRANT_BYTES, end)]
    if (end > body.length || sequence === 0 || !HOLDER.test(holder)) return undefined
    grants.push({ sequence, pool: body[from + 4] as number, at, holder })
    from = end
  }
  return from === body.length && Number.isFinite(at) ? grants : undefined
}

/** Reads a whole journal. */
export function readRecords(bytes: Buffer): Journaled {
  const grants: KnownGrant[] = []
  const marks = { joined: new Set<string>(), left: new Set<string>() }
  let [at, crc, sound, end] = [0, 0, true, 0]
  for (;;) {
    if (!isRecord(bytes, at)) {
      const next = nextRecord(bytes, at + 1)
      if (next < 0) return { grants, ...marks, sound: sound && isTorn(bytes, at), bytes: end, crc }
      sound = false
      at = next
    }
    const length = bytes.readUInt32BE(at + 4)
    const body = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)
    if (body.readUInt32BE(0) !== crc) sound = false
    crc = bytes.readUInt32BE(at + 8)
    const epoch = body.toString('hex', 5, 13)
    const granted = body[4] === KINDS.grants ? readGrants(body) : undefined
    if (granted) for (const grant of granted) grants.push(grant)
    else if (body[4] === KINDS.joined) marks.joined.add(epoch)
    else if (body[4] === KINDS.left) marks.left.add(epoch)
    else sound = false
    at += HEAD_BYTES + length
    end = at
  }
}
