/**
 * A refusal as an answer: a problem of the outcome table in the encoding that was asked for, with the headers that its code
 * asks for. It knows no services, so that whoever answers may refuse.
 */
import type { Code } from '../../base/codes.ts'
import { answerEncoding, encode } from '../../wire/encoding.ts'
import { PROBLEM_TYPES, problem } from '../../wire/problem.ts'
import type { Exchange, Headers } from '../uws/exchange.ts'

interface RefuseExtra {
  readonly headers?: Headers
  readonly extra?: Readonly<Record<string, unknown>>
}

/** Answers with a problem of the outcome table. */
export function refuse(exchange: Exchange, code: Code, detail?: string, more: RefuseExtra = {}): void {
  const encoding = answerEncoding(exchange.accept, exchange.contentType)
  const body = problem(code, detail, more.extra)
  const retry = body.retry_after_s
  const hasRetry = exchange.limits.some(([name]) => name === 'Retry-After')
  const headers: Headers = [
    ...(more.headers ?? []),
    ...(retry === undefined || hasRetry ? [] : [['Retry-After', String(retry)] as const]),
    ...(code === 'unauthorized' ? [['WWW-Authenticate', 'Bearer'] as const] : []),
  ]
  exchange.answer(body.status, PROBLEM_TYPES[encoding], encode(body, encoding), headers)
}

/** What is no text names nothing: two names of another encoding would be one. */
export const refuseGarbled = (exchange: Exchange): void =>
  refuse(exchange, 'malformed', 'path, query or a header is not UTF-8')
