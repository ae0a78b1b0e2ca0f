/**
 * A Redis with replicas, for tests that want no more than an address (TEST_REPLICAS): a primary on a port and its replicas, all
 * children of the test. It syncs each write, or once a second where a test says so, since an engine in front of it runs at the
 * level replicated, unless a test says another one (engine.ts).
 *
 * When it ends, each replica has to hold what its primary holds, to the byte: a script whose changes do not reach the
 * replicas as they were made is found by every test that calls it. Rejected: comparing the replication offsets alone,
 * which says that everything came and not that it made the same.
 */
import { Redis } from 'ioredis'
import { freePort } from './node-process.ts'
import { type RedisOptions, type RedisProcess, type RedisServer, startLocalRedis } from './redis.ts'

const LOOK_MS = 20
const PATIENCE_MS = 40_000

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); ) {
    if (performance.now() > end) throw new Error(what)
    await new Promise(resume => setTimeout(resume, LOOK_MS))
  }
}

/** Everything that a server holds, as one number. */
const digestOf = (admin: Redis): Promise<string> => admin.call('DEBUG', 'DIGEST') as Promise<string>

interface Served {
  readonly redis: RedisProcess
  readonly admin: Redis
}

async function serve(options: RedisOptions): Promise<Served> {
  const redis = await startLocalRedis(options)
  const admin = new Redis({ port: options.port ?? 0, retryStrategy: () => 50 })
  admin.on('error', () => {})
  return { redis, admin }
}

/** A primary with so many replicas, all of which have everything. */
export async function startReplicated(count: number, options: RedisOptions): Promise<RedisServer> {
  const own = ['--enable-debug-command', 'local', '--repl-diskless-sync-delay', '0']
  const port = await freePort()
  const appendfsync = options.appendfsync === 'everysec' ? 'everysec' : 'always'
  const primary = await serve({ appendfsync, args: [...own, ...(options.args ?? [])], port })
  const replicas: Served[] = []
  for (let i = 0; i < count; i++)
    replicas.push(
      await serve({
        ...{ appendfsync: 'always', port: await freePort() },
        args: [...own, '--replicaof', '127.0.0.1', String(port)],
      }),
    )
  await until('not all replicas follow', async () => (await primary.admin.wait(count, 1000)) === count)
  const stop = async (): Promise<void> => {
    const alike = async () => {
      const [held, ...copied] = await Promise.all([primary, ...replicas].map(({ admin }) => digestOf(admin)))
      return copied.every(digest => digest === held)
    }
    try {
      await until('a replica holds something else than its primary', alike)
    } finally {
      for (const { admin } of [primary, ...replicas]) admin.disconnect()
      await Promise.all([primary, ...replicas].map(({ redis }) => redis.stop()))
    }
  }
  return { url: primary.redis.url, stop, [Symbol.asyncDispose]: stop }
}
