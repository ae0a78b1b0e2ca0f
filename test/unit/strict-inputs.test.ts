/**
 * What every way in refuses alike: a user id that could be more than an id, and a field that nobody knows.
 *
 * An id becomes part of a key of Redis, of a line of the log and of a path, so braces, slashes, line ends, spaces, NUL
 * and everything beyond ASCII are refused by each decoder that reads one: the two encodings, the two fast lanes, the
 * stream and the tokens. The schemas are asked through the contract that is made of them, so a new route is in.
 * Rejected: one shared list of sentences; each decoder says no in its own way, and that it does is enough.
 */
import { expect, test } from 'vitest'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { realClock } from '../../engine/base/clock.ts'
import { isMerchantId } from '../../engine/base/holder.ts'
import { httpContract, ROUTES } from '../../engine/server/routes/routes.ts'
import { scanClaimBody } from '../../engine/wire/claim-json.ts'
import { scanClaimsFrame } from '../../engine/wire/claims-frame.ts'
import { decode, encode } from '../../engine/wire/encoding.ts'
import { claim, claimsBatch, redemption, streamFrame } from '../../engine/wire/schemas.ts'
import { JWT_SECRET } from '../support/engine.ts'
import { userToken } from '../support/user-token.ts'

const HOSTILE = [
  '',
  ' ',
  'a b',
  'a\r\nb',
  'a\nb',
  'a\0b',
  '{a}',
  'a}',
  'u{1}',
  'a/2',
  'a\\b',
  'a*',
  'a?',
  '"',
  "'",
  'a,b',
  'a;b',
]
const BAD_IDS = [
  ...HOSTILE,
  'ü',
  'а',
  '１',
  'a\u200b',
  '\u202ea',
  '🎟',
  'a\x7f',
  'a'.repeat(65),
  '%41',
  'a=b',
  '$a',
  '#a',
]
const tokens = new UserTokens({ secret: JWT_SECRET, publicKey: '' }, realClock)
const order = { id: 'o', amount: 1, currency: 'CNY' }

const WAYS: Readonly<Record<string, (id: string) => boolean>> = {
  'a claim in JSON': id => claim.safeParse(decode(encode({ user_id: id }, 'json'), 'json')).success,
  'a claim in MessagePack': id => claim.safeParse(decode(encode({ user_id: id }, 'msgpack'), 'msgpack')).success,
  'the fast lane of a claim': id => scanClaimBody(encode({ user_id: id }, 'json')) !== undefined,
  'a batch of claims': id => claimsBatch.safeParse({ claims: [{ user_id: 'ok' }, { user_id: id }] }).success,
  'a frame of the stream': id => streamFrame.safeParse({ op: 'claim', id: 1, round_id: 'r', user_id: id }).success,
  'many claims in a frame': id => streamFrame.safeParse({ op: 'claims', id: 1, round_id: 'r', user_ids: [id] }).success,
  'the fast lane of the stream': id =>
    scanClaimsFrame(encode({ op: 'claims', id: 1, round_id: 'rnd_a', user_ids: ['ok', id] }, 'msgpack')) !== undefined,
  'a token': id => tokens.verify(userToken(id)) !== undefined,
  'the owner in a redemption': id => redemption.safeParse({ code: 'c', order, merchant_id: 'm', user_id: id }).success,
  'a merchant': id => isMerchantId(id),
}

test('a user may have an id as identity providers make them, and a merchant may not', () => {
  for (const [way, takes] of Object.entries(WAYS))
    for (const id of ['auth0|5f7c', 'ada+shop@example.org', 'a|b+c'])
      expect([way, id, takes(id)]).toEqual([way, id, way !== 'a merchant'])
})

test.each(Object.keys(WAYS))('%s takes an id and no id that could be more', way => {
  const takes = WAYS[way] as (id: string) => boolean
  expect(['u1', 'A.b_c@d-e', 'a'.repeat(64)].filter(id => !takes(id))).toEqual([])
  expect(BAD_IDS.filter(takes)).toEqual([])
})

/** Every object of a JSON schema that has fields and lets others through. */
function findLoose(schema: unknown, at: string): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const { type, properties, additionalProperties } = schema as Readonly<Record<string, unknown>>
  const isLoose = type === 'object' && properties !== undefined && additionalProperties !== false
  return [
    ...(isLoose ? [at] : []),
    ...Object.entries(schema).flatMap(([name, inner]) => findLoose(inner, `${at}.${name}`)),
  ]
}

/** The named schemas that a part of the document leads to; what is answered may let fields through. */
function namedIn(part: unknown, all: Readonly<Record<string, unknown>>, found = new Map<string, unknown>()) {
  for (const [, name = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    if (found.has(name)) continue
    found.set(name, all[name])
    namedIn(all[name], all, found)
  }
  return found
}

test('no body of a request lets an unknown field through, at any depth', () => {
  const bodies = ROUTES.filter(({ body }) => body)
  expect(bodies.length).toBeGreaterThan(12)
  for (const { path, body } of bodies) {
    const told = body?.safeParse({ surprise: 1 })
    expect([path, told?.success === false && JSON.stringify(told.error)]).toEqual([
      path,
      expect.stringContaining('surprise'),
    ])
  }
  const { components, paths } = httpContract() as Readonly<Record<string, Readonly<Record<string, unknown>>>>
  const requests = Object.entries(paths ?? {}).map(([path, operations]) =>
    Object.values(operations as object).map(operation => [path, (operation as { requestBody?: unknown }).requestBody]),
  )
  expect(findLoose(requests, 'paths')).toEqual([])
  const all = (components?.schemas ?? {}) as Readonly<Record<string, unknown>>
  const named = namedIn(requests, all)
  expect([...named.keys()]).toContain('ClaimRequest')
  expect(findLoose(Object.fromEntries(named), 'schemas')).toEqual([])
  expect(findLoose({ type: 'object', properties: {}, x: [{ type: 'object', properties: {} }] }, 's')).toHaveLength(2)
})

test('no frame of the stream, and no claim, lets an unknown field through', () => {
  for (const op of ['subscribe', 'unsubscribe', 'claim', 'claims', 'ping'])
    expect(JSON.stringify(streamFrame.safeParse({ op, surprise: 1 }).error)).toContain('surprise')
  for (const name of ['surprise', 'constructor', 'toString', 'hasOwnProperty'])
    expect(claim.safeParse({ user_id: 'u', [name]: 1 }).success).toBe(false)
})
