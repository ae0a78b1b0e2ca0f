/**
 * Every decoder of bytes that strangers send, on mutated inputs: it never throws anything but what it declares, never
 * pollutes a prototype, and what it accepts is what its ordinary, slower way reads too.
 *
 * The inputs start from good ones, since random bytes die at the first check. The short form is part of `npm test`;
 * `TEST_EFFORT=long npm test -- test/unit/fuzz` gives each decoder a million. Rejected: a fuzzer with coverage; the
 * decoders are small, and the mutations of one good input reach every branch that the tables of their tests name.
 */

import { expect, test } from 'vitest'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { splitCode, VoucherCodes } from '../../engine/auth/voucher-codes.ts'
import { realClock } from '../../engine/base/clock.ts'
import { isUserId } from '../../engine/base/holder.ts'
import { scanClaimBody } from '../../engine/wire/claim-json.ts'
import { scanClaimsFrame } from '../../engine/wire/claims-frame.ts'
import { decode, type Encoding, encode, Malformed } from '../../engine/wire/encoding.ts'
import { PATIENCE_MS } from '../support/effort.ts'
import { JWT_SECRET } from '../support/engine.ts'
import { fuzz, INPUTS, must } from '../support/fuzzing.ts'
import { userToken } from '../support/user-token.ts'

const FRAME = { op: 'claims', id: 7, round_id: 'rnd_abc', user_ids: ['u1', 'a'.repeat(40), 'x@y.z'] }
const BODIES: readonly object[] = [
  { user_id: 'u1' },
  { user_id: 'u-2', pool: 'general', slot: 2 },
  { constructor: 1, ['__proto__']: { polluted: true }, list: [1, -5, 2 ** 40, 0.5, null, true, 'é'] },
  FRAME,
]

const isPlain = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  value instanceof Uint8Array ||
  ((Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) && Object.values(value).every(isPlain))

test.each(['json', 'msgpack'] as const)(
  `${INPUTS} bodies as %s`,
  (encoding: Encoding) => {
    const read = (bytes: Buffer) => {
      let value: unknown
      try {
        value = decode(bytes, encoding)
      } catch (cause) {
        if (cause instanceof Malformed) return false
        throw cause
      }
      must(isPlain(value), 'what was decoded is not plain')
      return true
    }
    const accepted = fuzz(
      encoding === 'json' ? 1 : 2,
      BODIES.map(body => encode(body, encoding)),
      read,
    )
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} claims frames`,
  () => {
    const good = [FRAME, { ...FRAME, pool: 'assisted' }].map(frame => encode(frame, 'msgpack'))
    const accepted = fuzz(3, good, bytes => {
      const frame = scanClaimsFrame(bytes)
      if (frame === undefined) return false
      const ordinary = decode(bytes, 'msgpack') as { readonly user_ids: readonly unknown[]; readonly round_id: unknown }
      must(ordinary.user_ids.every(isUserId), 'an id that is none')
      must(ordinary.round_id === frame.roundId, 'another round')
      return true
    })
    expect(accepted).toBeGreaterThan(0)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} claim bodies of the fast lane`,
  () => {
    const accepted = fuzz(
      4,
      ['u1', 'someone@example.org', 'a'.repeat(64)].map(id => encode({ user_id: id }, 'json')),
      bytes => {
        const userId = scanClaimBody(bytes)
        if (userId === undefined) return false
        must((decode(bytes, 'json') as { readonly user_id: unknown }).user_id === userId, 'another user')
        return isUserId(userId)
      },
    )
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} user tokens: none proves what its signer did not say`,
  () => {
    const good = ['u1', 'u2'].map(sub => userToken(sub, { claims: { region: 'r' } }))
    const tokens = new UserTokens({ secret: JWT_SECRET, publicKey: '' }, realClock)
    const signed = new Set(good.map(token => token.slice(0, token.lastIndexOf('.'))))
    const accepted = fuzz(
      5,
      good.map(token => Buffer.from(token, 'latin1')),
      bytes => {
        const token = bytes.toString('latin1')
        if (tokens.verify(token) === undefined) return false
        must(signed.has(token.slice(0, token.lastIndexOf('.'))), 'a token that nobody signed')
        return true
      },
    )
    expect(accepted).toBeLessThan(INPUTS / 10)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} voucher codes: none but the minted ones opens`,
  () => {
    const secret = Buffer.alloc(32, 7)
    const codes = new VoucherCodes({ secret, roundId: 'rnd_fuzz', roundNumber: 12, packVouchers: 3 })
    const minted = codes.mint([1, 2, 3, 500, 70_000], 5)
    fuzz(
      6,
      minted.map(code => Buffer.from(code, 'latin1')),
      bytes => {
        const parts = splitCode(bytes.toString('latin1'))
        // The round's number in front chooses whose codes these are; another one is another round's business.
        if (parts?.roundNumber !== 12 || codes.open(parts) === undefined) return false
        must(minted.includes(parts.text), 'a code that nobody minted')
        return true
      },
    )
    const opened = codes.open(splitCode(minted[4] as string) as Parameters<typeof codes.open>[0])
    expect(opened).toMatchObject({ sequence: 2, place: 1 })
  },
  PATIENCE_MS,
)
