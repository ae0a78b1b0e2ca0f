/**
 * What the page for people who grab says in each state of a round, as one table: the big number and what it counts, a
 * sentence, and the button. Two columns, because a draw is another thing than a queue: speed counts for nothing in it.
 *
 * The button stays in every state in which somebody may hold something, since a holder who asks again gets their vouchers
 * for ever. Rejected: hiding the page's state behind one word "unavailable". Whoever waits has to know whether waiting helps.
 */
import { countdown } from '../base/screen-text.js'

const numbers = new Intl.NumberFormat()
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

const HELD = 'Show what I hold'

const left = ({ stock: { total, remaining } }) => [numbers.format(remaining), `left of ${numbers.format(total)}`]

function beforeOpening({ stock: { total }, opensAt }, serverNow) {
  if (!opensAt) return ['Soon', `it opens by hand, with ${numbers.format(total)}`]
  return [countdown(opensAt - serverNow), `until it opens with ${numbers.format(total)}`]
}

const opening = ({ opensAt }, serverNow) => {
  if (!opensAt) return 'It opens when the people who run it say so; this page changes by itself.'
  return opensAt <= serverNow ? 'Opening now…' : `It opens ${moments.format(opensAt)}, by the engine’s clock.`
}

const SERVED = {
  scheduled: { big: beforeOpening, note: opening, button: 'Not open yet', disabled: true },
  open: {
    note: ({ closesAt }, serverNow) => (closesAt ? `It closes in ${countdown(closesAt - serverNow)}.` : ''),
    button: 'Get it',
  },
  paused: { note: () => 'Paused for a moment. Stay here: the button comes back by itself.', button: HELD },
  sold_out: { note: () => 'Everything is taken. If more is added, it shows here at once.', button: HELD },
  fenced: {
    note: () => 'It is not certain yet whether anything is left. Stay here: this page changes by itself.',
    button: HELD,
  },
  closed: { note: () => 'This round is over. What you hold stays yours.', button: HELD },
}

/** When entries end: the lottery's hour, or the end of the window that the receipt names. */
const endOf = ({ allocation, closesAt }, windowEnds) =>
  windowEnds ?? closesAt ?? (allocation.draws_at ? Date.parse(allocation.draws_at) : undefined)

function enterNote(round, serverNow, { windowEnds }) {
  const { allocation } = round
  const ends = endOf(round, windowEnds)
  const fair = 'All who enter have the same chance; being first gives none.'
  if (ends > serverNow) return `Entries close in ${countdown(ends - serverNow)}. ${fair}`
  if (allocation.mode === 'window') return `It is drawn every ${allocation.window_ms / 1000} s. ${fair}`
  return fair
}

const DRAWN = {
  scheduled: { big: beforeOpening, note: opening, button: 'Not open yet', disabled: true },
  open: {
    big: ({ stock: { remaining } }) => [numbers.format(remaining), 'to be drawn'],
    note: enterNote,
    button: 'Enter the draw',
  },
  paused: { note: () => 'Paused for a moment. Entries that were made stand.', button: 'Show my entry' },
  drawing: {
    big: ({ stock: { total } }) => [numbers.format(total), 'being drawn'],
    note: () => 'Entries are closed and the list is final. The result comes here by itself.',
    button: 'Show my entry',
  },
  drawn: {
    big: ({ stock: { granted } }) => [numbers.format(granted), 'won'],
    note: () => 'The draw is made, and anybody can check it.',
    button: 'Show my result',
  },
  sold_out: { note: () => 'Everything is drawn.', button: 'Show my result' },
  closed: { note: () => 'Entries are closed; the draw follows.', button: 'Show my entry' },
}

/** { big: [number, what], note, button, again, disabled } for a round; `entry` has `windowEnds` where that is known. */
export function wordsFor(round, serverNow, entry) {
  const table = round.isDrawn ? DRAWN : SERVED
  const { big = left, note, button, disabled = false } = table[round.stock.state] ?? { note: () => '', button: HELD }
  const again = round.isDrawn ? 'Show it again' : HELD
  return { big: big(round, serverNow), note: note(round, serverNow, entry), button, again, disabled }
}

/** What a refusal means for the person who got it, and whether to wait; other codes are shown as the engine words them. */
export const REFUSED = {
  sold_out: 'Nothing was left for you this time.',
  paused: 'It is paused. Nothing was lost: try again when it goes on.',
  not_open: 'It is not open now. Wait for the next opening.',
  closed: 'It is over, and you hold nothing of it.',
  limit_reached: 'You have as many packs as one person may have.',
  not_eligible: 'You may not take part in this round or pool.',
  unauthorized: 'You are not signed in: the key or token is missing, wrong or too old.',
  forbidden: 'This key or token may not claim for that user.',
}

/** A draw is lost in other words than a race. */
export const NOT_DRAWN = 'You were not drawn this time.'
