/**
 * Entries of drawn rounds in Redis: the one call that takes a batch (scripts/enter.lua), and the reads that find a user's
 * entry, its batch and its record again. No user id is kept anywhere, and about 29 bytes an entrant:
 *
 *   entries    17 bytes: the published record, in chunks that are written in place
 *   seen       10 bytes and a twelfth: digest of the user and place, in 32,768 buckets (15 bits)
 *   batches    one stream entry a batch: where it ends, when it was, which window
 *
 * The script may write to declared keys only, and which chunk a batch falls into depends on what others entered; so three
 * chunks are passed, from the one that this worker saw last, and when the list has left them the script says where it is
 * and the same batch is sent again. Rejected: a HASH of users (99 bytes), one growing STRING (it is copied at 128 MB).
 */
import { assert, Fault } from '../../base/assert.ts'
import { CODES } from '../../base/codes.ts'
import { certain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { EXCEPTION_BYTES, keysLost } from './claim-store.ts'
import { type Notice, noticeIn } from './notice.ts'

/** One claim of a batch: bucket u16, digest (6 bytes), tag (16), pool. */
export const ENTRY_CLAIM_BYTES = 25
const USER_BYTES = 8
const DIGEST_BYTES = USER_BYTES - 2
const SLOT_BYTES = DIGEST_BYTES + 4
const RECORD_BYTES = 17
/** Records in a chunk: 65,518 bytes, so that with its head a chunk fills one of the allocator's sizes. */
const CHUNK_RECORDS = 3854
const CHUNKS_A_CALL = 3
/** Chunks read at once: 2 MB. */
const CHUNKS_A_READ = 32

/** What one script call decided; the columns have a place a claim, in the order asked. */
export interface EntryDecision {
  readonly notice: Notice
  readonly window: number
  /** Entries of the round before this batch; those it took follow in order. */
  readonly entries: number
  /** Outcome numbers of the table. */
  readonly outcomes: Uint8Array
  /** The index of each claim's entry; -1 where it has none. */
  readonly indexes: Int32Array
  /** How many of 256 users all workers shed in this window. */
  readonly shed: number
}

/** Entries [first, end) of a round that one call took. */
export interface EntryBatch {
  readonly first: number
  readonly end: number
  /** Milliseconds since 1970, Redis's clock. */
  readonly at: number
  readonly window: number
}

const number = (reply: Reply | undefined): number => Number(reply)
const endOf = (id: Buffer): number => Number.parseInt(id.toString('latin1'), 10)

/** Exceptions are 8 bytes each: index u16, replayed u8, place u32 (from 1), 0 u8, big endian; new entries follow those before. */
function columnsOf(
  exceptions: Buffer,
  { claims, entries, rest }: { readonly claims: number; readonly entries: number; readonly rest: number },
): Pick<EntryDecision, 'outcomes' | 'indexes'> {
  const outcomes = new Uint8Array(claims).fill(rest)
  const indexes = new Int32Array(claims).fill(-1)
  for (let at = 0; at < exceptions.length; at += EXCEPTION_BYTES) {
    const i = exceptions.readUInt16BE(at)
    outcomes[i] = exceptions[at + 2] as number
    indexes[i] = exceptions.readUInt32BE(at + 3) - 1
  }
  if (rest !== CODES.entered.number) return { outcomes, indexes }
  let next = entries
  for (let i = 0; i < claims; i++) if (outcomes[i] === rest) indexes[i] = next++
  return { outcomes, indexes }
}

export class EntryStore {
  readonly #claims: Link
  readonly #reads: Link
  readonly #script: Script
  /** Round id to its entries when this worker last received them. */
  readonly #entries = new Map<string, number>()

  constructor(claims: Link, reads: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#claims = claims
    this.#reads = reads
    this.#script = scripts.enter
  }

  /** Takes a batch of claims of 25 bytes each. Throws Fault `fenced` when the round's state is missing, `unknown`, `unavailable`. */
  async enter(roundId: string, epoch: string, claims: Buffer, shed: number): Promise<EntryDecision> {
    const seen: string[] = []
    for (let at = 0; at < claims.length; at += ENTRY_CLAIM_BYTES)
      seen.push(keys.roundSeen(roundId, claims.readUInt16BE(at)))
    const fixed = [keys.roundState(roundId), keys.roundDraw(roundId), keys.roundBatches(roundId)]
    let [again, executed] = [false, false]
    for (;;) {
      const first = Math.floor((this.#entries.get(roundId) ?? 0) / CHUNK_RECORDS)
      const chunks = Array.from({ length: CHUNKS_A_CALL }, (_, i) => keys.roundEntries(roundId, first + i))
      const sent = await this.#claims.send(this.#script, [...fixed, ...chunks, ...seen], [epoch, first, shed, claims])
      again ||= sent.again
      executed ||= sent.executed
      const [outcome, notice, window, entries, rest, exceptions, shedByAll] = sent.reply
      if (outcome === CODES.fenced.number) throw keysLost(roundId, again || executed)
      this.#entries.set(roundId, number(entries))
      if (outcome === CODES.wrong_state.number) continue
      return {
        notice: noticeIn(notice),
        window: number(window),
        entries: number(entries),
        ...columnsOf(exceptions as Buffer, {
          claims: seen.length,
          entries: number(entries),
          rest: certain({ again }, number(rest)),
        }),
        shed: number(shedByAll),
      }
    }
  }

  /** The index of a user's entry, or -1. `user` is bucket and digest, 8 bytes. */
  async indexOf(roundId: string, user: Buffer): Promise<number> {
    const bucket = await this.#reads.request(client => client.getBuffer(keys.roundSeen(roundId, user.readUInt16BE(0))))
    const digest = user.subarray(2, USER_BYTES)
    for (let at = bucket?.indexOf(digest) ?? -1; bucket && at >= 0; at = bucket.indexOf(digest, at + 1))
      if (at % SLOT_BYTES === 0) return bucket.readUInt32BE(at + DIGEST_BYTES) - 1
    return -1
  }

  /** The batch that an entry came with; there is one. */
  async batchOf(roundId: string, index: number): Promise<EntryBatch> {
    const key = keys.roundBatches(roundId)
    const [own, before] = await this.#reads.request(client =>
      Promise.all([
        client.xrangeBuffer(key, `${index + 1}-0`, '+', 'COUNT', 1),
        client.xrevrangeBuffer(key, `${index}-0`, '-', 'COUNT', 1),
      ]),
    )
    assert(own[0], `round ${roundId} has no batch for its entry ${index}`)
    const [id, [, at, , window]] = own[0] as [Buffer, Buffer[]]
    return {
      first: before[0] ? endOf(before[0][0] as Buffer) : 0,
      end: endOf(id),
      at: Number(at),
      window: Number(window),
    }
  }

  /** The records of the entries [from, to). */
  async records(roundId: string, from: number, to: number): Promise<Buffer> {
    const records = Buffer.allocUnsafe((to - from) * RECORD_BYTES)
    const firstChunk = Math.floor(from / CHUNK_RECORDS)
    const lastChunk = to > from ? Math.floor((to - 1) / CHUNK_RECORDS) : firstChunk - 1
    for (let chunk = firstChunk; chunk <= lastChunk; chunk += CHUNKS_A_READ) {
      const count = Math.min(CHUNKS_A_READ, lastChunk - chunk + 1)
      await Promise.all(
        Array.from({ length: count }, (_, i) => this.#readChunk(roundId, chunk + i, { from, to, records })),
      )
    }
    return records
  }

  async #readChunk(
    roundId: string,
    chunk: number,
    { from, to, records }: { readonly from: number; readonly to: number; readonly records: Buffer },
  ): Promise<void> {
    const start = Math.max(from, chunk * CHUNK_RECORDS)
    const end = Math.min(to, (chunk + 1) * CHUNK_RECORDS)
    const at = (start - chunk * CHUNK_RECORDS) * RECORD_BYTES
    const bytes = (end - start) * RECORD_BYTES
    const part = await this.#reads.request(client =>
      client.getrangeBuffer(keys.roundEntries(roundId, chunk), at, at + bytes - 1),
    )
    if (part.length !== bytes) throw new Fault('fenced', `round ${roundId}: records of its entries are missing`)
    records.set(part, (start - from) * RECORD_BYTES)
  }
}
