/**
 * The level replicated while a replica is missing, as whoever watches sees it: the health check names what is missing and
 * nothing else, however long its other parts have to wait for that replica, and the log says each thing once.
 */
import { expect, onTestFinished, test } from 'vitest'
import { Api, expectProblem, makeRound } from '../support/api.ts'
import { type Copy, follow, startCopy } from '../support/copies.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { launchNode } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const LEVEL = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' }
const SECRETS = { FAIRGRAB_VOUCHER_SECRET: '1'.repeat(64), FAIRGRAB_DRAW_SECRET: '2'.repeat(64) }
const MISSING = '0 of 1 replicas confirm a write: it would not survive at the level replicated'
/** Some checks, and more than any of their parts may wait for an answer. */
const WATCHED_MS = 9000

async function copy(): Promise<Copy> {
  const started = await startCopy()
  onTestFinished(() => started[Symbol.asyncDispose]())
  return started
}

/** Everything that `/readyz` says from now on. */
async function watched(url: string): Promise<readonly string[]> {
  const api = new Api(url, KEYS.operator)
  const said = new Set<string>()
  for (const end = performance.now() + WATCHED_MS; performance.now() < end; ) {
    const { body } = await api.get<{ problems: { what: string }[] }>('/readyz?verbose')
    said.add(body.problems.map(({ what }) => what).join('; '))
    await new Promise(done => setTimeout(done, 50))
  }
  return [...said]
}

test('behind a fail-over without a replica the check says that one is missing, and the log says nothing twice', async () => {
  const [primary, replica] = [await copy(), await copy()]
  const proxy = await TcpProxy.open({ port: primary.port })
  onTestFinished(() => proxy.close())
  await follow(replica, primary)
  const node = await launchNode({ REDIS_URL: proxy.url, ...LEVEL })
  onTestFinished(async () => void (await node.stop()))
  await node.serves()
  const api = new Api(node.url, KEYS.operator)
  const { id } = await makeRound(api)
  expect((await api.post(`/v1/rounds/${id}/claims`, { user_id: 'ada' })).status).toBe(201)
  node.forgetWords()
  await primary.redis.kill()
  await replica.admin.replicaof('NO', 'ONE')
  proxy.upstream = { port: replica.port }
  await node.says(/granting is stopped: 0 of 1 replicas confirm/)
  node.forgetWords()
  const said = await watched(node.url)
  expect(said.at(-1)).toBe(MISSING)
  expect(said.filter(what => /did not answer/.test(what))).toEqual([])
  expect(node.words.split('\n').filter(line => line.includes('"msg":"draw"')).length).toBeLessThanOrEqual(1)
  expect(node.words).not.toContain('"stack"')
})

test('a first start without its replica says that it is missing, though nothing can be agreed on', async () => {
  const redis = await startLocalRedis()
  onTestFinished(() => redis.stop())
  const worker = await startTestWorker(redis.url, { ...LEVEL, ...SECRETS, LOG_LEVEL: 'silent' }, SOON_MS)
  onTestFinished(() => worker.stop())
  expect(await watched(worker.url)).toEqual([MISSING])
})

test('while the replica is away nobody is told what he holds, as README and docs/operations.md say', async () => {
  const [primary, replica] = [await copy(), await copy()]
  await follow(replica, primary)
  const worker = await startTestWorker(`redis://127.0.0.1:${primary.port}`, { ...LEVEL, LOG_LEVEL: 'silent' }, SOON_MS)
  onTestFinished(() => worker.stop())
  const api = new Api(worker.url, KEYS.operator)
  const { id } = await makeRound(api)
  const claim = () => api.post(`/v1/rounds/${id}/claims`, { user_id: 'ada' })
  expect((await claim()).status).toBe(201)
  await replica.admin.replicaof('NO', 'ONE')
  expectProblem(await api.get(`/v1/rounds/${id}/claims/ada`), 'unknown')
  await follow(replica, primary)
  expect((await api.get(`/v1/rounds/${id}/claims/ada`)).status).toBe(200)
  expect((await claim()).body).toMatchObject({ outcome: 'granted', replayed: true })
})
