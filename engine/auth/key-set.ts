/**
 * A set of published keys (JWKS, RFC 7517) that user tokens are verified with. What a key is for follows from the key: RSA is
 * RS256, P-256 is ES256, Ed25519 is EdDSA, and a key that says otherwise of itself is not used. A key that cannot be used is
 * skipped with a reason, and the others hold; a text without a usable key is an error.
 *
 * Written on node:crypto, which reads a JWK and verifies at once. Rejected: a JOSE library. Its verification is asynchronous, so
 * every route, the claim's too, would wait in a promise for each token that is new; and it takes the algorithms that it
 * knows, while only three are wanted here.
 */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { PUBLISHED_KEYS_MAX } from '../base/limits.ts'
import { repeatedName } from '../base/repeated-name.ts'

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA'

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An RSA key whose verification costs no more than that of the longest one in use. */
const RSA_BITS = [2048, 8192] as const

/** One key that verifies one algorithm. */
export class PublishedKey {
  readonly kid: string | undefined
  readonly algorithm: Algorithm
  /** All that it is, as one text: a key that is published again unchanged is the same key. */
  readonly identity: string
  /** It is published no longer: what it verified counts no more. */
  isGone = false
  readonly #key: KeyObject

  constructor(kid: string | undefined, algorithm: Algorithm, key: KeyObject) {
    this.kid = kid
    this.algorithm = algorithm
    this.#key = key
    const bytes = key.export({ type: 'spki', format: 'der' }).toString('base64')
    this.identity = JSON.stringify([kid, algorithm, bytes])
  }

  verifies(signed: string, signature: Buffer): boolean {
    const bytes = Buffer.from(signed)
    if (this.algorithm === 'EdDSA') return verify(null, bytes, this.#key, signature)
    if (this.algorithm === 'RS256') return verify('sha256', bytes, this.#key, signature)
    return verify('sha256', bytes, { key: this.#key, dsaEncoding: 'ieee-p1363' }, signature)
  }
}

const FAMILIES: Readonly<Record<string, Algorithm>> = { 'RSA ': 'RS256', 'EC P-256': 'ES256', 'OKP Ed25519': 'EdDSA' }

/** Why a key of the set is not used, or the key. */
function readKey(jwk: unknown): PublishedKey | string {
  if (!isRecord(jwk)) return 'is no object'
  const { kty, crv, kid, alg, use, key_ops: operations } = jwk
  if (typeof kty !== 'string') return 'has no kty'
  if (kid !== undefined && typeof kid !== 'string') return 'has a kid that is no text'
  if (kty === 'oct') return 'is a shared secret (kty oct); publish public keys'
  if (Object.hasOwn(jwk, 'd')) return 'holds its private part; publish the public one, and make a new key'
  const family = `${kty} ${kty === 'RSA' ? '' : String(crv)}`
  const algorithm = Object.hasOwn(FAMILIES, family) ? FAMILIES[family] : undefined
  if (!algorithm) return `is none of RSA, EC with P-256, OKP with Ed25519`
  if (alg !== undefined && alg !== algorithm) return `says that its alg is another one than ${algorithm}`
  if (use !== undefined && use !== 'sig') return 'is not for signatures (use)'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'is not for verifying (key_ops)'
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    return unsafeIn(key) ?? new PublishedKey(kid, algorithm, key)
  } catch {
    return 'cannot be read as a key'
  }
}

/** What makes an RSA key unfit. */
function unsafeIn({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  if (asymmetricKeyType !== 'rsa') return undefined
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {}
  const [least, most] = RSA_BITS
  if (modulusLength < least || modulusLength > most)
    return `has ${modulusLength} bits; an RSA key has ${least} to ${most}`
  return publicExponent < 3n || publicExponent % 2n === 0n || publicExponent >= 2n ** 32n
    ? 'has an exponent that no RSA key should have'
    : undefined
}

export interface KeySet {
  readonly keys: readonly PublishedKey[]
  /** What is wrong with those that are not used, one sentence a key. */
  readonly skipped: readonly string[]
}

/** Reads a set. Throws with a sentence about the text when there is no key that can be used. */
export function readKeySet(text: string): KeySet {
  const listed = listIn(text)
  const read = listed.slice(0, PUBLISHED_KEYS_MAX).map(jwk => ({ kid: kidOf(jwk), found: readKey(jwk) }))
  const count = new Map<string, number>()
  for (const { kid } of read) if (kid !== undefined) count.set(kid, (count.get(kid) ?? 0) + 1)
  const keys: PublishedKey[] = []
  const skipped: string[] = []
  for (const [place, { kid, found }] of read.entries()) {
    const isDouble = kid !== undefined && (count.get(kid) ?? 0) > 1
    const wrong = typeof found === 'string' ? found : isDouble ? 'has a kid that another one has, too' : undefined
    if (wrong === undefined) keys.push(found as PublishedKey)
    else skipped.push(`key ${place + 1}${kid === undefined ? '' : ` (${kid.slice(0, 64)})`} ${wrong}`)
  }
  if (listed.length > PUBLISHED_KEYS_MAX) skipped.push(`the keys behind the first ${PUBLISHED_KEYS_MAX} are not read`)
  if (keys.length === 0) throw new Error(`has no key that can be used${skipped.length > 0 ? `: ${skipped[0]}` : ''}`)
  return { keys, skipped }
}

const kidOf = (jwk: unknown): string | undefined => (isRecord(jwk) && typeof jwk.kid === 'string' ? jwk.kid : undefined)

function listIn(text: string): readonly unknown[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('is no JSON')
  }
  const twice = repeatedName(text)
  if (twice !== undefined) throw new Error(`has the name "${twice.slice(0, 64)}" twice in one object`)
  if (!isRecord(value) || !Array.isArray(value.keys)) throw new Error('has no list "keys"')
  return value.keys
}
