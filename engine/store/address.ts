/**
 * Where Redis is, from one text: `redis://user:pass@host:port/db`, `rediss://…`, or `unix:///path/to/redis.sock`.
 * ioredis 6 speaks RESP3 by default; RESP2 is asked for because every reply here is an array, a number or a string
 * and its parser is the faster one.
 */

export interface RedisAddress {
  readonly path?: string
  readonly host?: string
  readonly port?: number
  readonly db?: number
  readonly username?: string
  readonly password?: string
  readonly tls?: Record<string, never>
  readonly protocol: 2
}

/** The options of a connection; throws with the text and the mend when the address cannot be read. */
export function redisOptions(url: string): RedisAddress {
  if (url.startsWith('unix://')) return { path: url.slice('unix://'.length), protocol: 2 }
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new Error(`REDIS_URL: "${url}" is not an address; write redis://host:6379 or unix:///path/redis.sock`)
  }
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:')
    throw new Error(`REDIS_URL: "${parsed.protocol}" is not known; use redis://, rediss:// or unix://`)
  const db = Number(parsed.pathname.slice(1) || 0)
  if (!Number.isInteger(db))
    throw new Error(`REDIS_URL: "${parsed.pathname}" is not the number of a database; write redis://host:6379/0`)
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || 6379),
    db,
    protocol: 2,
    ...(parsed.username ? { username: decodeURIComponent(parsed.username) } : {}),
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    ...(parsed.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}
