/**
 * People claim for themselves, with a token that your platform signs: your key never leaves your server.
 *
 *   FAIRGRAB_KEY=your-operator-key FAIRGRAB_JWT_SECRET=the-engines-own node_modules/.bin/node examples/user-token.ts
 *
 * The engine has to be started with that FAIRGRAB_JWT_SECRET (32 bytes or more); where it has FAIRGRAB_JWT_ISSUER or
 * FAIRGRAB_JWT_AUDIENCE, give them here, too. FAIRGRAB_URL says where it is, else
 * http://127.0.0.1:8080. The idea to take home: the token says who somebody is, and no body of a request can say otherwise.
 */
import { createHmac } from 'node:crypto'

const { FAIRGRAB_URL = 'http://127.0.0.1:8080', FAIRGRAB_KEY = '', FAIRGRAB_JWT_SECRET = '' } = process.env
const { FAIRGRAB_JWT_ISSUER: iss, FAIRGRAB_JWT_AUDIENCE: aud } = process.env
if (FAIRGRAB_JWT_SECRET === '') throw new Error('set FAIRGRAB_JWT_SECRET here and for the engine')

/** A JSON Web Token, HS256. A library does the same; `exp` is required, so give a token minutes and not days. */
function tokenOf(userId: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: userId, exp: Math.floor(Date.now() / 1000) + 600, ...(iss && { iss }), ...(aud && { aud }) }
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${createHmac('sha256', FAIRGRAB_JWT_SECRET).update(signed).digest('base64url')}`
}

interface Answer {
  readonly id?: string
  readonly code?: string
  readonly detail?: string
  readonly outcome?: string
  readonly claim?: { readonly user_id: string; readonly sequence: number }
}

async function post(path: string, credential: string, body: object = {}): Promise<Answer> {
  const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json' }
  const answer = await fetch(FAIRGRAB_URL + path, { method: 'POST', headers, body: JSON.stringify(body) })
  // A key that is wrong ends here; what a person's token may not do is what this example shows.
  if (!answer.ok && credential === FAIRGRAB_KEY) throw new Error(`${path}: ${await answer.text()}`)
  return (await answer.json()) as Answer
}

// Once, on your server, with the key.
const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const campaign = await post('/v1/campaigns', FAIRGRAB_KEY, {
  ...{ name: 'Example: user token', currency: 'CNY' },
  pack: [{ template: '40-10', valid_for_s: 604_800, discount }],
})
const round = await post(`/v1/campaigns/${campaign.id}/rounds`, FAIRGRAB_KEY, { stock: 10 })
await post(`/v1/rounds/${round.id}/open`, FAIRGRAB_KEY)

// In ada's browser, with a token that your login page was given for ada.
const token = tokenOf('ada')
const own = await post(`/v1/rounds/${round.id}/claims`, token)
if (own.outcome !== 'granted') throw new Error(`ada's claim: ${own.code}: ${own.detail}`)
console.log(`ada claims: ${own.outcome}, number ${own.claim?.sequence}, for ${own.claim?.user_id}`)
const other = await post(`/v1/rounds/${round.id}/claims`, token, { user_id: 'bo' })
console.log(`ada claims for bo: ${other.code}`)
const forged = await post(`/v1/rounds/${round.id}/claims`, `${token.slice(0, -4)}AAAA`)
console.log(`a token that was changed: ${forged.code}`)
process.exitCode = other.code === 'forbidden' && forged.code === 'unauthorized' ? 0 : 1
