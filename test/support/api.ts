/**
 * The public API as a test speaks it: one call, in either encoding, and the whole answer back.
 *
 * A reply keeps its status, its headers and its body decoded by what its own Content-Type says, so that an answer in
 * the wrong encoding fails where it is read. Bodies go out as the encoding of the client unless they are bytes, which
 * go out as they are: that is how a test sends what no client would. The makers below build the campaign and the
 * round that most tests want, over the API like everybody else. Every answer is held to /openapi.json.
 *
 * Rejected: the product's own client. It would hide the statuses and headers that these tests are about.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import { Packr, Unpackr } from 'msgpackr'
import { expect } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { misfitOf } from './contract.ts'
import { KEYS } from './engine.ts'

/** Idle connections go before the engine would end them. */
const KEPT = { keepAlive: true, timeout: 4000 }
const agents = { 'http:': new http.Agent(KEPT), 'https:': new https.Agent(KEPT) }

export type Encoding = 'json' | 'msgpack'
export const MEDIA = { json: 'application/json', msgpack: 'application/vnd.msgpack' } as const

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true })

export const pack = (value: unknown): Buffer => Buffer.from(packr.pack(value))
export const unpack = (bytes: Uint8Array): unknown => unpackr.unpack(bytes)

/** A longer answer has more rows of the same kind, and the worker of many tests waits in this process meanwhile. */
const JUDGED_BYTES_MAX = 65_536

export type Fields = Readonly<Record<string, unknown>>

export interface Reply<Body = Fields> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
  /** The body as it came. */
  readonly bytes: Buffer
}

export interface Asked {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export class Api {
  readonly url: string
  readonly encoding: Encoding
  readonly #credential: string

  /** An empty credential is nobody. */
  constructor(url: string, credential = '', encoding: Encoding = 'json') {
    this.url = url
    this.encoding = encoding
    this.#credential = credential
  }

  /** The same engine, asked by somebody else. */
  as(credential: string): Api {
    return new Api(this.url, credential, this.encoding)
  }

  get<Body = Fields>(path: string, headers: Asked['headers'] = {}): Promise<Reply<Body>> {
    return this.call('GET', path, { headers })
  }

  post<Body = Fields>(path: string, body?: unknown, headers: Asked['headers'] = {}): Promise<Reply<Body>> {
    return this.call('POST', path, { body, headers })
  }

  async call<Body = Fields>(method: string, path: string, { body, headers = {} }: Asked = {}): Promise<Reply<Body>> {
    const {
      status,
      headers: sent,
      bytes,
    } = await exchange(this.url + path, {
      method,
      headers: {
        ...(this.#credential === '' ? {} : { authorization: `Bearer ${this.#credential}` }),
        ...(body === undefined ? {} : { 'content-type': MEDIA[this.encoding] }),
        accept: MEDIA[this.encoding],
        ...headers,
      },
      body: body === undefined ? undefined : this.#encode(body),
    })
    const type = sent.get('content-type') ?? ''
    const answer = decoded(bytes, type)
    const isJudged = bytes.length <= JUDGED_BYTES_MAX
    const misfit = isJudged ? misfitOf(method, path, { status, type, headers: sent, body: answer }) : undefined
    if (misfit !== undefined) throw new Error(misfit)
    return { status, headers: sent, body: answer as Body, bytes }
  }

  #encode(body: unknown): string | Uint8Array {
    if (body instanceof Uint8Array) return body
    return this.encoding === 'json' ? JSON.stringify(body) : pack(body)
  }
}

interface Request {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
}

/** One request over a connection that is kept. Node's own client, as `fetch` costs three times as much, in the process of many engines. */
function exchange(url: string, { method, headers, body }: Request): Promise<Omit<Reply, 'body'>> {
  const { promise, resolve, reject } = Promise.withResolvers<Omit<Reply, 'body'>>()
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const protocol = url.startsWith('https:') ? 'https:' : 'http:'
  const { request } = protocol === 'https:' ? https : http
  const options = { method, headers: { ...headers, ...length }, agent: agents[protocol] }
  const asked = request(url, options, response => {
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => parts.push(part))
    response.on('error', reject)
    response.on('end', () => {
      const { statusCode = 0, headersDistinct } = response
      const sent = Object.entries(headersDistinct).flatMap(
        ([name, values]) => values?.map(value => [name, value]) ?? [],
      )
      resolve({ status: statusCode, headers: new Headers(sent as [string, string][]), bytes: Buffer.concat(parts) })
    })
  })
  asked.on('error', reject)
  asked.end(body)
  return promise
}

function decoded(bytes: Buffer, type: string): unknown {
  if (type === MEDIA.json || type === 'application/problem+json') return JSON.parse(bytes.toString())
  return type === MEDIA.msgpack ? unpack(bytes) : bytes.toString()
}

/** The answer is the problem that the table has for a code, whole and in one piece. Returns its body. */
export function expectProblem({ status, headers, body }: Reply, code: Code, more: Fields = {}): Fields {
  const row = CODES[code]
  expect({ code: body.code, status }, JSON.stringify(body)).toEqual({ code, status: row.status })
  expect(['application/problem+json', MEDIA.msgpack]).toContain(headers.get('content-type'))
  expect(body).toMatchObject({ type: expect.any(String), title: row.title, status: row.status, ...more })
  expect(body.detail).toEqual(expect.stringMatching(/./))
  const retry = headers.get('retry-after')
  expect(retry === null ? undefined : Number(retry)).toBe(body.retry_after_s)
  return body
}

/** A campaign with everything that one may have. */
export const CAMPAIGN = {
  name: 'Hangzhou spring 2020',
  sponsor: 'hangzhou',
  currency: 'CNY',
  budget: { max_amount: 7_500_000_000 },
  pack: [
    {
      template: '40-10',
      quantity: 5,
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
      valid_for_s: 604_800,
      max_per_order: 1,
      max_per_merchant_per_day: 2,
      merchant_tags: ['small_shop'],
    },
  ],
  limits: { per_user: 1 },
}

export const PACK = [
  {
    template: '40-10',
    quantity: 2,
    discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
    valid_for_s: 604_800,
  },
] as const

export interface Pool {
  readonly name: string
  readonly total: number
  readonly granted: number
  readonly remaining: number
}

export interface Round {
  readonly id: string
  readonly campaign_id: string
  readonly state: string
  readonly opens_at: string | null
  readonly closes_at: string | null
  readonly allocation: Fields
  readonly stock: {
    readonly total: number
    readonly granted: number
    readonly remaining: number
    readonly epoch: string
    readonly version: number
  }
  readonly pools: readonly Pool[]
}

export interface Granted {
  readonly outcome: string
  readonly replayed?: true
  readonly claim: {
    readonly id: string
    readonly round_id: string
    readonly user_id: string
    readonly pool: string
    readonly slot: number
    readonly sequence: number
    readonly granted_at: string
  }
  readonly vouchers: readonly {
    readonly code: string
    readonly template: string
    readonly state: string
    readonly expires_at: string
  }[]
}

export const LONG_AGO = '2020-01-01T00:00:00.000Z'

/** Asks again what is shed by a worker that stood still: on a busy machine any may, and it certainly executed nothing. */
export async function patiently<Body>(ask: () => Promise<Reply<Body>>): Promise<Reply<Body>> {
  const reply = await ask()
  return (reply.body as Fields).code === 'overloaded' ? patiently(ask) : reply
}

/** A campaign of one small pack; fields given here replace those of the default. */
export async function makeCampaign(api: Api, rules: Fields = {}): Promise<string> {
  const asked = { name: 'test', currency: 'CNY', pack: PACK, ...rules }
  const operator = api.as(KEYS.operator)
  const { status, body } = await patiently(() => operator.post<{ id: string }>('/v1/campaigns', asked))
  expect(status, JSON.stringify(body)).toBe(201)
  return body.id
}

/** A round that is open at once, in a campaign of its own; `rules` are the round's, `campaign` the campaign's. */
export async function makeRound(api: Api, rules: Fields = {}, campaign: Fields = {}): Promise<Round> {
  const campaignId = await makeCampaign(api, campaign)
  const asked = { stock: 10, opens_at: LONG_AGO, ...rules }
  const operator = api.as(KEYS.operator)
  const { status, body } = await patiently(() => operator.post<Round>(`/v1/campaigns/${campaignId}/rounds`, asked))
  expect(status, JSON.stringify(body)).toBe(201)
  return body
}
