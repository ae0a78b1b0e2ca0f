/**
 * Beacons: what drand published is verified by the real curve, and nothing else is.
 *
 * The recorded rounds come from public code that carries them as examples; a signature that verifies under the key
 * proves itself. The key is pinned by the chain's hash, which is that of period, genesis, key, group and name as drand
 * defines it, so a wrong digit in any of them shows here.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Beacon,
  drandRoundAfter,
  drandTime,
  parseBeacon,
  QUICKNET,
  verifyBeacon,
  WindowSecrets,
  windowSecret,
  writeBeacon,
} from '../../engine/draw/beacon.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { seed } from '../support/seed.ts'

/** Round, signature. */
const RECORDED = [
  [1000, 'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39'],
  [10_024_141, '8c87caf26bb4f5e9fdfad5ddf739ff8683344f8cf04a8c381225ff067557b5d9d51937eed765fcef21971bf5ddef44bb'],
] as const
const [[round, signature], [, otherSignature]] = RECORDED

const promised = (of: number) => ({ kind: 'drand', chain: QUICKNET.chain, round: of }) as const
const beaconOf = (of: number, text: string): Beacon => ({ kind: 'drand', round: of, signature: text })
const EARLY = '2023-08-23T15:55:00.000Z'

test("the chain's hash is that of the values that are pinned", () => {
  const head = Buffer.alloc(12)
  head.writeUInt32BE(QUICKNET.periodMs / 1000)
  head.writeBigInt64BE(BigInt(QUICKNET.genesisMs / 1000), 4)
  const group = 'f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e'
  const parts = [head, Buffer.from(QUICKNET.publicKey, 'hex'), Buffer.from(group, 'hex'), Buffer.from('quicknet')]
  expect(createHash('sha256').update(Buffer.concat(parts)).digest('hex')).toBe(QUICKNET.chain)
})

test.each(RECORDED)('the recorded round %d is verified', (of, text) => {
  const { bytes, trust } = verifyBeacon(promised(of), beaconOf(of, text), EARLY)
  expect(bytes.toString('hex')).toBe(text)
  expect(trust).toBe('T3')
})

test("the first round's randomness is what drand published beside the signature", () => {
  const published = 'fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd'
  expect(sha256(Buffer.from(signature, 'hex')).toString('hex')).toBe(published)
})

test.each([
  ['the signature of another round', otherSignature],
  ['no point', 'ff'.repeat(48)],
  ['the point at infinity', `c0${'00'.repeat(47)}`],
  ['the negated point', `94${signature.slice(2)}`],
  ['one bit', `${signature.slice(0, -1)}8`],
])('%s is not a signature', (_, text) => {
  expect(() => verifyBeacon(promised(round), beaconOf(round, text), EARLY)).toThrow(
    "beacon.json: the signature is not quicknet's for round 1000",
  )
})

test('another round, chain or kind than was promised is refused', () => {
  const beacon = beaconOf(round, signature)
  expect(() => verifyBeacon(promised(1001), beacon, EARLY)).toThrow('is of round 1000, and the rules promise 1001')
  const chain = '00'.repeat(32)
  expect(() => verifyBeacon({ kind: 'drand', chain, round }, beacon, EARLY)).toThrow(`the chain ${chain} is not known`)
  const hash = sha256(Buffer.alloc(32)).toString('hex')
  expect(() => verifyBeacon({ kind: 'commit', hash }, beacon, EARLY)).toThrow('is of kind drand, and the rules promise')
})

test('T3 ends the moment the round is published', () => {
  const at = (ms: number) =>
    verifyBeacon(promised(round), beaconOf(round, signature), new Date(drandTime(round) + ms).toISOString()).trust
  expect([at(-1), at(0), at(1)]).toEqual(['T3', 'T1', 'T1'])
})

test('a secret opens its own commitment only', () => {
  const secret = Buffer.alloc(32, 5)
  const rules = { kind: 'commit', hash: sha256(secret).toString('hex') } as const
  const opened = verifyBeacon(rules, { kind: 'commit', secret: secret.toString('hex') }, EARLY)
  expect(opened).toEqual({ bytes: secret, trust: 'T2' })
  expect(() => verifyBeacon(rules, { kind: 'commit', secret: '06'.repeat(32) }, EARLY)).toThrow('and the rules promise')
})

test('the round after a moment is the first that is published later', () => {
  expect(new Date(drandTime(1000)).toISOString()).toBe('2023-08-23T15:59:24.000Z')
  const moments = fc.integer({ min: QUICKNET.genesisMs - 10_000, max: QUICKNET.genesisMs + 10 ** 12 })
  fc.assert(
    fc.property(moments, ms => {
      const first = drandRoundAfter(ms)
      expect(drandTime(first)).toBeGreaterThan(ms)
      if (first > 1) expect(drandTime(first - 1)).toBeLessThanOrEqual(ms)
    }),
    { seed },
  )
})

test("a window's secret is the hash that the next window's rules promise", () => {
  const secret = Buffer.alloc(32, 7)
  for (let window = 0; window < 9; window++)
    expect(sha256(windowSecret(secret, window + 1, 10))).toEqual(windowSecret(secret, window, 10))
  expect(windowSecret(secret, 9, 10)).toEqual(secret)
  expect(() => windowSecret(secret, 10, 10)).toThrow('no window 10 of 10')
})

test('kept links give the same secrets, in whatever order they are asked for (seed printed)', () => {
  const window = fc.integer({ min: 0, max: 1000 })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1001 }),
      fc.array(window, { minLength: 1, maxLength: 4 }),
      (windows, asked) => {
        const secret = Buffer.alloc(32, windows)
        const kept = new WindowSecrets(secret, windows)
        for (const each of asked.map(number => number % windows))
          expect(kept.of(each)).toEqual(windowSecret(secret, each, windows))
        expect(() => kept.of(windows)).toThrow(`no window ${windows} of`)
      },
    ),
    { seed, numRuns: 50 },
  )
})

test.each([
  ['{', 'beacon.json: is not JSON'],
  ['{"kind":"dice"}', 'beacon.json: kind: '],
  ['{"kind":"commit","secret":"AA"}', 'secret: must be 64 lower case'],
  [`{"kind":"commit","secret":"${'0'.repeat(64)}","more":1}`, 'more'],
  [`{"kind":"drand","round":1e0,"signature":"${signature}"}`, 'in a form that readers may take otherwise'],
])('%s is no beacon', (text, words) => {
  expect(() => parseBeacon(Buffer.from(text))).toThrow(words)
})

test('a beacon is read as it was written', () => {
  for (const beacon of [beaconOf(round, signature), { kind: 'commit', secret: '07'.repeat(32) } as const])
    expect(parseBeacon(writeBeacon(beacon))).toEqual(beacon)
})
