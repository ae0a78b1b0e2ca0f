/**
 * What the rows of a history say about how they were measured: the latency of every answer, and that a connection over
 * HTTP had one claim at a time, for the one slot that the bench asks for.
 *
 * The generators record each latency from the very two moments that stand in the row, so the histogram can be made again
 * to the last bit. Claims without an answer have no latency, and the connection that their row names is not to be
 * believed: they are written when the load ends.
 */

import type { History } from '../audit/history.ts'
import { CONNECTIONS_PER_PROCESS } from '../load/crew.ts'
import { Latency, mergeLatencies } from '../measure/latency.ts'
import type { PartResult } from '../measure/result.ts'

/** Connections are numbered in 16 bits. */
const CONNECTIONS_MAX = 2 ** 16

/** The latencies from the send, as the bench merged them from its generators. */
export function answersOf(history: History): Latency {
  const { sent, answered } = history.at
  const latency = new Latency()
  for (let row = 0; row < history.length; row++)
    if (answered[row] !== Number.POSITIVE_INFINITY) latency.record(answered[row]! - sent[row]!)
  return mergeLatencies([latency.encode()])
}

/** A sentence about a claim for another slot than the first: the bench never asks for one. */
export function slotDifferences({ at, length }: History): string[] {
  const strange = at.slot.subarray(0, length).find(slot => slot !== 1)
  return strange === undefined ? [] : [`record: somebody asked for slot ${strange}, the bench asks for slot 1 only`]
}

/** Sentences about connections that there were not, and over HTTP about two claims at once on one of them. */
export function connectionDifferences(history: History, settings: PartResult['settings']): string[] {
  const { sent, answered, connection } = history.at
  const generators = Number(settings.generators)
  const each = Math.ceil(Number(settings.connections) / generators)
  // Beyond these, connections of two generators have one number.
  if (each > CONNECTIONS_PER_PROCESS || generators * CONNECTIONS_PER_PROCESS > CONNECTIONS_MAX) return []
  const rows = Uint32Array.from({ length: history.length }, (_, row) => row).filter(
    row => answered[row] !== Number.POSITIVE_INFINITY,
  )
  const isTheirs = (number: number): boolean =>
    number % CONNECTIONS_PER_PROCESS < each && number < generators * CONNECTIONS_PER_PROCESS
  const strange = rows.find(row => !isTheirs(connection[row]!))
  if (strange !== undefined)
    return [`connections: the summary says ${settings.connections}, the record has number ${connection[strange]}`]
  if (settings.transport !== 'http') return []
  rows.sort((one, other) => connection[one]! - connection[other]! || sent[one]! - sent[other]!)
  const early = rows.findIndex(
    (row, place) =>
      place > 0 && connection[rows[place - 1]!] === connection[row] && sent[row]! < answered[rows[place - 1]!]!,
  )
  return early < 0 ? [] : [`record: two claims at once on connection ${connection[rows[early]!]} over HTTP`]
}
