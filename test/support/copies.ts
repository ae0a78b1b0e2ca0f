/**
 * Copies of one Redis on ports of this machine: servers that follow one another and take each other's place. The stream
 * between them may run through a proxy, which a test cuts to make a copy lag. What a copy has is asked with WAIT, never
 * guessed from a time.
 */
import { Redis } from 'ioredis'
import { freePort } from './node-process.ts'
import { type RedisProcess, startLocalRedis } from './redis.ts'

export interface Copy extends AsyncDisposable {
  readonly redis: RedisProcess
  readonly port: number
  readonly admin: Redis
}

export async function startCopy(more: readonly string[] = []): Promise<Copy> {
  const port = await freePort()
  const args = ['--repl-diskless-sync-delay', '0', '--repl-timeout', '600', ...more]
  const redis = await startLocalRedis({ port, args })
  const admin = new Redis({ port, retryStrategy: () => 50 })
  admin.on('error', () => {})
  const stop = async () => {
    admin.disconnect()
    await redis.stop()
  }
  return { redis, port, admin, [Symbol.asyncDispose]: stop }
}

/** Resolves when `copies` of them have everything that the primary has. */
export async function synced(primary: Copy, copies = 1): Promise<void> {
  for (;;) {
    await primary.admin.set('follow', '1')
    if ((await primary.admin.wait(copies, 1000)) >= copies) return
  }
}

/** Makes `copy` follow what listens on a port: a primary, or a proxy in front of it. Resolves when it has everything. */
export async function follow(copy: Copy, primary: Copy, port = primary.port): Promise<void> {
  await copy.admin.replicaof('127.0.0.1', port)
  await synced(primary)
}
