/**
 * The scripts of a draw, once more in TypeScript: open a window, take its draw in hand, publish its files, grant its winners,
 * end it (scripts/draw-*.lua). Compared with the Lua, every reply and every key, by test/script/mode-twins.test.ts.
 *
 * Left out: the lapse of a seat (draw-lapse.lua), which nobody in a simulated world asks for.
 */
import { holdersIn } from '../../../engine/base/holder.ts'
import {
  CLOSED,
  DRAWING,
  DRAWN,
  logChange,
  NUMBER,
  noticeOf,
  OPEN,
  readRound,
  remaining,
  type Script,
  word,
  writeRound,
} from './round-state.ts'

const open: Script = (call, [drawKey = '', bundle = ''], [window = '', rules = '', closes = '', latest, isNew]) => {
  const draw = call.hash(drawKey)
  const [now, phase] = [call.timeMs, rules === '' ? 'new' : 'open']
  const own = draw?.get('window')
  if (own === undefined && isNew !== '1') return [NUMBER.fenced]
  if (own !== undefined) {
    const [isOver, isEmpty] = [now >= Number(draw?.get('closes')), draw?.get('first') === draw?.get('entries')]
    const renews = draw?.get('phase') === 'open' && isEmpty && isOver && own === window
    if (!renews && draw?.get('phase') !== 'new') return [NUMBER.replayed, now]
  }
  if (phase === 'open' && now > Number(latest)) return [NUMBER.not_open, now]
  if (own === undefined) call.hset(drawKey, 'first', 0, 'entries', 0, 'base', 0, 'owner', '', 'until', 0)
  call.hset(drawKey, 'window', window, 'phase', phase, 'closes', closes, 'shed', 0, 'opened', now)
  if (phase === 'open') call.hset(bundle, 'rules.json', rules)
  return [NUMBER.granted, now]
}

const take: Script = (
  call,
  [state = '', drawKey = '', log = ''],
  [channel = '', epoch = '', owner = '', lease, drawsAt],
) => {
  const round = readRound(call, state, epoch)
  const draw = new Map(call.hash(drawKey))
  const [window, first = '', entries = ''] = [draw.get('window'), draw.get('first'), draw.get('entries')]
  if (!round || window === undefined || !call.has(log)) return [NUMBER.fenced]
  let phase = draw.get('phase') ?? ''
  let base: string | number = draw.get('base') ?? ''
  if (phase === 'done') return [NUMBER.replayed, noticeOf(round)]
  if (phase === 'new' || phase === 'open') {
    const isFull = phase === 'open' && round.state === OPEN && first !== entries
    const isOver = isFull && round.now >= Number(draw.get('closes'))
    if ((!isOver && round.state !== CLOSED) || round.now < Number(drawsAt)) return [NUMBER.not_open, noticeOf(round)]
    if (first === entries) {
      call.hset(drawKey, 'phase', 'done')
      return [NUMBER.replayed, noticeOf(round)]
    }
  } else if (draw.get('owner') !== owner) {
    const left = Number(draw.get('until')) - round.clock
    if (left > 0 && left <= Number(lease)) return [NUMBER.wrong_state, noticeOf(round)]
  }
  if (phase === 'open') {
    phase = 'closed'
    base = round.sequence
    const isFinal = round.state === CLOSED ? 1 : 0
    call.hset(drawKey, 'phase', phase, 'base', base, 'final', isFinal, `first ${window}`, first)
    round.state = DRAWING
    logChange(call, log, round, [`draw ${window}`, '', Math.min(Number(draw.get('opened') ?? 0), round.now)])
    writeRound(call, round, channel, ['state', DRAWING])
  }
  call.hset(drawKey, 'owner', owner, 'until', round.clock + Number(lease))
  return [NUMBER.granted, noticeOf(round), window, phase, first, entries, base, round.now]
}

const write: Script = (call, [drawKey = '', bundle = ''], [owner, lease, window, from, to = '', ...files]) => {
  const draw = call.hash(drawKey)
  if (draw?.get('window') === undefined) return [NUMBER.fenced]
  if (draw.get('window') !== window || draw.get('phase') !== from) return [NUMBER.replayed]
  if (from === 'closed' && draw.get('owner') !== owner) return [NUMBER.wrong_state]
  call.hset(bundle, ...files)
  call.hset(drawKey, 'phase', to, 'until', Math.floor(call.timeMs / 1000) * 1000 + Number(lease))
  return [NUMBER.granted]
}

const grant: Script = (
  call,
  [state = '', holders = '', log = '', drawKey = ''],
  [channel = '', epoch = '', lease, place, packed = '', pools = ''],
) => {
  const round = readRound(call, state, epoch)
  const phase = call.hash(drawKey)?.get('phase')
  if (!round || phase === undefined) return [NUMBER.fenced]
  const [first, users] = [Number(place), holdersIn(Buffer.from(packed, 'latin1'))]
  const last = first + users.length - 1
  if (round.sequence >= last) return [NUMBER.replayed, noticeOf(round)]
  const isWhole = (call.hash(holders)?.size ?? 0) === round.sequence && call.has(log)
  if (!isWhole || phase !== 'drawn' || round.sequence !== first - 1) return [NUMBER.fenced]
  const puts = users.flatMap((user, i) => {
    const pool = pools.charCodeAt(i)
    round.granted[pool] = (round.granted[pool] ?? 0) + 1
    return [user, word(first + i, 4) + word(pool, 1)]
  })
  if (round.granted.some((granted, pool) => granted > (round.totals[pool] ?? 0))) return [NUMBER.sold_out]
  round.sequence = last
  call.hset(holders, ...puts)
  call.xadd(log, round.sequence, 'at', round.now, 'users', packed, 'pools', pools)
  call.hset(drawKey, 'until', round.clock + Number(lease))
  const counts = round.granted.flatMap((count, pool) => [`g${pool}`, count])
  return [NUMBER.granted, writeRound(call, round, channel, ['sequence', round.sequence, ...counts])]
}

const finish: Script = (
  call,
  [state = '', drawKey = '', bundle = ''],
  [channel = '', epoch = '', window, rules = '', closes = '', latest],
) => {
  const round = readRound(call, state, epoch)
  const draw = new Map(call.hash(drawKey))
  const own = draw.get('window')
  if (!round || own === undefined) return [NUMBER.fenced]
  if (own !== window || draw.get('phase') !== 'drawn') return [NUMBER.replayed, noticeOf(round)]
  const isOver = draw.get('final') === '1' || (round.closes > 0 && round.now >= round.closes)
  const goesOn = !isOver && rules !== '' && remaining(round) > 0
  if (goesOn && round.now > Number(latest)) return [NUMBER.not_open, noticeOf(round)]
  round.state = goesOn ? OPEN : DRAWN
  if (goesOn) {
    const next = ['window', Number(own) + 1, 'phase', 'open', 'first', draw.get('entries') ?? '', 'closes', closes]
    call.hset(drawKey, ...next, 'shed', 0, 'opened', round.now)
    call.hset(bundle, 'rules.json', rules)
  } else call.hset(drawKey, 'phase', 'done')
  return [NUMBER.granted, writeRound(call, round, channel, ['state', round.state])]
}

/** By the names of scripts/. */
export const DRAWS = {
  'draw-open': open,
  'draw-take': take,
  'draw-write': write,
  'draw-grant': grant,
  'draw-finish': finish,
} as const satisfies Readonly<Record<string, Script>>
