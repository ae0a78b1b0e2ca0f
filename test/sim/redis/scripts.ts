/**
 * The round scripts, written once more in TypeScript: what a simulated server runs instead of scripts/*.lua, and what the
 * real scripts are compared with, reply by reply and key by key, on random sequences (test/script/round-model.test.ts).
 *
 * A script reads and writes through a Call: its writes are applied at once and kept for the log on disk and the
 * replicas, as Redis does it. Claims are decided one by one, where the Lua decides a batch as a whole; the rest follows
 * the Lua's words so that a reader can hold one against the other. Outcomes are numbers of the one table. Rejected:
 * a Lua interpreter in here, since two runs of one text would agree on every mistake.
 */
import { CODES } from '../../../engine/base/codes.ts'
import { HOLDER_BYTES_MAX, holdersIn, writeHolder } from '../../../engine/base/holder.ts'
import type { Call } from './call.ts'

export type Answer = number | string
type Script = (call: Call, keys: readonly string[], args: readonly string[]) => Answer[]

const [SCHEDULED, OPEN, PAUSED, CLOSED, DRAWING, DRAWN] = [1, 2, 3, 4, 5, 6]
const NUMBER = Object.fromEntries(Object.entries(CODES).map(([code, { number }]) => [code, number])) as Record<
  keyof typeof CODES,
  number
>

interface Round {
  readonly key: string
  readonly epoch: string
  readonly now: number
  version: number
  state: number
  opens: number
  closes: number
  sequence: number
  holds: number
  holdsAs: number
  readonly totals: number[]
  readonly granted: number[]
}

function readRound(call: Call, key: string, epoch: string): Round | undefined {
  const state = call.hash(key)
  const own = state?.get('epoch')
  if (!state || own === undefined || (epoch !== '' && own !== epoch)) return undefined
  const number = (field: string) => Number(state.get(field) ?? 0)
  const pools = Array.from({ length: number('pools') }, (_, pool) => pool)
  const now = Math.max(call.timeMs, number('last'))
  const [opens, closes] = [number('opens'), number('closes')]
  let at = number('state')
  if (at === SCHEDULED && opens > 0 && now >= opens) at = OPEN as number
  if (closes > 0 && now >= closes && at < (CLOSED as number)) at = CLOSED as number
  return {
    ...{ key, epoch: own, now, version: number('version'), state: at, opens, closes, sequence: number('sequence') },
    ...{ holds: number('holds'), holdsAs: number('holds_as') },
    totals: pools.map(pool => number(`t${pool}`)),
    granted: pools.map(pool => number(`g${pool}`)),
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
const remaining = ({ totals, granted }: Round): number => sum(totals) - sum(granted)

function noticeOf({ epoch, version, state, sequence, now, opens, closes, totals, granted }: Round): string {
  const pools = totals.flatMap((total, pool) => [total, granted[pool]])
  return [epoch, version, state, sequence, now, opens, closes, ...pools].join(' ')
}

function writeRound(call: Call, round: Round, channel: string, fields: readonly (string | number)[]): string {
  round.version++
  call.hset(round.key, 'version', round.version, 'last', round.now, ...fields)
  const notice = noticeOf(round)
  call.publish(channel, notice)
  return notice
}

function logChange(call: Call, log: string, round: Round, [kind, request, amount]: readonly [string, string, number]) {
  call.xadd(log, round.sequence, 'at', round.now, 'kind', kind, 'request', request, 'amount', amount)
}

/** The outcome of everybody who holds nothing, or undefined while the round grants. */
function shutOutcome(round: Round): number | undefined {
  if (round.state === OPEN) return round.now < round.holds ? round.holdsAs : undefined
  if (round.state === DRAWN) return remaining(round) === 0 ? NUMBER.sold_out : NUMBER.closed
  const { not_open, paused, closed } = NUMBER
  return {
    [SCHEDULED as number]: not_open,
    [PAUSED as number]: paused,
    [CLOSED as number]: closed,
    [DRAWING as number]: not_open,
  }[round.state]
}

function holdShut(round: Round, lease: number): void {
  const outcome = shutOutcome(round) ?? (remaining(round) === 0 ? NUMBER.sold_out : undefined)
  if (outcome === undefined) return
  round.holds = round.now + lease
  round.holdsAs = outcome
}

const create: Script = (
  call,
  [state = '', log = ''],
  [channel = '', epoch = '', opens = '', closes = '', config = '', totals = ''],
) => {
  if (call.has(state)) return [NUMBER.replayed, noticeOf(readRound(call, state, '') as Round)]
  const pools = totals.match(/\d+/g) ?? []
  for (const [pool, total] of pools.entries()) call.hset(state, `t${pool}`, total, `g${pool}`, 0)
  const head = ['epoch', epoch, 'version', 0, 'state', SCHEDULED as number, 'opens', opens, 'closes', closes]
  call.hset(state, ...head, 'last', 0, 'sequence', 0, 'pools', pools.length, 'config', config)
  const round = readRound(call, state, epoch) as Round
  logChange(call, log, round, ['create', '', 0])
  return [NUMBER.granted, writeRound(call, round, channel, [])]
}

const TURNS: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  open: { [SCHEDULED as number]: OPEN as number },
  pause: { [OPEN as number]: PAUSED as number },
  resume: { [PAUSED as number]: OPEN as number },
  close: {
    [SCHEDULED as number]: CLOSED as number,
    [OPEN as number]: CLOSED as number,
    [PAUSED as number]: CLOSED as number,
  },
}

const turn: Script = (call, [state = '', log = ''], [channel = '', epoch = '', verb = '', lease, request = '']) => {
  const round = readRound(call, state, epoch)
  if (!round || !call.has(log)) return [NUMBER.fenced]
  if (call.hash(state)?.has(`request ${request}`)) return [NUMBER.granted, noticeOf(round)]
  const to = TURNS[verb]?.[round.state]
  if (to === undefined) return [NUMBER.wrong_state, noticeOf(round)]
  if (to === OPEN) holdShut(round, Number(lease))
  round.state = to
  if (verb === 'open') round.opens = round.now
  if (verb === 'close') round.closes = round.now
  logChange(call, log, round, [verb, request, 0])
  const fields = [
    'state',
    to,
    'opens',
    round.opens,
    'closes',
    round.closes,
    'holds',
    round.holds,
    'holds_as',
    round.holdsAs,
  ]
  return [NUMBER.granted, writeRound(call, round, channel, [...fields, `request ${request}`, round.now])]
}

const restock: Script = (
  call,
  [state = '', log = ''],
  [channel = '', epoch = '', place, more, most, lease, request = ''],
) => {
  const round = readRound(call, state, epoch)
  if (!round || !call.has(log)) return [NUMBER.fenced]
  if (call.hash(state)?.has(`request ${request}`)) return [NUMBER.granted, noticeOf(round)]
  const [pool, add] = [Number(place), Number(more)]
  const [total = 0, granted = 0] = [round.totals[pool], round.granted[pool]]
  if (round.state === CLOSED && add > 0) return [NUMBER.wrong_state, noticeOf(round)]
  if (total + add < granted) return [NUMBER.below_granted, noticeOf(round)]
  if (remaining(round) + round.sequence + add > Number(most)) return [NUMBER.invalid, noticeOf(round)]
  if (round.state === OPEN && remaining(round) === 0) holdShut(round, Number(lease))
  round.totals[pool] = total + add
  logChange(call, log, round, [`restock ${pool}`, request, add])
  const fields = [
    `t${pool}`,
    total + add,
    'holds',
    round.holds,
    'holds_as',
    round.holdsAs,
    `request ${request}`,
    round.now,
  ]
  return [NUMBER.granted, writeRound(call, round, channel, fields)]
}

const read: Script = (call, [state = '']) => {
  const round = readRound(call, state, '')
  return round ? [NUMBER.granted, noticeOf(round), call.hash(state)?.get('config') ?? ''] : [NUMBER.fenced]
}

/** Holder keys as `cmsgpack.pack` writes them: a fixarray up to 15, else array16. */
function pack(holders: readonly string[]): string {
  const bytes = Buffer.allocUnsafe(3 + holders.length * HOLDER_BYTES_MAX)
  let at = 0
  if (holders.length < 16) bytes[at++] = 0x90 | holders.length
  else {
    bytes[at++] = 0xdc
    at = bytes.writeUInt16BE(holders.length, at)
  }
  for (const holder of holders) at = writeHolder(bytes, at, holder)
  return bytes.toString('latin1', 0, at)
}

const word = (number: number, bytes: number): string => {
  let text = ''
  for (let shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += String.fromCharCode((number >>> shift) & 255)
  return text
}

interface Batch {
  exceptions: string
  readonly holders: string[]
  readonly grants: string[]
  pools: string
}

/** Decides one claim after the other; what is granted moves the round's counts and goes into the batch. */
function decide(
  call: Call,
  holdersKey: string,
  round: Round,
  asked: { readonly users: readonly string[]; readonly pools: string; readonly rest: number },
): Batch {
  const held = call.hash(holdersKey)
  const batch: Batch = { exceptions: '', holders: [], grants: [], pools: '' }
  const shut = shutOutcome(round)
  for (const [i, user] of asked.users.entries()) {
    const grant = held?.get(user) ?? batch.grants[batch.holders.indexOf(user)]
    if (grant !== undefined) {
      batch.exceptions += word(i, 2) + word(NUMBER.replayed, 1) + grant
      continue
    }
    const pool = asked.pools.charCodeAt(asked.pools.length === 1 ? 0 : i)
    const [total = 0, granted = 0] = [round.totals[pool], round.granted[pool]]
    const outcome = shut ?? (granted < total ? NUMBER.granted : NUMBER.sold_out)
    if (outcome === NUMBER.granted) {
      round.granted[pool] = granted + 1
      batch.holders.push(user)
      batch.grants.push(word(++round.sequence, 4) + word(pool, 1))
      batch.pools += word(pool, 1)
    } else if (outcome !== asked.rest) batch.exceptions += word(i, 2) + word(outcome, 1) + word(0, 4) + word(pool, 1)
  }
  return batch
}

const claim: Script = (
  call,
  [state = '', holders = '', log = ''],
  [channel = '', epoch = '', packed = '', pools = ''],
) => {
  const round = readRound(call, state, epoch)
  if (!round) return [NUMBER.fenced]
  if ((call.hash(holders)?.size ?? 0) !== round.sequence || !call.has(log)) return [NUMBER.fenced]
  const users = holdersIn(Buffer.from(packed, 'latin1'))
  const rest = shutOutcome(round) ?? (remaining(round) > 0 ? NUMBER.granted : NUMBER.sold_out)
  const first = round.sequence + 1
  const batch = decide(call, holders, round, { users, pools, rest })
  if (batch.holders.length === 0) return [NUMBER.granted, noticeOf(round), first, rest, batch.exceptions]
  const whole = batch.holders.length === users.length
  call.hset(holders, ...batch.holders.flatMap((user, i) => [user, batch.grants[i] as string]))
  const logged = whole ? [packed, pools] : [pack(batch.holders), batch.pools]
  call.xadd(log, round.sequence, 'at', round.now, 'users', logged[0] as string, 'pools', logged[1] as string)
  const counts = ['sequence', round.sequence, ...round.granted.flatMap((count, pool) => [`g${pool}`, count])]
  return [NUMBER.granted, writeRound(call, round, channel, counts), first, rest, batch.exceptions]
}

const budget: Script = (call, [key = ''], [request = '', amount = '', most = '']) => {
  const before = Number(call.hash(key)?.get(request) ?? 0)
  const committed = Number(call.hash(key)?.get('sum') ?? 0)
  const after = committed - before + Number(amount)
  if (after > Number(most) && Number(amount) > before) return [NUMBER.budget_exceeded, String(committed)]
  call.hset(key, request, amount, 'sum', after)
  return [NUMBER.granted, String(after)]
}

/** By the names of scripts/. */
export const SIMULATED: Readonly<Record<string, Script>> = {
  claim,
  'round-create': create,
  'round-turn': turn,
  'round-read': read,
  restock,
  budget,
}
