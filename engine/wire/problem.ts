/**
 * Errors as application/problem+json (RFC 9457), made of the outcome table: `code` is stable, `type` is a name that
 * never changes, `detail` says what is wrong here and what to do.
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
  readonly retry_after_ms?: number
}

/** Milliseconds after which asking again makes sense; absent where it never does. */
const RETRY_AFTER_MS: Partial<Record<Code, number>> = {
  paused: 2000,
  not_open: 1000,
  rate_limited: 1000,
  overloaded: 1000,
  fenced: 2000,
  unavailable: 1000,
  unknown: 1000,
}

/** Their time follows from what refuses. */
const TIMED: readonly Code[] = ['voucher_locked']

/** Whether a refusal may say when to ask again. */
export const hasRetryAfter = (code: Code): boolean => code in RETRY_AFTER_MS || TIMED.includes(code)

/** When to ask again, in both of its forms: `Retry-After` knows whole seconds only, so those are rounded up. */
export const retryAfter = (ms: number) => ({ retry_after_s: Math.ceil(ms / 1000), retry_after_ms: ms })

/** A problem; where `extra` has one form of `retry_after_…`, it has the other one, too. */
export function problem(code: Code, detail?: string, extra: Readonly<Record<string, unknown>> = {}): Problem {
  const { title, status } = CODES[code]
  const { retry_after_s: seconds, retry_after_ms: ms } = extra
  const retry = (ms ?? (seconds === undefined ? RETRY_AFTER_MS[code] : Number(seconds) * 1000)) as number | undefined
  return {
    type: `urn:fairgrab:problem:${code}`,
    title,
    status,
    code,
    detail: detail ?? title,
    ...extra,
    ...(retry === undefined ? {} : retryAfter(retry)),
  }
}
