/**
 * Redis alone, driven by redis-benchmark: the most that one EVALSHA a claim can give when nothing stands in front.
 *
 * With one command under way a connection it is the ceiling of every server that sends claims one by one; with 64
 * it is the ceiling of pipelining. It speaks no HTTP, checks no key, and nobody reads the answers; it is not a rival.
 */
import { startRedis } from './redis.ts'
import type { StartPeer } from './target.ts'

export const ceiling: StartPeer = async (room, setting) => {
  const redis = await startRedis(room, setting)
  return { url: redis.socket, headers: {}, pids: [redis.pid], granted: redis.granted, redis }
}
