/**
 * A change of an operator that is cut off from Redis halfway: between the money that it commits and the change, and between
 * the change and what follows it. The way to Redis is closed at the very request, and the operator is told what he may
 * conclude: `unknown` wherever something may have been done. Afterwards nothing is leaked.
 */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { campaignBudget, unsettledBudgets } from '../../engine/store/connection/keys.ts'
import { loadScripts, type ScriptName } from '../../engine/store/connection/scripts.ts'
import { Api, expectProblem, makeCampaign, makeRound, type Reply, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

/** Room for ten packs of two vouchers. */
const BUDGET = { budget: { max_amount: 20_000 } }
/** Whether bytes ask a script, by its hash or, the first time on a connection, by its text. */
const asks = (script: ScriptName) => {
  const source = loadScripts()[script].source
  const sha = createHash('sha1').update(source).digest('hex')
  return (bytes: Buffer) => bytes.includes(sha) || bytes.includes(source.slice(0, 200))
}

let redis: RedisProcess
let proxy: TcpProxy
let client: Redis
let worker: TestWorker
let api: Api
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  proxy = await TcpProxy.open({ path: redis.socketPath as string })
  client = new Redis(redis.socketPath as string)
  worker = await startTestWorker(proxy.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker?.stop()
  client?.disconnect()
  await proxy?.close()
  await redis?.stop()
})

/** Asks something, and closes the way to Redis when a script is about to be asked about an id; opens it again when there is an answer. */
async function cutAt<Body>(script: ScriptName, id: string, ask: () => Promise<Reply<Body>>): Promise<Reply<Body>> {
  const asked = asks(script)
  const there = proxy.keepBack(bytes => asked(bytes) && bytes.includes(id))
  const answer = ask()
  await there
  proxy.way = 'black hole'
  const reply = await answer
  proxy.way = 'pass'
  proxy.letGo()
  await ready()
  return reply
}

/** The same, but what was kept back is lost for good. */
async function lostAt(script: ScriptName, id: string, ask: () => Promise<Reply<object>>): Promise<Reply> {
  const asked = asks(script)
  const there = proxy.keepBack(bytes => asked(bytes) && bytes.includes(id))
  const answer = ask()
  await there
  proxy.way = 'black hole'
  const reply = await answer
  proxy.disconnect()
  proxy.way = 'pass'
  proxy.letGo()
  await ready()
  return reply as Reply
}

const ready = (): Promise<void> => untilHolds(async () => (await api.get('/readyz')).status === 200)

/** The patience that others have with what a node left unsettled is over. */
async function patienceEnds(): Promise<void> {
  for (const [name, note] of Object.entries(await client.hgetall(unsettledBudgets())))
    await client.hset(unsettledBudgets(), name, note.replace(/^\d+/, '0'))
}

/** What is committed, after a budget that is about to refuse has settled what nobody is under way with. */
async function budgetOf(campaign: string): Promise<number> {
  expectProblem(await api.post(`/v1/campaigns/${campaign}/rounds?dry_run=true`, { stock: 11 }), 'budget_exceeded')
  return Number(await client.hget(campaignBudget(campaign), 'sum'))
}

test('a new round that is cut off behind its money is unknown, and its money comes back', async () => {
  const campaign = await makeCampaign(api, BUDGET)
  const path = `/v1/campaigns/${campaign}/rounds`
  expectProblem(await cutAt('round-create', campaign, () => api.post(path, { stock: 10 })), 'unknown')
  await patienceEnds()
  const { body } = await api.get<{ data: Round[] }>(path)
  const kept = await budgetOf(campaign)
  // Its bytes may still have arrived; then it stands and is paid for.
  expect(kept).toBe(body.data.length * 20_000)
  expect((await api.post(path, { stock: 10 })).status).toBe(body.data.length === 0 ? 201 : 422)
})

test('stock that is cut off behind its money is unknown, and its money comes back', async () => {
  const { id, campaign_id } = await makeRound(api, { stock: 4 }, BUDGET)
  expectProblem(await cutAt('restock', id, () => api.post(`/v1/rounds/${id}/stock`, { add: 6 })), 'unknown')
  await patienceEnds()
  const kept = await budgetOf(campaign_id)
  const { total } = (await api.get<Round>(`/v1/rounds/${id}`)).body.stock
  expect(kept).toBe(total * 2000)
})

test('stock that is taken back frees its money, though the answer was cut off behind it', async () => {
  const { id, campaign_id } = await makeRound(api, { stock: 10 }, BUDGET)
  // The second time the script is asked is when the money of what was taken back is counted.
  const first = proxy.forwarded('request', asks('budget'))
  const cut = first.then(() => {
    const there = proxy.keepBack(asks('budget'))
    return there.then(() => {
      proxy.way = 'black hole'
    })
  })
  const reply = await api.post(`/v1/rounds/${id}/stock`, { add: -4 })
  await cut
  proxy.way = 'pass'
  proxy.letGo()
  expectProblem(reply, 'unknown')
  expect(reply.body.detail).toContain('the change was made')
  await ready()
  await patienceEnds()
  expect([await budgetOf(campaign_id), (await api.get<Round>(`/v1/rounds/${id}`)).body.stock.total]).toEqual([
    12_000, 6,
  ])
})

const under = (key: string) => ({ 'idempotency-key': key })
const unsettled = () => client.hlen(unsettledBudgets())

test('a new round that was given up is made by whoever asks again under its key, and paid for once', async () => {
  const campaign = await makeCampaign(api, BUDGET)
  const path = `/v1/campaigns/${campaign}/rounds`
  const ask = () => api.post<Round>(path, { stock: 10 }, under('given-up'))
  expectProblem(await lostAt('round-create', campaign, ask), 'unknown')
  await patienceEnds()
  expect(await budgetOf(campaign)).toBe(0)
  const made = await ask()
  expect([made.status, made.headers.get('idempotent-replayed')]).toEqual([201, null])
  const again = await ask()
  expect([again.status, again.headers.get('idempotent-replayed'), again.body.id]).toEqual([200, 'true', made.body.id])
  expect([await budgetOf(campaign), await unsettled()]).toEqual([20_000, 0])
})

test('a new round that was cut off is made by a repetition before anybody gives it up', async () => {
  const campaign = await makeCampaign(api, BUDGET)
  const ask = () => api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 10 }, under('cut-off'))
  expectProblem(await lostAt('round-create', campaign, ask), 'unknown')
  expect((await ask()).status).toBe(201)
  await patienceEnds()
  expect([await budgetOf(campaign), await unsettled()]).toEqual([20_000, 0])
})

test('what was left of a round that was made is finished by a repetition at once', async () => {
  const campaign = await makeCampaign(api, BUDGET)
  const path = `/v1/campaigns/${campaign}/rounds`
  const first = proxy.forwarded('request', asks('round-create'))
  const cut = first.then(async () => {
    await proxy.keepBack(asks('budget'))
    proxy.way = 'black hole'
  })
  const answer = api.post<Round>(path, { stock: 10 }, under('left'))
  await cut
  expectProblem((await answer) as Reply<object> as Reply, 'unknown')
  proxy.disconnect()
  proxy.way = 'pass'
  proxy.letGo()
  await ready()
  expect([(await api.get<{ data: Round[] }>(path)).body.data, await unsettled()]).toEqual([[], 1])
  const again = await api.post<Round>(path, { stock: 10 }, under('left'))
  expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true'])
  const { body } = await api.get<{ data: Round[] }>(path)
  expect([body.data.map(({ id }) => id), await unsettled()]).toEqual([[again.body.id], 0])
})

test('stock that was given up is added by whoever asks again under its key, and paid for once', async () => {
  const { id, campaign_id } = await makeRound(api, { stock: 4 }, BUDGET)
  const ask = () => api.post<Round>(`/v1/rounds/${id}/stock`, { add: 6 }, under('stock'))
  expectProblem(await lostAt('restock', id, ask), 'unknown')
  await patienceEnds()
  expect(await budgetOf(campaign_id)).toBe(8000)
  const made = await ask()
  expect([made.status, made.headers.get('idempotent-replayed'), made.body.stock.total]).toEqual([200, null, 10])
  const again = await ask()
  expect([again.headers.get('idempotent-replayed'), again.body.stock.total]).toEqual(['true', 10])
  expect([await budgetOf(campaign_id), await unsettled()]).toEqual([20_000, 0])
})

test.each(['open', 'resume'] as const)('%s that was made and whose hold cannot be ended is unknown', async verb => {
  const { id } = await makeRound(api, { opens_at: verb === 'open' ? null : '2020-01-01T00:00:00.000Z' })
  if (verb === 'resume') await api.post(`/v1/rounds/${id}/pause`)
  const reply = await cutAt('hold-end', id, () => api.post(`/v1/rounds/${id}/${verb}`))
  expectProblem(reply, 'unknown')
  expect(reply.body.detail).toContain('the change was made')
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.state).toBe('open')
})
