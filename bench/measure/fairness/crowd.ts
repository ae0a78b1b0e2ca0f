/**
 * The people of a run as its clients saw them: one row a person who competed, whatever he was told how often.
 *
 * A person competes with his first claim that could win: one told not_open, paused or refused for load did not count, since
 * everybody was told the same. Its sending is his arrival, its answer his latency, its connection his way. How often he
 * asked stands beside it. 27 bytes a person; the history itself is not copied.
 *
 * Which worker answered is not in the record: clients cannot see it. A connection stays with one worker, so a worker's bias
 * shows in the test by connection.
 */

import { CODES } from '../../../engine/base/codes.ts'
import { ENTERED, GRANT, type History, MEANINGS, PERHAPS } from '../../audit/history.ts'
import { orderOf } from '../../people/arrival.ts'

export interface Crowd {
  /** Competitors in the order of arrival. */
  readonly user: Uint32Array
  /** By competitor: microseconds of the monotonic clock. */
  readonly arrivedUs: Float64Array
  readonly latencyUs: Float64Array
  readonly connection: Uint16Array
  /** Requests that each sent: in all in a drawn round, before his first fate was told in fcfs. */
  readonly requests: Uint16Array
  readonly won: Uint8Array
}

/** Which outcomes say that the claim took part: a grant, an entry, a loss, or silence after which it may have. */
const COMPETED = Uint8Array.from({ length: 256 }, (_, code) =>
  MEANINGS[code] === GRANT || MEANINGS[code] === PERHAPS || code === CODES.sold_out.number ? 1 : 0,
)

const NOBODY = Number.POSITIVE_INFINITY

/** `winners` are users; in a drawn round only those who are known to have entered competed. */
export function crowdOf(
  history: History,
  winners: Uint32Array,
  { people, drawn }: { readonly people: number; readonly drawn: boolean },
): Crowd {
  const { user, sent, answered, outcome, connection } = history.at
  const first = new Float64Array(people).fill(NOBODY)
  const row = new Uint32Array(people)
  const requests = new Uint16Array(people)
  for (let place = 0; place < history.length; place++) {
    const person = user[place]!
    const competed = drawn ? outcome[place] === ENTERED : COMPETED[outcome[place]!] === 1
    if (!competed || sent[place]! >= first[person]!) continue
    first[person] = sent[place]!
    row[person] = place
  }
  for (let place = 0; place < history.length; place++) {
    const person = user[place]!
    // Whoever lost asks again; that does not explain his loss, so in fcfs his first fate ends the count.
    if (first[person] === NOBODY || requests[person] === 65_535) continue
    if (drawn || sent[place]! <= answered[row[person]!]!) requests[person]!++
  }
  const competitors = Uint32Array.from(first.keys()).filter(person => first[person] !== NOBODY)
  const startUs = competitors.reduce((least, person) => Math.min(least, first[person]!), NOBODY)
  const order = orderOf(Int32Array.from(competitors, person => first[person]! - startUs))
  const arrived = order.map(place => competitors[place]!)
  const wins = new Uint8Array(people)
  for (const winner of winners) if (winner < people) wins[winner] = 1
  return {
    user: arrived,
    arrivedUs: Float64Array.from(arrived, person => first[person]!),
    latencyUs: Float64Array.from(arrived, person => answered[row[person]!]! - first[person]!),
    connection: Uint16Array.from(arrived, person => connection[row[person]!]!),
    requests: Uint16Array.from(arrived, person => requests[person]!),
    won: Uint8Array.from(arrived, person => wins[person]!),
  }
}

/** The competitors from `start` to before `end`. */
export function crowdBetween(crowd: Crowd, start: number, end: number): Crowd {
  return {
    user: crowd.user.subarray(start, end),
    arrivedUs: crowd.arrivedUs.subarray(start, end),
    latencyUs: crowd.latencyUs.subarray(start, end),
    connection: crowd.connection.subarray(start, end),
    requests: crowd.requests.subarray(start, end),
    won: crowd.won.subarray(start, end),
  }
}
