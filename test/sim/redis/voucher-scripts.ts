/**
 * The scripts that tills run, once more in TypeScript: look up, lock, unlock, redeem, reverse, and what keeps
 * Idempotency-Keys and makes a campaign's book (scripts/voucher-*.lua, redeem.lua, reverse.lua, key-own.lua,
 * campaign-create.lua). Compared with the Lua, every reply and every key, by test/script/voucher-twins.test.ts.
 *
 * Left out: what a campaign's days and ends do (booking, expiry, settlement, deactivation), which nobody in a simulated
 * world asks for; a script that is missing here is refused like any unknown command.
 */
import {
  type Book,
  type BookKeys,
  closeBook,
  countedIn,
  HOLDS,
  increase,
  keepRequest,
  knownRequest,
  type Leg,
  merchantOf,
  openBook,
  post,
  REFUSES,
  type Redemption,
  type Reply,
  readRedemption,
  readVoucher,
  TURNS,
  type Voucher,
  writeRedemption,
  writeVoucher,
} from './book.ts'
import type { Call } from './call.ts'
import { type Answer, NUMBER } from './round-state.ts'

type Nested = readonly (Answer | Nested)[]
/** As a round script, with replies that may nest. */
export type VoucherScript = (call: Call, keys: readonly string[], args: readonly string[]) => Nested

const FENCED: Reply = [NUMBER.fenced]

/** The book where every record is there, too. */
function openVouchers(call: Call, [state = '', balances = '', stream = '', vouchers = '']: readonly string[]) {
  const book = openBook(call, state, balances, stream)
  return book && (call.hash(vouchers)?.size ?? 0) === book.vouchers ? book : undefined
}

const namesOf = (keys: readonly string[]): BookKeys => {
  const [, , , vouchers = '', touched = '', due = '', , requests = '', answers = ''] = keys
  return { vouchers, touched, due, requests, answers }
}

const held = ({ stored }: Voucher): string => HOLDS[stored] ?? ''

const create: VoucherScript = (call, [state = '', balances = '', stream = ''], [amount]) => {
  if (call.has(state)) return [NUMBER.replayed]
  call.hset(state, 'last', 0, 'chain', '', 'entries', 0, 'vouchers', 0)
  const book = openBook(call, state, balances, stream) as Book
  const funds = Number(amount)
  post(
    book,
    ['kind', 'fund'],
    [
      ['sponsor_funds', -funds],
      ['available', funds],
    ],
  )
  closeBook(book)
  return [NUMBER.granted]
}

const ownKeys: VoucherScript = (call, [recent = '', last = ''], [, ...pairs]) => {
  const [before, kept] = [call.hash(recent), new Map<string, string>()]
  let owns = ''
  for (let i = 0; i < pairs.length; i += 2) {
    const [name = '', fingerprint = ''] = [pairs[i], pairs[i + 1]]
    const known = before?.get(name) ?? call.hash(last)?.get(name) ?? kept.get(name)
    if (known === undefined) kept.set(name, fingerprint)
    owns += (known ?? fingerprint) === fingerprint ? '1' : '0'
  }
  if (kept.size > 0) call.hset(recent, ...[...kept].flat())
  return [NUMBER.granted, owns]
}

const read: VoucherScript = (call, keys, [asked = '']) => {
  const book = openVouchers(call, keys)
  if (!book) return FENCED
  const [, , , vouchers = '', answers = ''] = keys
  const all = asked.split(',').map(facts => readVoucher(book, vouchers, facts))
  return [
    NUMBER.granted,
    String(book.now),
    all.map(({ state }) => state),
    all.map(({ state, rest }) => (state === 'locked' ? rest : '')),
    all.map(({ state, rest }) => (state === 'redeemed' ? (call.hash(answers)?.get(rest) ?? '') : '')),
  ]
}

const lock: VoucherScript = (call, keys, [facts = '', by = '', merchant = '', order = '', ttl = '0', fresh = '']) => {
  const book = openVouchers(call, keys)
  if (!book) return FENCED
  const names = namesOf(keys)
  const voucher = readVoucher(book, names.vouchers, facts)
  const to = TURNS[voucher.state].lock
  if (!to) return [REFUSES[voucher.state] ?? 0]
  const isMine = voucher.state === 'locked' && voucher.merchant === merchant && voucher.order === order
  if (voucher.state === 'locked' && !isMine) return [NUMBER.voucher_locked, voucher.ends]
  const asked = Math.min(book.now + Number(ttl), voucher.expires)
  const ends = isMine ? Math.max(asked, Number(voucher.ends)) : asked
  const id = isMine ? voucher.lock : fresh
  writeVoucher(book, names, voucher, [to, `${ends} ${merchant === '' ? id : `${id}@${merchant}`} ${order}`, ends])
  if (!isMine)
    post(
      book,
      ['kind', 'lock', 'ref', id, 'voucher', voucher.field, 'by', by],
      [
        [held(voucher), -voucher.worth],
        ['reserved', voucher.worth],
      ],
    )
  closeBook(book)
  return [NUMBER.granted, String(ends), id]
}

const unlock: VoucherScript = (call, keys, [facts = '', by = '', merchant = '', order = '']) => {
  const book = openVouchers(call, keys)
  if (!book) return FENCED
  const names = namesOf(keys)
  const voucher = readVoucher(book, names.vouchers, facts)
  const to = TURNS[voucher.state].unlock
  if (!to) return [NUMBER.replayed]
  if (voucher.merchant !== merchant || voucher.order !== order) return [NUMBER.voucher_locked, voucher.ends]
  writeVoucher(book, names, voucher, [to, '', voucher.expires])
  post(
    book,
    ['kind', 'unlock', 'ref', voucher.lock, 'voucher', voucher.field, 'by', by],
    [
      [held(voucher), -voucher.worth],
      [HOLDS[to] ?? '', voucher.worth],
    ],
  )
  closeBook(book)
  return [NUMBER.granted]
}

/** Counts a redemption against its limits, or says which of them refuses it. */
function counted(call: Call, key: string, made: Redemption, most: string): number | undefined {
  if (most === '0 0 0') return undefined
  const [fields, adds] = [countedIn(made), [1, 1, made.discount]]
  const refusals = [NUMBER.order_limit, NUMBER.merchant_limit, NUMBER.budget_exceeded]
  const limits = most.split(' ').map(Number)
  for (const [i, limit] of limits.entries()) {
    const before = Number(call.hash(key)?.get(fields[i] ?? '') ?? 0)
    if (limit > 0 && before + (adds[i] ?? 0) > limit) return refusals[i]
  }
  for (const [i, limit] of limits.entries()) if (limit > 0) increase(call, key, fields[i] ?? '', adds[i] ?? 0)
  return undefined
}

/** A lock keeps everybody out but its order, and its merchant where it has one. */
const isKeptOut = ({ state, merchant, order }: Voucher, by: { merchant: string; order: string; bound: string }) =>
  state === 'locked' && (order !== by.order || (merchant !== by.merchant && (merchant !== '' || by.bound !== '')))

interface Grounds {
  readonly date: string
  readonly stale: boolean
}

function redeemOne(book: Book, keys: readonly string[], { date, stale }: Grounds, args: readonly string[]): Reply {
  const [facts = '', request = '', fingerprint = '', most = '', id = '', discount, who = ''] = args
  const [order = '', bound = '', gross = '', pool = '', answer = ''] = args.slice(7)
  const [names, merchant = ''] = [namesOf(keys), who.split(' ')[1]]
  const voucher = readVoucher(book, names.vouchers, facts)
  const known = knownRequest(book, names, request, fingerprint)
  const to = TURNS[voucher.state].redeem
  if (known) return known
  if (!to || stale) return [REFUSES[voucher.state] ?? NUMBER.unavailable]
  if (isKeptOut(voucher, { merchant, order, bound })) return [NUMBER.voucher_locked, voucher.ends]
  const rest = `${date} ${who} ${order}`
  const made = { id, voucher: facts, discount: Number(discount), reversed: 0, state: 'succeeded', rest }
  const refused = counted(book.call, keys[9] ?? '', made, most)
  if (refused !== undefined) return [refused]
  writeRedemption(book, keys[6] ?? '', made)
  writeVoucher(book, names, voucher, [to, id])
  const words = ['kind', 'redeem', 'ref', id, 'voucher', voucher.field, 'by', request.split(' ')[0] ?? '']
  post(
    book,
    [...words, 'merchant', merchant, 'gross', gross, 'pool', pool],
    [
      [held(voucher), -voucher.worth],
      [`payable:${merchant}`, made.discount],
      ['available', voucher.worth - made.discount],
    ],
  )
  return keepRequest(book, names, request, [fingerprint, id, answer])
}

/** Words of one redemption. */
const REDEEM_WORDS = 12

const redeem: VoucherScript = (call, keys, [grounds = '', ...args]) => {
  const book = openVouchers(call, keys)
  if (!book) return FENCED
  const [date = '', ...moments] = grounds.split(' ')
  const [first = 0, next = 0, from = 0, until = 0] = moments.map(Number)
  if (book.now < first || book.now >= next) return [NUMBER.wrong_day, String(book.now)]
  const stale = book.clock < from || book.clock > until
  const replies: Reply[] = []
  for (let i = 0; i < args.length; i += REDEEM_WORDS)
    replies.push(redeemOne(book, keys, { date, stale }, args.slice(i, i + REDEEM_WORDS)))
  closeBook(book)
  return [NUMBER.granted, replies]
}

/** Takes what is reversed off the counts of its limits. */
function uncounted(call: Call, key: string, made: Redemption, takes: readonly number[]): void {
  for (const [i, field] of countedIn(made).entries())
    if ((takes[i] ?? 0) > 0 && call.hash(key)?.has(field)) increase(call, key, field, -(takes[i] ?? 0))
}

const reverse: VoucherScript = (
  call,
  keys,
  [redemption = '', request = '', fingerprint = '', id = '', asked, unused = '', merchant = '', note = '', answer = ''],
) => {
  const book = openVouchers(call, keys)
  if (!book) return FENCED
  const names = namesOf(keys)
  const known = knownRequest(book, names, request, fingerprint)
  if (known) return known
  const made = readRedemption(call, keys[6] ?? '', redemption)
  if (!made || (merchant !== '' && merchant !== merchantOf(made))) return [NUMBER.not_found]
  const voucher = readVoucher(book, names.vouchers, made.voucher)
  if (made.state === 'reversed' || made.state === 'deactivated') return [NUMBER.not_reversible]
  const left = made.discount - made.reversed
  if (Number(asked) > left) return [NUMBER.over_redeemed]
  const whole = asked === '0' && made.state === 'succeeded' && book.now < voucher.expires
  const to = whole ? TURNS[voucher.state].reverse : undefined
  const amount = asked === '0' ? left : Number(asked)
  made.reversed += amount
  made.state = amount === left ? 'reversed' : 'partial'
  writeRedemption(book, keys[6] ?? '', made)
  uncounted(call, keys[9] ?? '', made, [to ? 1 : 0, to ? 1 : 0, amount])
  const back: Leg = [`payable:${merchantOf(made)}`, -amount]
  if (to) writeVoucher(book, names, voucher, [to, '', voucher.expires])
  else if (unused === 'available' && amount > 0 && call.hash(keys[10] ?? '')?.has('sum'))
    increase(call, keys[10] ?? '', 'sum', -amount)
  const legs: Leg[] = to
    ? [back, [HOLDS[to] ?? '', voucher.worth], ['available', amount - voucher.worth]]
    : [back, [unused, amount]]
  const words = ['kind', 'reverse', 'ref', id, 'voucher', voucher.field, 'by', request.split(' ')[0] ?? '']
  post(book, [...words, 'note', note, 'merchant', merchantOf(made), 'count', to ? '1' : '0'], legs)
  const told = `${answer}${amount},"voucher_state":"${to ?? voucher.stored}"}`
  const reply = keepRequest(book, names, request, [fingerprint, id, told])
  closeBook(book)
  return reply
}

/** By the names of scripts/. */
export const VOUCHERS: Readonly<Record<string, VoucherScript>> = {
  'campaign-create': create,
  'key-own': ownKeys,
  'voucher-read': read,
  'voucher-lock': lock,
  'voucher-unlock': unlock,
  redeem,
  reverse,
}
