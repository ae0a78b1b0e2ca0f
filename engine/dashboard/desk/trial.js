/**
 * Trying things out: the small campaign and round that the page can make, and what a granted claim looks like.
 *
 * The same two objects are sent by the button and shown as curl lines, so the lines cannot go stale alone. The round's
 * opening lies in the past, which opens it at once.
 */
import { shownText, textNode } from '../base/screen-text.js'

export const DEMO_CAMPAIGN = {
  name: 'Demo',
  currency: 'EUR',
  pack: [
    {
      template: '40-10',
      quantity: 2,
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
      valid_for_s: 604_800,
    },
  ],
}

export const DEMO_ROUND = { stock: 500, opens_at: '2020-01-01T00:00:00.000Z' }

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** A claim that holds, with its voucher codes; `entered` is a draw's claim, which has none yet. */
export function grantNodes({ outcome, replayed, claim, vouchers = [] }) {
  if (!claim) return [textNode('p', `Taken in: ${outcome}.`)]
  const again = replayed ? 'Granted before, and this is the same claim' : 'Granted'
  const list = document.createElement('ul')
  for (const { code, template, state, expires_at: expires } of vouchers) {
    const row = document.createElement('li')
    row.append(textNode('code', code), shownText(`${template}, ${state}, until ${moments.format(new Date(expires))}`))
    list.append(row)
  }
  const place = `number ${claim.sequence.toLocaleString()} of the round, pool ${claim.pool}`
  return [textNode('p', `${again}: ${claim.user_id} is ${place}.`), list]
}
