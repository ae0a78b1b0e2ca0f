/**
 * The Fastify rival itself, a program of its own: node server.ts <port> <redis socket> <stock> <key>.
 *
 * POST /claims {"user_id"} runs one EVALSHA and answers 201, 200 or 409 in the engine's shape without vouchers.
 * The logger is off, the key is one string compare, the body is checked by a schema and unknown fields are refused.
 * Rejected: ioredis' defineCommand (it falls back to EVAL by reading error texts; the script is loaded already) and
 * cluster mode (two processes would fight the load generator for the second core; nginx has that row).
 */
import fastify from 'fastify'
import { Redis } from 'ioredis'
import { KEYS, SCRIPT_SHA } from '../redis.ts'

const [port, socket, stock, key] = process.argv.slice(2)
if (port === undefined || socket === undefined || stock === undefined || key === undefined) {
  throw new Error('port, socket, stock and key are needed')
}

const text = { type: 'string' } as const
const integer = { type: 'integer' } as const
const granted = {
  type: 'object',
  properties: {
    outcome: text,
    claim: {
      type: 'object',
      properties: {
        id: text,
        round_id: text,
        user_id: text,
        pool: text,
        slot: integer,
        sequence: integer,
        granted_at: text,
      },
    },
  },
} as const
const problem = {
  type: 'object',
  properties: { type: text, title: text, status: integer, code: text, detail: text },
} as const
const body = {
  type: 'object',
  required: ['user_id'],
  additionalProperties: false,
  properties: { user_id: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9._:@|+-]+$' } },
} as const

const redis = new Redis({ path: socket, enableAutoPipelining: true })
const app = fastify({ logger: false })
const bearer = `Bearer ${key}`
const soldOut = 'Nothing is left that this user could use'

app.addHook('onRequest', async (request, reply) => {
  if (request.headers.authorization !== bearer) {
    await reply.code(401).send({ title: 'The credential is missing or wrong', status: 401, code: 'unauthorized' })
  }
})

app.post<{ Body: { user_id: string } }>(
  '/claims',
  { schema: { body, response: { 200: granted, 201: granted, 409: problem } } },
  async (request, reply) => {
    const { user_id } = request.body
    const [outcome, sequence] = (await redis.evalsha(SCRIPT_SHA, KEYS.length, ...KEYS, user_id, stock)) as number[]
    if (outcome === 3) {
      reply.code(409).type('application/problem+json')
      return { type: 'about:blank', title: soldOut, status: 409, code: 'sold_out', detail: soldOut }
    }
    reply.code(outcome === 0 ? 201 : 200)
    const place = { pool: 'general', slot: 1, sequence, granted_at: new Date().toISOString() }
    return { outcome: 'granted', claim: { id: `clm_rival${sequence}`, round_id: 'rnd_rival', user_id, ...place } }
  },
)

await app.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
console.log('listening')
