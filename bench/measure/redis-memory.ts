/**
 * The memory that the engine's Redis itself says it uses: of the embedded server, or of all servers that the bench started.
 *
 * Where one of them cannot be asked (a remote engine, another layout of its data) there is no figure, and none is printed.
 */

import { askRedis, type RedisPlace } from '../stage/redis-question.ts'

/** `used_memory` of all of them in bytes, or undefined where it cannot be asked. */
export async function redisMemory(places: readonly RedisPlace[]): Promise<number | undefined> {
  let sum = 0
  for (const place of places) {
    const info = await askRedis(place, 'INFO memory').catch(() => '')
    const used = /used_memory:(\d+)\r\n/.exec(info)
    if (used === null) return undefined
    sum += Number(used[1])
  }
  return places.length === 0 ? undefined : sum
}
