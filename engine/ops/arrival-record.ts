/**
 * When each decided claim arrived at this worker, for those who measure the order: one file a round and worker, named
 * `<round id>.<process id>`, 16 bytes a claim in the order in which this worker received the decisions.
 *
 *   stamp f64 (µs since 1970, the engine's clock) | sequence u32 (0: none) | outcome u8 | pool u8 | 0 u16, big endian
 *
 * Off unless FAIRGRAB_ARRIVALS names a folder; then it costs the claim path a copy and 16 bytes of disk a claim.
 * Claims that were refused without asking Redis are not in it: nothing that came after them was granted. Rejected: stamps in every answer (bytes for everybody, for the sake of a bench).
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const RECORD_BYTES = 16
const BUFFER_BYTES = RECORD_BYTES * 16_384

interface RecordFile {
  readonly descriptor: number
  readonly buffer: Buffer
  length: number
}

export class ArrivalRecord {
  readonly #folder: string
  readonly #files = new Map<string, RecordFile>()

  /** Makes the folder. Throws when it cannot. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true })
    this.#folder = folder
  }

  readonly add = (roundId: string, stamp: number, outcome: number, sequence: number, pool: number): void => {
    const file = this.#file(roundId)
    if (file.length === BUFFER_BYTES) flush(file)
    const { buffer, length } = file
    buffer.writeDoubleBE(stamp, length)
    buffer.writeUInt32BE(sequence, length + 8)
    buffer[length + 12] = outcome
    buffer[length + 13] = pool
    file.length += RECORD_BYTES
  }

  close(): void {
    for (const file of this.#files.values()) {
      flush(file)
      closeSync(file.descriptor)
    }
    this.#files.clear()
  }

  #file(roundId: string): RecordFile {
    const known = this.#files.get(roundId)
    if (known) return known
    const descriptor = openSync(join(this.#folder, `${roundId}.${process.pid}`), 'a')
    const file = { descriptor, buffer: Buffer.alloc(BUFFER_BYTES), length: 0 }
    this.#files.set(roundId, file)
    return file
  }
}

function flush(file: RecordFile): void {
  writeSync(file.descriptor, file.buffer, 0, file.length)
  file.length = 0
}
