/**
 * What an operator sees of packs that a fail-over quarantined: how many, which engines they wait for, and the two ways out.
 *
 * It stands among the warnings of a node, so `/readyz?verbose`, the desk and the log have it within a check's time. A
 * warning and no problem: grants go on wherever something is left. Who is waited for is read from the round's state, and
 * only while something is quarantined. Rejected: the names in every notice, which all claims would carry.
 */
import type { Finding } from '../../base/finding.ts'
import type { FenceStore } from '../../store/data/fence-store.ts'
import { quarantinedOf } from '../../store/data/notice.ts'
import type { Round } from './round.ts'

function quarantineFinding(round: Round, owed: readonly string[]): Finding {
  const { id, notice, state } = round.view
  const whose = owed.length === 0 ? 'an engine' : `${owed.length > 1 ? 'engines' : 'engine'} ${owed.join(', ')}`
  const also = state === 'fenced' ? '; nothing else is left, so claims are refused as fenced' : ''
  return {
    what: `round ${id}: ${quarantinedOf(notice)} packs are quarantined until ${whose} reports what it granted${also}`,
    mend: `start that node again with its FAIRGRAB_DATA_DIR, or when it is lost for good: fairgrab round release ${id}`,
  }
}

/** A warning for each round with something in quarantine. */
export function quarantines(rounds: Iterable<Round>, fence: Pick<FenceStore, 'owed'>): Promise<readonly Finding[]> {
  const held = [...rounds].filter(({ view }) => quarantinedOf(view.notice) > 0)
  return Promise.all(held.map(async round => quarantineFinding(round, await fence.owed(round.view.id).catch(() => []))))
}
