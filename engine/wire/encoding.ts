/**
 * The two encodings of the wire, JSON and MessagePack, behind one name each. The only file that knows msgpackr. Plain
 * maps and arrays only: what extensions make (dates, sets, errors) and deep nesting are refused, so bytes from outside
 * become nothing but data that every later step can walk. Both parsers end too deep a nesting with an error themselves.
 * A message whose objects say a name twice is refused, since readers differ in which of the two they believe.
 */
import { Packr, Unpackr } from 'msgpackr'
import { repeatedName } from '../base/repeated-name.ts'
import { jsonMembers, msgpackMembers } from './member-count.ts'

export type Encoding = 'json' | 'msgpack'
export const MEDIA_TYPES = { json: 'application/json', msgpack: 'application/vnd.msgpack' } as const

const DEPTH_MAX = 16
const packr = new Packr({ useRecords: false, variableMapSize: true, encodeUndefinedAsNil: false })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })

/** Bytes that are not the encoding they claim to be. */
export class Malformed extends Error {}

export function encode(value: unknown, encoding: Encoding): Buffer {
  return encoding === 'json' ? Buffer.from(JSON.stringify(value)) : packr.pack(value)
}

/** Decodes or throws Malformed. `bytes` may be reused by the caller afterwards. */
export function decode(bytes: Buffer, encoding: Encoding): unknown {
  try {
    const value: unknown = encoding === 'json' ? JSON.parse(bytes.toString('utf8')) : unpackr.unpack(bytes)
    const members = plainMembers(value, DEPTH_MAX)
    if (members === (encoding === 'json' ? jsonMembers(bytes) : msgpackMembers(bytes))) return value
    const name = encoding === 'json' ? ` (${repeatedName(bytes.toString('utf8'))})` : ''
    throw new Malformed(`a name stands twice in one object${name}`)
  } catch (cause) {
    if (cause instanceof Malformed) throw cause
    throw new Malformed(`the bytes are not ${encoding === 'json' ? 'JSON' : 'MessagePack'}`)
  }
}

/** How many members the maps of a value have. Throws for anything but texts, numbers, bytes, lists and maps of them, at most `left` levels deep. */
function plainMembers(value: unknown, left: number): number {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 0
  if (left === 0) throw new Malformed(`nested deeper than ${DEPTH_MAX}`)
  const isList = Array.isArray(value)
  if (!isList && Object.getPrototypeOf(value) !== Object.prototype) throw new Malformed('an extension of MessagePack')
  const items: unknown[] = isList ? value : Object.values(value)
  let members = isList ? 0 : items.length
  for (const item of items) if (typeof item === 'object') members += plainMembers(item, left - 1)
  return members
}

/**
 * The encoding that a Content-Type names, or undefined for one we do not read. None is JSON, and so is the form type
 * that `curl -d` sends when nobody tells it otherwise: no form is ever read here, and no cookie makes that unsafe.
 */
export function encodingOf(contentType: string): Encoding | undefined {
  if (contentType === '' || contentType.startsWith('application/json')) return 'json'
  if (contentType === 'application/x-www-form-urlencoded') return 'json'
  if (contentType.startsWith('application/vnd.msgpack')) return 'msgpack'
  return undefined
}

/** The encoding of an answer: MessagePack where it is asked for, else that of the request's own. */
export function answerEncoding(accept: string, contentType: string): Encoding {
  if (accept.includes('application/vnd.msgpack')) return 'msgpack'
  if (accept.includes('application/json')) return 'json'
  return contentType.startsWith('application/vnd.msgpack') ? 'msgpack' : 'json'
}
