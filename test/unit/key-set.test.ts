/**
 * Sets of published keys: which are used, why others are not, and what no set is. Each key that is skipped stands beside a good
 * one, which holds.
 *
 * The words of a refusal are what an operator gets to see in the log, so they are written out. Rejected: sets of some provider,
 * whose keys nobody here can sign with.
 */
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readKeySet } from '../../engine/auth/key-set.ts'
import { PUBLISHED_KEYS_MAX } from '../../engine/base/limits.ts'
import { ALGORITHMS, keySet, PlatformKey } from '../support/platform-keys.ts'
import { seed } from '../support/seed.ts'

const good = new PlatformKey('EdDSA', 'good')
const [rsa, ec] = [new PlatformKey('RS256', 'rsa'), new PlatformKey('ES256', 'ec')]
const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' })

test.each(ALGORITHMS)('%s: a key is used, with alg, use and key_ops or without them', algorithm => {
  const key = new PlatformKey(algorithm, 'k')
  for (const more of [{}, { alg: undefined, use: undefined }, { key_ops: ['verify'] }, { x5t: 'x', exp: 'anything' }]) {
    const { keys, skipped } = readKeySet(keySet(key.jwk(more)))
    expect([keys.map(({ kid, algorithm: found }) => [kid, found]), skipped]).toEqual([[['k', algorithm]], []])
  }
})

const SKIPPED: readonly (readonly [string, unknown, string])[] = [
  ['a shared secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'x' }, '(x) is a shared secret (kty oct); publish public keys'],
  ['a private key', rsa.privateJwk(), '(rsa) holds its private part; publish the public one, and make a new key'],
  ['RSA of 1,024 bits', { ...short, kid: 'x' }, '(x) has 1024 bits; an RSA key has 2048 to 8192'],
  ['RSA with the exponent 1', rsa.jwk({ e: 'AQ' }), '(rsa) has an exponent that no RSA key should have'],
  ['RSA with a long exponent', rsa.jwk({ e: 'AQAAAAE' }), '(rsa) has an exponent that no RSA key should have'],
  ['RSA without a modulus', rsa.jwk({ n: undefined }), '(rsa) cannot be read as a key'],
  ['RSA with a modulus that is a number', rsa.jwk({ n: 7 }), '(rsa) cannot be read as a key'],
  ['P-384', { ...curve('P-384'), kid: 'x' }, '(x) is none of RSA, EC with P-256, OKP with Ed25519'],
  ['secp256k1', { ...curve('secp256k1'), kid: 'x' }, '(x) is none of RSA, EC with P-256, OKP with Ed25519'],
  ['a point that is not on the curve', ec.jwk({ x: 'A'.repeat(43) }), '(ec) cannot be read as a key'],
  [
    'X25519',
    { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43), kid: 'x' },
    '(x) is none of RSA, EC with P-256, OKP with Ed25519',
  ],
  [
    'a family that is a name of all objects',
    { kty: 'constructor', kid: 'x' },
    '(x) is none of RSA, EC with P-256, OKP with Ed25519',
  ],
  ['for encryption', rsa.jwk({ use: 'enc' }), '(rsa) is not for signatures (use)'],
  ['for signing alone', rsa.jwk({ key_ops: ['sign'] }), '(rsa) is not for verifying (key_ops)'],
  ['key_ops that are none', rsa.jwk({ key_ops: 'verify' }), '(rsa) is not for verifying (key_ops)'],
  ['another algorithm of its family', rsa.jwk({ alg: 'PS256' }), '(rsa) says that its alg is another one than RS256'],
  ['HS256 on an RSA key', rsa.jwk({ alg: 'HS256' }), '(rsa) says that its alg is another one than RS256'],
  ['no family', { kid: 'x' }, '(x) has no kty'],
  ['a kid that is a number', rsa.jwk({ kid: 7 }), 'has a kid that is no text'],
  ['a text', 'key', 'is no object'],
  ['nothing', null, 'is no object'],
  ['a list', [], 'is no object'],
  ['a very long kid', { kid: 'x'.repeat(10_000) }, `(${'x'.repeat(64)}) has no kty`],
]

test.each(SKIPPED)('%s is skipped by name, and the good key holds', (_, jwk, why) => {
  const { keys, skipped } = readKeySet(keySet(jwk as object, good.jwk()))
  expect([keys.map(({ kid }) => kid), skipped]).toEqual([['good'], [`key 1 ${why}`]])
})

test('keys that share a kid are all skipped, whatever their families', () => {
  const { keys, skipped } = readKeySet(keySet(rsa.jwk({ kid: 'one' }), good.jwk(), ec.jwk({ kid: 'one' })))
  expect(keys.map(({ kid }) => kid)).toEqual(['good'])
  expect(skipped).toEqual([1, 3].map(place => `key ${place} (one) has a kid that another one has, too`))
})

test('of a very long list the first keys are read, and that is said', () => {
  const many = Array.from({ length: 3000 }, (_, i) => good.jwk({ kid: `k${i}` }))
  const { keys, skipped } = readKeySet(keySet(...many))
  expect([keys.length, skipped]).toEqual([
    PUBLISHED_KEYS_MAX,
    [`the keys behind the first ${PUBLISHED_KEYS_MAX} are not read`],
  ])
})

test.each([
  ['', 'is no JSON'],
  ['<html></html>', 'is no JSON'],
  ['[]', 'has no list "keys"'],
  ['{"keys":{}}', 'has no list "keys"'],
  ['{"keys":[]}', 'has no key that can be used'],
  ['{"keys":[{"kty":"oct","k":"AA"}]}', 'has no key that can be used: key 1 is a shared secret'],
  ['{"keys":[],"keys":[]}', 'has the name "keys" twice in one object'],
  [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'has no list "keys"'],
  [`{"keys":[${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}]}`, 'has no key that can be used: key 1 has no kty'],
])('%# is no set', (text, why) => {
  expect(() => readKeySet(text)).toThrow(why)
})

test('whatever a set has in its fields, each key of it is sound or skipped, and the good one holds', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom('RSA', 'EC', 'OKP', 'oct', 'P-256', 'Ed25519', 'sig', 'AQAB'),
  )
  const fields = fc.dictionary(
    fc.constantFrom('kty', 'crv', 'kid', 'alg', 'use', 'key_ops', 'n', 'e', 'x', 'y', 'k', 'd'),
    value,
  )
  const spoilt = fc.tuple(fc.constantFrom(rsa, ec), fields).map(([key, more]) => key.jwk(more))
  fc.assert(
    fc.property(fc.array(fc.oneof(fields, spoilt, value), { maxLength: 6 }), listed => {
      const { keys, skipped } = readKeySet(keySet(...(listed as object[]), good.jwk()))
      const kids = keys.flatMap(({ kid }) => kid ?? [])
      expect(keys.length + skipped.length).toBe(listed.length + 1)
      expect(new Set(kids).size).toBe(kids.length)
      if (!listed.some(jwk => (jwk as { kid?: unknown } | null)?.kid === 'good')) expect(kids).toContain('good')
    }),
    { seed, numRuns: 2000 },
  )
})
