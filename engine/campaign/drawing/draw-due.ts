/**
 * Whether the draw of a window is overdue: its result was due, people entered, and there is none. Who holds back a beacon or
 * stops a draw whose result they do not like, and makes another round, leaves this behind for everybody to see.
 *
 * A result is due when its rules let it be known: when a public beacon is published, else when the window ends or the lottery's
 * hour comes; a minute more is the engine's. A window that is closed and not committed counts, too: whoever has the secret
 * of a `commit` beacon could look before committing. Rejected: a record of each missed draw; what stands in Redis says it.
 */
import { drandTime } from '../../draw/beacon.ts'
import { parseRules, type Rules } from '../../draw/rules.ts'
import type { DrawState } from '../../store/data/draw-store.ts'
import type { Store } from '../../store/store.ts'
import type { Round } from '../round/round.ts'
import type { DrawnAllocation } from '../round/round-config.ts'

/** What an engine takes from the moment that a result is due until it is published, at the most; milliseconds. */
const GRACE_MS = 60_000

/** When the result of a window was promised, milliseconds since 1970. */
function dueAt(allocation: DrawnAllocation, { beacon, closes_at }: Rules): number {
  if (beacon.kind === 'drand') return drandTime(beacon.round)
  return Math.max(Date.parse(closes_at), allocation.mode === 'lottery' ? Date.parse(allocation.draws_at) : 0)
}

/** A window that somebody entered and whose result was not published: it may be open yet. */
const isUndrawn = ({ phase, first, entries }: DrawState): boolean =>
  ['closed', 'committed', 'beacon'].includes(phase) || (phase === 'open' && entries > first)

/** Since when the newest draw of a round is overdue, milliseconds since 1970; undefined while it is not. */
export async function overdueSince(store: Store, { view }: Round, now: number): Promise<number | undefined> {
  const { allocation } = view.config
  if (allocation.mode === 'fcfs' || view.state === 'drawn') return undefined
  const draw = await store.draws.state(view.id)
  if (!draw || !isUndrawn(draw)) return undefined
  const rules = await store.draws.file(view.id, draw.window, 'rules.json')
  const due = rules ? dueAt(allocation, parseRules(rules)) : Number.POSITIVE_INFINITY
  return now > due + GRACE_MS ? due : undefined
}
