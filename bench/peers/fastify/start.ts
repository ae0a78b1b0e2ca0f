/**
 * Starts Fastify with ioredis in front of a Redis of its own: the stack that most Node teams would choose.
 *
 * One process, auto-pipelining on, so that commands of one event loop turn share a write; still one EVALSHA a
 * claim. Schemas are given for the body and the answers, as Fastify's guide advises, so bodies are validated and
 * answers written by generated code. It does not batch claims into a script call, does not answer refusals locally,
 * makes no vouchers, and a claim whose reply was lost may be sent twice (the client's default).
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { freePort } from '../../stage/free-port.ts'
import { startRedis } from '../redis.ts'
import type { StartPeer } from '../target.ts'

export const fastify: StartPeer = async (room, setting) => {
  const redis = await startRedis(room, setting)
  const port = await freePort()
  const key = randomBytes(16).toString('hex')
  const pid = await room.run({
    program: process.execPath,
    args: [join(import.meta.dirname, 'server.ts'), `${port}`, redis.socket, `${redis.stock}`, key],
    ready: /listening/,
  })
  const headers = { authorization: `Bearer ${key}` }
  return { url: `http://127.0.0.1:${port}/claims`, headers, pids: [pid, redis.pid], granted: redis.granted }
}
