/**
 * The record of a run of claims: what was ordered, what clients were told, what the engine exported. The audit needs
 * nothing else, so it says the same today and in a year.
 *
 * The grants are kept as the engine exported them, byte for byte; the clients' history and the viewers' frames as the
 * audit's columns. A drawn run has more: what everybody was told after the draw, the receipts that were shown before
 * it, and the published files of each window.
 */

import type { Code } from '../../engine/base/codes.ts'
import { BUNDLE_FILES, type Bundle } from '../audit/draw-bundle.ts'
import type { ShownReceipt } from '../audit/draw-checks.ts'
import { drawnGrants } from '../audit/drawn-grants.ts'
import { Frames } from '../audit/frames.ts'
import { History } from '../audit/history.ts'
import { type Ledger, type RoundState, readLedger } from '../audit/ledger.ts'
import { benchUsers } from '../load/user-id.ts'
import { type Keeper, keptBytes, keptChunks, keptJson } from '../measure/kept-files.ts'

export interface ClaimsAbout {
  readonly kind: 'claims'
  readonly people: number
  /** The people with the highest indexes. */
  readonly bots: number
  /** By pool: the stock that the bench ordered. */
  readonly ordered: readonly number[]
  /** Outcomes besides grants that this run can rightly produce. */
  readonly expected: readonly Code[]
  /** The round as the engine showed it at the end. */
  readonly round: RoundState
  /** Seconds from the close to the last grant; undefined for first come, first served. */
  readonly drawnInS: number | undefined
}

export interface DrawRecord {
  readonly after: History
  readonly receipts: readonly ShownReceipt[]
  readonly bundles: readonly Bundle[]
  /** The tags that hold the grants, by sequence. */
  readonly holders: readonly string[]
}

export interface ClaimsRecord {
  readonly about: ClaimsAbout
  readonly history: History
  readonly frames: Frames
  readonly ledger: Ledger
  readonly draw: DrawRecord | undefined
}

const GRANTS = 'grants.ndjson'

/** Reads the engine's export of the grants into the audit's columns, and keeps it. */
export function keepGrants(
  keeper: Keeper,
  chunks: AsyncIterable<Uint8Array>,
  { people, round }: Pick<ClaimsAbout, 'people' | 'round'>,
): Promise<Ledger> {
  return keeper.keepWhile(GRANTS, chunks, bytes => readLedger(bytes, contextOf(people, round)))
}

/** The same for a drawn round, whose export names tags. */
export function keepDrawnGrants(
  keeper: Keeper,
  chunks: AsyncIterable<Uint8Array>,
  { people, round, told }: Pick<ClaimsAbout, 'people' | 'round'> & { readonly told: readonly History[] },
): ReturnType<typeof drawnGrants> {
  return keeper.keepWhile(GRANTS, chunks, bytes => drawnGrants(bytes, told, contextOf(people, round)))
}

const contextOf = (people: number, round: RoundState) => ({
  users: benchUsers(people),
  pools: round.pools.map(pool => pool.name),
  capacity: round.stock.granted + 1,
})

/** Keeps all but the grants, which were kept as they came. */
export async function keepClaims(keeper: Keeper, { about, history, frames, draw }: ClaimsRecord): Promise<void> {
  if (keeper.folder === undefined) return
  await keeper.keep('about.json', JSON.stringify(about))
  await keeper.keep('history.bin', history.toBuffer())
  await keeper.keep('frames.bin', frames.toBuffer())
  if (draw === undefined) return
  await keeper.keep('after.bin', draw.after.toBuffer())
  await keeper.keep('receipts.json', JSON.stringify(draw.receipts))
  const files = draw.bundles.map(bundle => BUNDLE_FILES.map(name => [name, bundle[name].toString('base64')]))
  await keeper.keep('draws.json', JSON.stringify(files))
}

async function keptColumns<T extends History | Frames>(folder: string, name: string, columns: T): Promise<T> {
  const bytes = await keptBytes(folder, name)
  columns.append(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer)
  return columns
}

export async function readClaims(folder: string): Promise<ClaimsRecord> {
  const about = await keptJson<ClaimsAbout>(folder, 'about.json')
  const history = await keptColumns(folder, 'history.bin', new History(1))
  const frames = await keptColumns(folder, 'frames.bin', new Frames(1))
  const context = contextOf(about.people, about.round)
  const grants = keptChunks(folder, GRANTS)
  if (about.drawnInS === undefined)
    return { about, history, frames, ledger: await readLedger(grants, context), draw: undefined }
  const after = await keptColumns(folder, 'after.bin', new History(1))
  const receipts = await keptJson<ShownReceipt[]>(folder, 'receipts.json')
  const files = await keptJson<[string, string][][]>(folder, 'draws.json')
  const bundles = files.map(
    window => Object.fromEntries(window.map(([name, bytes]) => [name, Buffer.from(bytes, 'base64')])) as Bundle,
  )
  const { ledger, holders } = await drawnGrants(grants, [history, after], context)
  return { about, history, frames, ledger, draw: { after, receipts, bundles, holders } }
}
