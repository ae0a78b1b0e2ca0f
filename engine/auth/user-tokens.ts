/**
 * User tokens: JWTs that the platform signs and the engine only verifies (RFC 7519, with the advice of RFC 8725).
 * The algorithm is fixed by the key, never taken from the token: HS256 for a secret, EdDSA for a public key, and for published
 * keys (published-keys.ts) what each of them is. Of a token's header `jku`, `x5u` and `jwk` are not read.
 * A verified token is remembered by the SHA-256 of all its bytes; its expiry, and whether its key is still published, are
 * checked at each use. Written on node:crypto because it is one HMAC and a few checks (1.7 µs), and a library brings
 * algorithms that we would have to forbid again.
 */
import { createHmac, createPublicKey, hash, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { isUserId } from '../base/holder.ts'
import { CREDENTIAL_BYTES_MAX, TOKENS_CACHED_MAX } from '../base/limits.ts'
import { repeatedName } from '../base/repeated-name.ts'
import { hasLoneSurrogate, utf8Text } from '../base/text.ts'
import type { Algorithm, PublishedKey } from './key-set.ts'
import type { PublishedKeys } from './published-keys.ts'

export interface UserClaims {
  readonly userId: string
  readonly region?: string
  readonly cohort?: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface TokenKeys {
  /** At least 32 bytes; empty for none. */
  readonly secret: string
  /** The one before it, while tokens that it signed are about; left out or empty for none. */
  readonly secretPrevious?: string
  /** PEM of an Ed25519 public key; empty for none. */
  readonly publicKey: string
  /** What `iss` has to be, and what `aud` has to name; left out or empty for anything. */
  readonly issuer?: string
  readonly audience?: string
  /** The keys that the platform publishes; left out for none. */
  readonly published?: PublishedKeys | undefined
}

/** What a token proves, and the published key that verified it. */
interface Verified {
  readonly claims: UserClaims
  readonly key: PublishedKey | undefined
}

/** A token taken apart; nothing is proved yet. */
interface TokenParts {
  readonly algorithm: unknown
  /** Null where it is no text: that names no published key, and the other keys never look at it. */
  readonly kid: string | undefined | null
  readonly signed: string
  readonly signature: Buffer
  readonly body: string
}

const PUBLISHED: readonly unknown[] = ['RS256', 'ES256', 'EdDSA'] satisfies readonly Algorithm[]

/** Why a token whose signature is good proves nothing: the claim, and what is wrong with it. */
export type Complaint = `${'sub' | 'exp' | 'nbf' | 'iss' | 'aud' | 'region' | 'cohort'} ${string}`

const LEEWAY_MS = 60_000
/** The year 5138: an end beyond it was written in milliseconds, and would never come. */
const EXP_S_MAX = 1e11

const decode = (part: string): unknown => {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) return undefined
  try {
    const json = utf8Text(Buffer.from(part, 'base64url'))
    if (json === undefined || hasLoneSurrogate(json)) return undefined
    const value: unknown = JSON.parse(json)
    return repeatedName(json) === undefined ? value : undefined
  } catch {
    return undefined
  }
}

const MAKE_KEY =
  'make one with: openssl genpkey -algorithm ed25519 -out key.pem, and set what openssl pkey -in key.pem -pubout prints'

/** The key of the setting; throws with what to set instead. A private key is refused unread: it has no business here. */
function readKey(pem: string): KeyObject {
  const wrong = (why: string) => new Error(`FAIRGRAB_JWT_PUBLIC_KEY ${why}`)
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
    throw wrong('is a private key; set what openssl pkey -in key.pem -pubout prints')
  if (/-----END [A-Z ]+-----\s*\S/.test(pem))
    throw wrong('has more behind its first PEM; set one key here, and several with FAIRGRAB_JWKS')
  let key: KeyObject | undefined
  try {
    key = createPublicKey(pem)
  } catch {
    // It is said below, as of a key of another kind.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw wrong(`is not an Ed25519 key; ${MAKE_KEY}`)
  return key
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Absent is also null, which is what many libraries write for it. */
const optionalText = (value: unknown): value is string | null | undefined =>
  value === undefined || value === null || (typeof value === 'string' && value.length <= 64)

/** Media types have no case, and `application/` may stand before the names of these (RFC 7515, 4.1.9). */
const isTokenType = (type: unknown): boolean => typeof type === 'string' && /^(application\/)?(at\+)?jwt$/i.test(type)

function partsIn(token: string): TokenParts | undefined {
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  const [head, body, signature] = parts as [string, string, string]
  const header = decode(head)
  if (!isRecord(header) || header.crit !== undefined) return undefined
  const { typ, alg: algorithm, kid } = header
  if (typ !== undefined && !isTokenType(typ)) return undefined
  if (!/^[A-Za-z0-9_-]+$/.test(signature)) return undefined
  const named = kid === undefined || typeof kid === 'string' ? kid : null
  return { algorithm, kid: named, signed: `${head}.${body}`, signature: Buffer.from(signature, 'base64url'), body }
}

/** Whether a token has ended at a moment of the wall's clock, the leeway included. */
export const isOver = ({ expiresAt }: UserClaims, nowMs: number): boolean => expiresAt + LEEWAY_MS <= nowMs

export class UserTokens {
  readonly #secrets: readonly string[]
  readonly #issuer: string
  readonly #audience: string
  readonly #publicKey: KeyObject | undefined
  readonly #clock: Clock
  readonly #published: PublishedKeys | undefined
  readonly #cache = new Map<string, Verified>()
  /** The token that proved nothing last, and why: who refuses it asks next. */
  #refused: { readonly token: string; readonly complaint: Complaint | undefined } | undefined

  /** Throws when the public key is not one Ed25519 key. */
  constructor(keys: TokenKeys, clock: Clock) {
    this.#secrets = [keys.secret, keys.secretPrevious ?? ''].filter(secret => secret !== '')
    this.#issuer = keys.issuer ?? ''
    this.#audience = keys.audience ?? ''
    this.#published = keys.published
    this.#clock = clock
    if (keys.publicKey !== '') this.#publicKey = readKey(keys.publicKey)
  }

  /** What a token proves, or undefined for one that proves nothing, whatever the reason. */
  verify(token: string): UserClaims | undefined {
    if (token.length > CREDENTIAL_BYTES_MAX) return undefined
    const digest = hash('sha256', token, 'base64')
    const remembered = this.#cache.get(digest)
    const known = remembered && !remembered.key?.isGone ? remembered : this.#check(token)
    if (!known || typeof known === 'string' || isOver(known.claims, this.#clock.wallMs())) {
      this.#refused = { token, complaint: typeof known === 'object' ? 'exp is over' : known }
      return undefined
    }
    this.#remember(digest, known)
    return known.claims
  }

  /**
   * For a token that proves nothing: what to wait for, if its key may be published by now; `away` where nobody can say, undefined
   * where waiting would not help.
   */
  missing(token: string): Promise<void> | 'away' | undefined {
    if (!this.#published || token.length > CREDENTIAL_BYTES_MAX) return undefined
    const parts = partsIn(token)
    if (!parts || parts.kid === null || !PUBLISHED.includes(parts.algorithm)) return undefined
    const isKnown = this.#published.find(parts.kid, parts.algorithm as Algorithm)
    return isKnown ? undefined : this.#published.missing(parts.kid)
  }

  /** Which claim of a token is wrong whose signature is good; undefined for every other one. */
  complaint(token: string): Complaint | undefined {
    if (this.#refused?.token !== token) this.verify(token)
    return this.#refused?.token === token ? this.#refused.complaint : undefined
  }

  #remember(digest: string, verified: Verified): void {
    if (this.#cache.size >= TOKENS_CACHED_MAX) this.#cache.delete(this.#cache.keys().next().value as string)
    this.#cache.set(digest, verified)
  }

  #check(token: string): Verified | Complaint | undefined {
    const parts = partsIn(token)
    if (!parts) return undefined
    const key = this.#isSigned(parts) ? undefined : this.#publishedKeyOf(parts)
    if (key === null) return undefined
    const claims = this.#claims(decode(parts.body))
    return typeof claims === 'object' ? { claims, key } : claims
  }

  /** Whether one of the keys that were set signed it. */
  #isSigned({ algorithm, signed, signature }: TokenParts): boolean {
    if (algorithm === 'HS256')
      return this.#secrets.some(secret => {
        const made = createHmac('sha256', secret).update(signed).digest()
        return signature.length === made.length && timingSafeEqual(signature, made)
      })
    return algorithm === 'EdDSA' && this.#publicKey !== undefined
      ? verify(null, Buffer.from(signed), this.#publicKey, signature)
      : false
  }

  /** The published key that signed it; null where none did. */
  #publishedKeyOf({ algorithm, kid, signed, signature }: TokenParts): PublishedKey | null {
    if (!this.#published || kid === null || !PUBLISHED.includes(algorithm)) return null
    const key = this.#published.find(kid, algorithm as Algorithm)
    return key?.verifies(signed, signature) ? key : null
  }

  #claims(body: unknown): UserClaims | Complaint | undefined {
    if (!isRecord(body)) return undefined
    const { sub, exp, nbf, iss, aud, region, cohort } = body
    if (!isUserId(sub)) return 'sub is no user id'
    if (typeof exp !== 'number' || !Number.isFinite(exp)) return 'exp is no number'
    if (exp > EXP_S_MAX) return 'exp is in seconds, and this one is not'
    if (nbf !== undefined && typeof nbf !== 'number') return 'nbf is no number'
    if (nbf !== undefined && nbf * 1000 > this.#clock.wallMs() + LEEWAY_MS) return 'nbf is still to come'
    if (this.#issuer !== '' && iss !== this.#issuer) return 'iss is another one than FAIRGRAB_JWT_ISSUER'
    if (this.#audience !== '' && ![aud].flat().includes(this.#audience)) return 'aud lacks FAIRGRAB_JWT_AUDIENCE'
    if (!optionalText(region)) return 'region is no text of up to 64 characters'
    if (!optionalText(cohort)) return 'cohort is no text of up to 64 characters'
    return {
      userId: sub,
      expiresAt: exp * 1000,
      ...(typeof region === 'string' ? { region } : {}),
      ...(typeof cohort === 'string' ? { cohort } : {}),
    }
  }
}
