/**
 * A notice: a round's moving state as every round script writes it (scripts/lib/round.lua), once a change, as words:
 *
 *   epoch version state sequence now opens closes t0 g0 t1 g1 … [ranges;q0,q1,…] [!hold]
 *
 * It is absolute, so a lost or late one does no harm: of two notices of one epoch the higher version is the newer.
 * Words instead of JSON because Lua's cjson rounds and this is parsed thousands of times a second.
 */
import { assert } from '../../base/assert.ts'
import type { Reply } from '../connection/link.ts'

export type StoredState = 'scheduled' | 'open' | 'paused' | 'closed' | 'drawing' | 'drawn'
const STATES: readonly (StoredState | undefined)[] = [
  undefined,
  'scheduled',
  'open',
  'paused',
  'closed',
  'drawing',
  'drawn',
]

export interface PoolCount {
  readonly total: number
  readonly granted: number
  /** Packs that may be somebody's since a fail-over and are granted to nobody else; left out where there are none. */
  readonly quarantined?: number
}

/** Sequences that a fail-over set aside, both ends included. A released range is empty for ever, except what was filled. */
export interface Range {
  readonly from: number
  readonly to: number
  readonly released: boolean
}

export interface Notice {
  /** 16 hex digits. */
  readonly epoch: string
  readonly version: number
  /** The state at `at`; moves by itself at opensAt and closesAt. */
  readonly state: StoredState
  /** The last sequence that is used; the number of grants where nothing was set aside. */
  readonly sequence: number
  /** Milliseconds since 1970, Redis's clock, when this was true. */
  readonly at: number
  /** Milliseconds since 1970; 0 means that an operator turns it. */
  readonly opensAt: number
  readonly closesAt: number
  /** By place; 0 is `general`. */
  readonly pools: readonly PoolCount[]
  /** Left out where no fail-over set anything aside. */
  readonly aside?: readonly Range[]
  /** The name of the hold that keeps the round shut after a change that lets grants resume; left out where there is none. */
  readonly hold?: string
}

const HEAD_WORDS = 7

/** What a message of a channel has to look like before it is believed: a state that there is, numbers where numbers are. */
const FORM = /^[0-9a-f]{16} \d{1,15} [1-6](?: \d{1,15}){4}(?: \d{1,15} \d{1,15})+(?: [^ !]*;[\d,]*)?(?: ![\w]+)?$/

/** A notice as a channel brings it; undefined for a message of any other form, which anybody on Redis can send. */
export const readNotice = (message: string): Notice | undefined =>
  FORM.test(message) ? parseNotice(message) : undefined

export function parseNotice(text: string): Notice {
  const words = text.split(' ')
  const state = STATES[Number(words[2])]
  assert(state && words.length >= HEAD_WORDS + 2, `not a notice: "${text}"`)
  const hold = words.at(-1)?.startsWith('!') ? words.pop()?.slice(1) : undefined
  const pools: PoolCount[] = []
  for (let i = HEAD_WORDS; i + 1 < words.length; i += 2)
    pools.push({ total: Number(words[i]), granted: Number(words[i + 1]) })
  const [ranges, held] = (words.length - HEAD_WORDS) % 2 === 1 ? (words.at(-1) as string).split(';') : []
  return {
    epoch: words[0] as string,
    version: Number(words[1]),
    state,
    sequence: Number(words[3]),
    at: Number(words[4]),
    opensAt: Number(words[5]),
    closesAt: Number(words[6]),
    ...(hold === undefined ? {} : { hold }),
    ...(ranges === undefined || held === undefined
      ? { pools }
      : { pools: withHeld(pools, held.split(',').map(Number)), aside: rangesIn(ranges) }),
  }
}

/** The notice that a script replied. */
export const noticeIn = (reply: Reply | undefined): Notice => parseNotice((reply as Buffer).toString('latin1'))

const withHeld = (pools: readonly PoolCount[], held: readonly number[]): PoolCount[] =>
  pools.map((pool, i) => (held[i] ? { ...pool, quarantined: held[i] } : pool))

const rangesIn = (text: string): Range[] =>
  [...text.matchAll(/(\d+)-(\d+)(r?)/g)].map(([, from, to, released]) => ({
    from: Number(from),
    to: Number(to),
    released: released === 'r',
  }))

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

export const totalOf = ({ pools }: Pick<Notice, 'pools'>): number => sum(pools.map(pool => pool.total))
export const grantedOf = ({ pools }: Pick<Notice, 'pools'>): number => sum(pools.map(pool => pool.granted))
export const quarantinedOf = ({ pools }: Pick<Notice, 'pools'>): number => sum(pools.map(pool => pool.quarantined ?? 0))

/** What can still be granted. */
export const remainingOf = (notice: Pick<Notice, 'pools'>): number =>
  totalOf(notice) - grantedOf(notice) - quarantinedOf(notice)
