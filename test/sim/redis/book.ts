/**
 * A campaign's book as every script that turns vouchers opens, reads, books and closes it: scripts/lib/hash.lua, ledger.lua,
 * voucher.lua, request.lua and redemption.lua, once more in TypeScript.
 *
 * Writes go to the keyspace when the Lua writes them: ledger entries at once, puts and sums at the end. The sorted set
 * of vouchers that fall due is a hash of member to score here. test/script/voucher-twins.test.ts compares every key.
 */
import { createHash } from 'node:crypto'
import type { Call } from './call.ts'
import { type Answer, NUMBER } from './round-state.ts'

export interface Book {
  readonly call: Call
  readonly state: string
  readonly balances: string
  readonly stream: string
  readonly now: number
  readonly clock: number
  chain: string
  entries: number
  vouchers: number
  readonly puts: Map<string, Map<string, string>>
  readonly adds: Map<string, Map<string, number>>
}

/** By the names that the scripts give them. */
export type BookKeys = Readonly<Record<'vouchers' | 'touched' | 'due' | 'requests' | 'answers', string>>
export type Reply = Answer[]
export type Leg = readonly [account: string, amount: number]

function inner<K, V>(maps: Map<string, Map<K, V>>, key: string): Map<K, V> {
  const known = maps.get(key) ?? new Map<K, V>()
  maps.set(key, known)
  return known
}

const get = ({ call, puts }: Book, key: string, field: string): string | undefined =>
  puts.get(key)?.get(field) ?? call.hash(key)?.get(field)
const put = ({ puts }: Book, key: string, field: string, value: string) => inner(puts, key).set(field, value)

function add({ adds }: Book, key: string, field: string, amount: number): void {
  const sums = inner(adds, key)
  sums.set(field, (sums.get(field) ?? 0) + amount)
}

/** HINCRBY. */
export const increase = (call: Call, key: string, field: string, amount: number): void =>
  call.hset(key, field, Number(call.hash(key)?.get(field) ?? 0) + amount)

export function openBook(call: Call, state: string, balances: string, stream: string): Book | undefined {
  const fields = call.hash(state)
  const [last, entries] = [fields?.get('last'), Number(fields?.get('entries'))]
  if (last === undefined || (call.stream(stream)?.entries.length ?? 0) !== entries) return undefined
  const [clock, ahead] = [call.timeMs, Number(fields?.get('ahead') ?? 0)]
  return {
    ...{ call, state, balances, stream, clock, now: Math.max(clock + ahead, Number(last)) },
    ...{ chain: fields?.get('chain') ?? '', entries, vouchers: Number(fields?.get('vouchers')) },
    ...{ puts: new Map(), adds: new Map() },
  }
}

/** Books one entry; its legs sum to zero. */
export function post(book: Book, words: readonly (string | number)[], legs: readonly Leg[]): void {
  for (const [account, amount] of legs) if (amount !== 0) add(book, book.balances, account, amount)
  const moved = legs.filter(([, amount]) => amount !== 0).map(leg => leg.join(' '))
  const all = [...words.map(String), 'legs', moved.join(' '), 'at', String(book.now)]
  book.chain = createHash('sha1')
    .update([book.chain, ...all].join('\n'), 'latin1')
    .digest('hex')
  book.call.xadd(book.stream, book.now, 'chain', book.chain, ...all)
  book.entries++
}

export function closeBook({ call, state, now, chain, entries, vouchers, puts, adds }: Book): void {
  for (const [key, fields] of puts) call.hset(key, ...[...fields].flat())
  for (const [key, sums] of adds)
    for (const [field, amount] of sums) if (amount !== 0) increase(call, key, field, amount)
  call.hset(state, 'last', now, 'chain', chain, 'entries', entries, 'vouchers', vouchers)
}

export type Stored = 'active' | 'locked' | 'redeemed' | 'expired' | 'deactivated'
type Turn = 'lock' | 'unlock' | 'redeem' | 'reverse'

export const TURNS: Readonly<Record<Stored, Partial<Record<Turn, Stored>>>> = {
  active: { lock: 'locked', redeem: 'redeemed' },
  locked: { lock: 'locked', unlock: 'active', redeem: 'redeemed' },
  redeemed: { reverse: 'active' },
  expired: {},
  deactivated: {},
}

export const REFUSES: Partial<Record<Stored, number>> = {
  redeemed: NUMBER.already_redeemed,
  expired: NUMBER.expired,
  deactivated: NUMBER.deactivated,
}

/** The account that a voucher's money is in. */
export const HOLDS: Partial<Record<Stored, string>> = { active: 'allocated', locked: 'reserved' }

export interface Voucher {
  readonly field: string
  readonly bucket: string
  readonly expires: number
  readonly worth: number
  readonly touched: boolean
  readonly stored: Stored
  readonly state: Stored
  readonly rest: string
  readonly ends: string
  readonly lock: string
  /** Of a lock that a key made which is bound to one. */
  readonly merchant: string
  readonly order: string
}

/** The voucher as it stands; a lock that ran out counts as none. */
export function readVoucher(book: Book, vouchers: string, facts: string): Voucher {
  const [field = '', bucket = '', expiry, worth] = facts.split(' ')
  const record = get(book, vouchers, field)
  const [, found = 'active', rest = ''] = record === undefined ? [] : (/^(\w+) \d+ \d+ ?(.*)$/s.exec(record) ?? [])
  const stored = found as Stored
  const [, ends = '', lock = '', merchant = '', order = ''] =
    stored === 'locked' ? (/^(\d+) ([^\s@]+)@?(\S*) (.*)$/s.exec(rest) ?? []) : []
  const expires = Number(expiry)
  let state = stored === 'locked' && book.now >= Number(ends) ? 'active' : stored
  if (HOLDS[state] && book.now >= expires) state = 'expired'
  const touched = record !== undefined
  return { field, bucket, expires, worth: Number(worth), touched, stored, state, rest, ends, lock, merchant, order }
}

/** Writes its record, which stands in the list of those that fall due when `due` is given, and in no list without. */
export function writeVoucher(
  book: Book,
  keys: BookKeys,
  voucher: Voucher,
  written: readonly [Stored, string, number?],
) {
  const [state, rest, due] = written
  const { field, bucket, expires, worth, touched } = voucher
  if (!touched) {
    add(book, keys.touched, bucket, 1)
    book.vouchers++
  }
  put(book, keys.vouchers, field, `${state} ${expires} ${worth} ${rest}`)
  if (due !== undefined) book.call.hset(keys.due, field, due)
  else if (touched && book.call.hash(keys.due)?.has(field)) book.call.write(['hdel', keys.due, [field]])
}

/** The reply to a request that was made before. */
export function knownRequest(book: Book, keys: BookKeys, request: string, fingerprint: string): Reply | undefined {
  const known = get(book, keys.requests, request)
  if (known === undefined) return undefined
  const [kept, id = ''] = known.split(' ')
  if (kept !== fingerprint) return [NUMBER.idempotency_mismatch]
  const [, at = '', answer = ''] = /^(\d+) (.*)$/s.exec(get(book, keys.answers, id) ?? '') ?? []
  return [NUMBER.replayed, at, answer]
}

export function keepRequest(
  book: Book,
  keys: BookKeys,
  request: string,
  [fingerprint, id, answer]: readonly [string, string, string],
): Reply {
  put(book, keys.requests, request, `${fingerprint} ${id}`)
  put(book, keys.answers, id, `${book.now} ${answer}`)
  return [NUMBER.granted, String(book.now), answer]
}

/** A redemption: the voucher's facts, its money, and what the rules count. */
export interface Redemption {
  readonly id: string
  readonly voucher: string
  readonly discount: number
  reversed: number
  state: string
  /** `<day> <template> <merchant> <user> <order>` */
  readonly rest: string
}

export const merchantOf = ({ rest }: Redemption): string => rest.split(' ')[2] ?? ''

/** The fields that count it: of its order, of its user and merchant on that day, and what the day cost. */
export function countedIn({ rest }: Redemption): readonly [string, string, string] {
  const [, day, template, merchant, user, order] = /^(\S+) (\S+) (\S+) (\S+) (.*)$/s.exec(rest) ?? []
  return [`order ${template} ${merchant} ${order}`, `day ${day} ${template} ${merchant} ${user}`, `spent ${day}`]
}

export function readRedemption(call: Call, key: string, id: string): Redemption | undefined {
  const text = call.hash(key)?.get(id)
  if (text === undefined) return undefined
  const [, voucher = '', discount, reversed, state = '', rest = ''] =
    /^(\S+ \S+ \d+ \d+) (\d+) (\d+) (\w+) (.*)$/s.exec(text) ?? []
  return { id, voucher, discount: Number(discount), reversed: Number(reversed), state, rest }
}

export const writeRedemption = (book: Book, key: string, made: Redemption): unknown =>
  put(book, key, made.id, [made.voucher, made.discount, made.reversed, made.state, made.rest].join(' '))
