/**
 * I6: the stock that viewers see never runs backwards.
 *
 * One viewer's frames are held against each other: an epoch that was left does not come back, a version of the same
 * epoch does not fall, and while versions rise the granted count does not fall and what remains rises only when the
 * total rose with it; the total is one that was ordered. All viewers' frames are held against each other too: a (epoch, version) names one state, so
 * two frames with the same name show the same numbers, whichever worker sent them.
 *
 * Skipped versions are right: frames are coalesced, and absolute. Nothing here compares a frame with the clock: how
 * late the stock arrives is a measurement, not an invariant.
 */
import { type Evidence, type Run, tellTime } from './evidence.ts'
import type { Check, Finding } from './finding.ts'

function tellFrame({ run, start }: Evidence, i: number): string {
  const { at } = run.frames
  const numbers = `total ${at.total[i]}, granted ${at.granted[i]}, remaining ${at.remaining[i]}`
  const name = `epoch #${at.epoch[i]!.toString(16)} version ${at.version[i]}`
  return `viewer ${at.viewer[i]} got ${name} (${numbers}) ${tellTime(at.received[i]!, start)}`
}

interface View {
  frame: number
  readonly left: Set<number>
}

/** Calls `compare` with each frame and the one that its viewer saw before, and keeps the epochs he has left. */
function followViewers({ run }: Evidence, compare: (frame: number, before: number, left: Set<number>) => void): void {
  const { at, length } = run.frames
  const views = new Map<number, View>()
  for (let i = 0; i < length; i++) {
    const view = views.get(at.viewer[i]!)
    if (view === undefined) {
      views.set(at.viewer[i]!, { frame: i, left: new Set() })
      continue
    }
    compare(i, view.frame, view.left)
    if (at.epoch[view.frame] !== at.epoch[i]) view.left.add(at.epoch[view.frame]!)
    view.frame = i
  }
}

function lookAtVersions(evidence: Evidence, finding: Finding): void {
  const { epoch, version } = evidence.run.frames.at
  followViewers(evidence, (i, before, left) => {
    finding.checked++
    const back = epoch[i] === epoch[before] ? version[i]! < version[before]! : left.has(epoch[i]!)
    if (back) finding.violate(() => `${tellFrame(evidence, i)}, after ${tellFrame(evidence, before)}`)
  })
}

/** The totals that a round can rightly show: what was ordered, and that with each change behind it. */
function rightTotals({ ordered, changes }: Run): ReadonlySet<number> {
  let total = ordered.reduce((sum, stock) => sum + stock, 0)
  const later = changes.toSorted((a, b) => a.sent - b.sent).map(({ add }) => (total += add))
  return new Set([ordered.reduce((sum, stock) => sum + stock, 0), ...later])
}

function lookAtStock(evidence: Evidence, finding: Finding): void {
  const { at, length } = evidence.run.frames
  const totals = rightTotals(evidence.run)
  for (let i = 0; i < length; i++) {
    finding.checked++
    if (!totals.has(at.total[i]!)) finding.violate(() => `${tellFrame(evidence, i)}: nobody ordered that total`)
    if (at.granted[i]! + at.remaining[i]! !== at.total[i])
      finding.violate(() => `${tellFrame(evidence, i)} does not add up`)
  }
  followViewers(evidence, (i, before) => {
    if (at.epoch[i] !== at.epoch[before] || at.version[i]! < at.version[before]!) return
    const more = at.remaining[i]! - at.remaining[before]!
    const added = at.total[i]! - at.total[before]!
    if (at.granted[i]! >= at.granted[before]! && more <= Math.max(0, added)) return
    finding.violate(() => `${tellFrame(evidence, i)}, after ${tellFrame(evidence, before)}`)
  })
}

function lookAtNames(evidence: Evidence, finding: Finding): void {
  const { at, length } = evidence.run.frames
  const epochs = new Map<number, Map<number, number>>()
  for (let i = 0; i < length; i++) {
    finding.checked++
    const versions = epochs.get(at.epoch[i]!) ?? new Map<number, number>()
    epochs.set(at.epoch[i]!, versions)
    const first = versions.get(at.version[i]!)
    if (first === undefined) versions.set(at.version[i]!, i)
    else if (
      at.total[first] !== at.total[i] ||
      at.granted[first] !== at.granted[i] ||
      at.remaining[first] !== at.remaining[i]
    ) {
      finding.violate(() => `${tellFrame(evidence, i)}, but ${tellFrame(evidence, first)}`)
    }
  }
}

export const FRAME_CHECKS: readonly Check[] = [
  { id: 'I6-version', title: '(epoch, version) never went back for any viewer.', look: lookAtVersions },
  {
    id: 'I6-stock',
    title: 'Stock frames show an ordered total, add up, and remaining rose only with new stock.',
    look: lookAtStock,
  },
  { id: 'I6-name', title: 'One (epoch, version) showed the same stock to everybody.', look: lookAtNames },
]
