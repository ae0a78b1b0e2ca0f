/**
 * result.json: the seed, who won which seat, who waits, and the cutoffs, in the order of the scores.
 *
 *   {"seed":"<64 hex>","winners":["<tag>:<pool>",…],"waitlist":["<tag>",…],"cutoffs":{"<pool>":"<score>"|null,…}}
 *
 * It is written as bytes in parts, since the result of ten million seats would be longer than the longest text that a
 * program here can hold. The same draw gives the same bytes, which is what a resumed draw is compared by.
 * Rejected: a field for a second result, a time (commit.json has the one that matters).
 */
import { z } from 'zod'
import { type Allocation, allocate, type Cutoffs, cutoffsOf, type Quotas } from './allocation.ts'
import { isHex } from './digest.ts'
import { TAG_BYTES, tagAt } from './entry.ts'
import { parseJson } from './json-file.ts'
import { ScoreOrder } from './score-order.ts'

const ROWS_A_PART = 8192

/** A list of JSON texts without its brackets, in parts of bounded length. */
function writeRows(count: number, rowOf: (i: number) => string): readonly Buffer[] {
  const parts: Buffer[] = []
  for (let from = 0; from < count; from += ROWS_A_PART) {
    let text = from === 0 ? '' : ','
    const to = Math.min(count, from + ROWS_A_PART)
    for (let i = from; i < to; i++) text += i + 1 < to ? `"${rowOf(i)}",` : `"${rowOf(i)}"`
    parts.push(Buffer.from(text, 'latin1'))
  }
  return parts
}

/** A draw that was made: its indexes for the engine, its bytes for the world. */
export interface Draw {
  readonly allocation: Allocation
  readonly cutoffs: Cutoffs
  /** result.json. */
  readonly result: Buffer
}

/** Draws a list. `seed` has 32 bytes. Throws RangeError when an entry names a pool that the rules do not have. */
export function draw(seed: Uint8Array, entries: Buffer, quotas: Quotas): Draw {
  return drawInOrder(new ScoreOrder(seed, entries), { seed, entries, quotas })
}

interface DrawParts {
  readonly seed: Uint8Array
  readonly entries: Buffer
  readonly quotas: Quotas
}

/** Draws a list whose order under the seed is known already. */
export function drawInOrder(order: ScoreOrder, { seed, entries, quotas }: DrawParts): Draw {
  const allocation = allocate(order, entries, quotas)
  const cutoffs = cutoffsOf(order, quotas, allocation)
  const { winners, seats, waitlist } = allocation
  const tails = quotas.pools.map(({ name }) => `:${name}`)
  const result = Buffer.concat([
    Buffer.from(`{"seed":"${Buffer.from(seed).toString('hex')}","winners":[`),
    ...writeRows(winners.length, i => tagAt(entries, winners[i] as number) + tails[seats[i] as number]),
    Buffer.from('],"waitlist":['),
    ...writeRows(waitlist.length, i => tagAt(entries, waitlist[i] as number)),
    Buffer.from(`],"cutoffs":${JSON.stringify(cutoffs)}}`),
  ])
  return { allocation, cutoffs, result }
}

const texts = z.custom<readonly string[]>(
  value => Array.isArray(value) && value.every(row => typeof row === 'string'),
  'must be a list of texts',
)
const score = z
  .string()
  .refine(text => isHex(text, TAG_BYTES), `must be ${TAG_BYTES * 2} lower case hexadecimal digits`)

const schema = z
  .strictObject({
    seed: z.string().refine(text => isHex(text, 32), 'must be 64 lower case hexadecimal digits'),
    winners: texts,
    waitlist: texts,
    cutoffs: z.record(z.string(), score.nullable()),
  })
  .readonly()

/** result.json, read. */
export type Result = z.infer<typeof schema>

/** Reads result.json; what it says is not compared with anything yet. Throws BundleError. */
export function parseResult(bytes: Uint8Array): Result {
  return parseJson('result.json', bytes, schema)
}
