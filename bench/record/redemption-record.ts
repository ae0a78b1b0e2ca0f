/**
 * The record of a run of redemptions: what the tills were told, the ledger as the engine exported it, its balances.
 *
 * The entries are kept byte for byte, because each one is chained to the words of the one before.
 */

import { type RedemptionStory, readEntries, type ToldByTills } from '../audit/redemption-audit.ts'
import { type Keeper, keptChunks, keptJson } from '../measure/kept-files.ts'
import type { LedgerRow } from '../stage/operator.ts'

const ENTRIES = 'entries.ndjson'

interface RedemptionsAbout {
  readonly kind: 'redemptions'
  readonly balances: Readonly<Record<string, number>>
}

/** Reads the export of the ledger and keeps it. */
export const keepEntries = (keeper: Keeper, chunks: AsyncIterable<Uint8Array>): Promise<LedgerRow[]> =>
  keeper.keepWhile(ENTRIES, chunks, readEntries)

/** Keeps all but the entries; `told` is the tills' own JSON. */
export async function keepRedemptions(
  keeper: Keeper,
  { told, balances }: { readonly told: string; readonly balances: RedemptionsAbout['balances'] },
): Promise<void> {
  const about: RedemptionsAbout = { kind: 'redemptions', balances }
  await keeper.keep('about.json', JSON.stringify(about))
  await keeper.keep('told.json', told)
}

export async function readRedemptions(folder: string): Promise<RedemptionStory> {
  const { balances } = await keptJson<RedemptionsAbout>(folder, 'about.json')
  const told = await keptJson<ToldByTills>(folder, 'told.json')
  return { ...told, entries: await readEntries(keptChunks(folder, ENTRIES)), balances }
}
