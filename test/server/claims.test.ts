/**
 * One claim over HTTP, in both encodings: who may, what he is told in each state of a round, and that asking again
 * changes nothing.
 *
 * A refusal is asked for several times in a row: the first question goes to Redis, those that follow are answered by
 * the worker itself, and nobody may see a difference. A holder asks in every state and has to get the same bytes.
 * Tokens are made by hand, so that every way of spoiling one is a row of a table.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import type { Code } from '../../engine/base/codes.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, levelAt } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'
import { type TokenParts, userToken } from '../support/user-token.ts'

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const FAR = '2126-12-01T10:00:00.000Z'
const ASKED_TIMES = 4

const worker = useWorker()

for (const encoding of ['json', 'msgpack'] as const)
  describe(encoding, () => {
    let operator: Api
    let api: Api
    beforeAll(() => {
      operator = new Api(worker.url, KEYS.operator, encoding)
      api = operator.as(KEYS.platform)
    })
    const claim = (round: Round, body: Fields, from = api) =>
      from.post<Granted & Fields>(`/v1/rounds/${round.id}/claims`, body)
    const turn = async (round: Round, verb: string, body?: Fields) =>
      expect((await operator.post(`/v1/rounds/${round.id}/${verb}`, body)).status).toBe(200)

    /** Asks often enough for the worker to answer by itself. */
    async function expectRefused(round: Round, code: Code, more: Fields = {}, ask: Fields = {}): Promise<void> {
      for (let i = 0; i < ASKED_TIMES; i++) {
        const reply = await claim(round, { user_id: `stranger-${i}`, ...ask })
        expectProblem(reply, code, { outcome: code, ...more })
      }
    }

    test('a grant has exactly its fields, and asking again gives the same bytes', async () => {
      const round = await makeRound(operator, { stock: 3 })
      const first = await claim(round, { user_id: 'u1' })
      expect([first.status, first.body]).toEqual([
        201,
        {
          outcome: 'granted',
          claim: {
            id: expect.stringMatching(/^clm_\w+$/),
            round_id: round.id,
            user_id: 'u1',
            pool: 'general',
            slot: 1,
            sequence: 1,
            granted_at: expect.stringMatching(TIME),
          },
          vouchers: [0, 1].map(() => ({
            code: expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{20}$/),
            template: '40-10',
            state: 'active',
            expires_at: new Date(Date.parse(first.body.claim.granted_at) + 604_800_000).toISOString(),
          })),
        },
      ])
      const again = await claim(round, { user_id: 'u1', pool: 'general', slot: 1 })
      expect([again.status, again.body]).toEqual([200, { ...first.body, replayed: true }])
      const others = await Promise.all([1, 2, 3].map(() => claim(round, { user_id: 'u1' })))
      for (const other of others) expect([other.status, other.bytes]).toEqual([200, again.bytes])
      const next = await claim(round, { user_id: 'u2' })
      expect(next.body.claim.sequence).toBe(2)
      expect(new Set([...first.body.vouchers, ...next.body.vouchers].map(({ code }) => code)).size).toBe(4)
      const read = await api.get(`/v1/rounds/${round.id}/claims/u1`)
      expect([read.status, read.body]).toEqual([200, first.body])
    })

    test('a round that is not open says when it will be', async () => {
      const scheduled = await makeRound(operator, { opens_at: FAR })
      const more = { opens_at: FAR, server_time: expect.stringMatching(TIME), retry_after_s: expect.any(Number) }
      await expectRefused(scheduled, 'not_open', more)
      const from = Date.now()
      const told = (await claim(scheduled, { user_id: 'u1' })).body
      const at = Date.parse(told.server_time as string)
      expect([at > from - 2000, at < Date.now() + 2000]).toEqual([true, true])
      expect(told.retry_after_s).toBeGreaterThan(86_400)
      const byHand = await makeRound(operator, { opens_at: null })
      await expectRefused(byHand, 'not_open', { ...more, opens_at: null })
      await turn(byHand, 'open')
      expect((await claim(byHand, { user_id: 'u1' })).status).toBe(201)
    })

    test('a holder gets his claim in every state; the others are told the state', async () => {
      const round = await makeRound(operator, { stock: 1 })
      const held = await claim(round, { user_id: 'holder' })
      expect(held.status).toBe(201)
      const expectHeld = async () => {
        const replies = await Promise.all([1, 2].map(() => claim(round, { user_id: 'holder' })))
        for (const { status, body } of replies) expect([status, body]).toEqual([200, { ...held.body, replayed: true }])
        expect((await api.get(`/v1/rounds/${round.id}/claims/holder`)).body).toEqual(held.body)
      }
      await expectRefused(round, 'sold_out')
      await expectHeld()
      await turn(round, 'pause')
      await expectRefused(round, 'paused', { retry_after_s: expect.any(Number) })
      await expectHeld()
      await turn(round, 'resume')
      await expectRefused(round, 'sold_out')
      await turn(round, 'stock', { add: 1 })
      expect((await claim(round, { user_id: 'late' })).body.claim.sequence).toBe(2)
      await turn(round, 'close')
      await expectRefused(round, 'closed')
      await expectHeld()
      expect((await operator.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(2)
    })

    test('slots are packs of their own, up to the limit', async () => {
      const round = await makeRound(operator, { stock: 10 }, { limits: { per_user: 3 } })
      const packs = await Promise.all([1, 2, 3].map(slot => claim(round, { user_id: 'u1', slot })))
      expect(packs.map(({ status }) => status)).toEqual([201, 201, 201])
      expect(packs.map(({ body }) => body.claim.slot)).toEqual([1, 2, 3])
      expect(packs.map(({ body }) => body.claim.sequence).sort()).toEqual([1, 2, 3])
      await expectRefused(round, 'limit_reached', {}, { slot: 4 })
      await expectRefused(round, 'limit_reached', {}, { user_id: 'u1', slot: 255 })
      for (const [i, pack] of packs.entries()) {
        expect((await claim(round, { user_id: 'u1', slot: i + 1 })).body).toEqual({ ...pack.body, replayed: true })
        expect((await api.get(`/v1/rounds/${round.id}/claims/u1?slot=${i + 1}`)).body).toEqual(pack.body)
      }
      expectProblem(await api.get(`/v1/rounds/${round.id}/claims/u2`), 'not_found')
      expectProblem(await api.get(`/v1/rounds/${round.id}/claims/u1?slot=4`), 'not_found')
    })

    test('pools are claimed by name and by cohort, and end one by one', async () => {
      const round = await makeRound(operator, { stock: 5, pools: [{ name: 'assisted', stock: 2 }] })
      const own = operator.as(userToken('helped', { claims: { cohort: 'assisted' } }))
      const helped = await claim(round, {}, own)
      expect(helped.body.claim).toMatchObject({ user_id: 'helped', pool: 'assisted', sequence: 1 })
      const stranger = operator.as(userToken('other', { claims: { cohort: 'nowhere' } }))
      expect((await claim(round, {}, stranger)).body.claim).toMatchObject({ pool: 'general', sequence: 2 })
      const sly = operator.as(userToken('sly'))
      expectProblem(await claim(round, { pool: 'assisted' }, sly), 'not_eligible')
      expect((await claim(round, { user_id: 'named', pool: 'assisted' })).body.claim.pool).toBe('assisted')
      await expectRefused(round, 'sold_out', {}, { pool: 'assisted' })
      expectProblem(await claim(round, { user_id: 'u', pool: 'unknown' }), 'invalid', {
        detail: expect.stringContaining('pool'),
      })
      expect((await claim(round, { user_id: 'fourth' })).body.claim.sequence).toBe(4)
      expect((await claim(round, { user_id: 'helped' })).body).toEqual({ ...helped.body, replayed: true })
      const { pools, stock } = (await operator.get<Round>(`/v1/rounds/${round.id}`)).body
      expect(pools.map(pool => [pool.granted, pool.remaining])).toEqual([
        [2, 1],
        [2, 0],
      ])
      expect(stock).toMatchObject({ granted: 4, remaining: 1 })
    })

    test('a user token claims and reads for its own user only', async () => {
      const round = await makeRound(operator)
      const user = operator.as(userToken('me@example:1'))
      const mine = await claim(round, { user_id: 'me@example:1' }, user)
      expect([mine.status, mine.body.claim.user_id]).toEqual([201, 'me@example:1'])
      expect((await claim(round, {}, user)).body).toEqual({ ...mine.body, replayed: true })
      expectProblem(await claim(round, { user_id: 'other' }, user), 'forbidden')
      expect((await claim(round, { user_id: 'other' })).body.claim.sequence).toBe(2)
      const path = (id: string) => `/v1/rounds/${round.id}/claims/${encodeURIComponent(id)}`
      const read = await user.get(path('me@example:1'))
      expect([read.status, read.body]).toEqual([200, mine.body])
      expect((await api.get(path('me@example:1'))).body).toEqual(mine.body)
      const withLevel = await api.get(`${path('me@example:1')}?durability=true`)
      expect(withLevel.body).toEqual({ ...mine.body, durability: levelAt(worker.redisUrl).FAIRGRAB_DURABILITY })
      const batch = await api.post(`/v1/rounds/${round.id}/claims/batch?durability=true`, {
        claims: [{ user_id: 'other' }],
      })
      expect(batch.body).toEqual({
        results: [{ outcome: 'granted', sequence: 2, replayed: true }],
        durability: levelAt(worker.redisUrl).FAIRGRAB_DURABILITY,
      })
      expect((await api.get(`/v1/rounds/${round.id}/claims/me@example:1`)).body).toEqual(mine.body)
      expectProblem(await user.get(path('other')), 'not_found')
      expectProblem(await user.get(path('nobody')), 'not_found')
    })

    test('wrong claims are refused by the name of the field and cost nothing', async () => {
      const round = await makeRound(operator, { stock: 2 })
      await claim(round, { user_id: 'holder' })
      const before = (await api.get(`/v1/rounds/${round.id}`)).body
      const wrong: readonly (readonly [Fields, string])[] = [
        [{}, 'user_id'],
        [{ user_id: '' }, 'user_id'],
        [{ user_id: 'x'.repeat(65) }, 'user_id'],
        [{ user_id: 'a{b}' }, 'user_id'],
        [{ user_id: 'a/2' }, 'user_id'],
        [{ user_id: 'a\r\nb' }, 'user_id'],
        [{ user_id: 'ü' }, 'user_id'],
        [{ user_id: 7 }, 'user_id'],
        [{ user_id: null }, 'user_id'],
        [{ user_id: ['holder'] }, 'user_id'],
        [{ user_id: 'a', slot: 0 }, 'slot'],
        [{ user_id: 'a', slot: 256 }, 'slot'],
        [{ user_id: 'a', slot: 1.5 }, 'slot'],
        [{ user_id: 'a', slot: '1' }, 'slot'],
        [{ user_id: 'a', pool: '' }, 'pool'],
        [{ user_id: 'a', pool: 3 }, 'pool'],
        [{ user_id: 'a', priority: 1 }, 'priority'],
      ]
      for (const [body, field] of wrong)
        expectProblem(await claim(round, body), 'invalid', { detail: expect.stringContaining(field) })
      expectProblem(await api.post('/v1/rounds/rnd_none/claims', { user_id: 'a' }), 'not_found')
      expectProblem(await api.post('/v1/rounds/nonsense/claims', { user_id: 'a' }), 'not_found')
      expect((await api.get(`/v1/rounds/${round.id}`)).body).toEqual(before)
      expect((await claim(round, { user_id: 'x'.repeat(64) })).body.claim.sequence).toBe(2)
    })
  })

const NOW = Math.floor(Date.now() / 1000)
const SPOILT: readonly (readonly [why: string, token: TokenParts])[] = [
  ['another key', { secret: 'not the secret that the engine was given' }],
  ['no algorithm', { header: { alg: 'none' } }],
  ['another algorithm', { header: { alg: 'HS512' } }],
  ['an algorithm of a key that is not there', { header: { alg: 'EdDSA' } }],
  ['a header that must be understood', { header: { alg: 'HS256', crit: ['b64'] } }],
  ['another kind of token', { header: { alg: 'HS256', typ: 'logout+jwt' } }],
  ['no expiry', { claims: { exp: undefined } }],
  ['an expiry in the past', { claims: { exp: NOW - 120 } }],
  ['an expiry that is no number', { claims: { exp: 'never' } }],
  ['a time that has not come', { claims: { nbf: NOW + 3600 } }],
  ['no user', { claims: { sub: undefined } }],
  ['a user id of another alphabet', { claims: { sub: 'a{b}' } }],
  ['a cohort that is no text', { claims: { cohort: 7 } }],
]

test('a token that proves nothing is 401, whatever the reason, and claims nothing', async () => {
  const operator = new Api(worker.url, KEYS.operator)
  const round = await makeRound(operator)
  const path = `/v1/rounds/${round.id}/claims`
  const good = userToken('u1')
  const [head, body] = good.split('.')
  const tokens = [
    ...SPOILT.map(([why, parts]) => [why, userToken('u1', parts)] as const),
    ['no signature', `${head}.${body}.`] as const,
    ['a signature cut off', good.slice(0, -4)] as const,
    ['one part more', `${good}.x`] as const,
    ['nonsense', 'nonsense'] as const,
  ]
  for (const [why, token] of tokens) {
    const reply = await operator.as(token).post(path, {})
    expect([why, reply.status]).toEqual([why, 401])
    expect(expectProblem(reply, 'unauthorized').detail).not.toContain(token)
    expect(reply.headers.get('www-authenticate')).toMatch(/^Bearer/)
  }
  for (const header of ['Basic abc', 'Bearer', `Token ${KEYS.operator}`, KEYS.operator])
    expectProblem(await operator.as('').post(path, { user_id: 'u1' }, { authorization: header }), 'unauthorized')
  expectProblem(await operator.as('').post(path, { user_id: 'u1' }), 'unauthorized')
  for (const key of [KEYS.merchant, KEYS.viewer])
    expectProblem(await operator.as(key).post(path, { user_id: 'u1' }), 'forbidden')
  expect((await operator.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(0)
  expect((await operator.as(good).post(path, {}, { authorization: `bearer ${good}` })).status).toBe(201)
})
