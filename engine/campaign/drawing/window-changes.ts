/**
 * The changes of a window for its commitment, from the round's own log: what operators did, which Redis numbered and timed, what
 * the clock did (a round opens and closes by itself at its times), and when the window was opened, which its `draw` says.
 *
 * While a window is open nobody is granted, so its changes stand in the log under one sequence; they end with its draw, after
 * which the log says nothing of it any more. So the list is the same whoever makes it and however often.
 * Rejected: a list that grows in the draw's hash with each change; the log has it already, and nobody can forget to write it.
 */
import { rfc3339 } from '../../base/clock.ts'
import type { Change, ChangeKind } from '../../draw/times.ts'
import type { LoggedChange } from '../../store/data/draw-store.ts'
import type { Notice } from '../../store/data/notice.ts'

interface Row {
  readonly change: ChangeKind
  readonly at: number
}

const OPERATED = ['create', 'open', 'pause', 'resume', 'close'] as const
const isOperated = (kind: string): kind is (typeof OPERATED)[number] => OPERATED.some(known => known === kind)

/** What the log has between the draw of the window before, where it has the same sequence, and this window's. */
function rowsOf(log: readonly LoggedChange[], window: number) {
  const end = log.findIndex(({ kind }) => kind === `draw ${window}`)
  const draw = log[end]
  if (!draw) throw new RangeError(`the log has no draw of window ${window}`)
  const start = log.findLastIndex(({ kind }, i) => i < end && kind.startsWith('draw ')) + 1
  const rows = log.slice(start, end).flatMap(({ kind, at }): Row[] => (isOperated(kind) ? [{ change: kind, at }] : []))
  return { rows, draw }
}

/** What changed in a window until it was drawn. `log` has the round's changes behind the grants before it; its times are those that came to be. */
export function windowChanges(
  log: readonly LoggedChange[],
  window: number,
  { opensAt, closesAt }: Pick<Notice, 'opensAt' | 'closesAt'>,
): readonly Change[] {
  const { rows, draw } = rowsOf(log, window)
  const lacks = (kind: ChangeKind) => !rows.some(({ change }) => change === kind)
  const created = rows.find(({ change }) => change === 'create')
  const byClock: Row[] = []
  if (created && lacks('open')) byClock.push({ change: 'open', at: Math.max(opensAt, created.at) })
  if (lacks('close') && closesAt > 0 && closesAt <= draw.at) byClock.push({ change: 'close', at: closesAt })
  const timed = [...rows, { change: 'window' as const, at: draw.amount }, ...byClock]
  const inOrder = timed.sort((a, b) => a.at - b.at)
  return [...inOrder, { change: 'draw' as const, at: draw.at }].map(({ change, at }) => ({ at: rfc3339(at), change }))
}
