/**
 * `fairgrab apply FILE`: makes what a plan has and the engine has not, a campaign, its rounds, merchants and rates. Twice is once,
 * also where the first try was cut off: what stands is found by its name, and the Idempotency-Key of what is made follows from
 * the names in the file. What is set (merchants, rates) is set under a key that follows from what was there before, too: so a
 * late copy of an old line changes nothing back, and whoever applies a plan again after another change is not taken for one.
 *
 * Prints a line for each thing: + made, ~ changed, = as the file has it, ! differs and cannot be changed by this. With the last,
 * exit code 99. Two campaigns of one name are nobody's to choose between, so they are refused.
 */
import { createHash } from 'node:crypto'
import type { Rates } from '../campaign/voucher/controls.ts'
import type { Merchant } from '../campaign/voucher/merchants.ts'
import { ConfigError } from '../config.ts'
import type { DamagedRound, RoundAnswer } from '../wire/round-answer.ts'
import {
  type Difference,
  differences,
  type Plan,
  type PlannedRound,
  rateDifferences,
  readPlan,
  roundDifferences,
} from './apply-plan.ts'
import { type Command, DRY_RUN, type Given, isDry, leverPath, wordAt } from './command.ts'
import { type Asked, askJson } from './engine-call.ts'

/** What became of a thing of the plan, or would. */
interface Applied {
  readonly what: 'campaign' | 'round' | 'merchant' | 'rates'
  readonly name: string
  readonly done: 'made' | 'changed' | 'same' | 'differs'
  readonly id?: string
  readonly differences?: readonly Difference[]
}

interface CampaignRow {
  readonly id: string
  readonly name: string
}
type RoundRow = RoundAnswer | DamagedRound

interface RatesAnswer {
  readonly rates: Rates
  readonly configured: Rates
}

const SIGNS = { made: '+', changed: '~', same: '=', differs: '!' } as const
const FAILED = 99

const keyOf = (...words: readonly unknown[]): string =>
  `apply-${createHash('sha256').update(JSON.stringify(words)).digest('hex').slice(0, 40)}`

/** All rows of a list, page by page. */
async function listed<Row>(given: Given, path: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { data: Row[]; next_cursor: string | null } = await askJson(
      given.target,
      `${path}?limit=1000${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
    )
    rows.push(...page.data)
    cursor = page.next_cursor
  }
  return rows
}

/** Asks for a change under a key; in a dry run, what it would do. */
const change = <Body>(given: Given, path: string, key: string, asked: Asked): Promise<Body> =>
  askJson<Body>(given.target, leverPath(given, path), { method: 'POST', ...asked, key })

async function applyCampaign(given: Given, wanted: NonNullable<Plan['campaign']>): Promise<Applied> {
  const { name } = wanted
  const rows = (await listed<CampaignRow>(given, '/v1/campaigns')).filter(row => row.name === name)
  const [standing, other] = rows
  if (other)
    throw new ConfigError(
      `campaign ${name}: there are ${rows.length} of that name (${rows.map(({ id }) => id).join(', ')}); give the one of the file a name of its own`,
    )
  if (standing) {
    const differ = differences(standing, wanted)
    return { what: 'campaign', name, id: standing.id, ...(differ.length > 0 ? differing(differ) : { done: 'same' }) }
  }
  const made = await change<Partial<CampaignRow>>(given, '/v1/campaigns', keyOf('campaign', name), { body: wanted })
  return { what: 'campaign', name, done: 'made', ...(made.id === undefined ? {} : { id: made.id }) }
}

const differing = (differ: readonly Difference[]) => ({ done: 'differs', differences: differ }) as const

const isOf =
  (name: string | undefined) =>
  (row: RoundRow): row is RoundAnswer =>
    !('problem' in row) && row.name === name

async function applyRounds(given: Given, { campaign, rounds }: Plan, id: string | undefined): Promise<Applied[]> {
  const rows = id === undefined ? [] : await listed<RoundRow>(given, `/v1/campaigns/${id}/rounds`)
  const applied: Applied[] = []
  for (const wanted of rounds) {
    const name = wanted.name as string
    const standing = rows.find(isOf(name))
    if (standing) applied.push(standingRound(standing, wanted))
    // A dry run of a campaign that is not there yet has nothing to ask about its rounds.
    else if (id === undefined) applied.push({ what: 'round', name, done: 'made' })
    else {
      const key = keyOf('round', campaign?.name, name)
      const made = await change<Partial<RoundAnswer>>(given, `/v1/campaigns/${id}/rounds`, key, { body: wanted })
      applied.push({ what: 'round', name, done: 'made', ...(made.id === undefined ? {} : { id: made.id }) })
    }
  }
  return applied
}

function standingRound(standing: RoundAnswer, wanted: PlannedRound): Applied {
  const differ = roundDifferences(standing, wanted)
  const name = wanted.name as string
  return { what: 'round', name, id: standing.id, ...(differ.length > 0 ? differing(differ) : { done: 'same' }) }
}

async function applyMerchants(given: Given, wanted: readonly Merchant[]): Promise<Applied[]> {
  if (wanted.length === 0) return []
  const standing = new Map((await listed<Merchant>(given, '/v1/merchants')).map(row => [row.id, row]))
  const applied = wanted.map((merchant): Applied => {
    const is = standing.get(merchant.id)
    if (!is) return { what: 'merchant', name: merchant.id, done: 'made' }
    const differ = differences(is, merchant)
    return {
      what: 'merchant',
      name: merchant.id,
      ...(differ.length > 0 ? { done: 'changed', differences: differ } : { done: 'same' }),
    }
  })
  const lines = wanted.filter((_, i) => applied[i]?.done !== 'same')
  if (lines.length > 0 && !isDry(given)) {
    const key = keyOf(
      'merchants',
      lines,
      lines.map(({ id }) => standing.get(id) ?? null),
    )
    await change(given, '/v1/merchants', key, { method: 'PUT', lines })
  }
  return applied
}

async function applyRates(given: Given, wanted: Plan['rates']): Promise<Applied[]> {
  if (!wanted || Object.keys(wanted).length === 0) return []
  const { rates, configured } = await askJson<RatesAnswer>(given.target, '/v1/rates')
  const differ = rateDifferences(rates, configured, wanted)
  const name = Object.keys(wanted).join(', ')
  if (differ.length === 0) return [{ what: 'rates', name, done: 'same' }]
  await change(given, '/v1/rates', keyOf('rates', wanted, rates), { body: wanted })
  return [{ what: 'rates', name, done: 'changed', differences: differ }]
}

function linesOf({ what, name, done, id, differences: differ = [] }: Applied): readonly string[] {
  const head = `${SIGNS[done]} ${what} ${name}${id === undefined ? '' : `  ${id}`}`
  return [
    head,
    ...differ.map(({ field, is, file }) => `    ${field}: ${JSON.stringify(is)}, the file has ${JSON.stringify(file)}`),
  ]
}

const ADVICE = [
  'What has a ! is not changed by this: a campaign and a round keep their rules. Correct the file, give the thing another name to make',
  '  a new one, or change the stock of a round with fairgrab round stock ROUND --add N',
]

async function apply(given: Given): Promise<number> {
  wordAt(given, 0, 'file', APPLY.usage[0] as string)
  const plan = await readPlan(given.words[0] as string)
  const applied: Applied[] = plan.campaign ? [await applyCampaign(given, plan.campaign)] : []
  applied.push(...(await applyRounds(given, plan, applied[0]?.id)))
  applied.push(...(await applyMerchants(given, plan.merchants)), ...(await applyRates(given, plan.rates)))
  const isOff = applied.some(({ done }) => done === 'differs')
  const dry = isDry(given)
  given.print({ dry_run: dry, applied }, [
    ...applied.flatMap(linesOf),
    ...(isOff ? ADVICE : []),
    ...(dry ? ['nothing was changed: this was a dry run'] : []),
  ])
  return isOff ? FAILED : 0
}

export const APPLY: Command = {
  name: 'apply',
  usage: ['apply FILE [--dry-run]'],
  sentence: 'make what a file of YAML has: a campaign, its rounds, merchants, rates; twice is once',
  examples: ['fairgrab apply spring.yaml --dry-run', 'fairgrab apply spring.yaml'],
  options: { 'dry-run': DRY_RUN },
  run: apply,
}
