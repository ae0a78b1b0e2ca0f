/**
 * What an engine derives for drawn and strict rounds from one secret of 32 bytes, so that nothing of it is stored:
 *
 *   a person     SHA-512(round's key || user id):  bucket and digest (8) | nonce (16) | salt (16) | shed (1)
 *   a beacon     the round's own secret, from which the secrets of its windows follow (draw/beacon.ts)
 *   ties         what orders claims of one stamp in a strict round (campaign/claim/arrival-queue.ts)
 *   a key        the seed of the Ed25519 key that signs receipts and commitments
 *
 * The key has one length, and of the 64 bytes half is never shown to anybody, so the hash cannot be extended; an HMAC would
 * say the same at three times the cost. Nonce and salt are those of people whose clients bring none; a repeat gets them again. `shed` is one verdict for all requests of a person: whoever sends fifty is shed fifty times.
 */
import { hash, hkdfSync } from 'node:crypto'

const USER_BYTES = 8
const SEED_BYTES = 16
/** Buckets have 15 bits, the first bit of a person's bytes is not used. */
const BUCKET_MASK = 0x7f

export interface Person {
  /** Bucket u16 and digest: who they are in the round's dedupe, 8 bytes. */
  readonly user: Buffer
  readonly nonce: Buffer
  readonly salt: Buffer
  /** 0..255: who is shed first. */
  readonly shed: number
}

/** What is derived for one round. */
export class RoundSecrets {
  readonly #people: Buffer
  /** The round's own secret, 32 bytes: the top of the chain that its windows' beacons are. */
  readonly beacon: Buffer
  /** Keys the hashes that order claims of one arrival stamp in a strict round; 64 hexadecimal digits. */
  readonly ties: string

  constructor(secret: Buffer, roundId: string) {
    const key = (purpose: string) => Buffer.from(hkdfSync('sha256', secret, roundId, `fairgrab/${purpose}/v1`, 32))
    this.#people = key('people')
    this.beacon = key('beacon')
    this.ties = key('ties').toString('hex')
  }

  personOf(userId: string): Person {
    const bytes = hash('sha512', Buffer.concat([this.#people, Buffer.from(userId)]), 'buffer')
    bytes[0]! &= BUCKET_MASK
    return {
      user: bytes.subarray(0, USER_BYTES),
      nonce: bytes.subarray(USER_BYTES, USER_BYTES + SEED_BYTES),
      salt: bytes.subarray(USER_BYTES + SEED_BYTES, USER_BYTES + 2 * SEED_BYTES),
      shed: bytes[USER_BYTES + 2 * SEED_BYTES] as number,
    }
  }
}

/** The seed of the key that signs receipts and commitments, 32 bytes. */
export const signingSeed = (secret: Buffer): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', 'fairgrab/signing/v1', 32))
