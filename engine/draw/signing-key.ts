/**
 * The engine's Ed25519 key: it signs batches of receipts and the commitment to a list.
 *
 * Keys travel as their 32 raw bytes in hexadecimal, which every library reads; node:crypto wants them in DER, whose
 * fixed heads stand below (RFC 8410). The private key is its 32-byte seed, so an engine may keep it as a secret or
 * derive it from one. `key_id` is the first 8 bytes of SHA-256 of the public key: enough to tell keys apart, and nobody
 * chooses it. Rejected: PEM in the files (four lines where one word does), a key a round (nobody could know it before).
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { isHex, sha256 } from './digest.ts'

const SEED_BYTES = 32
export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
export const KEY_ID_BYTES = 8

const PRIVATE_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC_HEAD = Buffer.from('302a300506032b6570032100', 'hex')

/** A key that signs; `publicKey` and `keyId` are hexadecimal. */
export interface SigningKey {
  readonly keyId: string
  readonly publicKey: string
  /** The signature of a message: 64 bytes. */
  sign(message: Uint8Array): Buffer
}

/** The id of a public key given as hexadecimal. */
export function keyIdOf(publicKey: string): string {
  return sha256(Buffer.from(publicKey, 'hex')).toString('hex', 0, KEY_ID_BYTES)
}

/** The key of a 32-byte seed. */
export function signingKeyOf(seed: Uint8Array): SigningKey {
  if (seed.length !== SEED_BYTES)
    throw new RangeError(`a signing key's seed has ${SEED_BYTES} bytes, not ${seed.length}`)
  const key = createPrivateKey({ key: Buffer.concat([PRIVATE_HEAD, seed]), format: 'der', type: 'pkcs8' })
  const der = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const publicKey = der.toString('hex', PUBLIC_HEAD.length)
  return { keyId: keyIdOf(publicKey), publicKey, sign: message => sign(null, message, key) }
}

/** Whether a signature (64 bytes) of a message was made by the public key (hexadecimal). */
export function verifySignature(message: Uint8Array, signature: Uint8Array, publicKey: string): boolean {
  if (!isHex(publicKey, PUBLIC_KEY_BYTES) || signature.length !== SIGNATURE_BYTES) return false
  const der = Buffer.concat([PUBLIC_HEAD, Buffer.from(publicKey, 'hex')])
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)
}
