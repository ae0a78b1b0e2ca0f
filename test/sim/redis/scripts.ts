/**
 * The round scripts, written once more in TypeScript: what a simulated server runs instead of scripts/*.lua, and what the
 * real scripts are compared with, reply by reply and key by key, on random sequences (test/script/round-model.test.ts).
 *
 * A script reads and writes through a Call: its writes are applied at once and kept for the log on disk and the
 * replicas, as Redis does it. Claims are decided one by one, where the Lua decides a batch as a whole; the rest follows
 * the Lua's words so that a reader can hold one against the other. Outcomes are numbers of the one table. Rejected:
 * a Lua interpreter in here, since two runs of one text would agree on every mistake.
 */
import { holdersIn } from '../../../engine/base/holder.ts'
import { allot } from './allot-script.ts'
import type { Call } from './call.ts'
import { DRAWS } from './draw-scripts.ts'
import { enter } from './enter-script.ts'
import { admitted, FENCE } from './fence-scripts.ts'
import {
  CLOSED,
  endOutcome,
  given,
  holdShut,
  logChange,
  NUMBER,
  noticeOf,
  OPEN,
  PAUSED,
  packHolders,
  type Round,
  readRound,
  remaining,
  room,
  SCHEDULED,
  type Script,
  shutOutcome,
  told,
  word,
  writeRound,
} from './round-state.ts'

const create: Script = (
  call,
  [state = '', log = '', gone = ''],
  [channel = '', epoch = '', opens = '', closes = '', config = '', totals = '', fenced],
) => {
  if (call.has(state)) return [NUMBER.replayed, noticeOf(readRound(call, state, '') as Round)]
  if (call.has(gone)) return [NUMBER.unavailable]
  const pools = totals.match(/\d+/g) ?? []
  for (const [pool, total] of pools.entries()) call.hset(state, `t${pool}`, total, `g${pool}`, 0)
  const head = ['epoch', epoch, 'version', 0, 'state', SCHEDULED, 'opens', opens, 'closes', closes]
  call.hset(state, ...head, 'last', 0, 'sequence', 0, 'pools', pools.length, 'config', config)
  if (fenced === '1') call.hset(state, 'replid', call.server, 'reserve', 0, 'pending', 0, 'engines', ' ')
  else call.hset(state, 'history', call.server)
  const round = readRound(call, state, epoch) as Round
  logChange(call, log, round, ['create', '', 0])
  return [NUMBER.granted, writeRound(call, round, channel, [])]
}

const TURNS: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  open: { [SCHEDULED]: OPEN },
  pause: { [OPEN]: PAUSED },
  resume: { [PAUSED]: OPEN },
  close: {
    [SCHEDULED]: CLOSED,
    [OPEN]: CLOSED,
    [PAUSED]: CLOSED,
  },
}

const turn: Script = (
  call,
  [state = '', log = ''],
  [channel = '', epoch = '', verb = '', hold = '', request = '', dry = ''],
) => {
  const round = readRound(call, state, epoch)
  if (!round || !call.has(log)) return [NUMBER.fenced]
  if (call.hash(state)?.has(`request ${request}`)) return [NUMBER.replayed, noticeOf(round)]
  const [before, to] = [noticeOf(round), TURNS[verb]?.[round.state]]
  if (to === undefined) return [NUMBER.wrong_state, before]
  if (to === OPEN) holdShut(call, round, hold)
  round.state = to
  if (verb === 'open') round.opens = round.now
  if (verb === 'close') round.closes = round.now
  if (dry === '1') return [NUMBER.granted, noticeOf(round), before]
  logChange(call, log, round, [verb, request, 0])
  const fields = ['state', to, 'opens', round.opens, 'closes', round.closes, 'hold', round.hold]
  fields.push('holds_as', round.holdsAs, `request ${request}`, round.now)
  return [NUMBER.granted, writeRound(call, round, channel, fields)]
}

const restock: Script = (
  call,
  [state = '', log = ''],
  [channel = '', epoch = '', place, more, most, wanted = '', hold = '', request = '', dry = ''],
) => {
  const round = readRound(call, state, epoch)
  if (!round || !call.has(log)) return [NUMBER.fenced]
  const known = call.hash(state)?.get(`request ${request}`)
  if (known !== undefined) return [known === 'void' ? NUMBER.unavailable : NUMBER.replayed, noticeOf(round)]
  const [pool, add, before] = [Number(place), Number(more), noticeOf(round)]
  const [total = 0, granted = 0] = [round.totals[pool], round.granted[pool]]
  if (round.state === CLOSED && add > 0) return [NUMBER.wrong_state, before]
  if (wanted !== '' && Number(wanted) !== total) return [NUMBER.changed, before]
  if (room(round, pool) + add < granted) return [NUMBER.below_granted, before]
  if (remaining(round) + round.sequence + add > Number(most)) return [NUMBER.invalid, before]
  if (round.state === OPEN && remaining(round) === 0) holdShut(call, round, hold)
  round.totals[pool] = total + add
  if (dry === '1') return [NUMBER.granted, noticeOf(round), before]
  logChange(call, log, round, [`restock ${pool}`, request, add])
  const fields = [
    `t${pool}`,
    total + add,
    'hold',
    round.hold,
    'holds_as',
    round.holdsAs,
    `request ${request}`,
    round.now,
  ]
  return [NUMBER.granted, writeRound(call, round, channel, fields)]
}

const endHold: Script = (call, [state = ''], [channel = '', epoch = '', hold]) => {
  const round = readRound(call, state, epoch)
  if (!round) return [NUMBER.fenced]
  if (round.hold !== hold) return [NUMBER.granted, told(call, round, channel)]
  round.hold = ''
  return [NUMBER.granted, writeRound(call, round, channel, ['hold', '', 'state', round.state])]
}

const read: Script = (call, [state = '']) => {
  const round = readRound(call, state, '')
  if (!round) return [NUMBER.fenced]
  const server =
    round.replid === undefined ? '' : `${round.replid === call.server ? 'here' : 'elsewhere'} ${call.server}`
  return [NUMBER.granted, noticeOf(round), call.hash(state)?.get('config') ?? '', server]
}

const history: Script = (call, [state = ''], [channel = '', epoch = '', version, next = '']) => {
  const round = readRound(call, state, '')
  if (!round) return [NUMBER.fenced]
  if (round.replid !== undefined) return [NUMBER.replayed, noticeOf(round)]
  const { server, before } = call
  const known = call.hash(state)?.get('history')
  const lacks = epoch === round.epoch && Number(version) > round.version
  const elsewhere = epoch !== '' && epoch !== round.epoch
  if (lacks || (known !== undefined && known !== server && (before !== '' || elsewhere))) {
    const fields = ['epoch', next, 'history', server, 'state', round.state]
    return [NUMBER.granted, writeRound(call, { ...round, epoch: next }, channel, fields)]
  }
  if (known !== server) call.hset(state, 'history', server)
  return [NUMBER.replayed, noticeOf(round)]
}

interface Batch {
  exceptions: string
  readonly holders: string[]
  readonly grants: string[]
  pools: string
  /** Which of the claims were granted. */
  readonly places: number[]
}

/** Decides one claim after the other; what is granted moves the round's counts and goes into the batch. */
function decide(
  call: Call,
  holdersKey: string,
  round: Round,
  asked: { readonly users: readonly string[]; readonly pools: string; readonly rest: number },
): Batch {
  const held = call.hash(holdersKey)
  const batch: Batch = { exceptions: '', holders: [], grants: [], pools: '', places: [] }
  const shut = shutOutcome(round)
  for (const [i, user] of asked.users.entries()) {
    const grant = held?.get(user) ?? batch.grants[batch.holders.indexOf(user)]
    if (grant !== undefined) {
      batch.exceptions += word(i, 2) + word(NUMBER.replayed, 1) + grant
      continue
    }
    const pool = asked.pools.charCodeAt(asked.pools.length === 1 ? 0 : i)
    const [total, granted = 0] = [room(round, pool), round.granted[pool]]
    const gone = (round.quarantined[pool] ?? 0) > 0 ? NUMBER.fenced : NUMBER.sold_out
    const outcome = shut ?? (granted < total ? NUMBER.granted : gone)
    if (outcome === NUMBER.granted) {
      round.granted[pool] = granted + 1
      batch.holders.push(user)
      batch.grants.push(word(++round.sequence, 4) + word(pool, 1))
      batch.pools += word(pool, 1)
      batch.places.push(i)
    } else if (outcome !== asked.rest) batch.exceptions += word(i, 2) + word(outcome, 1) + word(0, 4) + word(pool, 1)
  }
  return batch
}

/** The scopes of the granted claims, from those of all. */
function viasFor(vias: string, places: readonly number[]): string {
  const [names = '', ...rest] = vias.split('\n')
  if (rest.length === 0) return vias
  const words = rest.join('\n')
  return `${names}\n${places.map(place => words.slice(2 * place, 2 * place + 2)).join('')}`
}

const claim: Script = (
  call,
  [state = '', holders = '', log = ''],
  [channel = '', epoch = '', packed = '', pools = '', engine = '', vias],
) => {
  const round = readRound(call, state, epoch)
  if (!round) return [NUMBER.fenced]
  if (!admitted(call, round, engine)) return [NUMBER.fenced]
  if ((call.hash(holders)?.size ?? 0) !== given(round) || !call.has(log)) return [NUMBER.fenced]
  const users = holdersIn(Buffer.from(packed, 'latin1'))
  const rest = shutOutcome(round) ?? (remaining(round) > 0 ? NUMBER.granted : endOutcome(round))
  const first = round.sequence + 1
  const batch = decide(call, holders, round, { users, pools, rest })
  if (round.sequence > (round.reserve ?? round.sequence)) return [NUMBER.unavailable]
  const reserve = round.reserve === undefined ? [] : [round.reserve]
  if (batch.holders.length === 0)
    return [NUMBER.granted, told(call, round, channel), first, rest, batch.exceptions, ...reserve]
  const whole = batch.holders.length === users.length
  call.hset(holders, ...batch.holders.flatMap((user, i) => [user, batch.grants[i] as string]))
  const logged = whole ? [packed, pools] : [packHolders(batch.holders), batch.pools]
  const entry = ['at', round.now, 'users', logged[0] as string, 'pools', logged[1] as string]
  if (vias !== undefined) entry.push('via', viasFor(vias, batch.places))
  call.xadd(log, round.sequence, ...entry)
  const counts = ['sequence', round.sequence, ...round.granted.flatMap((count, pool) => [`g${pool}`, count])]
  return [NUMBER.granted, writeRound(call, round, channel, counts), first, rest, batch.exceptions, ...reserve]
}

const budget: Script = (call, [key = ''], [request = '', amount = '', most = '', settles = '', dry = '']) => {
  const known = call.hash(key)?.get(request)
  const committed = Number(call.hash(key)?.get('sum') ?? 0)
  if (known !== undefined && settles === '') return [NUMBER.granted, String(committed)]
  const after = committed - Number(known ?? 0) + Number(amount)
  if (settles === '' && Number(amount) > 0 && after > Number(most)) return [NUMBER.budget_exceeded, String(committed)]
  if (dry === '1') return [NUMBER.granted, String(after)]
  call.hset(key, request, amount, 'sum', after)
  return [NUMBER.granted, String(after)]
}

/** What became of a change; one that was not made is void. */
const giveUp: Script = (call, [state = '', gone = ''], [request = '']) => {
  if (request !== '') {
    if (!call.has(state)) return [NUMBER.fenced]
    const known = call.hash(state)?.get(`request ${request}`)
    if (known === undefined) call.hset(state, `request ${request}`, 'void')
    return [(known ?? 'void') === 'void' ? NUMBER.granted : NUMBER.replayed]
  }
  if (call.has(state)) return [NUMBER.replayed]
  call.write(['set', gone, ['1']])
  return [NUMBER.granted]
}

/** By the names of scripts/. A script that takes `dry` is the one for dry calls, too. */
export const SIMULATED: Readonly<Record<string, Script>> = {
  claim,
  'round-create': create,
  'round-void': giveUp,
  'round-turn': turn,
  'round-read': read,
  'round-history': history,
  restock,
  'hold-end': endHold,
  budget,
  allot,
  enter,
  ...DRAWS,
  ...FENCE,
}
