/**
 * The form that makes a campaign and its first round. Whatever is wrong is said beside its field while it is typed;
 * when nothing is, the engine is asked what it would make, that is shown in sentences, and one more press makes it.
 *
 * The campaign is made first and then its round; when the second is refused the campaign stays, without a round and
 * without cost, and the words say so. Rejected: a wizard. All that matters fits one screen, and is compared on it.
 */
import { money } from '../base/currency.js'
import { ask, explain, succeeded } from '../base/engine-api.js'
import { $, setText, textNode } from '../base/screen-text.js'
import { release } from './release-rules.js'

const numbers = new Intl.NumberFormat()
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' })

/** The fields by name: what stands above each, and what its input is. Their faults stand below them. */
const PACK = {
  name: ['Name', { type: 'text', maxLength: 200 }],
  currency: ['Currency', { type: 'text', maxLength: 3, defaultValue: 'CNY' }],
  off: ['A coupon takes off', { type: 'text', inputMode: 'decimal', placeholder: '10.00' }],
  minimum: ['from an order of', { type: 'text', inputMode: 'decimal', placeholder: '40.00' }],
  quantity: ['Coupons in a pack', { type: 'number', min: 1, max: 64, defaultValue: 1 }],
  days: ['Valid for days', { type: 'number', min: 1, defaultValue: 7 }],
  per_user: ['Packs a user may have', { type: 'number', min: 1, max: 255, defaultValue: 1 }],
  budget: ['Budget of the campaign (optional)', { type: 'text', inputMode: 'decimal' }],
}
const ROUND = {
  stock: ['Packs', { type: 'number', min: 1, placeholder: '100000' }],
  opens: ['Opens (nothing: by hand)', { type: 'datetime-local', step: 1 }],
  closes: ['Closes (nothing: by hand)', { type: 'datetime-local', step: 1 }],
  pool: ['Set aside for the pool (optional)', { type: 'text', placeholder: 'assisted' }],
  pool_stock: ['Packs of that pool', { type: 'number', min: 1 }],
}
/** Of one mode each. */
const DRAW = {
  window: ['Seconds of a window', { type: 'number', min: 1, step: 0.1, defaultValue: 3 }, 'window'],
  draws: ['Drawn at', { type: 'datetime-local', step: 1 }, 'lottery'],
  waitlist: ['Places on the waitlist', { type: 'number', min: 0, defaultValue: 0 }, 'lottery'],
}

/** @type {(fields: Record<string, any[]>) => HTMLElement[]} */
const fieldNodes = fields =>
  Object.entries(fields).map(([name, [words, input, mode]]) => {
    const node = textNode('p', '', 'field')
    const [label, fault] = [textNode('label', words), textNode('span', '', 'fault')]
    label.htmlFor = `release-${name}`
    const field = document.createElement('input')
    Object.assign(field, { id: label.htmlFor, name, autocomplete: 'off', ...input })
    fault.id = `fault-${name}`
    fault.setAttribute('role', 'status')
    field.setAttribute('aria-describedby', fault.id)
    if (mode) Object.assign(node.dataset, { mode })
    node.hidden = mode !== undefined
    node.append(label, field, fault)
    return node
  })

/** How it is given out, in one sentence. */
function allocationWords({ allocation: { mode, window_ms: length, draws_at: drawsAt, waitlist } }) {
  if (mode === 'fcfs') return 'who comes first is served first'
  if (mode === 'window') return `it is drawn every ${length / 1000} s among those who entered`
  const waits = waitlist > 0 ? `, with ${numbers.format(waitlist)} on the waitlist` : ''
  return `it is drawn ${moments.format(new Date(drawsAt))}${waits}`
}

/**
 * What will be made, in sentences.
 * @param {{ campaign?: any, round?: any, cost?: any, opensAtOnce?: any }} asked
 */
function sentences({ campaign, round, cost, opensAtOnce }) {
  const [{ quantity, discount }] = campaign.pack
  const off = money(discount.amount_off, campaign.currency)
  const opening = round.opens_at
    ? `opens ${moments.format(new Date(round.opens_at))}`
    : 'opens when an operator opens it'
  const [pool] = round.pools
  return [
    `${numbers.format(round.stock)} packs of ${quantity} × ${off} off an order of ${money(discount.minimum_amount, campaign.currency)} or more.`,
    `It ${opensAtOnce ? 'opens at once: that time is past' : opening}, and ${round.closes_at ? `closes ${moments.format(new Date(round.closes_at))}` : 'closes by hand'}.`,
    `A user gets ${campaign.limits.per_user} at most; ${allocationWords(round)}.`,
    ...(pool ? [`${numbers.format(pool.stock)} are set aside for the pool ${pool.name}.`] : []),
    `If every coupon is used it costs ${money(cost, campaign.currency)}.`,
  ]
}

export class ReleaseForm {
  #key
  #made
  /** @type {HTMLFormElement} */
  #form = document.querySelector('form#release')
  #ready

  /** `made` is called when there is a new round. */
  constructor(key, made) {
    this.#key = key
    this.#made = made
    $('release-pack').append(...fieldNodes(PACK))
    $('release-allocation').before(...fieldNodes(ROUND))
    $('release-allocation').after(...fieldNodes(DRAW))
    this.#form.addEventListener('input', event => {
      const field = /** @type {HTMLInputElement} */ (event.target)
      if (field.name === 'mode') this.#showMode()
      field.dataset.touched = 'true'
      this.#check()
    })
    this.#form.addEventListener('submit', event => {
      event.preventDefault()
      for (const field of this.#fields) if (field.name) field.dataset.touched = 'true'
      if (this.#ready) void this.#make()
      else void this.#preview()
    })
  }

  get #fields() {
    return /** @type {Iterable<HTMLInputElement>} */ (/** @type {unknown} */ (this.#form.elements))
  }

  /** Shows the fields and the words of the chosen mode. */
  #showMode() {
    const { mode } = Object.fromEntries(new FormData(this.#form))
    /** @type {NodeListOf<HTMLElement>} */
    const parts = this.#form.querySelectorAll('[data-mode]')
    for (const part of parts) part.hidden = part.dataset.mode !== mode
  }

  /** Says what is wrong beside the fields that were touched. Gives the release when nothing is. */
  #check() {
    this.#ready = undefined
    setText($('release-do'), 'Show what will be made')
    $('release-effect').replaceChildren()
    setText($('release-answer'), '')
    const asked = release(Object.fromEntries(new FormData(this.#form)), Date.now())
    /** @type {Map<string, string>} */
    const faults = new Map()
    for (const [name, words] of asked.faults.toReversed()) faults.set(name, words)
    for (const field of this.#fields) {
      const help = field.name && $(`fault-${field.name}`)
      if (!help) continue
      const words = field.dataset.touched ? (faults.get(field.name) ?? '') : ''
      setText(help, words)
      if (words === '') field.removeAttribute('aria-invalid')
      else field.setAttribute('aria-invalid', 'true')
    }
    return asked.faults.length === 0 ? asked : undefined
  }

  async #preview() {
    const asked = this.#check()
    if (!asked) return /** @type {HTMLElement} */ (this.#form.querySelector('[aria-invalid]'))?.focus()
    const answer = await ask('POST', '/v1/campaigns?dry_run=true', { key: this.#key(), body: asked.campaign })
    if (!succeeded(answer)) return setText($('release-answer'), `It would be refused. ${explain(answer)}`)
    this.#ready = asked
    $('release-effect').replaceChildren(...sentences(asked).map(words => textNode('li', words)))
    setText($('release-do'), 'Make it')
  }

  async #make() {
    const { campaign, round } = this.#ready
    this.#ready = undefined
    const made = await ask('POST', '/v1/campaigns', { key: this.#key(), body: campaign })
    if (!succeeded(made)) return setText($('release-answer'), `Nothing was made. ${explain(made)}`)
    const answer = await ask('POST', `/v1/campaigns/${made.body.id}/rounds`, { key: this.#key(), body: round })
    if (!succeeded(answer))
      return setText(
        $('release-answer'),
        `The campaign ${made.body.id} was made, its round was not. ${explain(answer)}`,
      )
    this.#form.reset()
    this.#showMode()
    for (const field of this.#fields) delete field.dataset.touched
    this.#check()
    setText($('release-answer'), `Made: ${campaign.name}, round ${answer.body.id}.`)
    this.#made()
  }
}
