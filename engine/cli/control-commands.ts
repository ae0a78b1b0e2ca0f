/**
 * `fairgrab rates`, `fairgrab merchant` and `fairgrab voucher`: the levers that are of no round, and one case looked up. Each
 * lever knows --dry-run and does what the page and the API do; a change is answered when it holds on every node.
 */
import { type HeldMerchant, RATE_NAMES, type Rates } from '../campaign/voucher/controls.ts'
import type { HistoryEvent } from '../campaign/voucher/histories.ts'
import { ConfigError } from '../config.ts'
import {
  type Command,
  countOf,
  DRY_RUN,
  type Given,
  isDry,
  leverPath,
  nowThen,
  ONCE,
  textOf,
  verbOf,
  wordAt,
} from './command.ts'
import { askJson } from './engine-call.ts'

const RATE_MAX = 10_000_000

interface RatesAnswer {
  readonly rates: Rates
  readonly before?: Rates
  readonly after: Rates
}

const reason = { type: 'string', says: 'why; it is kept in the audit log' } as const

const ratesLine = (rates: Rates): string =>
  RATE_NAMES.map(name => `${name} ${rates[name] === 0 ? 'no limit' : `${rates[name]}/s`}`).join(', ')

function rateChange(given: Given) {
  const { reset } = given.values
  if (reset === true) return { user: null, address: null, key: null }
  const set = RATE_NAMES.filter(name => given.values[`per-${name}`] !== undefined)
  if (set.length === 0) throw new ConfigError('which rate? Give --per-user N, --per-address N, --per-key N, or --reset')
  return Object.fromEntries(set.map(name => [name, countOf(given, `per-${name}`, [0, RATE_MAX])]))
}

export const RATES_COMMAND: Command = {
  name: 'rates',
  usage: [
    'rates show',
    'rates set [--per-user N] [--per-address N] [--per-key N] [--dry-run]',
    'rates set --reset [--dry-run]',
  ],
  sentence: 'requests a second that a caller may make; set on every node at once',
  examples: ['fairgrab rates set --per-user 5 --dry-run', 'fairgrab rates set --reset'],
  options: {
    'per-user': { type: 'string', says: 'what one user may ask by their token; 0 is no limit' },
    'per-address': { type: 'string', says: 'what one address may ask without a key' },
    'per-key': { type: 'string', says: 'what one API key may ask, yours among them' },
    reset: { type: 'boolean', says: "take back what was set: each node's configuration holds again" },
    'dry-run': DRY_RUN,
    ...ONCE,
  },
  run: async given => {
    if (verbOf(RATES_COMMAND, given, ['show', 'set']) === 'show') {
      const answer = await askJson<RatesAnswer>(given.target, '/v1/rates')
      given.print(answer, ratesLine(answer.rates))
      return 0
    }
    const body = rateChange(given)
    const answer = await askJson<RatesAnswer>(given.target, leverPath(given, '/v1/rates'), { method: 'POST', body })
    const { before, after, rates } = answer
    given.print(answer, before ? nowThen(ratesLine(before), ratesLine(after)) : ratesLine(rates))
    return 0
  },
}

interface HoldAnswer {
  readonly held?: HeldMerchant | null
  readonly before?: HeldMerchant | null
  readonly after?: HeldMerchant | null
  readonly redemptions?: number
}

const heldLine = ({ merchant_id, reason: why, by, at }: HeldMerchant): string =>
  `${merchant_id}  held since ${at}: ${why}  (${by})`
const heldWords = (held: HeldMerchant | null | undefined): string => (held ? `held: ${held.reason}` : 'not held')

async function pullMerchant(given: Given, verb: string): Promise<number> {
  const id = wordAt(given, 1, 'merchant', `merchant ${verb} MERCHANT`)
  const merchant = given.words[1] as string
  const takesBack = verb === 'take-back'
  const why = verb === 'release' ? {} : { body: { reason: textOf(given, 'reason', '"complaint 4711"') } }
  const path = takesBack
    ? `/v1/campaigns/${encodeURIComponent(textOf(given, 'campaign', 'cmp_…'))}/holds`
    : `/v1/merchants/${id}/${verb}`
  const body = takesBack ? { body: { merchant_id: merchant, ...why.body } } : why
  const answer = await askJson<HoldAnswer>(given.target, leverPath(given, path), { method: 'POST', ...body })
  const { redemptions, before, after, held } = answer
  const lines = isDry(given) ? nowThen(heldWords(before), heldWords(after)) : heldWords(held)
  const count = `${redemptions} redemptions ${isDry(given) ? 'would be' : 'were'} deactivated`
  given.print(answer, takesBack ? count : lines)
  return 0
}

export const MERCHANT: Command = {
  name: 'merchant',
  usage: [
    'merchant list',
    'merchant hold MERCHANT --reason TEXT [--dry-run]',
    'merchant release MERCHANT [--dry-run]',
    'merchant take-back MERCHANT --campaign CAMPAIGN --reason TEXT [--dry-run]',
  ],
  sentence: 'hold a merchant, who then redeems nothing; take back what is not settled',
  examples: [
    'fairgrab merchant hold m1 --reason "fake orders"',
    'fairgrab merchant take-back m1 --campaign cmp_… --reason "fake orders" --dry-run',
  ],
  options: {
    reason,
    campaign: { type: 'string', says: 'the campaign whose redemptions are taken back' },
    'dry-run': DRY_RUN,
    ...ONCE,
  },
  run: async given => {
    const verb = verbOf(MERCHANT, given, ['list', 'hold', 'release', 'take-back'])
    if (verb !== 'list') return pullMerchant(given, verb)
    const list = await askJson<{ data: readonly HeldMerchant[] }>(given.target, '/v1/holds')
    given.print(
      list,
      list.data.length === 0
        ? 'no merchant is on hold; fairgrab call listMerchants has all that are kept'
        : list.data.map(heldLine),
    )
    return 0
  },
}

interface VoucherAnswer {
  readonly code: string
  readonly state: string
  readonly user_id: string
  readonly before: string
  readonly after: string
}

interface HistoryAnswer {
  readonly events: readonly HistoryEvent[]
}

async function showVoucher(given: Given, path: string): Promise<number> {
  const voucher = await askJson<VoucherAnswer>(given.target, path)
  const { events } = await askJson<HistoryAnswer>(given.target, `${path}/history`)
  const rows = events.map(
    ({ at, event, amount, by, note }) => `  ${[at, event, amount, by, note].filter(Boolean).join('  ')}`,
  )
  given.print({ ...voucher, events }, [`${voucher.code}  ${voucher.state}  ${voucher.user_id}`, ...rows])
  return 0
}

export const VOUCHER: Command = {
  name: 'voucher',
  usage: ['voucher show CODE', 'voucher deactivate CODE --reason TEXT [--dry-run]'],
  sentence: 'a voucher with its whole history; take one out of use',
  examples: ['fairgrab voucher show CODE', 'fairgrab voucher deactivate CODE --reason "lost phone" --dry-run'],
  options: { reason, 'dry-run': DRY_RUN, ...ONCE },
  run: async given => {
    const verb = verbOf(VOUCHER, given, ['show', 'deactivate'])
    const path = `/v1/vouchers/${wordAt(given, 1, 'voucher', `voucher ${verb} CODE`)}`
    if (verb === 'show') return showVoucher(given, path)
    const body = { reason: textOf(given, 'reason', '"lost phone"') }
    const asked = { method: 'POST', body } as const
    const answer = await askJson<VoucherAnswer>(given.target, leverPath(given, `${path}/deactivate`), asked)
    given.print(answer, isDry(given) ? nowThen(answer.before, answer.after) : answer.state)
    return 0
  },
}
