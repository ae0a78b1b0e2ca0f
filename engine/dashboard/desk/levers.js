/**
 * The levers of a round: what may be done in its state is a row of buttons on its card, each of which opens the dialog.
 *
 * What a lever asks and what it may be pulled in stands in one table. The stock of a drawn round is part of its published
 * rules, so it has no levers for it. Rejected: buttons that are there and refuse; what cannot be done is not offered.
 */
import { money } from '../base/currency.js'
import { $, buttonNode, stateWord } from '../base/screen-text.js'

const LEVERS = {
  open: { word: 'Open', states: ['scheduled'] },
  pause: { word: 'Pause', states: ['open', 'sold_out', 'fenced'] },
  resume: { word: 'Resume', states: ['paused'] },
  release: { word: 'Release the quarantined', states: ['fenced'] },
  add: { word: 'Add stock', states: ['scheduled', 'open', 'paused', 'sold_out', 'fenced'], sign: 1 },
  take: { word: 'Take back', states: ['scheduled', 'open', 'paused', 'sold_out', 'closed'], sign: -1 },
  close: { word: 'Close for good', states: ['scheduled', 'open', 'paused', 'sold_out', 'fenced'] },
}
const SHOWN_WITHIN_MS = 5000

const numbers = new Intl.NumberFormat()

function rowsOf({ before, after, budget }) {
  const rows = [
    ['State', stateWord(before.state), stateWord(after.state)],
    ['Stock', numbers.format(before.stock.total), numbers.format(after.stock.total)],
    ['Left', numbers.format(before.stock.remaining), numbers.format(after.stock.remaining)],
  ]
  if (budget) rows.push(['Budget committed', ...[budget.before, budget.after].map(sum => money(sum, budget.currency))])
  return rows
}

/** Milliseconds until the stream brought a newer version of the round, or undefined when it took too long. */
function shownBy(round, from) {
  const { epoch, version } = round.stock
  return new Promise(done => {
    const look = () => {
      const now = performance.now()
      if (round.stock.epoch !== epoch || round.stock.version > version) return done(Math.round(round.newsAt - from))
      if (now - from > SHOWN_WITHIN_MS) return done(undefined)
      requestAnimationFrame(look)
    }
    look()
  })
}

export class Levers {
  #dialog

  constructor(dialog) {
    this.#dialog = dialog
  }

  /** Fills a card's row of buttons with what may be done in its state. */
  fill(row, round, title) {
    const { state } = round.stock
    const isDrawn = round.isDrawn
    const filledFor = `${state} ${isDrawn} ${title}`
    if (row.dataset.for === filledFor) return
    row.dataset.for = filledFor
    const able = Object.entries(LEVERS).filter(([, { states, sign }]) => states.includes(state) && !(isDrawn && sign))
    row.replaceChildren(
      ...able.map(([lever, { word }]) => {
        const open = () => this.#open(lever, round, title)
        return buttonNode(word, `${word}: ${title}`, open, lever === 'pause' ? '' : 'quiet')
      }),
    )
  }

  #open(lever, round, title) {
    const { word, sign } = LEVERS[lever]
    const common = { word, title: `${word}: ${title}`, rows: rowsOf, shown: from => shownBy(round, from) }
    if (!sign) return this.#dialog.open({ ...common, request: () => ({ path: `/v1/rounds/${round.id}/${lever}` }) })
    $('lever-pool').replaceChildren(...round.stock.pools.map(({ name }) => new Option(name, name)))
    $('lever-amount').value = '1000'
    const request = () => ({
      path: `/v1/rounds/${round.id}/stock`,
      body: { add: sign * Number($('lever-amount').value), pool: $('lever-pool').value },
    })
    this.#dialog.open({ ...common, field: 'stock', first: 'lever-amount', request })
  }
}
