/**
 * The end of a drawn run: the round is closed and drawn, everybody asks how it ended, and the proof is fetched.
 *
 * All of it is what outsiders do, over the public API. People ask once more as they would after the broadcast; their
 * answers come into a record of their own, so that what they did before the draw stays what the battery looks at.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { CODES } from '../../engine/base/codes.ts'
import { RECORD_BYTES } from '../audit/draw.ts'
import { BUNDLE_FILES, type Bundle } from '../audit/draw-bundle.ts'
import type { ShownReceipt } from '../audit/draw-checks.ts'
import { ENTERED, History } from '../audit/history.ts'
import type { Ledger } from '../audit/ledger.ts'
import { monotonicUs } from '../load/recorder.ts'
import { userIdOf } from '../load/user-id.ts'
import type { Keeper } from '../measure/kept-files.ts'
import { type DrawRecord, keepDrawnGrants } from '../record/claims-record.ts'
import type { Operator, RoundState } from '../stage/operator.ts'

export interface DrawnEnd {
  readonly round: RoundState
  readonly ledger: Ledger
  readonly draw: DrawRecord
  /** From the close until everything is granted. */
  readonly drawnInS: number
}

const DRAWN_WITHIN_MS = 120_000
const POLL_MS = 20
const STAYS_CLOSED_MS = 5000
const ASKED_AT_ONCE = 4096
const RECEIPTS_MAX = 200
const NO_CONNECTION = 0xffff

/**
 * Closes the round as soon as it is not between two windows, and waits until everything is drawn. A round that is closed
 * in a window which nobody entered stays closed; were there entries in it, the audit would miss them in the lists.
 */
async function drawnRound(operator: Operator, roundId: string): Promise<RoundState> {
  const deadline = Date.now() + DRAWN_WITHIN_MS
  let closed = false
  let closedForMs = 0
  while (Date.now() < deadline) {
    const round = await operator.round(roundId)
    closedForMs = round.state === 'closed' ? closedForMs + POLL_MS : 0
    if (round.state === 'drawn' || closedForMs > STAYS_CLOSED_MS) return round
    if (round.state === 'open' && !closed) closed = await operator.closed(roundId)
    await delay(POLL_MS)
  }
  throw new Error(`the round was not drawn within ${DRAWN_WITHIN_MS / 1000} s`)
}

/** The bundles of all windows that were drawn. */
async function fetchBundles(operator: Operator, roundId: string): Promise<Bundle[]> {
  const bundles: Bundle[] = []
  const newest = await operator.draw(roundId)
  for (let window = 0; window <= newest.window; window++) {
    const { files } = await operator.draw(roundId, window)
    const published = new Set(files.map(({ name }) => name))
    if (!published.has('result.json')) continue
    const fetched = BUNDLE_FILES.map(async name => {
      const bytes = published.has(name) ? await operator.drawFile(roundId, window, name) : Buffer.alloc(0)
      return [name, bytes] as const
    })
    bundles.push(Object.fromEntries(await Promise.all(fetched)) as Bundle)
  }
  return bundles
}

/** Whole receipts of some people, evenly over those who asked; after a draw nobody has one to show. */
async function sampleReceipts(operator: Operator, roundId: string, users: readonly number[]): Promise<ShownReceipt[]> {
  const step = Math.ceil(users.length / RECEIPTS_MAX)
  const receipts: ShownReceipt[] = []
  for (let place = 0; place < users.length; place += step) {
    const receipt = await operator.receipt(roundId, userIdOf(users[place]!))
    if (receipt !== undefined) receipts.push({ ...receipt, user: users[place]! })
  }
  return receipts
}

async function askEverybody(operator: Operator, roundId: string, users: readonly number[]): Promise<History> {
  const after = new History(users.length)
  for (let first = 0; first < users.length; first += ASKED_AT_ONCE) {
    const part = users.slice(first, first + ASKED_AT_ONCE)
    const sent = monotonicUs()
    const results = await operator.askAgain(roundId, part.map(userIdOf))
    const answered = monotonicUs()
    for (const [place, { outcome, sequence = 0, replayed }] of results.entries()) {
      const code = replayed === true ? 'replayed' : outcome
      const row = { sent, answered, user: part[place]!, outcome: CODES[code].number, sequence }
      after.push({ ...row, vouchers: 0, connection: NO_CONNECTION, slot: 1, pool: 0 })
    }
  }
  return after
}

export async function endDraw(
  operator: Operator,
  roundId: string,
  { history, people, keeper }: { readonly history: History; readonly people: number; readonly keeper: Keeper },
): Promise<DrawnEnd> {
  const { outcome, user, length } = { ...history.at, length: history.length }
  const users = [...new Set(user.subarray(0, length))]
  const entered = [...new Set(user.subarray(0, length).filter((_, row) => outcome[row] === ENTERED))]
  const receipts = await sampleReceipts(operator, roundId, entered)
  const closed = performance.now()
  const round = await drawnRound(operator, roundId)
  const drawnInS = (performance.now() - closed) / 1000
  const after = await askEverybody(operator, roundId, users)
  const told = { people, round, told: [history, after] }
  const { ledger, holders } = await operator.whole(
    () => operator.grants(roundId),
    grants => keepDrawnGrants(keeper, grants, told),
  )
  return { round, ledger, drawnInS, draw: { after, holders, receipts, bundles: await fetchBundles(operator, roundId) } }
}

/** How many entered each window. */
export const entrantsOf = (bundles: readonly Bundle[]): number[] =>
  bundles.map(bundle => bundle['entries.bin'].length / RECORD_BYTES)
