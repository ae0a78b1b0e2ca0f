/**
 * Errors as application/problem+json (RFC 9457), made of the outcome table: `code` is stable, `type` is a name that
 * never changes, `detail` says what is wrong here and how to mend it.
 */
import { CODES, type Code } from '../base/codes.ts'
import type { Encoding } from './encoding.ts'

export const PROBLEM_TYPES = {
  json: 'application/problem+json',
  msgpack: 'application/vnd.msgpack',
} as const satisfies Record<Encoding, string>

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: Code
  readonly outcome?: Code
  readonly detail: string
  readonly retry_after_s?: number
}

/** Seconds after which asking again makes sense; absent where it never does. */
const RETRY_AFTER_S: Partial<Record<Code, number>> = {
  paused: 2,
  not_open: 1,
  rate_limited: 1,
  overloaded: 1,
  fenced: 2,
  unavailable: 1,
  unknown: 1,
}

export function problem(code: Code, detail?: string, extra: Readonly<Record<string, unknown>> = {}): Problem {
  const { title, status } = CODES[code]
  const retry = RETRY_AFTER_S[code]
  return {
    type: `urn:fairgrab:problem:${code}`,
    title,
    status,
    code,
    detail: detail ?? title,
    ...(retry === undefined ? {} : { retry_after_s: retry }),
    ...extra,
  }
}
