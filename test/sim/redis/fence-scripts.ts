/**
 * The scripts of the level fenced, once more in TypeScript: raise how far a round may grant, give back what a journal has,
 * bind a round to the server that it is on now, release what was set aside (scripts/fence-*.lua and their libraries).
 *
 * The sorted set of what was given back is a hash of member to score here. Everything else is compared with the Lua, key
 * by key, as the other round scripts are.
 */
import type { Call } from './call.ts'
import {
  holdAs,
  holdShut,
  logChange,
  NUMBER,
  noticeOf,
  OPEN,
  type Round,
  readRound,
  remaining,
  room,
  SCHEDULED,
  type Script,
  sum,
  writeRound,
} from './round-state.ts'

const statusOf = (engines: string, engine: string): string | undefined =>
  new RegExp(` ${engine}:([a-z]+) `).exec(engines)?.[1]

const drop = (engines: string, engine: string): string => engines.replace(new RegExp(` ${engine}:[a-z]+ `, 'g'), ' ')

const mark = (engines: string, engine: string, status: string): string => `${drop(engines, engine)}${engine}:${status} `

/** Whether an engine may claim: a round and its engines are of one level, and it has joined this epoch. */
export function admitted(call: Call, round: Round, engine: string): boolean {
  if (round.replid === undefined || engine === '') return round.replid === undefined && engine === ''
  return statusOf(call.hash(round.key)?.get('engines') ?? '', engine) === 'in'
}

interface Range {
  readonly from: number
  readonly to: number
  readonly released: boolean
}

const rangesOf = ({ ranges }: Round): Range[] =>
  [...ranges.matchAll(/(\d+)-(\d+)(r?)/g)].map(([, from, to, r]) => ({
    ...{ from: Number(from), to: Number(to), released: r === 'r' },
  }))

/** Whether a sequence is set aside and not released. */
function isHeld(round: Round, sequence: number): boolean {
  const range = rangesOf(round).find(({ from, to }) => sequence >= from && sequence <= to)
  return range !== undefined && !range.released
}

/** Takes a place for a grant that is given back; false when nothing is left in any pool. */
function take(call: Call, log: string, round: Round, [pool, aside]: readonly [number, boolean]): boolean {
  const { totals, granted, quarantined } = round
  const places = (p: number) => (aside ? (quarantined[p] ?? 0) : room(round, p) - (granted[p] ?? 0))
  let from = pool
  for (const p of totals.keys()) if (places(from) <= 0) from = p
  if (places(from) <= 0) return false
  if (from !== pool) logChange(call, log, round, ['moved', `${from} ${pool}`, 1])
  if (aside) quarantined[from] = (quarantined[from] ?? 0) - 1
  totals[from] = (totals[from] ?? 0) - 1
  totals[pool] = (totals[pool] ?? 0) + 1
  granted[pool] = (granted[pool] ?? 0) + 1
  return true
}

function releaseAside(call: Call, log: string | undefined, round: Round, request: string): void {
  const back = round.quarantined.reduce((sum, held) => sum + held, 0)
  round.quarantined.fill(0)
  round.ranges = round.ranges.replace(/(\d+-\d+)r?/g, '$1r')
  if (back > 0 && log !== undefined) logChange(call, log, round, ['release', request, back])
}

function setAside(round: Round, start: number, missing: number, uncertain: boolean): void {
  const range = `${round.sequence + 1}-${start}${uncertain ? '' : 'r'}`
  round.ranges = round.ranges === '' ? range : `${round.ranges},${range}`
  let left = missing
  for (const p of uncertain ? round.totals.keys() : []) {
    const some = Math.max(0, Math.min(left, room(round, p) - (round.granted[p] ?? 0)))
    round.quarantined[p] = (round.quarantined[p] ?? 0) + some
    left -= some
  }
}

const counts = ({ totals, granted, quarantined }: Round): (string | number)[] =>
  totals.flatMap((total, p) => [`t${p}`, total, `g${p}`, granted[p] ?? 0, `q${p}`, quarantined[p] ?? 0])

const reserve: Script = (call, [state = ''], [epoch = '', engine = '', chunk, noted]) => {
  const round = readRound(call, state, epoch)
  if (!round || round.reserve === undefined) return [NUMBER.fenced]
  const fields = call.hash(state)
  const [pending, engines, confirmed] = [Number(fields?.get('pending')), fields?.get('engines') ?? '', Number(noted)]
  const status = statusOf(engines, engine)
  if (status === 'left') return [NUMBER.fenced]
  if (chunk === '-1') {
    call.hset(state, 'engines', drop(engines, engine))
    return [NUMBER.granted, pending]
  }
  if (confirmed === 0) {
    const next = Math.max(pending, round.sequence + Math.min(Number(chunk), Math.max(0, remaining(round))))
    call.hset(state, 'pending', next, 'engines', status ? engines : mark(engines, engine, 'joining'))
    return [NUMBER.granted, next]
  }
  if (!status || confirmed > pending) return [NUMBER.fenced]
  const raised = Math.max(round.reserve, confirmed)
  call.hset(state, 'reserve', raised, 'engines', mark(engines, engine, 'in'))
  return [NUMBER.granted, raised]
}

const knownAt = (call: Call, restored: string, sequence: number): string | undefined =>
  [...(call.hash(restored) ?? [])].find(([, score]) => Number(score) === sequence)?.[0]

/** Gives one grant back, or says why not; undefined when it is held already, as it should be. */
function giveBack(call: Call, round: Round, keys: readonly string[], line: readonly string[]): string | undefined {
  const [, holders = '', log = '', restored = ''] = keys
  const [sequence, pool, at, holder = ''] = [Number(line[1]), Number(line[2]), Number(line[3]), line[4]]
  const held = call.hash(holders)?.get(holder)
  const known = knownAt(call, restored, sequence)
  const member = `${sequence} ${pool} ${at} ${holder}`
  if (held !== undefined) {
    if (Buffer.from(held, 'latin1').readUInt32BE(0) !== sequence) return 'holds another'
    if (known !== undefined && Number(known.split(' ')[2]) > at) {
      call.write(['hdel', restored, [known]])
      call.hset(restored, member, sequence)
    }
    return undefined
  }
  const aside = sequence <= round.sequence
  const isFree = aside ? isHeld(round, sequence) : round.replid !== call.server
  if (pool >= round.totals.length || !isFree) return 'not set aside'
  if (known !== undefined) return 'taken'
  if (!take(call, log, round, [pool, aside])) return 'no stock'
  const grant = Buffer.alloc(5)
  grant[grant.writeUInt32BE(sequence, 0)] = pool
  call.hset(holders, holder, grant.toString('latin1'))
  call.hset(restored, member, sequence)
  return 'restored'
}

/** Opens a round whose opening was lost; the fields to be written. */
function openAgain(call: Call, log: string, round: Round, at: number): (string | number)[] {
  holdAs(call, round, 'opened', NUMBER.not_open)
  round.state = OPEN
  round.opens = at
  logChange(call, log, round, ['open', 'given back', 0])
  return ['state', OPEN, 'opens', at, 'hold', round.hold, 'holds_as', round.holdsAs]
}

const restore: Script = (call, keys, [channel = '', epoch = '', engine = '', told = '', grants = '', server = '']) => {
  const [state = '', , log = ''] = keys
  const round = readRound(call, state, '')
  if (!round || round.epoch !== epoch || (server !== '' && server !== call.server)) return [NUMBER.fenced]
  const here = round.replid === call.server
  const fields = call.hash(state)
  const [before, debts] = [fields?.get('engines') ?? ' ', fields?.get('owed') ?? ' ']
  let [restored, conflicts, first] = [0, 0, Number.POSITIVE_INFINITY]
  for (const line of grants.matchAll(/(\d+) (\d+) (\d+) (\S+)\n/g)) {
    const why = giveBack(call, round, keys, line)
    if (why === 'restored') {
      restored++
      round.now = Math.max(round.now, Number(line[3]))
      first = Math.min(first, Number(line[3]))
    }
    if (why === undefined || why === 'restored') continue
    const conflict = `conflict ${Number(line[1])} ${line[4]}`
    if (call.hash(state)?.has(conflict)) continue
    call.hset(state, conflict, why)
    conflicts++
    logChange(call, log, round, [`conflict: ${why}`, line[4] ?? '', Number(line[1])])
  }
  let [engines, owed] = [before, debts]
  for (const [own] of told.matchAll(/[0-9a-f]+/g)) {
    if (own === round.epoch && !here) engines = mark(engines, engine, 'left')
    if (here) owed = owed.replaceAll(` ${engine}:${own} `, ' ')
  }
  if (here && owed === ' ' && debts !== ' ') releaseAside(call, log, round, 'all told')
  const words: (string | number)[] = ['engines', engines, 'owed', owed, 'ranges', round.ranges]
  if (restored > 0 && round.state === SCHEDULED) words.push(...openAgain(call, log, round, first))
  words.push(...counts(round))
  const to = here ? channel : `${channel}:unbound`
  return [NUMBER.granted, writeRound(call, round, to, words), restored, conflicts]
}

const bind: Script = (
  call,
  [state = '', log = '', restored = ''],
  [channel = '', epoch = '', next = '', patience, hold = '', asked = ''],
) => {
  const round = readRound(call, state, '')
  if (!round || !call.has(log)) return [NUMBER.fenced]
  if (asked !== '' && asked !== call.server) return [NUMBER.fenced]
  if (round.epoch !== epoch) return [NUMBER.replayed, noticeOf(round), 0]
  const { server } = call
  const fields = call.hash(state)
  const here = round.replid === server
  const told = fields?.get('owed') ?? ' '
  const silent = [...(fields?.get('engines') ?? '').matchAll(/(\w+):([a-z]+)/g)].filter(
    ([, , status]) => status !== 'left' && !here,
  )
  const debts = silent.map(([, engine]) => `${engine}:${round.epoch} `).join('')
  const noted = Number(new RegExp(`^${server} (\\d+)`).exec(fields?.get('waits') ?? '')?.[1] ?? Number.NaN)
  const since = noted <= round.clock ? noted : undefined
  if (silent.length > 0 && round.clock - (since ?? round.clock) < Number(patience)) {
    if (since === undefined) call.hset(state, 'waits', `${server} ${round.clock}`)
    return [NUMBER.unavailable, noticeOf(round), 0]
  }
  const scores = [...(call.hash(restored)?.values() ?? [])].map(Number)
  let start = Math.max(round.sequence, 0, ...scores)
  if (silent.length > 0) start = Math.max(start, round.reserve ?? 0, Number(fields?.get('pending')))
  const filled = scores.filter(score => score > round.sequence && score <= start).length
  const missing = start - round.sequence - filled
  if (missing > 0) setAside(round, start, missing, silent.length > 0)
  if (round.state === OPEN) holdAs(call, round, hold, NUMBER.fenced)
  round.sequence = start
  logChange(call, log, round, [silent.length > 0 ? 'bind, set aside' : 'bind, exact', epoch, missing])
  const words = ['epoch', next, 'replid', server, 'sequence', start, 'reserve', start, 'pending', start, 'engines', ' ']
  words.push('owed', told + debts, 'waits', '', 'hold', round.hold, 'holds_as', round.holdsAs, 'ranges', round.ranges)
  const bound = { ...round, epoch: next }
  return [NUMBER.granted, writeRound(call, bound, channel, [...words, ...counts(round)]), missing]
}

const release: Script = (
  call,
  [state = '', log = ''],
  [channel = '', epoch = '', most, hold = '', request = '', dry = ''],
) => {
  const round = readRound(call, state, epoch)
  if (!round || !call.has(log)) return [NUMBER.fenced]
  if (call.hash(state)?.has(`request ${request}`)) return [NUMBER.replayed, noticeOf(round)]
  const [before, left, held] = [noticeOf(round), remaining(round), sum(round.quarantined)]
  if (held === 0) return [NUMBER.wrong_state, before]
  if (round.sequence + left + held > Number(most)) return [NUMBER.invalid, before]
  if (round.state === OPEN && left === 0) holdShut(call, round, hold)
  releaseAside(call, dry === '1' ? undefined : log, round, request)
  if (dry === '1') return [NUMBER.granted, noticeOf(round), before]
  const words = ['ranges', round.ranges, 'owed', ' ', 'hold', round.hold, 'holds_as', round.holdsAs]
  words.push(`request ${request}`, round.now)
  return [NUMBER.granted, writeRound(call, round, channel, [...words, ...counts(round)])]
}

export const FENCE: Readonly<Record<string, Script>> = {
  'fence-reserve': reserve,
  'fence-restore': restore,
  'fence-bind': bind,
  'fence-release': release,
}
