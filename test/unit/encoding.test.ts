/**
 * The edge of the wire: bytes become plain data or the word malformed, and bodies become requests or a complaint that
 * names the field.
 *
 * What must never happen is checked on random bytes too: another kind of error, a value that is more than data (a
 * date, a set, a class of its own), a prototype that a client could reach.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CLAIMS_PER_REQUEST_MAX, STOCK_MAX } from '../../engine/base/limits.ts'
import { answerEncoding, decode, type Encoding, encode, encodingOf, Malformed } from '../../engine/wire/encoding.ts'
import {
  claim,
  claimsBatch,
  complaint,
  newCampaign,
  newRound,
  redemption,
  restock,
  streamFrame,
} from '../../engine/wire/schemas.ts'
import { below, random, seed } from '../support/seed.ts'

const ENCODINGS: readonly Encoding[] = ['json', 'msgpack']
const nest = (depth: number, inner: unknown = 1): unknown => (depth === 0 ? inner : nest(depth - 1, [inner]))

/** Whether a value is data and nothing else. */
function isPlain(value: unknown): boolean {
  if (value === null || value === undefined) return true
  if (typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'symbol'
  const prototype: unknown = Object.getPrototypeOf(value)
  if (value instanceof Uint8Array) return true
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return false
  return Object.values(value).every(isPlain)
}

test.each(ENCODINGS)('%s: what is encoded comes back', encoding => {
  const json = fc
    .jsonValue({ depthSize: 'small' })
    .filter(value => !JSON.stringify(value).includes('__proto__') && !Object.is(value, -0))
  fc.assert(
    fc.property(json, value => {
      const text = JSON.stringify(value)
      expect(JSON.stringify(decode(encode(JSON.parse(text), encoding), encoding))).toBe(text)
    }),
    { seed },
  )
})

test.each(ENCODINGS)('%s: 16 levels are read, 17 are not, wherever the deepest lies', encoding => {
  const wide = (depth: number) => ({ first: 1, list: ['x', 2, null, nest(depth - 2)] })
  for (const shape of [nest, wide, (depth: number) => ({ a: { b: nest(depth - 2, 'some longer text behind it') } })]) {
    expect(decode(encode(shape(16), encoding), encoding)).toEqual(shape(16))
    expect(() => decode(encode(shape(17), encoding), encoding)).toThrow(Malformed)
  }
})

test.each(ENCODINGS)('%s: 100,000 levels end as malformed and not as an end of the process', encoding => {
  const bytes =
    encoding === 'json' ? Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)) : Buffer.alloc(100_000, 0x91)
  expect(() => decode(bytes, encoding)).toThrow(Malformed)
  const maps = encoding === 'json' ? Buffer.from('{"a":'.repeat(50_000)) : Buffer.from('81a161'.repeat(50_000), 'hex')
  expect(() => decode(maps, encoding)).toThrow(Malformed)
})

test.each(ENCODINGS)('%s: a name that is a prototype reaches no prototype, and no schema takes it', encoding => {
  const hostile = '{"user_id":"u1","__proto__":{"slot":3,"polluted":true}}'
  const bytes =
    encoding === 'json'
      ? Buffer.from(hostile)
      : Buffer.from('82a7757365725f6964a27531a95f5f70726f746f5f5f81a4736c6f7403', 'hex')
  const value = decode(bytes, encoding)
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  const parsed = claim.safeParse(value)
  expect(parsed.success ? parsed.data.slot : 'refused').not.toBe(3)
})

test.each(ENCODINGS)('%s: random bytes give data or Malformed, and nothing is read behind the end', encoding => {
  const next = random(encoding.length)
  let read = 0
  for (let i = 0; i < 50_000; i++) {
    const around = Buffer.alloc(64, 0xc0)
    const length = 1 + below(next, 24)
    for (let at = 0; at < length; at++) around[at] = encoding === 'json' ? 32 + below(next, 95) : below(next, 256)
    try {
      const value = decode(around.subarray(0, length), encoding)
      read++
      if (!isPlain(value)) throw new Error(`${around.subarray(0, length).toString('hex')} is more than data`)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
    }
  }
  expect(read).toBeGreaterThan(0)
})

test.each([
  ['nothing', '', ''],
  ['half of it', '{"user_id":"u', '81a7757365725f6964a2'],
  ['two values', '{}{}', '8080'],
  ['an unknown head', '\u0000', 'c1'],
  ['a list longer than its bytes', '[1,', 'dd7fffffff01'],
  ['a date', '{"a":Date}', 'd6ff5f5e1000'],
  ['a regular expression', '{"a":/x/}', 'c70578' + '92a178a167'],
  ['an error object', 'undefined', 'c70965' + '92a54572726f72a178'],
  ['a set', '{"a":Set}', 'd47300' + '9101'],
])('%s is malformed in both', (_, json, msgpack) => {
  expect(() => decode(Buffer.from(json), 'json')).toThrow(Malformed)
  expect(() => decode(Buffer.from(msgpack, 'hex'), 'msgpack')).toThrow(Malformed)
})

/** Bodies that say a name twice, by the name; the last one is written otherwise the second time. */
const TWICE: readonly (readonly [name: string, json: string])[] = [
  ['user_id', '{"user_id":"u1","user_id":"u2"}'],
  ['user_id', '{"user_id":"u1","user_id":"u1"}'],
  ['user_id', ' { "user_id" : "u1" , "slot" : 1 , "user_id" : "u2" } '],
  ['id', '{"code":"C","order":{"id":"a","amount":1,"id":"b"}}'],
  ['user_id', '{"claims":[{"user_id":"u1"},{"user_id":"u2","user_id":"u3"}]}'],
  ['', '{"":1,"":2}'],
  ['a:b', '{"a:b":":\\"{","a:b":1}'],
  ['__proto__', '{"__proto__":1,"__proto__":2}'],
  ['user_id', '{"user_id":"u1","user\\u005fid":"u2"}'],
]

test.each(TWICE)('the name %o twice in one object is malformed, and said', (name, json) => {
  expect(() => decode(Buffer.from(json), 'json')).toThrow(Malformed)
  expect(() => decode(Buffer.from(json), 'json')).toThrow(`(${name})`)
})

const ONCE = [
  '{"a":{"id":1},"b":{"id":2},"id":3}',
  '[{"id":1},{"id":2}]',
  '{"a":"{\\"a\\":1,\\"a\\":2}","b":"\\\\"}',
  '{"a\\"":":","b":[":",{"c:d":"}"}]}',
  '{"é:":1,"e:":2}',
  '"a:b"',
]

test.each(ONCE)('%s says every name once', json => {
  const value = JSON.parse(json) as unknown
  expect(decode(Buffer.from(json), 'json')).toEqual(value)
  expect(decode(encode(value, 'msgpack'), 'msgpack')).toEqual(value)
})

test.each([
  ['of texts', '82a161c0a161c3'],
  ['in a list', '9282a161c0a161c381a16101'],
  [
    'behind every kind of value',
    '82a161' + '99ccffcdffffce00000001cb3ff0000000000000d0ffd1ffffc403010203d90161da000162' + 'a161c0',
  ],
  ['in a map 16 of a list 16', 'dc0001de0002a162c0a162c0'],
  ['a text and a number that name one member', '8201c0a131c0'],
])('MessagePack that says a name twice is malformed: %s', (_, hex) => {
  expect(() => decode(Buffer.from(hex, 'hex'), 'msgpack')).toThrow(Malformed)
})

test('members of random values are counted as JSON and MessagePack have them', () => {
  const json = fc.jsonValue({ depthSize: 'small' }).filter(value => !JSON.stringify(value).includes('__proto__'))
  const spans = fc.constantFrom(0, 1, 2)
  fc.assert(
    fc.property(json, spans, (value, space) => {
      const text = JSON.stringify(value, undefined, space)
      expect(decode(Buffer.from(text), 'json')).toEqual(JSON.parse(text))
      expect(decode(encode(value, 'msgpack'), 'msgpack')).toEqual(JSON.parse(text))
    }),
    { seed },
  )
})

test('content types, as clients write them', () => {
  const rows: readonly [string, Encoding | undefined][] = [
    ['', 'json'],
    ['application/json', 'json'],
    ['application/json; charset=utf-8', 'json'],
    ['application/x-www-form-urlencoded', 'json'],
    ['application/vnd.msgpack', 'msgpack'],
    ['text/plain', undefined],
    ['multipart/form-data; boundary=x', undefined],
    ['application/xml', undefined],
  ]
  for (const [type, encoding] of rows) expect(encodingOf(type), type).toBe(encoding)
  expect(answerEncoding('', 'application/vnd.msgpack')).toBe('msgpack')
  expect(answerEncoding('application/json', 'application/vnd.msgpack')).toBe('json')
  expect(answerEncoding('application/vnd.msgpack', '')).toBe('msgpack')
  expect(answerEncoding('*/*', '')).toBe('json')
})

const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const percentOff = { type: 'percent_off', percent_off: 10, minimum_amount: 0, maximum_discount_amount: 5 }
const pack = [{ template: '40-10', quantity: 5, discount, valid_for_s: 60 }]
const campaign = { name: 'x', currency: 'CNY', pack }
const round = { stock: 10 }
const order = { id: 'o', amount: 1, currency: 'CNY' }
const redeeming = { code: 'C', order, merchant_id: 'm' }

const SCHEMAS = { claim, claimsBatch, newCampaign, newRound, redemption, restock, streamFrame } as const
type Name = keyof typeof SCHEMAS
const WRONG: readonly (readonly [Name, unknown, string])[] = [
  ['claim', { user_id: 'a/b' }, 'user_id: must be 1..64 of A-Z a-z 0-9 . _ : @ | + -'],
  ['claim', { user_id: '' }, 'user_id: '],
  ['claim', { user_id: 'x'.repeat(65) }, 'user_id: '],
  ['claim', { user_id: 7 }, 'user_id: '],
  ['claim', { slot: 0 }, 'slot: '],
  ['claim', { slot: 256 }, 'slot: '],
  ['claim', { slot: 1.5 }, 'slot: '],
  ['claim', { slot: '1' }, 'slot: '],
  ['claim', { pool: 'No' }, 'pool: must be 1..64 of a-z 0-9 _ -'],
  ['claim', { userid: 'u' }, 'unknown field userid'],
  ['claim', [], 'expected object'],
  ['claim', null, 'expected object'],
  ['claimsBatch', { claims: [] }, 'claims: '],
  ['claimsBatch', { claims: Array(CLAIMS_PER_REQUEST_MAX + 1).fill({ user_id: 'u' }) }, 'claims: '],
  ['claimsBatch', { claims: [{ user_id: 'u' }, { user_id: 'ü' }] }, 'claims.1.user_id: '],
  ['claimsBatch', { claims: [{ user_id: 'u' }, {}] }, 'claims.1.user_id: '],
  ['claimsBatch', { claims: [{ user_id: 'u', x: 1 }] }, 'unknown field claims.0.x'],
  ['newCampaign', { ...campaign, name: '' }, 'name: '],
  ['newCampaign', { ...campaign, currency: 'cny' }, 'currency: must be an ISO 4217 code'],
  ['newCampaign', { ...campaign, pack: [] }, 'pack: '],
  ['newCampaign', { ...campaign, pack: [pack[0], pack[0]] }, 'pack: must name each template once'],
  ['newCampaign', { ...campaign, pack: [{ ...pack[0], quantity: 65 }] }, 'pack.0.quantity: '],
  [
    'newCampaign',
    {
      ...campaign,
      pack: [
        { ...pack[0], quantity: 40 },
        { ...pack[0], template: 'b', quantity: 40 },
      ],
    },
    'pack: must hold at most 64 vouchers',
  ],
  [
    'newCampaign',
    { ...campaign, pack: [{ ...pack[0], discount: { ...discount, amount_off: 0 } }] },
    'pack.0.discount.amount_off: ',
  ],
  ['newCampaign', { ...campaign, pack: [{ ...pack[0], discount: { type: 'gift' } }] }, 'pack.0.discount.type: '],
  [
    'newCampaign',
    { ...campaign, pack: [{ ...pack[0], discount: { ...percentOff, percent_off: 101 } }] },
    'pack.0.discount.percent_off: ',
  ],
  [
    'newCampaign',
    { ...campaign, pack: [{ ...pack[0], discount: { ...discount, off: 1 } }] },
    'unknown field pack.0.discount.off',
  ],
  ['newCampaign', { ...campaign, budget: { max_amount: 2 ** 53 } }, 'budget.max_amount: '],
  ['newCampaign', { ...campaign, limits: { per_user: 256 } }, 'limits.per_user: '],
  ['newRound', {}, 'stock: '],
  ['newRound', { stock: 0 }, 'stock: '],
  ['newRound', { stock: STOCK_MAX + 1 }, 'stock: '],
  ['newRound', { ...round, opens_at: 'tomorrow' }, 'opens_at: '],
  [
    'newRound',
    { ...round, opens_at: '2026-12-01T10:00:00.000Z', closes_at: '2026-12-01T10:00:00.000Z' },
    'closes_at: must be later than opens_at',
  ],
  ['newRound', { ...round, opens_at: '9999-12-31T23:59:59-01:00' }, 'opens_at: must be before the year 5138'],
  ['newRound', { ...round, closes_at: '5138-01-01T00:00:00Z' }, 'closes_at: must be before the year 5138'],
  [
    'newRound',
    { ...round, allocation: { mode: 'lottery', draws_at: '9999-12-31T23:59:59Z' } },
    'allocation.draws_at: must be before the year 5138',
  ],
  ['newRound', { ...round, pools: [{ name: 'a', stock: 11 }] }, 'pools: must not set aside more than stock'],
  [
    'newRound',
    { ...round, pools: [{ name: 'general', stock: 1 }] },
    'pools: must have different names; general is the rest of the stock',
  ],
  [
    'newRound',
    { ...round, pools: Array.from({ length: 16 }, (_, i) => ({ name: `p${i}`, stock: 1 })), stock: 99 },
    'pools: ',
  ],
  ['newRound', { ...round, allocation: { mode: 'chance' } }, 'allocation.mode: '],
  ['restock', { add: 0 }, 'add: must not be 0'],
  ['restock', {}, 'add: '],
  ['redemption', { ...redeeming, order: { ...order, amount: -1 } }, 'order.amount: '],
  ['redemption', { ...redeeming, order: { ...order, amount: 1.5 } }, 'order.amount: '],
  ['redemption', { ...redeeming, order: { ...order, id: 'x'.repeat(129) } }, 'order.id: '],
  ['redemption', { code: 'C', order }, 'merchant_id: '],
  ['streamFrame', { op: 'clam', id: 1 }, 'op: '],
  ['streamFrame', { op: 'ping' }, 'id: '],
  ['streamFrame', { op: 'claims', id: 1, round_id: 'r', user_ids: ['a', 'b/2'] }, 'user_ids.1: '],
  ['streamFrame', { op: 'subscribe', id: 1, topics: [] }, 'topics: '],
]

test.each(WRONG)('%s refuses %o', (name, body, words) => {
  const { success, error } = SCHEMAS[name].safeParse(body)
  expect(success).toBe(false)
  if (error) expect(complaint(error)).toContain(words)
})

test('what is left out gets its default', () => {
  expect(claim.parse({})).toEqual({ slot: 1 })
  const fcfs = { mode: 'fcfs' }
  const byItself = { timezone: 'UTC', on_expiry: 'returned', limits: { per_user: 1 } }
  expect(newRound.parse(round)).toEqual({
    stock: 10,
    opens_at: null,
    closes_at: null,
    allocation: fcfs,
    pools: [],
  })
  expect(newCampaign.parse(campaign)).toEqual({ ...campaign, ...byItself })
  expect(restock.parse({ add: -3 })).toEqual({ add: -3, pool: 'general' })
})
