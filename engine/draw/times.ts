/**
 * When a window really took entries, held against its rules: who is let in early, with the door shut behind them, has not
 * won a fair draw, whatever the seed says.
 *
 * The commitment lists the changes of the round that bear on its window, each with its time by Redis's clock and in their
 * order: `create`, `open` (the round, by hand or by the clock), `window` (this window, under these rules), `pause`, `resume`,
 * `close`, and last `draw`, from which nobody enters. Entries were taken from the last of create, open and window to the
 * first of close and draw, but for the pauses. Rules that have `may_end_early` demand this list, so it cannot be left out;
 * rules from before have no such field, and what was not stated is said to be not stated.
 * An opening is never to the millisecond: `lateness` is what is let pass, and scripts open no window later than that.
 * Rejected: begin and end as two numbers, which an engine would have to judge its operator by before it signs.
 */
import { z } from 'zod'

const KINDS = ['create', 'open', 'window', 'pause', 'resume', 'close', 'draw'] as const

export const changeSchema = z
  .strictObject({ at: z.iso.datetime({ message: 'must be RFC 3339 in UTC' }), change: z.enum(KINDS) })
  .readonly()

/** One change; `at` is RFC 3339. */
export type Change = z.infer<typeof changeSchema>
export type ChangeKind = Change['change']

/** The part of the rules that says when entries are taken. */
export interface PromisedTimes {
  readonly window?: number | undefined
  readonly opens_at: string
  readonly closes_at: string
  readonly may_end_early?: boolean | undefined
}

const LATE_MS_MIN = 100
const LATE_MS_MAX = 1000

/** How late a window may open, milliseconds: a quarter of it, between a tenth of a second and a second. */
export function lateness({ opens_at, closes_at }: PromisedTimes): number {
  const length = Date.parse(closes_at) - Date.parse(opens_at)
  return Math.min(LATE_MS_MAX, Math.max(LATE_MS_MIN, length / 4))
}

interface Moment {
  readonly at: number
  readonly change: ChangeKind
}

const OPENINGS: readonly ChangeKind[] = ['create', 'open', 'window']
const ENDINGS: readonly ChangeKind[] = ['close', 'draw']
const isOpening = ({ change }: Moment): boolean => OPENINGS.includes(change)
const words = (ms: number): string => new Date(ms).toISOString()

/** What makes a list of changes none of a window, or undefined. */
function findGap(changes: readonly Moment[], window: number): string | undefined {
  const count = (kind: ChangeKind) => changes.filter(({ change }) => change === kind).length
  const back = changes.findIndex(({ at }, i) => i > 0 && at < (changes[i - 1] as Moment).at)
  if (back > 0) return `change ${back + 1} is before the one that it follows`
  if (changes.at(-1)?.change !== 'draw' || count('draw') !== 1) return 'they do not end with the one draw'
  if (count('window') !== 1) return 'they do not say when this window was opened'
  if (window === 0 && (count('create') !== 1 || count('open') !== 1)) return 'they do not say when the round was opened'
  return undefined
}

/** When entries ended: a pause that nobody ended was the end. */
function endOf(shuts: readonly Moment[]): number {
  const closed = shuts.findIndex(({ change }) => ENDINGS.includes(change))
  const before = shuts[closed - 1]
  return before?.change === 'pause' ? before.at : (shuts[closed] as Moment).at
}

/** The pauses that took something from the time between two moments. */
function pausesIn(shuts: readonly Moment[], from: number, to: number): readonly string[] {
  return shuts.flatMap(({ at, change }, i) => {
    const next = shuts[i + 1]
    if (change !== 'pause' || next?.change !== 'resume') return []
    return Math.max(at, from) < Math.min(next.at, to) ? [`from ${words(at)} to ${words(next.at)}`] : []
  })
}

/** What the times say of a window: the sentences of what broke its rules, and one of what was. */
export interface Judged {
  readonly flaws: readonly string[]
  readonly summary: string
}

/** By how much a list may be committed before its own end, milliseconds: the two clocks of older engines were read apart. */
const APART_MS = 1000

/** Holds the changes of a window, and when its list was committed, against its rules. */
export function judgeTimes(changes: readonly Change[], rules: PromisedTimes, committedAt: string): Judged {
  const moments = changes.map(({ at, change }) => ({ at: Date.parse(at), change }))
  const gap = findGap(moments, rules.window ?? 0)
  if (gap !== undefined) return { flaws: [`the changes are not those of a window: ${gap}`], summary: '' }
  const [opens, closes] = [Date.parse(rules.opens_at), Date.parse(rules.closes_at)]
  const began = Math.max(...moments.filter(isOpening).map(({ at }) => at))
  const shuts = moments.filter(moment => !isOpening(moment))
  const ended = endOf(shuts)
  const isEarly = ended < closes
  const flaws: string[] = []
  const drawn = (moments.at(-1) as Moment).at
  if (Date.parse(committedAt) < drawn - APART_MS)
    flaws.push(`committed at ${committedAt}, before its list was whole at ${words(drawn)}`)
  if (began > opens + lateness(rules))
    flaws.push(`opened late: entries began at ${words(began)}, and the rules say ${rules.opens_at}`)
  if (isEarly && !rules.may_end_early)
    flaws.push(`ended early: entries ended at ${words(ended)}, and the rules say ${rules.closes_at}`)
  for (const pause of pausesIn(shuts, opens, Math.min(closes, ended)))
    flaws.push(`paused inside the window: ${pause}, and the rules say nothing of it`)
  const early = isEarly ? `; it ended early, as the rules said that it may, and not at ${rules.closes_at}` : ''
  return { flaws, summary: `entries from ${words(began)} to ${words(Math.min(ended, closes))}${early}` }
}
