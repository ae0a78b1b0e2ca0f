/**
 * How many members the objects of a message have in its bytes, which is more than its value has when a name stands twice.
 * Counted in one pass over bytes that a parser has found sound, so neither has to be parsed again: in JSON a member has
 * one colon outside of texts, in MessagePack the heads of maps say how many follow.
 *
 * Rejected: comparing names, which is a set an object and as slow as the parser; refusing repeated names of claims only.
 */
const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a]

export function jsonMembers(bytes: Uint8Array): number {
  let members = 0
  let inText = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) inText = !inText
    else if (inText && byte === BACKSLASH) at++
    else if (!inText && byte === COLON) members++
  }
  return members
}

/** What follows each head from 0xc0 to 0xdf: so many bytes, and a length of so many bytes of what comes then. */
const FIXED = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0]
const LENGTH = [0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4]
const [LIST_16, MAP_16] = [0xdc, 0xde]

export function msgpackMembers(bytes: Buffer): number {
  let members = 0
  let at = 0
  while (at < bytes.length) {
    const head = bytes[at++] as number
    if (head >> 4 === 8) members += head & 15
    else if (head >= 0xa0 && head < 0xc0) at += head & 31
    else if (head >= 0xc0 && head < 0xe0) {
      const width = LENGTH[head - 0xc0] as number
      const length = width === 0 ? 0 : bytes.readUIntBE(at, width)
      at += width + (FIXED[head - 0xc0] as number)
      if (head >= MAP_16) members += length
      else if (head < LIST_16) at += length
    }
  }
  return members
}
