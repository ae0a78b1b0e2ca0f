/**
 * `fairgrab campaign` and `fairgrab round`: the operator's verbs in a terminal, the same as on the page and in the API.
 * With --dry-run a lever shows what it would change and changes nothing. A campaign is read from a file, because its
 * pack has too many parts for a line; a round fits one.
 */
import { moneyText } from '../base/currency.ts'
import { AMOUNT_MAX, LIST_ROWS_MAX, STOCK_MAX } from '../base/limits.ts'
import type { BudgetEffect } from '../campaign/money/commitments.ts'
import { ConfigError } from '../config.ts'
import type { DamagedRound, RoundAnswer } from '../wire/round-answer.ts'
import {
  type Command,
  countOf,
  DRY_RUN,
  type Given,
  leverPath,
  nowThen,
  ONCE,
  textFile,
  verbOf,
  wordAt,
} from './command.ts'
import { askJson, EngineRefusal, type Target } from './engine-call.ts'
import { newRound, roundOptions } from './round-options.ts'

interface CampaignRow {
  readonly id: string
  readonly name: string
  readonly currency: string
  readonly created_at: string
}
interface Effect {
  readonly before: RoundAnswer
  readonly after: RoundAnswer
}

interface DryCampaign {
  readonly after: { readonly currency: string; readonly budget?: { readonly max_amount?: number } }
}
interface DryRound {
  readonly budget: BudgetEffect
}

const MADE = 'it would be made; nothing was'

function dryCampaign({ after: { currency, budget } }: DryCampaign): string {
  const most = budget?.max_amount
  if (most === undefined) return `${MADE}. It has no budget of its own`
  return `${MADE}. Its budget is ${moneyText(most, currency)} ${currency}, and no round commits any of it yet`
}

/** What is committed of a budget now, and what would be. */
export function budgetLines({ currency, before, after, max_amount: most }: BudgetEffect): readonly string[] {
  const of = most < AMOUNT_MAX ? ` of ${moneyText(most, currency)}` : ''
  const line = (sum: number) => `${moneyText(sum, currency)}${of} ${currency} committed`
  return nowThen(line(before), line(after))
}

const dryRound = ({ budget }: DryRound): readonly string[] => [MADE, ...budgetLines(budget)]

/** A round as the lists have it: one that cannot be read says why, where the others have their stock. */
export function roundLine(round: RoundAnswer | DamagedRound): string {
  const head = `${round.id}  ${round.state.padEnd(9)}  `
  if ('problem' in round) return head + round.problem
  const { remaining, total, quarantined } = round.stock
  const stock = `${String(remaining).padStart(9)} left of ${total}${quarantined ? `, ${quarantined} quarantined` : ''}`
  return `${head}${stock}${round.name === undefined ? '' : `  ${round.name}`}`
}

const campaignLine = ({ id, name, currency, created_at }: CampaignRow): string =>
  `${id}  ${created_at}  ${currency}  ${name}`

interface Page<Row> {
  readonly data: readonly Row[]
  readonly has_more: boolean
  readonly next_cursor: string | null
}

/** All rows that a path lists, page by page; where a page behind the first is refused, what came before it and why. */
async function wholeList<Row>(target: Target, path: string): Promise<{ list: Page<Row>; broken?: Error }> {
  let list = await askJson<Page<Row>>(target, `${path}?limit=${LIST_ROWS_MAX}`)
  while (list.has_more) {
    try {
      const cursor = encodeURIComponent(String(list.next_cursor))
      const next = await askJson<Page<Row>>(target, `${path}?limit=${LIST_ROWS_MAX}&cursor=${cursor}`)
      list = { ...next, data: [...list.data, ...next.data] }
    } catch (cause) {
      return { list, broken: cause as Error }
    }
  }
  return { list }
}

/** Prints what a path lists, a line a row. A list that breaks off is printed as far as it goes, and ends the command with why. */
async function printList<Row>(given: Given, path: string, lineOf: (row: Row) => string, none: string): Promise<number> {
  const { list, broken } = await wholeList<Row>(given.target, path)
  given.print(list, list.data.length === 0 ? none : list.data.map(lineOf))
  if (broken) throw new Error(`this list may be incomplete, what comes next cannot be asked: ${whyIncomplete(broken)}`)
  return 0
}

const whyIncomplete = (cause: Error): string =>
  cause instanceof EngineRefusal && ['unavailable', 'unknown'].includes(cause.code)
    ? `${cause.message}. A shard of the cluster, or Redis, is away: GET /readyz?verbose names it`
    : cause.message

/** Prints the one thing of a path. */
async function printWhole(given: Given, path: string): Promise<number> {
  const whole = await askJson<unknown>(given.target, path)
  given.print(whole, wholeOf(whole))
  return 0
}

/** An answer with all that it has, as people read JSON. */
const wholeOf = (answer: unknown): readonly string[] => JSON.stringify(answer, null, 2).split('\n')

async function jsonFile(path: string): Promise<unknown> {
  const text = await textFile(path, 'JSON')
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ConfigError(
      `${path} (from the command line) is not JSON: ${(cause as Error).message}; docs/api.md has a campaign to copy`,
    )
  }
}

export const CAMPAIGN: Command = {
  name: 'campaign',
  usage: ['campaign list', 'campaign show CAMPAIGN', 'campaign create FILE [--dry-run]'],
  sentence: 'list, show and create campaigns',
  examples: ['fairgrab campaign list', 'fairgrab campaign create spring.json --dry-run'],
  options: { 'dry-run': DRY_RUN, ...ONCE },
  run: async given => {
    const verb = verbOf(CAMPAIGN, given, ['list', 'show', 'create'])
    const none = 'there is no campaign yet; fairgrab campaign create FILE makes one'
    if (verb === 'list') return printList(given, '/v1/campaigns', campaignLine, none)
    if (verb === 'show')
      return printWhole(given, `/v1/campaigns/${wordAt(given, 1, 'campaign', 'campaign show CAMPAIGN')}`)
    wordAt(given, 1, 'file', 'campaign create FILE')
    const body = await jsonFile(given.words[1] as string)
    const made = await askJson<CampaignRow | DryCampaign>(given.target, leverPath(given, '/v1/campaigns'), {
      method: 'POST',
      body,
    })
    given.print(made, 'after' in made ? dryCampaign(made) : campaignLine(made))
    return 0
  },
}

const LEVERS = ['open', 'pause', 'resume', 'close', 'release'] as const
const VERBS = ['list', 'show', 'create', ...LEVERS, 'stock'] as const

async function createRound(given: Given): Promise<number> {
  const campaign = wordAt(given, 1, 'campaign', 'round create CAMPAIGN --stock N')
  const path = leverPath(given, `/v1/campaigns/${campaign}/rounds`)
  const made = await askJson<RoundAnswer | DryRound>(given.target, path, { method: 'POST', body: newRound(given) })
  given.print(made, 'budget' in made ? dryRound(made) : roundLine(made))
  return 0
}

function stockChange(given: Given) {
  const { pool, 'if-total': total } = given.values
  return {
    add: countOf(given, 'add', [-STOCK_MAX, STOCK_MAX]),
    ...(pool === undefined ? {} : { pool }),
    ...(total === undefined ? {} : { if_total: countOf(given, 'if-total', [0, STOCK_MAX]) }),
  }
}

async function pull(given: Given, verb: string): Promise<number> {
  const id = wordAt(given, 1, 'round', `round ${verb} ROUND${verb === 'stock' ? ' --add N' : ''}`)
  const body = verb === 'stock' ? stockChange(given) : undefined
  const path = leverPath(given, `/v1/rounds/${id}/${verb}`)
  const answer = await askJson<RoundAnswer | Effect>(given.target, path, { method: 'POST', ...(body ? { body } : {}) })
  given.print(
    answer,
    'after' in answer ? nowThen(roundLine(answer.before), roundLine(answer.after)) : roundLine(answer),
  )
  return 0
}

export const ROUND: Command = {
  name: 'round',
  usage: [
    'round list',
    'round show ROUND',
    'round create CAMPAIGN --stock N [--name TEXT] [--opens-at TIME] [--closes-at TIME] [--pool NAME=N,…] [--strict] [--dry-run]',
    'round create CAMPAIGN --stock N --allocation window [--window-ms N] [--beacon drand] [--quota-order pool-first] [--waitlist N] [--may-end-early]',
    'round create CAMPAIGN --stock N --allocation lottery --draws-at TIME [--beacon drand] [--quota-order pool-first] [--waitlist N] [--may-end-early]',
    'round open|pause|resume|close|release ROUND [--dry-run]',
    'round stock ROUND --add N [--pool NAME] [--if-total N] [--dry-run]',
  ],
  sentence: 'list, show, create and turn rounds',
  examples: [
    'fairgrab round create cmp_… --stock 1000 --opens-at 2026-12-01T10:00:00Z',
    'fairgrab round pause rnd_… --dry-run',
  ],
  options: {
    ...roundOptions,
    add: { type: 'string', says: 'packs to add; a negative number takes unsold ones back (--add=-5)' },
    'if-total': { type: 'string', says: "what the pool's total has to be now; else nothing changes" },
    'dry-run': DRY_RUN,
    ...ONCE,
  },
  run: async given => {
    const verb = verbOf(ROUND, given, VERBS)
    if (verb === 'create') return createRound(given)
    if (verb === 'show') return printWhole(given, `/v1/rounds/${wordAt(given, 1, 'round', 'round show ROUND')}`)
    if (verb !== 'list') return pull(given, verb)
    const none = 'there is no round yet; fairgrab round create CAMPAIGN --stock N makes one'
    return printList(given, '/v1/rounds', roundLine, none)
  },
}
