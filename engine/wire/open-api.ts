/**
 * The contract of HTTP, OpenAPI 3.1, made of the table of routes and of the schemas that validate: what the code checks is what it
 * says. A route's refusals are its own row's and those that follow from what a route is; each status names its codes.
 */
import { CODES, type Code } from '../base/codes.ts'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import { type DescribedAnswer, describedHeaders, headersOf } from './answer-headers.ts'
import { problemDetails } from './answers/engine.ts'
import { MEDIA_TYPES } from './encoding.ts'
import { jsonSchema } from './json-schema.ts'
import { LINES_TYPE } from './lines.ts'
import { PARAMETERS, type ParameterName, parameterSchema } from './parameters.ts'
import { PROBLEM_TYPES } from './problem.ts'

/** What a route says of itself for the contract; one without an operation is a file of the pages and not part of it. */
export interface RouteWords {
  /** Its name in generated clients; never changed. */
  readonly operation?: string
  readonly summary: string
  /** The query parameters that it knows; below /v1 any other is refused. */
  readonly query?: readonly ParameterName[]
  /** What it answers, by status, in either encoding. */
  readonly answers?: Readonly<Record<number, unknown>>
  /** What the rows are of a list, which also streams as NDJSON. */
  readonly rows?: unknown
  /** Other media types that its 200 comes in. */
  readonly files?: readonly string[]
  /** The codes that only its own rules give. */
  readonly refusals?: readonly Code[]
  /** A header Idempotency-Key is required. */
  readonly needsKey?: boolean
  /** Public by its right, and yet only callers with one of these get anything. */
  readonly onlyFor?: readonly string[]
}

export interface ContractRoute extends RouteWords {
  readonly method: string
  readonly path: string
  readonly right: string
  readonly body?: unknown
  readonly lines?: { readonly schema: unknown }
}

type Shared = Readonly<Record<'schemas' | 'responses', Record<string, unknown>>>

/** By the first that fits a path. */
const TAGS = [
  { name: 'Draws', of: /\/draw/, description: 'The public proof of drawn rounds' },
  { name: 'Claims', of: /\/claims/, description: 'Who gets a pack' },
  { name: 'Money', of: /\/(ledger|settlements|report|study)|s\/\{id\}\/holds/, description: 'Ledger and settlement' },
  { name: 'Rounds', of: /\/rounds/, description: 'One release each: stock, a window of time, how it chooses' },
  { name: 'Campaigns', of: /\/campaigns/, description: 'The pack, its limits and its budget' },
  { name: 'Vouchers', of: /\/(vouchers|redemptions)/, description: 'At the till and afterwards' },
  { name: 'Merchants', of: /\/(merchants|holds)/, description: 'Who accepts vouchers' },
  { name: 'Operators', of: /\/(rates|audit)/, description: 'What operators set, and the log of it' },
  { name: 'Engine', of: /^/, description: 'Health, metrics, contracts' },
]

const isVersioned = ({ path }: ContractRoute) => path.startsWith('/v1/')
/** An operator's change: made once for its Idempotency-Key where it has one. */
const isChange = ({ method, right }: ContractRoute) => method !== 'get' && right === 'operate'
const rightsOf = ({ right, onlyFor }: ContractRoute) => onlyFor ?? [right]
const needsCaller = (route: ContractRoute) => !rightsOf(route).includes('public')

/** The codes of a route: those of its row, and those that what it is brings with it. */
export function refusalsOf(route: ContractRoute): readonly Code[] {
  const { method, path, body, lines, needsKey, refusals = [] } = route
  const codes: Code[] = [...refusals, 'malformed', 'unauthorized', 'rate_limited', 'unavailable', 'internal']
  if (isVersioned(route)) codes.push('invalid', 'overloaded', 'fenced', 'unknown')
  if (needsCaller(route)) codes.push('forbidden')
  if (path.includes('{')) codes.push('not_found')
  if (method !== 'get') codes.push('too_large')
  if (body !== undefined || lines) codes.push('unsupported_type')
  if (needsKey) codes.push('idempotency_key_required')
  if (needsKey || isChange(route)) codes.push('idempotency_mismatch')
  return [...new Set(codes)]
}

/** An answer of a route; the codes of its status are those of its refusals. */
export const answerOf = (route: ContractRoute, status: number): DescribedAnswer => ({
  status,
  codes: refusalsOf(route).filter(code => CODES[code].status === status),
  isKeyed: route.needsKey === true || isChange(route),
})

const headerReferences = (answer: DescribedAnswer) =>
  Object.fromEntries(headersOf(answer).map(name => [name, { $ref: `#/components/headers/${name}` }]))

/** One response for the codes of a status; routes that have the same codes there share it. */
function refusal(codes: readonly Code[], { schemas, responses }: Shared): object {
  const name = codes.join('.')
  const ref = { $ref: `#/components/responses/${name}` }
  if (name in responses) return ref
  const schema = {
    allOf: [jsonSchema(problemDetails, 'answered', schemas), { type: 'object', properties: { code: { enum: codes } } }],
  }
  responses[name] = {
    description: codes.map(code => `\`${code}\`: ${CODES[code].title}`).join('. '),
    headers: headerReferences({ status: 0, codes, isKeyed: false }),
    content: Object.fromEntries(Object.values(PROBLEM_TYPES).map(type => [type, { schema }])),
  }
  return ref
}

function refusals(route: ContractRoute, shared: Shared): Record<number, object> {
  const byStatus = new Map<number, Code[]>()
  for (const code of refusalsOf(route).toSorted((a, b) => CODES[a].number - CODES[b].number))
    byStatus.set(CODES[code].status, [...(byStatus.get(CODES[code].status) ?? []), code])
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, refusal(codes, shared)]))
}

const inBoth = (schema: object) => Object.fromEntries(Object.values(MEDIA_TYPES).map(type => [type, { schema }]))

/** Text with a value a line. */
const linesOf = (line: object) => ({
  [LINES_TYPE]: { schema: { type: 'string', contentMediaType: LINES_TYPE, contentSchema: line } },
})

function page(rows: object): object {
  const properties = {
    data: { type: 'array', items: rows },
    has_more: { type: 'boolean' },
    next_cursor: { type: ['string', 'null'], description: 'The `cursor` of the next page' },
  }
  return { type: 'object', required: Object.keys(properties), properties }
}

const DONE: Readonly<Record<number, string>> = { 200: 'Done', 201: 'Made', 202: 'Entered', 503: 'Not ready' }

/** What it answers where it does not refuse. */
function answers(route: ContractRoute, { schemas }: Shared): Record<number, object> {
  const { answers: own = {}, rows, files = [] } = route
  const contents = new Map<string, Record<string, object>>()
  for (const [status, schema] of Object.entries(own))
    contents.set(status, inBoth(jsonSchema(schema, 'answered', schemas)))
  if (rows !== undefined) {
    const row = jsonSchema(rows, 'answered', schemas)
    contents.set('200', { ...inBoth(page(row)), ...linesOf(row) })
  }
  for (const type of files)
    for (const status of contents.size > 0 ? contents.keys() : ['200'])
      contents.set(status, { ...contents.get(status), [type]: { schema: {} } })
  return Object.fromEntries(
    [...contents].map(([status, content]) => [
      status,
      {
        description: DONE[Number(status)],
        headers: headerReferences(answerOf(route, Number(status))),
        content,
      },
    ]),
  )
}

const IN_PATH: Readonly<Record<string, string>> = {
  id: 'Its id, as the engine gave it; the id of a merchant is the merchant’s own',
  code: 'The code of a voucher, as it is typed',
  user_id: 'The id of a user',
  name: 'The name of a file',
  date: 'A business day, YYYY-MM-DD',
}

function parameters(route: ContractRoute): readonly object[] {
  const { path, query = [], needsKey = false } = route
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(match => ({
    name: match[1],
    in: 'path',
    required: true,
    description: IN_PATH[match[1] as string],
    schema: { type: 'string' },
  }))
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: needsKey,
    description: 'Asked again with the same key, it is done once',
    schema: { type: 'string', minLength: 1, maxLength: KEY_BYTES_MAX },
  }
  const inQuery = query.map(name => ({
    name,
    in: 'query',
    required: false,
    description: PARAMETERS[name].description,
    schema: parameterSchema(name),
  }))
  return [...inPath, ...inQuery, ...(needsKey || isChange(route) ? [key] : [])]
}

function requestBody({ body, lines }: ContractRoute, { schemas }: Shared): object {
  if (lines) return { required: true, content: linesOf(jsonSchema(lines.schema, 'asked', schemas)) }
  return { required: true, content: inBoth(jsonSchema(body, 'asked', schemas)) }
}

/** Which roles have a right. */
type RolesOf = (right: string) => readonly string[]

function operation(route: ContractRoute, shared: Shared, rolesOf: RolesOf): object {
  const { path, operation: operationId, summary, body, lines } = route
  const roles = new Set(rightsOf(route).flatMap(rolesOf))
  return {
    operationId,
    summary,
    description: needsCaller(route) ? `For ${[...roles].join(', ')}.` : 'For everybody.',
    tags: [TAGS.find(({ of }) => of.test(path))?.name],
    parameters: parameters(route),
    security: needsCaller(route) ? [{ bearer: [] }] : [{}, { bearer: [] }],
    ...(body === undefined && !lines ? {} : { requestBody: requestBody(route, shared) }),
    // A probe that is not ready says so with the status of some refusals.
    responses: { ...refusals(route, shared), ...answers(route, shared) },
  }
}

/** The OpenAPI 3.1 document of the routes. */
export function openApi(routes: readonly ContractRoute[], version: string, rolesOf: RolesOf): object {
  const paths: Record<string, Record<string, object>> = {}
  const shared: Shared = { schemas: {}, responses: {} }
  for (const route of routes.filter(({ operation: id }) => id !== undefined)) {
    paths[route.path] ??= {}
    ;(paths[route.path] as Record<string, object>)[route.method] = operation(route, shared, rolesOf)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'fairgrab',
      version,
      description: 'An engine in front of a flash release of coupons: who gets one, and what becomes of it.',
      contact: { name: 'The operators of this engine' },
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/', description: 'The engine that serves this document' }],
    tags: TAGS.map(({ name, description }) => ({ name, description })).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    paths,
    components: {
      ...shared,
      headers: describedHeaders(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or the token of a user' },
      },
    },
  }
}
