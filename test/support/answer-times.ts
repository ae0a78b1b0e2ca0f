/**
 * How long answers took in a stretch of a run, read from what a crowd remembers: a figure to be told beside a promise.
 *
 * A claim belongs to the stretch in which it was asked. Claims whose connection broke have no answer and no time, and are
 * not in it. What the machine took is in it, so it is no bound for a test: `Crowd.slowestMs` is.
 */
import type { Crowd } from './crowd.ts'

export interface AnswerTimes {
  readonly answers: number
  readonly p99Ms: number
}

/** Of the claims that were asked between two readings of monotonicUs. */
export function answerTimes({ history: { at, length } }: Crowd, fromUs: number, toUs: number): AnswerTimes {
  const times: number[] = []
  for (let i = 0; i < length; i++) {
    const sent = at.sent[i] as number
    const took = ((at.answered[i] as number) - sent) / 1000
    if (sent >= fromUs && sent < toUs && took < Number.POSITIVE_INFINITY) times.push(took)
  }
  times.sort((a, b) => a - b)
  return { answers: times.length, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 }
}
