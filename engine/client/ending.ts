/**
 * How a change ends that was not done, alike for claims and redemptions: refused, not executed in time, or in doubt.
 *
 * Each says by `executed` what may be concluded, as the outcome table does. A refusal that says nothing about the change itself
 * (a token that ended or lost its cohort, a proxy's own page) does not take an earlier doubt away. Reads have no such endings: what could not be
 * read is an error (`EngineError`).
 */
import type { Code } from '../base/codes.ts'
import { passes, type Settled, wantedWait } from './patience.ts'
import type { Answer } from './transport.ts'

/** The engine, or something in front of it, said no, or it could not be sent: asking again in the same words is of no use. */
export interface Refused {
  readonly outcome: 'refused'
  /** Of the outcome table; undefined where it was not the engine that answered. */
  readonly code: Code | undefined
  /** Of HTTP; 0 where nothing was sent. */
  readonly status: number
  readonly detail: string
  /** `maybe` where an earlier attempt had no answer and this one does not say what became of it. */
  readonly executed: 'no' | 'maybe'
  /** Everything that the engine said, for example `locked_until`. */
  readonly body: Readonly<Record<string, unknown>>
}

/** The engine was there and could not take it before the deadline: certainly not executed. */
export interface NotExecuted {
  readonly outcome: 'not_executed'
  /** For example `overloaded`, `fenced`, `rate_limited`, `unavailable`. */
  readonly code: Code | undefined
  readonly detail: string
  readonly executed: 'no'
  readonly retry_after_ms: number | undefined
}

/** No certain answer came before the deadline. Ask again in the same words, now or in a year: nothing is done twice. */
export interface InDoubt {
  readonly outcome: 'unknown'
  readonly detail: string
  readonly executed: 'maybe'
  readonly retry_after_ms: number | undefined
}

export type NotDone = Refused | NotExecuted | InDoubt

/** Where the engine refuses before it looks for what was done. */
const BLIND = [401, 403, 404]

/** An error's own words, and those of what is behind it: Node's `fetch failed` says nothing. */
const wordsOf = (error: unknown): string =>
  [error, (error as Error)?.cause]
    .filter(each => each !== undefined)
    .map(each => (each as Error).message || (each as { readonly code?: string }).code || String(each))
    .join(': ')

function detailOf({ status, body, cause, headers, unsent }: Answer): string {
  if (typeof body.detail === 'string') return body.detail
  if (cause !== undefined) return (unsent ? 'not sent: ' : '') + wordsOf(cause)
  const to = headers.get('location')
  return to ? `the engine is elsewhere: ${to}` : `${status} by something in front of the engine`
}

/** The ending of what was not done. */
export function notDone({ answer, inDoubt }: Settled): NotDone {
  const { status, code, body } = answer
  const [detail, retry_after_ms] = [detailOf(answer), wantedWait(answer)]
  if (!passes(answer)) {
    const isBlind = code === undefined || BLIND.includes(status)
    return { outcome: 'refused', code, status, detail, executed: inDoubt && isBlind ? 'maybe' : 'no', body }
  }
  if (inDoubt) return { outcome: 'unknown', detail, executed: 'maybe', retry_after_ms }
  return { outcome: 'not_executed', code, detail, executed: 'no', retry_after_ms }
}

/** What could not be read or, by `request`, not be done: the ending as an error. */
export class EngineError extends Error {
  readonly code: Code | undefined
  readonly status: number
  readonly executed: 'no' | 'maybe'
  readonly answer: Answer

  constructor(settled: Settled, what: string) {
    const { answer } = settled
    super(`${what}: ${answer.code ?? answer.status}: ${detailOf(answer)}`, { cause: answer.cause })
    this.name = 'EngineError'
    this.code = answer.code
    this.status = answer.status
    this.executed = notDone(settled).executed
    this.answer = answer
  }
}
