/**
 * A sound run, made up: the history, ledger, state, stock changes and frames of an engine without a fault.
 *
 * A model of the rules decides one request after the other at moments that only go forward; each answer is then
 * given a time on the wire before and after its moment. So real time, order and limits hold by construction,
 * whatever the dice say. The dice bring what a real release brings: taps before the opening, double taps, users who
 * ask again while holding, slots beyond the limit, late comers after the close, shed load, answers that never come
 * (executed or not), three pools that sell out at different times, one that is refilled and sells out again, and
 * viewers on several sockets.
 *
 * It serves three readers: the tests (no false alarm), the planted faults (each must be caught), and the measurement
 * of the audit's speed. Everything follows from the seed. Rejected: recording a real run as a fixture, which would
 * be one history instead of a thousand and could not be planted with faults whose truth is known.
 */

import type { Run, StockChange } from '../../bench/audit/evidence.ts'
import { Frames } from '../../bench/audit/frames.ts'
import { History, NO_ANSWER } from '../../bench/audit/history.ts'
import { Ledger, type PoolState } from '../../bench/audit/ledger.ts'
import { seededUsers } from '../../bench/audit/users.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'

/** A number in 0..1; the next call gives the next one. */
export type Dice = () => number

/** Mulberry32: 32 bits of state, good enough for shuffles, the same everywhere. */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export const below = (dice: Dice, count: number): number => Math.floor(dice() * count)
const exponential = (dice: Dice, mean: number): number => -mean * Math.log(1 - dice())

const POOL_NAMES = ['general', 'assisted', 'staff'] as const
/** What each pool begins with, as a share of the requests: all sell out, except staff. */
const POOL_SHARES = [0.22, 0.04, 0.12] as const
const PER_USER = 2
const VIEWERS = 5
/** The round's life in shares of the requests: it opens, the pool `assisted` is refilled, it closes. */
const OPENING = 0.01
const REFILL = 0.7
const CLOSING = 0.99
const GAP_US = 5
const EXPECTED: ReadonlySet<Code> = new Set<Code>([
  'sold_out',
  'limit_reached',
  'not_open',
  'closed',
  'overloaded',
  'unknown',
])

/** A run whose parts a planted fault may overwrite. */
export type SyntheticRun = Omit<Run, 'round' | 'changes'> & {
  round: { stock: Mutable<PoolState>; pools: Mutable<PoolState>[] }
  changes: StockChange[]
}
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

type Phase = 'not_open' | 'open' | 'closed'

interface Request {
  readonly user: number
  readonly slot: number
  readonly pool: number
}

/** The rules of a round, decided one request at a time. */
class Model {
  readonly run: SyntheticRun
  readonly #dice: Dice
  readonly #held: Uint32Array
  #version = 1
  #epoch = 'e1'

  constructor(seed: number, requests: number) {
    this.#dice = seededDice(seed)
    const users = seededUsers(seed, requests)
    this.#held = new Uint32Array(users.count * PER_USER)
    const pools = POOL_NAMES.map((name, i) => {
      const total = Math.ceil(requests * POOL_SHARES[i]!)
      return { name, total, granted: 0, remaining: total }
    })
    const total = pools.reduce((sum, pool) => sum + pool.total, 0)
    this.run = {
      history: new History(requests),
      users,
      ledger: new Ledger(Math.ceil(requests / 3)),
      round: { stock: { name: 'all', total, granted: 0, remaining: total }, pools },
      perUser: PER_USER,
      mode: 'fcfs',
      expected: EXPECTED,
      ordered: pools.map(pool => pool.total),
      changes: [],
      frames: new Frames(),
      setAside: [],
    }
  }

  /** Decides a request; the outcome and, where granted, the sequence. */
  decide({ user, slot, pool }: Request, now: number, phase: Phase): readonly [Code, number] {
    if (slot > PER_USER) return ['limit_reached', 0]
    const claimant = user * PER_USER + slot - 1
    const held = this.#held[claimant]!
    if (held > 0) return ['replayed', held]
    if (phase !== 'open') return [phase, 0]
    const { stock, pools } = this.run.round
    const own = pools[pool]!
    if (own.remaining === 0) return ['sold_out', 0]
    for (const state of [own, stock]) {
      state.granted++
      state.remaining--
    }
    this.#version++
    this.#held[claimant] = stock.granted
    this.run.ledger.push({ grantedAt: Math.floor(now / 1000), sequence: stock.granted, user, slot, pool })
    return ['granted', stock.granted]
  }

  refill(pool: number, add: number, now: number): void {
    for (const state of [this.run.round.pools[pool]!, this.run.round.stock]) {
      state.total += add
      state.remaining += add
    }
    this.#version++
    this.run.changes.push({ pool, add, sent: now - 40, answered: now + 40 })
  }

  /** What an answer looks like to the client: it may get lost on its way, before or after the decision. */
  answer(request: Request, now: number, phase: Phase): void {
    const dice = this.#dice
    const fate = dice()
    const executed = fate > 0.015
    const [code, sequence]: readonly [Code, number] = executed ? this.decide(request, now, phase) : ['overloaded', 0]
    const lost = fate < 0.005 || (fate > 0.015 && fate < 0.025)
    const silent = lost && dice() < 0.5
    const outcome = silent ? NO_ANSWER : CODES[lost ? 'unknown' : code].number
    const told = lost ? 0 : sequence
    this.run.history.push({
      ...request,
      sent: now - 50 - exponential(dice, 300),
      answered: silent ? Number.POSITIVE_INFINITY : now + 50 + exponential(dice, 300),
      outcome,
      sequence: told,
      vouchers: told > 0 && dice() < 0.8 ? Math.imul(told, 0x9e3779b1) >>> 0 || 1 : 0,
      connection: below(dice, 64),
    })
  }

  show(now: number): void {
    const { total, granted, remaining } = this.run.round.stock
    const state = { epoch: this.#epoch, version: this.#version, total, granted, remaining }
    for (let viewer = 0; viewer < VIEWERS; viewer++) {
      if (this.#dice() < 0.9) this.run.frames.push({ ...state, viewer, received: now + exponential(this.#dice, 500) })
    }
  }

  /** The engine restarts its epoch; versions begin anew. */
  turnEpoch(): void {
    this.#epoch = 'e2'
    this.#version = 1
  }
}

/** Who asks next: somebody new, or one of the last few thousand who asked before. */
function nextRequest(dice: Dice, i: number, requests: number): Request {
  const place = dice() < 0.75 ? i : Math.max(0, i - 1 - below(dice, 3000))
  const user = ((place >> 1) * 7919) % requests
  const slot = dice() < 0.01 ? PER_USER + 1 : 1 + (place % PER_USER)
  return { user, slot, pool: user % 10 < 7 ? 0 : user % 10 < 9 ? 1 : 2 }
}

function phaseOf(share: number): Phase {
  if (share < OPENING) return 'not_open'
  return share < CLOSING ? 'open' : 'closed'
}

export function makeRun(seed: number, requests: number): SyntheticRun {
  const model = new Model(seed, requests)
  const dice = seededDice(seed ^ 0x5eed)
  const frameEvery = Math.max(1, Math.floor(requests / 200))
  let now = 1e9
  for (let i = 0; i < requests; i++) {
    now += exponential(dice, GAP_US)
    if (i === Math.floor(requests * REFILL)) model.refill(1, Math.ceil(requests * 0.01), now)
    if (i === Math.floor(requests / 2)) model.turnEpoch()
    model.answer(nextRequest(dice, i, requests), now, phaseOf(i / requests))
    if (i % frameEvery === 0) model.show(now)
  }
  return model.run
}

/** The run's ledger as the engine exports it: NDJSON, in chunks that cut lines wherever they end. */
export function* ledgerChunks({ ledger, users, round }: SyntheticRun, chunkBytes = 65_536): Generator<Uint8Array> {
  const encoder = new TextEncoder()
  const { sequence, user, slot, pool, grantedAt } = ledger.at
  let text = ''
  for (let row = 0; row < ledger.length; row++) {
    const granted_at = new Date(grantedAt[row]!).toISOString()
    const claim = { sequence: sequence[row], user_id: users.userId(user[row]!), slot: slot[row] }
    text += `${JSON.stringify({ ...claim, pool: round.pools[pool[row]!]!.name, granted_at })}\n`
    while (text.length >= chunkBytes) {
      yield encoder.encode(text.slice(0, chunkBytes))
      text = text.slice(chunkBytes)
    }
  }
  yield encoder.encode(text)
}
