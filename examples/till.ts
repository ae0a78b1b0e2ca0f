/**
 * A till that redeems a voucher and loses the answer: it sends the same request again, and the money moves once.
 *
 *   FAIRGRAB_KEY=your-operator-key node_modules/.bin/node examples/till.ts
 *
 * FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. The idea to take home: make the Idempotency-Key at the
 * till, write it down before you send, and use it again after every fault. A new key would be another redemption.
 */
import { request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'

const { FAIRGRAB_URL = 'http://127.0.0.1:8080', FAIRGRAB_KEY = '' } = process.env
const TRIES = 10

interface Problem {
  readonly code: string
  readonly retry_after_ms?: number
}

const headers = { authorization: `Bearer ${FAIRGRAB_KEY}`, 'content-type': 'application/json' }

async function post<Body>(path: string, body: object, more: Readonly<Record<string, string>> = {}): Promise<Body> {
  const init = { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) }
  const answer = await fetch(FAIRGRAB_URL + path, init)
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
  return (await answer.json()) as Body
}

/** Redeems, and asks again while nobody knows what happened or waiting can help. Gives the answer's text. */
async function redeem(order: object, key: string): Promise<string> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const init = { method: 'POST', headers: { ...headers, 'idempotency-key': key }, body: JSON.stringify(order) }
    const answer = await fetch(`${FAIRGRAB_URL}/v1/redemptions`, init).catch(() => undefined)
    const text = await answer?.text().catch(() => undefined)
    if (answer?.ok && text !== undefined) return text
    const problem = text === undefined ? undefined : (JSON.parse(text) as Problem)
    // 429, 503 and 504 can end differently later; every other refusal is final (docs/errors.md).
    if (answer && ![429, 503, 504].includes(answer.status)) throw new Error(`not redeemed: ${problem?.code}`)
    await wait(problem?.retry_after_ms ?? 200 * tries)
  }
  throw new Error(`no answer after ${TRIES} tries: keep the key ${key} and go on later`)
}

/** Sends the request and drops the connection before the answer, as a network may at any time. */
function redeemAndLoseTheAnswer(order: object, key: string): Promise<void> {
  return new Promise(done => {
    const sent = request(`${FAIRGRAB_URL}/v1/redemptions`, {
      method: 'POST',
      headers: { ...headers, 'idempotency-key': key },
    })
    sent.on('error', () => done())
    sent.end(JSON.stringify(order), () => sent.destroy(new Error('the network is gone')))
  })
}

const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const campaign = await post<{ id: string }>('/v1/campaigns', {
  ...{ name: 'Example: till', currency: 'CNY' },
  pack: [{ template: '40-10', valid_for_s: 604_800, discount }],
})
const round = await post<{ id: string }>(`/v1/campaigns/${campaign.id}/rounds`, { stock: 1 })
await post(`/v1/rounds/${round.id}/open`, {})
const { vouchers } = await post<{ vouchers: { code: string }[] }>(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })

const code = vouchers[0]?.code
const order = { code, merchant_id: 'm1', order: { id: 'o1', amount: 5000, currency: 'CNY' } }
const key = `till-7-receipt-1001-${Date.now()}`

await redeemAndLoseTheAnswer(order, key)
console.log('sent, and the connection broke before the answer')
const first = await redeem(order, key)
console.log(`asked again: ${first}`)
const second = await redeem(order, key)
console.log(`and again: ${second === first ? 'the same bytes' : 'ANOTHER ANSWER'}`)

const ledger = await fetch(`${FAIRGRAB_URL}/v1/campaigns/${campaign.id}/ledger`, { headers })
const { balances } = (await ledger.json()) as { balances: Readonly<Record<string, number>> }
console.log(`owed to the merchant: ${balances['payable:m1']}`)
process.exitCode = second === first && balances['payable:m1'] === 1000 ? 0 : 1
