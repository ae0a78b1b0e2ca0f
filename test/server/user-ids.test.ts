/**
 * Users whose ids an identity provider made, with a bar or a plus sign: the same person on every way in and out. Claims in both
 * encodings, alone, in batches and on the stream, slots, look-ups by path and by query, tokens, vouchers, exports, draws.
 *
 * In a path the two stand for themselves or percent-encoded; in a query a plus sign reads as a space, so it has to be encoded.
 */
import { beforeAll, expect, test } from 'vitest'
import { Api, expectProblem, type Fields, type Granted, LONG_AGO, makeRound } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { openStream } from '../support/stream-client.ts'
import { useWorker } from '../support/use-worker.ts'
import { userToken } from '../support/user-token.ts'

const USERS = ['auth0|5f7c88', 'ada+shop@example.org', 'google-oauth2|10+2', '|', '+']
const worker = useWorker()
let api: Api
let packed: Api
beforeAll(() => {
  api = new Api(worker.url, KEYS.operator)
  packed = new Api(worker.url, KEYS.operator, 'msgpack')
})

test('a claim is the same claim on every way in', async () => {
  const { id } = await makeRound(api, { stock: 50 }, { limits: { per_user: 2 } })
  const path = `/v1/rounds/${id}/claims`
  const sequences = new Map<string, number>()
  for (const user_id of USERS) {
    const { status, body } = await api.post<Granted>(path, { user_id })
    expect([status, body.claim.user_id]).toEqual([201, user_id])
    sequences.set(user_id, body.claim.sequence)
  }
  const all = USERS.map(user => sequences.get(user))
  for (const way of [api, packed]) {
    for (const user_id of USERS) {
      expect((await way.post<Granted>(path, { user_id })).body).toMatchObject({
        replayed: true,
        claim: { sequence: sequences.get(user_id) },
      })
      const second = await way.post<Granted>(path, { user_id, slot: 2 })
      expect(second.body.claim).toMatchObject({ user_id, slot: 2 })
    }
    const { body } = await way.post<{ results: Fields[] }>(`${path}/batch`, {
      claims: USERS.map(user_id => ({ user_id })),
    })
    expect(body.results.map(({ sequence }) => sequence)).toEqual(all)
  }
  for (const protocol of ['fairgrab.json.v1', 'fairgrab.msgpack.v1'] as const) {
    const socket = await openStream(worker.url, { credential: KEYS.platform, protocols: [protocol] })
    const frame = await socket.ask({ op: 'claims', id: 1, round_id: id, user_ids: USERS })
    expect(frame.sequences).toEqual(all)
    const one = await socket.ask({ op: 'claim', id: 2, round_id: id, user_id: USERS[0] })
    expect(one).toMatchObject({ outcome: 'granted', claim: { sequence: all[0] } })
    await socket.close()
  }
  for (const user of USERS) {
    const own = await api.as(userToken(user)).post<Granted>(path, {})
    expect(own.body.claim).toMatchObject({ user_id: user, sequence: sequences.get(user) })
  }
})

test('a claim and its vouchers are found by the id, and exports have it as it is', async () => {
  const { id } = await makeRound(api, { stock: 50 })
  const path = `/v1/rounds/${id}/claims`
  for (const user_id of USERS) await api.post(path, { user_id })
  for (const user_id of USERS) {
    const encoded = encodeURIComponent(user_id)
    for (const spelt of [encoded, user_id]) {
      const { body } = await api.get<Granted>(`${path}/${spelt}`)
      expect([spelt, body.claim.user_id]).toEqual([spelt, user_id])
      const [voucher] = body.vouchers
      const found = await api.get(`/v1/vouchers/${voucher?.code}`)
      expect(found.body.user_id).toBe(user_id)
    }
    const listed = await api.get<{ data: Granted[] }>(`/v1/claims?user_id=${encoded}`)
    expect(listed.body.data.filter(({ claim }) => claim.round_id === id).map(({ claim }) => claim.user_id)).toEqual([
      user_id,
    ])
  }
  expectProblem(await api.get('/v1/claims?user_id=a+b'), 'invalid')
  const lines = await api.get<unknown>(path, { accept: 'application/x-ndjson' })
  const rows = String(lines.body)
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Fields)
  expect(rows.map(({ user_id }) => user_id)).toEqual(USERS)
})

test('a redemption may name its user by it, and no merchant has such an id', async () => {
  const { id } = await makeRound(api)
  const { body } = await api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id: 'auth0|5f7c88' })
  const asked = {
    code: body.vouchers[0]?.code,
    order: { id: 'o1', amount: 5000, currency: 'CNY' },
    merchant_id: 'm1',
  }
  const redeem = (more: Fields, key: string) =>
    api.post('/v1/redemptions', { ...asked, ...more }, { 'idempotency-key': key })
  expectProblem(await redeem({ user_id: 'auth0|other' }, 'k1'), 'not_eligible')
  for (const merchant_id of ['m|1', 'm+1', 'm:1']) expectProblem(await redeem({ merchant_id }, 'k2'), 'invalid')
  expect((await redeem({ user_id: 'auth0|5f7c88' }, 'k3')).status).toBe(201)
})

test('an entry of a draw is the same entry', async () => {
  const { id } = await makeRound(api, { opens_at: LONG_AGO, allocation: { mode: 'window', window_ms: 60_000 } })
  const path = `/v1/rounds/${id}/claims`
  for (const user_id of USERS) {
    const first = await api.post(path, { user_id })
    expect([user_id, first.status]).toEqual([user_id, 202])
    const own = await api.as(userToken(user_id)).post(path, {})
    expect((own.body.receipt as Fields).tag).toBe((first.body.receipt as Fields).tag)
  }
})
