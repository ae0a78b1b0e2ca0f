/**
 * The levers of a round: what may be done is a button, what it will do is asked of the engine and shown before it is
 * done, and how long it took is shown after it.
 *
 * One dialog serves all of them. It opens with the engine's dry run as a table of before and after, or with the refusal
 * that would come; confirming sends the same request without `dry_run`. The time is measured until the engine answered
 * and until the stream showed the new state here, because that is when everybody sees it. Focus stands on the button
 * that does it, so a pause is two presses of Enter; Escape leaves. Rejected: a second confirmation by typing a name,
 * which costs the seconds that a pause is for.
 */

import { ask, explain, succeeded } from './engine-api.js'
import { setText, stateWord, textNode } from './screen-text.js'

const LEVERS = {
  open: { word: 'Open', states: ['scheduled'] },
  pause: { word: 'Pause', states: ['open', 'sold_out'] },
  resume: { word: 'Resume', states: ['paused'] },
  add: { word: 'Add stock', states: ['scheduled', 'open', 'paused', 'sold_out'] },
  take: { word: 'Take back', states: ['scheduled', 'open', 'paused', 'sold_out', 'closed'] },
  close: { word: 'Close for good', states: ['scheduled', 'open', 'paused', 'sold_out'] },
}
const SHOWN_WITHIN_MS = 5000

const numbers = new Intl.NumberFormat()
const $ = id => document.getElementById(id)

/** Money of the API in words: minor units of a currency that has hundredths. */
export const money = (minor, currency) => `${numbers.format(minor / 100)} ${currency}`

export class Levers {
  #key
  #asked
  #dialog = $('lever')

  /** `key` gives the key that is typed in now. */
  constructor(key) {
    this.#key = key
    $('lever-form').addEventListener('submit', event => {
      event.preventDefault()
      void this.#confirm()
    })
    $('lever-cancel').addEventListener('click', () => this.#dialog.close())
    for (const id of ['lever-amount', 'lever-pool']) $(id).addEventListener('input', () => void this.#tell())
  }

  /** Fills a card's row of buttons with what may be done in its state. */
  fill(row, round, title) {
    const state = round.stock.state
    const filledFor = `${state} ${title}`
    if (row.dataset.for === filledFor) return
    row.dataset.for = filledFor
    const able = Object.entries(LEVERS).filter(([, { states }]) => states.includes(state))
    row.replaceChildren(
      ...able.map(([lever, { word }]) => {
        const button = textNode('button', word, lever === 'pause' ? '' : 'quiet')
        button.type = 'button'
        button.setAttribute('aria-label', `${word}: ${title}`)
        button.addEventListener('click', () => this.open(lever, round, title))
        return button
      }),
    )
  }

  open(lever, round, title) {
    const isStock = lever === 'add' || lever === 'take'
    this.#asked = { lever, round, isStock, number: (this.#asked?.number ?? 0) + 1 }
    setText($('lever-title'), `${LEVERS[lever].word}: ${title}`)
    setText($('lever-do'), LEVERS[lever].word)
    $('lever-stock').hidden = !isStock
    $('lever-pool').replaceChildren(...round.stock.pools.map(({ name }) => new Option(name, name)))
    $('lever-amount').value = '1000'
    $('lever-cancel').textContent = 'Leave it'
    this.#dialog.showModal()
    void this.#tell()
    if (isStock) $('lever-amount').select()
  }

  #request() {
    const { lever, round, isStock } = this.#asked
    const amount = Number($('lever-amount').value)
    if (!isStock) return { path: `/v1/rounds/${round.id}/${lever}` }
    return {
      path: `/v1/rounds/${round.id}/stock`,
      body: { add: lever === 'take' ? -amount : amount, pool: $('lever-pool').value },
    }
  }

  /** Asks what would change, and shows it unless something newer was asked meanwhile. */
  async #tell() {
    const number = ++this.#asked.number
    $('lever-do').hidden = true
    setText($('lever-answer'), 'Asking what would change…')
    $('lever-effect').hidden = true
    const { path, body } = this.#request()
    const answer = await ask('POST', `${path}?dry_run=true`, { key: this.#key(), body })
    if (number !== this.#asked.number) return
    setText($('lever-answer'), succeeded(answer) ? '' : `It would be refused. ${explain(answer)}`)
    if (!succeeded(answer)) return
    const { before, after, budget } = answer.body
    const rows = [
      ['State', stateWord(before.state), stateWord(after.state)],
      ['Stock', numbers.format(before.stock.total), numbers.format(after.stock.total)],
      ['Left', numbers.format(before.stock.remaining), numbers.format(after.stock.remaining)],
    ]
    if (budget)
      rows.push(['Budget committed', ...[budget.before, budget.after].map(sum => money(sum, budget.currency))])
    this.#show(rows)
    $('lever-do').hidden = false
    if (!this.#asked.isStock) $('lever-do').focus()
  }

  #show(rows) {
    $('lever-rows').replaceChildren(
      ...rows.map(([what, before, after]) => {
        const row = document.createElement('tr')
        const head = textNode('th', what)
        head.scope = 'row'
        row.append(head, textNode('td', before), textNode('td', after, before === after ? '' : 'changes'))
        return row
      }),
    )
    $('lever-effect').hidden = false
  }

  async #confirm() {
    if ($('lever-do').hidden) return
    const { round } = this.#asked
    const number = ++this.#asked.number
    const { path, body } = this.#request()
    const { version } = round.stock
    const from = performance.now()
    $('lever-do').hidden = true
    setText($('lever-answer'), 'Asked…')
    const shown = this.#shown(round, version, from)
    const answer = await ask('POST', path, { key: this.#key(), body })
    const answered = Math.round(performance.now() - from)
    if (number !== this.#asked.number) return
    if (!succeeded(answer)) return setText($('lever-answer'), `Not done. ${explain(answer)}`)
    setText($('lever-answer'), `Done: the engine answered after ${answered} ms.`)
    $('lever-cancel').textContent = 'Close this'
    $('lever-cancel').focus()
    const seen = await shown
    if (number !== this.#asked.number) return
    const words =
      seen === undefined ? 'The stream has not shown it yet.' : `The stream showed it here after ${seen} ms.`
    setText($('lever-answer'), `Done: the engine answered after ${answered} ms. ${words}`)
  }

  /** Milliseconds until the stream brought a newer version of the round, or undefined when it took too long. */
  #shown(round, version, from) {
    return new Promise(done => {
      const look = () => {
        const now = performance.now()
        if (round.stock.version > version) return done(Math.round(round.newsAt - from))
        if (now - from > SHOWN_WITHIN_MS) return done(undefined)
        requestAnimationFrame(look)
      }
      look()
    })
  }
}
