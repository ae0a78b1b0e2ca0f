/**
 * `fairgrab apply FILE`: makes what a plan has and the engine has not, a campaign, its rounds, merchants and rates. Twice is once,
 * also where the first try was cut off: what stands is found by its name, and the Idempotency-Key of what is made follows from
 * the names in the file. What is set (merchants, rates) is set under a key that follows from what was there before, too: so a
 * late copy of an old line changes nothing back, and whoever applies a plan again after another change is not taken for one.
 *
 * Prints a line for each thing: + made, ~ changed, = as the file has it, ! differs and cannot be changed by this. With the last,
 * exit code 99. A refusal comes behind the lines of what was done before it.
 *
 * Two campaigns, or two rounds of one campaign, with one name are nobody's to choose between, so they are refused. The engine makes
 * a thing once for a key and a scope: operators of two scopes who apply at once make it twice. So whoever made something
 * looks again at the end, and the later one of them sees it. Rejected: to close the second one here; people may claim it by then.
 */
import { createHash } from 'node:crypto'
import { Refusal } from '../base/assert.ts'
import { causesText } from '../base/causes.ts'
import type { BudgetEffect } from '../campaign/money/commitments.ts'
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
  together,
  triedRound,
} from './apply-plan.ts'
import { type Command, DRY_RUN, type Given, isDry, leverPath, wordAt } from './command.ts'
import { type Asked, askJson } from './engine-call.ts'
import { budgetLines } from './release-commands.ts'

/** What became of a thing of the plan, or would. */
interface Applied {
  readonly what: 'campaign' | 'round' | 'merchant' | 'rates'
  readonly name: string
  readonly done: 'made' | 'changed' | 'same' | 'differs'
  readonly id?: string
  readonly differences?: readonly Difference[]
}

/** What was done so far, and in a dry run what the rounds would commit together. */
interface Progress {
  readonly applied: Applied[]
  budget?: BudgetEffect
}

interface CampaignRow {
  readonly id: string
  readonly name: string
}
type RoundRow = RoundAnswer | DamagedRound

type PlannedCampaign = NonNullable<Plan['campaign']>
/** The campaign of a plan; without an id where a dry run found none. */
type Standing = PlannedCampaign & { readonly id?: string | undefined }

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

/** Does something, whose refusal is to name the thing. */
async function named<T>(thing: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new Error(cause instanceof Refusal ? `${thing}: ${cause.code}` : thing, { cause })
  }
}

/** What has a name, at most one. Throws for more. */
function theOnly<Row extends { readonly id: string }>(
  thing: string,
  rows: readonly Row[],
  advice: string,
): Row | undefined {
  const [row, other] = rows
  if (!other) return row
  const ids = rows.map(({ id }) => id).join(', ')
  throw new ConfigError(`${thing}: there are ${rows.length} of that name (${ids}); ${advice}`)
}

async function campaignNamed(given: Given, name: string): Promise<CampaignRow | undefined> {
  const rows = await listed<CampaignRow>(given, '/v1/campaigns')
  const advice = 'give the one of the file a name of its own'
  return theOnly(
    `campaign ${name}`,
    rows.filter(row => row.name === name),
    advice,
  )
}

const isOf =
  (name: string | undefined) =>
  (row: RoundRow): row is RoundAnswer =>
    !('problem' in row) && row.name === name

/** The rounds of a plan that stand, by their names. */
async function roundsNamed(
  given: Given,
  id: string,
  rounds: Plan['rounds'],
): Promise<ReadonlyMap<string, RoundAnswer>> {
  const rows = await listed<RoundRow>(given, `/v1/campaigns/${id}/rounds`)
  const advice =
    'close what is too many (fairgrab round close ROUND), and leave this round out of the file or give it another name there'
  const standing = new Map<string, RoundAnswer>()
  for (const { name = '' } of rounds) {
    const row = theOnly(`round ${name}`, rows.filter(isOf(name)), advice)
    if (row) standing.set(name, row)
  }
  return standing
}

async function applyCampaign(given: Given, wanted: PlannedCampaign, { applied }: Progress): Promise<Standing> {
  const { name } = wanted
  const standing = await campaignNamed(given, name)
  if (standing) {
    applied.push({ what: 'campaign', name, id: standing.id, ...sameness(differences(standing, wanted)) })
    return { ...wanted, id: standing.id }
  }
  const make = () => change<Partial<CampaignRow>>(given, '/v1/campaigns', keyOf('campaign', name), { body: wanted })
  const { id } = await named(`campaign ${name}`, make)
  applied.push({ what: 'campaign', name, done: 'made', ...(id === undefined ? {} : { id }) })
  return { ...wanted, id }
}

const sameness = (differ: readonly Difference[]) =>
  differ.length > 0 ? ({ done: 'differs', differences: differ } as const) : ({ done: 'same' } as const)

/** First the rounds that stand, so that their differences are printed also where another one is refused. */
async function applyRounds(given: Given, { rounds }: Plan, campaign: Standing, progress: Progress): Promise<void> {
  const { id } = campaign
  const standing = id === undefined ? new Map<string, RoundAnswer>() : await roundsNamed(given, id, rounds)
  const isThere = ({ name = '' }: PlannedRound) => standing.has(name)
  for (const wanted of rounds.filter(isThere)) {
    const name = wanted.name as string
    const is = standing.get(name) as RoundAnswer
    progress.applied.push({ what: 'round', name, id: is.id, ...sameness(roundDifferences(is, wanted)) })
  }
  for (const wanted of rounds.filter(each => !isThere(each)))
    await named(`round ${wanted.name}`, () => applyRound(given, campaign, wanted, progress))
}

/** Makes a round. A dry run asks the engine; of a campaign that is not there yet it is tried here. */
async function applyRound(given: Given, campaign: Standing, wanted: PlannedRound, progress: Progress): Promise<void> {
  const name = wanted.name as string
  const key = keyOf('round', campaign.name, name)
  const path = `/v1/campaigns/${campaign.id}/rounds`
  const made: { id?: string; budget?: BudgetEffect } =
    campaign.id === undefined
      ? { budget: triedRound(campaign, wanted, Date.now()) }
      : await change(given, path, key, { body: wanted })
  if (made.budget) progress.budget = together(progress.budget, made.budget, wanted.stock)
  progress.applied.push({ what: 'round', name, done: 'made', ...(made.id === undefined ? {} : { id: made.id }) })
}

/** Whoever made something looks whether somebody else made it, too. */
async function lookAgain(given: Given, { rounds }: Plan, { name }: PlannedCampaign): Promise<void> {
  const standing = await campaignNamed(given, name)
  if (standing) await roundsNamed(given, standing.id, rounds)
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

const isMade = ({ what, done }: Applied): boolean => done === 'made' && (what === 'campaign' || what === 'round')
const isOff = ({ applied }: Progress): boolean => applied.some(({ done }) => done === 'differs')

/** What a dry run cannot ask the engine of a campaign that is not there yet. */
const TRIED_HERE = [
  'The campaign is not there yet, so its rounds were tried by this command: budget, size, and dates by the clock of this machine.',
  '  Not tried: whether the level of durability of the engine allows them',
]

async function applyPlan(given: Given, plan: Plan, progress: Progress): Promise<void> {
  const { applied } = progress
  if (plan.campaign) {
    const campaign = await applyCampaign(given, plan.campaign, progress)
    await applyRounds(given, plan, campaign, progress)
  }
  applied.push(...(await applyMerchants(given, plan.merchants)))
  applied.push(...(await applyRates(given, plan.rates)))
  if (plan.campaign && !isDry(given) && applied.some(isMade)) await lookAgain(given, plan, plan.campaign)
}

function printProgress(given: Given, progress: Progress, refused?: string): void {
  const dry = isDry(given)
  const { applied, budget } = progress
  const isTriedHere = dry && applied.some(({ what, done }) => what === 'campaign' && done === 'made')
  given.print({ dry_run: dry, applied, ...(budget ? { budget } : {}), ...(refused === undefined ? {} : { refused }) }, [
    ...applied.flatMap(linesOf),
    ...(isOff(progress) ? ADVICE : []),
    ...(budget ? budgetLines(budget) : []),
    ...(isTriedHere && budget ? TRIED_HERE : []),
    ...(dry ? ['nothing was changed: this was a dry run'] : []),
  ])
}

async function apply(given: Given): Promise<number> {
  wordAt(given, 0, 'file', APPLY.usage[0] as string)
  const plan = await readPlan(given.words[0] as string)
  const progress: Progress = { applied: [] }
  try {
    await applyPlan(given, plan, progress)
  } catch (cause) {
    if (progress.applied.length > 0) printProgress(given, progress, causesText(cause))
    throw cause
  }
  printProgress(given, progress)
  return isOff(progress) ? FAILED : 0
}

export const APPLY: Command = {
  name: 'apply',
  usage: ['apply FILE [--dry-run]'],
  sentence: 'make what a file of YAML has: a campaign, its rounds, merchants, rates; twice is once',
  examples: ['fairgrab apply spring.yaml --dry-run', 'fairgrab apply spring.yaml'],
  options: { 'dry-run': DRY_RUN },
  run: apply,
}
