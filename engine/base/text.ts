/**
 * Bytes that are to become text. A decoder puts U+FFFD in the place of bytes that are no UTF-8, so the names of two
 * orders in another encoding become one name; here such bytes are no text at all. So is half of a surrogate pair that
 * JSON writes as an escape: it has no bytes of its own and is written as U+FFFD again.
 */
import { isUtf8 } from 'node:buffer'

/** What decoders put where bytes are no UTF-8, the server library among them. */
export const GARBLED = '\ufffd'
const MARK = '\ufeff'

/** The text of bytes, without a byte-order mark at its start; undefined for bytes that are no UTF-8. */
export function utf8Text(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8')
  // What a decoder put there may have been written so, too; without it there is nothing to ask.
  if (text.includes(GARBLED) && !isUtf8(bytes)) return undefined
  return text.startsWith(MARK) ? text.slice(1) : text
}

/** Whether bytes from one place to another are text. A loop while they are ASCII, since most are and are short. */
export function isText(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if ((bytes[at] as number) >= 0x80) return isUtf8(bytes.subarray(at, to))
  return true
}

const SURROGATE = /\\u[dD][89a-fA-F]/
const SOUND_ESCAPES = /\\[^u]|\\u[dD][89abAB]..\\u[dD][c-fC-F]../g

/** Whether a JSON text escapes half of a surrogate pair alone. */
export function hasLoneSurrogate(json: string): boolean {
  return json.includes('\\') && SURROGATE.test(json) && SURROGATE.test(json.replace(SOUND_ESCAPES, ''))
}
