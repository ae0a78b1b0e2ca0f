/**
 * The one dialog of all levers: what it will do is asked of the engine and shown before it is done, and how long it took
 * is shown after it.
 *
 * It opens with the engine's dry run as a table of before and after, or with the refusal that would come; confirming sends
 * the same request without `dry_run`. The time is measured until the engine answered and, where the stream has it, until
 * it showed the change here, because that is when everybody sees it. Focus stands on the button that does it, so a pause is two
 * presses of Enter; Escape leaves. Rejected: a second confirmation by typing a name, which costs the seconds that a pause is for.
 */
import { ask, explain, newOnce, succeeded } from '../base/engine-api.js'
import { $, setText, textNode } from '../base/screen-text.js'

const FIELDS = ['stock', 'reason', 'rates']

export class LeverDialog {
  #key
  #lever
  #number = 0
  /** The key of the change as it is filled in: whoever presses again when no answer came asks for the same one. */
  #once = ''
  /** @type {HTMLDialogElement} */
  #dialog = document.querySelector('dialog#lever')

  /** `key` gives the key that is typed in now. */
  constructor(key) {
    this.#key = key
    $('lever-form').addEventListener('submit', event => {
      event.preventDefault()
      void this.#confirm()
    })
    $('lever-cancel').addEventListener('click', () => this.#dialog.close())
    $('lever-form').addEventListener('input', () => void this.#preview())
  }

  /**
   * Opens for a lever: { word, title, field, first, request, rows, shown, done }. `field` names the inputs that it needs, `first` is
   * the one to begin with, `request` gives { path, body } or, while something is missing, a text; `rows` makes the table of a
   * dry run's answer; `shown(from)` resolves with the milliseconds until the stream showed it; `done` is called after it.
   */
  open(lever) {
    this.#lever = lever
    setText($('lever-title'), lever.title)
    setText($('lever-do'), lever.word)
    for (const field of FIELDS) $(`lever-${field}`).hidden = field !== lever.field
    $('lever-cancel').textContent = 'Leave it'
    this.#dialog.showModal()
    if (lever.first) $(lever.first).select()
    void this.#preview()
  }

  /** Asks what would change, and shows it unless something newer was asked meanwhile. */
  async #preview() {
    const number = ++this.#number
    this.#once = newOnce()
    const { request, rows, first } = this.#lever
    $('lever-do').hidden = true
    $('lever-effect').hidden = true
    const asked = request()
    if (typeof asked === 'string') return setText($('lever-answer'), asked)
    setText($('lever-answer'), 'Asking what would change…')
    const answer = await ask('POST', `${asked.path}?dry_run=true`, { key: this.#key(), body: asked.body })
    if (number !== this.#number) return
    setText($('lever-answer'), succeeded(answer) ? '' : `It would be refused. ${explain(answer)}`)
    if (!succeeded(answer)) return
    this.#show(rows(answer.body))
    $('lever-do').hidden = false
    if (!first) $('lever-do').focus()
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
    const number = ++this.#number
    const { request, shown, done } = this.#lever
    const { path, body } = request()
    const from = performance.now()
    $('lever-do').hidden = true
    setText($('lever-answer'), 'Asked…')
    const seen = shown?.(from)
    const answer = await ask('POST', path, { key: this.#key(), body, once: this.#once })
    const words = `Done: the engine answered after ${Math.round(performance.now() - from)} ms.`
    if (number !== this.#number) return
    if (answer.status === 0) $('lever-do').hidden = false
    if (!succeeded(answer))
      return setText($('lever-answer'), `${answer.status === 0 ? '' : 'Not done. '}${explain(answer)}`)
    setText($('lever-answer'), seen ? words : `${words} It holds on every node.`)
    $('lever-cancel').textContent = 'Close this'
    $('lever-cancel').focus()
    done?.(answer.body)
    if (!seen) return
    const ms = await seen
    if (number !== this.#number) return
    const stream = ms === undefined ? 'The stream has not shown it yet.' : `The stream showed it here after ${ms} ms.`
    setText($('lever-answer'), `${words} ${stream}`)
  }
}
