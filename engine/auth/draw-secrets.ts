/**
 * What an engine derives for drawn rounds from one secret of 32 bytes, so that nothing of it is stored:
 *
 *   a person     HMAC-SHA512(round's key, user id):  bucket and digest (8) | nonce (16) | salt (16) | shed (1)
 *   a beacon     secret of window w = SHA-256 applied (WINDOWS_MAX − w) times to the round's top
 *   a key        the seed of the Ed25519 key that signs receipts and commitments
 *
 * Nonce and salt are those of people whose clients bring none; a repeat is told them again. The secrets of a round's
 * windows are a hash chain, so the hash in the first window's rules fixes them all, and what a draw reveals tells nothing
 * of the next one. `shed` is one verdict for all requests of a person: whoever sends fifty is shed fifty times.
 */
import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { WINDOWS_MAX } from '../base/limits.ts'

const USER_BYTES = 8
const SEED_BYTES = 16
/** Buckets have 15 bits, the first bit of a person's bytes is not used. */
const BUCKET_MASK = 0x7f

export interface Person {
  /** Bucket u16 and digest: who he is in the round's dedupe, 8 bytes. */
  readonly user: Buffer
  readonly nonce: Buffer
  readonly salt: Buffer
  /** 0..255: who is shed first. */
  readonly shed: number
}

/** What is derived for one round. */
export class RoundSecrets {
  readonly #people: Buffer
  readonly #top: Buffer

  constructor(secret: Buffer, roundId: string) {
    const key = (purpose: string) => Buffer.from(hkdfSync('sha256', secret, roundId, `fairgrab/${purpose}/v1`, 32))
    this.#people = key('people')
    this.#top = key('beacon')
  }

  personOf(userId: string): Person {
    const bytes = createHmac('sha512', this.#people).update(userId).digest()
    bytes[0]! &= BUCKET_MASK
    return {
      user: bytes.subarray(0, USER_BYTES),
      nonce: bytes.subarray(USER_BYTES, USER_BYTES + SEED_BYTES),
      salt: bytes.subarray(USER_BYTES + SEED_BYTES, USER_BYTES + 2 * SEED_BYTES),
      shed: bytes[USER_BYTES + 2 * SEED_BYTES] as number,
    }
  }

  /** The operator's secret of a window, 32 bytes; its SHA-256 stands in the window's rules. */
  beaconSecret(window: number): Buffer {
    let secret = this.#top
    for (let i = window; i < WINDOWS_MAX; i++) secret = createHash('sha256').update(secret).digest()
    return secret
  }
}

/** The seed of the key that signs receipts and commitments, 32 bytes. */
export const signingSeed = (secret: Buffer): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', 'fairgrab/signing/v1', 32))
