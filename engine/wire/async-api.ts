/**
 * The stream's contract, AsyncAPI 3: what a client may send is made of the schema that validates it (schemas.ts), what the engine
 * sends is written down here, and tests hold real frames to it.
 */
import { jsonSchema } from './json-schema.ts'
import { streamFrame } from './schemas.ts'

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
  const { oneOf } = jsonSchema(streamFrame, 'asked', schemas) as { oneOf: { properties: { op: { const: string } } }[] }
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
