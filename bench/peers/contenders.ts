/**
 * The table of contenders: who runs, on what promise, in which state of the round, and beside which row of ours.
 *
 * A ratio is only meaningful between rows that promise the same, so each rival names the row of the engine with its
 * own durability and the same state: `granted` (stock for everyone) or `sold_out` (one unit, taken before the run).
 * The floors are compared with the row whose answer is about as long: a grant with five vouchers is about 800 bytes,
 * a refusal about 120. Rounds go through the table from top to bottom, so rows that are compared stand close.
 */
import { ceiling } from './ceiling.ts'
import { fairgrab } from './fairgrab.ts'
import { fastify } from './fastify/start.ts'
import { floor } from './floor/start.ts'
import { type Load, redisBenchmark, wrk } from './load.ts'
import { nginx } from './nginx/start.ts'
import type { Durability } from './redis.ts'
import type { StartPeer } from './target.ts'

export type RoundState = 'granted' | 'sold_out'

export interface Contender {
  readonly name: string
  readonly start: StartPeer
  readonly durability: Durability
  readonly state: RoundState
  readonly load: Load
  /** The row of ours that promises the same; null for our own rows. */
  readonly against: string | null
}

type Choice = Partial<Pick<Contender, 'durability' | 'state' | 'load'>>

function row(name: string, start: StartPeer, against: string | null, choice: Choice = {}): Contender {
  return { name, start, against, durability: 'always', state: 'granted', load: wrk, ...choice }
}

const memory = { durability: 'memory' } as const
const soldOut = { state: 'sold_out' } as const

export const CONTENDERS: readonly Contender[] = [
  row('fairgrab', fairgrab, null),
  row('nginx-1', nginx(1), 'fairgrab'),
  row('nginx-2', nginx(2), 'fairgrab'),
  row('fastify', fastify, 'fairgrab'),
  row('floor-800', floor({ status: 201, bytes: 800 }), 'fairgrab'),
  row('redis-1', ceiling, 'fairgrab', { load: redisBenchmark(1) }),
  row('redis-64', ceiling, 'fairgrab', { load: redisBenchmark(64) }),
  row('fairgrab-memory', fairgrab, null, memory),
  row('nginx-1-memory', nginx(1), 'fairgrab-memory', memory),
  row('nginx-2-memory', nginx(2), 'fairgrab-memory', memory),
  row('fastify-memory', fastify, 'fairgrab-memory', memory),
  row('redis-1-memory', ceiling, 'fairgrab-memory', { ...memory, load: redisBenchmark(1) }),
  row('redis-64-memory', ceiling, 'fairgrab-memory', { ...memory, load: redisBenchmark(64) }),
  row('fairgrab-sold-out', fairgrab, null, soldOut),
  row('nginx-1-sold-out', nginx(1), 'fairgrab-sold-out', soldOut),
  row('fastify-sold-out', fastify, 'fairgrab-sold-out', soldOut),
  row('floor-120', floor({ status: 409, bytes: 120 }), 'fairgrab-sold-out', soldOut),
]
