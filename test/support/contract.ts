/**
 * The served contract as a measure: whether an answer is one that /openapi.json describes for its route and status.
 *
 * The document says of an answer what fields it has and lets others through, since a later version may add some; here each
 * object is closed, so that a field that nobody described is found, and so is a status or a code that the route does not list.
 * What is no answer of the engine's API (a page, a proxy's own words) is not judged.
 */
import { z } from 'zod'
import { httpContract, ROUTES } from '../../engine/server/routes/routes.ts'

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

/** A schema whose objects let no other fields through; what is said in several parts of one object is put together. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (!isRecord(schema)) return schema
  if (Array.isArray(schema.allOf)) {
    const parts = schema.allOf as readonly { readonly properties?: Json }[]
    const properties = Object.assign({}, ...parts.map(part => part.properties ?? {}))
    return closed(Object.assign({}, ...parts, { properties }))
  }
  const made = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  const isObject = schema.type === 'object' && isRecord(schema.properties)
  return isObject && schema.additionalProperties === undefined ? { ...made, additionalProperties: false } : made
}

const DOCUMENT = httpContract() as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>
}
const DESCRIBED = ROUTES.filter(({ operation }) => operation !== undefined).map(({ method, path, operation }) => ({
  method,
  operation,
  pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  responses: (DOCUMENT.paths[path]?.[method]?.responses ?? {}) as Json,
}))
const JUDGED = ['application/json', 'application/problem+json', 'application/vnd.msgpack']
const LINES = 'application/x-ndjson'
/** Of a stream of rows as many are looked at. */
const LINES_MAX = 100

const parsers = new Map<string, z.ZodType>()

function parserAt(name: string, schema: unknown): z.ZodType {
  const parser = parsers.get(name) ?? parserOf(closed(standalone(DOCUMENT, schema)))
  parsers.set(name, parser)
  return parser
}

export interface Answered {
  readonly status: number
  readonly type: string
  /** Decoded, or the text of lines. */
  readonly body: unknown
}

interface Response {
  readonly content: Readonly<Record<string, { readonly schema: unknown }>>
}

/** What an answer says that the contract does not have; undefined where it fits. */
export function misfitOf(method: string, url: string, { status, type, body }: Answered): string | undefined {
  const path = url.split('?', 1)[0] as string
  const route = DESCRIBED.find(each => each.method === method.toLowerCase() && each.pattern.test(path))
  if (!route || ![...JUDGED, LINES].includes(type)) return undefined
  const where = `${route.operation} ${status} ${type}`
  const response = standalone(DOCUMENT, route.responses[status]) as Response | undefined
  if (!response?.content[type]) return `/openapi.json has no ${where}: ${JSON.stringify(body).slice(0, 300)}`
  if (type !== LINES) return complaintOf(parserAt(where, response.content[type].schema), where, body)
  const page = response.content['application/json']?.schema as { properties?: { data?: { items?: unknown } } }
  const rows = page.properties?.data?.items
  if (rows === undefined) return undefined
  const parser = parserAt(where, rows)
  const lines = String(body).split('\n').filter(Boolean).slice(0, LINES_MAX)
  return lines.map(line => complaintOf(parser, where, JSON.parse(line))).find(complaint => complaint !== undefined)
}

function complaintOf(parser: z.ZodType, where: string, value: unknown): string | undefined {
  const { success, error } = parser.safeParse(value)
  if (success) return undefined
  return `/openapi.json describes ${where} otherwise: ${z.prettifyError(error)} in ${JSON.stringify(value).slice(0, 600)}`
}
