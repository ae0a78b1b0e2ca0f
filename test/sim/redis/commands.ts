/**
 * The commands of a simulated server that are not about connections: what the engine's stores ask beside scripts.
 *
 * Each takes its words as Redis gets them and answers as Redis does, in texts of Latin-1, numbers, lists and null. A
 * command that is missing here is refused like any unknown one, so a store that learns a new command is noticed by
 * the first world that uses it. Rejected: a whole Redis; what nobody sends cannot be wrong here.
 */
import type { Call } from './call.ts'
import { Refused } from './keyspace.ts'
import { SIMULATED } from './scripts.ts'
import { VOUCHERS } from './voucher-scripts.ts'

export type Raw = null | number | string | readonly Raw[]
type Command = (call: Call, words: readonly string[]) => Raw

const SYNTAX = 'ERR syntax error'

/** The words behind an option, all of them or none; other words are refused, since to overlook one is to answer something else. */
function option(words: readonly string[], name: string, count: number): readonly string[] {
  const isGiven = words.length === count + 1 && words[0]?.toUpperCase() === name
  if (words.length > 0 && !isGiven) throw new Refused(SYNTAX)
  return words.slice(1)
}

/** How the id `<ms>-<serial>` stands to another one, which may be without a serial. */
function order(id: string, other: string, serialLeftOut: number): number {
  const [ms = 0, serial = 0] = id.split('-').map(Number)
  const [otherMs = 0, otherSerial = serialLeftOut] = other.split('-').map(Number)
  return ms - otherMs || serial - otherSerial
}

/** Whether an id is at or behind `from`, which may begin with `(`. */
function isFrom(id: string, from: string): boolean {
  if (from === '-') return true
  return from.startsWith('(') ? order(id, from.slice(1), 0) > 0 : order(id, from, 0) >= 0
}

/** XRANGE as the log's readers send it; where it begins is found by halves, since logs grow long. */
const xrange: Command = (call, [key = '', from = '', to = '', ...rest]) => {
  const [count = Number.MAX_SAFE_INTEGER] = option(rest, 'COUNT', 1)
  const entries = call.stream(key)?.entries ?? []
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isFrom(entries[middle]?.id ?? '', from)) high = middle
    else low = middle + 1
  }
  const found = entries.slice(low, low + Number(count))
  const within = to === '+' ? found : found.filter(({ id }) => order(id, to, Number.MAX_SAFE_INTEGER) <= 0)
  return within.map(({ id, fields }) => [id, fields])
}

/** XREVRANGE as the readers of batches send it: the last ones up to an id. */
const xrevrange: Command = (call, [key = '', to = '', from = '', ...rest]) => {
  const [count = Number.MAX_SAFE_INTEGER] = option(rest, 'COUNT', 1)
  const entries = call.stream(key)?.entries ?? []
  const isIn = ({ id }: { readonly id: string }) =>
    isFrom(id, from) && (to === '+' || order(id, to, Number.MAX_SAFE_INTEGER) <= 0)
  const found = entries.filter(isIn).toReversed().slice(0, Number(count))
  return found.map(({ id, fields }) => [id, fields])
}

/** ZRANGEBYSCORE between two numbers. A sorted set is a hash of member to score here; equal scores never meet. */
const zrangebyscore: Command = (call, [key = '', ...words]) => {
  const [from = Number.NaN, to = Number.NaN] = words.slice(0, 2).map(Number)
  if (!Number.isFinite(from) || !Number.isFinite(to)) throw new Refused('ERR min or max is not a float')
  const [offset = 0, count = Number.MAX_SAFE_INTEGER] = option(words.slice(2), 'LIMIT', 2).map(Number)
  const rows = [...(call.hash(key) ?? [])].filter(([, score]) => Number(score) >= from && Number(score) <= to)
  const sorted = rows.sort(([, a], [, b]) => Number(a) - Number(b))
  return sorted.slice(offset, offset + count).map(([member]) => member)
}

const put = (call: Call, key: string, words: readonly string[]): number => {
  const known = call.hash(key)
  const fresh = new Set(words.filter((field, i) => i % 2 === 0 && !known?.has(field)))
  call.write(['hset', key, words])
  return fresh.size
}

/** GETRANGE between two places from the front, which is how stores ask. */
const getrange: Command = (call, [key = '', from = '', to = '']) => {
  if (!/^\d+$/.test(from) || !/^\d+$/.test(to)) throw new Refused('ERR value is not an integer or out of range')
  return call.slice(key, Number(from), Number(to) + 1)
}

/** A set is a hash of members without values here. */
const sadd: Command = (call, [key = '', ...members]) => {
  const fresh = [...new Set(members)].filter(member => !call.hash(key)?.has(member))
  if (fresh.length > 0) call.hset(key, ...fresh.flatMap(member => [member, '']))
  return fresh.length
}

const hdel: Command = (call, [key = '', ...fields]) => {
  const there = [...new Set(fields)].filter(field => call.hash(key)?.has(field))
  if (there.length > 0) call.write(['hdel', key, there])
  return there.length
}

/** What a server that gives a slot away sends to the other one: a key as `dumped` gives it, over whatever is there. */
const restore: Command = (call, [key = '', text = '']) => {
  call.write(['restore', key, [text]])
  return 'OK'
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  get: (call, [key = '']) => call.text(key) ?? null,
  set: (call, [key = '', value = '', ...flags]) => {
    option(flags, 'NX', 0)
    if (flags.length > 0 && call.has(key)) return null
    call.write(['set', key, [value]])
    return 'OK'
  },
  del: (call, [key = '', ...more]) => {
    if (more.length > 0) throw new Refused(SYNTAX)
    if (!call.has(key)) return 0
    call.write(['del', key, []])
    return 1
  },
  exists: (call, [key = '', ...more]) => {
    if (more.length > 0) throw new Refused(SYNTAX)
    return call.has(key) ? 1 : 0
  },
  flushall: call => {
    call.write(['flush', '', []])
    return 'OK'
  },
  incr: (call, [key = '']) => {
    const next = Number(call.text(key) ?? 0) + 1
    call.write(['set', key, [String(next)]])
    return next
  },
  hget: (call, [key = '', field = '']) => call.hash(key)?.get(field) ?? null,
  hmget: (call, [key = '', ...fields]) => fields.map(field => call.hash(key)?.get(field) ?? null),
  hgetall: (call, [key = '']) => [...(call.hash(key) ?? [])].flat(),
  hexists: (call, [key = '', field = '']) => (call.hash(key)?.has(field) ? 1 : 0),
  hlen: (call, [key = '']) => call.hash(key)?.size ?? 0,
  hset: (call, [key = '', ...words]) => put(call, key, words),
  hdel,
  hsetnx: (call, [key = '', field = '', value = '']) => {
    if (call.hash(key)?.has(field)) return 0
    return put(call, key, [field, value])
  },
  getrange,
  sadd,
  srem: hdel,
  smembers: (call, [key = '']) => [...(call.hash(key)?.keys() ?? [])],
  xrange,
  xrevrange,
  // Which nodes listen is told on the desk only.
  pubsub: () => [],
  zrangebyscore,
  time: call => [String(Math.floor(call.timeMs / 1000)), String((call.timeMs % 1000) * 1000)],
}

/** What a replica answers, too. */
export const READ_ONLY = new Set([
  'round-read',
  'round-turn-dry',
  'restock-dry',
  'fence-release-dry',
  'budget-dry',
  'voucher-read',
  'zrangebyscore',
  'get',
  'hget',
  'hmget',
  'hgetall',
  'hexists',
  'exists',
  'hlen',
  'xrange',
  'xrevrange',
  'getrange',
  'smembers',
  'pubsub',
  'time',
])

/** Runs a script by its name, or a command; throws Refused for what this server does not know. */
export function execute(call: Call, name: string, words: readonly string[], keyCount: number): Raw {
  const script = SIMULATED[name.replace(/-dry$/, '')] ?? VOUCHERS[name]
  if (script) return script(call, words.slice(0, keyCount), words.slice(keyCount))
  const command = name === 'restore-asking' ? restore : COMMANDS[name]
  if (!command) throw new Refused(`ERR unknown command '${name}'`)
  return command(call, words)
}
