/**
 * The ledger judged from its own raw keys: whoever reads entries, balances and records must come to one story.
 *
 * Every entry's legs sum to zero and its chain follows from the one before; the entries added up are the balances;
 * money of vouchers (records and what was never touched) equals the accounts that hold it. Tests call this after each
 * step of whatever they do. Nothing of the engine is used but the names of the keys.
 */
import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Link } from '../../engine/store/connection/link.ts'

export interface RawEntry {
  readonly id: string
  readonly words: Readonly<Record<string, string>>
  readonly legs: readonly (readonly [account: string, amount: bigint])[]
}

export interface LedgerState {
  readonly entries: readonly RawEntry[]
  readonly balances: Readonly<Record<string, bigint>>
  readonly records: Readonly<Record<string, string>>
}

export function legsOf(text = ''): [string, bigint][] {
  const parts = text === '' ? [] : text.split(' ')
  return parts.flatMap((account, i) =>
    i % 2 === 0 ? [[account, BigInt(parts[i + 1] as string)] as [string, bigint]] : [],
  )
}

export const sumOf = (amounts: Iterable<bigint>): bigint => [...amounts].reduce((sum, amount) => sum + amount, 0n)

const PAGE = 2000

/** All entries, a page at a time: a reply that takes long would look like a dead connection. */
async function wholeStream(link: Link, key: string): Promise<[id: string, fields: string[]][]> {
  const all: [string, string[]][] = []
  for (let from = '-'; ; from = `(${all.at(-1)?.[0]}`) {
    const start = from
    const page = await link.request(client => client.xrange(key, start, '+', 'COUNT', PAGE))
    all.push(...page)
    if (page.length < PAGE) return all
  }
}

/** All fields of a hash. */
async function wholeHash(link: Link, key: string): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  for (let cursor = '0'; ; ) {
    const at = cursor
    const [next, flat] = await link.request(client => client.hscan(key, at, 'COUNT', PAGE))
    for (let i = 0; i + 1 < flat.length; i += 2) all[flat[i] as string] = flat[i + 1] as string
    if (next === '0') return all
    cursor = next
  }
}

/** A campaign's keys of one moment: read again when its ledger moved meanwhile, as it does by the sweep of an engine that runs. */
async function readLedger(link: Link, campaignId: string) {
  for (;;) {
    const before = await link.request(client => client.hget(keys.campaignState(campaignId), 'entries'))
    const stream = await wholeStream(link, keys.campaignLedger(campaignId))
    const kept = await wholeHash(link, keys.campaignBalances(campaignId))
    const records = await wholeHash(link, keys.campaignVouchers(campaignId))
    const state = await wholeHash(link, keys.campaignState(campaignId))
    if (before === (state.entries ?? null)) return { stream, kept, records, state }
  }
}

/** Reads a campaign's ledger and checks all that must hold of it by itself. */
export async function expectSoundLedger(link: Link, campaignId: string): Promise<LedgerState> {
  const { stream, kept, records, state } = await readLedger(link, campaignId)
  const added: Record<string, bigint> = {}
  let chain = ''
  const entries = stream.map(([id, flat]) => {
    const words = Object.fromEntries(flat.flatMap((word, i) => (i % 2 === 0 ? [[word, flat[i + 1] as string]] : [])))
    const legs = legsOf(words.legs)
    expect(sumOf(legs.map(([, amount]) => amount)), `legs of ${id}`).toBe(0n)
    for (const [account, amount] of legs) added[account] = (added[account] ?? 0n) + amount
    expect(flat[0], 'an entry begins with its chain').toBe('chain')
    chain = createHash('sha1')
      .update([chain, ...flat.slice(2)].join('\n'))
      .digest('hex')
    expect(words.chain, `chain of ${id}`).toBe(chain)
    expect(id.split('-')[0], 'an entry is named after its time').toBe(words.at)
    return { id, words, legs }
  })
  const balances = Object.fromEntries(Object.entries(kept).map(([account, amount]) => [account, BigInt(amount)]))
  const accounts = new Set([...Object.keys(added), ...Object.keys(balances)])
  for (const account of accounts) expect(balances[account] ?? 0n, account).toBe(added[account] ?? 0n)
  expect(sumOf(Object.values(balances)), 'the balances sum to zero').toBe(0n)
  expect(state).toMatchObject({ entries: String(entries.length), vouchers: String(Object.keys(records).length), chain })
  return { entries, balances, records }
}

/** What the records of touched vouchers hold in `allocated` and in `reserved`. */
export function heldBy(records: Readonly<Record<string, string>>): { allocated: bigint; reserved: bigint } {
  const held = { allocated: 0n, reserved: 0n }
  for (const record of Object.values(records)) {
    const [state, , worth] = record.split(' ')
    if (state === 'active') held.allocated += BigInt(worth as string)
    if (state === 'locked') held.reserved += BigInt(worth as string)
  }
  return held
}
