/**
 * The stream's two hot frames by hand: `claims` is written into a reused buffer, `results` is scanned where it lies.
 *
 * A `claims` frame is a MessagePack map of four fields; all but the id, the count and the digits of the user ids is
 * the same every time, so it is written once and patched. A `results` frame is two arrays; outcomes are strings, and
 * the scanner recognises a code it has met by its bytes without making a string. `replayed` lists the places of those
 * that were granted before; the history keeps the two apart. 512 claims cost about 10 µs each
 * way, a general codec 100 µs: on a machine that the generator shares with the engine that decides the result.
 *
 * Unknown fields are skipped, and `replayed` must follow `outcomes`. Every other frame is read by `read`.
 */

import { CODES, type Code } from '../../engine/base/codes.ts'
import { USER_ID_BYTES, writeDigits } from './user-id.ts'

const ID_STEP = 1 + USER_ID_BYTES

/** A `claims` frame under construction. */
export class ClaimsFrame {
  readonly #bytes: Uint8Array
  readonly #idAt: number
  readonly #countAt: number
  readonly #first: number
  #count = 0

  constructor(roundId: string, claimsMax: number) {
    const head = [0x84, ...text('op'), ...text('claims'), ...text('id')]
    this.#idAt = head.length + 1
    head.push(0xce, 0, 0, 0, 0, ...text('round_id'), ...text(roundId), ...text('user_ids'))
    this.#countAt = head.length + 1
    head.push(0xdc, 0, 0)
    this.#first = head.length
    this.#bytes = new Uint8Array(head.length + claimsMax * ID_STEP)
    this.#bytes.set(head)
    for (let claim = 0; claim < claimsMax; claim++) {
      this.#bytes[this.#first + claim * ID_STEP] = 0xa0 | USER_ID_BYTES
      this.#bytes[this.#first + claim * ID_STEP + 1] = 117
    }
  }

  add(user: number): void {
    writeDigits(this.#bytes, this.#first + this.#count++ * ID_STEP + 2, user)
  }

  /** The finished frame; valid until the next `add`, which begins a new one. */
  finish(id: number): Uint8Array {
    const view = new DataView(this.#bytes.buffer)
    view.setUint32(this.#idAt, id)
    view.setUint16(this.#countAt, this.#count)
    const end = this.#first + this.#count * ID_STEP
    this.#count = 0
    return this.#bytes.subarray(0, end)
  }
}

function text(value: string): number[] {
  const bytes = [...Buffer.from(value)]
  return bytes.length < 32 ? [0xa0 | bytes.length, ...bytes] : [0xd9, bytes.length, ...bytes]
}

function stands(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let place = 0; place < name.length; place++) if (name[place] !== bytes[start + place]) return false
  return true
}

/** Outcomes met so far: the bytes of a code and its number, found by length and two letters. */
class CodeBook {
  readonly #names: (Uint8Array | undefined)[] = []
  readonly #numbers: number[] = []

  numberAt(bytes: Uint8Array, start: number, length: number): number {
    const key = (length << 8) ^ (bytes[start]! << 3) ^ bytes[start + length - 1]!
    const known = this.#names[key]
    if (known?.length === length && stands(known, bytes, start)) return this.#numbers[key]!
    const name = Buffer.from(bytes.subarray(start, start + length))
    const number = CODES[name.toString('latin1') as Code]?.number ?? CODES.internal.number
    this.#names[key] = new Uint8Array(name)
    this.#numbers[key] = number
    return number
  }
}

export interface Results {
  id: number
  count: number
  codes: Uint8Array
  sequences: Uint32Array
}

export class FrameScanner {
  readonly #book = new CodeBook()
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #at = 0
  readonly results: Results = { id: -1, count: 0, codes: new Uint8Array(4096), sequences: new Uint32Array(4096) }

  /** Scans a frame; true when it is a `results` frame, whose content is then in `results`. */
  scan(bytes: Uint8Array): boolean {
    this.#open(bytes)
    this.results.id = -1
    this.results.count = 0
    let op = ''
    const fields = this.#mapLength()
    for (let field = 0; field < fields; field++) {
      const name = String(this.#value())
      if (name === 'op') op = String(this.#value())
      else if (name === 'id') this.results.id = Number(this.#value())
      else if (name === 'outcomes') this.#scanOutcomes()
      else if (name === 'sequences') this.#scanSequences()
      else if (name === 'replayed') this.#scanReplayed()
      else this.#value()
    }
    return op === 'results'
  }

  /** Any frame as plain values. */
  read(bytes: Uint8Array): unknown {
    this.#open(bytes)
    return this.#value()
  }

  #open(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = 0
  }

  #mapLength(): number {
    const head = this.#view.getUint8(this.#at++)
    if ((head & 0xf0) === 0x80) return head & 0x0f
    if (head === 0xde) return this.#uint(2)
    if (head === 0xdf) return this.#uint(4)
    throw new Error(`a frame does not begin with a map but with byte ${head}`)
  }

  #arrayLength(): number {
    const head = this.#view.getUint8(this.#at++)
    if ((head & 0xf0) === 0x90) return head & 0x0f
    if (head === 0xdc) return this.#uint(2)
    if (head === 0xdd) return this.#uint(4)
    throw new Error(`an array was expected, not byte ${head}`)
  }

  #scanOutcomes(): void {
    const count = this.#arrayLength()
    if (count > this.results.codes.length) this.results.codes = new Uint8Array(count)
    for (let place = 0; place < count; place++) {
      const head = this.#bytes[this.#at++]!
      const length = (head & 0xe0) === 0xa0 ? head & 0x1f : this.#uint(head === 0xd9 ? 1 : 2)
      this.results.codes[place] = this.#book.numberAt(this.#bytes, this.#at, length)
      this.#at += length
    }
    this.results.count = count
  }

  #scanSequences(): void {
    const count = this.#arrayLength()
    if (count > this.results.sequences.length) this.results.sequences = new Uint32Array(count)
    for (let place = 0; place < count; place++) this.results.sequences[place] = this.#number()
  }

  /** Marks the places of claims that were granted before; outcomes come first in every frame. */
  #scanReplayed(): void {
    if (this.results.count === 0) throw new Error('a frame names replayed places before its outcomes')
    const count = this.#arrayLength()
    for (let place = 0; place < count; place++) this.results.codes[this.#number()] = CODES.replayed.number
  }

  /** An unsigned number, most often of four bytes. */
  #number(): number {
    const head = this.#bytes[this.#at++]!
    if (head < 0x80) return head
    const width = head === 0xce ? 4 : head === 0xcd ? 2 : head === 0xcc ? 1 : 0
    if (width > 0) return this.#uint(width)
    this.#at--
    return Number(this.#value())
  }

  #uint(width: number): number {
    let value = 0
    for (let byte = 0; byte < width; byte++) value = value * 256 + this.#view.getUint8(this.#at++)
    return value
  }

  #string(length: number): string {
    this.#at += length
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at - length, length).toString('utf8')
  }

  #list(length: number): unknown[] {
    return Array.from({ length }, () => this.#value())
  }

  #map(length: number): Record<string, unknown> {
    return Object.fromEntries(Array.from({ length }, () => [String(this.#value()), this.#value()]))
  }

  #value(): unknown {
    const head = this.#view.getUint8(this.#at++)
    if (head < 0x80) return head
    if (head < 0x90) return this.#map(head & 0x0f)
    if (head < 0xa0) return this.#list(head & 0x0f)
    if (head < 0xc0) return this.#string(head & 0x1f)
    if (head >= 0xe0) return head - 256
    const reader = READERS[head]
    if (reader === undefined) throw new Error(`byte ${head} is no MessagePack that the engine sends`)
    return reader(this.#cursor)
  }

  readonly #cursor: Cursor = {
    uint: width => this.#uint(width),
    string: length => this.#string(length),
    list: length => this.#list(length),
    map: length => this.#map(length),
    view: width => {
      this.#at += width
      return new DataView(this.#view.buffer, this.#view.byteOffset + this.#at - width, width)
    },
  }
}

interface Cursor {
  readonly uint: (width: number) => number
  readonly string: (length: number) => string
  readonly list: (length: number) => unknown[]
  readonly map: (length: number) => Record<string, unknown>
  readonly view: (width: number) => DataView
}

const READERS: Readonly<Record<number, (cursor: Cursor) => unknown>> = {
  192: () => null,
  194: () => false,
  195: () => true,
  202: cursor => cursor.view(4).getFloat32(0),
  203: cursor => cursor.view(8).getFloat64(0),
  204: cursor => cursor.uint(1),
  205: cursor => cursor.uint(2),
  206: cursor => cursor.uint(4),
  207: cursor => cursor.uint(8),
  208: cursor => cursor.view(1).getInt8(0),
  209: cursor => cursor.view(2).getInt16(0),
  210: cursor => cursor.view(4).getInt32(0),
  217: cursor => cursor.string(cursor.uint(1)),
  218: cursor => cursor.string(cursor.uint(2)),
  220: cursor => cursor.list(cursor.uint(2)),
  221: cursor => cursor.list(cursor.uint(4)),
  222: cursor => cursor.map(cursor.uint(2)),
  223: cursor => cursor.map(cursor.uint(4)),
}
