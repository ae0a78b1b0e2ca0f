/**
 * A zod schema as JSON Schema for the contracts: parts with a name of their own go to the document's `components.schemas`, and
 * references lead there. What is asked is shown as it may be sent, what is answered as it comes.
 */
import { z } from 'zod'

type Json = Readonly<Record<string, unknown>>

/** Who writes what is described: a client, whose unknown fields are refused, or the engine, which may answer more in a later version. */
type Direction = 'asked' | 'answered'

/** The schema itself, or a reference where it has a name; its named parts are added to `shared`. */
export function jsonSchema(schema: unknown, direction: Direction, shared: Record<string, unknown>): Json {
  const made = z.toJSONSchema(z.object({ it: schema as z.ZodType }), {
    io: direction === 'asked' ? 'input' : 'output',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: part }) => {
      // zod leaves out those of a schema that transforms what it takes, as if they were of what comes out.
      const { examples } = z.globalRegistry.get(zodSchema) ?? {}
      if (examples) part.examples = examples as typeof part.examples & {}
      if (direction === 'answered' && part.additionalProperties === false) delete part.additionalProperties
    },
  })
  const text = JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/')
  const { $defs = {}, properties } = JSON.parse(text) as { $defs?: Record<string, Json>; properties: { it: Json } }
  for (const [name, { id: _, ...part }] of Object.entries($defs)) shared[name] = part
  return properties.it
}
