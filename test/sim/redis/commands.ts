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

/** Whether the id `<ms>-<serial>` is at or behind `from`, which may begin with `(`. */
function isFrom(id: string, from: string): boolean {
  if (from === '-') return true
  const open = from.startsWith('(')
  const [ms = 0, serial = 0] = id.split('-').map(Number)
  const [fromMs = 0, fromSerial = 0] = from
    .slice(open ? 1 : 0)
    .split('-')
    .map(Number)
  const order = ms - fromMs || serial - fromSerial
  return open ? order > 0 : order >= 0
}

/** XRANGE with an open end, as the log's readers send it; entries are found by halves, since logs grow long. */
const xrange: Command = (call, [key = '', from = '-', , , count = '9007199254740991']) => {
  const entries = call.stream(key)?.entries ?? []
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isFrom(entries[middle]?.id ?? '', from)) high = middle
    else low = middle + 1
  }
  return entries.slice(low, low + Number(count)).map(({ id, fields }) => [id, fields])
}

const put = (call: Call, key: string, words: readonly string[]): number => {
  const known = call.hash(key)
  const fresh = words.filter((field, i) => i % 2 === 0 && !known?.has(field)).length
  call.write(['hset', key, words])
  return fresh
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  get: (call, [key = '']) => call.text(key) ?? null,
  set: (call, [key = '', value = '', ...flags]) => {
    if (flags.includes('NX') && call.has(key)) return null
    call.write(['set', key, [value]])
    return 'OK'
  },
  del: (call, [key = '']) => {
    if (!call.has(key)) return 0
    call.write(['del', key, []])
    return 1
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
  hdel: (call, [key = '', ...fields]) => {
    const there = fields.filter(field => call.hash(key)?.has(field))
    if (there.length > 0) call.write(['hdel', key, there])
    return there.length
  },
  hsetnx: (call, [key = '', field = '', value = '']) => {
    if (call.hash(key)?.has(field)) return 0
    return put(call, key, [field, value])
  },
  xrange,
  // Which nodes listen is told on the desk only.
  pubsub: () => [],
  // A sorted set is a hash of member to score here; equal scores never meet.
  zrangebyscore: (call, [key = '', from, to, , , count]) => {
    const rows = [...(call.hash(key) ?? [])].filter(
      ([, score]) => Number(score) >= Number(from) && Number(score) <= Number(to),
    )
    const sorted = rows.sort(([, a], [, b]) => Number(a) - Number(b))
    return sorted.slice(0, Number(count)).map(([member]) => member)
  },
  time: call => [String(Math.floor(call.timeMs / 1000)), String((call.timeMs % 1000) * 1000)],
}

/** What a replica answers, too. */
export const READ_ONLY = new Set([
  'round-read',
  'voucher-read',
  'zrangebyscore',
  'get',
  'hget',
  'hmget',
  'hgetall',
  'hexists',
  'hlen',
  'xrange',
  'pubsub',
  'time',
])

/** Runs a script by its name, or a command; throws Refused for what this server does not know. */
export function execute(call: Call, name: string, words: readonly string[], keyCount: number): Raw {
  const script = SIMULATED[name] ?? VOUCHERS[name]
  if (script) return script(call, words.slice(0, keyCount), words.slice(keyCount))
  const command = COMMANDS[name]
  if (!command) throw new Refused(`ERR unknown command '${name}'`)
  return command(call, words)
}
