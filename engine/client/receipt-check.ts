/**
 * What a receipt proves, computed where it is kept: the engine's signature over it, and whose it is. It stands alone, so that a page
 * loads it when somebody looks (receipt.ts).
 *
 * Hashes and the Ed25519 signature are WebCrypto's, so nothing has to be loaded; a platform that has none of it says so, and
 * nothing passes for right that was not computed. Parts are hashed in a row, so each has to have its own length before: cut at
 * another place the same row would be somebody else's. What a receipt proves of the draw itself needs the published files:
 * `fairgrab draw check`. Rejected: trusting the key in the answer. The keys are the engine's published ones, by their id.
 */
/** As it came with the claim; everything of it may be kept as JSON. */
export interface ReceiptFields {
  readonly tag: string
  readonly pool: number
  readonly round_id: string
  readonly window: number
  readonly at: string
  readonly path: readonly string[]
  readonly root: string
  readonly signature: string
  readonly key_id: string
  readonly nonce?: string
  readonly salt?: string
  readonly user_id?: string
}

export interface PublishedKey {
  readonly key_id: string
  readonly public_key: string
}

/** `unchecked` where this platform cannot compute it, or the receipt does not say enough. */
export interface Verdict {
  readonly verdict: 'holds' | 'fails' | 'unchecked'
  readonly why: string
}

/** What cannot be computed here is neither right nor wrong. */
export class Unchecked extends Error {}

const TEXT = new TextEncoder()
const ED25519 = { name: 'Ed25519' }

export const hexOf = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), byte => byte.toString(16).padStart(2, '0')).join('')

/** So many bytes that a text says in lower case, with nothing between them; any number where none is given. Throws else. */
export function bytesOf(hex: string, length = hex.length / 2): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(String(hex).match(/../g) ?? [], pair => Number.parseInt(pair, 16))
  need(bytes.length === length && hexOf(bytes.buffer) === hex, `Not ${length} bytes in hexadecimal: ${hex}`)
  return bytes
}

/** SHA-256 of the parts in a row, in hexadecimal; a part is bytes or a text. */
export async function sha256(...parts: readonly (string | Uint8Array<ArrayBuffer>)[]): Promise<string> {
  if (!globalThis.crypto?.subtle) throw new Unchecked('this platform has no WebCrypto')
  const whole = await new Blob([...parts]).arrayBuffer()
  return hexOf(await crypto.subtle.digest('SHA-256', whole))
}

export function need(holds: unknown, words: string): asserts holds {
  if (!holds) throw new Error(words)
}

export async function isSigned(
  message: Uint8Array<ArrayBuffer>,
  signature: string,
  publicKey: string,
): Promise<boolean> {
  const key = await crypto.subtle.importKey('raw', bytesOf(publicKey, 32), ED25519, false, ['verify']).catch(() => {
    throw new Unchecked('this platform knows no Ed25519; fairgrab draw check does')
  })
  return crypto.subtle.verify(ED25519, key, bytesOf(signature, 64), message)
}

/** The root that a leaf's records and its path lead to. */
export async function rootOf(records: string, path: readonly string[]): Promise<string> {
  let node = await sha256(Uint8Array.of(0), bytesOf(records))
  for (const step of path) {
    const sibling = step.slice(1)
    need(step === `L${sibling}` || step === `R${sibling}`, 'A step of the path is of no side.')
    node = await sha256(Uint8Array.of(1), bytesOf(step[0] === 'L' ? sibling + node : node + sibling, 64))
  }
  return node
}

/** The 17 bytes of an entry, in hexadecimal. */
export function recordOf({ tag, pool }: Pick<ReceiptFields, 'tag' | 'pool'>): string {
  const bytes = Uint8Array.of(...bytesOf(tag, 16), pool)
  need(bytes[16] === pool, 'The pool is no place in a list.')
  return hexOf(bytes.buffer)
}

/** That the engine signed it, in a sentence. Throws with what is wrong. */
export async function checkSignature(receipt: ReceiptFields, keys: readonly PublishedKey[]): Promise<string> {
  const { round_id: round, window, at, root, path, key_id: id } = receipt
  need((await rootOf(recordOf(receipt), path)) === root, 'Tag, pool and path do not lead to the root of the receipt.')
  const key = keys.find(known => known.key_id === id)?.public_key
  need(key, `The engine publishes no key ${id}.`)
  need((await sha256(bytesOf(key))).slice(0, 16) === id, `The key ${id} is not the one that its id names.`)
  const message = TEXT.encode(`fairgrab/receipt/v1\n${round}\n${window}\n${at}\n${root}\n`)
  need(await isSigned(message, receipt.signature, key), 'The signature is not the engine’s.')
  return `Signed by the engine’s key ${id}.`
}

/** That it is somebody's, in a sentence. Throws with what is wrong. */
export async function checkOwner(receipt: ReceiptFields, userId: string | undefined): Promise<string> {
  const { salt, nonce, tag, round_id: round } = receipt
  if (!salt || !nonce || !userId) throw new Unchecked('the receipt does not say whose it is')
  const person = await sha256(bytesOf(salt, 16), userId)
  const own = await sha256('fairgrab/tag/v1', round, bytesOf(nonce, 16), bytesOf(person))
  need(own.slice(0, 32) === tag, `The tag is not that of ${userId}.`)
  return `The tag is that of ${userId}.`
}

/** What a check came to; what is no finding of a check is thrown on. */
export async function judged(check: Promise<string>): Promise<Verdict> {
  try {
    return { verdict: 'holds', why: await check }
  } catch (cause) {
    return { verdict: cause instanceof Unchecked ? 'unchecked' : 'fails', why: (cause as Error).message }
  }
}
