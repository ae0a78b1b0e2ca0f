/**
 * How many members the objects of a message have in its bytes, which is more than its value has when a name stands twice.
 * Counted in one pass over bytes that a parser has found sound, so neither has to be parsed again: in JSON a member has
 * one colon outside of texts, in MessagePack the heads of maps say how many follow. The same pass holds the texts of
 * MessagePack to UTF-8, since its parser reads other bytes as whatever comes to hand, `c0 af` as a slash.
 *
 * Rejected: comparing names, which is a set an object and as slow as the parser; refusing repeated names of claims only.
 */
import { isText } from '../base/text.ts'

/**
 * The members of a JSON text whose value has `found`. Where there are no more colons than that, none stands in a text and none is
 * too many: so most messages cost a search for their colons.
 */
export function jsonMembers(json: string, found: number): number {
  let colons = 0
  for (let at = json.indexOf(':'); at >= 0; at = json.indexOf(':', at + 1)) colons++
  return colons === found ? found : (json.match(/"(?:[^"\\]|\\.)*"|:/g) ?? []).filter(token => token === ':').length
}

/** What follows each head from 0xc0 to 0xdf: so many bytes, and a length of so many bytes of what comes then. */
const FIXED = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0]
const LENGTH = [0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4]
const [TEXT_8, LIST_16, MAP_16] = [0xd9, 0xdc, 0xde]

/** Undefined where a text is no UTF-8. Bytes of short texts are gathered here, since a call a text costs as much as the rest. */
export function msgpackMembers(bytes: Buffer): number | undefined {
  let members = 0
  let at = 0
  while (at < bytes.length) {
    const head = bytes[at++] as number
    if (head >> 4 === 8) members += head & 15
    else if (head >= 0xa0 && head < 0xc0) {
      const from = at
      let seen = 0
      for (const end = at + (head & 31); at < end; at++) seen |= bytes[at] as number
      if (seen >= 0x80 && !isText(bytes, from, at)) return undefined
    } else if (head >= 0xc0 && head < 0xe0) {
      const width = LENGTH[head - 0xc0] as number
      const length = width === 0 ? 0 : bytes.readUIntBE(at, width)
      at += width + (FIXED[head - 0xc0] as number)
      if (head >= MAP_16) members += length
      else if (head < LIST_16) {
        if (head >= TEXT_8 && !isText(bytes, at, at + length)) return undefined
        at += length
      }
    }
  }
  return members
}
