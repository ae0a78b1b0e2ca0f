/**
 * The files of a record: compressed as they are written, hashed as they lie on the disk, read back as they were.
 *
 * A record is what a part's audit looked at, kept so that anybody can look again. A run of a million claims is some ten
 * megabytes of it. gzip was taken because every machine has it; its first level, because the bench waits for it.
 */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGunzip, createGzip, gunzip } from 'node:zlib'

const LEVEL = 1
const PIECE_BYTES = 1 << 20
const ENDING = '.gz'

/** Bytes and SHA-256 (hexadecimal) of a file as it lies on the disk. */
export interface FileMark {
  readonly bytes: number
  readonly sha256: string
}

export async function markOf(path: string): Promise<FileMark> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return { bytes: (await stat(path)).size, sha256: hash.digest('hex') }
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES)
}

/** Writes the files of one part's record. Without a folder it keeps nothing. */
export class Keeper {
  readonly folder: string | undefined

  constructor(folder: string | undefined) {
    this.folder = folder
  }

  async keep(name: string, content: string | ArrayBuffer): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : new Uint8Array(content)
    await this.#write(name, Readable.from(pieces(bytes), { objectMode: false }))
  }

  /** Reads chunks to their end and keeps them on the way; asked again, it begins the file anew. */
  async keepWhile<T>(
    name: string,
    chunks: AsyncIterable<Uint8Array>,
    read: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<T> {
    if (this.folder === undefined) return read(chunks)
    const zip = createGzip({ level: LEVEL })
    const written = pipeline(zip, createWriteStream(join(this.folder, name + ENDING)))
    const [done, kept] = await Promise.allSettled([read(passing(chunks, zip, written)), written])
    if (done.status === 'rejected') throw done.reason
    if (kept.status === 'rejected') throw kept.reason
    return done.value
  }

  async #write(name: string, bytes: Readable): Promise<void> {
    if (this.folder === undefined) return
    await pipeline(bytes, createGzip({ level: LEVEL }), createWriteStream(join(this.folder, name + ENDING)))
  }
}

type Zip = ReturnType<typeof createGzip>

/** Hands on what it writes; when the reader leaves early, what was written is not whole and is broken off. */
async function* passing(chunks: AsyncIterable<Uint8Array>, zip: Zip, written: Promise<void>) {
  let whole = false
  try {
    for await (const chunk of chunks) {
      if (!zip.write(chunk)) await Promise.race([once(zip, 'drain'), written])
      yield chunk
    }
    whole = true
  } finally {
    if (whole) zip.end()
    else zip.destroy(new Error('the export was not read to its end'))
  }
}

const unzip = promisify(gunzip)

/** A kept file as it was. Throws where it is missing or torn. */
export async function keptBytes(folder: string, name: string): Promise<Buffer> {
  return unzip(await readFile(join(folder, name + ENDING)))
}

export async function keptJson<T>(folder: string, name: string): Promise<T> {
  return JSON.parse((await keptBytes(folder, name)).toString('utf8')) as T
}

/** A kept file piece by piece. */
export async function* keptChunks(folder: string, name: string): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(join(folder, name + ENDING)).pipe(createGunzip())
  yield* stream as AsyncIterable<Uint8Array>
}
