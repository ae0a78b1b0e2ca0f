/**
 * An operator at node A is answered while a worker of node B stands still, or is busy, or while its bytes stand still on
 * their way to Redis. What is asked of B after that answer is decided by what the operator has set, in both directions: who is
 * held redeems nothing, who is released is not refused, a tag that was taken away counts no more, a rate is the new one.
 *
 * What waits for B is written into its open connections, and B goes on when it is there: so B serves it in its first turn, before
 * any timer of its own. Busy is a worker that writes lists of grants for many readers at once. Kept back is the one redemption
 * that a proxy stops in front of Redis: B has judged it, and only the script can still refuse it.
 *
 * `unavailable` and `overloaded` are allowed: certainly nothing was done. No witness: at each turn one answer is right, and it is
 * asked for over the public API. Rejected: a worker stopped at random moments, which
 * would meet the few microseconds between judging and sending once in a thousand turns.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, type Fields, type Granted, makeRound, PACK, type Reply, type Round } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { JWT_SECRET, KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { untilHolds } from '../support/polled.ts'
import { type RawAnswer, RawConnection } from '../support/raw-http.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { userToken } from '../support/user-token.ts'

const HOLDS = effort(10, 200)
/** Those that come after each kind of hold. */
const OTHERS = effort(2, 40)
const LISTED = effort(8000, 40_000)
const READERS = 6
const SLOTS = 255
const TAG = 'small_shop'

let redis: RedisProcess
let proxy: TcpProxy
let nodes: readonly NodeProcess[] = []
let a: Api
let b: Api
let frozen: NodeProcess
let round: Round
const counts: Record<string, number> = {}
beforeAll(async () => {
  redis = await startLocalRedis()
  proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const settings = { FAIRGRAB_DURABILITY: 'memory', FAIRGRAB_JWT_SECRET: JWT_SECRET, LOG_LEVEL: 'error' }
  nodes = await Promise.all([redis.url, proxy.url].map(url => startNodeProcess({ ...settings, REDIS_URL: url })))
  const [one, two] = nodes as readonly [NodeProcess, NodeProcess]
  a = new Api(one.url, KEYS.operator)
  b = new Api(two.url, KEYS.operator)
  frozen = two
  const pack = [PACK[0], { ...PACK[0], template: 'tagged', merchant_tags: [TAG] }]
  round = await makeRound(a, { stock: 5000 }, { pack, limits: { per_user: SLOTS } })
})
afterAll(async () => {
  for (const node of nodes) await node.stop()
  await proxy?.close()
  await redis?.stop()
})

let made = 0
/** The codes of a fresh pack: one for everybody, one for merchants with the tag. */
async function codes(): Promise<readonly string[]> {
  const { body } = await a.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: `u${++made}` })
  return body.vouchers.filter((_, i, { length }) => i === 0 || i === length - 1).map(({ code }) => code)
}

const redemption = (code: string, merchant: string): Fields => {
  return { code, order: { id: `o${++made}`, amount: 5000, currency: 'CNY' }, merchant_id: merchant }
}

/** A request as bytes. */
function written(method: string, path: string, { key = KEYS.operator, body }: { key?: string; body?: Fields }): string {
  const text = body === undefined ? '' : JSON.stringify(body)
  const head = [`${method} ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${key}`, `Idempotency-Key: k${++made}`]
  return `${head.join('\r\n')}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`
}
const redeeming = (code: string, merchant: string) =>
  written('POST', '/v1/redemptions', { body: redemption(code, merchant) })

const told = ({ status, body }: Reply): string => (status < 300 ? 'done' : String(body.code))

const codeOf = ({ status, body }: RawAnswer): string =>
  status < 300 ? 'done' : String((JSON.parse(body) as { code: string }).code)

/** Asks B in its open connections while it stands still, after an operator was answered at A; resolves with the answers. */
async function askFrozen(requests: readonly string[], operator: () => Promise<unknown>): Promise<RawAnswer[]> {
  const lines = requests.map(() => new RawConnection(b.url))
  await Promise.all(lines.map(line => line.open()))
  const thaw = frozen.freezeWorker()
  try {
    await operator()
    const answers = lines.map((line, i) => line.ask(requests[i] as string))
    thaw()
    return await Promise.all(answers)
  } finally {
    thaw()
    for (const line of lines) line.close()
  }
}

async function lever(path: string, body: Fields = {}): Promise<void> {
  const answer = await a.post(path, body)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
}
const hold = (merchant: string) => lever(`/v1/merchants/${merchant}/hold`, { reason: 'cheats' })
const putTags = async (merchant: string, tags: readonly string[]) => {
  const { status } = await a.call('PUT', `/v1/merchants/${merchant}`, { body: { name: 'shop', tags } })
  expect(status).toBe(200)
}

/** Counts an answer, which is one of those that may be given, and says whether it is the one that has to come sooner or later. */
function judged(kind: string, code: string, right: string): void {
  expect([right, 'unavailable', 'overloaded'], kind).toContain(code)
  const name = code === right ? kind : 'certainlyNotDone'
  counts[name] = (counts[name] ?? 0) + 1
}

test(
  `${HOLDS} holds while the other node stands still: nothing is redeemed after the answer`,
  async () => {
    for (let turn = 0; turn < HOLDS; turn++) {
      const [code = ''] = await codes()
      const merchant = `held-${turn}`
      const [answer] = await askFrozen([redeeming(code, merchant)], () => hold(merchant))
      judged('holds', codeOf(answer as RawAnswer), 'merchant_not_eligible')
      expect((await a.get(`/v1/vouchers/${code}`)).body.state).toBe('active')
    }
    expect(counts.holds).toBeGreaterThan(HOLDS / 2)
  },
  PATIENCE_MS,
)

test(
  'holds while a redemption is kept back between its node and Redis: the script refuses it',
  async () => {
    for (let turn = 0; turn < OTHERS; turn++) {
      const [code = ''] = await codes()
      const merchant = `kept-${turn}`
      const kept = proxy.keepBack(bytes => bytes.includes('"id":"rdm_'))
      const answer = b.post('/v1/redemptions', redemption(code, merchant), { 'idempotency-key': `k${++made}` })
      await kept
      const thaw = frozen.freezeWorker()
      try {
        await hold(merchant)
        const decided = proxy.forwarded('reply')
        proxy.letGo()
        await decided
      } finally {
        thaw()
      }
      judged('keptBack', told(await answer), 'merchant_not_eligible')
      expect((await a.get(`/v1/vouchers/${code}`)).body.state).toBe('active')
    }
    expect(counts.keptBack).toBeGreaterThanOrEqual(OTHERS / 2)
  },
  PATIENCE_MS,
)

test(
  'releases while the other node stands still: nobody is refused after the answer',
  async () => {
    for (let turn = 0; turn < OTHERS; turn++) {
      const [code = ''] = await codes()
      const merchant = `released-${turn}`
      await hold(merchant)
      const before = await b.post('/v1/redemptions', redemption(code, merchant), { 'idempotency-key': `k${++made}` })
      expect(before.body.code).toBe('merchant_not_eligible')
      const release = () => lever(`/v1/merchants/${merchant}/release`)
      const [answer] = await askFrozen([redeeming(code, merchant)], release)
      judged('releases', codeOf(answer as RawAnswer), 'done')
    }
    expect(counts.releases).toBeGreaterThanOrEqual(OTHERS / 2)
  },
  PATIENCE_MS,
)

test(
  'tags that come and go while the other node stands still',
  async () => {
    for (let turn = 0; turn < OTHERS; turn++) {
      const merchant = `tags-${turn}`
      const tagged = await Promise.all([codes(), codes(), codes()])
      const [first = '', second = '', third = ''] = tagged.map(([, code]) => code)
      const redeemed = await b.post('/v1/redemptions', redemption(first, merchant), { 'idempotency-key': `k${++made}` })
      expect(redeemed.body.code).toBe('merchant_not_eligible')
      const [came] = await askFrozen([redeeming(second, merchant)], () => putTags(merchant, [TAG]))
      judged('tags', codeOf(came as RawAnswer), 'done')
      const [went] = await askFrozen([redeeming(third, merchant)], () => putTags(merchant, []))
      judged('tags', codeOf(went as RawAnswer), 'merchant_not_eligible')
    }
    expect(counts.tags).toBeGreaterThanOrEqual(OTHERS)
  },
  PATIENCE_MS,
)

test(
  'a rate that is set while the other node stands still counts from its first turn on',
  async () => {
    for (let turn = 0; turn < OTHERS; turn++) {
      const [reader, claimant] = [userToken(`reader-${turn}`), userToken(`claimant-${turn}`)]
      const reads = Array.from({ length: 4 }, () => written('GET', `/v1/rounds/${round.id}`, { key: reader }))
      const claims = Array.from({ length: 4 }, (_, slot) =>
        written('POST', `/v1/rounds/${round.id}/claims`, { key: claimant, body: { slot: slot + 1 } }),
      )
      const answers = await askFrozen([...reads, ...claims], () => lever('/v1/rates', { user: 1 }))
      const passed = (some: readonly RawAnswer[]) => some.filter(({ status }) => status < 300).length
      const [read, claimed] = [passed(answers.slice(0, 4)), passed(answers.slice(4))]
      expect([read <= 1, claimed <= 1], `${read} reads, ${claimed} claims`).toEqual([true, true])
      counts.rates = (counts.rates ?? 0) + 1
      await lever('/v1/rates', { user: null })
    }
  },
  PATIENCE_MS,
)

test(
  `holds while the other node writes ${READERS} lists of ${LISTED} grants`,
  async () => {
    const listed = await makeRound(a, { stock: LISTED })
    for (let first = 0; first < LISTED; first += 4000) {
      const claims = Array.from({ length: 4000 }, (_, i) => ({ user_id: `listed-${first + i}` }))
      expect((await a.post(`/v1/rounds/${listed.id}/claims/batch`, { claims })).status).toBe(200)
    }
    // The proxy is in this process, which reads the lists, so it is the node without one that writes them.
    const list = () => a.get<string>(`/v1/rounds/${listed.id}/claims`, { accept: 'application/x-ndjson' })
    for (let turn = 0; turn < OTHERS; turn++) {
      const [code = ''] = await codes()
      const merchant = `busy-${turn}`
      const readers = Array.from({ length: READERS }, list)
      // This process reads the lists and is busy, too: an operator who had no answer in time asks again.
      const path = `/v1/merchants/${merchant}/hold`
      await untilHolds(async () => (await b.post(path, { reason: 'cheats' })).status === 200)
      const answer = await a.post('/v1/redemptions', redemption(code, merchant), { 'idempotency-key': `k${++made}` })
      judged('busy', told(answer), 'merchant_not_eligible')
      for (const { status } of await Promise.all(readers)) expect(status).toBe(200)
    }
    tell({ ...counts, redeemedAfterTheAnswer: 0 })
  },
  PATIENCE_MS,
)
