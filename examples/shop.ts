/**
 * A shop on an origin of its own: it signs its users' tokens and serves shop.html, which claims at the engine with them.
 *
 *   FAIRGRAB_KEY=your-operator-key FAIRGRAB_JWT_SECRET=the-engines-own node_modules/.bin/node examples/shop.ts
 *
 * Start the engine with that FAIRGRAB_JWT_SECRET (32 bytes or more) and FAIRGRAB_ORIGINS=http://127.0.0.1:3000; where it has
 * FAIRGRAB_JWT_ISSUER or FAIRGRAB_JWT_AUDIENCE, give them here, too. FAIRGRAB_URL says where it is, else http://127.0.0.1:8080, PORT
 * where this is, else 3000. Here, type `node deploy/client-package.mjs` once before. The idea to take home: your key stays on your
 * server, a token says who somebody is, and the people's browsers ask the engine themselves.
 */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Fairgrab } from 'fairgrab-client'

const {
  FAIRGRAB_URL = 'http://127.0.0.1:8080',
  FAIRGRAB_KEY = '',
  FAIRGRAB_JWT_SECRET = '',
  PORT = '3000',
} = process.env
const { FAIRGRAB_JWT_ISSUER: iss, FAIRGRAB_JWT_AUDIENCE: aud } = process.env
if (FAIRGRAB_JWT_SECRET === '') throw new Error('set FAIRGRAB_JWT_SECRET here and for the engine')
const TOKEN_S = 600
const OPENS_IN_MS = 10_000

/** A JSON Web Token, HS256. A library does the same; `exp` is required, so give a token minutes and not days. */
function tokenOf(userId: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: userId, exp: Math.floor(Date.now() / 1000) + TOKEN_S, ...(iss && { iss }), ...(aud && { aud }) }
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${createHmac('sha256', FAIRGRAB_JWT_SECRET).update(signed).digest('base64url')}`
}

// Once, on your server, with the key: a campaign, and a round that opens in some seconds.
const fairgrab = new Fairgrab({ url: FAIRGRAB_URL, key: FAIRGRAB_KEY })
const own = `example-${Date.now()}`
const create = (path: string, what: string, body: object) =>
  fairgrab.request<{ id: string }>({ method: 'POST', path, body, key: `${own}-${what}` })
const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const campaign = await create('/v1/campaigns', 'campaign', {
  ...{ name: 'Example: shop', currency: 'CNY' },
  pack: [{ template: '40-10', valid_for_s: 604_800, discount }],
})
const round = await create(`/v1/campaigns/${campaign.id}/rounds`, 'round', {
  stock: 10,
  opens_at: new Date(Date.now() + OPENS_IN_MS).toISOString(),
})

const page = readFileSync(new URL('shop.html', import.meta.url), 'utf8')
const client = readFileSync(fileURLToPath(import.meta.resolve('fairgrab-client/min')))

/** Who asks: the session of a real shop knows; here the address says it. */
const userOf = (query: URLSearchParams): string => query.get('user') ?? 'ada'

createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://shop')
  const send = (type: string, body: string | Buffer) => response.setHeader('content-type', type).end(body)
  if (pathname === '/fairgrab.min.js') return send('text/javascript', client)
  if (pathname === '/token') return send('text/plain', tokenOf(userOf(searchParams)))
  if (pathname === '/settings') return send('application/json', JSON.stringify({ url: FAIRGRAB_URL, round: round.id }))
  return send('text/html; charset=utf-8', page)
}).listen(Number(PORT), '127.0.0.1', () => console.log(`the shop is open: http://127.0.0.1:${PORT}/?user=ada`))
