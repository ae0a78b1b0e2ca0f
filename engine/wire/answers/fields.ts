/**
 * Fields that answers have in common. Answers are described by the same means as requests (wire/schemas.ts): /openapi.json is made of
 * these objects, and tests hold every answer that they get to the document. They are strict, so that an answer with a field that
 * nobody described fails a test; the document leaves that out, since a later version may add fields.
 */
import { z } from 'zod'

export const text = z.string()
export const count = z.int().min(0)
export const amount = z.int().meta({ description: 'Minor units' })
export const moment = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time', description: 'RFC 3339 in UTC, with milliseconds' })
export const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`))
export const dryRun = z.literal(true).meta({ description: 'Nothing was changed' })
export const sequence = z.int().min(1).meta({ description: 'Counts the grants of the round: 1, 2, 3, …' })
export const slot = z.int().min(1)
export const voucherState = z.enum(['active', 'locked', 'redeemed', 'expired', 'deactivated'])
