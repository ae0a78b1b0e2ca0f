/**
 * Lists: a page as `data`, `has_more`, `next_cursor`, or everything as NDJSON, a line a row. A cursor is what the last
 * row is known by, so a list that grows behind it goes on where it was.
 */
import { Fault, Refusal } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { LIST_ROWS_DEFAULT, LIST_ROWS_MAX } from '../../base/limits.ts'
import { accepts } from '../../wire/encoding.ts'
import type { Exchange } from '../uws/exchange.ts'
import type { Answer, Call, Services } from './gateway.ts'

const LINES_A_CHUNK = 512

/**
 * Thrown behind rows that are not all, when the others cannot be found now. A page ends before it and says that there is more, so the
 * next page gives the reason; what streams breaks off.
 */
export class RestAway extends Fault {}

/** A page of rows, or all of them as NDJSON where that is asked for; `cursorOf` gives the cursor behind a row. */
export async function listRows<Row>(
  services: Pick<Services, 'kept' | 'clock'>,
  { query, exchange }: Call,
  found: AsyncIterable<Row> | Iterable<Row>,
  cursorOf: (row: Row) => string,
): Promise<Answer | undefined> {
  const rows = toTheEnd(services, found)
  if (accepts(exchange.accept, 'application/x-ndjson')) return ndjson(exchange, rows, services.clock)
  const limit = Number(query.get('limit') ?? LIST_ROWS_DEFAULT)
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_ROWS_MAX)
    throw new Refusal('invalid', `limit: must be 1..${LIST_ROWS_MAX}`)
  const { data, more } = await pageOf(rows, limit)
  const last = data.at(-1)
  const next = more && last !== undefined ? cursorOf(last) : null
  return { status: 200, body: { data, has_more: more, next_cursor: next } }
}

async function pageOf<Row>(rows: AsyncIterable<Row>, limit: number): Promise<{ data: Row[]; more: boolean }> {
  const data: Row[] = []
  try {
    for await (const row of rows) {
      if (data.length === limit) return { data, more: true }
      data.push(row)
    }
    return { data, more: false }
  } catch (cause) {
    if (data.length === 0 || !(cause instanceof RestAway)) throw cause
    return { data, more: true }
  }
}

/** Whether Redis, or a shard of it, does not answer; what it answers is another thing. */
export const isAway = (cause: unknown): cause is Fault =>
  cause instanceof Fault && (cause.code === 'unavailable' || cause.code === 'unknown')

/** A list that ends says that there is no more, so none ends while Redis lacks everything. */
async function* toTheEnd<Row>({ kept }: Pick<Services, 'kept' | 'clock'>, rows: AsyncIterable<Row> | Iterable<Row>) {
  yield* rows
  await kept().catch(cause => {
    throw isAway(cause) ? new RestAway(cause.code, cause.message) : cause
  })
}

/** A cursor that is a number: the place of the last row; 0 where there is none. */
export function placeOf(query: URLSearchParams): number {
  const cursor = query.get('cursor') ?? '0'
  if (!/^\d{1,15}$/.test(cursor)) throw new Refusal('invalid', 'cursor: take it from next_cursor')
  return Number(cursor)
}

/** Rows behind a cursor, for lists that are short enough to be in memory. */
export function behind<Row>(rows: readonly Row[], cursor: string | null, idOf: (row: Row) => string): readonly Row[] {
  if (cursor === null) return rows
  const at = rows.findIndex(row => idOf(row) === cursor)
  if (at < 0) throw new Refusal('invalid', 'cursor: take it from next_cursor')
  return rows.slice(at + 1)
}

async function* lines(rows: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<string> {
  let chunk = ''
  let held = 0
  for await (const row of rows) {
    chunk += `${JSON.stringify(row)}\n`
    if (++held < LINES_A_CHUNK) continue
    yield chunk
    chunk = ''
    held = 0
  }
  if (chunk !== '') yield chunk
}

/** Streams all rows; the exchange is answered when this ends. */
async function ndjson(
  exchange: Exchange,
  rows: AsyncIterable<unknown> | Iterable<unknown>,
  clock: Clock,
): Promise<undefined> {
  await exchange.stream('application/x-ndjson', lines(rows), clock)
  return undefined
}
