/**
 * One node owns a data folder: two would share the folder's embedded Redis without a word, and whichever ends first
 * would stop it under the other.
 *
 * The owner listens on a socket in the folder and tells its process id to whoever connects. A process that dies, by
 * whatever signal, listens no more, so what it leaves is told from an owner by one try to connect; a frozen owner still
 * accepts. What is left is moved away before it is removed: of two starts that find it only one moves it, and a live
 * owner's socket that was moved by mistake is put back. Rejected: a file with a process id, which a reboot makes another's.
 */
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../config.ts'
import { socketIn } from '../store/embedded.ts'

const ANSWER_MS = 500
const TRIES = 5

/** Makes the folder and owns it until the process ends. Throws ConfigError when another process does. */
export async function ownFolder(dataDir: string): Promise<void> {
  const dir = resolve(dataDir)
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw unusable(dataDir, (cause as NodeJS.ErrnoException).code)
  }
  const path = socketIn(dir, 'owner.sock')
  for (let tries = 1; tries <= TRIES; tries++) {
    if (await listens(path)) return
    const owner = await ownerOf(path)
    if (owner !== undefined) throw owned(dataDir, owner)
    const moved = `${path}.${process.pid}`
    if (!moves(path, moved)) continue
    const live = await ownerOf(moved)
    if (live === undefined) rmSync(moved, { force: true })
    else if (!existsSync(path)) renameSync(moved, path)
  }
  throw owned(dataDir, '')
}

const unusable = (dir: string, code: string | undefined, setting = 'FAIRGRAB_DATA_DIR'): Error =>
  new Error(`${setting}: "${dir}" cannot be used as a folder (${code}); set it to a folder that may be written`)

/** Whether the folder could be made and written, without making it. Throws with the words of a start. */
export function checkFolder(folder: string, setting: string): void {
  let dir = resolve(folder)
  while (!existsSync(dir)) dir = dirname(dir)
  try {
    if (!statSync(dir).isDirectory()) throw Object.assign(new Error(dir), { code: 'ENOTDIR' })
    accessSync(dir, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw unusable(folder, (cause as NodeJS.ErrnoException).code, setting)
  }
}

const owned = (dataDir: string, owner: string): ConfigError =>
  new ConfigError(
    `the folder ${dataDir} belongs to another node that runs${owner === '' ? '' : `, process ${owner}`}; ` +
      'stop that one, or set FAIRGRAB_DATA_DIR to a folder of its own',
  )

/** Whether this process now listens there; false when the path is used. */
function listens(path: string): Promise<boolean> {
  const server: Server = createServer(socket => {
    socket.on('error', () => {})
    socket.end(`${process.pid}\n`)
  })
  server.unref()
  return new Promise((done, fail) => {
    server.once('error', (cause: NodeJS.ErrnoException) => (cause.code === 'EADDRINUSE' ? done(false) : fail(cause)))
    server.listen(path, () => done(true))
  })
}

/** The process id of who listens there, empty where they do not say it; undefined when nobody does. */
function ownerOf(path: string): Promise<string | undefined> {
  return new Promise(done => {
    const client = connect(path)
    let text = ''
    let connected = false
    client.setTimeout(ANSWER_MS, () => client.destroy())
    client.on('error', () => {})
    client.on('connect', () => {
      connected = true
    })
    client.on('data', data => {
      text += data.toString('latin1')
    })
    client.on('close', () => done(connected ? text.trim() : undefined))
  })
}

/** Moves it; false when somebody else did. */
function moves(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch {
    return false
  }
}
