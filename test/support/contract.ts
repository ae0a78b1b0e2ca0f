/**
 * The contract as a measure: whether an answer is one that its route describes for its status, by the schemas that /openapi.json is
 * made of. They are strict, so a field that nobody described is found, and so is a status or a code that the route does not list.
 *
 * What is no answer of the engine's API (a page, a proxy's own words) is not judged. Rejected: parsers made of the served document;
 * the first answer of each kind took a third of a second on a busy machine, in the middle of tests that measure time.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { CODES } from '../../engine/base/codes.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { ANSWER_HEADERS, headersOf } from '../../engine/wire/answer-headers.ts'
import { problemDetails } from '../../engine/wire/answers/engine.ts'
import { answerOf, refusalsOf } from '../../engine/wire/open-api.ts'

type Json = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What a pointer such as `#/components/schemas/X` leads to. */
export function resolve(document: unknown, pointer: string): unknown {
  const parts = pointer
    .replace(/^#\//, '')
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return parts.reduce<unknown>((value, part) => (value as Json | undefined)?.[part], document)
}

/** A part of a document with its references put in place, so that it can stand alone. */
export function standalone(document: unknown, part: unknown): unknown {
  if (Array.isArray(part)) return part.map(item => standalone(document, item))
  if (!isRecord(part)) return part
  if (typeof part.$ref === 'string') return standalone(document, resolve(document, part.$ref))
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, standalone(document, value)]))
}

/** A schema that stands alone, as what parses. */
export const parserOf = (schema: unknown) => z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])

const LINES = 'application/x-ndjson'
const JUDGED = ['application/json', 'application/problem+json', 'application/vnd.msgpack', LINES]
/** Of a stream of rows as many are looked at. */
const LINES_MAX = 100

const pageOf = (row: z.ZodType) =>
  z.strictObject({ data: z.array(row), has_more: z.boolean(), next_cursor: z.string().nullable() })

const DESCRIBED = ROUTES.filter(({ operation }) => operation !== undefined).map(route => {
  const { method, path, operation, answers = {}, rows, files = [] } = route
  const row = rows as z.ZodType | undefined
  const schemas: Readonly<Record<number, unknown>> = { ...answers, ...(row ? { 200: pageOf(row) } : {}) }
  return {
    method,
    operation,
    route,
    files: files as readonly string[],
    row,
    schemas: schemas as Readonly<Record<number, z.ZodType | undefined>>,
    refusals: refusalsOf(route) as readonly string[],
    pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  }
})

export interface Answered {
  readonly status: number
  readonly type: string
  readonly headers: Headers
  /** Decoded, or the text of lines. */
  readonly body: unknown
}

type DescribedRoute = (typeof DESCRIBED)[number]

/** What is wrong with the headers of an answer: one comes where the contract has none, or has to be there and is not. */
function headerComplaint({ route, operation }: DescribedRoute, { status, headers }: Answered): string | undefined {
  const answer = answerOf(route, status)
  const may = headersOf(answer)
  const stray = Object.keys(ANSWER_HEADERS).find(name => headers.has(name) && !may.includes(name))
  if (stray !== undefined) return `the contract has no ${stray} in ${operation} ${status}`
  const missing = headersOf(answer, 'must').find(name => !headers.has(name))
  return missing === undefined ? undefined : `${operation} ${status} lacks ${missing}`
}

/** What an answer says that the contract does not have; undefined where it fits. */
export function misfitOf(method: string, url: string, answered: Answered): string | undefined {
  const { status, type, body } = answered
  const path = url.split('?', 1)[0] as string
  const route = DESCRIBED.find(each => each.method === method.toLowerCase() && each.pattern.test(path))
  if (!route || !JUDGED.includes(type)) return undefined
  // A file is what it is, byte for byte.
  if (status === 200 && route.files.includes(type)) return undefined
  const wrong = headerComplaint(route, answered)
  if (wrong !== undefined) return wrong
  const where = `${route.operation} ${status}`
  const { row } = route
  if (type === LINES) {
    if (!row) return undefined
    const lines = String(body).split('\n').filter(Boolean).slice(0, LINES_MAX)
    return lines.map(line => complaintOf(row, where, JSON.parse(line))).find(complaint => complaint !== undefined)
  }
  const schema = route.schemas[status]
  if (schema) return complaintOf(schema, where, body)
  const code = isRecord(body) ? String(body.code) : ''
  const isListed = route.refusals.includes(code) && CODES[code as keyof typeof CODES].status === status
  if (!isListed) return `the contract has no ${where}: ${JSON.stringify(body).slice(0, 300)}`
  return complaintOf(problemDetails, where, body)
}

/** A default may be left out by who asks, and not by what is answered; so the answer has to be what was parsed. */
function complaintOf(schema: z.ZodType, where: string, value: unknown): string | undefined {
  const { success, error, data } = schema.safeParse(value)
  if (success && isDeepStrictEqual(data, value)) return undefined
  const why = error ? z.prettifyError(error) : 'a field is missing'
  return `the contract describes ${where} otherwise: ${why} in ${JSON.stringify(value).slice(0, 600)}`
}
