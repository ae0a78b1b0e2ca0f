/**
 * The frauds and faults of a draw that its audit must find, as a table: what was done, and the check that has to say so.
 *
 * Where an operator could do it with everything else in order he does: the list is sealed and signed again, the winners
 * are drawn from what was changed, and only one contradiction is left. `before` changes a window before it is sealed,
 * `after` the published bytes or the grants.
 *
 * Rejected: flipping random bytes. Any hash finds those.
 */

import { RECORD_BYTES, TAG_BYTES } from '../../bench/audit/draw.ts'
import type { PublishedBeacon, PublishedResult, PublishedRules } from '../../bench/audit/draw-bundle.ts'
import { ENTERED } from '../../bench/audit/history.ts'
import { type Changes, type Draft, type DrawnRun, type Published, randomBytes, tell } from './drawn-run.ts'
import { pick } from './planting.ts'
import { below } from './synthetic.ts'

export interface DrawPlant {
  readonly fault: string
  readonly caughtBy: string
  readonly before?: (run: DrawnRun, draft: Draft) => void
  readonly after?: (run: DrawnRun, published: Published) => void
}

const entriesOf = ({ entries }: Draft): number => entries.length / RECORD_BYTES

/** Takes an entry out of a list before it is sealed. */
function removeEntry(draft: Draft, place: number): void {
  const at = place * RECORD_BYTES
  draft.entries = Buffer.concat([draft.entries.subarray(0, at), draft.entries.subarray(at + RECORD_BYTES)])
  draft.owners.splice(place, 1)
}

function addEntry(draft: Draft, record: Uint8Array, owner: number): void {
  draft.entries = Buffer.concat([draft.entries, record])
  draft.owners.push(owner)
}

/** Rewrites a JSON file of the first window. */
function rewrite<T>(
  { bundles }: Published,
  file: 'rules.json' | 'commit.json' | 'result.json',
  change: (value: T) => unknown,
): void {
  const value = JSON.parse(bundles[0]![file].toString('utf8')) as T
  bundles[0]![file] = Buffer.from(JSON.stringify(change(value)))
}

/** A place of the list whose owner was told his receipt. */
function told({ dice, history }: DrawnRun, draft: Draft): number {
  const { outcome, user } = history.at
  const knows = new Set<number>()
  for (let row = 0; row < history.length; row++) if (outcome[row] === ENTERED) knows.add(user[row]!)
  return pick(dice, entriesOf(draft), place => knows.has(draft.owners[place]!))
}

const reordered = (change: (winners: string[], result: PublishedResult) => void) => (result: PublishedResult) => {
  const winners = [...result.winners]
  change(winners, result)
  return { ...result, winners }
}

const change = (time: string, kind: string): Changes[number] => ({ at: `2026-01-01T${time}Z`, change: kind })
const setTimes = (update: (changes: Changes) => Changes | undefined) => (_: DrawnRun, draft: Draft) => {
  draft.changes = update(draft.changes ?? [])
}

/** What an operator does to the time of a window; the commitment says it, and everything else is in order. */
const TIMED: readonly DrawPlant[] = [
  {
    fault: 'the window was closed early',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.map(row => (row.change === 'close' ? change('10:00:02.999', 'close') : row))),
  },
  {
    fault: 'the window was paused until its end',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.toSpliced(3, 0, change('10:00:01.000', 'pause'))),
  },
  {
    fault: 'the window was paused for a moment',
    caughtBy: 'D-times',
    before: setTimes(changes =>
      changes.toSpliced(3, 0, change('10:00:01.000', 'pause'), change('10:00:01.001', 'resume')),
    ),
  },
  {
    fault: 'the window was opened late',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.map(row => (row.change === 'open' ? change('10:00:00.751', 'open') : row))),
  },
  {
    fault: 'the times of the window were left out',
    caughtBy: 'D-times',
    before: setTimes(() => undefined),
  },
  {
    fault: 'the end of the changes was left out',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.slice(0, -1)),
  },
  {
    fault: 'the list was committed before it was whole',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.map(row => (row.change === 'draw' ? change('11:00:00.000', 'draw') : row))),
  },
  {
    fault: 'the opening was left out',
    caughtBy: 'D-times',
    before: setTimes(changes => changes.filter(row => row.change !== 'open')),
  },
]

const SEALED: readonly DrawPlant[] = [
  {
    fault: 'an entry was left out before the list was sealed',
    caughtBy: 'D-included',
    before: (run, draft) => removeEntry(draft, told(run, draft)),
  },
  {
    fault: 'somebody stands in the list twice',
    caughtBy: 'D-list',
    before: ({ dice }, draft) => {
      const place = below(dice, entriesOf(draft))
      addEntry(draft, draft.entries.subarray(place * RECORD_BYTES, (place + 1) * RECORD_BYTES), draft.owners[place]!)
    },
  },
  {
    fault: 'fifty entries that nobody made',
    caughtBy: 'D-count',
    before: ({ dice }, draft) => {
      for (let ghost = 0; ghost < 50; ghost++) {
        addEntry(draft, Buffer.concat([randomBytes(dice, TAG_BYTES), Uint8Array.of(0)]), draft.owners[0]!)
      }
    },
  },
  {
    fault: 'a second request was a second entry',
    caughtBy: 'D-once',
    before: (run, draft) => {
      const user = draft.owners[told(run, draft)]!
      const tag = randomBytes(run.dice, TAG_BYTES)
      addEntry(draft, Buffer.concat([tag, Uint8Array.of(0)]), user)
      tell(run, user, tag)
    },
  },
  {
    fault: 'an entry is of a pool that does not exist',
    caughtBy: 'D-list',
    before: ({ dice }, draft) => {
      draft.entries[below(dice, entriesOf(draft)) * RECORD_BYTES + TAG_BYTES] = 7
    },
  },
  {
    fault: 'the secret is another one than was committed to',
    caughtBy: 'D-beacon',
    before: ({ dice }, draft) => {
      draft.secret = randomBytes(dice, 32)
    },
  },
  {
    fault: 'the seed was chosen',
    caughtBy: 'D-seed',
    before: ({ dice }, draft) => {
      draft.seed = randomBytes(dice, 32)
    },
  },
  {
    fault: 'seats were given in the other order of quotas',
    caughtBy: 'D-winners',
    before: (_, draft) => {
      draft.drawnBy = { ...draft.rules, quota_order: 'pool-first' }
    },
  },
  {
    fault: 'the pools are more than the stock',
    caughtBy: 'D-rules',
    before: (_, draft) => {
      draft.rules = { ...draft.rules, stock: draft.rules.stock - 1 }
    },
  },
]

const PUBLISHED: readonly DrawPlant[] = [
  {
    fault: 'the rules were changed after the commitment',
    caughtBy: 'D-rules',
    after: (_, published) =>
      rewrite<PublishedRules>(published, 'rules.json', rules => ({ ...rules, waitlist: rules.waitlist + 1 })),
  },
  {
    fault: 'an entry disappeared after the commitment',
    caughtBy: 'D-list',
    after: (_, { bundles }) => {
      bundles[0]!['entries.bin'] = bundles[0]!['entries.bin'].subarray(RECORD_BYTES)
    },
  },
  {
    fault: 'an entry was moved to another pool after the commitment',
    caughtBy: 'D-root',
    after: ({ dice }, { bundles }) => {
      const entries = Buffer.from(bundles[0]!['entries.bin'])
      entries[below(dice, entries.length / RECORD_BYTES) * RECORD_BYTES + TAG_BYTES]! ^= 1
      bundles[0]!['entries.bin'] = entries
    },
  },
  {
    fault: 'the commitment was written again without the key',
    caughtBy: 'D-commit',
    after: (_, published) => {
      rewrite<{ commit: object }>(published, 'commit.json', file => {
        const commit = { ...file.commit, committed_at: '2026-01-02T00:00:00.000Z' }
        published.bundles[0]!['commit.bytes'] = Buffer.from(JSON.stringify(commit))
        return { ...file, commit }
      })
    },
  },
  {
    fault: 'a time of the window was changed without the key',
    caughtBy: 'D-commit',
    after: (_, published) => {
      rewrite<{ commit: { changes: Changes } }>(published, 'commit.json', file => {
        const changes = file.commit.changes.map(row => (row.change === 'close' ? change('10:00:03.001', 'close') : row))
        const commit = { ...file.commit, changes }
        published.bundles[0]!['commit.bytes'] = Buffer.from(JSON.stringify(commit))
        return { ...file, commit }
      })
    },
  },
  {
    fault: 'a file of the bundle is missing',
    caughtBy: 'D-commit',
    after: (_, { bundles }) => {
      bundles[1]!['commit.json'] = Buffer.alloc(0)
    },
  },
  {
    fault: 'a loser was published as a winner',
    caughtBy: 'D-winners',
    after: ({ dice }, published) =>
      rewrite(
        published,
        'result.json',
        reordered((winners, { waitlist }) => {
          winners[below(dice, winners.length)] = `${waitlist[0]}:general`
        }),
      ),
  },
  {
    fault: 'two winners changed places',
    caughtBy: 'D-winners',
    after: (_, published) =>
      rewrite(
        published,
        'result.json',
        reordered(winners => {
          ;[winners[0], winners[1]] = [winners[1]!, winners[0]!]
        }),
      ),
  },
  {
    fault: 'a loser holds the grant of a winner',
    caughtBy: 'D-grants',
    after: (run, { ledger }) => {
      const draft = run.drafts[0]!
      const holders = new Set(ledger.at.user.subarray(0, ledger.length))
      const heir = pick(run.dice, entriesOf(draft), place => !holders.has(draft.owners[place]!))
      ledger.at.user[below(run.dice, ledger.length)] = draft.owners[heir]!
    },
  },
  {
    fault: 'the public beacon is of another round',
    caughtBy: 'D-beacon',
    after: (_, { bundles }) => {
      const beacon = JSON.parse(bundles[1]!['beacon.json'].toString('utf8')) as PublishedBeacon
      bundles[1]!['beacon.json'] = Buffer.from(JSON.stringify({ ...beacon, round: 999 }))
    },
  },
  {
    fault: "a receipt shows another's tag",
    caughtBy: 'D-receipt',
    after: ({ dice, receipts }) => {
      const place = below(dice, receipts.length)
      const other = receipts[(place + 1) % receipts.length]!
      receipts[place] = { ...receipts[place]!, tag: other.tag }
    },
  },
  {
    fault: 'two grants changed their sequences',
    caughtBy: 'D-sequence',
    after: ({ dice }, { holders }) => {
      const place = below(dice, holders.length - 1)
      holders.splice(place, 2, holders[place + 1]!, holders[place]!)
    },
  },
  {
    fault: 'the last winner was not granted',
    caughtBy: 'D-grants',
    after: (_, { ledger }) => {
      ledger.length--
    },
  },
]

export const DRAW_PLANTS: readonly DrawPlant[] = [...TIMED, ...SEALED, ...PUBLISHED]

/** Publishes the run with the fault in its first window. */
export function publishWith(plant: DrawPlant, run: DrawnRun, publish: (run: DrawnRun) => Published): Published {
  plant.before?.(run, run.drafts[0]!)
  const published = publish(run)
  plant.after?.(run, published)
  return published
}
