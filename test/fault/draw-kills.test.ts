/**
 * The worker that draws is killed at every step between the end of the window and the published result.
 *
 * A network of the test's own stands between the node and its Redis. It sees each step's script go by, lets it through,
 * swallows the answer and kills the worker with SIGKILL: so the step stands in Redis and nobody was told. The supervisor
 * starts another worker, which has to go on from what stands. Seven deaths in a row on one draw: what was published
 * before a death is the same afterwards, byte for byte; the finished bundle passes the verifier; each winner has one
 * grant, in the order of the result. No witness: a draw publishes its own proof, and its people are not first come. Only the dead worker's lease is cut short, so that the test need not wait for it.
 */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleParts } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { loadScripts, type ScriptName } from '../../engine/store/connection/scripts.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const PEOPLE = 1300
const STOCK = 600
/** Each step as it goes by: its script, and a word that only this step has. */
const STEPS: readonly (readonly [ScriptName, string])[] = [
  ['draw-take', ''],
  ['draw-write', 'commit.json'],
  ['draw-write', 'beacon.json'],
  ['draw-write', 'result.json'],
  ['draw-grant', '\r\n1\r\n'],
  ['draw-grant', '\r\n513\r\n'],
  ['draw-finish', ''],
]

let redis: RedisProcess
let client: Redis
let proxy: TcpProxy
let node: NodeProcess
const scripts = loadScripts()
beforeAll(async () => {
  redis = await startLocalRedis()
  const path = redis.socketPath as string
  client = new Redis({ path })
  proxy = await TcpProxy.open({ path })
  node = await startNodeProcess({ REDIS_URL: proxy.url })
})
afterAll(async () => {
  await node.stop()
  await proxy.close()
  client.disconnect()
  await redis.stop()
})

/** Kills the worker when a step's script has gone by and before its answer can; resolves when that was. */
async function killAt([script, word]: readonly [ScriptName, string]): Promise<void> {
  // A connection's first call of a script carries its text, the others its name.
  const { source } = scripts[script]
  const sha = createHash('sha1').update(source).digest('hex')
  await proxy.forwarded('request', bytes => {
    const text = bytes.toString('latin1')
    if (!(text.includes(sha) || text.includes(source)) || !text.includes(word)) return false
    proxy.way = 'drop replies'
    node.killWorker()
    return true
  })
  proxy.way = 'pass'
}

/** A worker that was not there when the draw was made. */
async function lateWorker() {
  const worker = await startTestWorker(redis.url, { FAIRGRAB_DURABILITY: 'always' })
  return { api: new Api(worker.url, KEYS.operator), [Symbol.asyncDispose]: () => worker.stop() }
}

async function filesOf(id: string): Promise<Map<string, Buffer>> {
  return new Map(Object.entries(await client.hgetallBuffer(keys.roundBundle(id, 0))))
}

test('seven deaths in one draw leave one list, one result and one grant a winner', async () => {
  const allocation = { mode: 'window', window_ms: 600_000, may_end_early: true }
  const first = new Api(node.url, KEYS.operator)
  const { id } = await makeRound(first, { stock: STOCK, allocation })
  const claims = Array.from({ length: PEOPLE }, (_, i) => ({ user_id: `k${i}` }))
  const { body } = await first.post<{ results: { outcome: string }[] }>(`/v1/rounds/${id}/claims/batch`, { claims })
  expect(new Set(body.results.map(({ outcome }) => outcome))).toEqual(new Set(['entered']))
  const entered = await first.get(`/v1/rounds/${id}/claims/k7`)
  const published: Map<string, Buffer>[] = []
  for (const [i, step] of STEPS.entries()) {
    const killed = killAt(step)
    // The worker dies a moment after the end of the window, perhaps with this answer.
    if (i === 0) first.post(`/v1/rounds/${id}/close`).catch(() => {})
    await killed
    published.push(await filesOf(id))
    await client.hset(keys.roundDraw(id), 'until', 1)
  }
  await using late = await lateWorker()
  const api = late.api
  const files = await filesOf(id)
  for (const [i, earlier] of published.entries())
    for (const [name, bytes] of earlier) expect(files.get(name), `${name} after death ${i + 1}`).toEqual(bytes)
  expect(published.map(({ size }) => size)).toEqual([...published.map(({ size }) => size)].sort())
  files.set('entries.bin', (await api.get(`/v1/rounds/${id}/draw/files/entries.bin`)).bytes)
  const verdict = verifyBundle(files)
  expect(verdict.checks.filter(({ ok }) => !ok)).toEqual([])
  expect(verdict).toMatchObject({ ok: true, trust: 'T2' })
  expect(bundleParts(files).isSame()).toBe(true)
  const { changes } = bundleParts(files).commit().commit
  expect(changes?.map(({ change }) => change)).toEqual(['create', 'open', 'window', 'close', 'draw'])
  const { winners } = JSON.parse(String(files.get('result.json'))) as { winners: readonly string[] }
  const list = await api.get(`/v1/rounds/${id}/claims`, { accept: 'application/x-ndjson' })
  const rows = String(list.bytes)
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)
  expect(rows.map(({ user_id, sequence }) => [user_id, sequence])).toEqual(
    winners.map((line, i) => [`tag:${line.split(':')[0]}`, i + 1]),
  )
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body).toMatchObject({ state: 'drawn', stock: { granted: STOCK } })
  const { tag } = (entered.body as { receipt: { tag: string } }).receipt
  const won = winners.some(line => line.startsWith(tag))
  expect((await api.get(`/v1/rounds/${id}/claims/k7`)).status).toBe(won ? 200 : 409)
}, 240_000)

test('who was answered `entered` before Redis died is in the list afterwards, with the same receipt', async () => {
  const server = await startLocalRedis()
  const worker = await startTestWorker(server.url, { FAIRGRAB_DURABILITY: 'always' })
  const people = new Api(worker.url, KEYS.operator)
  const { id } = await makeRound(people, { stock: 5, allocation: { mode: 'window', window_ms: 600_000 } })
  const enter = (user: number) => people.post(`/v1/rounds/${id}/claims`, { user_id: `r${user}` })
  const asked = Array.from({ length: 200 }, (_, user) => enter(user))
  await Promise.race(asked)
  await server.kill()
  await server.restart()
  const answers = await Promise.all(asked)
  const entered = answers.flatMap(({ status, bytes }, user) => (status === 202 ? [{ user, bytes }] : []))
  expect(entered).not.toEqual([])
  await expect.poll(async () => (await enter(0)).status, { timeout: 60_000 }).toBe(202)
  for (const { user, bytes } of entered) expect((await enter(user)).bytes).toEqual(bytes)
  await people.post(`/v1/rounds/${id}/close`)
  const watcher = new Redis({ path: server.socketPath as string })
  await expect.poll(() => watcher.hget(keys.roundDraw(id), 'phase'), { timeout: 60_000 }).toBe('done')
  watcher.disconnect()
  const list = (await people.get(`/v1/rounds/${id}/draw/files/entries.bin`)).bytes
  const tags = new Set(Array.from({ length: list.length / 17 }, (_, i) => list.toString('hex', i * 17, i * 17 + 16)))
  expect(tags.size, 'nobody stands there twice').toBe(list.length / 17)
  for (const { bytes } of entered) expect(tags).toContain(JSON.parse(String(bytes)).receipt.tag)
  await worker.stop()
  await server.stop()
}, 240_000)
