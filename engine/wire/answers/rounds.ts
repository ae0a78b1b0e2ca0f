/**
 * Answers about campaigns and rounds: as they stand, and as a dry run says that they would. What a campaign is asked for with is
 * what it is answered with.
 */
import { z } from 'zod'
import { newCampaign } from '../schemas.ts'
import { amount, count, dryRun, moment, text } from './fields.ts'

const campaignFields = newCampaign.shape
export const campaign = z.strictObject({ id: text, ...campaignFields, created_at: moment }).meta({ id: 'Campaign' })
const campaignEffect = z
  .strictObject({ dry_run: dryRun, after: z.strictObject(campaignFields) })
  .meta({ id: 'CampaignEffect' })
export const madeCampaign = z.union([campaign, campaignEffect])

const counts = {
  total: count,
  granted: count,
  remaining: count,
  quarantined: count.optional().meta({ description: 'Packs that a fail-over left in doubt' }),
}
const setAside = z.strictObject({ from: count, to: count, released: z.boolean() })
export const roundState = z.enum(['scheduled', 'open', 'paused', 'sold_out', 'closed', 'fenced', 'drawing', 'drawn'])

const draw = {
  beacon: z.strictObject({ kind: z.enum(['commit', 'drand']) }),
  quota_order: z.enum(['general-first', 'pool-first']),
  waitlist: count,
  may_end_early: z.boolean().optional().meta({ description: 'Left out by rounds of older engines' }),
}
const firstCome = z.strictObject({ mode: z.literal('fcfs'), strict: z.literal(true).optional() })
const windows = z.strictObject({ mode: z.literal('window'), window_ms: z.int().min(1), ...draw })
const lottery = z.strictObject({ mode: z.literal('lottery'), draws_at: z.iso.datetime({ offset: true }), ...draw })

export const round = z
  .strictObject({
    id: text,
    campaign_id: text,
    name: text.optional(),
    state: roundState,
    opens_at: moment.nullable(),
    closes_at: moment.nullable(),
    allocation: z.discriminatedUnion('mode', [firstCome, windows, lottery]),
    stock: z.strictObject({ ...counts, epoch: text, version: count }),
    pools: z.array(z.strictObject({ name: text, ...counts })),
    set_aside: z.array(setAside).optional(),
    late: count.optional().meta({ description: 'Of a strict round: claims that came behind the point of service' }),
    draw_overdue_since: moment.optional(),
    problem: text.optional().meta({ description: 'What is wrong with its keys in Redis' }),
  })
  .meta({ id: 'Round' })

const unreadableRound = z
  .strictObject({ id: text, state: z.literal('fenced'), problem: text })
  .meta({ id: 'UnreadableRound', description: 'A round of a list that cannot be read' })
export const listedRound = z.union([round, unreadableRound])

const budgetEffect = z.strictObject({ currency: text, max_amount: amount, before: amount, after: amount })
const roundEffect = z
  .strictObject({ dry_run: dryRun, before: round, after: round, budget: budgetEffect.optional() })
  .meta({ id: 'RoundEffect' })
const newRoundEffect = z.strictObject({ dry_run: dryRun, budget: budgetEffect }).meta({ id: 'NewRoundEffect' })
export const changedRound = z.union([round, roundEffect])
export const madeRound = z.union([round, newRoundEffect])
