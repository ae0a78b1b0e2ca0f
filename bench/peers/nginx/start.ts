/**
 * Starts nginx with its Lua module in front of a Redis of its own: one EVALSHA a claim, connections kept alive.
 *
 * It shows what the most efficient ready-made stack does with the same request. It does not batch, does not answer
 * refusals locally, makes no vouchers, checks one static key and no user tokens, and promises nothing after a lost
 * reply. It runs from the Debian packages nginx, libnginx-mod-http-lua and lua-nginx-redis with a configuration in
 * the room's folder, as an unprivileged user where the bench itself is root.
 * Rejected: OpenResty's own build (not in Debian, so not what a reader can repeat with apt-get) and nginx's njs
 * (it has no Redis client).
 */
import { randomBytes } from 'node:crypto'
import { chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../stage/free-port.ts'
import { SCRIPT_SHA, startRedis } from '../redis.ts'
import type { StartPeer } from '../target.ts'

const MODULES = '/usr/lib/nginx/modules'
const REDIS_CONNECTIONS_MAX = 1024
const NOBODY = 65_534

export function nginx(workers: number): StartPeer {
  return async (room, setting) => {
    const redis = await startRedis(room, setting)
    const folder = join(room.folder, 'nginx')
    const port = await freePort()
    const key = randomBytes(16).toString('hex')
    mkdirSync(folder)
    if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY)
    copyFileSync(join(import.meta.dirname, 'claims.lua'), join(folder, 'claims.lua'))
    const names: Readonly<Record<string, string | number>> = {
      MODULES,
      FOLDER: folder,
      WORKERS: workers,
      SOCKET: redis.socket,
      SHA: SCRIPT_SHA,
      STOCK: redis.stock,
      KEY: key,
      POOL: REDIS_CONNECTIONS_MAX,
      PORT: port,
    }
    const template = readFileSync(join(import.meta.dirname, 'nginx.conf'), 'utf8')
    const file = join(folder, 'nginx.conf')
    writeFileSync(
      file,
      template.replaceAll(/@([A-Z]+)@/g, (whole, name: string) => `${names[name] ?? whole}`),
    )
    const url = `http://127.0.0.1:${port}/claims`
    const pid = await room.run({
      program: 'nginx',
      args: ['-p', folder, '-e', 'stderr', '-c', file],
      ready: () =>
        fetch(url, { method: 'POST' }).then(
          ({ status }) => status === 401,
          () => false,
        ),
      asNobody: true,
    })
    return { url, headers: { authorization: `Bearer ${key}` }, pids: [pid, redis.pid], granted: redis.granted }
  }
}
