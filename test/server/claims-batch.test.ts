/**
 * Many claims in one request, and the grants read back: order, repeats, limits, pages, the NDJSON export.
 *
 * A batch is larger than one script call, so that its repeats fall into other calls than their firsts. The export of
 * 20,000 grants is read at full speed, then by readers who do not read until others were served, and by readers who
 * leave in the middle: no row may be lost, and nobody may be held up.
 */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { beforeAll, describe, expect, test } from 'vitest'
import { BATCH_CLAIMS_MAX, CLAIMS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

const EXPORTED = 20_000

interface Short {
  readonly outcome: string
  readonly sequence?: number
  readonly replayed?: true
}

const worker = useWorker()

const users = (count: number, prefix = 'u'): Fields[] =>
  Array.from({ length: count }, (_, i) => ({ user_id: `${prefix}${i}` }))

for (const encoding of ['json', 'msgpack'] as const)
  describe(encoding, () => {
    let operator: Api
    let api: Api
    beforeAll(() => {
      operator = new Api(worker.url, KEYS.operator, encoding)
      api = operator.as(KEYS.platform)
    })
    const batch = async (round: Round, claims: readonly Fields[], query = '') => {
      const reply = await api.post<{ results: (Short & Granted)[] }>(`/v1/rounds/${round.id}/claims/batch${query}`, {
        claims,
      })
      expect([reply.status, Object.keys(reply.body)]).toEqual([200, ['results']])
      return reply.body.results
    }

    test('the answers come in the order asked; a repeat has the answer of its first', async () => {
      const most = BATCH_CLAIMS_MAX * 2
      const round = await makeRound(operator, { stock: most })
      const asked = [
        ...users(most + 10),
        { user_id: 'u0' },
        { user_id: `u${BATCH_CLAIMS_MAX + 3}` },
        { user_id: `u${most + 1}` },
      ]
      const results = await batch(round, asked)
      const expected: Short[] = Array.from({ length: most }, (_, i) => ({ outcome: 'granted', sequence: i + 1 }))
      for (let i = 0; i < 10; i++) expected.push({ outcome: 'sold_out' })
      expected.push({ outcome: 'granted', sequence: 1, replayed: true })
      expected.push({ outcome: 'granted', sequence: BATCH_CLAIMS_MAX + 4, replayed: true })
      expected.push({ outcome: 'sold_out' })
      expect(results).toEqual(expected)
      const again = await batch(round, asked)
      expect(again).toEqual(expected.map(each => (each.sequence ? { ...each, replayed: true } : each)))
    })

    test('slots, pools and limits are decided claim by claim; ?vouchers=true adds what one claim would have', async () => {
      const round = await makeRound(
        operator,
        { stock: 6, pools: [{ name: 'assisted', stock: 1 }] },
        { limits: { per_user: 2 } },
      )
      const asked = [
        { user_id: 'a', slot: 2 },
        { user_id: 'b', pool: 'assisted' },
        { user_id: 'c', pool: 'assisted' },
        { user_id: 'a', slot: 3 },
        { user_id: 'a' },
        { user_id: 'a', slot: 2 },
      ]
      const results = await batch(round, asked, '?vouchers=true')
      expect(results.map(({ outcome }) => outcome)).toEqual([
        'granted',
        'granted',
        'sold_out',
        'limit_reached',
        'granted',
        'granted',
      ])
      expect(results[2]).toEqual({ outcome: 'sold_out' })
      expect(results[3]).toEqual({ outcome: 'limit_reached' })
      for (const i of [0, 1, 4, 5]) {
        const { sequence, ...full } = results[i] as Short & Granted
        expect(sequence).toBe(full.claim.sequence)
        expect(full.claim).toMatchObject({ slot: 1, pool: 'general', ...asked[i] })
        const single = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, asked[i])
        expect([single.status, single.body]).toEqual([200, { ...full, replayed: true }])
      }
      expect(results[5]?.claim).toEqual(results[0]?.claim)
      expect([0, 1, 4].map(i => results[i]?.sequence).sort()).toEqual([1, 2, 3])
      expect(await batch(round, [{ user_id: 'b' }, { user_id: 'x' }], '?vouchers=false')).toEqual([
        { outcome: 'granted', sequence: results[1]?.sequence, replayed: true },
        { outcome: 'granted', sequence: 4 },
      ])
    })

    test('1 to 4096 claims, each of a named user, by a platform or an operator', async () => {
      const round = await makeRound(operator, { stock: 10_000 })
      const path = `/v1/rounds/${round.id}/claims/batch`
      const longest = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => ({
        user_id: `${'x'.repeat(60)}${1000 + i}`,
        slot: 1,
        pool: 'general',
      }))
      const results = await batch(round, longest)
      expect(results).toHaveLength(CLAIMS_PER_REQUEST_MAX)
      expect(results.at(-1)).toEqual({ outcome: 'granted', sequence: CLAIMS_PER_REQUEST_MAX })
      const wrong: readonly (readonly [Fields, string])[] = [
        [{}, 'claims'],
        [{ claims: [] }, 'claims'],
        [{ claims: users(CLAIMS_PER_REQUEST_MAX + 1) }, 'claims'],
        [{ claims: [{ user_id: 'a' }, {}] }, 'claims.1.user_id'],
        [{ claims: [{ user_id: 'a', slot: 0 }] }, 'claims.0.slot'],
        [{ claims: [{ user_id: 'a', pool: 'nobody' }] }, 'pool'],
        [{ claims: [{ user_id: 'a', at: 1 }] }, 'claims.0.at'],
        [{ claims: users(1), vouchers: true }, 'vouchers'],
      ]
      for (const [body, field] of wrong)
        expectProblem(await api.post(path, body), 'invalid', { detail: expect.stringContaining(field) })
      expectProblem(await api.post('/v1/rounds/rnd_none/claims/batch', { claims: users(1) }), 'not_found')
      for (const role of ['merchant', 'viewer'] as const)
        expectProblem(await operator.as(KEYS[role]).post(path, { claims: users(1) }), 'forbidden')
      expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(CLAIMS_PER_REQUEST_MAX)
      await operator.post(`/v1/rounds/${round.id}/pause`)
      for (let i = 0; i < 3; i++)
        expect(await batch(round, [longest[7] as Fields, { user_id: 'late' }])).toEqual([
          { outcome: 'granted', sequence: 8, replayed: true },
          { outcome: 'paused' },
        ])
    })

    test('the grants are paged by sequence', async () => {
      const round = await makeRound(
        operator,
        { stock: 500, pools: [{ name: 'assisted', stock: 100 }] },
        { limits: { per_user: 2 } },
      )
      await batch(round, users(240))
      await batch(round, [...users(5).map(user => ({ ...user, slot: 2 })), { user_id: 'p', pool: 'assisted' }])
      const path = `/v1/rounds/${round.id}/claims`
      const viewer = operator.as(KEYS.viewer)
      const page = async (query: string) =>
        (await viewer.get<{ data: Fields[]; has_more: boolean; next_cursor: string | null }>(path + query)).body
      const first = await page('')
      expect([first.data.length, first.has_more]).toEqual([100, true])
      const second = await page(`?cursor=${first.next_cursor}`)
      const third = await page(`?cursor=${second.next_cursor}&limit=46`)
      expect(third).toMatchObject({ has_more: false, next_cursor: null })
      const rows = [...first.data, ...second.data, ...third.data]
      expect(rows.map(row => row.sequence)).toEqual(Array.from({ length: 246 }, (_, i) => i + 1))
      expect(rows[0]).toEqual({
        sequence: 1,
        user_id: 'u0',
        slot: 1,
        pool: 'general',
        granted_at: expect.stringMatching(/Z$/),
      })
      expect(rows[244]).toMatchObject({ user_id: 'u4', slot: 2, pool: 'general' })
      expect(rows[245]).toMatchObject({ user_id: 'p', slot: 1, pool: 'assisted' })
      expect(await page('?limit=1000')).toMatchObject({ data: rows, has_more: false })
      expect((await page('?cursor=240&limit=1')).data).toEqual([rows[240]])
      for (const query of ['?cursor=x', '?cursor=-1', '?limit=0', '?limit=1001'])
        expectProblem(await viewer.get(path + query), 'invalid')
      expectProblem(await operator.as(KEYS.merchant).get(path), 'forbidden')
      expectProblem(await operator.as('').get(path), 'unauthorized')
      const empty = await makeRound(operator)
      expect((await viewer.get(`/v1/rounds/${empty.id}/claims`)).body).toEqual({
        data: [],
        has_more: false,
        next_cursor: null,
      })
    })
  })

/** The export's response, not read yet. */
async function openExport(roundId: string): Promise<IncomingMessage> {
  const asked = request(`${worker.url}/v1/rounds/${roundId}/claims`, {
    headers: { authorization: `Bearer ${KEYS.viewer}`, accept: 'application/x-ndjson' },
    agent: false,
  })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  expect([response.statusCode, response.headers['content-type']]).toEqual([200, 'application/x-ndjson'])
  return response
}

const rowsOf = (text: string): Fields[] =>
  text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Fields)

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('the export', () => {
  let round: Round
  let api: Api
  beforeAll(async () => {
    api = new Api(worker.url, KEYS.operator, 'msgpack')
    round = await makeRound(api, { stock: EXPORTED })
    const all = users(EXPORTED, 'winner-with-a-long-name-')
    for (let at = 0; at < EXPORTED; at += CLAIMS_PER_REQUEST_MAX)
      await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims: all.slice(at, at + CLAIMS_PER_REQUEST_MAX) })
  })

  test('has every grant once, in order', async () => {
    const rows = rowsOf(await textOf(await openExport(round.id)))
    expect(rows.map(row => row.sequence)).toEqual(Array.from({ length: EXPORTED }, (_, i) => i + 1))
    expect(rows.map(row => row.user_id)).toEqual(users(EXPORTED, 'winner-with-a-long-name-').map(user => user.user_id))
    expect(Object.keys(rows[0] as Fields).sort()).toEqual(['granted_at', 'pool', 'sequence', 'slot', 'user_id'])
  })

  test('waits for slow readers, serves others meanwhile, and outlives readers who leave', async () => {
    const slow = await Promise.all(Array.from({ length: 4 }, () => openExport(round.id)))
    const left = slow.slice(0, 2)
    for (const response of left) response.destroy()
    const claimed = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'winner-with-a-long-name-7' })
    expect(claimed.body.claim.sequence).toBe(8)
    const texts = await Promise.all(slow.slice(2).map(textOf))
    for (const text of texts) expect(rowsOf(text)).toHaveLength(EXPORTED)
    expect((await api.get('/livez')).status).toBe(200)
  })

  test('of a round without grants is empty', async () => {
    const empty = await makeRound(api)
    expect(await textOf(await openExport(empty.id))).toBe('')
  })
})
