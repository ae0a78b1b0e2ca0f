/**
 * Who asks. A credential goes in, a Caller comes out; nothing above this folder ever sees a header or a key. API keys
 * are compared in constant time: every character of every key is looked at, whatever the answer. A text with two dots
 * is a user token; anything else is no credential of ours.
 *
 * RIGHTS is the table of API.md's roles; a user's token is the role `user`, nobody is `anonymous`.
 */
import { createHash } from 'node:crypto'
import { isMerchantId } from '../base/holder.ts'
import { CREDENTIAL_BYTES_MAX, KEYS_MAX } from '../base/limits.ts'
import type { UserClaims, UserTokens } from './user-tokens.ts'

export type Role = 'operator' | 'platform' | 'merchant' | 'viewer' | 'user' | 'anonymous'

/**
 * What may be done, one word a right. `claim-any` is for any user, `claim-own` for the token's, `look-up` finds a voucher by its
 * code, `measure` reads the node's metrics.
 */
export type Right =
  | 'operate'
  | 'claim-any'
  | 'claim-own'
  | 'redeem'
  | 'reverse'
  | 'look-up'
  | 'measure'
  | 'read'
  | 'read-own'
  | 'public'

export const RIGHTS: Readonly<Record<Role, readonly Right[]>> = {
  operator: ['operate', 'claim-any', 'redeem', 'reverse', 'look-up', 'measure', 'read', 'public'],
  platform: ['claim-any', 'redeem', 'look-up', 'read', 'public'],
  merchant: ['redeem', 'reverse', 'look-up', 'public'],
  viewer: ['look-up', 'measure', 'read', 'public'],
  user: ['claim-own', 'read-own', 'public'],
  anonymous: ['public'],
}

export interface Caller {
  readonly role: Role
  /** Stable and harmless to store: a hash of the key, `user:<id>`, or `anonymous`. */
  readonly id: string
  readonly user?: UserClaims
  /** The one merchant that a merchant's key acts for, when it is bound to one. */
  readonly merchant?: string
  /** The scope of the key: who acts by it, as it is written with what they do. */
  readonly via?: string
  /** The only campaigns that are there for the key; all where it is left out. */
  readonly campaigns?: readonly string[]
}

export const ANONYMOUS: Caller = { role: 'anonymous', id: 'anonymous' }

const KEY_ROLES: readonly Role[] = ['operator', 'platform', 'merchant', 'viewer']
const KEY_CHARS_MIN = 8
const CAMPAIGN = /^cmp_[0-9a-z]{16}$/
/** A key in the few ways to write its header: the case of `Bearer` is free. */
const HEADERS_MAX = 256

interface ApiKey {
  readonly text: string
  readonly caller: Caller
}

/**
 * Reads `role:key,…`, each with a scope behind it or without, which for a merchant is its id, and behind that the campaigns that it is
 * limited to; throws with what to do. No word of an entry is part of a message: it could be the key.
 */
export function parseKeys(setting: string): ApiKey[] {
  const entries = setting.split(/[,\n]/).map(entry => entry.trim())
  const keys = entries.filter(Boolean).map((entry, i) => {
    const colon = entry.indexOf(':')
    const role = KEY_ROLES.find(known => known === entry.slice(0, colon < 0 ? undefined : colon))
    const [text = '', scope, ...rest] = colon < 0 ? [] : entry.slice(colon + 1).split(':')
    if (!role)
      throw new Error(
        `FAIRGRAB_KEYS: entry ${i + 1} has no role; write one of ${KEY_ROLES.join(', ')}, a colon and the key`,
      )
    if (text.length < KEY_CHARS_MIN)
      throw new Error(`FAIRGRAB_KEYS: the key of entry ${i + 1} (${role}) is shorter than ${KEY_CHARS_MIN} characters`)
    if (/[^ -~]/.test(text))
      throw new Error(
        `FAIRGRAB_KEYS: the key of entry ${i + 1} (${role}) has a character that no header carries; use ASCII`,
      )
    if (scope !== undefined && !isMerchantId(scope))
      throw new Error(
        `FAIRGRAB_KEYS: entry ${i + 1} (${role}) has a scope that is none, or a colon in its key; write ${role}:KEY or ${role}:KEY:SCOPE, the scope 1 to 64 of A–Z a–z 0–9 . _ @ -`,
      )
    const campaigns = rest[0]?.split('/')
    if (rest.length > 1 || campaigns?.some(campaign => !CAMPAIGN.test(campaign)))
      throw new Error(
        `FAIRGRAB_KEYS: entry ${i + 1} (${role}) has something behind its scope that is no list of campaigns; write ${role}:KEY:SCOPE:cmp_…/cmp_…`,
      )
    const id = `${role}:${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
    const scoped = scope === undefined ? {} : { via: scope, ...(role === 'merchant' ? { merchant: scope } : {}) }
    return { text, caller: { role, id, ...scoped, ...(campaigns ? { campaigns } : {}) } }
  })
  if (keys.length > KEYS_MAX)
    throw new Error(
      `FAIRGRAB_KEYS: there are ${keys.length} keys, and ${KEYS_MAX} is the most; people need tokens, not keys`,
    )
  const places = new Map<string, number>()
  for (const [i, { text }] of keys.entries()) {
    const first = places.get(text)
    if (first !== undefined)
      throw new Error(`FAIRGRAB_KEYS: entries ${first + 1} and ${i + 1} have the same key; give each its own`)
    places.set(text, i)
  }
  return keys
}

/** Compares every character of `text`, whatever was found before. */
function same(text: string, given: string): boolean {
  let differs = text.length ^ given.length
  for (let i = 0; i < text.length; i++) differs |= text.charCodeAt(i) ^ given.charCodeAt(i)
  return differs === 0
}

export class Callers {
  #keys: readonly ApiKey[]
  readonly #tokens: UserTokens
  /** Headers that named a key before. Found by a seeded hash, so a guess learns nothing from the time it takes. */
  readonly #headers = new Map<string, Caller>()

  constructor(keys: readonly ApiKey[], tokens: UserTokens) {
    this.#keys = keys
    this.#tokens = tokens
  }

  /** Other keys from now on. Requests that were admitted go on as who they were. */
  replaceKeys(keys: readonly ApiKey[]): void {
    this.#keys = keys
    this.#headers.clear()
  }

  /** The caller of a bare credential; undefined when it is not valid. An empty one is nobody. */
  of(credential: string): Caller | undefined {
    if (credential === '') return ANONYMOUS
    if (credential.length > CREDENTIAL_BYTES_MAX) return undefined
    let found: Caller | undefined
    for (const key of this.#keys) if (same(key.text, credential)) found = key.caller
    if (found) return found
    const user = this.#tokens.verify(credential)
    return user && { role: 'user', id: `user:${user.userId}`, user }
  }

  /** The caller of an Authorization header. */
  ofHeader(header: string): Caller | undefined {
    const known = this.#headers.get(header)
    if (known) return known
    if (header === '') return ANONYMOUS
    const credential = bearerIn(header)
    const caller = credential === undefined ? undefined : this.of(credential)
    if (caller && KEY_ROLES.includes(caller.role) && this.#headers.size < HEADERS_MAX) this.#headers.set(header, caller)
    return caller
  }

  /** For a credential that names nobody: what to wait for if that may change, `away` where nobody can say (user-tokens.ts). */
  missing(credential: string): Promise<void> | 'away' | undefined {
    return this.#tokens.missing(credential)
  }

  /** The same of an Authorization header. */
  headerMissing(header: string): Promise<void> | 'away' | undefined {
    return this.missing(bearerIn(header) ?? '')
  }

  /** What is wrong with a credential that names nobody, for whoever sent it. */
  complaint(credential: string): string {
    const claim = this.#tokens.complaint(credential)
    if (claim === undefined) return 'the credential is not one of ours, or it has expired'
    return `the signature of the token is good, and its claim ${claim}`
  }

  /** The same of an Authorization header. */
  headerComplaint(header: string): string {
    return this.complaint(bearerIn(header) ?? '')
  }
}

/** A caller as they are written down: their id, and behind a colon the scope of their key, if it has one. */
export const signed = ({ id, via }: Pick<Caller, 'id' | 'via'>): string => (via === undefined ? id : `${id}:${via}`)

const SIGNED = /^([a-z]+:[0-9a-f]{16}):(.+)$/

/** The two parts of what was written down. */
export function signerIn(written: string): Pick<Caller, 'id' | 'via'> {
  const [, id, via] = SIGNED.exec(written) ?? []
  return id === undefined || via === undefined ? { id: written } : { id, via }
}

/** The credential of an Authorization header; undefined where it is not a bearer's. */
export const bearerIn = (header: string): string | undefined =>
  header.length >= 8 && header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7) : undefined

export const may = (caller: Caller, right: Right): boolean => RIGHTS[caller.role].includes(right)

/** Whether a campaign is there for a caller. */
export const reaches = ({ campaigns }: Caller, campaign: string): boolean =>
  campaigns === undefined || campaigns.includes(campaign)

/** Whether two callers are the same one, and may the same. */
export const isSame = (one: Caller, other: Caller | undefined): boolean =>
  other?.id === one.id && other.via === one.via && other.campaigns?.join('/') === one.campaigns?.join('/')
