/**
 * By whose key a claim came: the scope of the key stands as `via` in the claim when it is read, in the grants of the round and in
 * the history of a voucher, by whatever way it was claimed. The first one's stands; the user is not told, and drawn rounds have none.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BATCH_CLAIMS_MAX } from '../../engine/base/limits.ts'
import { encode } from '../../engine/wire/encoding.ts'
import { Api, type Fields, type Granted, makeRound, patiently, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openStream, SUBPROTOCOLS } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const [ADA, ALIPAY, WECHAT] = ['operator-key-of-ada', 'platform-key-of-alipay', 'platform-key-of-wechat']

type Claimed = Granted & { readonly claim: { readonly via?: string } }

let redis: RedisServer
let worker: TestWorker
let other: TestWorker
let api: Api
let round: Round

beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
  const plain = `operator:${KEYS.operator},platform:${KEYS.platform},viewer:${KEYS.viewer}`
  const env = {
    FAIRGRAB_KEYS: `${plain},operator:${ADA}:ada,platform:${ALIPAY}:alipay,platform:${WECHAT}:wechat`,
  }
  worker = await startTestWorker(redis.url, env)
  other = await startTestWorker(redis.url, env)
  api = new Api(worker.url, KEYS.operator)
  round = await makeRound(api, { stock: 5000 })
})

afterAll(async () => {
  await worker?.stop()
  await other?.stop()
  await redis?.stop()
})

const claim = (key: string, user_id: string, at = api) =>
  at.as(key).post<Claimed>(`/v1/rounds/${round.id}/claims`, { user_id })

/** The scope of a user's claim, which both nodes and both reading routes must show. */
async function viaOf(user: string): Promise<string | undefined> {
  const shown: (string | undefined)[] = []
  for (const url of [worker.url, other.url]) {
    const reader = new Api(url, KEYS.viewer)
    shown.push((await reader.get<Claimed>(`/v1/rounds/${round.id}/claims/${user}`)).body.claim.via)
    const all = await reader.get<{ data: readonly Claimed[] }>(`/v1/claims?user_id=${user}`)
    for (const row of all.body.data) if (row.claim.round_id === round.id) shown.push(row.claim.via)
  }
  expect(shown).toHaveLength(4)
  expect(new Set(shown).size, shown.join()).toBe(1)
  return shown[0]
}

test('a claim has the scope of the key that made it, and none of a key without one and of a user', async () => {
  const made = await claim(ALIPAY, 'one')
  expect([made.status, made.body.claim.via, await viaOf('one')]).toEqual([201, undefined, 'alipay'])
  await claim(ADA, 'two')
  await claim(KEYS.platform, 'three')
  await api.as(userToken('four')).post(`/v1/rounds/${round.id}/claims`, {})
  expect([await viaOf('two'), await viaOf('three'), await viaOf('four')]).toEqual(['ada', undefined, undefined])
  const [code] = made.body.vouchers.map(voucher => voucher.code)
  const { body } = await api.get<{ events: Fields[] }>(`/v1/vouchers/${code}/history`)
  expect(body.events).toEqual([{ at: made.body.claim.granted_at, event: 'granted', via: 'alipay' }])
})

test('asked again by another key, at another node, it is the same claim, and the first one’s scope stands', async () => {
  const [first, plain] = [await claim(ALIPAY, 'again'), await claim(KEYS.platform, 'plain')]
  for (const node of [worker, other]) {
    const at = new Api(node.url)
    const answers = [await claim(WECHAT, 'again', at), await claim(WECHAT, 'plain', at)]
    expect(answers.map(({ status, body }) => [status, body.claim])).toEqual([
      [200, first.body.claim],
      [200, plain.body.claim],
    ])
  }
  expect([await viaOf('again'), await viaOf('plain')]).toEqual(['alipay', undefined])
})

test('a user who reads their claim is not told by whose key it came', async () => {
  await claim(ALIPAY, 'reads')
  const { status, body } = await api.as(userToken('reads')).get<Claimed>(`/v1/rounds/${round.id}/claims/reads`)
  expect([status, body.claim.via]).toEqual([200, undefined])
})

test('claims of a batch have the scope of the key that sent it, with and without vouchers', async () => {
  const batch = (key: string, query: string, users: readonly string[]) =>
    api.as(key).post(`/v1/rounds/${round.id}/claims/batch${query}`, { claims: users.map(user_id => ({ user_id })) })
  await batch(ALIPAY, '', ['b1', 'b2'])
  await batch(WECHAT, '?vouchers=true', ['b2', 'b3', 'b3'])
  await batch(KEYS.platform, '', ['b3', 'b4'])
  const vias = await Promise.all(['b1', 'b2', 'b3', 'b4'].map(viaOf))
  expect(vias).toEqual(['alipay', 'alipay', 'wechat', undefined])
})

test('claims of the stream have the scope of the key that opened it, one by one and many, in both encodings', async () => {
  for (const encoding of ['json', 'msgpack'] as const) {
    for (const [key, scope] of [
      [ALIPAY, 'alipay'],
      [KEYS.platform, undefined],
    ] as const) {
      const socket = await openStream(worker.url, { credential: key, protocols: [SUBPROTOCOLS[encoding]] })
      const [alone, some] = [`${encoding}-${scope}`, [0, 1, 2].map(i => `${encoding}-${scope}-${i}`)]
      await socket.ask({ op: 'claim', id: 1, round_id: round.id, user_id: alone })
      await socket.ask({ op: 'claims', id: 2, round_id: round.id, user_ids: some })
      await socket.ask({ op: 'claims', id: 3, round_id: round.id, user_ids: [...some, `${alone}-late`] })
      const users = [alone, ...some, `${alone}-late`]
      if (encoding === 'msgpack') {
        // With the shortest heads, as the fast lane reads them.
        users.push(`${alone}-packed`)
        socket.send(encode({ op: 'claims', id: 4, round_id: round.id, user_ids: [`${alone}-packed`] }, 'msgpack'))
        await socket.next(({ id }) => id === 4)
      }
      for (const user of users) expect(await viaOf(user), user).toBe(scope)
      socket.socket.close()
      await socket.closed
    }
  }
})

test('of claims that come together each has its own scope, in the list of grants, too', async () => {
  const scopes = [undefined, 'alipay', 'wechat', 'ada'] as const
  const keys = [KEYS.platform, ALIPAY, WECHAT, ADA] as const
  const scopeOf = (i: number) => scopes[(i * 7) % 4]
  const frames = await Promise.all(
    keys.map(credential => openStream(worker.url, { credential, protocols: [SUBPROTOCOLS.json] })),
  )
  const crowd = Array.from({ length: 2 * BATCH_CLAIMS_MAX }, (_, i) => `crowd-${i}`)
  const asked = frames.map((socket, k) => {
    const user_ids = crowd.filter((_, i) => scopeOf(i) === scopes[k])
    return socket.ask({ op: 'claims', id: 1, round_id: round.id, user_ids })
  })
  const singles = Array.from({ length: 40 }, (_, i) => claim(keys[(i * 7) % 4] as string, `single-${i}`))
  await Promise.all<unknown>([...asked, ...singles])
  for (const { socket } of frames) socket.close()
  const ndjson = { accept: 'application/x-ndjson' }
  const listed = await api.get<string>(`/v1/rounds/${round.id}/claims`, ndjson)
  const rows = listed.body
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Fields)
  const wrong = rows.filter(({ user_id, via }) => {
    const [, number] = String(user_id).match(/^(?:crowd|single)-(\d+)$/) ?? []
    return number !== undefined && via !== scopeOf(Number(number))
  })
  expect(wrong).toEqual([])
  expect(rows.filter(({ user_id }) => /^crowd-/.test(String(user_id)))).toHaveLength(crowd.length)
  const { body } = await api.get<{ data: Fields[] }>(`/v1/rounds/${round.id}/claims?limit=1000`)
  expect(body.data).toEqual(rows.slice(0, 1000))
})

test('claims of a strict round have their scopes, in the claim, the list and the history, at every node', async () => {
  const { id } = await makeRound(api, { stock: 500, allocation: { mode: 'fcfs', strict: true } })
  const path = `/v1/rounds/${id}/claims`
  const users = Array.from({ length: 60 }, (_, i) => `s${i}`)
  const scopes = [undefined, 'alipay', 'wechat'] as const
  const keys = [KEYS.platform, ALIPAY, WECHAT] as const
  const made = await Promise.all(
    users.map((user_id, i) =>
      patiently(() => new Api([worker.url, other.url][i % 2] as string, keys[i % 3]).post<Claimed>(path, { user_id })),
    ),
  )
  expect(new Set(made.map(({ status }) => status))).toEqual(new Set([201]))
  const again = await Promise.all(users.map(user_id => new Api(other.url, ADA).post<Claimed>(path, { user_id })))
  expect(new Set(again.map(({ status }) => status))).toEqual(new Set([200]))
  for (const url of [worker.url, other.url]) {
    const reader = new Api(url, KEYS.viewer)
    const rows = (await reader.get<{ data: Fields[] }>(path)).body.data
    const shown = new Map(rows.map(({ user_id, via }) => [user_id, via]))
    expect(users.map(user => shown.get(user))).toEqual(users.map((_, i) => scopes[i % 3]))
    expect((await reader.get<Claimed>(`${path}/s1`)).body.claim.via).toBe('alipay')
    expect((await reader.get<Claimed>(`${path}/s3`)).body.claim).not.toHaveProperty('via')
    const { body } = await reader.get<{ events: Fields[] }>(`/v1/vouchers/${made[2]?.body.vouchers[0]?.code}/history`)
    expect(body.events).toMatchObject([{ event: 'granted', via: 'wechat' }])
  }
})

test('a drawn round keeps no scope, and an entry by a scoped key is answered as ever', async () => {
  const { id } = await makeRound(api, { stock: 5, allocation: { mode: 'window', window_ms: 600_000 } })
  const entered = await api.as(ALIPAY).post(`/v1/rounds/${id}/claims`, { user_id: 'd' })
  expect([entered.status, entered.body.outcome]).toEqual([202, 'entered'])
  expect(JSON.stringify((await api.get(`/v1/rounds/${id}/claims/d`)).body)).not.toContain('alipay')
})
