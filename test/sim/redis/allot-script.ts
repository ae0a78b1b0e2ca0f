/**
 * The script of strict rounds, once more in TypeScript: scripts/allot.lua with its libraries order, waiting and allotment.
 *
 * The sorted set of those who wait is a hash of member to stamp here, and is sorted where it is read. Everything else
 * follows the Lua's words, and test/script/mode-twins.test.ts compares every reply and every key with it.
 */
import type { Call } from './call.ts'
import {
  given,
  NUMBER,
  packHolders,
  type Round,
  readRound,
  room,
  type Script,
  shutOutcome,
  told,
  word,
  writeRound,
} from './round-state.ts'

const PATIENCE_US = 50_000
const WAKE_US = 1000
const ALLOT_MOST = 1024

interface Claim {
  readonly member: string
  readonly tie: string
  readonly pool: number
  readonly holder: string
}

interface Asked extends Claim {
  readonly stamp: number
  readonly isAgain: boolean
}

/** Stamp f64, asked before u8, tie (8), pool u8, length of the holder key u8, the key. */
function claimsIn(text: string): Asked[] {
  const bytes = Buffer.from(text, 'latin1')
  const claims: Asked[] = []
  for (let at = 0; at < bytes.length; ) {
    const [tie, pool, length] = [text.slice(at + 9, at + 17), bytes[at + 17] ?? 0, bytes[at + 18] ?? 0]
    const holder = text.slice(at + 19, at + 19 + length)
    const own = { stamp: bytes.readDoubleBE(at), isAgain: bytes[at + 8] === 1 }
    claims.push({ ...own, tie, pool, holder, member: tie + word(pool, 1) + holder })
    at += 19 + length
  }
  return claims
}

interface Order {
  readonly now: number
  frontier: number
  late: number
  since: number
  woken: number
  readonly patience: number
  readonly workers: Map<string, { readonly mark: number; seen: number }>
}

function readOrder(call: Call, key: string): Order {
  const fields = call.hash(key) ?? new Map<string, string>()
  const number = (field: string, absent = 0) => Number(fields.get(field) ?? absent)
  const now = call.timeUs
  const workers: Order['workers'] = new Map()
  for (const [field, words] of fields) {
    const [mark, seen] = words.split(' ')
    if (field.startsWith('w:')) workers.set(field, { mark: Number(mark), seen: Number(seen) })
  }
  return {
    ...{ now, workers, frontier: number('frontier'), late: number('late'), patience: number('patience', PATIENCE_US) },
    ...{ since: Math.min(number('since'), now), woken: Math.min(number('woken'), now) },
  }
}

/** Who waits, first of all the oldest, of one stamp by member. */
const waitingIn = (call: Call, key: string): [member: string, stamp: number][] =>
  [...(call.hash(key) ?? [])]
    .map(([member, stamp]): [string, number] => [member, Number(stamp)])
    .sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))

const oldestOf = (call: Call, key: string): number | undefined => waitingIn(call, key)[0]?.[1]

/** Takes a worker's mark in and gives the lowest of all that are waited for. */
function lowest(call: Call, key: string, order: Order, [worker, mark, oldest]: [string, number, number | undefined]) {
  order.workers.set(worker, { mark, seen: order.now })
  let low = mark
  for (const [name, other] of order.workers) {
    if (other.seen > order.now) {
      other.seen = order.now
      call.hset(key, name, `${other.mark} ${other.seen}`)
    }
    const isSilent = order.since > 0 && order.now - Math.max(other.seen, order.since) > order.patience
    if (oldest !== undefined && isSilent && other.mark < oldest) {
      if (call.hash(key)?.has(name)) call.write(['hdel', key, [name]])
    } else low = Math.min(low, other.mark)
  }
  return low
}

/** Takes what is due off the queue, and says up to which stamp everything was taken. */
function takeDue(call: Call, key: string, low: number): readonly [due: Claim[], upTo: number] {
  const rows = waitingIn(call, key).filter(([, stamp]) => stamp <= low)
  const taken = rows.slice(0, ALLOT_MOST)
  const due = taken.map(([member]) => ({
    ...{ member, tie: member.slice(0, 8), pool: member.charCodeAt(8), holder: member.slice(9) },
  }))
  if (due.length > 0) call.write(['hdel', key, due.map(({ member }) => member)])
  return [due, taken.length < ALLOT_MOST ? low : (taken.at(-1)?.[1] ?? 0) - 1]
}

interface Allotted {
  readonly refused: Map<string, number>
  readonly records: Map<string, string>
  readonly holders: string[]
  pools: string
}

function decide(call: Call, holders: string, round: Round, due: readonly Claim[]): Allotted {
  const allotted: Allotted = { refused: new Map(), records: new Map(), holders: [], pools: '' }
  const shut = shutOutcome(round)
  const moment = Buffer.alloc(8)
  moment.writeDoubleBE(round.now)
  for (const { member, tie, pool, holder } of due) {
    if (call.hash(holders)?.has(holder) || allotted.records.has(holder)) continue
    const granted = round.granted[pool] ?? 0
    if (shut !== undefined || granted >= room(round, pool)) {
      allotted.refused.set(member, shut ?? NUMBER.sold_out)
      continue
    }
    round.granted[pool] = granted + 1
    const grant = word(++round.sequence, 4) + word(pool, 1)
    allotted.records.set(holder, grant + tie + moment.toString('latin1'))
    allotted.holders.push(holder)
    allotted.pools += word(pool, 1)
  }
  return allotted
}

function writeOrder(
  call: Call,
  key: string,
  order: Order,
  [worker, channel, oldest]: [string, string, number | undefined],
): void {
  if (oldest === undefined) order.since = 0
  else if (order.since === 0) order.since = order.now
  if (oldest !== undefined && order.now - order.woken >= WAKE_US) {
    order.woken = order.now
    call.publish(channel, `awaits ${oldest}`)
  }
  const { mark, seen } = order.workers.get(worker) as { mark: number; seen: number }
  const counts = ['late', order.late, 'frontier', order.frontier, 'since', order.since, 'woken', order.woken]
  call.hset(key, worker, `${mark} ${seen}`, ...counts)
}

/** Those of the claims that are decided by now, 16 bytes each. */
function answers(claims: readonly Asked[], held: readonly (string | undefined)[], allotted: Allotted): string {
  let decided = ''
  for (const [i, { tie, member, pool, holder }] of claims.entries()) {
    const record = held[i] ?? allotted.records.get(holder)
    const refusal = allotted.refused.get(member)
    const outcome = record?.slice(5, 13) === tie ? NUMBER.granted : NUMBER.replayed
    if (record !== undefined) decided += word(i, 2) + word(outcome, 1) + record.slice(0, 5) + record.slice(13, 21)
    else if (refusal !== undefined)
      decided += word(i, 2) + word(refusal, 1) + word(0, 4) + word(pool, 1) + '\0'.repeat(8)
  }
  return decided
}

/** The scope of each claim. */
function scopesIn(vias: string, claims: readonly Asked[]): readonly (string | undefined)[] {
  const [names = '', ...rest] = vias.split('\n')
  if (rest.length === 0) return claims.map(() => vias)
  const places = Buffer.from(rest.join('\n'), 'latin1')
  return claims.map((_, i) => names.split(',')[places.readUInt16BE(2 * i) - 1])
}

function keepScopes(
  call: Call,
  key: string,
  scopes: readonly (string | undefined)[],
  [claims, held, allotted]: readonly [readonly Asked[], readonly (string | undefined)[], Allotted],
): void {
  for (const [i, { tie, holder }] of claims.entries()) {
    const record = held[i] ?? allotted.records.get(holder)
    const scope = scopes[i]
    if (scope !== undefined && record?.length === 21 && record.slice(5, 13) === tie)
      call.hset(key, holder, record + scope)
  }
}

export const allot: Script = (
  call,
  [state = '', holders = '', log = '', orderKey = '', waiting = ''],
  [channel = '', epoch = '', name = '', mark, bytes = '', vias],
) => {
  const round = readRound(call, state, epoch)
  if (!round || (call.hash(holders)?.size ?? 0) !== given(round) || !call.has(log)) return [NUMBER.fenced]
  const [order, worker, claims] = [readOrder(call, orderKey), `w:${name}`, claimsIn(bytes)]
  const held = claims.map(({ holder }) => call.hash(holders)?.get(holder))
  const low = lowest(call, orderKey, order, [worker, Number(mark), oldestOf(call, waiting)])
  const isBehind = ({ stamp }: Asked, i: number) => held[i] === undefined && stamp <= order.frontier
  const behind = claims.filter(isBehind)
  const fresh = claims.filter((claim, i) => held[i] === undefined && claim.stamp > order.frontier)
  order.late += behind.filter(({ isAgain }) => !isAgain).length
  if (fresh.length > 0) call.hset(waiting, ...fresh.flatMap(({ member, stamp }) => [member, stamp]))
  const [due, upTo] = takeDue(call, waiting, low)
  order.frontier = Math.max(order.frontier, upTo)
  const allotted = decide(call, holders, round, [...due, ...behind])
  let notice = told(call, round, channel)
  if (allotted.holders.length > 0) {
    call.hset(holders, ...[...allotted.records].flat())
    const users = packHolders(allotted.holders)
    call.xadd(log, round.sequence, 'at', round.now, 'users', users, 'pools', allotted.pools)
    const counts = round.granted.flatMap((count, pool) => [`g${pool}`, count])
    notice = writeRound(call, round, channel, ['sequence', round.sequence, ...counts])
  }
  if (vias !== undefined) keepScopes(call, holders, scopesIn(vias, claims), [claims, held, allotted])
  writeOrder(call, orderKey, order, [worker, channel, oldestOf(call, waiting)])
  return [NUMBER.granted, notice, String(order.frontier), order.late, answers(claims, held, allotted)]
}
