/**
 * The commitment to a list: signed and published before the beacon exists, and final from then on.
 *
 * `commit.bytes` holds the JSON that is signed, byte for byte; `commit.json` has the same bytes as its field `commit`,
 * with the signature and the public key in hexadecimal. So a reader may take either file, and no rule about how JSON
 * is to be written down is needed. There is no field for a second draw of the same window.
 * Rejected: signing a canonical form (RFC 8785), which each outsider would have to implement before they can verify.
 */
import { z } from 'zod'
import { BundleError, hex, parseJson } from './json-file.ts'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, type SigningKey, verifySignature } from './signing-key.ts'
import { changeSchema } from './times.ts'

const commitSchema = z
  .strictObject({
    rules_hash: hex(32),
    window: z.int().min(0).optional(),
    n: z.int().min(0),
    root: hex(32),
    committed_at: z.iso.datetime({ message: 'must be RFC 3339 in UTC' }),
    changes: z.array(changeSchema).readonly().optional(),
  })
  .readonly()

const fileSchema = z
  .strictObject({ commit: commitSchema, signature: hex(SIGNATURE_BYTES), public_key: hex(PUBLIC_KEY_BYTES) })
  .readonly()

/**
 * What is promised of a list: which rules, which window, how many entries, their root (hexadecimal), when, and what changed
 * in its window and when (times.ts); a commitment under rules from before may_end_early says nothing of that.
 */
export type Commit = z.infer<typeof commitSchema>
/** commit.json, read. */
export type CommitFile = z.infer<typeof fileSchema>

/** The two files of a commitment. */
export interface CommitBytes {
  readonly 'commit.bytes': Buffer
  readonly 'commit.json': Buffer
}

/** Signs a commitment. The same commitment and key give the same bytes. */
export function writeCommit(commit: Commit, key: SigningKey): CommitBytes {
  const { rules_hash, window, n, root, committed_at, changes } = commit
  const rows = changes?.map(({ at, change }) => ({ at, change }))
  const bytes = Buffer.from(JSON.stringify({ rules_hash, window, n, root, committed_at, changes: rows }))
  const signature = key.sign(bytes).toString('hex')
  const file = `{"commit":${bytes},"signature":"${signature}","public_key":"${key.publicKey}"}`
  return { 'commit.bytes': bytes, 'commit.json': Buffer.from(file) }
}

/** Reads commit.json; nothing is proved yet. Throws BundleError. */
export function parseCommit(json: Uint8Array): CommitFile {
  return parseJson('commit.json', json, fileSchema)
}

/** Checks that commit.bytes is signed and says what commit.json says. Throws BundleError. */
export function verifyCommit({ commit, signature, public_key }: CommitFile, bytes: Uint8Array): void {
  const signed = parseJson('commit.bytes', bytes, commitSchema)
  const fields = Object.keys({ ...signed, ...commit }) as (keyof Commit)[]
  const said = (of: Commit, field: keyof Commit) => JSON.stringify(of[field])
  const other = fields.find(field => said(signed, field) !== said(commit, field))
  if (other !== undefined)
    throw new BundleError(
      'commit.json',
      `${other} is ${said(commit, other)}, and the signed commit.bytes has ${said(signed, other)}`,
    )
  if (!verifySignature(bytes, Buffer.from(signature, 'hex'), public_key))
    throw new BundleError('commit.json', `the signature over commit.bytes is not that of public_key ${public_key}`)
}
