/**
 * The headers of answers, and which answers have them: one table that feeds the contract (open-api.ts), what a page of another origin
 * may read, and the measure that tests hold answers to. HTTP's own headers are left out.
 *
 * What depends on the caller (a rate, an origin that is named) may be in any answer. Rejected: headers as a part of each route's row;
 * no route decides about one of them.
 */
import type { Code } from '../base/codes.ts'
import { hasRetryAfter } from './problem.ts'

/** An answer as the contract knows it. */
export interface DescribedAnswer {
  readonly status: number
  /** What it may refuse with. */
  readonly codes: readonly Code[]
  /** Whether its route does a thing once for an Idempotency-Key. */
  readonly isKeyed: boolean
}

interface HeaderRow {
  readonly description: string
  readonly schema: object
  /** It is in every answer that may have it. */
  readonly required?: true
  /** Whether a page of another origin may read it. */
  readonly isExposed?: true
  readonly isIn: (answer: DescribedAnswer) => boolean
}

const always = () => true
const text = { type: 'string' }
const NAMED_ORIGIN = 'Where the request comes from a page whose origin the engine names'

export const ANSWER_HEADERS = {
  RateLimit: {
    description: 'Where the caller has a rate: what is left of it (`r`), and seconds until there is more (`t`)',
    schema: { type: 'string', examples: ['"default";r=19;t=1'] },
    isExposed: true,
    isIn: always,
  },
  'RateLimit-Policy': {
    description: 'Where the caller has a rate: how many requests (`q`) in how many seconds (`w`)',
    schema: { type: 'string', examples: ['"default";q=20;w=1'] },
    isExposed: true,
    isIn: always,
  },
  'Retry-After': {
    description: 'Seconds after which asking again makes sense, as `retry_after_s` says',
    schema: { type: 'integer' },
    isExposed: true,
    isIn: ({ codes }) => codes.some(hasRetryAfter),
  },
  'Idempotent-Replayed': {
    description: 'An earlier request with the same Idempotency-Key made it',
    schema: { const: 'true' },
    isExposed: true,
    isIn: ({ status, isKeyed }) => isKeyed && status === 200,
  },
  'WWW-Authenticate': {
    description: 'How to say who asks',
    schema: { const: 'Bearer' },
    required: true,
    isIn: ({ codes }) => codes.includes('unauthorized'),
  },
  'Access-Control-Allow-Origin': { description: `${NAMED_ORIGIN}: that origin`, schema: text, isIn: always },
  'Access-Control-Expose-Headers': {
    description: `${NAMED_ORIGIN}: which headers it may read`,
    schema: text,
    isIn: always,
  },
  Vary: { description: NAMED_ORIGIN, schema: { const: 'Origin' }, isIn: always },
} as const satisfies Readonly<Record<string, HeaderRow>>

const ROWS: readonly (readonly [string, HeaderRow])[] = Object.entries(ANSWER_HEADERS)

/** The names of the headers that an answer may have, or has to have. */
export const headersOf = (answer: DescribedAnswer, which: 'may' | 'must' = 'may'): readonly string[] =>
  ROWS.flatMap(([name, { isIn, required }]) => (isIn(answer) && (which === 'may' || required) ? [name] : []))

/** What a page of another origin may read of an answer besides its body. */
export const EXPOSED_HEADERS = ROWS.flatMap(([name, { isExposed }]) => (isExposed ? [name] : [])).join(', ')

/** Each as the contract has it. */
export const describedHeaders = (): Readonly<Record<string, object>> =>
  Object.fromEntries(
    ROWS.map(([name, { description, required = false, schema }]) => [name, { description, required, schema }]),
  )
