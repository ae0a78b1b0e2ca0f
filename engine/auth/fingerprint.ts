/**
 * What nodes compare of a secret of 32 bytes without showing it: HMAC-SHA-256 under the secret of a fixed label with the
 * setting's name, of which 8 bytes are kept.
 *
 * Whoever reads Redis sees it, so it must not help to find the secret. A secret is 32 bytes (engine/config.ts refuses
 * anything else, and what the engine makes is random), so there is nothing to try: of 2^256 secrets 2^192 have the same
 * fingerprint. Somebody who made their 32 bytes of a short word has lost already, since one voucher code or one receipt,
 * which strangers hold, lets a guess be tried as well; so a slow hash would cost each start and protect nothing. The
 * label keeps it apart from every other use of the secret (those are HKDF with labels of their own), and the name in it
 * hides that two settings have one value. Two secrets have one fingerprint once in 2^64.
 */
import { createHmac } from 'node:crypto'

const KEPT_BYTES = 8

/** 16 hexadecimal digits. */
export const fingerprintOf = (secret: Buffer, setting: string): string =>
  createHmac('sha256', secret).update(`fairgrab/fingerprint/${setting}/v1`).digest().toString('hex', 0, KEPT_BYTES)
