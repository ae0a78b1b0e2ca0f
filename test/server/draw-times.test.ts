/**
 * An operator who cheats with the times of a drawn round, over the public API and a real Redis: each way is in the proof, in
 * the engine's words and in a second implementation's.
 *
 * A drawn round is played as an outsider sees it: people enter, the operator does something at a moment that the rules do not
 * name, the draw is made at its hour, and its bundle is fetched and verified. Honest rounds, which the clock opened and
 * closed, pass, window after window. A draw that is held back stands as overdue where anybody looks.
 */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { statementOf } from '../../bench/audit/draw-bundle.ts'
import { DRAW_CHECKS, type DrawEvidence } from '../../bench/audit/draw-checks.ts'
import { runCheck } from '../../bench/audit/finding.ts'
import type { Change } from '../../engine/draw/times.ts'
import type { BundleFiles } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, type Fields, makeCampaign, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'

let redis: RedisServer
let worker: TestWorker
let api: Api
let client: Redis
beforeAll(async () => {
  redis = await startOwnRedis()
  client = rawRedis(redis.url)
  worker = await startTestWorker(redis.url)
  api = new Api(worker.url, KEYS.operator)
})
afterAll(async () => {
  await worker.stop()
  client.disconnect()
  await redis.stop()
})

interface Shown {
  readonly state: string
  readonly overdue_since?: string
  readonly files: readonly { readonly name: string }[]
}

const iso = (ms: number) => new Date(Date.now() + ms).toISOString()
const turn = (id: string, verb: string) => api.post(`/v1/rounds/${id}/${verb}`)

async function enter(id: string, ...people: readonly string[]): Promise<void> {
  for (const user_id of people) expect((await api.post(`/v1/rounds/${id}/claims`, { user_id })).status).toBe(202)
}

/** The whole bundle of a window, when it is drawn. */
async function drawnBundle(id: string, window = 0): Promise<BundleFiles> {
  const listing = async () => (await api.get<Shown>(`/v1/rounds/${id}/draw?window=${window}`)).body
  await expect.poll(async () => (await listing()).state, { timeout: 30_000 }).toBe('drawn')
  const names = (await listing()).files.map(({ name }) => name)
  const bytes = (name: string) => api.get(`/v1/rounds/${id}/draw/files/${name}?window=${window}`)
  return new Map(await Promise.all(names.map(async name => [name, (await bytes(name)).bytes] as const)))
}

/** What fails: in the engine's verifier, by name, and whether the second implementation says the same of the times. */
function failuresOf(files: BundleFiles): Readonly<Record<string, string>> {
  const failed = verifyBundle(files).checks.filter(({ ok }) => !ok)
  const evidence = { draws: [statementOf(Object.fromEntries(files) as never)] } as unknown as DrawEvidence
  const again = DRAW_CHECKS.filter(({ id }) => id === 'D-times').map(check => runCheck(check, evidence))
  expect(again.map(({ ok }) => ok)).toEqual([!failed.some(({ name }) => name === 'times')])
  return Object.fromEntries(failed.map(({ name, detail }) => [name, detail]))
}

const changesOf = (files: BundleFiles): readonly Change[] => JSON.parse(String(files.get('commit.bytes'))).changes
const kindsOf = (files: BundleFiles) => changesOf(files).map(({ change }) => change)
/** A lottery whose entries end in `closesIn` ms; long enough for a slow machine to do what the test does before. */
async function makeLottery(more: Fields = {}, closesIn = 15_000): Promise<string> {
  const closes_at = iso(closesIn)
  const allocation = { mode: 'lottery', draws_at: closes_at, ...more }
  return (await makeRound(api, { stock: 5, closes_at, allocation })).id
}

test('a lottery fails by name when it was closed early or paused, and passes when it was not or may be', async () => {
  const honest = await makeLottery()
  const early = await makeLottery()
  const announced = await makeLottery({ may_end_early: true })
  const paused = await makeLottery()
  for (const id of [honest, early, announced, paused]) await enter(id, 'friend1', 'friend2')
  for (const id of [early, announced]) expect((await turn(id, 'close')).status).toBe(200)
  for (const verb of ['pause', 'resume']) expect((await turn(paused, verb)).status).toBe(200)
  expect((await api.post(`/v1/rounds/${early}/claims`, { user_id: 'stranger' })).body).toMatchObject({ code: 'closed' })

  const kept = await drawnBundle(honest)
  expect(failuresOf(kept)).toEqual({})
  expect(kindsOf(kept)).toEqual(['create', 'open', 'window', 'close', 'draw'])
  const end = changesOf(kept).find(({ change }) => change === 'close')?.at
  expect(end, 'by the clock').toBe(JSON.parse(String(kept.get('rules.json'))).closes_at)

  const broken = await drawnBundle(early)
  expect(Object.keys(failuresOf(broken))).toEqual(['times'])
  expect(failuresOf(broken).times).toMatch(/^commit\.json: ended early: entries ended at .* and the rules say /)

  expect(failuresOf(await drawnBundle(announced))).toEqual({})

  const shut = await drawnBundle(paused)
  expect(Object.keys(failuresOf(shut))).toEqual(['times'])
  expect(failuresOf(shut).times).toMatch(/^commit\.json: paused inside the window: from /)
  expect(kindsOf(shut)).toEqual(['create', 'open', 'window', 'pause', 'resume', 'close', 'draw'])
})

test('windows of a round say their own times, and one that was closed early fails', async () => {
  const { id } = await makeRound(api, { stock: 9, allocation: { mode: 'window', window_ms: 5000 } })
  const entered = async (user_id: string) => (await api.post(`/v1/rounds/${id}/claims`, { user_id })).status
  await expect.poll(() => entered('a'), { timeout: 30_000 }).toBe(202)
  const first = await drawnBundle(id)
  expect(failuresOf(first)).toEqual({})
  expect(kindsOf(first).at(-1)).toBe('draw')
  await expect.poll(() => entered('b'), { timeout: 30_000 }).toBe(202)
  await turn(id, 'close')
  const second = await drawnBundle(id, 1)
  expect(Object.keys(failuresOf(second))).toEqual(['times'])
  expect(kindsOf(second)).toEqual(['window', 'close', 'draw'])
})

test('a round that is opened by hand, at once or in advance, is not late by its own rules', async () => {
  const campaign = await makeCampaign(api)
  const allocation = { mode: 'window', window_ms: 3_600_000, may_end_early: true }
  for (const opens_at of [null, iso(3_600_000)]) {
    const asked = { stock: 3, opens_at, allocation }
    const { id } = (await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)).body
    expect((await turn(id, 'open')).status).toBe(200)
    await enter(id, 'a')
    await turn(id, 'close')
    expect(failuresOf(await drawnBundle(id)), `opens at ${opens_at}`).toEqual({})
  }
})

test('a round that the clock opens says so with the time of its rules', async () => {
  const campaign = await makeCampaign(api)
  const asked = { stock: 3, opens_at: iso(3000), allocation: { mode: 'window', window_ms: 3_600_000 } }
  const { id } = (await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)).body
  const entered = async () => (await api.post(`/v1/rounds/${id}/claims`, { user_id: 'a' })).status
  await expect.poll(entered, { timeout: 30_000 }).toBe(202)
  await turn(id, 'close')
  const files = await drawnBundle(id)
  expect(failuresOf(files).times).toMatch(/^commit\.json: ended early: [^;]*$/)
  const opened = changesOf(files).find(({ change }) => change === 'open')?.at
  expect(Date.parse(opened ?? '')).toBeGreaterThanOrEqual(Date.parse(asked.opens_at))
})

test('rules that an older engine published are drawn without times, and its verdict says that', async () => {
  const { id } = await makeRound(api, { stock: 2, allocation: { mode: 'window', window_ms: 3_600_000 } })
  await enter(id, 'a', 'b')
  const { may_end_early, ...older } = JSON.parse(String(await client.hget(keys.roundBundle(id, 0), 'rules.json')))
  expect(may_end_early).toBe(false)
  await client.hset(keys.roundBundle(id, 0), 'rules.json', JSON.stringify(older))
  await turn(id, 'close')
  const files = await drawnBundle(id)
  expect(failuresOf(files)).toEqual({})
  expect(changesOf(files)).toBeUndefined()
  expect(verifyBundle(files).checks.find(({ name }) => name === 'times')?.detail).toMatch(/^NOT STATED/)
})

test('a committed draw that waits too long for its beacon stands as overdue for everybody, with since when', async () => {
  const campaign = await makeCampaign(api)
  const allocation = { mode: 'window', window_ms: 3_600_000, beacon: { kind: 'drand' } }
  const asked = { stock: 1, opens_at: iso(-1000), allocation }
  const { id } = (await api.post<Round>(`/v1/campaigns/${campaign}/rounds`, asked)).body
  // Promises a beacon that appeared long ago and that the operator holds back.
  const rules = JSON.parse(String(await client.hget(keys.roundBundle(id, 0), 'rules.json')))
  rules.beacon.round = 1000
  await client.hset(keys.roundBundle(id, 0), 'rules.json', JSON.stringify(rules))
  const everybody = new Api(worker.url, '')
  const row = async () => {
    const list = await everybody.get<{ data: readonly Fields[] }>(`/v1/campaigns/${campaign}/rounds`)
    return list.body.data.find(round => round.id === id)
  }
  expect(await row(), 'nobody entered').not.toHaveProperty('draw_overdue_since')
  await enter(id, 'a')
  await turn(id, 'close')
  await expect.poll(() => client.hget(keys.roundDraw(id), 'phase'), { timeout: 30_000 }).toBe('committed')
  const since = '2023-08-23T15:59:24.000Z'
  expect((await everybody.get<Shown>(`/v1/rounds/${id}/draw`)).body).toMatchObject({
    state: 'overdue',
    overdue_since: since,
  })
  expect(await row()).toMatchObject({ draw_overdue_since: since })
  expect((await everybody.get(`/v1/rounds/${id}`)).body).toMatchObject({ draw_overdue_since: since })
})
