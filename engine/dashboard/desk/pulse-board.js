/**
 * The strip above the rounds: what this node does now, in figures and two charts, and the alarm when granting stops.
 *
 * It asks once a second while the page is to be seen and the stream is there; while nothing comes its figures are
 * dashes and its charts have a gap, because the last number of a node that is gone is not news. Outcomes keep their
 * place in the stack and in the list below it, which says each by name and number. Rejected: one chart a round for
 * refusals; the engine counts outcomes a node, since a counter a round would cost the claim path.
 */
import { ask, succeeded } from '../base/engine-api.js'
import { $, setText, textNode } from '../base/screen-text.js'
import { NodePulse } from './node-pulse.js'
import { CHART_POINTS, TimeChart } from './time-chart.js'

/** A reading that takes longer is none. */
const READING_MS = 3000

const OUTCOMES = {
  granted: 'Granted',
  replayed: 'Granted before',
  entered: 'Entered',
  sold_out: 'Sold out',
  not_open: 'Not open',
  paused: 'Paused',
  closed: 'Closed',
  limit_reached: 'Limit reached',
  not_eligible: 'Not eligible',
  fenced: 'Fenced',
}
/** What is no refusal. */
const TAKEN = ['granted', 'replayed', 'entered']
const DURABILITY = {
  memory: 'a crash of Redis loses grants',
  everysec: 'a crash of Redis loses one second',
  always: 'synced to disk before each answer',
}

const NOTES = {
  key: 'Claims, decisions and viewers are shown with the key of an operator or a viewer.',
  off: 'This node shows its metrics to nobody (FAIRGRAB_METRICS is off).',
}

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })

export const milliseconds = seconds => {
  if (seconds === undefined) return '–'
  const ms = seconds * 1000
  return `${ms.toLocaleString(undefined, { maximumSignificantDigits: ms < 100 ? 2 : 3 })} ms`
}

export class PulseBoard {
  #pulse = new NodePulse()
  #now
  #claims = []
  #latency = []
  #claimsChart = new TimeChart($('claims-chart'), Object.keys(OUTCOMES), true)
  #latencyChart = new TimeChart($('latency-chart'), ['p50', 'p99'], false)
  #legend = new Map()
  #health
  #isRead = false
  #isShut = false
  #words
  #key
  /** The key that may not read the metrics. */
  #refused

  /** `key` gives the key that is typed in now. */
  constructor(key) {
    this.#key = key
    for (const [outcome, word] of Object.entries(OUTCOMES)) {
      const row = document.createElement('li')
      row.className = `series-${outcome}`
      row.hidden = outcome !== 'granted'
      const rate = textNode('strong', '0')
      row.append(textNode('span', word), rate)
      $('claims-legend').append(row)
      this.#legend.set(outcome, { row, rate })
    }
  }

  get health() {
    return this.#health
  }

  /** How many watch a round, on this node; undefined while that is not known. */
  viewers(roundId) {
    return this.#now && (this.#now.viewers.get(roundId) ?? 0)
  }

  /** Reads once. `isCurrent`: whether the stream is there; a page that is not read counts as a gap too. */
  async read(isCurrent) {
    const texts = isCurrent ? await this.#ask() : undefined
    this.#isRead = texts !== undefined
    this.#isShut = this.#isRead && texts.metrics === undefined
    if (texts) this.#health = texts.health
    if (texts?.metrics !== undefined) this.#now = this.#pulse.take(texts.metrics, performance.now())
    else {
      this.#pulse.forget()
      this.#now = undefined
    }
    const now = this.#now
    this.#push(this.#claims, now && Object.keys(OUTCOMES).map(outcome => now.rates.get(outcome) ?? 0))
    this.#push(this.#latency, now?.p50 === undefined ? undefined : [now.p50, now.p99])
    this.#draw()
  }

  async #ask() {
    try {
      const { status, body: health } = await ask('GET', '/readyz?verbose', { ms: READING_MS })
      return status === 0 ? undefined : { health, metrics: await this.#askMetrics(health.metrics) }
    } catch {
      return undefined
    }
  }

  /** The node's metrics; undefined where this page may not read them. A key that was refused is not shown again. */
  async #askMetrics(readers) {
    const key = readers === 'key' ? this.#key() : ''
    if (readers !== 'public' && (key === '' || key === this.#refused)) return undefined
    const answer = await ask('GET', '/metrics', { key, ms: READING_MS })
    if (succeeded(answer)) return new TextDecoder().decode(answer.bytes)
    if (answer.status !== 401 && answer.status !== 403) throw new Error(`/metrics: ${answer.status}`)
    this.#refused = key
    return undefined
  }

  #push(points, point) {
    points.push(point)
    if (points.length > CHART_POINTS) points.shift()
  }

  #draw() {
    const now = this.#now
    const all = now ? [...now.rates.values()].reduce((sum, rate) => sum + rate, 0) : undefined
    const granted = now?.rates.get('granted')
    this.#figure('claims-rate', all)
    this.#figure('grants-rate', granted)
    const refusals = [...(now?.rates ?? [])].filter(([outcome]) => !TAKEN.includes(outcome))
    this.#figure('refusals-rate', now && refusals.reduce((sum, [, rate]) => sum + rate, 0))
    this.#figure('viewers', now?.sockets)
    setText($('p50'), milliseconds(now?.p50))
    setText($('p99'), milliseconds(now?.p99))
    setText($('workers'), now ? `${now.ready} of ${now.workers}` : '–')
    this.#drawReaders()
    this.#drawHealth()
    this.#drawCharts(all)
  }

  /** Why there are no figures, where that is by a setting. */
  #drawReaders() {
    const note = this.#isShut ? NOTES[this.#health?.metrics] : undefined
    $('figures-note').hidden = note === undefined
    setText($('figures-note'), note ?? '')
    $('metrics-link').hidden = this.#health?.metrics !== 'public'
  }

  #figure(id, value) {
    setText($(id), value === undefined ? '–' : numbers.format(value))
  }

  #drawCharts(all) {
    const claims = this.#claimsChart.draw(this.#claims)
    setText($('claims-top'), `${numbers.format(claims)} / s`)
    this.#claimsChart.describe(`Claims a second by outcome over two minutes, now ${numbers.format(all ?? 0)}`)
    const latency = this.#latencyChart.draw(this.#latency)
    setText($('latency-top'), this.#latency.some(Boolean) ? milliseconds(latency) : '–')
    this.#latencyChart.describe(
      `Time of a decision over two minutes, now p50 ${$('p50').textContent}, p99 ${$('p99').textContent}`,
    )
    Object.keys(OUTCOMES).forEach((outcome, place) => {
      const { row, rate } = this.#legend.get(outcome)
      row.hidden = outcome !== 'granted' && !this.#claims.some(point => point?.[place] > 0)
      setText(rate, this.#now ? numbers.format(this.#now.rates.get(outcome) ?? 0) : '–')
    })
  }

  #drawHealth() {
    const {
      durability,
      declared,
      redis_version: redisVersion,
      redis_memory_bytes: redisMemoryBytes,
      nodes,
      problems = [],
      warnings = [],
      draining,
    } = this.#health ?? {}
    const megabytes = `${((redisMemoryBytes ?? 0) / 1e6).toFixed(1)} MB`
    const oversold = this.#now?.oversold ?? 0
    setText($('nodes'), this.#isRead && nodes > 0 ? numbers.format(nodes) : '–')
    setText($('durability'), durability ? durability[0].toUpperCase() + durability.slice(1) : '–')
    setText($('durability-words'), declared ? 'declared by you, not verified' : (DURABILITY[durability] ?? ''))
    const isKnown = this.#isRead && redisVersion
    setText($('redis'), isKnown ? (problems.length > 0 ? 'Fenced' : 'Sound') : '–')
    setText($('redis-words'), isKnown ? `${redisVersion}, ${megabytes}` : '')
    const sold = { what: `${numbers.format(oversold)} packs are oversold`, mend: 'pause every round and keep the data' }
    const alarms = [...problems, ...(oversold > 0 ? [sold] : [])]
    const words = JSON.stringify([alarms, warnings, draining])
    if (words === this.#words) return
    this.#words = words
    $('alarm').hidden = alarms.length === 0 && !draining
    setText($('alarm-title'), alarms.length > 0 ? 'Fenced: granting is stopped' : 'This node is leaving')
    $('alarm-list').replaceChildren(...alarms.map(({ what, mend }) => textNode('li', `${what}. What to do: ${mend}.`)))
    $('warnings').replaceChildren(...warnings.map(({ what, mend }) => textNode('li', `${what}: ${mend}.`)))
    $('warnings-row').hidden = warnings.length === 0
  }
}
