/**
 * What an engine's journal gives back to a round that a fail-over shortened (scripts/fence-restore.lua): which of its
 * grants, of which epochs it may say that this was all, and the pages in which they go.
 */
import { type FenceStore, type KnownGrant, RESTORE_GRANTS_MAX, type Standing } from '../../store/data/fence-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import type { Journaled } from './journal-record.ts'

export interface GivenBack {
  readonly restored: number
  readonly conflicts: number
  /** Of the round, behind it. */
  readonly version: number
}

const isHeld = (aside: Notice['aside'] = [], sequence: number): boolean =>
  aside.some(({ from, to, released }) => !released && sequence >= from && sequence <= to)

/** What a copy of the round lacks that is to be bound to its server: all behind its last sequence, and what is set aside. */
export const lostOf = (read: Journaled, { sequence, aside }: Notice): readonly KnownGrant[] =>
  chosen(read, grant => grant.sequence > sequence || isHeld(aside, grant.sequence))

/** What a recovery set aside that did not wait for this engine. */
export const lateOf = (read: Journaled, { aside }: Notice): readonly KnownGrant[] =>
  chosen(read, ({ sequence }) => isHeld(aside, sequence))

/** The epochs of which a journal has everything: it was there when they were joined, and nothing of it is damaged. */
const epochsOf = (read: Journaled): readonly string[] => (read.sound ? [...read.joined] : [])

/** Each sequence once, with the earliest moment that is known of it. */
function chosen({ grants }: Journaled, wanted: (grant: KnownGrant) => boolean): readonly KnownGrant[] {
  const bySequence = new Map<string, KnownGrant>()
  for (const grant of grants) {
    if (!wanted(grant)) continue
    const key = `${grant.sequence} ${grant.holder}`
    const known = bySequence.get(key)
    if (!known || grant.at < known.at) bySequence.set(key, grant)
  }
  return [...bySequence.values()]
}

/** Gives grants of a journal back, page by page; with the last page it is said of which epochs this was all. */
export async function giveBack(
  fence: Pick<FenceStore, 'restore'>,
  standing: Standing,
  { grants, read }: { readonly grants: readonly KnownGrant[]; readonly read: Journaled },
): Promise<GivenBack> {
  let [at, restored, conflicts, version] = [0, 0, 0, 0]
  do {
    const page = grants.slice(at, at + RESTORE_GRANTS_MAX)
    at += RESTORE_GRANTS_MAX
    const given = await fence.restore(standing, page, at >= grants.length ? epochsOf(read) : [])
    restored += given.restored
    conflicts += given.conflicts
    version = given.notice.version
  } while (at < grants.length)
  return { restored, conflicts, version }
}
