/**
 * What the engine sends on the stream, a schema an `op`: made of those of the same words over HTTP, so that a round, a grant and a
 * refusal cannot look otherwise on a socket. /asyncapi.json is made of these, and tests hold every frame that they get to them.
 */
import { z } from 'zod'
import { CODES, type Code } from '../../base/codes.ts'
import { enteredClaim, grantedClaim } from './claims.ts'
import { problemDetails } from './engine.ts'
import { count, hex, moment, text } from './fields.ts'
import { round } from './rounds.ts'

const id = z.union([z.int(), z.string()]).meta({ description: 'Of the frame that is answered' })
const code = z.enum(Object.keys(CODES) as [Code, ...Code[]])
const { stock, pools, state } = round.shape
const { retry_after_s, retry_after_ms, opens_at, server_time } = problemDetails.shape

const refusal = { code, outcome: code, retry_after_s, retry_after_ms, opens_at, server_time }
const result = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject({ op: z.literal('result'), id, ...shape })

export const SENT_FRAMES = {
  welcome: z.strictObject({ op: z.literal('welcome'), server_time: moment, max_frame_bytes: count }),
  subscribed: z.strictObject({ op: z.literal('subscribed'), id, topics: z.array(text) }),
  unsubscribed: z.strictObject({ op: z.literal('unsubscribed'), id, topics: z.array(text) }),
  stock: z
    .strictObject({
      op: z.literal('stock'),
      round_id: text,
      state,
      ...stock.shape,
      at: moment,
      pools: pools.optional(),
    })
    .meta({ description: 'The whole stock, never a difference; `pools` where the round has more than one' }),
  drawn: z
    .strictObject({
      op: z.literal('drawn'),
      round_id: text,
      window: count,
      seed: hex(64),
      cutoffs: z
        .record(z.string(), hex(32).nullable())
        .meta({ description: 'By pool: the last score that took a seat' }),
      beacon: z.record(z.string(), z.unknown()).meta({ description: 'The window’s beacon.json' }),
      root: hex(64),
    })
    .meta({ description: 'A draw and how its pools stood' }),
  result: z.union([result(grantedClaim.shape), result(enteredClaim.shape), result(refusal)]),
  results: z.strictObject({
    op: z.literal('results'),
    id,
    outcomes: z.array(code.exclude(['replayed'])),
    sequences: z.array(count).meta({ description: '0 where nothing was granted' }),
    replayed: z
      .array(count)
      .min(1)
      .optional()
      .meta({ description: 'The places of those that had been granted before' }),
  }),
  pong: z.strictObject({ op: z.literal('pong'), id, server_time: moment }),
  error: z.strictObject({ op: z.literal('error'), id, code, detail: text.meta({ description: 'For people' }) }),
} as const
