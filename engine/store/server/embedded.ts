/**
 * The embedded redis-server (or valkey-server): a child process on a unix socket, durable in the data folder, so that
 * a fresh machine needs no set-up. Its settings are those that health.ts asks of any server. It is started in a process
 * group of its own: Ctrl-C ends the engine first, and the engine stops it last. When an engine was killed and left its
 * server behind, the next one finds it on the same socket and takes it over.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Clock, every } from '../../base/clock.ts'
import type { Durability } from './health.ts'

export interface EmbeddedRedis {
  readonly url: string
  readonly pid: number
  /** What the server cut off the end of its log when it started, in its own words; undefined when nothing. */
  readonly cut: string | undefined
  /** Resolves when the server has ended by itself, which is a fault. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** Longer socket paths are cut off by the kernel. */
const SOCKET_PATH_MAX = 100
const SERVERS = ['redis-server', 'valkey-server']
const START_MS = 30_000
const LOOK_MS = 2000

const settings = (dir: string, socket: string, durability: Durability): string[] => [
  ...['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--dir', dir, '--daemonize', 'no'],
  ...['--save', '', '--appendonly', durability === 'memory' ? 'no' : 'yes'],
  ...['--appendfsync', durability === 'always' ? 'always' : 'everysec', '--no-appendfsync-on-rewrite', 'no'],
  ...['--auto-aof-rewrite-min-size', '1gb', '--maxmemory-policy', 'noeviction'],
  ...['--latency-tracking', 'no', '--loglevel', 'notice'],
]

/** The path of a socket of a folder: in it, or where that is too long in the system's folder for temporary files. */
export function socketIn(dir: string, name: string): string {
  const socket = join(dir, name)
  if (socket.length <= SOCKET_PATH_MAX) return socket
  return join(tmpdir(), `fairgrab-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}-${name}`)
}

const socketOf = (dir: string): string => socketIn(dir, 'redis.sock')

/** Where the embedded server of a data folder is, before it runs. */
export const embeddedUrl = (dataDir: string): string => `unix://${socketOf(resolve(dataDir))}`

/**
 * Asks the server on a socket for its process id; undefined when nobody listens there. Throws when somebody does and says
 * nothing for so long: it may be frozen, and holds the folder all the same.
 */
function pidBehind(socket: string, silentMs: number): Promise<number | undefined> {
  return new Promise((done, fail) => {
    const client = connect(socket)
    let text = ''
    client.setTimeout(silentMs, () => {
      fail(new Error(`the redis-server on ${socket} does not answer; end it or wait for it, then start again`))
      client.destroy()
    })
    client.on('error', () => done(undefined))
    client.on('close', () => done(undefined))
    client.on('connect', () => client.write('INFO server\r\n'))
    client.on('data', data => {
      text += data.toString('latin1')
      const pid = text.match(/process_id:(\d+)/)?.[1]
      if (!pid) return
      done(Number(pid))
      client.destroy()
    })
  })
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function adopted(socket: string, pid: number, clock: Clock): EmbeddedRedis {
  const gone = new Promise<void>(done => {
    const look = () => (exists(pid) ? clock.after(100, look) : done())
    look()
  })
  return {
    url: `unix://${socket}`,
    pid,
    cut: undefined,
    ended: gone,
    stop: () => {
      process.kill(pid, 'SIGTERM')
      return gone
    },
  }
}

/** Starts the server, or takes over one that serves this folder; throws when there is no redis-server on the PATH. */
export async function startEmbedded(dataDir: string, durability: Durability, clock: Clock): Promise<EmbeddedRedis> {
  const dir = resolve(dataDir)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const socket = socketOf(dir)
  const left = existsSync(socket) ? await pidBehind(socket, START_MS) : undefined
  if (left !== undefined) return adopted(socket, left, clock)
  for (const server of SERVERS) {
    const child = spawn(server, settings(dir, socket, durability), {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    const words = await ready(child, socket, clock)
    if (words !== undefined) return running(child, socket, words)
  }
  throw new Error(
    'no redis-server on this machine: type "apt-get install redis-server" (or your system\'s way), or set REDIS_URL',
  )
}

/**
 * Its words until it accepts connections, undefined when there is no such program; throws with the last when it ends, or
 * when it gives no sign of life for START_MS. Reading a large log takes as long as it takes: it answers while it reads.
 */
function ready(child: ChildProcess, socket: string, clock: Clock): Promise<string | undefined> {
  return new Promise((done, fail) => {
    let words = ''
    let signOfLife = clock.monotonicMs()
    const look = async () => {
      if ((await pidBehind(socket, LOOK_MS).catch(() => undefined)) !== undefined) signOfLife = clock.monotonicMs()
      if (clock.monotonicMs() - signOfLife < START_MS) return
      settle(() => fail(new Error(`redis-server says nothing since ${START_MS / 1000} s:\n${words.slice(-800)}`)))
    }
    const stop = every(clock, LOOK_MS, look, () => {})
    const settle = (run: () => void) => {
      stop()
      run()
    }
    child.once('error', (cause: NodeJS.ErrnoException) =>
      settle(() => (cause.code === 'ENOENT' ? done(undefined) : fail(cause))),
    )
    child.once('exit', code => settle(() => fail(new Error(`${words.slice(-800)}${lastWords(code, words)}`))))
    child.stdout?.on('data', data => {
      words = (words + data).slice(-4000)
      if (/ready to accept/i.test(words)) settle(() => done(words))
    })
  })
}

/** Why a server that ended before it served did so, and what to do. */
function lastWords(code: number | null, words: string): string {
  const isDamaged = /append only file|AOF|manifest/i.test(words.slice(-800))
  const fix = 'redis-check-aof --fix appendonlydir/appendonly.aof.manifest'
  return isDamaged
    ? `\nthe embedded redis-server ended with ${code}: it cannot read its log; copy the data folder away, then type in it: ${fix}`
    : `\nthe embedded redis-server ended with ${code}; its last words stand above`
}

function running(child: ChildProcess, socket: string, words: string): EmbeddedRedis {
  const ended = new Promise<void>(done => child.once('exit', () => done()))
  return {
    url: `unix://${socket}`,
    pid: child.pid as number,
    cut: words.match(/Truncating.*|AOF loaded anyway.*/)?.[0].trim(),
    ended,
    stop: () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}
