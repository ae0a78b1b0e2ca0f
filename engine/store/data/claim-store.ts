/**
 * Claims and grants in Redis: the one call that decides a batch (scripts/claim.lua), and the reads that find a grant
 * again, by holder (the HASH) or by sequence (the log, whose entry ids are sequences).
 */
import { assert, Fault } from '../../base/assert.ts'
import { CODES, type Code, codeOf } from '../../base/codes.ts'
import { holdersIn, partsOf } from '../../base/holder.ts'
import { certain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { type Notice, noticeIn } from './notice.ts'

/** A batch that passes the reserve: nothing was done, but by an earlier copy that may still be under way where `again` says so. */
export interface Unreserved {
  readonly again: boolean
  readonly notice?: undefined
}

/** What one script call decided; the columns have a place a claim, in the order asked. */
export interface Decision {
  /** Who asked, as they were asked. */
  readonly holders: Buffer
  readonly notice: Notice
  /** The sequence of the batch's first grant; the others follow in order. */
  readonly first: number
  /** Outcome numbers of the table. */
  readonly outcomes: Uint8Array
  /** What each claim holds; 0 where it holds nothing. */
  readonly sequences: Uint32Array
  /** The pool of what it holds, or that it asked for. */
  readonly pools: Uint8Array
  /** It was sent on more than one connection, so that its refusals are not certain. */
  readonly again?: boolean
  /** At the level fenced: the last sequence that may be granted before that is raised. */
  readonly reserve?: number
}

export interface Holding {
  readonly sequence: number
  readonly pool: number
}

/** The grants of one batch, as the log keeps them. */
export interface LogBatch {
  readonly firstSequence: number
  /** Milliseconds since 1970, Redis's clock. */
  readonly at: number
  readonly holders: readonly string[]
  /** The pool of the i-th grant. */
  readonly poolOf: (i: number) => number
  /** The scope of the key that claimed the i-th; absent where no key with one did, and of strict rounds until `withVias`. */
  readonly viaOf?: (i: number) => string | undefined
}

/** An exception in a script's reply: index u16, outcome u8, sequence u32, pool u8, big endian. */
export const EXCEPTION_BYTES = 8
const RESTORED_PAGE = 1000
/** A holder's record in a strict round, before the scope that may be behind it. */
const STRICT_RECORD_BYTES = 21
/** Holders whose records are asked for in one call. */
const VIAS_TOGETHER = 512
const LINE_END = 10
const PLACE_BYTES = 2

/**
 * The columns of a reply for claims that asked for the pools `asked`; a claim that is no exception has the outcome `rest`, granted ones
 * have sequences from `first` on.
 */
export function columnsOf(claims: number, asked: Buffer, first: number, rest: number, exceptions: Buffer): Columns {
  const outcomes = new Uint8Array(claims).fill(rest)
  const sequences = new Uint32Array(claims)
  const pools = new Uint8Array(claims)
  if (asked.length === 1) pools.fill(asked[0] as number)
  else pools.set(asked)
  const granted = rest === CODES.granted.number
  let [sequence, at] = [first, 0]
  for (let i = 0; i < claims && (granted || at < exceptions.length); i++) {
    if (at === exceptions.length || exceptions.readUInt16BE(at) !== i) {
      if (granted) sequences[i] = sequence++
      continue
    }
    outcomes[i] = exceptions[at + 2] as number
    sequences[i] = exceptions.readUInt32BE(at + 3)
    pools[i] = exceptions[at + 7] as number
    at += EXCEPTION_BYTES
  }
  assert(at === exceptions.length, 'a decision had exceptions for claims that were not asked')
  return { outcomes, sequences, pools }
}

/** The same decision, as it may be answered where `again` says that an earlier copy may still be executed. */
export const sureOf = (decision: Decision): Decision =>
  decision.again ? { ...decision, outcomes: decision.outcomes.map(outcome => certain(decision, outcome)) } : decision

type Columns = Pick<Decision, 'outcomes' | 'sequences' | 'pools'>

const number = (reply: Reply | undefined): number => Number(reply)

export class ClaimStore {
  readonly #claims: Link
  readonly #reads: Link
  readonly #script: Script

  /** `claims` carries claims and nothing else; `reads` everything that may wait behind them. */
  constructor(claims: Link, reads: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#claims = claims
    this.#reads = reads
    this.#script = scripts.claim
  }

  /**
   * Decides a batch: holder keys as a MessagePack array (array16), and a byte of pool each or one for all. Throws Fault `fenced`
   * when the round's state is missing or of another epoch, `unknown`, `unavailable`. `vias` are the scopes of the claims (packVias).
   */
  async claim(roundId: string, epoch: string, holders: Buffer, pools: Buffer, vias?: Buffer): Promise<Decision> {
    return sureOf((await this.decide(roundId, epoch, holders, pools, '', vias)) as Decision)
  }

  /** The same for an engine at the level fenced, with refusals as Redis said them; Unreserved when the batch passes the reserve. */
  async decide(
    roundId: string,
    epoch: string,
    holders: Buffer,
    pools: Buffer,
    engine = '',
    vias?: Buffer,
  ): Promise<Decision | Unreserved> {
    const args = [keys.roundChannel(roundId), epoch, holders, pools, engine]
    if (vias) args.push(vias)
    const { reply, again, executed } = await this.#claims.send(
      this.#script,
      [keys.roundState(roundId), keys.roundHolders(roundId), keys.roundLog(roundId)],
      args,
    )
    const [outcome, notice, first, rest, exceptions, reserve] = reply
    if (outcome === CODES.unavailable.number) return { again }
    if (outcome !== CODES.granted.number) throw keysLost(roundId, again || executed)
    return {
      ...columnsOf(holders.readUInt16BE(1), pools, number(first), number(rest), exceptions as Buffer),
      holders,
      notice: noticeIn(notice),
      first: number(first),
      again,
      ...(reserve === undefined ? {} : { reserve: number(reserve) }),
    }
  }

  /** What a holder key holds, or undefined. */
  async holding(roundId: string, holder: string): Promise<Holding | undefined> {
    const grant = await this.#reads.request(client => client.hgetBuffer(keys.roundHolders(roundId), holder))
    return grant ? { sequence: grant.readUInt32BE(0), pool: grant[4] as number } : undefined
  }

  /** What each of a user's holder keys holds, in their order. */
  async holdings(roundId: string, holders: readonly string[]): Promise<readonly (Holding | undefined)[]> {
    const grants = await this.#reads.request(client => client.hmgetBuffer(keys.roundHolders(roundId), ...holders))
    return grants.map(grant => (grant ? { sequence: grant.readUInt32BE(0), pool: grant[4] as number } : undefined))
  }

  /** How many holder keys hold a grant. */
  holders(roundId: string): Promise<number> {
    return this.#reads.request(client => client.hlen(keys.roundHolders(roundId)))
  }

  /** The batch that granted a sequence, or undefined when it was never granted. */
  async batchOf(roundId: string, sequence: number): Promise<LogBatch | undefined> {
    for await (const batch of this.batches(roundId, sequence, 1)) {
      return batch.firstSequence <= sequence ? batch : undefined
    }
    return undefined
  }

  /** By the key of which scope a user was granted a sequence, as far as the round says; a strict one keeps it with its holders. */
  async viaOf(roundId: string, sequence: number, userId: string, strict = false): Promise<string | undefined> {
    const batch = await this.batchOf(roundId, sequence)
    const place = sequence - (batch?.firstSequence ?? 0)
    const holder = batch?.holders[place] ?? ''
    // A fail-over may have given the sequence to somebody else since it was read.
    if (partsOf(holder).userId !== userId) return undefined
    return strict ? (await this.#recordedVias(roundId, [holder]))[0] : batch?.viaOf?.(place)
  }

  /** Batches of a strict round, with the scopes that it keeps with its holders; some batches a call. */
  async *withVias(roundId: string, batches: AsyncIterable<LogBatch>): AsyncGenerator<LogBatch> {
    let together: LogBatch[] = []
    let count = 0
    for await (const batch of batches) {
      together.push(batch)
      count += batch.holders.length
      if (count < VIAS_TOGETHER) continue
      yield* await this.#recorded(roundId, together)
      ;[together, count] = [[], 0]
    }
    if (count > 0) yield* await this.#recorded(roundId, together)
  }

  async #recorded(roundId: string, batches: readonly LogBatch[]): Promise<readonly LogBatch[]> {
    const vias = await this.#recordedVias(
      roundId,
      batches.flatMap(({ holders }) => holders),
    )
    let at = 0
    return batches.map(batch => {
      const from = at
      at += batch.holders.length
      return { ...batch, viaOf: i => vias[from + i] }
    })
  }

  /** The scopes that a strict round keeps behind the grants of its holders (scripts/lib/allotment.lua). */
  async #recordedVias(roundId: string, holders: readonly string[]): Promise<readonly (string | undefined)[]> {
    const records = await this.#reads.request(client => client.hmgetBuffer(keys.roundHolders(roundId), ...holders))
    return records.map(record => record?.toString('latin1', STRICT_RECORD_BYTES) || undefined)
  }

  /**
   * The log's grants from `fromSequence` on, a batch at a time, read `pageEntries` entries a call. Where a fail-over left a
   * hole in its sequences, what was given back of them comes in its place.
   */
  async *batches(roundId: string, fromSequence: number, pageEntries = 64): AsyncGenerator<LogBatch> {
    let from = `${fromSequence}-0`
    let next = fromSequence
    for (;;) {
      const start = from
      const page = await this.#reads.request(client =>
        client.xrangeBuffer(keys.roundLog(roundId), start, '+', 'COUNT', pageEntries),
      )
      for (const [id, fields] of page) {
        const last = Number.parseInt((id as Buffer).toString('latin1'), 10)
        const batch = logBatch(last, fields as Buffer[])
        const end = batch ? batch.firstSequence : last + 1
        if (end > next) yield* this.#restored(roundId, next, end - 1)
        next = Math.max(next, last + 1)
        if (batch) yield batch
      }
      if (page.length < pageEntries) return
      from = `(${String(page.at(-1)?.[0])}`
    }
  }

  /** The grants that were given back, of the sequences [from, to]; one a batch, since each has a moment of its own. */
  async *#restored(roundId: string, from: number, to: number): AsyncGenerator<LogBatch> {
    for (let start = from; start <= to; ) {
      const low = start
      const rows = await this.#reads.request(client =>
        client.zrangebyscore(keys.roundRestored(roundId), low, to, 'LIMIT', 0, RESTORED_PAGE),
      )
      for (const row of rows) {
        const [sequence, pool, at, holder] = row.split(' ')
        start = Number(sequence) + 1
        yield {
          firstSequence: Number(sequence),
          at: Number(at),
          holders: [holder as string],
          poolOf: () => Number(pool),
        }
      }
      if (rows.length < RESTORED_PAGE) return
    }
  }
}

/** An entry that granted, or undefined for the others. */
export function logBatch(last: number, fields: readonly Buffer[]): LogBatch | undefined {
  if (fields[2]?.toString('latin1') !== 'users') return undefined
  const holders = holdersIn(fields[3] as Buffer)
  const pools = fields[5] as Buffer
  const via = fields[6]?.toString('latin1') === 'via' ? { viaOf: viasIn(fields[7] as Buffer) } : {}
  return {
    firstSequence: last - holders.length + 1,
    at: Number(fields[1]?.toString('latin1')),
    holders,
    poolOf: i => pools[pools.length === 1 ? 0 : i] as number,
    ...via,
  }
}

/**
 * The scopes of the keys by which the claims of a batch came, as claim.lua is given them and as the log keeps them: one scope
 * for all, or the scopes in use with commas, a line end, and u16 big endian a claim: the place of its scope, from 1 on, 0 for
 * none. `parts` are so many claims each, in their order; undefined where none has a scope. A scope has neither commas nor line
 * ends (auth/callers.ts). Rejected: a byte a claim, since a batch may have more scopes than that.
 */
export function packVias(parts: readonly (readonly [via: string | undefined, claims: number])[]): Buffer | undefined {
  const names = [...new Set(parts.map(([via]) => via))]
  const scopes = names.filter(via => via !== undefined)
  if (scopes.length === 0) return undefined
  const head = Buffer.from(scopes.join())
  if (names.length === 1) return head
  const places = new Map(scopes.map((via, i) => [via, i + 1]))
  const claims = parts.reduce((sum, [, count]) => sum + count, 0)
  const packed = Buffer.alloc(head.length + 1 + claims * PLACE_BYTES)
  let at = packed.writeUInt8(LINE_END, head.copy(packed))
  for (const [via, count] of parts) {
    const place = via === undefined ? 0 : (places.get(via) as number)
    for (let i = 0; i < count; i++) at = packed.writeUInt16BE(place, at)
  }
  return packed
}

/** The scope of the i-th, as it was packed. */
export function viasIn(packed: Buffer): (i: number) => string | undefined {
  const end = packed.indexOf(LINE_END)
  if (end < 0) {
    const via = packed.toString('latin1')
    return () => via
  }
  const scopes = packed.toString('latin1', 0, end).split(',')
  return i => scopes[packed.readUInt16BE(end + 1 + i * PLACE_BYTES) - 1]
}

/** A script found a round's keys not all there, or of another epoch; `again` when it was sent on more than one connection. */
export const keysLost = (roundId: string, again: boolean): Fault =>
  new Fault(
    again ? 'unknown' : 'fenced',
    `round ${roundId}: its keys in Redis are not all there, or of another epoch or level`,
  )

/** The code of an outcome number that a script gave. */
export function claimCode(outcome: number): Code {
  const code = codeOf(outcome)
  if (!code) throw new Fault('unknown', `a script answered with the number ${outcome}, which no outcome has`)
  return code
}
