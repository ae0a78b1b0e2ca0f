/**
 * Beacons: the bytes that nobody knew while entries were made, and how far they can be trusted.
 *
 *   commit   the operator's secret of 32 bytes, whose SHA-256 stands in the rules; the seed takes the secret        T2
 *   drand    the signature that the League of Entropy publishes for a round of quicknet; the seed takes its 48 bytes T3
 *
 * Quicknet's round r appears at genesis + (r − 1) × 3 s, so the round is fixed by a time before anybody can know it; the
 * signature is BLS on G1 over SHA-256(u64be(r)) (scheme bls-unchained-g1-rfc9380) and is unique, so there is nothing
 * to choose. T3 holds only for a list that was committed before the round appeared; otherwise, and for a seed whose
 * beacon says nothing, it is T1: everybody can repeat the draw, nobody can tell that the seed was not picked.
 * Windows of one round need a secret each: `windowSecret` makes them a hash chain, where the secret of a window is what
 * the next window's rules have as hash, so the first rules fix all. Rejected: other chains of drand (30 s a round).
 */
import { bls12_381 } from '@noble/curves/bls12-381.js'
import { z } from 'zod'
import { HASH_BYTES, sha256, u64be } from './digest.ts'
import { BundleError, hex, parseJson } from './json-file.ts'
import type { RulesBeacon } from './rules.ts'

/** drand's chain "quicknet"; the hash is that of all the other values, which a test computes. */
export const QUICKNET = {
  chain: '52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971',
  publicKey:
    '83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a',
  genesisMs: 1_692_803_367_000,
  periodMs: 3000,
} as const

const G1_BYTES = 48
/** The domain of RFC 9380 that the scheme hashes to the curve with. */
const DOMAIN = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_'

/** When a round of quicknet is published, milliseconds since 1970. */
export function drandTime(round: number): number {
  return QUICKNET.genesisMs + (round - 1) * QUICKNET.periodMs
}

/** The first round of quicknet that is published after a moment (milliseconds since 1970), never at it. */
export function drandRoundAfter(ms: number): number {
  return Math.max(1, Math.floor((ms - QUICKNET.genesisMs) / QUICKNET.periodMs) + 2)
}

/**
 * The secret of a window, 32 bytes: SHA-256 applied (windows − 1 − window) times to the round's own secret. SHA-256 of it
 * is the secret of the window before, and for window 0 the hash that the first rules publish. A lottery has one window.
 */
export function windowSecret(secret: Uint8Array, window: number, windows: number): Buffer {
  if (!(window >= 0 && window < windows)) throw new RangeError(`there is no window ${window} of ${windows}`)
  let link: Buffer = Buffer.from(secret)
  for (let step = windows - 1; step > window; step--) link = sha256(link)
  return link
}

const LINKS_APART = 100

/**
 * The same secrets, for whoever asks for many: every hundredth link is kept, so that only the first one asked for costs all the
 * hashes (10,000 windows: 10 ms).
 */
export class WindowSecrets {
  readonly #windows: number
  /** The secrets of the windows (windows − 1), (windows − 1 − 100), … as far as they were needed. */
  readonly #links: Buffer[]

  constructor(secret: Uint8Array, windows: number) {
    this.#windows = windows
    this.#links = [Buffer.from(secret)]
  }

  of(window: number): Buffer {
    const steps = this.#windows - 1 - window
    const from = Math.max(0, Math.floor(steps / LINKS_APART))
    while (this.#links.length <= from) this.#links.push(windowSecret(this.#links.at(-1) as Buffer, 0, LINKS_APART + 1))
    return windowSecret(this.#links[from] as Buffer, window, this.#windows - from * LINKS_APART)
  }
}

/** T1 published seed, T2 operator's commitment, T3 public beacon fixed before opening, list committed before it. */
export type Trust = 'T1' | 'T2' | 'T3'

const schema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('commit'), secret: hex(HASH_BYTES) }),
    z.strictObject({ kind: z.literal('drand'), round: z.int().min(1), signature: hex(G1_BYTES) }),
  ])
  .readonly()

/** beacon.json: {"kind":"commit","secret"} or {"kind":"drand","round","signature"}, in hexadecimal. */
export type Beacon = z.infer<typeof schema>

/** Reads beacon.json. Throws BundleError. */
export function parseBeacon(bytes: Uint8Array): Beacon {
  return parseJson('beacon.json', bytes, schema)
}

/** The bytes of beacon.json. */
export function writeBeacon(beacon: Beacon): Buffer {
  return Buffer.from(
    JSON.stringify(
      beacon.kind === 'commit'
        ? { kind: beacon.kind, secret: beacon.secret }
        : { kind: beacon.kind, round: beacon.round, signature: beacon.signature },
    ),
  )
}

/** What a beacon gives the seed, and the trust it earns. */
export interface BeaconProof {
  readonly bytes: Buffer
  readonly trust: Trust
}

function isDrandSignature(round: number, signature: Uint8Array): boolean {
  const { shortSignatures: bls } = bls12_381
  try {
    return bls.verify(signature, bls.hash(sha256(u64be(round)), DOMAIN), Buffer.from(QUICKNET.publicKey, 'hex'))
  } catch {
    // Bytes that are no point of the curve's group are no signature.
    return false
  }
}

/**
 * Checks a revealed beacon against the one that the rules promise; `committedAt` is RFC 3339. 30 ms for drand.
 * Throws BundleError that says what does not fit.
 */
export function verifyBeacon(promised: RulesBeacon, beacon: Beacon, committedAt: string): BeaconProof {
  const wrong = (detail: string) => new BundleError('beacon.json', detail)
  if (promised.kind === 'commit' && beacon.kind === 'commit') {
    const bytes = Buffer.from(beacon.secret, 'hex')
    const found = sha256(bytes).toString('hex')
    if (found !== promised.hash) throw wrong(`the secret's SHA-256 is ${found}, and the rules promise ${promised.hash}`)
    return { bytes, trust: 'T2' }
  }
  if (promised.kind === 'drand' && beacon.kind === 'drand') {
    if (promised.chain !== QUICKNET.chain)
      throw wrong(`the chain ${promised.chain} is not known; quicknet's is ${QUICKNET.chain}`)
    if (beacon.round !== promised.round)
      throw wrong(`is of round ${beacon.round}, and the rules promise ${promised.round}`)
    const bytes = Buffer.from(beacon.signature, 'hex')
    if (!isDrandSignature(beacon.round, bytes)) throw wrong(`the signature is not quicknet's for round ${beacon.round}`)
    return { bytes, trust: Date.parse(committedAt) < drandTime(beacon.round) ? 'T3' : 'T1' }
  }
  throw wrong(`is of kind ${beacon.kind}, and the rules promise ${promised.kind}`)
}

/** What a trust level means, for people. */
export const TRUST_WORDS: Readonly<Record<Trust, string>> = {
  T1: 'T1, published seed: everybody can repeat the draw; that the seed was not picked has to be believed',
  T2: "T2, operator's commitment: the seed was fixed before the entries; that the operator showed it to nobody has to be believed",
  T3: 'T3, public beacon: fixed before opening, and the list was committed before the beacon existed',
}
