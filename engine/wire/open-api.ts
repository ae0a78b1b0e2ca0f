/**
 * The contracts that the engine serves, made of the schemas that validate: OpenAPI 3.1 of the routes, AsyncAPI 3 of the
 * stream. What the code checks is what they say.
 */
import { z } from 'zod'
import { CODES } from '../base/codes.ts'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import { MEDIA_TYPES } from './encoding.ts'
import { LINES_TYPE } from './lines.ts'
import { claim, streamFrame } from './schemas.ts'

export interface ContractRoute {
  readonly method: string
  readonly path: string
  readonly right: string
  readonly summary: string
  readonly query?: readonly string[]
  readonly body?: unknown
  readonly lines?: { readonly schema: unknown }
}

/** A schema whose named parts went to `shared`, the document's own `components.schemas`, where its references lead. */
function schemaOf(schema: unknown, shared: Record<string, unknown>): object {
  const made = z.toJSONSchema(schema as z.ZodType, { io: 'input', unrepresentable: 'any' })
  const text = JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/')
  const { $schema: _, $defs, ...rest } = JSON.parse(text) as { $schema: string; $defs?: Record<string, unknown> }
  Object.assign(shared, $defs)
  return rest
}

const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'detail'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { enum: Object.keys(CODES) },
    detail: { type: 'string' },
    retry_after_s: { type: 'integer', description: 'Seconds, rounded up; the header Retry-After says the same' },
    retry_after_ms: { type: 'integer', description: 'The same to the millisecond' },
  },
}

/** What makes an operator's change one, however often it is asked for. */
const KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Asked again with the same key, a change is made once',
  schema: { type: 'string', maxLength: KEY_BYTES_MAX },
}

function operation(
  { method, path, right, summary, query = [], body, lines }: ContractRoute,
  claimPath: boolean,
  shared: Record<string, unknown>,
): object {
  const schema = claimPath ? claim : (body ?? lines?.schema)
  const types = lines ? [LINES_TYPE] : Object.values(MEDIA_TYPES)
  const json = schema === undefined ? undefined : schemaOf(schema, shared)
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(match => ({
    name: match[1],
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const parameter = (name: string) => ({ name, in: 'query', required: false, schema: { type: 'string' } })
  return {
    summary,
    parameters: [...parameters, ...query.map(parameter), ...(method !== 'get' && right === 'operate' ? [KEY] : [])],
    security: right === 'public' && !claimPath ? [{}] : [{ bearer: [] }],
    ...(json === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: Object.fromEntries(types.map(type => [type, { schema: json }])),
          },
        }),
    responses: {
      '2XX': { description: 'Done' },
      default: {
        description: 'Refused; `code` says why and is stable',
        content: { 'application/problem+json': { schema: PROBLEM } },
      },
    },
  }
}

/** The OpenAPI 3.1 document of the routes. */
export function openApi(routes: readonly ContractRoute[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  const schemas: Record<string, unknown> = {}
  for (const route of routes) {
    paths[route.path] ??= {}
    const isClaim = route.method === 'post' && route.path === '/v1/rounds/{id}/claims'
    ;(paths[route.path] as Record<string, object>)[route.method] = operation(route, isClaim, schemas)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'fairgrab', version, license: { name: 'Apache-2.0' } },
    paths,
    components: { schemas, securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  }
}

const object = (op: string, properties: Readonly<Record<string, object>>) => ({
  name: op,
  payload: {
    type: 'object',
    required: ['op', ...Object.keys(properties)],
    properties: { op: { const: op }, ...properties },
  },
})
const text = { type: 'string' }
const integer = { type: 'integer' }
const id = { type: ['integer', 'string'] }
const list = (items: object) => ({ type: 'array', items })

const SENT = {
  welcome: object('welcome', { server_time: text, max_frame_bytes: integer }),
  subscribed: object('subscribed', { id, topics: list(text) }),
  unsubscribed: object('unsubscribed', { id, topics: list(text) }),
  stock: object('stock', {
    round_id: text,
    state: text,
    total: integer,
    granted: integer,
    remaining: integer,
    epoch: text,
    version: integer,
    at: text,
  }),
  drawn: object('drawn', {
    round_id: text,
    window: integer,
    seed: text,
    cutoffs: { type: 'object' },
    beacon: { type: 'object' },
    root: text,
  }),
  result: object('result', { id }),
  results: object('results', { id, outcomes: list(text), sequences: list(integer) }),
  pong: object('pong', { id, server_time: text }),
  error: object('error', { id, code: text, detail: text }),
}

/** The AsyncAPI 3 document of the stream. */
export function asyncApi(version: string): object {
  const schemas: Record<string, unknown> = {}
  const { oneOf } = schemaOf(streamFrame, schemas) as { oneOf: { properties: { op: { const: string } } }[] }
  const received = Object.fromEntries(
    oneOf.map(payload => [payload.properties.op.const, { name: payload.properties.op.const, payload }]),
  )
  const refs = (messages: object) => Object.keys(messages).map(name => ({ $ref: `#/channels/stream/messages/${name}` }))
  return {
    asyncapi: '3.0.0',
    info: { title: 'fairgrab stream', version },
    components: { schemas },
    channels: { stream: { address: '/v1/stream', messages: { ...received, ...SENT } } },
    operations: {
      receive: { action: 'receive', channel: { $ref: '#/channels/stream' }, messages: refs(received) },
      send: { action: 'send', channel: { $ref: '#/channels/stream' }, messages: refs(SENT) },
    },
  }
}
