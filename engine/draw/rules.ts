/**
 * rules.json: what was promised before anybody entered. Its exact bytes are hashed into the seed.
 *
 * The rules are those of one draw. A lottery has one. A round in `window` mode has one set a window: `window` counts
 * from 0, `opens_at` and `closes_at` are the window's, `stock` and the pools' totals are what the windows before left,
 * and the beacon is the window's own: a secret that an earlier window revealed would be known while this one is open.
 * With a `commit` beacon the windows' secrets are a hash chain (beacon.ts), so the first rules fix them all.
 * `may_end_early` says whether the operator may end the window before `closes_at`; rules that have it, and all that an engine
 * writes now do, demand that the commitment states what changed in the window and when (times.ts).
 * An unknown field is refused: it could mean something to another reader. `writeRules` has one form (fields in the
 * order of the schema, no spaces), but what counts are the bytes that were published, however they are spaced.
 */
import { z } from 'zod'
import { STOCK_MAX } from '../base/limits.ts'
import { type QuotaOrder, WAITLIST } from './allocation.ts'
import { sha256 } from './digest.ts'
import { BundleError, hex, parseJson } from './json-file.ts'
import { LEAF_RECORDS } from './merkle.ts'

const moment = z.iso.datetime({ message: 'must be RFC 3339 in UTC, such as 2026-12-01T10:00:00.000Z' })

const pool = z.strictObject({
  name: z.string().regex(/^[a-z0-9_-]{1,64}$/, 'must be 1..64 of a-z 0-9 _ -'),
  total: z.int().min(0).max(STOCK_MAX),
})

const beacon = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('commit'), hash: hex(32) }),
  z.strictObject({ kind: z.literal('drand'), chain: hex(32), round: z.int().min(1) }),
])

const schema = z
  .strictObject({
    v: z.literal(1),
    round_id: z.string().min(1).max(128),
    mode: z.enum(['window', 'lottery']),
    window: z.int().min(0).optional(),
    stock: z.int().min(0).max(STOCK_MAX),
    pools: z.array(pool).min(1).max(256),
    quota_order: z.enum(['general-first', 'pool-first'] satisfies QuotaOrder[]),
    waitlist: z.int().min(0).max(STOCK_MAX),
    window_ms: z.int().min(1).optional(),
    opens_at: moment,
    closes_at: moment,
    may_end_early: z.boolean().optional(),
    beacon,
    leaf_records: z.literal(LEAF_RECORDS),
  })
  .readonly()

export type Rules = z.infer<typeof schema>
export type RulesBeacon = Rules['beacon']

/** What a schema cannot say of one field alone. */
function findContradiction(rules: Rules): string | undefined {
  const names = rules.pools.map(({ name }) => name)
  const total = rules.pools.reduce((sum, { total: seats }) => sum + seats, 0)
  if (names[0] !== 'general') return `pools[0].name is "${names[0]}"; the first pool must be "general"`
  if (new Set(names).size !== names.length) return 'pools: a name stands there twice'
  if (names.includes(WAITLIST))
    return `pools: "${WAITLIST}" is what the cutoffs call the waitlist; name the pool otherwise`
  if (total !== rules.stock) return `stock is ${rules.stock}, but the pools add up to ${total}`
  if (rules.opens_at >= rules.closes_at) return 'closes_at is not after opens_at'
  if (rules.mode === 'lottery' && (rules.window ?? 0) !== 0) return 'window: a lottery has one draw, window 0'
  return undefined
}

/** Reads rules.json. Throws BundleError that names the field and what it has to be. */
export function parseRules(bytes: Uint8Array): Rules {
  const rules = parseJson('rules.json', bytes, schema)
  const contradiction = findContradiction(rules)
  if (contradiction !== undefined) throw new BundleError('rules.json', contradiction)
  return rules
}

/** The bytes to publish. Throws BundleError when the rules contradict themselves. */
export function writeRules(rules: Rules): Buffer {
  const bytes = Buffer.from(JSON.stringify(rules))
  // The schema's order of fields, whatever order the caller wrote them in.
  return Buffer.from(JSON.stringify(parseRules(bytes)))
}

/** SHA-256 of the bytes as they were published. */
export function hashRules(bytes: Uint8Array): Buffer {
  return sha256(bytes)
}

/** The window that rules are of: 0 in a lottery. */
export function windowOf(rules: Rules): number {
  return rules.window ?? 0
}
