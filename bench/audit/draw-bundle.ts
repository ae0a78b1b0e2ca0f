/**
 * The proof bundle of one draw, as anybody can fetch it: the files' bytes, and what they say.
 *
 * Bytes and meaning are kept side by side, because hashes and signatures are over the bytes as they were published. A
 * file that is missing or cannot be read is an empty one: the check that needs it then says what it does not find,
 * which tells more than an exception. Binary values in JSON are hex.
 *
 * Rejected: zod schemas. The wire's are the engine's, and a doubter brings his own eyes.
 */

import type { DrawRules } from './draw.ts'

/** `commit.bytes` may be published beside `commit.json`; without it the bytes of `commit` inside that file are meant. */
export const BUNDLE_FILES = [
  'rules.json',
  'entries.bin',
  'commit.json',
  'commit.bytes',
  'beacon.json',
  'result.json',
] as const
export type BundleFile = (typeof BUNDLE_FILES)[number]
export type Bundle = Readonly<Record<BundleFile, Buffer>>

export interface PublishedRules extends DrawRules {
  readonly round_id: string
  readonly window?: number
  readonly opens_at: string
  readonly closes_at: string
  /** Missing in rules of older engines, which promise no times. */
  readonly may_end_early?: boolean
  readonly leaf_records: number
  readonly beacon:
    | { readonly kind: 'commit'; readonly hash: string }
    | { readonly kind: 'drand'; readonly round: number }
}

export interface Commitment {
  readonly rules_hash: string
  readonly n: number
  readonly root: string
  readonly committed_at: string
  /** What changed in the window, and when; the last is its draw. */
  readonly changes?: readonly { readonly at: string; readonly change: string }[]
}

export interface PublishedBeacon {
  readonly kind: string
  readonly round?: number
  readonly signature?: string
  readonly secret?: string
}

export interface PublishedResult {
  readonly seed: string
  readonly winners: readonly string[]
  readonly waitlist: readonly string[]
}

/** What a bundle says; a file that is no JSON says nothing. */
export interface Statement {
  readonly bytes: Bundle
  readonly signed: Buffer
  readonly rules: Partial<PublishedRules>
  readonly commitment: {
    readonly commit?: Partial<Commitment>
    readonly signature?: string
    readonly public_key?: string
  }
  readonly beacon: Partial<PublishedBeacon>
  readonly result: Partial<PublishedResult>
}

function said<T>(bytes: Buffer): Partial<T> {
  try {
    return JSON.parse(bytes.toString('utf8')) as Partial<T>
  } catch {
    return {}
  }
}

/** The bytes that were signed: the value of `commit` as it stands in the file. */
function signedBytes(bytes: Bundle): Buffer {
  if (bytes['commit.bytes'].length > 0) return bytes['commit.bytes']
  const text = bytes['commit.json'].toString('utf8')
  return Buffer.from(/"commit":(\{.*\}),"signature"/s.exec(text)?.[1] ?? '')
}

export function statementOf(bytes: Bundle): Statement {
  return {
    bytes,
    signed: signedBytes(bytes),
    rules: said<PublishedRules>(bytes['rules.json']),
    commitment: said<Statement['commitment']>(bytes['commit.json']),
    beacon: said<PublishedBeacon>(bytes['beacon.json']),
    result: said<PublishedResult>(bytes['result.json']),
  }
}
