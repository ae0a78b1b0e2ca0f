/**
 * Growable columns of numbers: the memory that the audit's records live in.
 *
 * A table is a shape (name -> width) and one typed array a name; a row is a place. Ten million rows of a history
 * are ten arrays of 33 bytes a row in all, which the collector never walks and which another process can take over
 * as one buffer: `toBuffer` lays header and columns out in the order of the shape, each column on a boundary of
 * eight bytes, and `append` copies them in behind what is there. The header carries a fingerprint of the shape, so
 * that a file of another shape or a torn one is refused instead of being read as nonsense.
 *
 * Rejected: an array of objects (100 bytes a row and a pause of the collector while a load is being measured),
 * and a columnar library, which would be larger than this file.
 */
import { readFile, writeFile } from 'node:fs/promises'

const KINDS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array } as const

interface ArrayOf {
  readonly u8: Uint8Array<ArrayBuffer>
  readonly u16: Uint16Array<ArrayBuffer>
  readonly u32: Uint32Array<ArrayBuffer>
  readonly f64: Float64Array<ArrayBuffer>
}

export type Shape = Readonly<Record<string, keyof typeof KINDS>>
export type Row<S extends Shape> = { readonly [K in keyof S]: number }
type Arrays<S extends Shape> = { [K in keyof S]: ArrayOf[S[K]] }

const MAGIC = 0x66_67_61_31
const HEADER_BYTES = 16
const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8

/** FNV-1a over the bytes of a text: 32 bits, for fingerprints only. */
export function fingerprint(text: string, seed = 0x811c9dc5): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

export class Columns<S extends Shape> {
  length = 0
  readonly at: Arrays<S>
  readonly #shape: S
  #capacity: number

  constructor(shape: S, capacity = 1024) {
    this.#shape = shape
    this.#capacity = Math.max(1, capacity)
    const entries = Object.entries(shape).map(([name, kind]) => [name, new KINDS[kind](this.#capacity)])
    this.at = Object.fromEntries(entries) as Arrays<S>
  }

  /** The place of a new row, whose columns the caller writes. */
  next(): number {
    if (this.length === this.#capacity) this.reserve(this.#capacity * 2)
    return this.length++
  }

  /** Makes room for `rows` rows in all; the buffers grow in place where the allocator can. */
  reserve(rows: number): void {
    if (rows <= this.#capacity) return
    for (const name in this.#shape) {
      const kind = KINDS[this.#shape[name]!]
      const grown = new kind(this.at[name].buffer.transfer(rows * kind.BYTES_PER_ELEMENT))
      this.at[name] = grown as Arrays<S>[typeof name]
    }
    this.#capacity = rows
  }

  /** One buffer with everything: fit for `postMessage` with transfer, and for a file. */
  toBuffer(): ArrayBuffer {
    const buffer = new ArrayBuffer(this.#bytes(this.length))
    const header = new DataView(buffer)
    header.setUint32(0, MAGIC)
    header.setUint32(4, this.#fingerprint())
    header.setFloat64(8, this.length)
    this.#place(buffer, this.length, (name, column) => column.set(this.at[name].subarray(0, this.length)))
    return buffer
  }

  /** Copies the rows of a buffer made by `toBuffer` behind those that are here. */
  append(buffer: ArrayBuffer): void {
    if (buffer.byteLength < HEADER_BYTES) throw new Error('The record is shorter than its header')
    const header = new DataView(buffer)
    if (header.getUint32(0) !== MAGIC) throw new Error('This is not a record of the audit')
    if (header.getUint32(4) !== this.#fingerprint()) throw new Error('The record has another shape')
    const rows = header.getFloat64(8)
    if (buffer.byteLength !== this.#bytes(rows)) throw new Error(`The record of ${rows} rows is torn`)
    if (this.length + rows > this.#capacity) this.reserve(Math.max(this.length + rows, this.#capacity * 2))
    this.#place(buffer, rows, (name, column) => this.at[name].set(column, this.length))
    this.length += rows
  }

  async save(path: string): Promise<void> {
    await writeFile(path, new Uint8Array(this.toBuffer()))
  }

  async load(path: string): Promise<void> {
    const bytes = await readFile(path)
    this.append(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer)
  }

  #fingerprint(): number {
    return fingerprint(JSON.stringify(this.#shape))
  }

  #bytes(rows: number): number {
    let bytes = HEADER_BYTES
    for (const kind of Object.values(this.#shape)) bytes += padded(rows * KINDS[kind].BYTES_PER_ELEMENT)
    return bytes
  }

  #place(buffer: ArrayBuffer, rows: number, visit: (name: keyof S, column: ArrayOf['u8']) => void): void {
    let offset = HEADER_BYTES
    for (const name in this.#shape) {
      const kind = KINDS[this.#shape[name]!]
      visit(name, new kind(buffer, offset, rows) as ArrayOf['u8'])
      offset += padded(rows * kind.BYTES_PER_ELEMENT)
    }
  }
}
