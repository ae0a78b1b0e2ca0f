/**
 * Holder keys: the alphabet, the packed form that Redis and frames share, and the filter of those who may hold.
 *
 * The same key exists as text, as MessagePack bytes and in the filter's hash, so each pair is compared on random
 * keys; `userIdEnd` is fuzzed against `isUserId`, since the one guards frames and the other guards everything else.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  HOLDER_BYTES_MAX,
  holderEnd,
  holderOf,
  holdersIn,
  isUserId,
  packHolders,
  partsOf,
  userIdEnd,
  writeArrayHead,
  writeHolder,
} from '../../engine/base/holder.ts'
import { SLOTS_MAX, USER_ID_BYTES_MAX } from '../../engine/base/limits.ts'
import { decode, encode } from '../../engine/wire/encoding.ts'
import { seed } from '../support/seed.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@|+-'
const userIds = fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 1, maxLength: USER_ID_BYTES_MAX })
const slots = fc.integer({ min: 1, max: SLOTS_MAX })

test('the alphabet is exactly the one that is written down', () => {
  const allowed = Array.from({ length: 0x300 }, (_, code) => String.fromCharCode(code)).filter(char => isUserId(char))
  expect(allowed.toSorted()).toEqual([...ALPHABET].toSorted())
  expect([isUserId('x'.repeat(64)), isUserId('x'.repeat(65)), isUserId('')]).toEqual([true, false, false])
  for (const value of [undefined, null, 7, ['u'], { length: 1 }, 'a/2', 'a{b}', 'a\r\n', 'ａ', 'ā'])
    expect(isUserId(value)).toBe(false)
})

test('a key comes apart into what it was made of, and no two pairs share one', () => {
  expect([holderOf('u1', 1), holderOf('u1', 3)]).toEqual(['u1', 'u1/3'])
  fc.assert(
    fc.property(userIds, slots, userIds, slots, (a, i, b, j) => {
      expect(partsOf(holderOf(a, i))).toEqual({ userId: a, slot: i })
      expect(holderOf(a, i) === holderOf(b, j)).toBe(a === b && i === j)
    }),
    { seed },
  )
})

test('packed keys are MessagePack that anybody reads, and come back in order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(userIds, slots), { maxLength: 60 }), rows => {
      const holders = rows.map(([userId, slot]) => holderOf(userId, slot))
      const bytes = Buffer.alloc(3 + holders.length * HOLDER_BYTES_MAX)
      let at = writeArrayHead(bytes, 0, holders.length)
      for (const holder of holders) {
        const end = writeHolder(bytes, at, holder)
        expect(holderEnd(bytes, at)).toBe(end)
        expect(end - at).toBeLessThanOrEqual(HOLDER_BYTES_MAX)
        at = end
      }
      const packed = packHolders(holders)
      expect(Buffer.from(packed)).toEqual(bytes.subarray(3, at))
      expect(packed.buffer.byteLength, 'no room that nobody needs').toBe(at - 3)
      expect(decode(bytes.subarray(0, at), 'msgpack')).toEqual(holders)
      expect(holdersIn(bytes.subarray(0, at))).toEqual(holders)
      if (holders.length < 16) expect(holdersIn(encode(holders, 'msgpack'))).toEqual(holders)
    }),
    { seed },
  )
})

test('bytes are a user id exactly when their text is one', () => {
  const texts = fc.oneof(userIds, fc.string({ maxLength: 70 }), fc.string({ unit: 'binary-ascii', maxLength: 70 }))
  fc.assert(
    fc.property(texts, fc.nat(3), (text, before) => {
      const packed = encode(text, 'msgpack')
      const bytes = Buffer.concat([Buffer.alloc(before, 0xc1), packed, Buffer.from([0x61])])
      const end = before + packed.length
      expect(userIdEnd(bytes, before, bytes.length)).toBe(isUserId(text) ? end : -1)
      expect(userIdEnd(bytes, before, end - 1), 'cut off').toBe(-1)
    }),
    { seed, numRuns: 3000 },
  )
})

test('of any bytes, what is taken for a user id decodes to one', () => {
  const heads = fc.constantFrom(0xa0, 0xa1, 0xa3, 0xbf, 0xd9, 0xda, 0xc4, 0x61, 0x93)
  const bytes = fc.tuple(
    heads,
    fc.uint8Array({ maxLength: 8 }),
    fc.string({ unit: fc.constantFrom(...ALPHABET), maxLength: 40 }),
  )
  fc.assert(
    fc.property(bytes, ([head, middle, tail]) => {
      const all = Buffer.concat([Buffer.from([head]), middle, Buffer.from(tail)])
      const end = userIdEnd(all, 0, all.length)
      if (end < 0) return
      expect(end).toBeLessThanOrEqual(all.length)
      expect(isUserId(decode(all.subarray(0, end), 'msgpack'))).toBe(true)
    }),
    { seed, numRuns: 3000 },
  )
})
