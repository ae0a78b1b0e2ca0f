/**
 * One round on screen. A card is cloned from the page's template once and then only changed: a text that is the same is
 * not written again, so twenty frames a second cost a few nodes, and nothing is announced that did not change.
 *
 * The state is a word, an icon and a colour, from one table; what it means for a user stands below in a sentence. A
 * state that the table does not know is shown by its own name. Chart, forecast and note keep their place in every state:
 * a button that moves a second after the state would be missed, or another one be hit. Rejected: disabling the button
 * while nothing can be granted, because a holder who asks again gets their vouchers in every state.
 */
import { countdown, setIcon, setText, stateWord } from '../base/screen-text.js'
import { drawWords } from './draw-facts.js'
import { CHART_POINTS, TimeChart } from './time-chart.js'

const ICONS = ['scheduled', 'open', 'paused', 'sold_out', 'closed', 'drawing', 'drawn']

const numbers = new Intl.NumberFormat()
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 })
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

const clockTimes = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

const NOTES = {
  paused: () => 'Nobody is granted anything until it resumes.',
  sold_out: () => 'Nothing is left. Who holds a claim still gets the vouchers; more stock opens it again.',
  fenced: () =>
    'What is left is quarantined since a fail-over: a node that is away may have granted it. Start that node again, or release the packs when it is lost for good; the warnings name it. Claims are refused with the advice to ask again.',
  closed: () => 'The round is over. Who holds a claim still gets the vouchers.',
  scheduled: ({ opensAt }, serverNow) => {
    if (!opensAt) return 'It opens when an operator opens it.'
    return opensAt <= serverNow ? 'Opening now…' : `Opens ${moments.format(opensAt)}.`
  },
  open: ({ closesAt, isDrawn }, serverNow) =>
    closesAt ? `${isDrawn ? 'Entries close' : 'Closes'} in ${countdown(closesAt - serverNow)}.` : '',
  drawing: () => 'The entries are closed and the draw is being made.',
  drawn: () => 'The draw is made; its receipt can be checked by anybody.',
}

/** The big number and what it counts: time until the opening, else what is left. */
function headline({ stock: { state, total, granted, remaining }, opensAt, isDrawn }, serverNow) {
  if (state === 'scheduled' && opensAt > serverNow)
    return [countdown(opensAt - serverNow), `until it opens with ${numbers.format(total)}`]
  if (isDrawn && state === 'drawn') return [numbers.format(granted), `won of ${numbers.format(total)}`]
  if (isDrawn) return [numbers.format(remaining), `to be drawn of ${numbers.format(total)}`]
  return [numbers.format(remaining), `left of ${numbers.format(total)}`]
}

/** When nothing will be left, in words for the eye: a time span of two digits is as exact as it can be. */
function forecastWords(ms, serverNow) {
  if (ms === undefined) return '–'
  return `in ${countdown(ms)}, ${clockTimes.format(serverNow + ms)}`
}

export class RoundCard {
  #part
  #poolRows = new Map()
  #chart

  /** `claim` is called with the chosen pool, empty where there is no choice, and this card. */
  constructor(template, id, claim) {
    this.element = template.content.firstElementChild.cloneNode(true)
    this.#part = Object.fromEntries(
      Object.entries({
        title: 'h3',
        state: '.state',
        stateWord: '.state span',
        id: '.names code',
        remaining: '.remaining strong',
        total: '.remaining span',
        bar: 'progress',
        note: '.note',
        granted: '.granted',
        rate: '.rate',
        viewers: '.viewers',
        forecast: '.forecast',
        forecastRow: '.forecast-row',
        chart: '.chart svg',
        chartTop: '.chart-top',
        caughtUp: '.caught-up',
        drawFacts: '.draw-facts',
        fence: '.fence',
        pools: 'table',
        rows: 'tbody',
        form: 'form',
        choice: '.field',
        select: 'select',
        button: 'button',
        levers: '.levers',
        result: '.result',
      }).map(([name, selector]) => [name, this.element.querySelector(selector)]),
    )
    const { title, id: name, bar, form, select, chart } = this.#part
    this.#chart = new TimeChart(chart, ['granted'], true)
    this.element.dataset.round = id
    title.id = `title-${id}`
    name.textContent = id
    this.element.querySelector('.try-it').href = `/try/${id}`
    this.element.setAttribute('aria-labelledby', title.id)
    bar.setAttribute('aria-label', 'Stock left')
    form.addEventListener('submit', event => {
      event.preventDefault()
      claim(select.value, this)
    })
  }

  setTitle(title) {
    setText(this.#part.title, title)
    this.#part.button.setAttribute('aria-label', `Try a claim from ${title}`)
  }

  /** What only who has a key may do. */
  setKey(isGiven) {
    this.#part.form.hidden = !isGiven
    this.#part.levers.hidden = !isGiven
  }

  get levers() {
    return this.#part.levers
  }

  setBusy(isBusy) {
    this.#part.button.setAttribute('aria-busy', String(isBusy))
  }

  /** Shows a result: nodes that replace the last one. */
  showResult(...nodes) {
    this.#part.result.replaceChildren(...nodes)
  }

  /** Draws what is known; called once a frame of the screen at most. */
  draw(round, times) {
    const { state, total, granted, remaining, pools } = round.stock
    const part = this.#part
    if (this.element.dataset.state !== state) this.element.dataset.state = state
    setText(part.stateWord, stateWord(state, round.isDrawn))
    setIcon(part.state, state === 'fenced' ? 'alarm' : ICONS.includes(state) ? state : 'other')
    const [big, what] = headline(round, times.serverNow)
    setText(part.remaining, big)
    setText(part.total, what)
    const share = total > 0 ? remaining / total : 0
    if (part.bar.value !== share) part.bar.value = share
    setText(part.granted, `${numbers.format(granted)} (${percents.format(total > 0 ? granted / total : 0)})`)
    setText(part.note, NOTES[state]?.(round, times.serverNow) ?? '')
    setText(part.drawFacts, drawWords(round, round.facts))
    part.drawFacts.hidden = part.drawFacts.textContent === ''
    this.drawMoment(round, times)
    this.#drawPools(pools)
  }

  /** What moves without news. While nothing comes a rate is not zero but unknown. */
  drawMoment(round, { now, serverNow, isCurrent, isFenced }) {
    const part = this.#part
    setText(part.rate, isCurrent ? numbers.format(Math.round(round.rate(now))) : '–')
    setText(part.forecast, forecastWords(isCurrent ? round.forecast() : undefined, serverNow))
    part.forecastRow.hidden = round.isDrawn
    part.fence.hidden = !isFenced || ['closed', 'drawn'].includes(round.stock.state)
    const missed = round.caughtUp?.until > now ? round.caughtUp : undefined
    part.caughtUp.hidden = !missed
    if (!missed) return
    const grants = `${numbers.format(missed.grants)} granted`
    setText(part.caughtUp, `Caught up: ${grants} in the ${countdown(missed.ms)} without connection.`)
  }

  /** Once a second: the chart, and who watches (undefined: not known). */
  drawSecond({ rates }, viewers) {
    setText(this.#part.viewers, viewers === undefined ? '–' : numbers.format(viewers))
    const top = this.#chart.draw(rates.slice(-CHART_POINTS).map(rate => (rate === undefined ? undefined : [rate])))
    setText(this.#part.chartTop, `${numbers.format(top)} / s`)
    const now = rates.at(-1)
    this.#chart.describe(
      `Grants a second over two minutes${now === undefined ? '' : `, now ${numbers.format(Math.round(now))}`}`,
    )
  }

  #drawPools(pools) {
    if (pools.length === 1) return
    this.#part.pools.hidden = false
    this.#part.choice.hidden = false
    for (const { name, remaining, total } of pools) {
      const [left, all] = this.#poolRows.get(name) ?? this.#addPool(name)
      setText(left, numbers.format(remaining))
      setText(all, numbers.format(total))
    }
  }

  #addPool(name) {
    const row = this.#part.rows.insertRow()
    setText(row.insertCell(), name)
    const cells = [row.insertCell(), row.insertCell()]
    this.#poolRows.set(name, cells)
    this.#part.select.add(new Option(name, name))
    return cells
  }
}
