/**
 * The engine's record: the grants as it exports them, and the state it shows when the run is over.
 *
 * `readLedger` takes the bytes of GET /v1/rounds/{id}/claims as NDJSON, line by line as they arrive, into columns of
 * 18 bytes a grant. It believes nothing that the audit is there to find: rows may come in any order, twice, or with
 * a sequence far above the stock. Only a row that is no grant at all (a missing field, a broken line) stops the
 * reading, because then there is no story to compare. A user id that is not of the run's population is kept as
 * STRANGER, and a pool that the round does not have as NO_POOL, so that the audit can report them.
 *
 * Rejected: paging through the list answer (a million rows are a thousand requests), and sorting here: the audit
 * places rows by their sequence anyway.
 */
import { Columns, type Row } from './columns.ts'
import type { Users } from './users.ts'

/** The user of a grant whose id is not one of the run's. */
export const STRANGER = 0xffff_ffff
/** The pool of a grant that names a pool which the round does not have. */
export const NO_POOL = 255

const SHAPE = { grantedAt: 'f64', sequence: 'u32', user: 'u32', slot: 'u8', pool: 'u8' } as const
const STRANGERS_NAMED_MAX = 1000
const SEQUENCE_MAX = 0xffff_ffff

export type Grant = Row<typeof SHAPE>

/** What GET /v1/rounds/{id} says, as far as the audit needs it. */
export interface RoundState {
  readonly stock: StockState
  readonly pools: readonly PoolState[]
  /** Runs of sequences that a fail-over set aside, both ends included. */
  readonly set_aside?: readonly { readonly from: number; readonly to: number }[]
}
interface StockState {
  readonly total: number
  readonly granted: number
  readonly remaining: number
  /** Set aside by a fail-over: maybe somebody's, and granted to nobody else. */
  readonly quarantined?: number
}
export interface PoolState extends StockState {
  readonly name: string
}

export class Ledger extends Columns<typeof SHAPE> {
  /** The ids of the first strangers, by row. */
  readonly strangers = new Map<number, string>()

  constructor(capacity?: number) {
    super(SHAPE, capacity)
  }

  push(grant: Grant): void {
    const place = this.next()
    const { at } = this
    at.grantedAt[place] = grant.grantedAt
    at.sequence[place] = grant.sequence
    at.user[place] = grant.user
    at.slot[place] = grant.slot
    at.pool[place] = grant.pool
  }

  nameStranger(id: string): void {
    if (this.strangers.size < STRANGERS_NAMED_MAX) this.strangers.set(this.length, id)
  }
}

export interface LedgerContext {
  readonly users: Users
  /** The names of the round's pools, in the order that the history's pool numbers mean. */
  readonly pools: readonly string[]
  /** How many grants to make room for; a guess only costs time. */
  readonly capacity?: number
}

const isCount = (value: unknown, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max

function pushLine(ledger: Ledger, line: string, context: LedgerContext): void {
  const row = JSON.parse(line) as Readonly<Record<string, unknown>>
  const { sequence, user_id: id, slot, pool: name, granted_at: at } = row
  const grantedAt = typeof at === 'string' ? Date.parse(at) : Number.NaN
  if (!isCount(sequence, SEQUENCE_MAX) || !isCount(slot, 255) || typeof id !== 'string' || Number.isNaN(grantedAt)) {
    throw new Error(`Row ${ledger.length + 1} of the ledger is not a grant: ${line.slice(0, 200)}`)
  }
  const user = context.users.indexOf(id)
  if (user < 0) ledger.nameStranger(id)
  const pool = typeof name === 'string' ? context.pools.indexOf(name) : -1
  ledger.push({ grantedAt, sequence, user: user < 0 ? STRANGER : user, slot, pool: pool < 0 ? NO_POOL : pool })
}

/** Reads an NDJSON export, a chunk at a time; chunks may cut lines and characters anywhere. */
export async function readLedger(chunks: AsyncIterable<Uint8Array>, context: LedgerContext): Promise<Ledger> {
  const ledger = new Ledger(context.capacity)
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true })
    let from = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      if (end > from) pushLine(ledger, text.slice(from, end), context)
      from = end + 1
    }
    rest = text.slice(from)
  }
  rest += decoder.decode()
  if (rest.trim() !== '') pushLine(ledger, rest, context)
  return ledger
}
