/**
 * Where a bundle comes from: a folder, or a running engine by its public routes.
 *
 *   GET /v1/rounds/{id}/draw                 what there is: state, trust, files with their SHA-256, cutoffs
 *   GET /v1/rounds/{id}/draw/files/{name}    the bytes of one
 *   GET /v1/rounds/{id}/draw/proof?tag=HEX   one entry's leaf and path
 *   GET /v1/rounds/{id}/draw/key             the public keys that sign receipts and commitments
 *
 * each with ?window=N; without it the engine shows the newest window, so what follows a listing always names the
 * listing's. What is fetched is held against the listing's hashes, so a broken
 * transfer is not taken for a forged draw. Rejected: writing into a folder that holds another draw.
 */
import type { Dirent } from 'node:fs'
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { sha256 } from '../draw/digest.ts'
import { checkShape } from '../draw/json-file.ts'
import { BUNDLE_FILES, type BundleFiles } from '../draw/verify/bundle.ts'
import { type InclusionProof, readProof } from '../draw/verify/receipt-check.ts'
import { readNamed, readNamedFolder, writeNamed } from './command.ts'
import { askBytes, askJson, EngineRefusal, type Target } from './engine-call.ts'

const listingSchema = z.object({
  round_id: z.string(),
  window: z.int().min(0).default(0),
  state: z.string(),
  files: z.array(z.object({ name: z.string(), bytes: z.int(), sha256: z.string() })),
  cutoffs: z.record(z.string(), z.string().nullable()).optional(),
})
const keysSchema = z.object({ keys: z.array(z.object({ key_id: z.string(), public_key: z.string() })) })

/** What an engine says that there is of a draw. */
export type Listing = z.infer<typeof listingSchema>

/** One draw of a running engine; without a window its newest. */
export interface RemoteDraw {
  readonly target: Target
  readonly roundId: string
  readonly window?: number
}

function pathOf({ roundId, window }: RemoteDraw, rest: string, query: Readonly<Record<string, string>> = {}): string {
  const asked = new URLSearchParams({
    ...query,
    ...(window === undefined ? {} : { window: String(window) }),
  }).toString()
  return `/v1/rounds/${encodeURIComponent(roundId)}/draw${rest}${asked === '' ? '' : `?${asked}`}`
}

export async function getListing(draw: RemoteDraw): Promise<Listing> {
  return checkShape('the listing', await askJson<unknown>(draw.target, pathOf(draw, '')), listingSchema)
}

/** Gets some of the files of a listing. Throws when the draw has none yet, or bytes are not those of the listing. */
export async function getFiles(draw: RemoteDraw, listing: Listing, names: readonly string[]): Promise<BundleFiles> {
  if (!listing.files.some(({ name }) => name === 'result.json'))
    throw new Error(`${draw.roundId} is ${listing.state} and has no result yet; ask again when it is drawn`)
  const files = new Map<string, Buffer>()
  for (const { name, sha256: promised } of listing.files.filter(file => names.includes(file.name))) {
    const bytes = await askBytes(draw.target, pathOf(draw, `/files/${name}`))
    const found = sha256(bytes).toString('hex')
    if (found !== promised)
      throw new Error(`${name} arrived with SHA-256 ${found}, and the listing has ${promised}; get it again`)
    files.set(name, bytes)
  }
  return files
}

/** The proof of an entry, or undefined when the engine says that the list has none of this tag. */
export async function getProof(draw: RemoteDraw, tag: string): Promise<InclusionProof | undefined> {
  try {
    return readProof(await askJson<unknown>(draw.target, pathOf(draw, '/proof', { tag })))
  } catch (cause) {
    if (cause instanceof EngineRefusal && cause.code === 'not_found') return undefined
    throw cause
  }
}

/** The public keys that the engine publishes, in hexadecimal. */
export async function getKeys(draw: RemoteDraw): Promise<readonly string[]> {
  const { keys } = checkShape('the keys', await askJson<unknown>(draw.target, pathOf(draw, '/key')), keysSchema)
  return keys.map(key => key.public_key)
}

/** Reads a folder's files, hidden ones left out; what else is in it has no bytes, and a name that no bundle has. */
export async function readBundle(folder: string): Promise<BundleFiles> {
  const help = `make one with: fairgrab draw export ROUND ${folder}`
  const rows = await readNamedFolder({ path: folder }, readdir(folder, { withFileTypes: true }), help)
  const shown = rows.filter(({ name }) => !name.startsWith('.'))
  const read = async (row: Dirent) =>
    row.isFile() ? ([row.name, await readIn(folder, row.name)] as const) : ([`${row.name}/`, Buffer.alloc(0)] as const)
  return new Map(await Promise.all(shown.map(read)))
}

function readIn(folder: string, name: string): Promise<Buffer> {
  const path = join(folder, name)
  return readNamed({ path }, readFile(path), 'it is a file of the draw')
}

/** Writes a bundle into a folder that is empty, new, or has the same bundle already. */
export async function saveBundle(folder: string, files: BundleFiles): Promise<void> {
  await writeNamed({ path: folder }, mkdir(folder, { recursive: true }))
  for (const name of BUNDLE_FILES.filter(file => file !== 'promotions.log')) {
    const path = join(folder, name)
    const isThere = await access(path).then(
      () => true,
      () => false,
    )
    if (isThere && !files.get(name)?.equals(await readIn(folder, name)))
      throw new Error(`${path} is of another draw, or a second result for this one; keep both and compare them`)
  }
  for (const [name, bytes] of files) {
    const path = join(folder, name)
    await writeNamed({ path }, writeFile(path, bytes))
  }
}
