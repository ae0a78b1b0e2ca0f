/**
 * The answer to a claim that holds exists twice, as an object and as bytes of JSON written by hand: they are held
 * together here, on random packs, names beyond ASCII and batches that share one buffer of codes.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { VoucherCodes } from '../../engine/auth/voucher-codes.ts'
import { type AnsweredRound, ClaimJson, claimAnswer, claimId } from '../../engine/wire/claim-json.ts'
import { seed } from '../support/seed.ts'

const word = fc.string({ unit: fc.constantFrom(...'abcz019._:@-'), minLength: 1, maxLength: 64 })
const names = fc.oneof(word, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 64 }))
const vouchers = fc.array(fc.record({ template: names, valid_for_s: fc.integer({ min: 1, max: 10 * 366 * 86_400 }) }), {
  minLength: 1,
  maxLength: 64,
})
const grants = fc.array(
  fc.record({
    userId: word,
    slot: fc.integer({ min: 1, max: 255 }),
    pool: fc.nat(1),
    sequence: fc.integer({ min: 1, max: 1_000_000 }),
    at: fc.integer({ min: 0, max: Date.UTC(2100, 0, 1) }),
    replayed: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
)

test('the bytes say what the object says, field by field and in the same order', () => {
  fc.assert(
    fc.property(vouchers, grants, word, (pack, batch, pool) => {
      const round: AnsweredRound = { id: 'rnd_0123456789abcdef', pools: ['general', pool], vouchers: pack }
      const codes = new VoucherCodes({
        secret: Buffer.alloc(32, 1),
        roundId: round.id,
        roundNumber: 9,
        packVouchers: pack.length,
      })
      const writer = new ClaimJson(round)
      const sequences = batch.map(({ sequence }) => sequence)
      const codeBytes = codes.mintBytes(sequences, batch.length)
      for (const [i, { replayed, ...grant }] of batch.entries()) {
        const written = Buffer.from(
          writer.bytes({ ...grant, codeBytes, codeAt: i * pack.length * 20 }, replayed),
        ).toString('utf8')
        const object = claimAnswer(round, { ...grant, codes: codes.mint([grant.sequence], 1) }, replayed)
        expect(written).toBe(JSON.stringify(object))
      }
    }),
    { seed, numRuns: 200 },
  )
})

test('the largest answer fits, also right after the smallest', () => {
  const longest = 'ü'.repeat(64)
  const big: AnsweredRound = {
    id: `rnd_${'x'.repeat(32)}`,
    pools: ['p'.repeat(64)],
    vouchers: Array.from({ length: 64 }, () => ({ template: longest, valid_for_s: 1 })),
  }
  const small: AnsweredRound = { id: 'rnd_s', pools: ['g'], vouchers: [{ template: 't', valid_for_s: 1 }] }
  const codeBytes = Buffer.alloc(64 * 20, 'C')
  const grant = { userId: 'u'.repeat(64), slot: 255, pool: 0, sequence: 4_294_967_295, at: 1, codeBytes, codeAt: 0 }
  for (const round of [small, big, small, big]) {
    const text = Buffer.from(new ClaimJson(round).bytes(grant, true)).toString('utf8')
    const codes = round.vouchers.map(() => 'C'.repeat(20))
    expect(JSON.parse(text)).toEqual(claimAnswer(round, { ...grant, codes }, true))
  }
})

test('an id is a name for round and sequence; states are those that are given', () => {
  const round: AnsweredRound = {
    id: 'rnd_abc',
    pools: ['general'],
    vouchers: [
      { template: 't', valid_for_s: 2 },
      { template: 't', valid_for_s: 2 },
    ],
  }
  const grant = { userId: 'u', slot: 1, pool: 0, sequence: 7, at: Date.UTC(2026, 11, 1, 10), codes: ['A', 'B'] }
  expect(claimId('rnd_abc', 7)).toBe('clm_abc_7')
  expect(claimAnswer(round, grant, false, ['redeemed'])).toEqual({
    outcome: 'granted',
    claim: {
      id: 'clm_abc_7',
      round_id: 'rnd_abc',
      user_id: 'u',
      pool: 'general',
      slot: 1,
      sequence: 7,
      granted_at: '2026-12-01T10:00:00.000Z',
    },
    vouchers: [
      { code: 'A', template: 't', state: 'redeemed', expires_at: '2026-12-01T10:00:02.000Z' },
      { code: 'B', template: 't', state: 'active', expires_at: '2026-12-01T10:00:02.000Z' },
    ],
  })
})
