/**
 * The grants of a drawn round, whose export names tags and not users.
 *
 * A tag is a person's by his receipt, of which the record has the first four bytes, and where a transport shows no
 * receipts (frames of many claims) by the sequence that he was told after the draw. A tag that belongs to nobody stays
 * a stranger, for the audit to find.
 */

import { tagHead } from './draw-checks.ts'
import { ENTERED, GRANT, type History, MEANINGS } from './history.ts'
import { type Ledger, type LedgerContext, readLedger, STRANGER } from './ledger.ts'

export interface DrawnGrants {
  readonly ledger: Ledger
  /** The tags that hold the grants, by sequence. */
  readonly holders: readonly string[]
}

/** Reads an NDJSON export; `told` is what people were told before and after the draw. */
export async function drawnGrants(
  chunks: AsyncIterable<Uint8Array>,
  told: readonly History[],
  context: LedgerContext,
): Promise<DrawnGrants> {
  const byHead = new Map<number, number>()
  const bySequence = new Map<number, number>()
  for (const { at, length } of told) {
    for (let row = 0; row < length; row++) {
      if (at.outcome[row] === ENTERED && at.vouchers[row] !== 0) byHead.set(at.vouchers[row]!, at.user[row]!)
      if (MEANINGS[at.outcome[row]!] === GRANT) bySequence.set(at.sequence[row]!, at.user[row]!)
    }
  }
  const holders: string[] = []
  const users = {
    ...context.users,
    indexOf: (id: string) => byHead.get(tagHead(holders[holders.push(id.replace('tag:', '')) - 1]!)) ?? -1,
  }
  const ledger = await readLedger(chunks, { ...context, users })
  for (let row = 0; row < ledger.length; row++) {
    const user = bySequence.get(ledger.at.sequence[row]!)
    if (ledger.at.user[row] !== STRANGER || user === undefined) continue
    ledger.at.user[row] = user
    ledger.strangers.delete(row)
  }
  return { ledger, holders }
}
