/**
 * The run's three rates, read from the merged history: grants, decisions, and how long the stock took to go.
 *
 * A grant counts once, at the first answer that told anybody about its sequence; people who tapped twice hear of the
 * same grant twice, and that is a repeat. A decision is any answer to a claim. The drain is the time from the first
 * grant to the last, as clients saw it. Counting in the generators was rejected: none of them sees all answers.
 */

import { CODES, codeOf } from '../../engine/base/codes.ts'
import { GRANT, type History, MEANINGS, NO_ANSWER } from '../audit/history.ts'
import type { Timeline } from './timeline.ts'

export interface Story {
  readonly decisions: number
  readonly grants: number
  readonly repeated: number
  readonly unanswered: number
  /** Seconds from the first grant to the last. */
  readonly drainS: number
  /** Seconds from the first claim sent to the last answer. */
  readonly spanS: number
  /** Decisions that fell between the first grant and the last. */
  readonly decisionsInDrain: number
  readonly outcomes: Readonly<Record<string, number>>
}

/** The first moment at which anybody knew of each sequence; Infinity for those nobody was told of. */
export function firstKnown(history: History, stock: number): Float64Array {
  const { outcome, sequence, answered } = history.at
  const known = new Float64Array(stock + 1).fill(Number.POSITIVE_INFINITY)
  for (let row = 0; row < history.length; row++) {
    const place = sequence[row]!
    if (MEANINGS[outcome[row]!] !== GRANT || place === 0 || place > stock) continue
    if (answered[row]! < known[place]!) known[place] = answered[row]!
  }
  return known
}

function nameOf(outcome: number): string {
  return outcome === NO_ANSWER ? 'no_answer' : (codeOf(outcome) ?? String(outcome))
}

/** Reads the story and writes what was granted and refused into the timeline. */
export function readStory(history: History, stock: number, timeline: Timeline, startUs: number): Story {
  const known = firstKnown(history, stock)
  let grants = 0
  let firstGrant = Number.POSITIVE_INFINITY
  let lastGrant = Number.NEGATIVE_INFINITY
  for (const at of known) {
    if (at === Number.POSITIVE_INFINITY) continue
    grants++
    firstGrant = Math.min(firstGrant, at)
    lastGrant = Math.max(lastGrant, at)
    timeline.count('granted', at - startUs, 1)
  }
  const counts = new Array<number>(256).fill(0)
  const { outcome, sent, answered } = history.at
  let firstSent = Number.POSITIVE_INFINITY
  let lastAnswer = Number.NEGATIVE_INFINITY
  let decisionsInDrain = 0
  for (let row = 0; row < history.length; row++) {
    const code = outcome[row]!
    const at = answered[row]!
    counts[code] = counts[code]! + 1
    firstSent = Math.min(firstSent, sent[row]!)
    if (code === NO_ANSWER) continue
    lastAnswer = Math.max(lastAnswer, at)
    if (at >= firstGrant && at <= lastGrant) decisionsInDrain++
    if (MEANINGS[code] !== GRANT) timeline.count('refused', at - startUs, 1)
  }
  const unanswered = counts[NO_ANSWER]!
  const told = counts[CODES.granted.number]! + counts[CODES.replayed.number]!
  return {
    decisions: history.length - unanswered,
    grants,
    repeated: told - grants,
    unanswered,
    drainS: grants === 0 ? 0 : (lastGrant - firstGrant) / 1e6,
    spanS: history.length === 0 ? 0 : (lastAnswer - firstSent) / 1e6,
    decisionsInDrain,
    outcomes: Object.fromEntries(counts.flatMap((count, code) => (count > 0 ? [[nameOf(code), count]] : []))),
  }
}
