/**
 * Where Redis is, from one text: `redis://user:pass@host:port/db`, `rediss://…`, `unix:///path/to/redis.sock`, or
 * `redis+sentinel://user:pass@host:port,host:port/name/db`, where Sentinels say who the primary of a name is. Their word is
 * not trusted: a link asks whom it reached for its role before it writes (store/connection/line.ts). Or a Redis Cluster:
 * `redis+cluster://user:pass@host:port,host:port` and `rediss+cluster://…`, some of its servers, which say where all others are.
 *
 * ioredis 6 speaks RESP3 by default; RESP2 is asked for because every reply here is an array, a number or a string
 * and its parser is the faster one.
 */
import { type TlsFiles, type TlsMaterial, tlsFlags, tlsMaterial } from './tls-files.ts'

export interface RedisAddress {
  /** Asked in turn for the primary that has this name. */
  readonly sentinels?: { readonly host: string; readonly port: number }[]
  readonly name?: string
  readonly updateSentinels?: false
  /** Milliseconds. */
  readonly sentinelCommandTimeout?: number
  readonly path?: string
  readonly host?: string
  readonly port?: number
  readonly db?: number
  readonly username?: string
  readonly password?: string
  readonly tls?: TlsMaterial
  readonly protocol: 2
}

/** An address as it may be shown: without what stands before the host, which is a name and a password. */
export const shownUrl = (url: string): string => url.replace(/^([a-z+]+:\/\/)?.*@/i, '$1')

/** Whom an address logs in as. */
export function userOf(url: string): string {
  const [, user = ''] = /^[a-z+]+:\/\/([^:@/]*)(?::[^@/]*)?@/.exec(url) ?? []
  return user === '' ? 'default' : decodeURIComponent(user)
}

/** The address of another server, `host:port`, that has the same name, password and TLS: one of a cluster, or a replica. */
export function serverUrl(url: string, server: string): string {
  const [, secured = '', login = ''] = /^redis(s?)(?:\+\w+)?:\/\/([^@/]*@)?/.exec(url) ?? []
  return `redis${secured}://${login}${server}`
}

const flagsOf = (url: string, tls: TlsFiles): string => (url.startsWith('rediss') ? ` --tls${tlsFlags(tls)}` : '')

/** How redis-cli ends moves of slots, and gives those without an owner one, by a server of the cluster of an address. */
export const redisCliFix = (url: string, server: string, tls: TlsFiles = {}): string =>
  `redis-cli${flagsOf(url, tls)} --cluster fix ${server}`

/**
 * How redis-cli reaches the server of an address, without name and password; by itself where only Sentinels know it. Of a
 * cluster all of its servers, one after the other.
 */
export function redisCli(url: string, tls: TlsFiles = {}): string {
  const cluster = clusterAddress(url)
  const flags = flagsOf(url, tls)
  if (cluster) return `redis-cli${flags} --cluster call ${cluster.seeds[0]}`
  const { path, host, port } = redisOptions(url)
  if (path !== undefined) return `redis-cli -s ${path}`
  return host === undefined ? 'redis-cli' : `redis-cli -h ${host} -p ${port}${flags}`
}

const SENTINEL = 'redis+sentinel://'
const SENTINEL_PORT = 26379
const SENTINEL_MS = 500

const noAddress = (url: string): Error =>
  new Error(`REDIS_URL: "${shownUrl(url)}" is not an address; write redis://host:6379 or unix:///path/redis.sock`)

function addressIn(url: string): URL {
  if (!URL.canParse(url)) throw noAddress(url)
  return new URL(url)
}

/** Name and password, decoded; what is wrong with one is reported without it. */
function credentials({ username, password }: Pick<URL, 'username' | 'password'>) {
  try {
    return {
      ...(username ? { username: decodeURIComponent(username) } : {}),
      ...(password ? { password: decodeURIComponent(password) } : {}),
    }
  } catch {
    throw new Error(
      'REDIS_URL: a "%" in its name or password is not followed by two hexadecimal digits; write %25 for it',
    )
  }
}

function sentinelOptions(url: string): RedisAddress {
  const form = /^(?:([^:@/]*):([^@/]*)@)?([^@/]+)\/([A-Za-z0-9._-]+)(?:\/(\d+))?$/.exec(url.slice(SENTINEL.length))
  if (!form)
    throw new Error(
      `REDIS_URL: "${shownUrl(url)}" is not an address; write redis+sentinel://host:26379,host:26379/name`,
    )
  const [, username = '', password = '', hosts = '', name = '', db] = form
  const sentinels = hosts.split(',').map(each => {
    const { hostname, port } = addressIn(`redis://${each}`)
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || SENTINEL_PORT) }
  })
  return {
    ...{
      sentinels,
      name,
      updateSentinels: false,
      sentinelCommandTimeout: SENTINEL_MS,
      db: Number(db ?? 0),
      protocol: 2,
    },
    ...credentials({ username, password }),
  }
}

/** A name or password that was not encoded ends the address early: the rest would be shown, and another host asked. */
function refuseUnencoded(url: string): void {
  const authority = url.replace(/^[a-z+]+:\/\//i, '').split('/', 1)[0] as string
  if (/[#?]/.test(url) || (authority.match(/@/g)?.length ?? 0) > 1)
    throw new Error(
      'REDIS_URL: it has a "#", a "?" or more than one "@"; in a name or password write %23, %3F and %40 for them',
    )
}

export interface ClusterAddress {
  /** `host:port` of some of its servers; any of them knows the others. */
  readonly seeds: readonly string[]
  /** The address of one server, with the name and the password that all of them share. */
  readonly urlOf: (server: string) => string
}

const CLUSTER = /^(rediss?)\+cluster:\/\//

/** A cluster's address; undefined when the text is the address of one server. Throws with the text and what to do when it cannot be read. */
export function clusterAddress(url: string): ClusterAddress | undefined {
  const scheme = CLUSTER.exec(url)
  if (!scheme) return undefined
  const [head, ofOne] = scheme
  refuseUnencoded(url)
  const wrong = (why: string) => new Error(`REDIS_URL: "${shownUrl(url)}" ${why}; write ${head}host:6379,host:6379`)
  const rest = url.slice(head.length)
  if (rest.includes('://')) throw wrong('begins a second time; only its servers are set apart by commas')
  const form = /^(?:([^@/]*)@)?([^@/]+)(?:\/(.*))?$/.exec(rest)
  if (!form) throw wrong('is not an address')
  const [, user = '', hosts = '', db = ''] = form
  if (db !== '' && db !== '0') throw wrong('names a database, and a cluster has number 0 only')
  const login = user === '' ? '' : `${user}@`
  const urlOf = (each: string) => `${ofOne}://${login}${each}`
  const seeds = hosts.split(',').map(each => {
    if (!URL.canParse(urlOf(each)) || new URL(urlOf(each)).hostname === '') throw wrong('has a host that is none')
    const { hostname, port } = new URL(urlOf(each))
    if (port === '0') throw wrong('has a host that is none')
    return `${hostname}:${port || 6379}`
  })
  redisOptions(urlOf(seeds[0] as string))
  return { seeds, urlOf }
}

/** Throws with the text and what to do when an address cannot be read. */
export function checkAddress(url: string): void {
  if (!clusterAddress(url)) redisOptions(url)
}

/** The options of a connection; throws with the text and what to do when the address cannot be read. */
export function redisOptions(url: string, tls: TlsFiles = {}): RedisAddress {
  if (/^unix:\/\/(?!\/.)/.test(url)) throw noAddress(url)
  if (url.startsWith('unix://')) return { path: url.slice('unix://'.length), protocol: 2 }
  refuseUnencoded(url)
  if (url.startsWith(SENTINEL)) return sentinelOptions(url)
  const parsed = addressIn(url)
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:')
    throw new Error(
      `REDIS_URL: "${parsed.protocol}" is not known; use redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://`,
    )
  if (parsed.hostname === '' || parsed.port === '0') throw noAddress(url)
  const db = Number(parsed.pathname.slice(1) || 0)
  if (!Number.isInteger(db) || db < 0)
    throw new Error(`REDIS_URL: "${parsed.pathname}" is not the number of a database; write redis://host:6379/0`)
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || 6379),
    db,
    protocol: 2,
    ...credentials(parsed),
    ...(parsed.protocol === 'rediss:' ? { tls: tlsMaterial(tls) } : {}),
  }
}
