/**
 * Redemptions and their money, judged from outside: what tills were told against the ledger that the engine shows.
 *
 * The ledger is read entry by entry over the public API. Each entry must balance and follow from the one before; all of
 * them together must give the balances; every redemption and reversal that was answered must be there exactly once,
 * with the amount that was told, and nothing that nobody asked for; no voucher may stand redeemed twice at any moment.
 * Whoever lost an answer with a connection asked again, so nothing is allowed for that.
 */
import { createHash } from 'node:crypto'
import type { LedgerRow } from '../stage/operator.ts'
import { type AuditSummary, type CheckResult, Finding } from './finding.ts'

/** What a till was told: the id of a redemption or reversal, and the amount of the discount that it took or gave back. */
export interface Told {
  readonly id: string
  readonly amount: number
  readonly merchant: string
}

export interface ToldByTills {
  readonly redemptions: readonly Told[]
  readonly reversals: readonly Told[]
}

export interface RedemptionStory extends ToldByTills {
  readonly entries: readonly LedgerRow[]
  readonly balances: Readonly<Record<string, number>>
}

/** The entries of an NDJSON export, in their order. */
export async function readEntries(chunks: AsyncIterable<Uint8Array>): Promise<LedgerRow[]> {
  const decoder = new TextDecoder()
  const entries: LedgerRow[] = []
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) entries.push(JSON.parse(line) as LedgerRow)
  }
  if (rest !== '') throw new Error(`the export of the ledger ends within a row: ${rest.slice(0, 200)}`)
  return entries
}

/** Grants are booked behind the balances that the engine shows, which already count them: these three move together. */
const OF_GRANTS = ['sponsor_funds', 'available', 'allocated']

const sum = (amounts: Iterable<number>): number => [...amounts].reduce((total, amount) => total + amount, 0)

function chainOf(last: string, { id: _, at, chain: __, legs, ...words }: LedgerRow): string {
  const told = legs.map(({ account, amount }) => `${account} ${amount}`).join(' ')
  const texts = [last, ...Object.entries(words).flat(), 'legs', told, 'at', String(Date.parse(at))]
  return createHash('sha1').update(texts.join('\n')).digest('hex')
}

type Look = (story: RedemptionStory, finding: Finding) => void

const balanced: Look = ({ entries }, finding) => {
  for (const { id, legs } of entries) {
    finding.checked++
    const left = sum(legs.map(({ amount }) => amount))
    if (left !== 0) finding.violate(() => `${id} leaves ${left}`)
  }
}

const chained: Look = ({ entries }, finding) => {
  let last = ''
  for (const entry of entries) {
    finding.checked++
    if (chainOf(last, entry) !== entry.chain) finding.violate(() => `${entry.id} does not follow from the entry before`)
    last = entry.chain
  }
}

const added: Look = ({ entries, balances }, finding) => {
  const accounts = new Map<string, number>()
  const name = (account: string) => (OF_GRANTS.includes(account) ? 'of grants' : account)
  for (const { legs } of entries)
    for (const { account, amount } of legs) accounts.set(name(account), (accounts.get(name(account)) ?? 0) + amount)
  for (const [account, amount] of Object.entries(balances))
    accounts.set(name(account), (accounts.get(name(account)) ?? 0) - amount)
  for (const [account, left] of accounts) {
    finding.checked++
    if (left !== 0) finding.violate(() => `${account}: entries and balance differ by ${left}`)
  }
  const total = sum(Object.values(balances))
  if (total !== 0) finding.violate(() => `the balances sum to ${total}`)
}

/** Each that was told is one entry of a kind with its amount, and there are no others. */
const once =
  (kind: string, told: (story: RedemptionStory) => readonly Told[], sign: number): Look =>
  (story, finding) => {
    const byRef = new Map<string, LedgerRow[]>()
    for (const entry of story.entries) {
      if (entry.kind === kind) byRef.set(entry.ref ?? '', [...(byRef.get(entry.ref ?? '') ?? []), entry])
    }
    for (const { id, amount, merchant } of told(story)) {
      finding.checked++
      const [entry, ...more] = byRef.get(id) ?? []
      byRef.delete(id)
      const leg = entry?.legs.find(({ account }) => account === `payable:${merchant}`)?.amount ?? 0
      if (entry === undefined || more.length > 0)
        finding.violate(() => `${id} stands ${more.length + (entry ? 1 : 0)} times`)
      else if (leg !== sign * amount) finding.violate(() => `${id} moved ${leg}, the till was told ${amount}`)
    }
    for (const id of byRef.keys()) finding.violate(() => `${id} was told to nobody`)
  }

const neverTwice: Look = ({ entries }, finding) => {
  const redeemed = new Set<string>()
  for (const { kind, voucher = '', count } of entries) {
    if (kind === 'reverse' && count === '1') redeemed.delete(voucher)
    if (kind !== 'redeem') continue
    finding.checked++
    if (redeemed.has(voucher)) finding.violate(() => `the voucher ${voucher} stands redeemed twice`)
    redeemed.add(voucher)
  }
}

const CHECKS: readonly { readonly id: string; readonly title: string; readonly look: Look }[] = [
  { id: 'I5-balanced', title: 'Every entry of the ledger sums to zero.', look: balanced },
  { id: 'I7-chained', title: 'Every entry follows from the one before.', look: chained },
  { id: 'I5-added', title: 'The entries add up to the balances, which sum to zero.', look: added },
  {
    id: 'I4-redeemed',
    title: 'Every redemption that was answered is booked once, and no other is.',
    look: once('redeem', story => story.redemptions, 1),
  },
  {
    id: 'I4-reversed',
    title: 'Every reversal that was answered is booked once, and no other is.',
    look: once('reverse', story => story.reversals, -1),
  },
  { id: 'I4-never-twice', title: 'No voucher stands redeemed twice.', look: neverTwice },
]

export function auditRedemptions(story: RedemptionStory): CheckResult[] {
  return CHECKS.map(({ id, title, look }) => {
    const finding = new Finding()
    look(story, finding)
    const { checked, violations, examples } = finding
    return { id, title, ok: violations === 0, checked, violations, examples }
  })
}

function printRedemptionAudit(results: readonly CheckResult[]): AuditSummary {
  const lines = results.flatMap(({ ok, id, title, checked, examples }) => [
    `${ok ? '✓' : '✗'} ${id}: ${title} (${checked} looked at)`,
    ...examples.map(example => `    ${example}`),
  ])
  return { ok: results.every(({ ok }) => ok), lines }
}

export const judgeRedemptions = (story: RedemptionStory): AuditSummary => printRedemptionAudit(auditRedemptions(story))
