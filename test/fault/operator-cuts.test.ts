/**
 * Changes of operators, cut off from Redis at each of their steps, and asked again under the same Idempotency-Key: each is made
 * once, wherever it was cut, and budgets, logs and the audit agree.
 *
 * A step is a request to Redis that has to do with the change. It is lost on its way, arrives late, when the answer is long
 * given, or is executed while its reply is lost. The operator asks again at the same node when it is back, or at another one
 * at once, while the first is still at it. Several nodes, each behind a way of its own, are cut side by side.
 *
 * No witness: nobody claims here, and what a change came to is read whole from the API, the logs and the budgets.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import {
  Api,
  type Fields,
  type Granted,
  makeCampaign,
  makeRound,
  PACK,
  type Reply,
  type Round,
} from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const CUTS = effort(28, 1000)
const LANES = 4
const WORTH = 1000
const BUDGET = { budget: { max_amount: 100 * WORTH }, pack: [{ ...PACK[0], quantity: 1 }] }
const WAYS = ['lost', 'late', 'unanswered'] as const

/** A node with a way to Redis of its own. */
interface Lane {
  readonly proxy: TcpProxy
  readonly worker: TestWorker
  readonly api: Api
}

/** A change: what is asked, what its requests to Redis are known by, and whether it was made once. */
interface Change {
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly marks: readonly string[]
  readonly check: () => Promise<void>
}

let redis: RedisProcess
let client: Redis
let direct: TestWorker
let api: Api
const lanes: Lane[] = []
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  client = new Redis(redis.url)
  direct = await startTestWorker(redis.url)
  api = new Api(direct.url, KEYS.operator)
  for (let i = 0; i < LANES; i++) {
    const proxy = await TcpProxy.open({ path: redis.socketPath as string }, { remembers: false })
    const worker = await startTestWorker(proxy.url, { LOG_LEVEL: 'silent' })
    lanes.push({ proxy, worker, api: new Api(worker.url, KEYS.operator) })
  }
})
afterAll(async () => {
  for (const { proxy, worker } of lanes) {
    await worker.stop()
    await proxy.close()
  }
  await direct?.stop()
  client?.disconnect()
  await redis?.stop()
})

let count = 0
const fresh = (what: string): string => `${what}-${++count}`

/** What is committed of a campaign's budget once all of it is settled, though nobody is under way any more. */
async function settledBudget(campaign: string): Promise<number> {
  for (const [name, note] of Object.entries(await client.hgetall(keys.unsettledBudgets())))
    if (name.startsWith(`${campaign} `)) await client.hset(keys.unsettledBudgets(), name, note.replace(/^\d+/, '0'))
  const refused = await api.post(`/v1/campaigns/${campaign}/rounds?dry_run=true`, { stock: 101 })
  expect(refused.body.code).toBe('budget_exceeded')
  return Number(await client.hget(keys.campaignBudget(campaign), 'sum'))
}

/** How many entries of a kind a round's log has. */
async function logged(roundId: string, kind: RegExp): Promise<number> {
  const entries = await client.xrange(keys.roundLog(roundId), '-', '+')
  return entries.filter(([, fields]) => kind.test(fields[fields.indexOf('kind') + 1] ?? '')).length
}

/** How many entries of a kind a campaign's ledger has. */
async function booked(campaign: string, kind: string): Promise<number> {
  const entries = await client.xrange(keys.campaignLedger(campaign), '-', '+')
  return entries.filter(([, fields]) => fields[fields.indexOf('kind') + 1] === kind).length
}

async function newCampaign(): Promise<Change> {
  const name = fresh('campaign')
  const check = async () => {
    const { body } = await api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
    const made = body.data.filter(row => row.name === name)
    expect(made).toHaveLength(1)
    expect(await booked(String(made[0]?.id), 'fund')).toBe(1)
  }
  return { method: 'POST', path: '/v1/campaigns', body: { name, currency: 'CNY', ...BUDGET }, marks: ['cmp_'], check }
}

async function newRound(): Promise<Change> {
  const campaign = await makeCampaign(api, BUDGET)
  const check = async () => {
    const { body } = await api.get<{ data: Round[] }>(`/v1/campaigns/${campaign}/rounds`)
    expect(body.data.map(({ stock }) => stock.total)).toEqual([10])
    expect(await settledBudget(campaign)).toBe(10 * WORTH)
  }
  return {
    method: 'POST',
    path: `/v1/campaigns/${campaign}/rounds`,
    body: { stock: 10 },
    marks: [campaign, 'rnd_'],
    check,
  }
}

const restock = (add: number) => async (): Promise<Change> => {
  const { id, campaign_id } = await makeRound(api, { stock: 20 }, BUDGET)
  const check = async () => {
    expect((await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total).toBe(20 + add)
    expect(await logged(id, /^restock/)).toBe(1)
    expect(await settledBudget(campaign_id)).toBe((20 + add) * WORTH)
  }
  return { method: 'POST', path: `/v1/rounds/${id}/stock`, body: { add }, marks: [id, campaign_id], check }
}

const turn = (verb: 'open' | 'pause' | 'close', state: string) => async (): Promise<Change> => {
  const { id } = await makeRound(api, verb === 'open' ? { opens_at: null } : {}, BUDGET)
  const check = async () => {
    expect((await api.get<Round>(`/v1/rounds/${id}`)).body.state).toBe(state)
    expect(await logged(id, new RegExp(`^${verb}$`))).toBe(1)
  }
  return { method: 'POST', path: `/v1/rounds/${id}/${verb}`, marks: [id], check }
}

async function putMerchant(): Promise<Change> {
  const id = fresh('m')
  const check = async () => expect((await api.get(`/v1/merchants/${id}`)).body).toMatchObject({ name: 'Shop' })
  return { method: 'PUT', path: `/v1/merchants/${id}`, body: { name: 'Shop' }, marks: [id, keys.merchants()], check }
}

async function putMerchants(): Promise<Change> {
  const name = fresh('lines')
  const lines = Array.from({ length: 600 }, (_, i) => JSON.stringify({ id: `${name}.${i}`, name }))
  const check = async () => {
    const { body } = await api.get<{ data: Fields[] }>(`/v1/merchants?limit=1000&cursor=${name}`)
    expect(body.data.filter(row => row.name === name)).toHaveLength(600)
  }
  const headers = { 'content-type': 'application/x-ndjson' }
  return {
    method: 'PUT',
    path: '/v1/merchants',
    body: Buffer.from(lines.join('\n')),
    headers,
    marks: [name, keys.merchants()],
    check,
  }
}

async function holdMerchant(): Promise<Change> {
  const id = fresh('held')
  const check = async () => {
    const { body } = await api.get<{ data: Fields[] }>('/v1/holds')
    expect(body.data.filter(row => row.merchant_id === id)).toHaveLength(1)
  }
  return {
    method: 'POST',
    path: `/v1/merchants/${id}/hold`,
    body: { reason: 'r' },
    marks: [id, `{${keys.controls()}}`],
    check,
  }
}

/** A round with one voucher that was granted. */
async function granted() {
  const round = await makeRound(api, { stock: 5 }, BUDGET)
  const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u' })
  return { campaign: round.campaign_id, code: body.vouchers[0]?.code as string }
}

async function takeBack(): Promise<Change> {
  const { campaign, code } = await granted()
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  const redeemed = await api.post(
    '/v1/redemptions',
    { code, order, merchant_id: 'm' },
    { 'idempotency-key': fresh('r') },
  )
  expect(redeemed.status).toBe(201)
  const check = async () => {
    expect((await api.get(`/v1/vouchers/${code}`)).body.state).toBe('deactivated')
    expect(await booked(campaign, 'hold')).toBe(1)
  }
  const body = { merchant_id: 'm', reason: 'r' }
  return { method: 'POST', path: `/v1/campaigns/${campaign}/holds`, body, marks: [campaign], check }
}

async function deactivate(): Promise<Change> {
  const { campaign, code } = await granted()
  const check = async () => expect(await booked(campaign, 'deactivate')).toBe(1)
  return { method: 'POST', path: `/v1/vouchers/${code}/deactivate`, body: { reason: 'r' }, marks: [campaign], check }
}

async function settle(): Promise<Change> {
  const campaign = await makeCampaign(api, { ...BUDGET, timezone: 'UTC' })
  const business_date = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  const check = async () => expect(await booked(campaign, 'settle')).toBe(1)
  return {
    method: 'POST',
    path: `/v1/campaigns/${campaign}/settlements`,
    body: { business_date },
    marks: [campaign],
    check,
  }
}

const CHANGES: Readonly<Record<string, () => Promise<Change>>> = {
  campaign: newCampaign,
  round: newRound,
  'more stock': restock(7),
  'less stock': restock(-7),
  open: turn('open', 'open'),
  pause: turn('pause', 'paused'),
  close: turn('close', 'closed'),
  merchant: putMerchant,
  merchants: putMerchants,
  hold: holdMerchant,
  'take back': takeBack,
  deactivate,
  settle,
}
/** What each change has to do with besides its own: its key, and the log of changes. */
const COMMON = [keys.requestSecret(), '{operators}', keys.auditState()]

const ask = (by: Api, { method, path, body, headers = {} }: Change, key: string): Promise<Reply> =>
  by.call(method, path, { body, headers: { ...headers, 'idempotency-key': key } })

/** Asks until there is an answer that says what became of it. */
async function insist(by: Api, change: Change, key: string): Promise<Reply> {
  for (;;) {
    const reply = await ask(by, change, key)
    if (reply.status < 500) return reply
  }
}

async function ready({ api: there }: Lane): Promise<void> {
  while ((await there.get('/readyz')).status !== 200) await new Promise(resolve => setImmediate(resolve))
}

/** Resolves when the k-th request to Redis that has to do with a change is there, and closes the way. */
function cutAt({ proxy }: Lane, way: (typeof WAYS)[number], isStep: (bytes: Buffer) => boolean): () => boolean {
  let [isArmed, isCut] = [true, false]
  const close = (to: TcpProxy['way']) => () => {
    if (!isArmed) return
    isCut = true
    proxy.way = to
  }
  const matches = (bytes: Buffer) => isArmed && !isCut && isStep(bytes)
  if (way === 'unanswered') void proxy.forwarded('request', matches).then(close('drop replies'))
  else void proxy.keepBack(matches).then(close('black hole'))
  return () => {
    isArmed = false
    return isCut
  }
}

function open({ proxy }: Lane, way: (typeof WAYS)[number]): void {
  if (way === 'lost') proxy.disconnect()
  proxy.way = 'pass'
  proxy.letGo()
}

const stepsOf = ({ marks }: Change) => {
  const words = [...marks, ...COMMON]
  return (bytes: Buffer): boolean => words.some(word => bytes.includes(word))
}

/** How many steps a change has that nobody cuts. */
async function countSteps(lane: Lane, change: Change): Promise<number> {
  let steps = 0
  const isStep = stepsOf(change)
  const disarm = cutAt(lane, 'late', bytes => {
    if (isStep(bytes)) steps++
    return false
  })
  expect((await ask(lane.api, change, fresh('key'))).status).toBeLessThan(300)
  disarm()
  lane.proxy.letGo()
  await change.check()
  return steps
}

test(
  `${CUTS} changes that were cut off are made once by whoever asks again`,
  async () => {
    const next = random(16)
    const steps: Record<string, number> = {}
    for (const [name, begin] of Object.entries(CHANGES)) steps[name] = await countSteps(lanes[0] as Lane, await begin())
    const names = Object.keys(CHANGES)
    const figures = { cuts: 0, answeredBefore: 0, replayed: 0, madeByRepetition: 0 }
    let left = CUTS
    const drive = async (lane: Lane) => {
      while (left-- > 0) {
        const name = names[left % names.length] as string
        const change = await (CHANGES[name] as () => Promise<Change>)()
        const [way, key] = [WAYS[below(next, WAYS.length)] as (typeof WAYS)[number], fresh('key')]
        const [place, elsewhere, isStep] = [1 + below(next, steps[name] as number), next() < 0.5, stepsOf(change)]
        let seen = 0
        const disarm = cutAt(lane, way, bytes => isStep(bytes) && ++seen === place)
        const first = ask(lane.api, change, key)
        const early = elsewhere ? await insist(api, change, key) : undefined
        const answer = await first
        if (disarm()) figures.cuts++
        else figures.answeredBefore++
        open(lane, way)
        await ready(lane)
        const repeated = early ?? (await insist(lane.api, change, key))
        const what = `${name}, ${way} at step ${place} of ${steps[name]}, asked again ${elsewhere ? 'elsewhere' : 'here'}`
        expect([repeated.status, answer.status], `${what}: ${JSON.stringify(repeated.body)}`).toEqual([
          expect.toSatisfy((status: number) => status === 200 || status === 201),
          expect.toSatisfy((status: number) => status < 300 || status >= 500),
        ])
        if (repeated.headers.get('idempotent-replayed') === 'true') figures.replayed++
        else figures.madeByRepetition++
        const last = await insist(api, change, key)
        expect([last.status, last.headers.get('idempotent-replayed')], what).toEqual([200, 'true'])
        await change.check().catch((cause: Error) => {
          throw new Error(`${what}: ${cause.message}`, { cause })
        })
      }
    }
    await Promise.all(lanes.map(drive))
    expect(await wrongEnds()).toEqual([])
    expect(figures.cuts).toBeGreaterThan(CUTS / 2)
    expect(Math.min(figures.replayed, figures.madeByRepetition)).toBeGreaterThan(0)
    tell({ ...figures, doubled: 0 })
  },
  PATIENCE_MS,
)

/** Changes that the log of changes has as made more than once, or neither as made nor as found made. */
async function wrongEnds(): Promise<readonly string[]> {
  const { bytes } = await api.get('/v1/audit', { accept: 'application/x-ndjson' })
  const entries = bytes
    .toString()
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<'action' | 'target' | 'body' | 'outcome', string>)
  const byChange = Object.groupBy(entries, ({ action, target, body }) => `${action} ${target} ${body}`)
  return Object.entries(byChange).flatMap(([change, of = []]) => {
    const made = of.filter(({ outcome }) => outcome === '200' || outcome === '201').length
    const found = of.filter(({ outcome }) => outcome === 'replayed').length
    // What the test makes for itself, without a key, has the same words each time.
    if (found === 0 || /omitted/.test(change)) return []
    return made > 1 ? [`${change}: made ${made} times, found ${found} times`] : []
  })
}
