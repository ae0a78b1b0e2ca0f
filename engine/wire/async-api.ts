/**
 * The stream's contract, AsyncAPI 3: what a client may send is made of the schema that validates it (schemas.ts), what the engine
 * sends of those of its answers (answers/frames.ts), which tests hold real frames to.
 */
import { SENT_FRAMES } from './answers/frames.ts'
import { jsonSchema } from './json-schema.ts'
import { streamFrame } from './schemas.ts'

/** The AsyncAPI 3 document of the stream. */
export function asyncApi(version: string): object {
  const schemas: Record<string, unknown> = {}
  const { oneOf } = jsonSchema(streamFrame, 'asked', schemas) as { oneOf: { properties: { op: { const: string } } }[] }
  const received = Object.fromEntries(
    oneOf.map(payload => [payload.properties.op.const, { name: payload.properties.op.const, payload }]),
  )
  const sent = Object.fromEntries(
    Object.entries(SENT_FRAMES).map(([name, schema]) => [
      name,
      { name, payload: jsonSchema(schema, 'answered', schemas) },
    ]),
  )
  const refs = (messages: object) => Object.keys(messages).map(name => ({ $ref: `#/channels/stream/messages/${name}` }))
  return {
    asyncapi: '3.0.0',
    info: { title: 'fairgrab stream', version },
    components: { schemas },
    channels: { stream: { address: '/v1/stream', messages: { ...received, ...sent } } },
    operations: {
      receive: { action: 'receive', channel: { $ref: '#/channels/stream' }, messages: refs(received) },
      send: { action: 'send', channel: { $ref: '#/channels/stream' }, messages: refs(sent) },
    },
  }
}
