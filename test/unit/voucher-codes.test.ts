/**
 * Voucher codes: they come back to their grant, never repeat, and cannot be guessed, not even in part.
 *
 * The chi-square of the first MAC-independent characters over serials in order asks whether a code tells its place
 * in the queue; the bound is the 1 in 10^6 quantile, and the seed of the random part is printed by the run.
 */
import { describe, expect, test } from 'vitest'
import { CODE_CHARS, splitCode, VoucherCodes } from '../../engine/auth/voucher-codes.ts'
import { CROCKFORD } from '../../engine/base/random.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { below, random } from '../support/seed.ts'

const SECRET = Buffer.alloc(32, 7)
const ROUND_NUMBER_MAX = 2 ** 20 - 1
const codesOf = (more: Partial<ConstructorParameters<typeof VoucherCodes>[0]> = {}) =>
  new VoucherCodes({ secret: SECRET, roundId: 'rnd_one', roundNumber: 77, packVouchers: 5, ...more })
const opened = (codes: VoucherCodes, code: string) => {
  const parts = splitCode(code)
  return parts && codes.open(parts)
}
const chiSquare = (counts: readonly number[]): number => {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

test('a code is 20 characters of the alphabet and opens to its sequence, place and serial', () => {
  const codes = codesOf()
  const sequences = [1, 2, 999, 100_000, 53_687_091]
  const minted = codes.mint(sequences, sequences.length)
  expect(minted).toHaveLength(25)
  for (const [i, code] of minted.entries()) {
    expect(code).toMatch(new RegExp(`^[${CROCKFORD}]{${CODE_CHARS}}$`))
    const sequence = sequences[Math.floor(i / 5)] as number
    expect(opened(codes, code)).toEqual({ sequence, place: i % 5, serial: (sequence - 1) * 5 + (i % 5) })
  }
  expect(codesOf().mint(sequences, sequences.length)).toEqual(minted)
})

test('every round number up to the last is read back from the code', () => {
  for (const roundNumber of [1, 31, 32, 1023, 1024, 524_288, ROUND_NUMBER_MAX]) {
    const [code] = codesOf({ roundNumber, packVouchers: 1 }).mint([1], 1) as [string]
    expect(splitCode(code)?.roundNumber).toBe(roundNumber)
  }
})

test('texts and bytes of the same grants agree, also after a larger batch and in another order', () => {
  const codes = codesOf()
  const alone = codes.mint([500], 1)
  const many = Array.from({ length: 512 }, (_, i) => i + 1)
  const all = codes.mint(many, many.length)
  expect(all.slice(499 * 5, 500 * 5)).toEqual(alone)
  expect(codes.mintBytes([500, 1], 2).toString('latin1')).toBe(alone.join('') + all.slice(0, 5).join(''))
  expect(codes.mint([], 0)).toEqual([])
})

describe('over 200,000 codes in a row', () => {
  const each = 200_000
  const codes = codesOf({ packVouchers: 1 })
  const minted = codes.mint(
    Array.from({ length: each }, (_, i) => i + 1),
    each,
  )

  test('none is there twice', () => {
    expect(new Set(minted).size).toBe(each)
  })

  test('each opens to its place', () => {
    const wrong = minted.filter((code, i) => opened(codes, code)?.sequence !== i + 1)
    expect(wrong).toEqual([])
  })

  test('no character tells the order: each of the 16 behind the number is evenly spread, and so are its steps', () => {
    const bound = 31 + 31 * 2.2
    for (let place = 5; place < CODE_CHARS; place++) {
      const counts = new Array<number>(32).fill(0)
      const steps = new Array<number>(32).fill(0)
      let last = 0
      for (const code of minted) {
        const digit = CROCKFORD.indexOf(code[place] as string)
        counts[digit]!++
        steps[(digit - last + 32) & 31]!++
        last = digit
      }
      expect(chiSquare(counts), `character ${place}`).toBeLessThan(bound)
      expect(chiSquare(steps), `steps of character ${place}`).toBeLessThan(bound)
    }
  })

  test('neighbours are not closer to each other than strangers', () => {
    let less = 0
    for (let i = 1; i < each; i++) if ((minted[i] as string).slice(4) < (minted[i - 1] as string).slice(4)) less++
    expect(Math.abs(less / each - 0.5)).toBeLessThan(0.005)
  })
})

const GUESSES = effort(1_000_000, 10_000_000)

test('of a million random codes of the round none is valid', { timeout: PATIENCE_MS }, () => {
  const codes = codesOf()
  const next = random(1)
  const head = codes.mint([1], 1)[0]?.slice(0, 4) as string
  let valid = 0
  for (let i = 0; i < GUESSES; i++) {
    const parts = {
      text: '',
      roundNumber: 77,
      permuted: below(next, 2 ** 28),
      macHigh: below(next, 2 ** 32),
      macLow: below(next, 2 ** 20),
    }
    if (codes.open(parts)) valid++
  }
  expect(valid).toBe(0)
  expect(splitCode(`${head}0000000000000000`)?.roundNumber).toBe(77)
})

test('a code with any one character changed is not valid', () => {
  const codes = codesOf()
  const [code] = codes.mint([42], 1) as [string]
  for (let place = 4; place < CODE_CHARS; place++) {
    for (const char of CROCKFORD) {
      if (char === code[place]) continue
      expect(opened(codes, code.slice(0, place) + char + code.slice(place + 1)), `${char} at ${place}`).toBeUndefined()
    }
  }
})

test('the key of another round, another secret or a swapped number refuses', () => {
  const minted = codesOf().mint([1, 2, 3], 3)
  for (const other of [codesOf({ roundId: 'rnd_two' }), codesOf({ secret: Buffer.alloc(32, 8) })])
    expect(minted.map(code => opened(other, code))).toEqual(minted.map(() => undefined))
  expect(codesOf({ roundId: 'rnd_two' }).mint([1], 1)[0]?.slice(4)).not.toBe(minted[0]?.slice(4))
})

test('what people type: case, dashes, spaces, O for 0, I and L for 1', () => {
  const codes = codesOf()
  const next = random(2)
  for (let i = 0; i < 300; i++) {
    const [code] = codes.mint([below(next, 1_000_000) + 1], 1) as [string]
    const typed = [...code]
      .map(char => {
        if (char === '0') return 'Oo0'[below(next, 3)] as string
        if (char === '1') return 'IiLl1'[below(next, 5)] as string
        return next() < 0.5 ? char.toLowerCase() : char
      })
      .join('')
    expect(splitCode(` ${typed.slice(0, 5)}-${typed.slice(5, 10)} ${typed.slice(10)}-`)).toEqual(splitCode(code))
  }
})

test.each([
  ['nothing', ''],
  ['too short', '0'.repeat(19)],
  ['too long', '0'.repeat(21)],
  ['a U', `${'0'.repeat(19)}U`],
  ['another sign', `${'0'.repeat(19)}*`],
  ['a wide character', `${'0'.repeat(19)}０`],
  ['a pair of halves', `${'0'.repeat(18)}🎟`],
  ['a dotless i', `${'0'.repeat(19)}ı`],
  ['a new line', `${'0'.repeat(20)}\n`],
])('%s is not a code', (_, text) => {
  expect(splitCode(text)).toBeUndefined()
})
