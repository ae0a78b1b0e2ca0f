/**
 * One case looked up at the desk, by a user's name or a voucher's code: their claims in all rounds with their vouchers, and
 * of each voucher what became of it, step by step.
 *
 * A text that has the form of a code is looked up as a code, everything else as a user; a code's owner is then looked up too,
 * because the next question is what else they have. Rejected: looking while typing. Each look reads a ledger.
 */
import { ask, explain, succeeded } from '../base/engine-api.js'
import { $, buttonNode, setText, shownText, stateWord, textNode } from '../base/screen-text.js'

const CODE = /^[0-9A-HJKMNP-TV-Z]{20}$/i
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

const eventWords = ({ at, event, by, via, merchant_id: merchant, note }) =>
  [
    ...[moments.format(new Date(at)), event, merchant && `at ${merchant}`],
    ...[by && `by ${by}`, via && `via ${via}`, note && `“${note}”`],
  ]
    .filter(Boolean)
    .join(', ')

export class CaseLookup {
  #key
  #titleOf
  #deactivate

  /** `titleOf` names a round's campaign; `deactivate` opens the lever for a code. */
  constructor({ key, titleOf, deactivate }) {
    this.#key = key
    this.#titleOf = titleOf
    this.#deactivate = deactivate
    $('lookup').addEventListener('submit', event => {
      event.preventDefault()
      void this.look()
    })
  }

  async look() {
    const asked = $('lookup-what').value.trim()
    if (asked === '') return
    setText($('lookup-answer'), 'Looking…')
    $('lookup-claims').replaceChildren()
    const user = CODE.test(asked) ? await this.#ownerOf(asked.toUpperCase()) : asked
    if (user === undefined) return
    const answer = await ask('GET', `/v1/claims?user_id=${encodeURIComponent(user)}`, { key: this.#key() })
    if (!succeeded(answer)) return setText($('lookup-answer'), `Not looked up. ${explain(answer)}`)
    const { data, has_more: more } = answer.body
    const count = data.length === 1 ? '1 claim' : `${data.length}${more ? ' newest' : ''} claims`
    setText($('lookup-answer'), data.length === 0 ? `${user} holds nothing and entered nothing.` : `${user}: ${count}.`)
    $('lookup-claims').replaceChildren(...(await Promise.all(data.map(row => this.#claimNode(row)))))
  }

  /** The owner of a code; in a drawn round they are a tag, so only the voucher is shown and this is undefined. */
  async #ownerOf(code) {
    const answer = await ask('GET', `/v1/vouchers/${code}`, { key: this.#key() })
    if (!succeeded(answer)) {
      setText($('lookup-answer'), `No such voucher. ${explain(answer)}`)
      return undefined
    }
    const { user_id: user } = answer.body
    if (!user.startsWith('tag:')) return user
    setText($('lookup-answer'), `The voucher of a drawn round; its holder is ${user}.`)
    const item = document.createElement('li')
    const list = document.createElement('ul')
    list.append(await this.#voucherNode(answer.body))
    item.append(list)
    $('lookup-claims').replaceChildren(item)
    return undefined
  }

  async #claimNode({
    round_id: id,
    campaign_id: campaign,
    round_state: state,
    outcome,
    claim,
    vouchers = [],
    receipt,
  }) {
    const item = document.createElement('li')
    const round = `${this.#titleOf({ id, campaignId: campaign })} (${stateWord(state)})`
    const how = {
      entered: () => `entered ${moments.format(new Date(receipt.at))}, window ${receipt.window}`,
      sold_out: () => 'entered and was not drawn',
      fenced: () => 'cannot be read now',
    }[outcome]
    const granted = () =>
      `number ${claim.sequence.toLocaleString()}, slot ${claim.slot}, pool ${claim.pool}, ${moments.format(new Date(claim.granted_at))}`
    item.append(textNode('h3', round), textNode('p', (how ?? granted)()))
    const list = document.createElement('ul')
    list.append(...(await Promise.all(vouchers.map(voucher => this.#voucherNode(voucher)))))
    item.append(list)
    return item
  }

  async #voucherNode({ code, state, template }) {
    const item = document.createElement('li')
    const head = document.createElement('p')
    head.append(textNode('code', code), shownText(` ${template}, `), textNode('strong', state))
    item.append(head)
    const answer = await ask('GET', `/v1/vouchers/${code}/history`, { key: this.#key() })
    const events = succeeded(answer) ? answer.body.events.map(eventWords) : [explain(answer)]
    const steps = document.createElement('ol')
    steps.append(...events.map(words => textNode('li', words)))
    item.append(steps)
    const deactivate = () => this.#deactivate(code, () => void this.look())
    if (['active', 'locked'].includes(state)) item.append(buttonNode('Deactivate', `Deactivate: ${code}`, deactivate))
    return item
  }
}
