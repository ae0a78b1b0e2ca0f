/**
 * The levers that are of no round: rates of callers, merchants that may not redeem, vouchers out of use.
 *
 * They use the dialog of the round's levers, so each is shown dry, confirmed, timed and audited like those. What is set now
 * stands beside the buttons and is read again after each change. Rejected: fields that act as they are typed. A rate that lost
 * a digit on its way would shut a city out.
 */
import { ask, succeeded } from '../base/engine-api.js'
import { $, buttonNode, textNode } from '../base/screen-text.js'

const RATES = { user: 'One user', address: 'One address without a key', key: 'One API key' }
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const numbers = new Intl.NumberFormat()

const rateWords = rate => (rate === 0 ? 'no limit' : `${numbers.format(rate)} / s`)
const heldWords = held => (held ? `Held: ${held.reason}` : 'May redeem')
const MISSING_REASON = 'Say why: it is kept in the audit log.'

const rateRows = ({ before, after }) =>
  Object.entries(RATES).map(([name, what]) => [what, rateWords(before[name]), rateWords(after[name])])

/** What is typed as rates; nothing typed takes back what was set. */
function ratesAsked() {
  const fields = Object.keys(RATES).map(name => [name, $(`lever-rate-${name}`).value.trim()])
  if (fields.some(([, text]) => !/^\d{0,8}$/.test(text)))
    return 'A rate is a whole number of requests a second; 0 is no limit.'
  return {
    path: '/v1/rates',
    body: Object.fromEntries(fields.map(([name, text]) => [name, text === '' ? null : Number(text)])),
  }
}

export class DeskLevers {
  #dialog
  #key

  constructor(dialog, key) {
    this.#dialog = dialog
    this.#key = key
    $('change-rates').addEventListener('click', () => this.#openRates())
    $('merchant-form').addEventListener('submit', event => {
      event.preventDefault()
      const id = $('merchant').value.trim()
      if (id !== '') this.#openHold(id)
    })
  }

  /** Reads what is set now, and shows the section to a key that may read it. */
  async read() {
    const key = this.#key()
    const [rates, holds] = await Promise.all(['/v1/rates', '/v1/holds'].map(path => ask('GET', path, { key })))
    if (!succeeded(rates) || !succeeded(holds)) return
    $('controls').hidden = false
    this.#rates = rates.body
    const words = Object.entries(RATES).map(([name, what]) =>
      textNode('li', `${what}: ${rateWords(rates.body.rates[name])}`),
    )
    $('rates').replaceChildren(...words)
    $('held').replaceChildren(...holds.body.data.map(held => this.#heldRow(held)))
    $('none-held').hidden = holds.body.data.length > 0
  }

  #rates

  #heldRow({ merchant_id: id, reason, at }) {
    const row = textNode('li', `${id}, since ${moments.format(new Date(at))}: ${reason} `)
    row.append(buttonNode('Release', `Release: ${id}`, () => this.#openRelease(id)))
    return row
  }

  #openRates() {
    const { rates, configured } = this.#rates
    for (const name of Object.keys(RATES)) {
      $(`lever-rate-${name}`).value = rates[name] === configured[name] ? '' : String(rates[name])
      $(`lever-rate-${name}`).placeholder = String(configured[name])
    }
    this.#dialog.open({
      word: 'Set them',
      title: 'Rates of callers',
      field: 'rates',
      first: 'lever-rate-user',
      request: ratesAsked,
      rows: rateRows,
      done: () => void this.read(),
    })
  }

  #openHold(id) {
    const path = `/v1/merchants/${encodeURIComponent(id)}/hold`
    this.#reasoned({
      word: 'Hold',
      title: `Hold the merchant ${id}`,
      path,
      rows: ({ before, after }) => [['Merchant', heldWords(before), heldWords(after)]],
      done: () => void this.read(),
    })
  }

  #openRelease(id) {
    this.#dialog.open({
      word: 'Release',
      title: `Release the merchant ${id}`,
      request: () => ({ path: `/v1/merchants/${encodeURIComponent(id)}/release` }),
      rows: ({ before, after }) => [['Merchant', heldWords(before), heldWords(after)]],
      done: () => void this.read(),
    })
  }

  /** Takes a voucher out of use; `done` is called after it. */
  openDeactivation(code, done) {
    this.#reasoned({
      word: 'Deactivate',
      title: `Take ${code} out of use`,
      path: `/v1/vouchers/${code}/deactivate`,
      rows: ({ before, after }) => [['Voucher', before, after]],
      done,
    })
  }

  #reasoned({ path, ...lever }) {
    $('lever-why').value = ''
    const request = () => {
      const reason = $('lever-why').value.trim()
      return reason === '' ? MISSING_REASON : { path, body: { reason } }
    }
    this.#dialog.open({ ...lever, field: 'reason', first: 'lever-why', request })
  }
}
