/**
 * Invented entrants for replayed draws: what an engine would know of them, and what an unfair one might use.
 *
 * They arrive in order. Each has a shard by hash of his id, as an engine would split him, one of 256 connections, a
 * log-normal reaction time, and either one request or fifty; a tenth are of the second kind. Shards are of unequal
 * size by chance, which is what a static split of the stock turns into injustice. The features are independent, so a
 * biased lottery shows in the test that looks for it and in no other.
 *
 * The tags are random bytes: a draw needs no more of an entry than that.
 */

import { createHash } from 'node:crypto'
import { RECORD_BYTES, TAG_BYTES } from '../../audit/draw.ts'
import { Random } from '../../people/random.ts'
import { arrivalDeciles, type Cohorts, type Population, standardRanks } from './tally.ts'

export const SHARDS = 16
const CONNECTIONS = 256
export const MANY_REQUESTS = 50
const MANY_SHARE = 0.1

export interface Entrants extends Population {
  /** Packed records of 17 bytes: a tag, and the pool 0. */
  readonly entries: Uint8Array
  readonly shard: Uint16Array
  /** Requests that each made. */
  readonly requests: Uint16Array
  /** Reaction times as ranks of mean 0 and variance 1. */
  readonly latency: Float64Array
}

const labelled = (name: string, of: Uint16Array, count: number): Cohorts => ({
  name,
  of,
  labels: Array.from({ length: count }, (_, cohort) => `${name} ${cohort}`),
})

/** The cohorts of those who asked once and those who asked often. */
export function byRequests(requests: ArrayLike<number>): Cohorts {
  const of = Uint16Array.from(requests, count => (count > 1 ? 1 : 0))
  return { name: 'requests', of, labels: ['one', 'many'] }
}

export function inventEntrants(size: number, seed: number): Entrants {
  const random = new Random(seed, 0xe27)
  const entries = new Uint8Array(size * RECORD_BYTES)
  const shard = new Uint16Array(size)
  const connection = new Uint16Array(size)
  const requests = new Uint16Array(size)
  const reaction = new Float64Array(size)
  const salt = createHash('sha256').update(`entrants ${seed}`).digest()
  for (let place = 0; place < size; place++) {
    salt.writeUInt32LE(place)
    const hash = createHash('sha256').update(salt).digest()
    entries.set(hash.subarray(0, TAG_BYTES), place * RECORD_BYTES)
    shard[place] = hash.readUInt32LE(TAG_BYTES) % SHARDS
    connection[place] = Math.floor(random.uniform() * CONNECTIONS)
    requests[place] = random.uniform() < MANY_SHARE ? MANY_REQUESTS : 1
    reaction[place] = random.logNormal(0.9, 0.6)
  }
  const latency = standardRanks(reaction)
  const arrival = standardRanks(Uint32Array.from({ length: size }, (_, place) => place))
  const cohorts = [
    labelled('shard', shard, SHARDS),
    labelled('connection', connection, CONNECTIONS),
    arrivalDeciles(size),
    byRequests(requests),
  ]
  return { size, cohorts, slopes: { latency, arrival }, entries, shard, requests, latency }
}
