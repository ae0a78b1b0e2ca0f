/**
 * The two encodings of the wire, JSON and MessagePack, behind one name each. The only file that knows msgpackr. Plain
 * maps and arrays only: what extensions make (dates, sets, errors) and deep nesting are refused, so bytes from outside
 * become nothing but data that every later step can walk. Both parsers end too deep a nesting with an error themselves.
 * A message whose objects say a name twice is refused, since readers differ in which of the two they believe, and so is
 * one with a text that is no UTF-8, since two such texts would become one.
 */
import { Packr, Unpackr } from 'msgpackr'
import { repeatedName } from '../base/repeated-name.ts'
import { hasLoneSurrogate, utf8Text } from '../base/text.ts'
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
    const json = encoding === 'json' ? jsonText(bytes) : undefined
    const value: unknown = json === undefined ? unpackr.unpack(bytes) : JSON.parse(json)
    const members = plainMembers(value, DEPTH_MAX)
    const counted = json === undefined ? msgpackMembers(bytes) : jsonMembers(json, members)
    if (members === counted) return value
    if (counted === undefined) throw new Malformed(NO_TEXT)
    const name = json === undefined ? '' : ` (${repeatedName(json)})`
    throw new Malformed(`a name stands twice in one object${name}`)
  } catch (cause) {
    if (cause instanceof Malformed) throw cause
    throw new Malformed(`the bytes are not ${encoding === 'json' ? 'JSON' : 'MessagePack'}`)
  }
}

const NO_TEXT = 'a text is not UTF-8'

function jsonText(bytes: Buffer): string {
  const text = utf8Text(bytes)
  if (text === undefined || hasLoneSurrogate(text)) throw new Malformed(NO_TEXT)
  return text
}

/** How many members the maps of a value have. Throws for anything but texts, numbers, bytes, lists and maps of them, at most `left` levels deep. */
function plainMembers(value: unknown, left: number): number {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 0
  if (left === 0) throw new Malformed(`nested deeper than ${DEPTH_MAX}`)
  const isList = Array.isArray(value)
  if (!isList && Object.getPrototypeOf(value) !== Object.prototype) throw new Malformed('an extension of MessagePack')
  let members = 0
  if (isList) for (const item of value) members += typeof item === 'object' ? plainMembers(item, left - 1) : 0
  // Its prototype is known, so that a loop without a list of its values says the same.
  else
    for (const name in value) {
      const item = (value as Readonly<Record<string, unknown>>)[name]
      members += typeof item === 'object' ? 1 + plainMembers(item, left - 1) : 1
    }
  return members
}

const READ: Readonly<Record<string, Encoding>> = {
  [MEDIA_TYPES.json]: 'json',
  [MEDIA_TYPES.msgpack]: 'msgpack',
  'application/x-www-form-urlencoded': 'json',
}

/**
 * The encoding that a Content-Type names, or undefined for one we do not read. None is JSON, and so is the form type
 * that `curl -d` sends when nobody says otherwise: no form is ever read here, and no cookie makes that unsafe.
 * Types have no case, and parameters change nothing: JSON is UTF-8 whatever its charset says (RFC 8259, 11).
 */
export function encodingOf(contentType: string): Encoding | undefined {
  if (contentType === MEDIA_TYPES.json || contentType === '') return 'json'
  if (contentType === MEDIA_TYPES.msgpack) return 'msgpack'
  const end = contentType.indexOf(';')
  const type = (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
  return Object.hasOwn(READ, type) ? READ[type] : undefined
}

/** Whether a client asks for a media type by its own name. */
export function accepts(accept: string, type: string): boolean {
  return accept.includes(type) || accept.toLowerCase().includes(type)
}

/** The encoding of an answer: MessagePack where it is asked for, else that of the request's own. */
export function answerEncoding(accept: string, contentType: string): Encoding {
  if (accept === MEDIA_TYPES.json) return 'json'
  if (accept !== '' && accept !== '*/*') {
    if (accepts(accept, MEDIA_TYPES.msgpack)) return 'msgpack'
    if (accepts(accept, MEDIA_TYPES.json)) return 'json'
  }
  return encodingOf(contentType) === 'msgpack' ? 'msgpack' : 'json'
}

/** No bytes, or an empty object in either encoding, which some clients send with each POST. */
export function isNothing(bytes: Buffer, encoding: Encoding): boolean {
  if (bytes.length === 0) return true
  try {
    const value = decode(bytes, encoding)
    return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  } catch {
    return false
  }
}
