/**
 * A till that locks a voucher for an order, redeems it, loses the answer, redeems again, and takes it back when the goods return.
 *
 *   FAIRGRAB_KEY=your-operator-key node_modules/.bin/node examples/till.ts
 *
 * FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. Here, type `node deploy/client-package.mjs` once before; in
 * a project of your own, npm install fairgrab-client. The idea to take home: make the key of a change at the till, write it down before
 * you send, and use it again after every fault. A new key would be another redemption.
 */
import { appendFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fairgrab, type NotDone } from 'fairgrab-client'

const { FAIRGRAB_URL: url = 'http://127.0.0.1:8080', FAIRGRAB_KEY: key = '' } = process.env

/** What this till gave out before it sent anything; after a loss of power it goes on from here. */
const book = join(mkdtempSync(join(tmpdir(), 'fairgrab-example-')), 'till-7.ndjson')
const written = (change: string): string => {
  const name = `till-7-${change}-${Date.now()}`
  appendFileSync(book, `${JSON.stringify({ key: name })}\n`)
  return name
}

/** A network that carries a request and loses its answer, as any network may. */
let isLosing = false
const losing: typeof fetch = async (address, init) => {
  const answer = await fetch(address, init)
  if (!isLosing) return answer
  isLosing = false
  console.log('sent, and the connection broke before the answer')
  throw new Error('the network is gone')
}

const till = new Fairgrab({ url, key, fetch: losing })

/** What the cashier reads when it was not done. */
function words(result: NotDone): string {
  switch (result.outcome) {
    case 'refused':
      return `not accepted: ${result.code ?? result.status}`
    case 'not_executed':
      return 'the engine is busy; nothing happened, try again'
    case 'unknown':
      return 'nobody knows yet: keep the key and ask again, also tomorrow'
  }
}

// Once, by the platform: a campaign, a round, and ada's pack.
const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const create = (path: string, body: object) =>
  till.request<{ id: string }>({ method: 'POST', path, body, key: written('set-up') })
const campaign = await create('/v1/campaigns', {
  ...{ name: 'Example: till', currency: 'CNY' },
  pack: [{ template: '40-10', valid_for_s: 604_800, discount }],
})
const round = await create(`/v1/campaigns/${campaign.id}/rounds`, { stock: 1 })
await till.request({ method: 'POST', path: `/v1/rounds/${round.id}/open`, key: written('open') })
const claim = await till.claim(round.id, { user: 'ada' })
if (claim.outcome !== 'granted') throw new Error(`ada holds nothing: ${claim.outcome}`)
const code = claim.vouchers[0]?.code as string

// The voucher is scanned: it is this order's while the customer pays.
const locked = await till.lock(code, { order_id: 'o1', ttl_s: 60 })
console.log(locked.outcome === 'locked' ? `locked for ${locked.body.lock.order_id}` : words(locked))
const other = await till.lock(code, { order_id: 'o2' })
console.log(`another order: ${other.outcome === 'locked' ? 'LOCKED, TOO' : words(other)}`)

// Paid: redeem. The client asks again by itself, under the key that stands in the book.
const order = { code, merchant_id: 'm1', order: { id: 'o1', amount: 5000, currency: 'CNY' } }
const receipt = written('receipt-1001')
isLosing = true
const redeemed = await till.redeem(order, { key: receipt })
if (redeemed.outcome !== 'redeemed') throw new Error(words(redeemed))
const { id, discount_amount: off, payer_amount: pays } = redeemed.body
console.log(`redeemed${redeemed.replayed ? ', by the attempt whose answer was lost' : ''}: ${off} off, ${pays} to pay`)

// The goods come back: the same care for the reversal.
const refund = written('refund-1001')
isLosing = true
const reversed = await till.reverse(id, { type: 'full', reason: 'refund' }, { key: refund })
if (reversed.outcome !== 'reversed') throw new Error(words(reversed))
console.log(`taken back: ${reversed.body.amount}, the voucher is ${reversed.body.voucher_state} again`)

const ledger = { path: `/v1/campaigns/${campaign.id}/ledger` }
const { balances } = await till.request<{ balances: Readonly<Record<string, number>> }>(ledger)
console.log(`owed to the merchant: ${balances['payable:m1']}`)
process.exitCode = redeemed.replayed && reversed.replayed && balances['payable:m1'] === 0 ? 0 : 1
