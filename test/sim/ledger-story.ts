/**
 * The book of a simulated campaign, read from the raw keys of the server that is primary at the end, and whether it tells what
 * tills were told.
 *
 * Each entry balances, the entries add up to the balances, every redemption and reversal that was told stands there once with
 * its amount, and a voucher is redeemed once and once more behind each full reversal. Nothing of the engine is used but
 * the names of the keys.
 */
import {
  campaignBalances,
  campaignLedger,
  campaignState,
  campaignVouchers,
} from '../../engine/store/connection/keys.ts'
import type { Keyspace } from './redis/keyspace.ts'

/** A redemption or reversal that a till was told. */
export interface Told {
  readonly kind: 'redeem' | 'reverse'
  readonly id: string
  readonly code: string
  readonly amount: number
}

type Words = Readonly<Record<string, string>>

const legsOf = (text = ''): [account: string, amount: number][] =>
  [...text.matchAll(/(\S+) (-?\d+)/g)].map(([, account = '', amount]) => [account, Number(amount)])

const wordsOf = (fields: readonly string[]): Words =>
  Object.fromEntries(fields.flatMap((word, i) => (i % 2 === 0 ? [[word, fields[i + 1] ?? '']] : [])))

/** What does not hold of a campaign's book, in words. */
export function ledgerProblems(redis: Keyspace, campaign: string, told: readonly Told[]): readonly string[] {
  const entries = (redis.stream(campaignLedger(campaign))?.entries ?? []).map(({ fields }) => wordsOf(fields))
  const problems = [...ofMoney(redis, campaign, entries), ...ofVouchers(entries)]
  const amounts = new Map<string, number[]>()
  for (const { kind, ref = '', legs } of entries) {
    const payable = legsOf(legs).find(([account]) => account.startsWith('payable:'))?.[1] ?? 0
    if (kind === 'redeem' || kind === 'reverse') amounts.set(ref, [...(amounts.get(ref) ?? []), Math.abs(payable)])
  }
  for (const { kind, id, amount } of told) {
    const booked = amounts.get(id) ?? []
    if (booked.length !== 1 || booked[0] !== amount)
      problems.push(`${kind} ${id} of ${amount} was told; booked: ${booked}`)
  }
  return problems
}

function ofMoney(redis: Keyspace, campaign: string, entries: readonly Words[]): string[] {
  const problems: string[] = []
  const sums = new Map<string, number>()
  for (const { legs, chain } of entries) {
    const moved = legsOf(legs)
    if (moved.reduce((sum, [, amount]) => sum + amount, 0) !== 0) problems.push(`the legs of ${chain} do not balance`)
    for (const [account, amount] of moved) sums.set(account, (sums.get(account) ?? 0) + amount)
  }
  const balances = redis.hash(campaignBalances(campaign)) ?? new Map<string, string>()
  for (const account of new Set([...sums.keys(), ...balances.keys()]))
    if ((sums.get(account) ?? 0) !== Number(balances.get(account) ?? 0))
      problems.push(`${account} is ${balances.get(account)}, its entries say ${sums.get(account)}`)
  const state = redis.hash(campaignState(campaign))
  const counted = [entries.length, redis.hash(campaignVouchers(campaign))?.size ?? 0].join(' ')
  const kept = [state?.get('entries'), state?.get('vouchers')].join(' ')
  if (state && counted !== kept) problems.push(`the book has ${counted} entries and vouchers, its state says ${kept}`)
  return problems
}

/** A voucher is not redeemed while a redemption of it stands. */
function ofVouchers(entries: readonly Words[]): string[] {
  const standing = new Set<string>()
  const problems: string[] = []
  for (const { kind, voucher = '', count } of entries) {
    if (kind === 'redeem') {
      if (standing.has(voucher)) problems.push(`the voucher ${voucher} was redeemed twice`)
      standing.add(voucher)
    } else if (kind === 'reverse' && count === '1') standing.delete(voucher)
  }
  return problems
}
