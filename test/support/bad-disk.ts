/**
 * A disk that a test makes slow, full or broken under a real redis-server, and mends again, in the middle of the load.
 *
 * test/support/bad-disk.c is compiled into a folder of its own and loaded in front of the server; what the disk does
 * and what it has done is one page of a file that both sides have open, at the offsets below. `losePower` is what a
 * machine without power leaves: the append only file, no longer than it was when its last sync had begun.
 *
 * The page has no event to wait for, so `until` looks at it each millisecond; everything else is awaited as an answer.
 * Without Linux or a C compiler there is no such disk: the tests that need it skip, and say so in their names.
 * Rejected: a limit of the file size (ulimit -f), which needs no compiler, but is another error and cannot be slow.
 */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'

const SOURCE = join(import.meta.dirname, 'bad-disk.c')
const PAGE_BYTES = 4096
const INT32 = {
  syncMs: 0,
  renameMs: 4,
  limited: 8,
  keepShort: 12,
  syncFails: 16,
  syncing: 32,
  renames: 36,
  refused: 40,
  shortened: 44,
} as const
const INT64 = { room: 24, synced: 48, written: 56 } as const

function findCompiler(): string | undefined {
  if (process.platform !== 'linux') return undefined
  return ['cc', 'gcc', 'clang'].find(name => {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}

export const compiler = findCompiler()

/** For skipIf: whether this machine cannot have such a disk. */
export const noBadDisk = compiler === undefined

/** The append only file that a server in this folder writes to. */
export function logFileIn(dir: string): string {
  const folder = join(dir, 'appendonlydir')
  const last = readdirSync(folder)
    .filter(name => name.endsWith('.incr.aof'))
    .sort((a, b) => Number(a.split('.').at(-3)) - Number(b.split('.').at(-3)))
    .at(-1)
  return join(folder, last as string)
}

export class BadDisk implements Disposable {
  /** What a server needs in its environment to have this disk. */
  readonly env: Readonly<Record<string, string>>
  readonly #folder = mkdtempSync(join(tmpdir(), 'fg-disk-'))
  readonly #page: number

  constructor() {
    const [library, page] = [join(this.#folder, 'bad-disk.so'), join(this.#folder, 'page')]
    execFileSync(compiler as string, ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl'])
    this.#page = openSync(page, 'w+')
    writeSync(this.#page, Buffer.alloc(PAGE_BYTES), 0, PAGE_BYTES, 0)
    this.env = { LD_PRELOAD: library, BAD_DISK_PAGE: page }
  }

  /** How long each sync takes from now on; 0 is as long as the machine's own. */
  set syncMs(ms: number) {
    this.#set(INT32.syncMs, ms)
  }

  /** How long each renaming of a file takes. */
  set renameMs(ms: number) {
    this.#set(INT32.renameMs, ms)
  }

  set syncFails(fails: boolean) {
    this.#set(INT32.syncFails, fails ? 1 : 0)
  }

  /** Whether a server can take back what it wrote of something that did not fit. */
  set keepsShortWrites(keeps: boolean) {
    this.#set(INT32.keepShort, keeps ? 1 : 0)
  }

  /** How many bytes may still be written to files; undefined when nobody counts. */
  set room(bytes: number | undefined) {
    const value = Buffer.alloc(8)
    value.writeBigInt64LE(BigInt(bytes ?? 0))
    writeSync(this.#page, value, 0, 8, INT64.room)
    this.#set(INT32.limited, bytes === undefined ? 0 : 1)
  }

  /** Syncs that are under way. */
  get syncing(): number {
    return this.#get(INT32.syncing)
  }

  /** Renamings that ever began. */
  get renames(): number {
    return this.#get(INT32.renames)
  }

  /** Writes that failed, and writes that got only a part of their bytes down. */
  get refused(): number {
    return this.#get(INT32.refused)
  }

  get shortened(): number {
    return this.#get(INT32.shortened)
  }

  /** Bytes written to append only files. */
  get written(): number {
    return this.#get64(INT64.written)
  }

  /** How long the append only file was when the last sync that has ended began. */
  get synced(): number {
    return this.#get64(INT64.synced)
  }

  /** As new: quick, empty and sound. What was under way in a server that was killed is forgotten, too. */
  mend(): void {
    this.syncMs = 0
    this.renameMs = 0
    this.syncFails = false
    this.keepsShortWrites = false
    this.room = undefined
    this.forgetKilled()
  }

  /** A killed server does not count down what it had under way. */
  forgetKilled(): void {
    this.#set(INT32.syncing, 0)
  }

  async until(holds: (disk: this) => boolean): Promise<void> {
    while (!holds(this)) await after(1)
  }

  /** What no sync had reached is gone, as after a loss of power: for a server that was killed. Gives how many bytes. */
  losePower(dir: string): number {
    const file = logFileIn(dir)
    const lost = statSync(file).size - this.synced
    truncateSync(file, this.synced)
    return lost
  }

  [Symbol.dispose](): void {
    closeSync(this.#page)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #set(offset: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    writeSync(this.#page, bytes, 0, 4, offset)
  }

  #get(offset: number): number {
    const bytes = Buffer.alloc(4)
    readSync(this.#page, bytes, 0, 4, offset)
    return bytes.readInt32LE()
  }

  #get64(offset: number): number {
    const bytes = Buffer.alloc(8)
    readSync(this.#page, bytes, 0, 8, offset)
    return Number(bytes.readBigInt64LE())
  }
}
