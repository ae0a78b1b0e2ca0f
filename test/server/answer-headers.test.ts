/**
 * Headers of answers: each that is sent is described at its operation and status in /openapi.json, and each that has to be there is.
 *
 * Answers of all kinds are asked of a worker with rates for everybody and a page of another origin, and what came is held against the
 * served document. Api (support/api.ts) holds every other answer of the tests to the same table. HTTP's own headers are the
 * library's. Rejected: a list of the headers here; the document is the list.
 */
import { beforeAll, expect, test } from 'vitest'
import { Api, CAMPAIGN, type Fields, type Granted, makeCampaign, makeRound, type Reply } from '../support/api.ts'
import { standalone } from '../support/contract.ts'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

const ORIGIN = 'https://shop.example'
/** Of HTTP, whatever the answer is about. */
const OWN = ['connection', 'content-length', 'content-type', 'date', 'keep-alive', 'transfer-encoding']

const worker = useWorker({
  ...{ FAIRGRAB_ORIGINS: ORIGIN, FAIRGRAB_RATE_KEY: '500', FAIRGRAB_RATE_ADDRESS: '3', FAIRGRAB_RATE_WRONG_CODES: '2' },
})

interface Described {
  readonly required?: boolean
}
type Document = Readonly<Record<'paths', Readonly<Record<string, Readonly<Record<string, Fields>>>>>>
let operator: Api
let document: Document
beforeAll(async () => {
  operator = new Api(worker.url, KEYS.operator)
  document = (await operator.get<Document & Fields>('/openapi.json')).body
})

/** What is wrong with the headers of an answer, by the document. */
function complaints(method: string, path: string, { status, headers }: Reply<unknown>): readonly string[] {
  const operation = document.paths[path]?.[method]
  const response = (operation?.responses as Fields | undefined)?.[status]
  const { headers: described = {} } = standalone(document, response) as {
    headers?: Readonly<Record<string, Described>>
  }
  const names = Object.keys(described)
  const sent = [...headers.keys()].filter(name => !OWN.includes(name))
  const where = `${method} ${path} ${status}`
  return [
    ...sent.filter(name => !names.some(each => each.toLowerCase() === name)).map(name => `${where} sends ${name}`),
    ...names.filter(name => described[name]?.required && !headers.has(name)).map(name => `${where} lacks ${name}`),
  ]
}

const seen = new Map<string, Set<string>>()
async function held<Body>(
  method: string,
  path: string,
  asked: Promise<Reply<Body>>,
  status: number,
): Promise<Reply<Body>> {
  const reply = await asked
  expect([path, reply.status]).toEqual([path, status])
  expect(complaints(method, path, reply)).toEqual([])
  for (const name of reply.headers.keys())
    seen.set(name, (seen.get(name) ?? new Set()).add(`${method} ${path} ${status}`))
  return reply
}

const at = (name: string): readonly string[] => [...(seen.get(name) ?? [])].sort()

test('every header that is sent is described where it is sent', async () => {
  const page = { origin: ORIGIN }
  const campaigns = '/v1/campaigns'
  const [rounds, claims, round] = ['/v1/rounds', '/v1/rounds/{id}/claims', '/v1/rounds/{id}']
  const key = { 'idempotency-key': 'once', ...page }
  const { body } = await held('post', campaigns, operator.post(campaigns, CAMPAIGN, key), 201)
  await held('post', campaigns, operator.post(campaigns, CAMPAIGN, key), 200)
  await held('post', campaigns, operator.post(campaigns, { ...CAMPAIGN, name: 'other' }, key), 422)
  const open = await makeRound(operator)
  const path = `${rounds}/${open.id}`
  const claim = (user_id: string) => operator.post<Granted>(`${path}/claims`, { user_id }, page)
  const { vouchers } = (await held('post', claims, claim('ada'), 201)).body
  await held('post', claims, claim('ada'), 200)
  await held('get', claims, operator.get(`${path}/claims`, { accept: 'application/x-ndjson', ...page }), 200)
  const redemption = { code: vouchers[0]?.code, order: { id: 'o1', amount: 5000, currency: 'CNY' }, merchant_id: 'm1' }
  const redeem = (id: string, more: Fields = {}) =>
    operator.post('/v1/redemptions', { ...redemption, ...more }, { 'idempotency-key': id, ...page })
  await held('post', '/v1/redemptions', redeem('r1'), 201)
  await held('post', '/v1/redemptions', redeem('r1'), 200)
  const lock = (order_id: string) =>
    operator.post(`/v1/vouchers/${vouchers[1]?.code}/lock`, { order_id, ttl_s: 30 }, page)
  await held('post', '/v1/vouchers/{code}/lock', lock('o2'), 200)
  await held('post', '/v1/vouchers/{code}/lock', lock('o3'), 423)
  await held('post', '/v1/redemptions', redeem('r2', { code: vouchers[1]?.code }), 423)
  await operator.post(`${path}/pause`)
  await held('post', claims, claim('bo'), 409)
  const later = await operator.post<{ id: string }>(`${campaigns}/${await makeCampaign(operator)}/rounds`, { stock: 1 })
  await held('post', claims, operator.post(`${rounds}/${later.body.id}/claims`, { user_id: 'ada' }, page), 425)
  await held('get', round, operator.as('nobody-has-this').get(path, page), 401)
  const nobody = operator.as('')
  await held('get', round, nobody.get(path, page), 200)
  await held('post', campaigns, nobody.post(campaigns, CAMPAIGN, page), 401)
  for (let i = 0; i < 3; i++) await nobody.get(path)
  await held('get', round, nobody.get(path, page), 429)
  await held('get', '/readyz', operator.get('/readyz?verbose', page), 200)
  expect(body).toBeDefined()

  const [everywhere, ndjson] = [at('content-type'), 'get /v1/rounds/{id}/claims 200']
  expect(everywhere).toContain(ndjson)
  for (const name of ['ratelimit', 'ratelimit-policy', 'access-control-allow-origin', 'vary'])
    expect([name, at(name)]).toEqual([name, everywhere])
  expect(at('www-authenticate')).toEqual(['get /v1/rounds/{id} 401', 'post /v1/campaigns 401'])
  expect(at('idempotent-replayed')).toEqual(['post /v1/campaigns 200', 'post /v1/redemptions 200'])
  expect(at('retry-after')).toEqual([
    'get /v1/rounds/{id} 429',
    'post /v1/redemptions 423',
    'post /v1/rounds/{id}/claims 409',
    'post /v1/rounds/{id}/claims 425',
    'post /v1/vouchers/{code}/lock 423',
  ])
})

test('a header is described only where it may come', () => {
  const having = (name: string) =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { responses }]) =>
        Object.entries(responses as Fields).flatMap(([status, response]) => {
          const { headers = {} } = standalone(document, response) as { headers?: Fields }
          return name in headers ? [`${method} ${path} ${status}`] : []
        }),
      ),
    )
  expect(having('WWW-Authenticate').filter(where => !where.endsWith(' 401'))).toEqual([])
  expect(having('Idempotent-Replayed').filter(where => !/^(post|put) .* 200$/.test(where))).toEqual([])
  // A refusal that nothing but somebody's change can end has no time.
  expect(having('Retry-After').filter(where => !/ (409|423|425|429|503|504)$/.test(where))).toEqual([])
  expect(having('Retry-After')).not.toContain('post /v1/campaigns/{id}/settlements 409')
})
