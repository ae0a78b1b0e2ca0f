/**
 * Drawn rounds end to end over the public API: two workers and two nodes on one Redis, both encodings and the stream.
 *
 * People enter through any worker, enter again through another, and keep one entry with one receipt, byte for byte. After
 * the draw everybody is told the same everywhere: winners their grant with vouchers that redeem, losers that it is sold
 * out. What the engine publishes is computed again here with node:crypto alone, without a line of the engine's.
 */
import { createCipheriv, createHash, createPublicKey, verify } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import { roundBundle, roundDraw } from '../../engine/store/connection/keys.ts'
import {
  type Api,
  expectProblem,
  type Fields,
  type Granted,
  makeCampaign,
  makeRound,
  type Round,
} from '../support/api.ts'
import { KEYS, levelAt, startNode, startTestWorker, type TestNode, type TestWorker } from '../support/engine.ts'
import { PatientApi } from '../support/patient-api.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'
import { openStream, type StreamClient } from '../support/stream-client.ts'

let redis: RedisServer
let worker: TestWorker
let node: TestNode
let api: Api
let other: Api
beforeAll(async () => {
  redis = await startOwnRedis()
  worker = await startTestWorker(redis.url)
  node = await startNode({
    REDIS_URL: redis.url,
    FAIRGRAB_WORKERS: '2',
    ...levelAt(redis.url),
    LOG_LEVEL: 'fatal',
  })
  api = new PatientApi(worker.url, KEYS.operator)
  other = new PatientApi(node.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  await node.stop()
  await redis.stop()
})

interface Receipt {
  readonly tag: string
  readonly pool: number
  readonly round_id: string
  readonly window: number
  readonly at: string
  readonly path: readonly string[]
  readonly root: string
  readonly signature: string
  readonly key_id: string
  readonly nonce?: string
  readonly salt?: string
}
interface Entered {
  readonly outcome: string
  readonly receipt: Receipt
}
interface Shown {
  readonly state: string
  readonly mode: string
  readonly trust: string
  readonly window: number
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[]
}

const sha = (...parts: readonly (string | Buffer)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const hex = (text: string) => Buffer.from(text, 'hex')
const names = (count: number, prefix: string) => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
const enter = (from: Api, round: string, body: Fields) => from.post<Entered>(`/v1/rounds/${round}/claims`, body)

/** Resolves with the `drawn` frame of a round, whoever asked first. */
async function watch(url: string, round: string): Promise<{ socket: StreamClient; drawn: Promise<Fields> }> {
  const socket = await openStream(url)
  await socket.ask({ op: 'subscribe', id: 1, topics: [`stock:${round}`] })
  return { socket, drawn: socket.next('drawn') }
}

const file = async (from: Api, round: string, name: string, window = 0): Promise<Buffer> =>
  (await from.get(`/v1/rounds/${round}/draw/files/${name}?window=${window}`)).bytes

/** The published key with which an engine signs, checked by its id. */
async function publicKey(round: string, keyId: string) {
  const { body } = await api.get<{ keys: { key_id: string; public_key: string }[] }>(`/v1/rounds/${round}/draw/key`)
  const key = body.keys.find(({ key_id }) => key_id === keyId)?.public_key ?? ''
  return createPublicKey({ key: hex(`302a300506032b6570032100${key}`), format: 'der', type: 'spki' })
}

async function expectReceipt(receipt: Receipt, userId: string, pool = 0) {
  const commitment = sha(hex(receipt.salt ?? ''), userId)
  const tag = sha('fairgrab/tag/v1', receipt.round_id, hex(receipt.nonce ?? ''), commitment).subarray(0, 16)
  expect(receipt).toMatchObject({ tag: tag.toString('hex'), pool })
  let node = sha(Buffer.of(0), tag, Buffer.of(pool))
  for (const step of receipt.path)
    node = sha(Buffer.of(1), ...(step[0] === 'L' ? [hex(step.slice(1)), node] : [node, hex(step.slice(1))]))
  expect(node.toString('hex')).toBe(receipt.root)
  const lines = ['fairgrab/receipt/v1', receipt.round_id, receipt.window, receipt.at, receipt.root, '']
  const key = await publicKey(receipt.round_id, receipt.key_id)
  expect(verify(null, Buffer.from(lines.join('\n')), key, hex(receipt.signature))).toBe(true)
}

/** The winners of a published draw without pools, computed from rules, list and secret alone. */
async function drawAgain(round: string, stock: number): Promise<readonly string[]> {
  const [rules, entries, beacon] = await Promise.all(
    ['rules.json', 'entries.bin', 'beacon.json'].map(name => file(other, round, name)),
  )
  const { secret } = JSON.parse(String(beacon)) as { secret: string }
  expect(sha(hex(secret)).toString('hex')).toBe(JSON.parse(String(rules)).beacon.hash)
  const count = (entries?.length ?? 0) / 17
  let level: Buffer[] = []
  for (let at = 0; at < count; at += 64)
    level.push(sha(Buffer.of(0), entries?.subarray(at * 17, (at + 64) * 17) as Buffer))
  while (level.length > 1)
    level = level.flatMap((left, i) => {
      if (i % 2 === 1) return []
      const right = level[i + 1]
      return [right ? sha(Buffer.of(1), left, right) : left]
    })
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(count))
  const seed = sha('fairgrab/seed/v1', sha(rules as Buffer), level[0] as Buffer, length, hex(secret))
  const cipher = createCipheriv('aes-256-ecb', seed, null).setAutoPadding(false)
  const scored = Array.from({ length: count }, (_, i) => {
    const tag = entries?.subarray(i * 17, i * 17 + 16) as Buffer
    return { tag: tag.toString('hex'), score: cipher.update(tag).toString('hex') }
  })
  return scored
    .sort((a, b) => (a.score < b.score ? -1 : 1))
    .slice(0, stock)
    .map(({ tag }) => tag)
}

test('window: one entry a user through any worker, the same receipt, one draw, winners with vouchers', async () => {
  const stock = 20
  const { id } = await makeRound(api, { stock, allocation: { mode: 'window', window_ms: 60_000 } })
  const { socket, drawn } = await watch(node.url, id)
  const people = names(100, 'w')
  const first = await Promise.all(people.map((user_id, i) => enter(i % 2 ? api : other, id, { user_id })))
  expect(new Set(first.map(({ status }) => status))).toEqual(new Set([202]))
  const again = await Promise.all(people.map((user_id, i) => enter(i % 2 ? other : api, id, { user_id })))
  expect(again.map(({ bytes }) => String(bytes))).toEqual(first.map(({ bytes }) => String(bytes)))
  const nonce = '0123456789abcdef'.repeat(2)
  const own = await enter(api, id, { user_id: 'own', nonce, salt: nonce })
  expect(own.body.receipt).toMatchObject({ nonce, salt: nonce })
  await expectReceipt(own.body.receipt, 'own')
  const plain = (await enter(other, id, { user_id: 'own' })).body.receipt
  expect(plain).toEqual({ ...own.body.receipt, nonce: undefined, salt: undefined })
  for (const i of [0, 1, 57]) await expectReceipt(first[i]?.body.receipt as Receipt, people[i] as string)
  expectProblem(await api.post(`/v1/rounds/${id}/claims`, { user_id: 'w0', slot: 2 }), 'limit_reached')
  const open = await api.get<Shown>(`/v1/rounds/${id}/draw`)
  expect(open.body).toMatchObject({ state: 'open', mode: 'window', trust: 'T2' })
  expect(open.body.files.map(({ name }) => name)).toEqual(['rules.json'])

  await api.post(`/v1/rounds/${id}/close`)
  const told = await drawn
  const winners = await drawAgain(id, stock)
  const result = JSON.parse(String(await file(api, id, 'result.json')))
  expect(result.winners).toEqual(winners.map(tag => `${tag}:general`))
  expect(told).toMatchObject({ round_id: id, window: 0, seed: result.seed, cutoffs: result.cutoffs })
  const answers = await Promise.all(people.map((user_id, i) => enter(i % 2 ? api : other, id, { user_id })))
  for (const [i, { status, body }] of answers.entries()) {
    const place = winners.indexOf(first[i]?.body.receipt.tag as string)
    if (place < 0) expect({ status, code: (body as unknown as Fields).code }).toEqual({ status: 409, code: 'sold_out' })
    else
      expect(body).toMatchObject({
        outcome: 'granted',
        replayed: true,
        claim: { sequence: place + 1, pool: 'general' },
      })
  }
  await socket.close()
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body).toMatchObject({
    state: 'drawn',
    stock: { granted: stock, remaining: 0 },
  })
  expectProblem((await enter(other, id, { user_id: 'late' })) as never, 'sold_out')
})

test('a winner is found by his name, his voucher redeems, and the list of grants has tags', async () => {
  const { id } = await makeRound(api, { stock: 2, allocation: { mode: 'window', window_ms: 60_000 } })
  const { socket, drawn } = await watch(worker.url, id)
  const { receipt } = (await enter(other, id, { user_id: 'solo' })).body
  expect((await api.get<Entered>(`/v1/rounds/${id}/claims/solo`)).body.receipt).toEqual(receipt)
  await other.post(`/v1/rounds/${id}/close`)
  await drawn
  await socket.close()
  const { status, body } = await other.get<Granted>(`/v1/rounds/${id}/claims/solo`)
  expect({ status, user: body.claim.user_id }).toEqual({ status: 200, user: 'solo' })
  const code = body.vouchers[0]?.code
  const order = { id: 'o1', amount: 5000, currency: 'CNY' }
  const redeem = (user_id: string) =>
    other.post(
      '/v1/redemptions',
      { code, order, merchant_id: 'm1', user_id },
      { 'idempotency-key': `${id}-${user_id}` },
    )
  expectProblem(await redeem('nobody'), 'not_eligible')
  const redeemed = await redeem('solo')
  expect(redeemed.status).toBe(201)
  const { data } = (await api.get<{ data: readonly Fields[] }>(`/v1/rounds/${id}/claims`)).body
  expect(data).toMatchObject([{ sequence: 1, user_id: `tag:${receipt.tag}`, pool: 'general' }])
  expectProblem(await api.get(`/v1/rounds/${id}/claims/nobody`), 'not_found')
  expectProblem(await api.post(`/v1/rounds/${id}/stock`, { add: 5 }), 'wrong_state')
})

test('unsold stock goes to the next window, which has rules, list and secret of its own', async () => {
  const { id } = await makeRound(api, { stock: 3, opens_at: null, allocation: { mode: 'window', window_ms: 3000 } })
  const first = await watch(worker.url, id)
  await other.post(`/v1/rounds/${id}/open`)
  await enter(api, id, { user_id: 'a' })
  expect(await first.drawn).toMatchObject({ window: 0 })
  const second = first.socket.next('drawn')
  const entered = await Promise.all(['b', 'c', 'd', 'e', 'a'].map(user_id => enter(other, id, { user_id })))
  expect(entered.map(({ status }) => status)).toEqual([202, 202, 202, 202, 200])
  expect(entered.slice(0, 4).map(({ body }) => body.receipt.window)).toEqual([1, 1, 1, 1])
  expect(await second).toMatchObject({ window: 1 })
  await first.socket.close()
  const rules = await Promise.all(
    [0, 1].map(async window => JSON.parse(String(await file(api, id, 'rules.json', window)))),
  )
  expect(rules.map(({ stock, window }) => ({ stock, window }))).toEqual([
    { stock: 3, window: 0 },
    { stock: 2, window: 1 },
  ])
  const secret = JSON.parse(String(await file(api, id, 'beacon.json', 0))).secret as string
  expect(rules[1].beacon.hash, 'the chain of secrets').toBe(secret)
  expect((await file(api, id, 'entries.bin', 1)).length).toBe(4 * 17)
  const after = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(user_id => enter(api, id, { user_id })))
  expect(after.map(({ status }) => status).sort()).toEqual([200, 200, 200, 409, 409])
})

test('lottery: pools, a waitlist, the stream, and the draw at its hour', async () => {
  const drawsAt = new Date(Date.now() + 6000).toISOString()
  const pools = [{ name: 'assisted', stock: 3 }]
  const allocation = { mode: 'lottery', draws_at: drawsAt, quota_order: 'pool-first', waitlist: 4 }
  const campaign = await makeCampaign(api)
  const asked = { stock: 10, opens_at: null, pools, allocation }
  const { id } = (await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)).body
  expectProblem((await enter(api, id, { user_id: 'early' })) as never, 'not_open')
  await api.post(`/v1/rounds/${id}/open`)
  const { socket, drawn } = await watch(node.url, id)
  const stream = await openStream(worker.url, { credential: KEYS.platform, protocols: ['fairgrab.msgpack.v1'] })
  const many = await stream.ask({ op: 'claims', id: 5, round_id: id, user_ids: names(30, 'g') })
  expect(new Set(many.outcomes as string[])).toEqual(new Set(['entered']))
  const one = await stream.ask({ op: 'claim', id: 6, round_id: id, user_id: 'h', pool: 'assisted' })
  expect(one).toMatchObject({ outcome: 'entered', receipt: { pool: 1 } })
  const batch = await other.post<{ results: readonly Fields[] }>(`/v1/rounds/${id}/claims/batch`, {
    claims: names(8, 'p').map(user_id => ({ user_id, pool: 'assisted' })),
  })
  expect(new Set(batch.body.results.map(({ outcome }) => outcome))).toEqual(new Set(['entered']))
  expect(await drawn).toMatchObject({ round_id: id, window: 0 })
  await Promise.all([socket.close(), stream.close()])
  const result = JSON.parse(String(await file(api, id, 'result.json')))
  expect(result.winners.filter((line: string) => line.endsWith(':assisted'))).toHaveLength(3)
  expect(result.winners).toHaveLength(10)
  expect(result.waitlist).toHaveLength(4)
  const state = (await api.get<Round>(`/v1/rounds/${id}`)).body
  expect(state).toMatchObject({ state: 'drawn', pools: [{ granted: 7 }, { granted: 3 }] })
  const shown = (await other.get<Shown>(`/v1/rounds/${id}/draw`)).body
  expect(shown).toMatchObject({ state: 'drawn', mode: 'lottery' })
  for (const { name, bytes, sha256 } of shown.files) {
    const got = await file(other, id, name)
    expect({ name, bytes: got.length, sha256: sha(got).toString('hex') }).toEqual({ name, bytes, sha256 })
  }
  const tag = (one.receipt as Receipt).tag
  const proof = await api.get<{ leaf: string; index: number }>(`/v1/rounds/${id}/draw/proof?tag=${tag}`)
  expect(proof.body.leaf).toContain(`${tag}01`)
  expectProblem((await enter(api, id, { user_id: 'late' })) as never, 'sold_out')
})

interface Promoted {
  readonly pool: string | null
  readonly from: string
  readonly to: string | null
}

test('seats that lapse go down the waitlist, once each, and the proof says so', async () => {
  const drawsAt = new Date(Date.now() + 4000).toISOString()
  const allocation = { mode: 'lottery', draws_at: drawsAt, waitlist: 2 }
  const { id } = await makeRound(api, { stock: 2, allocation })
  const { socket, drawn } = await watch(worker.url, id)
  const people = names(5, 'l')
  const entered = await Promise.all(people.map(user_id => enter(other, id, { user_id })))
  const tags = entered.map(({ body }) => body.receipt.tag)
  await drawn
  await socket.close()
  const lapse = (from: Api, tag: string) => from.post<Promoted>(`/v1/rounds/${id}/draw/lapses`, { tag })
  const { winners, waitlist } = JSON.parse(String(await file(api, id, 'result.json')))
  const [first, second] = winners.map((line: string) => line.slice(0, 32)) as [string, string]
  const one = await lapse(api, first)
  expect(one).toMatchObject({ status: 200, body: { pool: 'general', from: first, to: waitlist[0] } })
  expect((await lapse(other, first)).body, 'asked again').toEqual(one.body)
  expect((await lapse(other, waitlist[0])).body, 'who was promoted may lapse too').toMatchObject({ to: waitlist[1] })
  expect((await lapse(other, second)).body, 'nobody waits any more').toMatchObject({ to: null })
  expectProblem((await lapse(api, 'f'.repeat(32))) as never, 'not_found')
  const promoted = people[tags.indexOf(waitlist[1])] as string
  const { body } = await other.get<Granted>(`/v1/rounds/${id}/claims/${promoted}`)
  expect(body).toMatchObject({ outcome: 'granted', claim: { sequence: 4 }, vouchers: [{ state: 'active' }, {}] })
  const lapsed = await other.get<Granted>(`/v1/rounds/${id}/claims/${people[tags.indexOf(first)]}`)
  expect(new Set(lapsed.body.vouchers.map(({ state }) => state))).toEqual(new Set(['deactivated']))
  const shown = (await api.get<Shown>(`/v1/rounds/${id}/draw`)).body
  const files = new Map<string, Buffer>()
  for (const { name } of shown.files) files.set(name, await file(other, id, name))
  expect(verifyBundle(files).checks.filter(({ ok }) => !ok)).toEqual([])
  expect(String(files.get('promotions.log')).trim().split('\n')).toHaveLength(2)
})

/** What drand published of quicknet's round 1000. */
const RECORDED = {
  round: 1000,
  signature: 'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39',
}

test('a public beacon is waited for, verified, and then the draw goes on', async () => {
  const allocation = { mode: 'window', window_ms: 60_000, beacon: { kind: 'drand' } }
  const { id } = await makeRound(api, { stock: 1, allocation })
  expect((await api.get<Shown>(`/v1/rounds/${id}/draw`)).body.trust).toBe('T3')
  // Nobody has the beacon of a round that is to come; so these rules promise one that was recorded.
  const rules = JSON.parse(String(await file(api, id, 'rules.json')))
  const client = rawRedis(redis.url)
  rules.beacon.round = RECORDED.round
  await client.hset(roundBundle(id, 0), 'rules.json', JSON.stringify(rules))
  const { socket, drawn } = await watch(node.url, id)
  await enter(other, id, { user_id: 'only' })
  const reveal = (body: Fields) => api.post(`/v1/rounds/${id}/draw/beacon`, body)
  expectProblem(await reveal(RECORDED), 'wrong_state')
  await api.post(`/v1/rounds/${id}/close`)
  await socket.next(frame => frame.op === 'stock' && frame.state === 'drawing')
  const phase = () => client.hget(roundDraw(id), 'phase')
  await expect.poll(phase, { timeout: 60_000 }).toBe('committed')
  client.disconnect()
  expectProblem(await reveal({ ...RECORDED, round: 1001 }), 'invalid')
  expectProblem(await reveal({ ...RECORDED, signature: RECORDED.signature.replace('b4', 'b5') }), 'invalid')
  expect((await reveal(RECORDED)).status).toBe(200)
  await drawn
  await socket.close()
  expect((await other.get<Granted>(`/v1/rounds/${id}/claims/only`)).body.outcome).toBe('granted')
  expect((await api.get<Shown>(`/v1/rounds/${id}/draw`)).body).toMatchObject({ state: 'drawn', trust: 'T1' })
})
