/**
 * The file of `fairgrab apply`: a campaign, its rounds, merchants and rates in YAML, read and validated by the schemas of the
 * API, and compared with what stands. What is left out of the file is nobody's to compare.
 *
 * A campaign and a round never change, but for the stock of a round, which is a decision of its own (somebody may be claiming);
 * so what differs there is named, with what to do, and not changed. Rejected: a state file beside the plan; it would be one more
 * thing that can be lost or be another one's, and names say enough.
 */
import { isDeepStrictEqual } from 'node:util'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { MERCHANTS_PER_REQUEST_MAX } from '../base/limits.ts'
import { type BudgetEffect, budgetExceeded } from '../campaign/money/commitments.ts'
import { closesOf, refusePacks } from '../campaign/operator/round-rules.ts'
import { budgetOf } from '../campaign/round/campaigns.ts'
import { packAmount } from '../campaign/round/round-config.ts'
import type { Rates } from '../campaign/voucher/controls.ts'
import { ConfigError } from '../config.ts'
import type { RoundAnswer } from '../wire/round-answer.ts'
import { complaints, merchantLine, newCampaign, newRound, rates } from '../wire/schemas.ts'
import { textFile } from './command.ts'

const namedRound = newRound.refine(({ name }) => name !== undefined, {
  path: ['name'],
  message: 'is missing; a round of a plan is known by it',
  // Also where another field is wrong, so that one run says all.
  when: ({ value }) => typeof value === 'object' && value !== null,
})

const unique = (names: readonly (string | undefined)[]): boolean => new Set(names).size === names.length

const plan = z.strictObject({
  campaign: newCampaign.optional(),
  rounds: z
    .array(namedRound)
    .refine(rounds => unique(rounds.map(({ name }) => name)), 'must have different names')
    .default([]),
  merchants: z
    .array(merchantLine)
    .max(MERCHANTS_PER_REQUEST_MAX)
    .refine(merchants => unique(merchants.map(({ id }) => id)), 'must have different ids')
    .default([]),
  rates: rates.optional(),
})

export type Plan = z.output<typeof plan>
export type PlannedRound = z.output<typeof newRound>

/** One field that is not as the file has it. */
export interface Difference {
  readonly field: string
  readonly is: unknown
  readonly file: unknown
}

/** Reads a plan; `-` is the input. Throws ConfigError with what is wrong and where. */
export async function readPlan(path: string): Promise<Plan> {
  const from = `${path} (from the command line)`
  const text = await textFile(path, 'YAML')
  const parsed = plan.safeParse(contentOf(text, from))
  if (!parsed.success)
    throw new ConfigError(`${from}: ${complaints(parsed.error).join('; ')}; docs/api.md has what each field may be`)
  const { campaign, rounds, merchants, rates: wanted = {} } = parsed.data
  if (!campaign && rounds.length + merchants.length + Object.keys(wanted).length === 0)
    throw new ConfigError(`${from}: there is nothing to make in it; give campaign, rounds, merchants or rates`)
  if (rounds.length > 0 && !campaign)
    throw new ConfigError(`${from}: rounds: there is no campaign beside them; give its fields under campaign`)
  return parsed.data
}

function contentOf(text: string, from: string): unknown {
  try {
    return parseYaml(text, { maxAliasCount: 100, schema: 'core' }) ?? {}
  } catch (cause) {
    throw new ConfigError(`${from} is not YAML: ${(cause as Error).message.split('\n')[0]}`)
  }
}

/** The fields of `wanted` that stand otherwise in `is`, by their paths. */
export function differences(is: unknown, wanted: unknown, path = ''): Difference[] {
  if (wanted === undefined || isDeepStrictEqual(is, wanted)) return []
  const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isMap(is) || !isMap(wanted)) return [{ field: path, is: is ?? null, file: wanted }]
  return Object.entries(wanted).flatMap(([name, value]) =>
    differences(is[name], value, path === '' ? name : `${path}.${name}`),
  )
}

/** How a round that stands differs from the file. A round that opens or closes by hand has its times from there. */
export function roundDifferences(is: RoundAnswer, wanted: PlannedRound): Difference[] {
  const { allocation, opens_at, closes_at, stock, pools } = wanted
  const totals = (rows: readonly { readonly name: string; readonly total: number }[]) =>
    Object.fromEntries(rows.map(({ name, total }) => [name, total]))
  const setAside = pools.map(pool => ({ name: pool.name, total: pool.stock }))
  const general = stock - setAside.reduce((sum, { total }) => sum + total, 0)
  const moment = (text: string | null) => (text === null ? undefined : new Date(text).toISOString())
  return [
    ...differences(is.allocation, allocation, 'allocation'),
    ...differences(is.opens_at, moment(opens_at), 'opens_at'),
    ...differences(is.closes_at, moment(closes_at), 'closes_at'),
    ...differences(totals(is.pools), totals([{ name: 'general', total: general }, ...setAside]), 'stock'),
  ]
}

/** How rates differ from those of the file; null is what each node is configured to. */
export const rateDifferences = (is: Rates, configured: Rates, wanted: NonNullable<Plan['rates']>): Difference[] =>
  differences(
    is,
    Object.fromEntries(Object.entries(wanted).map(([name, rate]) => [name, rate ?? configured[name as keyof Rates]])),
  )

/** What a round would commit in a campaign that is not there yet, by the engine's own rules; throws the engine's refusal. */
export function triedRound(campaign: NonNullable<Plan['campaign']>, wanted: PlannedRound, now: number): BudgetEffect {
  closesOf(wanted, now)
  refusePacks(wanted, campaign)
  const after = wanted.stock * packAmount(campaign.pack)
  return { currency: campaign.currency, before: 0, after, max_amount: budgetOf(campaign) }
}

/** What rounds commit together, each of which was tried as if it were alone; throws the engine's refusal. */
export function together(before: BudgetEffect | undefined, one: BudgetEffect, packs: number): BudgetEffect {
  const amount = one.after - one.before
  const after = (before?.after ?? one.before) + amount
  if (after > one.max_amount) throw budgetExceeded(packs, amount, one.max_amount)
  return { ...one, before: before?.before ?? one.before, after }
}
