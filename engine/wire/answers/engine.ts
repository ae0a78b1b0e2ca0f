/**
 * Answers about the engine itself: rates, the audit log, readiness, its contracts; and what a refusal says, whatever was asked.
 * The codes are those of the outcome table.
 */
import { z } from 'zod'
import { CODES, type Code } from '../../base/codes.ts'
import { count, dryRun, hex, moment, text } from './fields.ts'

const rates = z
  .strictObject({ user: count, address: count, key: count })
  .meta({ id: 'Rates', description: 'Requests a second; 0 is no limit' })
export const ratesNow = z.strictObject({ rates, configured: rates })
const ratesEffect = z.strictObject({ dry_run: dryRun, before: rates, after: rates, configured: rates })
export const changedRates = z.union([ratesNow, ratesEffect])

export const auditEntry = z
  .strictObject({
    number: count,
    at: moment,
    request: text,
    who: text,
    via: text.optional(),
    action: text,
    target: text,
    body: text,
    outcome: text,
    chain: hex(40),
  })
  .meta({ id: 'AuditEntry' })

const findings = z.array(z.strictObject({ what: text, mend: text }))
export const readiness = z
  .strictObject({
    ready: z.boolean(),
    draining: z.boolean(),
    durability: text,
    declared: z.literal(true).optional(),
    nodes: count,
    redis_version: text,
    redis_memory_bytes: count,
    redis_commands: count,
    redis_ahead_ms: z.number(),
    stopped_shards: count,
    keys_refused: z.boolean(),
    metrics: z.enum(['public', 'key', 'off']),
    problems: findings,
    warnings: findings,
  })
  .meta({ id: 'Readiness' })
export const contract = z.record(z.string(), z.unknown())

/** What a refusal may say beside its code. */
export const problemDetails = z
  .strictObject({
    type: text,
    title: text,
    status: z.int(),
    code: z.enum(Object.keys(CODES) as [Code, ...Code[]]).meta({ description: 'Stable; act on it' }),
    detail: text.meta({ description: 'For people' }),
    outcome: text.optional().meta({ description: 'Where a claim was refused: the code' }),
    retry_after_s: count.optional().meta({ description: 'Seconds, rounded up; the header Retry-After says the same' }),
    retry_after_ms: count.optional().meta({ description: 'The same to the millisecond' }),
    opens_at: moment.nullable().optional().meta({ description: 'Of not_open; null: by hand' }),
    server_time: moment.optional().meta({ description: 'Of not_open' }),
    locked_until: moment.optional().meta({ description: 'Of voucher_locked' }),
    state: text.optional().meta({ description: 'Of wrong_state: the state that it is in' }),
    total: count.optional().meta({ description: 'Of changed: what the pool’s total is' }),
  })
  .meta({
    id: 'Problem',
    examples: [
      {
        type: 'urn:fairgrab:problem:paused',
        title: 'The round is paused',
        status: 409,
        code: 'paused',
        detail: 'The round is paused',
        outcome: 'paused',
        retry_after_s: 2,
        retry_after_ms: 2000,
      },
    ],
  })
