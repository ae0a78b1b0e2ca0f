/**
 * Where the draws of a round stand, in a sentence for the operator's card. Only what is published is shown: of an open window
 * that is its rules and never how many entered, because a count that grows would show who waits whether to try.
 *
 * It is read when the round’s state changes, when a result came, and by the second while a draw is made. Rejected: a bar for the phases; a
 * draw takes less than a second, and what takes longer (a public beacon) is better called by its name.
 */
import { commitOf, drawOf, rulesOf } from '../base/draw-files.js'

const numbers = new Intl.NumberFormat()

const PHASES = {
  open: 'the list is open',
  closed: 'the list is being made final',
  committed: 'the list is final and waits for its beacon',
  beacon: 'the beacon is known, winners are being drawn',
  drawn: 'drawn',
  overdue: 'the draw is overdue',
}
const TRUST = {
  T1: 'published seed (T1)',
  T2: 'operator’s commitment (T2)',
  T3: 'public beacon (T3)',
}

/** The facts of a round's newest draw: { state, window, entered, waitlist, trust }; undefined where there are none. */
export async function readDrawFacts(roundId) {
  const draw = await drawOf(roundId)
  if (!draw) return undefined
  const { window, state, trust, files } = draw
  const isFinal = files.some(({ name }) => name === 'commit.json')
  const [rules, commit] = await Promise.all([rulesOf(roundId, window), isFinal && commitOf(roundId, window)])
  return { state, window, trust, waitlist: rules?.waitlist ?? 0, entered: commit ? commit.commit.n : undefined }
}

/** The sentence for a card, from its round and these facts. */
export function drawWords({ stock, allocation }, facts) {
  if (!facts) return ''
  const { state, window, trust, entered, waitlist } = facts
  const name = allocation.mode === 'window' ? `Window ${window + 1}` : 'The lottery'
  if (stock.state === 'open' && entered === undefined)
    return `${name}: how many entered stays unknown until its list is final.`
  if (entered === undefined) return `${name}: ${PHASES[state] ?? state}.`
  const seats = allocation.mode === 'lottery' && stock.state === 'drawn' ? [`${numbers.format(stock.granted)} won`] : []
  const waits = Math.min(waitlist, Math.max(0, entered - stock.granted))
  const waiting = seats.length > 0 && waits > 0 ? [`${numbers.format(waits)} on the waitlist`] : []
  const parts = [
    `${numbers.format(entered)} entered`,
    ...seats,
    ...waiting,
    ...(state === 'drawn' ? [] : [PHASES[state]]),
  ]
  return `${name}: ${parts.join(', ')}; ${TRUST[trust]}.`
}
