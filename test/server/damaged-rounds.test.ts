/**
 * Rounds that Redis has lost, one of them or all: whoever watches is told. The list has a row that says so and the other
 * rounds as ever, `readyz` and the doctor name the round, the alert's metrics move, and every `fenced` answer is counted.
 * A damaged round stops no other one; a Redis that was emptied stops the node.
 */
import { Redis } from 'ioredis'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { roundHolders, roundLog, roundState } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeCampaign, makeRound, type Round } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { startLocalRedis } from '../support/redis.ts'
import { StreamClient } from '../support/stream-client.ts'

const WAITS = { timeout: 20_000, interval: 100 }

let api: Api
let admin: Redis
beforeEach(async () => {
  const redis = await startLocalRedis({ appendfsync: 'no' })
  const worker = await startTestWorker(redis.url, {}, SOON_MS)
  admin = new Redis(redis.socketPath as string)
  api = new Api(worker.url, KEYS.operator)
  return async () => {
    admin.disconnect()
    await worker.stop()
    await redis.stop()
  }
})

interface Ready extends Fields {
  readonly ready: boolean
  readonly problems: readonly { readonly what: string; readonly mend: string }[]
}
const readyz = () => api.get<Ready>('/readyz?verbose')
const told = async () => (await readyz()).body.problems.map(({ what }) => what).join('; ')
const metric = async (name: string) => {
  const text = (await api.get<string>('/metrics')).body
  return Number(
    text
      .split('\n')
      .find(line => line.startsWith(`${name} `))
      ?.slice(name.length),
  )
}
const fenced = () => metric('fairgrab_claims_total{outcome="fenced"}')
const claim = (id: string, user_id: string) => api.post(`/v1/rounds/${id}/claims`, { user_id })

const KEYS_OF = { state: roundState, log: roundLog, holders: roundHolders }

test.each(Object.keys(KEYS_OF) as (keyof typeof KEYS_OF)[])(
  'a round whose %s is gone is named by readyz and the metrics, and the others go on',
  async part => {
    const [damaged, sound] = [await makeRound(api), await makeRound(api)]
    await claim(damaged.id, 'ada')
    const key = KEYS_OF[part](damaged.id)
    await admin.rename(key, 'kept')
    expectProblem(await claim(damaged.id, 'bob'), 'fenced')
    await expect.poll(told, WAITS).toContain(damaged.id)
    expect(await metric('fairgrab_rounds_damaged')).toBe(1)
    const { status, body } = await readyz()
    expect([status, body.ready, body.problems.length]).toEqual([200, true, 1])
    expect(body.problems[0]?.mend).toMatch(/backup/)
    expect((await claim(sound.id, 'bob')).status).toBe(201)
    await admin.rename('kept', key)
    await expect.poll(told, WAITS).toBe('')
    expect(await metric('fairgrab_rounds_damaged')).toBe(0)
    expect((await claim(damaged.id, 'bob')).status).toBe(201)
  },
)

test.each([['holders'], ['log']] as const)(
  'nobody is told that he holds nothing of a round whose %s is gone, before and after it is known',
  async part => {
    const { id } = await makeRound(api, { stock: 10 })
    const { vouchers } = (await claim(id, 'ada')).body as unknown as Granted
    const code = vouchers[0]?.code
    // Another worker has read none of it, and knows nobody who holds something.
    const other = await startTestWorker(`unix://${admin.options.path}`, {}, SOON_MS)
    onTestFinished(() => other.stop())
    const there = new Api(other.url, KEYS.operator)
    const rows = () => there.get(`/v1/claims?user_id=ada`)
    const key = KEYS_OF[part](id)
    await admin.rename(key, 'kept')
    const asked = async () => {
      if (part === 'log')
        for (const path of [`/v1/vouchers/${code}`, `/v1/rounds/${id}/claims`])
          expectProblem(await there.get(path), 'fenced')
      if (part === 'log') return
      expectProblem(await there.get(`/v1/rounds/${id}/claims/ada`), 'fenced')
      expect((await rows()).body.data).toMatchObject([{ round_id: id, slot: 1, outcome: 'fenced' }])
    }
    await asked()
    const round = () => there.get(`/v1/rounds/${id}`)
    await expect
      .poll(async () => (await round()).body, WAITS)
      .toMatchObject({
        state: 'fenced',
        problem: expect.stringMatching(/(holders|log).*backup/),
        stock: { total: 10, granted: 1 },
      })
    expect((await there.get('/v1/rounds')).body.data).toMatchObject([
      { id, state: 'fenced', problem: expect.stringMatching(/backup/) },
    ])
    await asked()
    expectProblem(await there.get(`/v1/rounds/${id}/claims/bob`), 'fenced')
    expect((await there.get<{ data: Fields[] }>('/v1/claims?user_id=bob')).body.data).toMatchObject([
      {
        round_id: id,
        round_state: 'fenced',
        slot: 1,
        outcome: 'fenced',
        problem: expect.stringMatching(/again|backup/),
      },
    ])
    await admin.rename('kept', key)
    await expect.poll(async () => (await round()).body.state, WAITS).toBe('open')
    expect((await round()).body).not.toHaveProperty('problem')
    expect((await rows()).body.data).toMatchObject([{ round_id: id, outcome: 'granted' }])
    expectProblem(await there.get(`/v1/rounds/${id}/claims/bob`), 'not_found')
  },
)

test('a round of the level fenced that nodes of another level cannot claim from is named as that, and wants no backup', async () => {
  const { id } = await makeRound(api, { stock: 10 })
  await claim(id, 'ada')
  // As nodes of the level fenced leave it: bound to the history of its server.
  const [, server = ''] = /master_replid:(\w+)/.exec(await admin.info('replication')) ?? []
  await admin.hset(roundState(id), 'replid', server)
  expectProblem(await claim(id, 'bob'), 'fenced')
  const { body: first } = await api.get<Fields>(`/v1/rounds/${id}`)
  expect(first.problem).toMatch(/of another epoch or level/)
  await expect.poll(told, WAITS).toContain(`round ${id}: it is of the level fenced, this node's is memory`)
  const { body } = await readyz()
  expect(body.problems).toEqual([{ what: expect.anything(), mend: expect.stringMatching(/nodes of the level fenced/) }])
  const round = await api.get<Fields>(`/v1/rounds/${id}`)
  expect(round.body).toMatchObject({ state: 'fenced', problem: expect.stringMatching(/level fenced.*memory/) })
  const { out } = await fairgrab('doctor', { REDIS_URL: `unix://${admin.options.path}`, FAIRGRAB_DURABILITY: 'memory' })
  expect(out).toMatch(new RegExp(`round ${id}: it is of the level fenced, this node's is memory\\n.*level fenced`))
  // Also when its server was started again, and before this round was ever read here.
  await admin.hset(roundState(id), 'replid', 'f'.repeat(40))
  const other = await startTestWorker(`unix://${admin.options.path}`, {}, SOON_MS)
  onTestFinished(() => other.stop())
  const late = await new Api(other.url, KEYS.operator).get<Fields>(`/v1/rounds/${id}`)
  expect(late.body.detail).toMatch(/it is of the level fenced/)
  for (const said of [first, round.body, late.body, body, out]) expect(JSON.stringify(said)).not.toMatch(/backup/)
  // What is over is nobody's problem.
  await admin.hset(roundState(id), 'replid', server)
  expect((await api.post(`/v1/rounds/${id}/close`)).status).toBe(200)
  await expect.poll(told, WAITS).toBe('')
})

test('a damaged round is a row of each list that says so, and no error for the others', async () => {
  const campaign = await makeCampaign(api)
  const make = async () =>
    (await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, { stock: 1, opens_at: '2020-01-01T00:00:00.000Z' })).body
      .id
  const [first, lost, unreadable, last] = [await make(), await make(), await make(), await make()]
  await claim(first, 'ada')
  await admin.del(roundState(lost))
  await admin.hset(roundState(unreadable), 'config', '{')
  // Another worker has read neither.
  const other = await startTestWorker(`unix://${admin.options.path}`, {}, SOON_MS)
  const there = new Api(other.url, KEYS.operator)
  for (const [path, order] of [
    ['/v1/rounds', [last, unreadable, lost, first]],
    [`/v1/campaigns/${campaign}/rounds`, [first, lost, unreadable, last]],
  ] as const) {
    const { status, body } = await there.get<{ data: (Round & Fields)[] }>(path)
    expect([status, body.data.map(({ id }) => id)]).toEqual([200, order])
    const rows = Object.fromEntries(body.data.map(row => [row.id, row]))
    expect(rows[lost]).toEqual({ id: lost, state: 'fenced', problem: expect.stringMatching(/missing.*backup/) })
    expect(rows[unreadable]).toEqual({
      id: unreadable,
      state: 'fenced',
      problem: expect.stringMatching(/cannot be read/),
    })
    expect([rows[first]?.state, rows[last]?.state]).toEqual(['sold_out', 'open'])
    const lines = (await there.get<string>(path, { accept: 'application/x-ndjson' })).body.trim().split('\n')
    expect(lines.map(line => (JSON.parse(line) as Round).id)).toEqual(order)
    const page = await there.get<{ data: Round[] }>(`${path}?limit=1&cursor=${order[0]}`)
    expect(page.body.data.map(({ id }) => id)).toEqual([order[1]])
  }
  const claims = await there.get<{ data: Fields[] }>('/v1/claims?user_id=ada')
  expect(claims.body.data.map(({ round_id, outcome }) => [round_id, outcome])).toEqual([
    [unreadable, 'fenced'],
    [lost, 'fenced'],
    [first, 'granted'],
  ])
  await expect
    .poll(async () => JSON.stringify((await there.get<Ready>('/readyz?verbose')).body.problems), WAITS)
    .toContain(unreadable)
  await other.stop()
})

test('a damaged round is a line of round list and watch, and the others have theirs', async () => {
  const [damaged, sound] = [await makeRound(api), await makeRound(api)]
  await admin.del(roundState(damaged.id))
  const env = { FAIRGRAB_URL: api.url, FAIRGRAB_KEY: KEYS.operator }
  for (const line of ['round list', 'watch --once']) {
    const { code, out, err } = await fairgrab(line, env)
    expect([line, code, err]).toEqual([line, 0, ''])
    expect(out.split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^${sound.id}  open +\\d+ left of \\d+$`)),
      expect.stringMatching(new RegExp(`^${damaged.id}  fenced +.*state in Redis is missing.*backup`)),
    ])
    const { data = [] } = { data: JSON.parse((await fairgrab(`${line} --json`, env)).out) }
    expect([data.data ?? data].flat()).toMatchObject([{ id: sound.id }, { id: damaged.id, state: 'fenced' }])
  }
})

test('a damaged round holds up no draw of another one', async () => {
  const rules = { allocation: { mode: 'lottery', draws_at: '2030-01-01T00:00:00.000Z' }, opens_at: null }
  const made: string[] = []
  for (let i = 0; i < 6; i++) made.push((await makeRound(api, rules)).id)
  for (const id of made.slice(3)) await admin.del(roundState(id))
  // Nobody asks this worker for any of them; it looks after them by itself.
  const other = await startTestWorker(`unix://${admin.options.path}`, {}, SOON_MS)
  const there = new Api(other.url, KEYS.operator)
  const loaded = async () => {
    const text = (await there.get<string>('/metrics')).body
    return made.filter(id => text.includes(`fairgrab_stock_total{round="${id}"}`))
  }
  await expect.poll(loaded, WAITS).toEqual(made.slice(0, 3))
  await other.stop()
})

test('every claim that hears fenced is counted, over HTTP, in batches and on the stream', async () => {
  const { id } = await makeRound(api)
  await admin.del(roundState(id))
  const ask = async () => {
    expectProblem(await claim(id, 'ada'), 'fenced')
    const claims = ['ada', 'bob', 'cyd'].map(user_id => ({ user_id }))
    const batch = await api.post(`/v1/rounds/${id}/claims/batch`, { claims })
    expect(JSON.stringify(batch.body)).toContain('fenced')
    const stream = new StreamClient(api.url, { credential: KEYS.platform })
    await stream.next('welcome')
    await stream.ask({ op: 'claim', id: 1, round_id: id, user_id: 'ada' })
    await stream.ask({ op: 'claims', id: 2, round_id: id, user_ids: ['ada', 'bob'] })
    await stream.close()
  }
  await ask()
  expect(await fenced()).toBe(7)
  const other = await startTestWorker(`unix://${admin.options.path}`, {}, SOON_MS)
  const here = api
  // One that never knew the round fails before there is anything to claim from.
  api = new Api(other.url, KEYS.operator)
  await ask()
  expect(await fenced()).toBe(7)
  await other.stop()
  api = here
})

test('a Redis that was emptied stops the node, which says so until the rounds are back', async () => {
  const { id } = await makeRound(api)
  await claim(id, 'ada')
  const kept = new Map<string, Buffer>()
  for (const key of await admin.keys('*')) kept.set(key, await admin.dumpBuffer(key))
  await admin.flushall()
  expectProblem(await claim(id, 'bob'), 'fenced')
  await expect.poll(async () => (await readyz()).status, WAITS).toBe(503)
  expect(await told()).toMatch(/lost every round.*FLUSHALL/)
  expect(await metric('fairgrab_ready')).toBe(0)
  // What is made now rests on nothing that people hold.
  const fresh = await makeRound(api)
  expectProblem(await claim(fresh.id, 'bob'), 'fenced')
  expect(await told()).toMatch(/lost every round/)
  await admin.flushall()
  for (const [key, bytes] of kept) await admin.restore(key, 0, bytes)
  await expect.poll(async () => (await readyz()).status, WAITS).toBe(200)
  expect((await claim(id, 'ada')).body).toMatchObject({ outcome: 'granted', replayed: true })
  expect((await claim(id, 'bob')).status).toBe(201)
})
