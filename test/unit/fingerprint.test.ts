/**
 * What nodes compare of a secret tells nothing of it: it is its own for each setting and each secret, and always the same.
 *
 * One value is pinned, because another form would keep every node of a Redis that stands from starting.
 */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { fingerprintOf } from '../../engine/auth/fingerprint.ts'

const [VOUCHER, DRAW] = ['FAIRGRAB_VOUCHER_SECRET', 'FAIRGRAB_DRAW_SECRET'] as const

test('a fingerprint is short, its own for each setting and secret, and has nothing of the secret', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 1000; i++) {
    const secret = randomBytes(32)
    for (const setting of [VOUCHER, DRAW]) {
      const print = fingerprintOf(secret, setting)
      expect(print).toMatch(/^[0-9a-f]{16}$/)
      expect(fingerprintOf(secret, setting)).toBe(print)
      for (let at = 0; at + 12 <= print.length; at++)
        expect(secret.toString('hex')).not.toContain(print.slice(at, at + 12))
      seen.add(print)
    }
  }
  expect(seen.size).toBe(2000)
})

test('one secret has the fingerprint that running nodes have kept', () => {
  expect(fingerprintOf(Buffer.alloc(32, 1), VOUCHER)).toBe('6514407826389c31')
})
