/**
 * The level fenced as an operator meets it, over the API and with two real servers: what it refuses, what a fail-over
 * leaves in quarantine, and how it is released, first dry and then for good; all of it as the engine's own user.
 *
 * The engine that is silent is a name in the state that no journal belongs to, as one whose machine burned down. And what
 * nodes say of a round that stood there before they were of this level.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { roundState } from '../../engine/store/connection/keys.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, expectProblem, type Fields, makeCampaign, makeRound, type Round } from '../support/api.ts'
import { follow, startCopy } from '../support/copies.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

test('fenced: refused without cover, quarantined after a fail-over, released by an operator', async () => {
  const own = ['--include', join(ROOT, 'deploy/redis-users.conf')]
  const [primary, replica, next] = [await startCopy(own), await startCopy(own), await startCopy(own)]
  await follow(replica, primary)
  const name = await TcpProxy.open({ port: primary.port })
  const folder = mkdtempSync(join(tmpdir(), 'fg-journal-'))
  const level = {
    FAIRGRAB_DURABILITY: 'fenced',
    FAIRGRAB_REPLICAS: '1',
    FAIRGRAB_DATA_DIR: folder,
    LOG_LEVEL: 'silent',
  }
  const worker = await startTestWorker(name.url.replace('//', '//fairgrab:change-this-password@'), level)
  onTestFinished(async () => {
    await worker.stop()
    await name.close()
    for (const copy of [primary, replica, next]) await copy[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const api = new Api(worker.url, KEYS.operator)
  const campaign = await makeCampaign(api)
  const drawn = { stock: 10, opens_at: null, allocation: { mode: 'window', window_ms: 1000 } }
  for (const dry of ['', '?dry_run=true'])
    expectProblem(await api.post(`/v1/campaigns/${campaign}/rounds${dry}`, drawn), 'invalid')
  const { id } = await makeRound(api, { stock: 30_000 })
  const release = (dry = '') => api.post(`/v1/rounds/${id}/release${dry}`)
  const claim = (user_id: string) => api.post(`/v1/rounds/${id}/claims`, { user_id })
  expectProblem(await release(), 'wrong_state')
  expectProblem(await release('?dry_run=true'), 'wrong_state')
  expect((await claim('u1')).body).toMatchObject({ claim: { sequence: 1 } })
  const engines = await primary.admin.hget(roundState(id), 'engines')
  await primary.admin.hset(roundState(id), 'engines', `${engines}burned:in `)
  await follow(replica, primary)
  await primary.redis.kill()
  await replica.admin.replicaof('NO', 'ONE')
  name.upstream = { port: replica.port }
  await follow(next, replica)
  await expect.poll(async () => (await claim('u2')).status, { timeout: 8000 }).toBe(201)
  const { body: round } = await api.get<Round>(`/v1/rounds/${id}`)
  expect(round).toMatchObject({
    stock: { total: 30_000, granted: 2, remaining: 10_000 - 1, quarantined: 19_999 },
    set_aside: [{ from: 2, to: 20_000, released: false }],
  })
  const after = { stock: { granted: 2, remaining: 29_998 }, set_aside: [{ released: true }] }
  expect((await release('?dry_run=true')).body).toMatchObject({ dry_run: true, before: { stock: round.stock }, after })
  expect((await release()).body).toMatchObject(after)
  expect((await claim('u3')).body).toMatchObject({ claim: { sequence: 20_002 } })
  expect((await claim('u1')).body).toMatchObject({ claim: { sequence: 1 } })
  const { body: rows } = await api.get<string>('/v1/audit', { accept: 'application/x-ndjson' })
  expect(rows).toContain('"action":"fail-over"')
})

test('fenced: a strict round of before is named as not covered, and wants no backup', async () => {
  await using primary = await startCopy()
  await using replica = await startCopy()
  await follow(replica, primary)
  const { url } = primary.redis
  const covered = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' }
  const before = await startTestWorker(url, covered)
  const { id } = await makeRound(new Api(before.url, KEYS.operator), { allocation: { mode: 'fcfs', strict: true } })
  await before.stop()
  const folder = mkdtempSync(join(tmpdir(), 'fg-journal-'))
  const level = { FAIRGRAB_DURABILITY: 'fenced', FAIRGRAB_REPLICAS: '1', FAIRGRAB_DATA_DIR: folder }
  for (const more of ['', ' --finish'])
    await fairgrab(`config change FAIRGRAB_DURABILITY${more}`, { REDIS_URL: url, ...level })
  const node = await startTestWorker(url, { ...level, LOG_LEVEL: 'silent' }, SOON_MS)
  onTestFinished(async () => {
    await node.stop()
    rmSync(folder, { recursive: true })
  })
  const api = new Api(node.url, KEYS.operator)
  const problems = async () => JSON.stringify((await api.get<Fields>('/readyz?verbose')).body.problems)
  expectProblem(await api.post(`/v1/rounds/${id}/claims`, { user_id: 'u1' }), 'fenced')
  await expect.poll(problems, { timeout: 8000 }).toContain(`round ${id}: it is strict or drawn`)
  expect(await problems()).not.toMatch(/backup/)
  const read = await api.get<Fields>(`/v1/rounds/${id}`)
  expect(read.body).toMatchObject({ state: 'fenced', problem: expect.stringMatching(/replicated until it is over/) })
  // What is over is nobody's problem.
  expect((await api.post(`/v1/rounds/${id}/close`)).status).toBe(200)
  await expect.poll(problems, { timeout: 8000 }).not.toContain(id)
})
