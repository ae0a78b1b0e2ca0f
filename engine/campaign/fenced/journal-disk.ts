/**
 * A folder of journals (campaign/fenced/journal.ts): files that grow at their end, each append synced before it is answered.
 *
 * What is appended while a sync is under way waits and is written and synced together, so one fdatasync serves
 * hundreds of claims. A new file's name is synced with its folder before the first append resolves. Behind a write that
 * failed nothing more is written, also not what waited for it: a whole record behind a part of one would be damage to
 * whoever reads it. Rejected: O_DSYNC, which syncs each write on its own.
 */
import { type FileHandle, mkdir, open, readdir, readFile, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'

interface Waiting {
  readonly bytes: Buffer
  readonly resolve: () => void
  readonly reject: (cause: unknown) => void
}

interface Growing {
  readonly handle: Promise<FileHandle>
  waiting: Waiting[]
  busy: boolean
  failed: boolean
}

const SUFFIX = '.journal'

const isMissing = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === 'ENOENT'

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder)
  await handle.sync().finally(() => handle.close())
}

export class FolderDisk {
  readonly #folder: string
  readonly #growing = new Map<string, Growing>()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The name of the engine whose folder it is; made with the folder, so who lost their journals has another name. */
  async name(make: () => string): Promise<string> {
    const path = join(this.#folder, 'engine')
    const known = await readFile(path, 'latin1').catch(() => '')
    if (/^[a-z0-9_]{12}$/.test(known)) return known
    const name = make()
    await mkdir(this.#folder, { recursive: true })
    const handle = await open(path, 'w')
    await handle.writeFile(name)
    await handle.sync().finally(() => handle.close())
    await syncFolder(this.#folder)
    return name
  }

  async files(): Promise<readonly string[]> {
    await mkdir(this.#folder, { recursive: true })
    const names = await readdir(this.#folder)
    return names.filter(name => name.endsWith(SUFFIX)).map(name => name.slice(0, -SUFFIX.length))
  }

  async read(file: string): Promise<Buffer> {
    return readFile(this.#path(file)).catch(cause => {
      if (isMissing(cause)) return Buffer.alloc(0)
      throw cause
    })
  }

  async truncate(file: string, bytes: number): Promise<void> {
    await truncate(this.#path(file), bytes)
    await syncFolder(this.#folder)
  }

  append(file: string, bytes: Buffer): Promise<void> {
    const growing = this.#growing.get(file) ?? { handle: this.#open(file), waiting: [], busy: false, failed: false }
    this.#growing.set(file, growing)
    return new Promise((resolve, reject) => {
      growing.waiting.push({ bytes, resolve, reject })
      if (!growing.busy) void this.#grow(growing)
    })
  }

  async remove(file: string): Promise<void> {
    await this.#end(file)
    await rm(this.#path(file), { force: true })
  }

  async close(): Promise<void> {
    for (const file of [...this.#growing.keys()]) await this.#end(file)
  }

  async #end(file: string): Promise<void> {
    const growing = this.#growing.get(file)
    this.#growing.delete(file)
    await growing?.handle.then(
      handle => handle.close(),
      () => {},
    )
  }

  #path(file: string): string {
    return join(this.#folder, `${file}${SUFFIX}`)
  }

  async #open(file: string): Promise<FileHandle> {
    await mkdir(this.#folder, { recursive: true })
    const handle = await open(this.#path(file), 'a')
    await syncFolder(this.#folder)
    return handle
  }

  async #grow(growing: Growing): Promise<void> {
    growing.busy = true
    while (growing.waiting.length > 0) {
      const together = growing.waiting
      growing.waiting = []
      try {
        if (growing.failed) throw new Error('a write before it failed')
        const handle = await growing.handle
        await handle.appendFile(Buffer.concat(together.map(({ bytes }) => bytes)))
        await handle.datasync()
        for (const { resolve } of together) resolve()
      } catch (cause) {
        growing.failed = true
        for (const { reject } of together) reject(cause)
      }
    }
    growing.busy = false
  }
}
