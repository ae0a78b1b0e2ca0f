/**
 * The state of a simulated round as every round script reads, judges, writes and announces it: scripts/lib/round.lua, shut.lua
 * and the part of log.lua that grants nothing, once more in TypeScript.
 *
 * Where the Lua has tables that begin at 0 there are arrays here; where it has nil, undefined. The words of a notice and
 * the fields of the state are the same to the byte, which test/script/round-model.test.ts compares.
 */
import { CODES } from '../../../engine/base/codes.ts'
import { HOLDER_BYTES_MAX, writeHolder } from '../../../engine/base/holder.ts'
import type { Call } from './call.ts'

export type Answer = number | string
export type Script = (call: Call, keys: readonly string[], args: readonly string[]) => Answer[]

export const SCHEDULED = 1
export const OPEN = 2
export const PAUSED = 3
export const CLOSED = 4
export const DRAWING = 5
export const DRAWN = 6
export const NUMBER = Object.fromEntries(Object.entries(CODES).map(([code, { number }]) => [code, number])) as Record<
  keyof typeof CODES,
  number
>

export interface Round {
  readonly key: string
  readonly epoch: string
  now: number
  /** The server's clock as it is. */
  readonly clock: number
  /** The clock has turned it, and that is not written yet. */
  readonly turned: boolean
  version: number
  state: number
  opens: number
  closes: number
  sequence: number
  hold: string
  holdsAs: number
  readonly totals: number[]
  readonly granted: number[]
  readonly quarantined: number[]
  /** What a fail-over set aside, `from-to,…`; empty where nothing was. */
  ranges: string
  /** At the level fenced: the server's history that it is bound to, and how far it may grant. */
  readonly replid: string | undefined
  readonly reserve: number | undefined
}

export function readRound(call: Call, key: string, epoch: string): Round | undefined {
  const state = call.hash(key)
  const own = state?.get('epoch')
  if (!state || own === undefined || (epoch !== '' && own !== epoch)) return undefined
  const replid = state.get('replid')
  if (replid !== undefined && epoch !== '' && replid !== call.server) return undefined
  const number = (field: string) => Number(state.get(field) ?? 0)
  const pools = Array.from({ length: number('pools') }, (_, pool) => pool)
  const clock = call.timeMs
  const now = Math.max(clock, number('last'))
  const [opens, closes] = [number('opens'), number('closes')]
  let at = number('state')
  if (at === SCHEDULED && opens > 0 && now >= opens) at = OPEN
  if (closes > 0 && now >= closes && at < CLOSED) at = CLOSED
  const turned = at !== number('state')
  return {
    ...{
      turned,
      key,
      epoch: own,
      now,
      clock,
      version: number('version'),
      state: at,
      opens,
      closes,
      sequence: number('sequence'),
    },
    ...{ hold: state.get('hold') ?? '', holdsAs: number('holds_as') },
    totals: pools.map(pool => number(`t${pool}`)),
    granted: pools.map(pool => number(`g${pool}`)),
    quarantined: pools.map(pool => number(`q${pool}`)),
    ...{ ranges: state.get('ranges') ?? '', replid },
    reserve: state.has('reserve') ? number('reserve') : undefined,
  }
}

/** Holder keys as `cmsgpack.pack` writes them: a fixarray up to 15, else array16. */
export function packHolders(holders: readonly string[]): string {
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

/** An unsigned number in big endian. */
export const word = (number: number, bytes: number): string => {
  let text = ''
  for (let shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += String.fromCharCode((number >>> shift) & 255)
  return text
}

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
/** How much of a pool is granted or may be. */
export const room = ({ totals, quarantined }: Round, pool: number): number =>
  (totals[pool] ?? 0) - (quarantined[pool] ?? 0)
export const remaining = ({ totals, granted, quarantined }: Round): number =>
  sum(totals) - sum(quarantined) - sum(granted)
/** How many holders there have to be. */
export const given = ({ ranges, sequence, granted }: Round): number => (ranges === '' ? sequence : sum(granted))

export function noticeOf(round: Round): string {
  const { epoch, version, state, sequence, now, opens, closes, totals, granted, quarantined, ranges } = round
  const pools = totals.flatMap((total, pool) => [total, granted[pool]])
  const aside = ranges === '' ? [] : [`${ranges};${quarantined.join(',')}`]
  const held = round.hold === '' ? [] : [`!${round.hold}`]
  return [epoch, version, state, sequence, now, opens, closes, ...pools, ...aside, ...held].join(' ')
}

export function writeRound(call: Call, round: Round, channel: string, fields: readonly (string | number)[]): string {
  round.version++
  call.hset(round.key, 'version', round.version, 'last', round.now, ...fields)
  const notice = noticeOf(round)
  call.publish(channel, notice)
  return notice
}

/** The notice for an answer that changes nothing but, once, that the clock has turned the round. */
export const told = (call: Call, round: Round, channel: string): string =>
  round.turned ? writeRound(call, round, channel, ['state', round.state]) : noticeOf(round)

export function logChange(
  call: Call,
  log: string,
  round: Round,
  [kind, request, amount]: readonly [string, string, number],
) {
  call.xadd(log, round.sequence, 'at', round.now, 'kind', kind, 'request', request, 'amount', amount)
}

/** What everybody hears who holds nothing when nothing is left in any pool. */
export const endOutcome = ({ quarantined }: Round): number =>
  quarantined.some(held => held > 0) ? NUMBER.fenced : NUMBER.sold_out

/** The outcome of everybody who holds nothing, or undefined while the round grants. */
export function shutOutcome(round: Round): number | undefined {
  if (round.state === OPEN) return round.hold === '' ? undefined : round.holdsAs
  if (round.state === DRAWN) return remaining(round) === 0 ? NUMBER.sold_out : NUMBER.closed
  const { not_open, paused, closed } = NUMBER
  return {
    [SCHEDULED]: not_open,
    [PAUSED]: paused,
    [CLOSED]: closed,
    [DRAWING]: not_open,
  }[round.state]
}

/** Holds a round shut under the name of a change, and of the server that it was made on. */
export function holdAs({ server }: Call, round: Round, hold: string, outcome: number): void {
  round.hold = hold === '' ? '' : `${hold}_${server.slice(0, 16)}`
  round.holdsAs = outcome
}

export function holdShut(call: Call, round: Round, hold: string): void {
  const outcome = shutOutcome(round) ?? (remaining(round) === 0 ? endOutcome(round) : undefined)
  if (outcome !== undefined) holdAs(call, round, hold, outcome)
}
