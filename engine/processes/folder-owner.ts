/**
 * One node owns a data folder: two would share the folder's embedded Redis without a word, and whichever ends first
 * would stop it under the other.
 *
 * The owner listens on a socket in the folder and sends its process id to whoever connects. A process that dies, by
 * whatever signal, listens no more, so one try to connect shows whether there is an owner; a frozen owner still
 * accepts. What is left is moved away before it is removed: of two starts that find it only one moves it, and a live
 * owner's socket that was moved by mistake is put back. Rejected: a file with a process id, which a reboot makes another's.
 */
import { existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { type Config, ConfigError } from '../config.ts'
import { socketIn } from '../store/server/embedded.ts'

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

const unusable = (dir: string, why: string | undefined, setting = 'FAIRGRAB_DATA_DIR'): ConfigError =>
  new ConfigError(`${setting}: "${dir}" cannot be used as a folder (${why}); set it to a folder that may be written`)

/** Nothing can be made there now, and a start is no worse for it: what stands can be read. */
const FULL = ['ENOSPC', 'EDQUOT']

/** Whether something has this path, be it a link that leads nowhere. Throws the system's error where it cannot be looked at. */
function lies(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOTDIR') return false
    throw cause
  }
}

/**
 * Whether the folder could be made and written, without making it: where it is, or would be, one with a name of its own is
 * made and removed. Throws ConfigError with the words of a start. Rejected: asking for rights, which file systems of the kernel
 * give and then refuse; and making it, which Node tries without an end below /proc.
 */
function checkFolder(folder: string, setting: string): void {
  try {
    let dir = resolve(folder)
    while (!lies(dir)) dir = dirname(dir)
    if (!existsSync(dir)) throw unusable(folder, 'it is a link that leads nowhere', setting)
    rmdirSync(mkdtempSync(join(dir, '.fairgrab-')))
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const { code = '' } = cause as NodeJS.ErrnoException
    if (!FULL.includes(code)) throw unusable(folder, code, setting)
  }
}

/** The folders that a node with these settings writes in. Throws ConfigError where one of them cannot be used. */
export function checkFolders({ redisUrl, durability, dataDir, arrivals }: Config): void {
  if (redisUrl === '' || durability === 'fenced') checkFolder(dataDir, 'FAIRGRAB_DATA_DIR')
  if (arrivals !== '') checkFolder(arrivals, 'FAIRGRAB_ARRIVALS')
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
